"""What a task file may not hold: answers that grading cannot tell apart, a key twice, one question under two keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.experiments.errors import BadTask
from lashley.experiments.tasks.from_file import BadLines, card_from, from_file, from_jsonl
from lashley.experiments.tasks.prompt import SPLITS, split_of
from lashley.tools.workbench.catalog import named_task

GOOD = {"text": "Snow is", "answer": " white", "distractor": " green"}


def lines(*records: dict[str, Any]) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


def faults(content: str) -> tuple[str, ...]:
    with pytest.raises(BadLines) as caught:
        from_jsonl("mine", content)
    return caught.value.faults


@pytest.mark.parametrize(
    ("answer", "wrong", "kind"),
    [(" red", " Red", "word"), (" má", " ma", "word"), (" 5", " $5.0", "number"), (" Yes", " True", "yes_no"),
     (" New", " New York", "word"), ("東", "東京", "text")],
)  # fmt: skip
@pytest.mark.parametrize("field", ["distractor", "corrupted_answer"])
def test_a_wrong_answer_that_counts_as_right_is_refused(answer: str, wrong: str, kind: str, field: str) -> None:
    twin = {"corrupted": "What is it: b,", "corrupted_answer": wrong} if field == "corrupted_answer" else {}
    given = {"text": "What is it: a,", "answer": answer, field: wrong, **twin}
    (fault,) = faults(lines(given))
    assert fault.startswith(f"mine, line 1, field '{field}': {wrong!r} would count as the answer {answer!r}")
    assert f"answers are compared as {kind}" in fault
    assert ("letter by letter" in fault) == (answer in (" red", " má", " 5", " Yes"))


@pytest.mark.parametrize(("answer", "wrong"), [(" mà", " má"), (" का", " की"), (" C", " C++"), (" A", " A-")])
def test_pairs_that_differ_in_a_letter_or_a_sign_are_taken(answer: str, wrong: str) -> None:
    task = from_jsonl("mine", lines({"text": "It is:", "answer": answer, "distractor": wrong + "."}))
    assert sum(task.capacity(split) for split in SPLITS) == 1


def test_a_file_can_choose_how_its_answers_are_read(tmp_path: Path) -> None:
    pair = {"text": "Red and red,", "answer": " red", "distractor": " Red"}
    strict = from_jsonl("mine", lines(GOOD, {**pair, "answer_kind": "text"}))
    assert strict.answer_kind == "text"
    assert strict.content is not None
    again = from_jsonl("mine", strict.content, card_from(strict))
    assert (again.answer_kind, again.fingerprint()) == ("text", strict.fingerprint())
    assert strict.fingerprint() != from_jsonl("mine", lines(GOOD, {**pair, "distractor": " Ted"})).fingerprint()
    path = tmp_path / "mine.csv"
    path.write_text("text,answer,distractor,answer_kind\nRed and red:, red, Red,\nSnow is:, white, green,text\n")
    assert from_file(path).answer_kind == "text"


def test_a_choice_that_does_not_fit_is_told_with_its_line() -> None:
    (fault,) = faults(lines(GOOD, {**GOOD, "text": "Coal is", "answer_kind": "letters"}))
    assert "line 2, field 'answer_kind': there is no such kind; use number, yes_no" in fault
    (fault,) = faults(lines({**GOOD, "answer_kind": "word"}, {**GOOD, "text": "Coal is", "answer_kind": "text"}))
    assert "line 2, field 'answer_kind': 'text', but 'word' in line 1" in fault
    found = faults(lines({**GOOD, "answer_kind": "number"}, {"text": "2 + 2 =", "answer": " 4"}))
    assert [fault.split(": ", 1)[0] for fault in found] == ["mine, line 1, field 'answer'"]
    assert "' white' cannot be read as a number" in found[0]


def test_the_command_takes_the_kind(tmp_path: Path) -> None:
    path, db = tmp_path / "mine.jsonl", tmp_path / "t.db"
    path.write_text(lines({"text": "Red and red:", "answer": " red", "distractor": " Red"}))
    words = ["tasks", "import", str(path), "--db", str(db)]
    assert CliRunner().invoke(cli, words).exit_code == 2
    assert not db.exists()
    done = CliRunner().invoke(cli, [*words, "--answer-kind", "text"])
    assert (done.exit_code, "compared as text" in done.output) == (0, True), done.output
    assert named_task("mine", db).answer_kind == "text"


@pytest.mark.parametrize(
    ("line", "key"),
    [('{"text": "a is", "answer": " b", "answer": " c"}', "answer"), ('{"text": "a is", "tex\\u0074": "b is"}', "text"),
     ('{"text": "a is", "answer": " b", "spans": {"s": [0, 1], "s": [1, 2]}}', "s")],
)  # fmt: skip
def test_a_key_twice_is_refused(line: str, key: str) -> None:
    (fault,) = faults(lines(GOOD) + "\n" + line)
    assert fault.startswith(f"mine, line 2, field '{key}': this key occurs twice")


SAME = ("caf\u00e9 is", "cafe\u0301 is", "caf\u00e9  is", "Caf\u00e9 is", "caf\u200b\u00e9 is")


@pytest.mark.parametrize("text", SAME[1:])
def test_texts_that_are_the_same_to_a_reader_share_their_key(text: str) -> None:
    first = {"text": SAME[0], "answer": " open"}
    (fault,) = faults(lines(GOOD, first, {"text": text, "answer": " open"}))
    assert fault.startswith("mine, line 3: the same text as in line 2 except for case, blanks or the form")
    task = from_jsonl("mine", lines({**first, "key": "k"}, {"text": text, "answer": " open", "key": "k"}))
    assert task.capacity(split_of("k")) == 2


@pytest.mark.parametrize("end", [" ", "\u00a0", "\u3000", "\u200b", "\t"])
def test_a_text_does_not_end_with_a_blank_that_nobody_sees(end: str) -> None:
    (fault,) = faults(lines({"text": "Snow is" + end, "answer": "white"}))
    assert "ends with a blank" in fault


def test_a_twin_is_no_prompt_of_the_other_split() -> None:
    def given(n: int, other: int) -> dict[str, Any]:
        return {"text": f"{n} and one is", "answer": f" {n + 1}", "corrupted": f"{other} and one is",
                "corrupted_answer": f" {other + 1}"}  # fmt: skip

    here, there = (next(n for n in range(50) if split_of(f"{n} and one is") == split) for split in SPLITS)
    near = next(n for n in range(here + 1, 50) if split_of(f"{n} and one is") == "explore")
    found = faults(lines(given(here, there), given(there, 90), given(near, here)))
    assert len(found) == 1
    assert "line 1, field 'corrupted': it is the text of line 2, which is in the other split" in found[0]


@pytest.mark.parametrize(
    ("text", "answer"),
    [("日本の首都は", "東京"), ("中国的首都是", "北京"), ("เมืองหลวงของไทยคือ", "กรุงเทพ"), ("日本の首都は", "Tokyo")],
)
def test_scripts_without_spaces_need_none(text: str, answer: str) -> None:
    (prompt,) = from_jsonl("mine", lines({"text": text, "answer": answer})).source.stream(split_of(text), 0)
    assert prompt.text + prompt.answer == text + answer


@pytest.mark.parametrize(("text", "answer"), [("The capital is", "Rome"), ("राजधानी", "दिल्ली"), ("Столица", "Москва")])
def test_scripts_with_spaces_need_one(text: str, answer: str) -> None:
    with pytest.raises(BadTask, match="start it with a space"):
        from_jsonl("mine", lines({"text": text, "answer": answer}))


def test_the_lines_of_a_csv_file_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('text,answer\n\nSnow is, white\n"Coal\nis", black\nGrass is, green\n')
    task = from_file(path)
    assert task.content is not None
    again: Any = from_jsonl("mine", task.content, card_from(task)).source
    assert again.line_of == {"Snow is": 3, "Coal\nis": 4, "Grass is": 6}
