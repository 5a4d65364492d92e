"""Second opinions: what a reviewer is told, what it cannot read, what its verdicts need, and what the reports show."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.autopilot.driver import Autopilot
from lashley.agent.commands.verify import verify
from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import Driver, Message, Reply, ToolSpec
from lashley.agent.live import View
from lashley.agent.main import cli
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import Ending, study
from lashley.agent.study.review import second_opinion
from lashley.db.read.reader import Reader
from lashley.db.records import as_json
from lashley.db.write.store import Store
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.result import Effect, Measurement, Result
from lashley.tests.studies import Scripted
from lashley.tests.wire import Wire, chat
from lashley.tools.evidence.review.opinion import Opinion, opinion_faults, reviewed_claims
from lashley.tools.evidence.review.reviewed import verdicts_of
from lashley.tools.evidence.review.under_review import assertions
from lashley.tools.report.claims import sentences
from lashley.tools.report.default import default_source
from lashley.tools.report.render import render_run, write
from lashley.tools.report.study import read_study
from lashley.tools.workbench.context import Context

from .recorded import ENVIRONMENT, tamper

MODEL, TASK, SECRET = "planted:induction", "induction", "because the moon was full"
CLAIMS = [
    {"sentence": "L0.H1 is needed: {{E1.effect[L0.H1]}}.", "conditions": ["E1.effect[L0.H1] < -0.5"]},
    {"sentence": "So is L0.H0: {{E1.effect[L0.H0]}}.", "conditions": ["E1.effect[L0.H0] < -0.5"]},
]


def lucky(path: Path, claims: Sequence[Any] = CLAIMS) -> Path:
    """R1, which claims a head that is needed and one that does nothing, whose effect on a few prompts looked real."""
    sweep = HeadAblation(model=MODEL, task=TASK, n=32, layers=[0])
    found = Result(
        measurements=(Measurement(name="questions", value=32),),
        effects=tuple(
            Effect(site=site, metric="logit_diff", value=value, low=value - 0.5, high=value + 0.5, n=32, p=1e-4, q=1e-4)
            for site, value in (("L0.H1", -9.0), ("L0.H0", -2.0))
        ),
        found="Two heads.",
    )
    subject = {"name": MODEL, "fingerprint": "f", "architecture": "gpt2", "anatomy": {"n_layers": 2, "n_heads": 4}}
    with Store.open(path) as store:
        run = store.begin_run(goal="Which heads?", driver="chat", llm="m", model=MODEL, task=TASK, seed=0, budget={},
                              environment=ENVIRONMENT)  # fmt: skip
        turn = store.add_turn(run, 1, "assistant", {"text": SECRET})
        one = store.begin_experiment(
            run=run, turn=turn, kind=sweep.kind, model=MODEL, task=TASK, split="explore", n=32, config=sweep.config(),
            config_hash=sweep.config_hash(), subject=subject, task_fingerprint="t", code_version="0",
            environment=ENVIRONMENT, reason=SECRET,
        )  # fmt: skip
        store.finish_experiment(one, found.model_dump(), 1.0)
        store.set_hypothesis_status(store.add_hypothesis(run, "Heads matter.", SECRET, "x"), "open", SECRET)
        store.add_note(run, "Why", SECRET, ["moon"], [one])
        store.add_report(run, SECRET, claims)
        store.finish_run(run, status="finished", spent={})
    return path


def reviewed(path: Path, driver: Driver, experiments: int = 12) -> Ending:
    with Context.open(str(path)) as context:
        return second_opinion(context, driver, 1, Budget(experiments=experiments), View(None))


def said(path: Path, run: int = 2) -> dict[int, str]:
    with Reader.open(path) as reader:
        return {claim: str(word) for claim, word in verdicts_of(read_study(reader, run)).items()}


def rendered(path: Path, run: int = 1) -> str:
    with Reader.open(path) as reader:
        report = render_run(reader, run)
    assert "Second opinion" in report.html
    return report.markdown


def calls(wire: Wire, *made: tuple[str, Any]) -> ChatDriver:
    for number, (name, arguments) in enumerate(made):
        wire.then(chat(None, (f"c{number}", name, json.dumps(arguments))))
    return ChatDriver("by-hand", base_url=wire.url, api_key="none")


def answers(path: Path, run: int = 2) -> list[str]:
    with Reader.open(path) as reader:
        return [t.content["text"] for t in reader.turns(run) if t.role == "tool"]


def verdict(claim: int, word: str, *conditions: str) -> dict[str, Any]:
    return {"claim": claim, "verdict": word, "conditions": conditions, "comment": "Tested by {{H2.verdict}}."}


def predict(head: str, **bounds: Any) -> dict[str, Any]:
    expected = {"like": "E1", "config": json.dumps({"heads": [head], "layers": None}), "quantity": f"effect[{head}]"}
    prediction = {**expected, "comparison": "below", "high": -0.5, **bounds}
    return {"statement": "As claimed.", "rationale": "To refute it.", "refuted_if": "No.", "predictions": [prediction]}


def test_a_reviewer_refutes_a_claim_by_a_test_and_nothing_falls_without(wire: Wire, tmp_path: Path) -> None:
    path = lucky(tmp_path / "t.db")
    driver = calls(
        wire,
        ("propose_hypothesis", predict("L0.H0")),
        ("test_hypothesis", {"hypothesis": "H2"}),
        ("write_review", {"verdicts": [verdict(1, "falls", "H2 is refuted"), verdict(2, "stands")], "text": "x"}),
        ("write_review", {"verdicts": [verdict(2, "falls", "H2 is supported")], "text": "It is 0.93."}),
        ("write_review", {"verdicts": [verdict(1, "stands", "H2 is refuted"), verdict(2, "undecided")], "text": "x"}),
        (
            "write_review",
            {"verdicts": [verdict(1, "undecided"), verdict(2, "falls", "H2 is refuted")], "text": "Tried."},
        ),
    )
    assert reviewed(path, driver).status == "finished"
    told = answers(path)
    assert "H2 is refuted" in told[1]
    assert "Claim 2: falls (H2 contradicts it)." in told[1]
    assert "Claim 1: no test of yours contradicts it" in told[2]
    assert "Claim 2: it falls, because H2 contradicts it." in told[2]
    assert "Claim 1 needs one verdict, and has none." in told[3]
    assert "H2 is supported does not hold (it is refuted)" in told[3]
    assert "0.93" in told[3]
    assert "Claim 1: 1 of the numbers that it rests on was not upheld" in told[4]
    assert said(path) == {1: "untested", 2: "falls"}
    markdown = rendered(path)
    assert markdown.index("**Claim 2 falls.**") < markdown.index("**Claim 1 is untested.**")
    assert "contradicts: H2, effect\\[L0.H0\\] below −0.5" in markdown
    assert markdown.count("by-hand, through the chat driver") == 1
    own = rendered(path, 2)
    assert "Claim 2 falls" in own
    assert "agent review R1 --driver chat --llm by-hand" in own


def test_a_reviewer_is_told_the_claims_and_none_of_the_reasoning(wire: Wire, tmp_path: Path) -> None:
    path = lucky(tmp_path / "t.db")
    queries = [
        "SELECT * FROM turns WHERE run = 1",
        "SELECT * FROM notes",
        "SELECT source FROM reports WHERE run = 1",
        "SELECT rationale, statement FROM hypotheses",
        "SELECT comment FROM hypothesis_events",
        "SELECT reason, found FROM experiments",
        "SELECT text FROM run_timeline",
        "SELECT reason FROM experiment_summary",
        "SELECT rowid FROM notes_fts WHERE notes_fts MATCH 'moon'",
        "SELECT * FROM main.notes",
        "SELECT content FROM main.turns",
    ]
    driver = calls(
        wire,
        *(("query_tracker", {"sql": sql}) for sql in queries),
        ("search_notes", {"words": "moon"}),
        ("show_experiment", {"experiment": "E1"}),
        ("write_review", {"verdicts": [verdict(1, "undecided") | {"comment": ""},
                                       verdict(2, "undecided") | {"comment": ""}], "text": "Looked."}),
    )  # fmt: skip
    assert reviewed(path, driver).status == "finished"
    told = answers(path)
    assert "Heads matter." in told[3], "what was stated is open"
    assert "Two heads." in told[5], "what was found is open"
    assert "Name the table without 'main.'" in told[9]
    assert "There is no tool 'search_notes'" in told[11]
    assert "L0.H0" in told[12]
    sent = json.dumps(wire.bodies)
    assert "moon was" not in sent
    first = wire.bodies[0]["messages"][1]["content"]
    assert "1. L0.H1 is needed: −9" in first
    assert "holds: E1.effect[L0.H0] < -0.5" in first
    offered = {tool["function"]["name"] for tool in wire.bodies[0]["tools"]}
    assert "write_review" in offered
    assert not offered & {"write_report", "write_note", "search_notes", "create_task"}


def test_a_study_sees_its_own_reasoning(tmp_path: Path) -> None:
    path = lucky(tmp_path / "t.db")
    with Reader.open(path) as reader:
        assert reader.query("SELECT count(*) FROM notes", runs=[1])[1] == [[1]]
        assert reader.query("SELECT text FROM notes", runs=[1, 2], alone=1)[1] == [[SECRET]]
        assert reader.query("SELECT reason FROM experiments", runs=[1, 2], alone=1)[1] == [[SECRET]]
        assert reader.query("SELECT reason FROM experiments", runs=[1, 2], alone=2)[1] == [[""]]


def test_the_autopilot_lets_a_lucky_claim_fall_and_a_true_one_stand(tmp_path: Path) -> None:
    path = lucky(tmp_path / "t.db")
    assert reviewed(path, Autopilot()).status == "finished"
    assert said(path) == {1: "stands", 2: "falls"}
    with Reader.open(path) as reader:
        run = reader.run(2)
        assert run.spent["experiments"] < 12
        assert {h.run for h in run.hypotheses} == {"R2"}
        seeds = [p.config["seed"] for h in run.hypotheses for p in h.predictions]
        assert len(set(seeds)) == len(run.hypotheses), "each hypothesis has a draw of its own"
        assert any(p.config["task"] == "induction~shuffled" for h in run.hypotheses for p in h.predictions)


def test_with_too_small_a_budget_nothing_stands(tmp_path: Path) -> None:
    path = lucky(tmp_path / "t.db")
    assert reviewed(path, Autopilot(), experiments=1).status in ("finished", "budget")
    assert said(path) == {1: "untested", 2: "untested"}


class Stopped:
    """Somebody who reviews by the protocol, and is stopped when as much has been said."""

    name, llm = "autopilot", ""

    def __init__(self, after: int) -> None:
        self.after, self.driver = after, Autopilot()

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        self.after -= 1
        if self.after == -1:
            signal.raise_signal(signal.SIGINT)
        return self.driver.reply(instructions, messages, tools)


def test_a_review_that_was_stopped_says_so_and_lets_nothing_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = lucky(tmp_path / "lashley.db")
    assert reviewed(path, Stopped(after=8)).status == "interrupted"
    assert said(path)[1] in ("undecided", "untested")
    assert "**R2 ended before its verdict: it was interrupted.**" in rendered(path)
    with Reader.open(path) as reader:
        write(render_run(reader, 1), tmp_path / "reports/R1")
    assert CliRunner().invoke(verify, ["R1"]).exit_code == 0


def test_the_report_with_its_opinion_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = lucky(tmp_path / "lashley.db")
    with Reader.open(path) as reader:
        write(render_run(reader, 1), tmp_path / "before")
    done = CliRunner().invoke(cli, ["review", "R1", "--driver", "autopilot", "--display", "none"])
    assert done.exit_code == 0, done.output
    assert "1 upheld, 1 contradicted, 0 undecided" in done.output
    assert CliRunner().invoke(verify, ["R1"]).exit_code == 0
    assert CliRunner().invoke(verify, ["R2"]).exit_code == 0
    earlier = CliRunner().invoke(verify, ["before/report.html"])
    assert earlier.exit_code == 0, earlier.output
    assert "was written before R2 reviewed R1" in earlier.output
    shown = CliRunner().invoke(cli, ["show", "R1"])
    assert "R2" in shown.output
    for name in ("report.html", "report.md"):
        file = tmp_path / "reports/R1" / name
        file.write_text(file.read_text().replace("falls", "stands"))
    edited = CliRunner().invoke(verify, ["R1"])
    assert edited.exit_code == 1
    assert CliRunner().invoke(cli, ["review", "R2", "--display", "none"]).exit_code == 2
    tamper(path, "UPDATE reports SET claims = replace(claims, 'falls', 'stands') WHERE run = 2")
    forged = CliRunner().invoke(verify, ["R1"])
    assert "has been changed since it was sealed" in forged.output
    assert said(path)[2] == "falls", "the tests say so, whatever the reviewer said"


def test_a_study_of_a_planted_subject_stands_under_review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--goal", "Which heads continue a list?", "--model", MODEL, "--task", TASK, "--n", "16", "--review"]
    done = CliRunner().invoke(cli, ["run", *words, "--driver", "autopilot", "--display", "none"])
    assert done.exit_code == 0, done.output
    found = said(tmp_path / "lashley.db")
    assert found[1] == "stands"
    assert "falls" not in found.values()
    assert CliRunner().invoke(verify, ["R1"]).exit_code == 0


def test_a_review_finds_the_member_of_a_needed_set_that_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    def protocol(data: Data) -> Protocol:
        given = {"n": 16, "reason": "Look."}
        yield "", "baseline", given
        yield "", "head_ablation", {**given, "method": "mean", "heads": ["L0.H1", "L1.H0"], "together": True}
        both = [{"type": "needed", "parts": ["L0.H1", "L1.H0"]}]
        yield "", "write_report", {"title": "T", "claims": [], "findings": both, "interpretation": "Both."}

    with Context.open(str(path), model=MODEL, task=TASK) as context:
        study(context, Scripted(protocol), "Which heads?", Budget(), View(None), n=16)
    reviewed(path, Autopilot())
    report = rendered(path).replace("\\", "")
    for sentence in (
        "Head L1.H0 adds nothing to the damage of head L0.H1 in induction (shown on held-out prompts).",
        "Head L0.H1 adds to the damage of head L1.H0 in induction (confirmed on held-out prompts).",
    ):
        assert sentence in report
    # The set as a whole is needed, which is all that was claimed.
    assert "falls" not in said(path).values()


def test_what_claims_nothing_is_not_reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lucky(tmp_path / "lashley.db", [])
    done = CliRunner().invoke(cli, ["review", "R1"])
    assert (done.exit_code, "R1 makes no claim" in done.output) == (2, True)
    assert CliRunner().invoke(cli, ["review", "R9"]).exit_code == 2
    with Reader.open(tmp_path / "lashley.db") as reader:
        assert len(reader.runs()) == 1


BEGUN = ("kind", "model", "task", "n", "config", "config_hash", "subject", "task_fingerprint", "code_version",
         "environment")  # fmt: skip
PREDICTED = {"kind": "head_ablation", "quantity": "effect[L0.H1]"}


@pytest.mark.parametrize(
    ("method", "comparison", "low", "high", "side", "word"),
    [
        ("zero", "below", None, -0.5, "for", "stands"),
        ("zero", "below", None, -2.0, "for", "stands"),  # more than was claimed
        ("zero", "below", None, -0.1, "for", "undecided"),  # less than was claimed
        ("zero", "below", None, -0.5, "against", "falls"),
        ("zero", "below", None, -2.0, "against", "undecided"),  # what was not claimed
        ("zero", "between", -0.1, 0.1, "for", "falls"),
        ("zero", "above", -0.5, None, "for", "falls"),
        ("zero", "below", None, -0.5, "neither", "undecided"),
        ("mean", "below", None, -0.5, "for", "undecided"),  # not as it was claimed
        ("mean", "below", None, -0.5, "against", "falls"),  # damage has to be there whichever way
    ],
)
def test_the_bounds_decide_what_a_test_says_of_a_claim(
    tmp_path: Path, method: str, comparison: str, low: float | None, high: float | None, side: str, word: str
) -> None:
    path = lucky(tmp_path / "t.db", CLAIMS[:1])
    config = HeadAblation(model=MODEL, task=TASK, n=32, heads=["L0.H1"], method=method).config()  # pyright: ignore[reportArgumentType]
    with Store.open(path) as store, Reader.open(path) as reader:
        run = store.begin_run(goal="x", driver="chat", llm="m", model=MODEL, task=TASK, seed=0, budget={},
                              environment=ENVIRONMENT, reviews=1)  # fmt: skip
        bounds = {"comparison": comparison, "low": low, "high": high}
        number = store.add_hypothesis(run, "x", "", "", [{**PREDICTED, **bounds, "config": config}])
        row = reader.experiment(1)
        test = store.begin_experiment(run=run, **{name: as_json(row)[name] for name in BEGUN}, split="confirm")
        store.finish_experiment(test, Result(found="x").model_dump(), 1.0)
        judged = {"value": 0.0, "low": -0.1, "high": 0.1, "n": 32, "p": 1e-5, "side": side}
        store.add_judgement(reader.hypothesis(number).predictions[0].id, test, judged)
        review = read_study(reader, run)
        assert [one.verdict for one in reviewed_claims(review)] == [word]
        wrong = {"falls", "stands", "undecided"} - {word, "undecided"}
        for other in wrong:
            opinion = Opinion(claim=1, verdict=other, conditions=())  # pyright: ignore[reportArgumentType]
            assert opinion_faults([opinion], "x", review)


def test_a_claim_of_a_refutation_is_held_to_its_own_method(tmp_path: Path) -> None:
    path = lucky(tmp_path / "t.db", [{"sentence": "It is not.", "conditions": ["H2 is refuted"]}])
    config = HeadAblation(model=MODEL, task=TASK, n=8, heads=["L0.H1"], method="mean").config()
    with Store.open(path) as store, Reader.open(path) as reader:
        number = store.add_hypothesis(1, "x", "", "", [{**PREDICTED, "comparison": "below", "low": None, "high": -0.5,
                                                        "config": config}])  # fmt: skip
        row = reader.experiment(1)
        test = store.begin_experiment(run=1, **{name: as_json(row)[name] for name in BEGUN}, split="confirm")
        store.finish_experiment(test, Result(found="x").model_dump(), 1.0)
        judged = {"value": 0.0, "low": -0.1, "high": 0.1, "n": 8, "p": 1e-5, "side": "against"}
        store.add_judgement(reader.hypothesis(number).predictions[0].id, test, judged)
        study = read_study(reader, 1)
        found = assertions(sentences(study.report.claims)[0], study) if study.report else []
    assert [(one.inside, one.config["method"]) for one in found] == [(False, "mean")]


def test_a_study_that_ended_with_numbers_in_its_reason_has_a_report(tmp_path: Path) -> None:
    why = "A step was refused: E2 failed: Answer ' 6' and {distractor} ' 9' have `1` first token. 12 experiments."
    with Store.open(tmp_path / "t.db") as store:
        run = store.begin_run(goal="x", driver="autopilot", llm=None, model=MODEL, task=TASK, seed=0, budget={},
                              environment=ENVIRONMENT)  # fmt: skip
        with Reader.open(store.path) as reader:
            store.add_report(run, default_source(reader, run, why))
            store.finish_run(run, status="failed", spent={}, error=why)
            assert "Answer ' 6'" in render_run(reader, run).markdown
