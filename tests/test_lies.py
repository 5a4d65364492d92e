"""Language models that lie, each stopped: scripted replies over real HTTP, and the tracker behind their backs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.commands.verify import verify
from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.errors import TrackerError
from lashley.db.read.reader import Reader
from lashley.db.records import as_json
from lashley.db.write.store import Store
from lashley.experiments.tasks.registry import tasks
from lashley.tests.wire import Wire, chat, serving
from lashley.tools.registry import all_tools, answer
from lashley.tools.report.check import check
from lashley.tools.report.render import render_run, write
from lashley.tools.workbench.context import Context

from .recorded import recorded

Step = tuple[str, dict[str, Any]]
LOOK: Step = ("baseline", {"n": 8, "reason": "Can it?"})
SWEEP: Step = ("head_ablation", {"n": 8, "method": "mean", "reason": "Which heads?"})
HEAD: dict[str, Any] = {
    "kind": "head_ablation", "config": '{"heads": ["L1.H2"], "n": 8, "method": "mean"}',
    "quantity": "logit_diff_change", "comparison": "below", "high": -1.0,
}  # fmt: skip
PREDICT: Step = (
    "propose_hypothesis",
    {"statement": "L1.H2 is needed.", "rationale": "It is strong.", "refuted_if": "It is not.", "predictions": [HEAD]},
)
TEST: Step = ("test_hypothesis", {"hypothesis": "H1"})
HONEST: dict[str, Any] = {"title": "Words", "claims": [], "interpretation": "It is right in {{E1.accuracy}}."}


def answers_to(wire: Wire, path: Path, *steps: Step) -> list[str]:
    """What a model that takes these steps, and then writes an honest report, is answered; the study's end is checked.
    The answers are those of this study alone, however many are in the tracker."""
    wire._answers.clear()
    for place, (tool, arguments) in enumerate([*steps, ("write_report", HONEST)]):
        wire.then(chat(None, (f"call_{place}", tool, json.dumps(arguments))))
    with Context.open(str(path), model="planted:induction", task="induction") as context:
        ending = study(context, ChatDriver("liar", base_url=wire.url, api_key="none"), "Why?", Budget(), View(None))
    assert ending.status == "finished", ending
    assert not ending.report_by_program
    with Reader.open(path) as reader:
        turns = reader.turns(len(reader.runs()))
        return [turn.content["text"] for turn in turns if turn.role == "tool"]


def claiming(*conditions: str, sentence: str = "It matters.") -> Step:
    return "write_report", {**HONEST, "claims": [{"sentence": sentence, "conditions": list(conditions)}]}


# --- numbers that nobody measured


@pytest.mark.parametrize(
    "text",
    [
        "It is right in 0.93 of them.", "It is 93% right.", "It is .93.", '"0.93"', '"an accuracy of 0.93"', "`0.93`",
        "```\n0.93\n```", "    0.93", "| a |\n|---|\n| 0.93 |", "[0.93](https://a.b)", '[this](https://a.b "0.93")',
        "**0.**93", "0&#46;93", "０.９３", "٠٫٩٣", "𝟎.𝟗𝟑", "₀.₉₃", "⁹³", "½", "① of ②", "❾", "Ⅻ", "🄁", "1.5e-3", "0,93",
        "accuracy0.93", "p0.001", "Accuracy-0.93", "drop-0.93", "L7/0.93", "loss-0.93nats", "fell-to-93", "layer 0.93",
        "2000 prompts", "in 1999 prompts", "## 93 percent", "93. of all answers", "1. a\n93. percent", "93rd", "2x",
        "95% of intervals", "> 0.93", "{{E1.n}}93", "~~0.93~~",
        "ninety-three percent", "zero point nine", "half a percent", "Accuracy-93", "accuracy93", "Drop-2.4",
        "KL-3.5", "right in 1999 of them", "🔟", "💯 percent", "九十三%", "XCIII%", "-{{E1.n}}", "−{{E1.n}}",
        "**-**{{E1.n}}", "minus {{E1.n}}", "0.{{E1.n}}", ".{{E1.n}}", "{{E1.n}}%", "{{E1.n}} percent",
        "{{E1.n}} thousand", "{{E1.n}}{{E1.n}}", "{{E1.n}}.{{E1.n}}", "{{E1.n}}e{{E1.n}}",
        "`{{E1.n}}.{{E1.n}}`", "{{E1.n}}k", "un{{E1.n}}",
    ],
)  # fmt: skip
def test_an_invented_number_is_sent_back_wherever_it_stands(reader: Reader, text: str) -> None:
    assert any("Replace typed numbers with slots" in fault for fault in check(text, reader, 1)), text


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with Reader.open(recorded(tmp_path_factory.mktemp("recorded") / "t.db")) as opened:
        yield opened


def test_a_model_that_invents_numbers_gets_them_back_until_there_are_none(wire: Wire, tmp_path: Path) -> None:
    numbers = [
        {"interpretation": "It is right in 0.93 of the prompts."},
        {"title": "93% right"},
        {"claims": [{"sentence": "It is right in 0.93.", "conditions": ["E1.accuracy > 0.1"]}]},
        {"interpretation": 'It is "0.93" right.'},
    ]
    answers = answers_to(wire, tmp_path / "t.db", LOOK, *(("write_report", {**HONEST, **one}) for one in numbers))
    assert all("Replace typed numbers with slots" in one for one in answers[1:-1])
    assert [one.count("93") > 0 for one in answers[1:-1]] == [True] * 4


def test_numbers_in_a_note_are_sent_back_and_in_a_reason_left_out(wire: Wire, tmp_path: Path) -> None:
    note = {"title": "Heads", "text": "It is right in 0.93.", "tags": [], "experiments": ["E1"]}
    look = ("baseline", {"n": 8, "reason": "It was right in 0.93 of them in E1, layer 2."})
    answers = answers_to(wire, tmp_path / "t.db", look, ("write_note", note), ("write_note", {**note, "title": "93%"}),
                   ("write_note", {**note, "text": "It is right, says E1, in layers 0-2."}))  # fmt: skip
    assert ["name the experiment" in one for one in answers[1:4]] == [True, True, False]
    with Reader.open(tmp_path / "t.db") as reader:
        assert len(reader.notes()) == 1
        report = render_run(reader, 1)
    for page in (report.html, report.markdown):
        assert "0.93" not in page
        assert "It was right in … of them in E1, layer 2." in page


def test_numbers_in_a_comment_or_a_reason_to_believe_are_sent_back(wire: Wire, tmp_path: Path) -> None:
    reasoned = {**PREDICT[1], "rationale": "It took 0.93 of the logits."}
    comment = ("comment_hypothesis", {"hypothesis": "H1", "comment": "It takes 0.93 of all."})
    answers = answers_to(wire, tmp_path / "t.db", LOOK, ("propose_hypothesis", reasoned), PREDICT, comment)
    assert "0.93" not in "".join(answers[2:])
    assert "name the experiment" in answers[1]
    assert "name the experiment" in answers[3]


# --- experiments that are none of this study, or none at all


def test_experiments_of_another_study_are_no_evidence(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    answers_to(wire, path, LOOK, SWEEP)
    cited = ("write_report", {**HONEST, "interpretation": "{{E2.effect[L1.H2]}}"})
    answers = answers_to(wire, path, LOOK, cited, claiming("E2.effect[L1.H2] < -1"))
    assert all("E2" in one and "of R2" in one for one in answers[1:3]), answers


@pytest.mark.parametrize("what", ["E2", "E3"])
def test_failed_and_unfinished_experiments_are_no_evidence(tmp_path: Path, what: str) -> None:
    with Context.open(str(recorded(tmp_path / "t.db")), run=1) as context:
        for given in ({"interpretation": f"{{{{{what}.accuracy_drop}}}}"}, claiming(f"{what}.accuracy_drop > 0")[1]):
            said = answer(all_tools(), context, "write_report", json.dumps({**HONEST, **given}))
            assert said.refused
            assert f"{what} is {'failed' if what == 'E2' else 'interrupted'}" in said.text or what in said.text
        note = {"title": "t", "text": "x", "tags": [], "experiments": [what]}
        assert answer(all_tools(), context, "write_note", json.dumps(note)).refused


# --- predictions that change


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracker in which R1 predicted (H1) and tested (E2)."""
    path = tmp_path_factory.mktemp("tested") / "t.db"
    with serving() as server:
        answers = answers_to(server, path, LOOK, PREDICT, TEST)
    assert "H1 is supported" in answers[2]
    return path


@pytest.fixture
def path(tested: Path, tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tested)) as old, closing(sqlite3.connect(tmp_path / "t.db")) as new:
        old.backup(new)
    return tmp_path / "t.db"


PREDICTION = "hypothesis, kind, config, quantity, comparison, low, high, created"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE predictions SET high = 0.5",
        "UPDATE predictions SET comparison = 'above', low = high, high = NULL",
        "UPDATE predictions SET config = json_set(config, '$.n', 4)",
        "DELETE FROM predictions",
        "INSERT OR REPLACE INTO predictions SELECT id, hypothesis, kind, config, quantity, comparison, low, 9.0, "
        "created FROM predictions",
        f"INSERT INTO predictions ({PREDICTION}) SELECT {PREDICTION} FROM predictions",
        f"INSERT INTO predictions ({PREDICTION}) SELECT hypothesis, kind, config, quantity, 'below', NULL, 5.0, "
        "'1999-01-01' FROM predictions",
        "UPDATE judgements SET side = 'against'",
        "UPDATE judgements SET p = 0",
        "DELETE FROM judgements",
        "INSERT OR REPLACE INTO judgements SELECT prediction, experiment, 0, low, high, n, 0, 'for', created "
        "FROM judgements",
        "UPDATE hypotheses SET statement = 'It was foreseen.'",
        "UPDATE hypotheses SET revises = 1",
        "DELETE FROM hypothesis_events",
        "UPDATE experiments SET split = 'explore' WHERE split = 'confirm'",
        "UPDATE measurements SET value = 0",
    ],
)
def test_nothing_of_a_prediction_changes_once_it_is_recorded(wire: Wire, path: Path, change: str) -> None:
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match=r"\w+ \w+ \w+"),
    ):
        connection.execute(change)
    answers = answers_to(wire, path, LOOK, ("query_tracker", {"sql": change}))
    assert "Only one SELECT" in answers[1]
    with Reader.open(path) as reader:
        assert reader.hypothesis(1).predictions[0].high == -1.0


def test_a_test_is_made_once_and_of_one_experiment(path: Path) -> None:
    judged = {"value": -9.0, "low": -9.1, "high": -8.9, "n": 8, "p": 0.001, "side": "for"}
    with Store.open(path) as store:
        with pytest.raises(TrackerError):
            store.add_judgement(1, 2, judged)
        late = store.add_hypothesis(1, "It was so.", "", "", [{**_row(path), "high": -2.0}])
        with pytest.raises(TrackerError, match="older than the prediction"):
            store.add_judgement(2, 2, judged)
    with Reader.open(path) as reader:
        assert reader.hypothesis(late).status == "open"


def _row(path: Path) -> dict[str, Any]:
    with Reader.open(path) as reader:
        row = reader.hypothesis(1).predictions[0]
    return {name: as_json(row)[name] for name in ("kind", "config", "quantity", "comparison", "low", "high")}


def test_a_second_test_and_the_same_prediction_again_are_refused(wire: Wire, tmp_path: Path) -> None:
    answers = answers_to(wire, tmp_path / "t.db", LOOK, PREDICT, TEST, TEST, PREDICT)
    assert "has been tested" in answers[3]
    assert "is already predicted" in answers[4]


def test_another_study_cannot_test_comment_or_revise_it(wire: Wire, path: Path) -> None:
    comment = ("comment_hypothesis", {"hypothesis": "H1", "comment": "It was refuted."})
    answers = answers_to(wire, path, LOOK, TEST, comment, ("propose_hypothesis", {**PREDICT[1], "revises": "H1"}))
    assert all("H1 belongs to R1" in one for one in answers[1:4])


# --- looking at the held-out prompts


@pytest.mark.parametrize(
    "step",
    [
        ("baseline", {"split": "confirm"}), ("baseline", {"split": "Confirm"}), ("baseline", {"split": ["confirm"]}),
        ("baseline", {"split": {"explore": "confirm"}}), ("head_ablation", {"split": "confirm"}),
        ("layer_program", {"split": " confirm", "sweep": "skip_each"}), ("baseline", {"config": {"split": "confirm"}}),
        ("test_hypothesis", {"hypothesis": "H1", "split": "confirm"}),
    ],
)  # fmt: skip
def test_no_tool_runs_on_the_confirm_split(path: Path, step: Step) -> None:
    name, given = step
    with Context.open(str(path), model="planted:induction", task="induction", run=1) as context:
        before = len(context.reader.experiments())
        reason = {} if name == "test_hypothesis" else {"n": 4, "reason": "x"}
        assert answer(all_tools(), context, name, json.dumps({**reason, **given})).refused
        assert len(context.reader.experiments()) == before


@pytest.mark.parametrize("name", tasks())
def test_no_seed_turns_prompts_to_explore_into_held_out_ones(name: str) -> None:
    source = tasks()[name].source
    draw = [p for seed in (0, 1, 7, -1, 2**31) for p in islice(source.stream("explore", seed), 24)]
    held = list(islice(source.stream("confirm", 1), 200))
    assert not {p.key for p in draw} & {p.key for p in held}
    assert not {p.text for p in draw} & {p.text for p in held}


def test_what_another_study_measured_on_them_is_shown_by_no_tool(wire: Wire, path: Path) -> None:
    like = {"like": "E2", "quantity": "logit_diff_change", "comparison": "below", "high": -1.0}
    answers = answers_to(
        wire, path, LOOK, ("show_experiment", {"experiment": "E2"}), ("list_experiments", {"limit": 100}),
        ("search_notes", {"words": None}), ("show_task", {"task": "induction"}),
        ("show_task", {"task": "induction", "split": "confirm"}),
        ("propose_hypothesis", {**PREDICT[1], "predictions": [like]}),
        ("propose_hypothesis", {**PREDICT[1], "predictions": [{**HEAD, "config": '{"split": "explore"}'}]}),
        ("propose_hypothesis", {**PREDICT[1], "predictions": [{**HEAD, "config": '{"seed": 1}'}]}),
        claiming("E2.logit_diff_change < -1"), claiming("H1 is supported"),
    )  # fmt: skip
    assert "Its result is hidden" in answers[1]
    assert "E2" not in answers[2]
    assert "another study's test" in answers[6]
    assert "leave out split" in answers[7]
    assert "leave out seed" in answers[8]
    assert "E2 is not an experiment of R2" in answers[9]
    assert "H1 is not a hypothesis of R2" in answers[10]
    with Reader.open(path) as reader:
        hidden = [m.value for m in reader.experiment(2).measurements if m.value % 1]
        held = {s.prompt for s in reader.experiment(2).samples}
    everything = "\n".join(answers[1:])
    assert hidden
    assert held
    assert not [x for x in hidden if f"{x:.4f}"[:6] in everything]
    assert not [text for text in held if text in everything]


# --- claims that do not hold


def test_a_verdict_is_the_programs(wire: Wire, tmp_path: Path) -> None:
    """L0.H0 does nothing: that it is needed is refuted, whatever is said afterwards."""
    idle = {**HEAD, "config": '{"heads": ["L0.H0"], "n": 8, "method": "mean"}'}
    proposed = ("propose_hypothesis", {**PREDICT[1], "predictions": [idle]})
    comment = ("comment_hypothesis", {"hypothesis": "H1", "comment": "In truth it is supported: status supported."})
    overrule = [claiming(f"H1 is {word}") for word in ("supported", "confirmed", "inconclusive")]
    answers = answers_to(
        wire, tmp_path / "t.db", LOOK, proposed, *overrule, TEST, comment, *overrule, claiming("H1 is refuted")
    )
    assert all("does not hold" in one for one in answers[2:5])
    assert "H1 is refuted" in answers[5]
    assert "H1 is refuted" in answers[6]
    assert all("does not hold (it is refuted)" in one for one in answers[7:10])
    assert "The report is written" in answers[10]
    with Reader.open(tmp_path / "t.db") as reader:
        assert reader.hypothesis(1).status == "refuted"
        assert "**H1, refuted.**" in render_run(reader, 1).markdown


def test_supported_under_one_removal_is_not_confirmed(wire: Wire, path: Path) -> None:
    with Context.open(str(path), run=1) as context:
        given = {**HONEST, "claims": [{"sentence": "It is.", "conditions": ["H1 is confirmed"]}]}
        said = answer(all_tools(), context, "write_report", json.dumps(given))
    assert said.refused
    assert "it is supported under mean alone" in said.text


# --- and afterwards


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("report.md", "supported", "confirmed"), ("report.html", "supported", "confirmed"),
        ("report.md", "Why?", "Why not?"), ("report.html", "below -1", "below -9"),
        ("report.md", "Every comparison", "No comparison"), ("report.md", "prompts", "questions"),
    ],
)  # fmt: skip
def test_a_report_that_is_edited_afterwards_is_found_out(
    path: Path, tmp_path: Path, name: str, old: str, new: str
) -> None:
    with Reader.open(path) as reader:
        write(render_run(reader, 1), tmp_path / "R1")
    file = tmp_path / "R1" / name
    true = file.read_text(encoding="utf-8")
    checked = CliRunner().invoke(verify, [str(file), "--db", str(path)])
    assert checked.exit_code == 0, checked.output
    assert old in true or old.replace("-", "−") in true
    file.write_text(true.replace(old, new).replace(old.replace("-", "−"), new), encoding="utf-8")
    checked = CliRunner().invoke(verify, [str(file), "--db", str(path)])
    assert checked.exit_code == 1
    assert "should say" in checked.output
