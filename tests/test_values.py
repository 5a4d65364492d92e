"""The named values of prompts: computed another way, kept by everything that changes a task, and shown."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from lashley.experiments.errors import BadTask
from lashley.experiments.model.chat import inside, template
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.corrupted_prompts import with_text
from lashley.experiments.tasks.draft import Draft
from lashley.experiments.tasks.from_file import from_file, from_jsonl
from lashley.experiments.tasks.making import made
from lashley.experiments.tasks.own import Prompt as OwnPrompt
from lashley.experiments.tasks.own import Task as OwnTask
from lashley.experiments.tasks.prompt import SPLITS, Prompt
from lashley.experiments.tasks.registry import task, tasks
from lashley.experiments.tasks.shuffled import shuffled
from lashley.experiments.tasks.task import Task
from lashley.experiments.tasks.values import names_of, value_in, value_in_each, values_of
from lashley.experiments.tasks.without_prompts import without_prompts
from lashley.tests.test_chat import chatty
from lashley.tests.tiny import tiny_tokenizer
from lashley.tools.lookups import ShowTask, show_task
from lashley.tools.workbench import catalog
from lashley.tools.workbench.context import Context

# As they were before prompts had values: a study that was logged then finds its tasks.
PRINTS = {
    "arithmetic": "46f68b5d3e6a1a4b",
    "three_operands": "4eb7180eb1972fd4",
    "ioi": "6b037cec2dd54526",
    "capitals": "9ef9b426116735a8",
    "kth_smallest": "d59f657d17807fd1",
}
SUMS = ("arithmetic", "arithmetic_questions", "addition", "subtraction", "multiplication", "division", "three_operands")
TABLE = tuple(
    {"text": f"w{i} plus one is", "answer": f" w{i + 1}", "values": {"next": f"w{i + 1}", "odd": str(i % 2)}}
    for i in range(3, 43)
)


def drawn(of: Task, n: int = 40) -> list[Prompt]:
    return [p for split in SPLITS for p in of.prompts(min(n, of.capacity(split)), split) if of.capacity(split)]


def test_the_values_are_spans_then_the_answer_then_the_prompts_own() -> None:
    spans = {"a": (0, 2), "b": (4, 5), "answer": (4, 5)}
    prompt = Prompt(text="3 + 4 =", answer=" 7", key="k", spans=spans, values={"a": "three", "a+b": "7"})
    assert values_of(prompt) == {"a": "three", "b": "4", "answer": "7", "a+b": "7"}
    assert names_of([prompt, prompt.model_copy(update={"values": {}})]) == ["a", "b", "answer"]
    assert value_in_each([prompt, prompt], "b") == ["4", "4"]
    with pytest.raises(BadTask, match=r"1 of 2 prompts have no value 'c'\. Values .*: a, b, answer\."):
        value_in_each([prompt.model_copy(update={"values": {"c": "x"}}), prompt], "c")
    assert "answer" not in values_of(Prompt(text="Once", answer="", key="k", open=True))


def test_arithmetic_over_numbers_is_a_value_of_every_prompt() -> None:
    texts = {"a": "12", "b": "5", "name": "Ann", "x y": "3", "a+b": "17", "half": "2.5"}
    expected = {"a * b": "60", "a-b": "7", "(a + b) * 2": "34", "a // b": "2", "a % 10": "2", "max(a, b) - 1": "11"}
    assert {name: value_in(texts, name) for name in expected} == expected
    # A name counts before arithmetic, and blanks in it do not count.
    assert value_in({**texts, "a+b": "named"}, "a + b") == "named"
    assert [value_in(texts, name) for name in ("a / 7", "a + name", "3 + 4", "half + 1", "c", "a +")] == [None] * 6
    plain = [p.model_copy(update={"values": {}}) for p in drawn(task("three_operands"))]
    for prompt in plain:
        a, b, c = (int(prompt.text[slice(*prompt.spans[letter])]) for letter in "abc")
        assert value_in_each([prompt], "a + b") == [str(a + b)]
        assert value_in_each([prompt], "b * c - a") == [str(b * c - a)]
    with pytest.raises(BadTask, match=r"No prompt has value 'a \+ d': 'd' is not .* arithmetic .*, such as a \* b"):
        value_in_each(plain, "a + d")
    with pytest.raises(BadTask, match=r"prompts have no value 'a / 7': .* cannot be written as a number; use //"):
        value_in_each(plain, "a / 7")


@pytest.mark.parametrize(("name", "text"), [("a", " "), ("", "7"), ("answer", "7")])
def test_a_value_needs_a_name_and_a_text(name: str, text: str) -> None:
    with pytest.raises(ValidationError, match="value"):
        Prompt(text="3 + 4 =", answer=" 7", key="k", values={name: text})


@pytest.mark.parametrize("name", SUMS)
def test_what_a_value_is_called_is_how_it_is_computed(name: str) -> None:
    for prompt in drawn(task(name)):
        values = values_of(prompt)
        # The spans give the operands, as the prompt has them.
        numbers = {letter: int(prompt.text[slice(*prompt.spans[letter])]) for letter in "abc" if letter in prompt.spans}
        computed = [each for each in values if any(sign in each for sign in "+-*/")]
        assert len(computed) == 2 ** len(numbers) - 1 - len(numbers)
        for each in computed:
            assert eval(each, {}, dict(numbers)) == int(values[each]), each
        padded = values["answer"].rjust(3, "0")
        assert (values["ones"], values["tens"]) == (padded[-1], padded[-2])
        assert values.get("hundreds", padded[-3]) == padded[-3]
        if "carry" in values:
            tens = sum(number // 10 for number in numbers.values())
            assert 10 * (tens + int(values["carry"])) + int(values["ones"]) == int(values["answer"])
        if "borrow" in values:
            assert (int(values["borrow"]) == 1) == (numbers["a"] // 10 - numbers["b"] // 10 != int(padded) // 10)


def test_a_chain_of_steps_names_what_it_reaches() -> None:
    for prompt in drawn(task("multi_step")):
        v = values_of(prompt)
        assert eval(f"{v['a']} {v['operator_1']} {v['b']}") == int(v["halfway"])
        assert eval(f"{v['halfway']} {v['operator_2']} {v['c']}") == int(v["answer"])
    for prompt in drawn(task("gsm8k")):
        steps = [value for name, value in values_of(prompt).items() if name.startswith("step_")]
        assert len(steps) > 1
        assert steps[-1] == values_of(prompt)["answer"]


def test_facts_and_names_have_the_values_of_their_field() -> None:
    for prompt in drawn(task("ioi")):
        v = values_of(prompt)
        assert (v["io"], v["s"], v["s"]) == (prompt.answer.strip(), v["s1"], v["s2"])
        assert (v["order"] == "ABBA") == (prompt.spans["io"] < prompt.spans["s1"])
    assert {p.text: values_of(p)["city"] for p in drawn(task("capitals"), 150)}["The capital of France is"] == "Paris"
    pairs = {"languages": "language", "continents": "continent", "cities": "country", "authors": "author"}
    for name, of in {**pairs, "elements": "symbol", "years": "year", "successor": "after"}.items():
        assert all(values_of(p)[of] == p.answer.strip() for p in drawn(task(name))), name
    for prompt in drawn(task("greater_than")):
        v = values_of(prompt)
        assert v["whole_year"] == v["century"] + v["year"] in prompt.text
    for prompt in drawn(task("json_closing")):
        v = values_of(prompt)
        assert int(v["depth"]) == len(v["brackets"]) == len(v["answer"])


@pytest.mark.parametrize("name", PRINTS)
def test_values_change_no_fingerprint_of_our_tasks(name: str) -> None:
    assert task(name).fingerprint().startswith(PRINTS[name])
    # They are there, so this test can fail.
    assert next(iter(drawn(task(name)))).values


def test_every_family_has_values() -> None:
    for each in tasks().values():
        if each.group != "small sets":
            assert all(p.values for p in drawn(each, 4)), each.name


def test_values_survive_a_file_and_what_is_done_to_a_task(tmp_path: Path) -> None:
    mine = from_jsonl("mine", "\n".join(map(json.dumps, TABLE)))
    wanted = {line["text"]: values_of(Prompt(key="k", **line)) for line in TABLE}

    def kept(of: Task) -> bool:
        return all(p.values and values_of(p) == wanted[p.text] for p in drawn(of))

    assert kept(mine)
    assert mine.content is not None
    again = from_jsonl("mine", mine.content)
    assert kept(again)
    assert again.fingerprint() == mine.fingerprint()
    other = from_jsonl("mine", mine.content.replace('"odd": "1"', '"odd": "yes"', 1))
    assert other.fingerprint() != mine.fingerprint()
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "answer", "values"])
        rows.writerows([line["text"], line["answer"], json.dumps(line["values"])] for line in TABLE)
    assert kept(from_file(tmp_path / "mine.csv"))
    assert kept(OwnTask([OwnPrompt(**line) for line in TABLE]))
    assert kept(without_prompts(mine, 4, "explore", 0))
    # A shuffled answer does not change what the text is about.
    assert all({**p.values, "answer": wanted[p.text]["answer"]} == wanted[p.text] for p in drawn(shuffled(mine)))
    subject = chatty()
    for asked, plain in zip(
        drawn(inside(template(subject.name, subject.tokenizer, None), mine)), drawn(mine), strict=True
    ):
        assert asked.text != plain.text
        assert values_of(asked) == values_of(plain)
    prompt = drawn(mine)[0]
    assert with_text(prompt, "w9 plus one is").values == {}
    assert make_batch(tiny_tokenizer(), [prompt])


def test_a_slot_is_a_value_even_if_the_text_does_not_show_it() -> None:
    names = [f"w{i}" for i in range(3, 43)]
    after = [f"w{i}" for i in range(44, 84)]
    slots = [{"name": "thing", "values": names}, {"name": "colour", "values": after}]
    form = {"text": "{thing} w90", "slots": slots, "answer_is": "text", "answer": " {colour}", "paired": True}
    card = {"name": "colours", "title": "Colours", "description": "Colours.", "answer_kind": "word"}
    task_made = made(Draft.model_validate({**card, "templates": [form]}), tiny_tokenizer(), set())
    pairs = dict(zip(names, after, strict=True))
    for prompt in drawn(task_made):
        assert pairs[values_of(prompt)["thing"]] == values_of(prompt)["colour"] == values_of(prompt)["answer"]


def test_the_tool_and_the_card_name_the_values(tmp_path: Path) -> None:
    card = catalog.show_task(task("three_operands"), 2)
    prompts = task("three_operands").prompts(2)
    assert [example["values"] for example in card["examples"]] == [values_of(p) for p in prompts]
    with Context.open(tmp_path / "t.db") as context:
        text, _ = show_task(context, ShowTask(task="three_operands"))
    assert f'a+b = "{values_of(prompts[0])["a+b"]}"' in text
