"""What a study asks is registered before its first experiment, frozen, and answered at the head of its report."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.experiments.planted.truth import WORDS
from lashley.tests.forked import agent
from lashley.tests.studies import Scripted
from lashley.tools.claims.answers import answer_data, answers
from lashley.tools.claims.call import TypedClaim
from lashley.tools.claims.claim import CannotClaim
from lashley.tools.claims.mentions import mentions
from lashley.tools.claims.question import question_from, questions_of_goal, read_question
from lashley.tools.claims.registry import ASKED, OURS, claim_types
from lashley.tools.report.beside import annotated, feigned, found_in
from lashley.tools.report.numbers import value_text
from lashley.tools.report.render import render_run
from lashley.tools.report.study import read_study
from lashley.tools.workbench.context import Context

LOOK = {"n": 16, "reason": "Look."}
REPORT = {"title": "T", "claims": [], "interpretation": "It was looked at."}


def asked(path: Path, goal: str, protocol: Any, llm: str = "writer") -> None:
    driver = Scripted(protocol)
    driver.llm = llm
    with Context.open(str(path), model="planted:induction", task="induction") as context:
        assert study(context, driver, goal, Budget(), View(None), n=16).status == "finished"


def front(path: Path) -> str:
    with Reader.open(path) as reader:
        return render_run(reader, 1).markdown.split("## Findings")[0].replace("\\", "")


@pytest.mark.parametrize(
    ("goal", "questions"),
    [
        ("Is head L5.H3 important for indirect objects?", ["Does ioi need head L5.H3?"]),
        (
            "Show that heads 2 and 3 of layer 1 do not matter",
            ["Does ioi need head L1.H2?", "Does ioi need head L1.H3?"],
        ),
        ("Show that middle layers do not matter", ["Which layers does ioi need?"]),
        ("Which heads does this model use to add?", ["Which heads does ioi need?"]),
        ("Which layers and heads does it need?", ["Which layers does ioi need?", "Which heads does ioi need?"]),
        ("How does it work?", ["Which parts does ioi need?"]),
        ("Does it need the MLP of layer 3, or layer 7?", ["Does ioi need MLP L3.mlp?", "Does ioi need layer 7?"]),
    ],
)
def test_the_program_reads_a_goal_as_neutral_questions(goal: str, questions: list[str]) -> None:
    found = questions_of_goal(goal, "ioi")
    assert [one.text for one in found] == questions
    assert [read_question(one.data()).text for one in found] == questions


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("L7.H3, L7H4 and l7.h5", ["L7.H3", "L7.H4", "L7.H5"]),
        ("heads 3, 4 and 5 of layer 7", ["L7.H3", "L7.H4", "L7.H5"]),
        ("layer 7's head 3", ["L7.H3"]), ("head 7.3, head (7, 4)", ["L7.H3", "L7.H4"]), ("layers 3 to 20", []),
        ("layers 3 and 9; block two", ["L3", "L9", "L2"]), ("layer one by one", []),
        ("L3.mlp, MLP 4", ["L3.mlp", "L4.mlp"]),
        ("Which heads add 3 and 5?", []), ("E5.effect[L7.H3] and H1", ["L7.H3"]),
    ],
)  # fmt: skip
def test_the_parts_that_a_text_names(text: str, parts: list[str]) -> None:
    assert mentions(text) == parts


def test_every_type_that_can_be_asked_openly_says_so_in_words() -> None:
    for name, kind in claim_types().items():
        at = {"role": "name mover", "scores": "copying"}.get(name, "answer" if "at" in kind.model_fields else None)
        given = TypedClaim(type=name, at=at)
        if "parts" not in kind.model_fields:
            continue
        if not kind.which:
            with pytest.raises(CannotClaim):
                question_from(given, "heads", "ioi")
            continue
        said = question_from(given, "heads", "ioi").text
        assert said.endswith("?")
        assert "{" not in said
        if at is not None:
            with pytest.raises(CannotClaim, match="at: "):
                question_from(given.model_copy(update={"at": f"{at}, which it needs"}), "heads", "ioi")


def test_a_study_registers_its_questions_first_and_answers_them(tmp_path: Path) -> None:
    path, refused = tmp_path / "t.db", dict[str, str]()

    def protocol(data: Data) -> Protocol:
        for wrong in (
            {"type": "ned"}, {"type": "needed", "parts": ["L9.H0"]}, {"type": "needed", "parts": ["L0.H9"]},
            {"type": "needed", "parts": ["head 3"]}, {"type": "behaves", "parts": ["L0.H1"]}, {"type": "attends"},
            {"type": "needed", "task": "nothing"}, {"type": "needed_within"},
        ):  # fmt: skip
            found = yield "", "register_questions", {"questions": [wrong]}
            refused[str(wrong)] = found["text"]
        found = yield "", "register_questions", {"questions": [{"type": "spare", "among": "heads"}]}
        assert "Which heads can induction spare?" in found["text"]
        assert "Does induction need head L1.H0? (the goal names it)" in found["text"]
        found = yield "", "register_questions", {"questions": [{"type": "does"}]}
        refused["again"] = found["text"]
        yield "", "baseline", LOOK
        yield "", "head_ablation", {**LOOK, "method": "mean"}
        yield "", "write_report", REPORT

    asked(path, "Show that L1.H0 does everything", protocol)
    assert len(refused) == 9
    for text, words in zip(
        refused.values(),
        ("no type of claim", "no layer 9", "L0.H9", "names no part", "there is none yet", "say at what", "nothing",
         "name the parts", "has already registered its questions"),
        strict=True,
    ):  # fmt: skip
        assert words in text
        _, _, left = text.partition("\n")
        assert left == "(Left: 40 of 40 experiments.)"
    with Reader.open(path) as reader:
        rows = reader.run(1).questions
        assert [(one.text, one.origin) for one in rows] == [
            ("Does induction need head L1.H0?", "goal"), ("Which heads can induction spare?", "driver"),
        ]  # fmt: skip
        found = found_in(read_study(reader, 1))
    said = front(path)
    assert "**Which heads can induction spare?** No held-out test was made of any head in induction" in said
    assert "**Does induction need head L1.H0?** It seems not. Head L1.H0 does not look needed for induction" in said
    assert ("L1.H0",) in [one.claim.about for one in found]
    shown = agent(tmp_path, "findings", "R1", "--json", "--db", str(path))
    answers = json.loads(shown.stdout)["answers"]
    assert [one["asked"] for one in answers] == ["before the first experiment"] * 2
    assert "these did the most damage" in answers[1]["text"]
    assert "Does induction need head L1.H0?" in agent(tmp_path, "show", "R1", "--db", str(path)).stdout
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="stays as it was"):
        connection.execute("UPDATE questions SET text = 'Is it so?'")


LISTS = [list(WORDS[start : start + 50]) for start in range(4)]
MADE = {
    "name": "echo", "title": "Echo", "description": "Continues a list.", "answer_kind": "word",
    "answer_in_prompt": True, "templates": [
        {"text": " {a} {b} {c} {d} {a}", "answer_is": "text", "answer": " {b}", "distractor": " {c}", "paired": True,
         "slots": [{"name": name, "values": values} for name, values in zip("abcd", LISTS, strict=True)]}
    ],
}  # fmt: skip


def test_a_task_made_later_has_its_own_questions_and_answers(tmp_path: Path) -> None:
    path, answered = tmp_path / "t.db", dict[int, str]()

    def protocol(data: Data) -> Protocol:
        yield "", "register_questions", {"questions": [{"type": "needed", "among": "heads"}]}
        yield "", "baseline", LOOK
        made = yield "", "create_task", MADE
        assert made["text"].startswith("The task echo is ready"), made["text"]
        for place, questions in enumerate((
            [{"type": "needed", "task": "echo", "parts": ["L1.H2"]}, {"type": "does", "task": "induction"}],
            [{"type": "needed", "task": "echo", "parts": ["L1.H2"]},
             {"type": "decodable", "task": "echo", "value": "nothing"}],
            [{"type": "needed", "task": "echo", "parts": ["L1.H2"]},
             {"type": "decodable", "task": "echo", "value": "b", "at": "nowhere"}],
            [{"type": "needed", "task": "echo", "parts": ["L1.H2"]},
             {"type": "decodable", "task": "echo", "value": "b", "at": "last"}],
            [{"type": "needed", "task": "echo", "parts": ["L0.H1"]}],
        ), start=1):  # fmt: skip
            answered[place] = (yield "", "register_questions", {"questions": questions})["text"]
        echo = {**LOOK, "task": "echo"}
        yield "", "baseline", echo
        yield "", "head_ablation", {**echo, "method": "mean"}
        yield "", "logit_lens", {**echo, "value": "b", "position": "last"}
        yield "", "write_report", {**REPORT, "findings": [
            {"type": "decodable", "task": "echo", "parts": ["L1"], "value": "b", "at": "last"}]}  # fmt: skip

    asked(path, "Which heads?", protocol)
    assert "they are frozen" in answered[1]
    assert "No prompt has value 'nothing'" in answered[2]
    assert "the position 'nowhere'" in answered[3]
    assert "After which layer can the value b of echo at last be read?" in answered[4]
    # Registered once, like any question.
    assert "they are frozen" in answered[5]
    with Reader.open(path) as reader:
        study = read_study(reader, 1)
        said = [answer_data(one, study) for one in answers(study, found_in(study))]
    assert [(one["question"], one["asked"]) for one in said[:3]] == [
        ("Which heads does induction need?", "before the first experiment"),
        ("Does echo need head L1.H2?", "after 1 experiment"),
        ("After which layer can the value b of echo at last be read?", "after 1 experiment"),
    ]
    assert said[1]["text"].startswith("It seems so. Head L1.H2 looks needed for echo")
    # An open question about a lens is answered by the claim.
    assert "A lens reads the value b of echo at last after layer 1 (seen while exploring" in said[2]["text"]


def test_a_task_that_no_question_names_is_answered_for(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    def protocol(data: Data) -> Protocol:
        yield "", "register_questions", {"questions": [{"type": "does"}]}
        made = yield "", "create_task", MADE
        assert made["text"].startswith("The task echo is ready"), made["text"]
        echo = {**LOOK, "task": "echo"}
        yield "", "baseline", echo
        yield "", "head_ablation", {**echo, "method": "mean"}
        yield "", "logit_lens", echo
        yield "", "write_report", {**REPORT, "findings": [{"type": "decodable", "task": "echo", "parts": ["L1"]}]}

    asked(path, "Which heads?", protocol)
    with Reader.open(path) as reader:
        study = read_study(reader, 1)
        said = [answer_data(one, study) for one in answers(study, found_in(study))]
    about = next(one for one in said if one["question"] == "What was found on echo?")
    assert about["asked"].startswith("by the program, because")
    assert "removed each of 8 heads (mean)" in about["text"]
    assert "the answer of echo after layer 1" in about["text"]
    assert "Asked by the program, because" in front(path)
    # The run table names the tasks that the study used, not its default.
    assert "| R1 | planted:induction | echo |" in front(path)
    shown = agent(tmp_path, "show", "R1", "--db", str(path)).stdout
    assert re.search(r"on\s+planted:induction · echo\b", shown), shown[:400]


def test_the_answer_names_the_strongest_parts_that_the_writer_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    def protocol(data: Data) -> Protocol:
        yield "", "register_questions", {"questions": [{"type": "needed", "parts": ["L1.H0"]}]}
        yield "", "baseline", LOOK
        yield "", "head_ablation", {**LOOK, "method": "mean"}
        yield "", "head_ablation", {**LOOK, "method": "zero", "heads": ["L0.H1"]}
        found = {**REPORT, "findings": [{"type": "needed", "parts": ["L1.H0"]}]}
        yield "", "write_report", found

    asked(path, "Show that L1.H0 does everything", protocol)
    with Reader.open(path) as reader:
        study = read_study(reader, 1)
        closed, always = answers(study, found_in(study))
        values = {e.site: e for e in reader.experiment(2).effects if e.metric == "logit_diff"}
    assert closed.question == "Does induction need head L1.H0?"
    assert not any("L1.H2" in one for one in closed.sentences)
    # By the mean, although zero was also tried and seen: the heads that were planted, and no other.
    names, left_out = always.sentences
    assert names.startswith(
        "Of 8 heads removed one at a time, these did the most damage, by the change of logit_diff: "
    )
    order = sorted(("L0.H1", "L1.H2"), key=lambda head: values[head].value)
    for head in order:
        text = value_text(values[head].value, values[head].low, values[head].high, unit="logits", n=values[head].n)
        assert f"head {head} ({text}, mean, E2; seen while exploring)" in names
    assert re.findall(r"L\d\.H\d", names) == order
    assert left_out == (
        "The study's goal, its registered questions and its writer name none of these: heads L0.H1 and L1.H2."
    )
    assert "Asked by the program, of every study" in front(path)


def test_where_the_driver_asks_nothing_the_goal_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    def protocol(data: Data) -> Protocol:
        yield "", "baseline", LOOK
        found = yield "", "register_questions", {"questions": [{"type": "does"}]}
        assert (
            "has already registered its questions, and they are frozen: Does induction need head L1.H2?"
            in found["text"]
        )
        yield "", "write_report", REPORT

    asked(path, "Is head 2 of layer 1 important?", protocol)
    assert "**Does induction need head L1.H2?** Not tested. Whether head L1.H2 is needed" in front(path)


def test_below_what_a_model_wrote_of_a_part_stands_the_verdict_on_it(tmp_path: Path) -> None:
    path, sent_back = tmp_path / "t.db", dict[str, str]()

    def protocol(data: Data) -> Protocol:
        yield "", "baseline", LOOK
        yield "", "head_ablation", {**LOOK, "method": "mean"}
        for wrong in (
            "The head L1.H9 does it.",
            "The second layer does it.",
            "Fine.\n\n> *The program:* L1.H0 is needed.",
        ):
            found = yield "", "write_report", {**REPORT, "interpretation": wrong}
            sent_back[wrong] = found["text"]
        text = "Head L1.H0 does all of it.\n\n## Why\n\nNo part is named here.\n\n- Layer 0 is another.\n"
        yield "", "write_report", {**REPORT, "interpretation": text}

    asked(path, "Which heads continue a list?", protocol)
    not_there, counted, feigns = sent_back.values()
    assert "'second layer': layers and heads count from 0" in counted
    assert "The model has no L1.H9" in not_there
    assert "Only the program begins a line with" in feigns
    with Reader.open(path) as reader:
        report = render_run(reader, 1)
        found = found_in(read_study(reader, 1))
    reading = report.markdown.split("## The writer's reading")[1].split("## How to read")[0].replace("\\", "")
    first = "> *The program:* Head L1.H0 does not look needed for induction (not tested on held-out prompts)."
    assert reading.index("does all of it.") < reading.index(first) < reading.index("### Why")
    assert "Whether layer 0 is needed for induction was not tested." in reading
    assert reading.count("*The program:*") == 2
    assert "Head L1.H0 does not look needed" in report.html.split('id="interpretation"')[1]
    # What a writer names is judged, so it stands among the findings.
    assert {("L1.H0",), ("L0",)} <= {one.claim.about for one in found}
    assert annotated("Nothing is named.\n", found) == "Nothing is named.\n"
    assert feigned("The program: it is so")
    assert not feigned("As the program: says")


def test_what_can_be_asked_is_what_is_about_no_experiment() -> None:
    ours = {name: claim_types()[name] for name in OURS}
    assert [name for name, one in ours.items() if "of" not in one.model_fields] == list(ASKED)
