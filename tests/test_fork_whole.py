"""A fork of a study to which everything has happened: a task of its own, words of the user, a refusal, a stop in the
middle, notes and predictions. Then a fork of the fork."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.commands.replay import difference
from lashley.agent.drivers.conversation import Call, Message, Reply, ToolSpec
from lashley.agent.live import View
from lashley.agent.main import cli
from lashley.agent.study.budget import Budget
from lashley.agent.study.fork import fork
from lashley.agent.study.loop import Ending, carry_on, study
from lashley.agent.study.replay import rerun
from lashley.agent.study.resume import recall, resumed
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.planted.build import WORDS
from lashley.tools.workbench.context import Context, silent
from lashley.tools.workbench.difference import run_difference
from lashley.tools.workbench.verify import verify_tracker

MODEL = "planted:induction"
ON = {"task": "again", "n": 8, "reason": "To see."}
HEAD = {"heads": ["L1.H0"], "together": True, "method": "mean"}
TRIPLES = [WORDS[i : i + 3] for i in range(len(WORDS) - 3)]
TASK = {
    "name": "again", "title": "Again", "description": "What followed before.", "answer_kind": "word",
    "answer_in_prompt": True,
    "examples": [
        {"text": f" {a} {b} {c} {a}", "answer": f" {b}", "distractor": f" {c}"} for a, b, c in TRIPLES
    ],
}  # fmt: skip
Deeds = Sequence[tuple[str, dict[str, Any]]]


def note(experiment: str) -> tuple[str, dict[str, Any]]:
    return "write_note", {"title": "Seen", "text": "It can.", "tags": ["x"], "experiments": [experiment]}


def report(text: str) -> tuple[str, dict[str, Any]]:
    return "write_report", {"title": "T", "claims": [], "interpretation": text}


def judged(hypothesis: str) -> tuple[str, dict[str, Any]]:
    return "test_hypothesis", {"hypothesis": hypothesis}


def predicted() -> tuple[str, dict[str, Any]]:
    one = {"kind": "head_ablation", "config": json.dumps({**HEAD, "task": "again", "n": 8})}
    one |= {"quantity": "loss_increase", "comparison": "above", "low": 0.01}
    return "propose_hypothesis", {
        "statement": "S.",
        "rationale": "R.",
        "refuted_if": "It is not.",
        "predictions": [one],
    }


PARENT: Sequence[Deeds] = (
    [("create_task", TASK)],
    [("baseline", ON), ("head_ablation", {**ON, "method": "zero"})],
    [note("E1"), predicted()],
    [judged("H1")],
    [("comment_hypothesis", {"hypothesis": "H1", "comment": "Few prompts."}), ("baseline", ON)],
    [report("{{E1.accuracy}} H1 is {{H1.verdict}}.")],
)


def forks(again: str) -> Sequence[Deeds]:
    return (
        [("baseline", {**ON, "seed": 1}), judged(again)],
        [note("E1"), ("baseline", ON), ("list_tasks", {})],
        [report("{{E1.accuracy}} H1 is {{H1.verdict}}.")],
        [report(f"{{{{E1.accuracy}}}} It is {{{{{again}.verdict}}}}.")],
    )


class Decides:
    """A language model that does what is written down, step by step from where it began or its last fork did."""

    name, llm = "chat", "by-hand"

    def __init__(self, meanwhile: Callable[[str], None]) -> None:
        self.meanwhile = meanwhile

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        begun = [i for i, m in enumerate(messages) if "this is a separate study" in m.text]
        again = re.search(r"H\d+ as (H\d+)", messages[begun[-1]].text) if begun else None
        steps = forks(again[1]) if again else PARENT
        place = sum(m.role == "assistant" for m in messages[begun[-1] if begun else 0 :])
        self.meanwhile(f"{len(begun)}.{place}")
        deeds = steps[min(place, len(steps) - 1)]
        calls = [Call(id=f"c{len(messages)}.{i}", name=n, arguments=json.dumps(a)) for i, (n, a) in enumerate(deeds)]
        return Reply(text=f"Step {place}.", calls=tuple(calls), tokens_in=100, tokens_out=10)


class User(View):
    """Refuses what is to be measured at all places, and stops the study at once before a call, the first time."""

    def __init__(self, stops: str) -> None:
        super().__init__(None)
        self.stops = stops
        self.asked: list[str] = []

    def asks(self, question: str) -> bool:
        self.asked.append(question)
        return "head_ablation of 8 prompts of again?" not in question

    def called(self, step: int, call: Call, spent: Any) -> None:
        if call.name == self.stops:
            self.stops = ""
            raise KeyboardInterrupt


def gone_on(path: str, driver: Decides, user: User, begin: Callable[[Context], Ending]) -> None:
    """Begun, stopped, and taken up by another process, as far as the tracker can tell."""
    with Context.open(path, model=MODEL, task="induction") as context:
        assert begin(context).status == "stopped"
        run = context.run
    assert run is not None
    with Context.open(path) as context:
        recall(context, context.reader.run(run))
        ending = carry_on(resumed(context, driver, run, user))
    assert ending.status == "finished", ending


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R1; R2, forked from it after its test; R3, forked from R2 after the first step of its own."""
    path = str(tmp_path_factory.mktemp("whole") / "s.db")
    words = {"0.2": (1, "Look at layer 0 too."), "1.1": (2, "And be brief."), "2.1": (3, "Briefer.")}

    def meanwhile(where: str) -> None:
        if where in words:
            with Store.open(path) as store:
                store.tell(*words.pop(where))

    driver = Decides(meanwhile)

    def forked(context: Context, parent: int, step: int, user: User) -> Ending:
        return carry_on(fork(context, driver, parent, step, None, Budget(), user))

    user = User("test_hypothesis")
    gone_on(path, driver, user, lambda c: study(c, driver, "Which head?", Budget(approve=0), user, n=8))
    assert len(user.asked) == 3, user.asked
    for parent, step in ((1, 4), (2, 5)):
        user = User("write_note")
        gone_on(path, driver, user, lambda c, p=parent, s=step, u=user: forked(c, p, s, u))
        assert user.asked == [], "a fork has a budget of its own, which asks for nothing"
    return Path(path)


def test_a_fork_has_all_of_its_parent_and_its_own(studies: Path) -> None:
    with Reader.open(studies) as reader:
        assert [(r.status, r.parent) for r in reader.runs()] == [
            ("finished", None), ("finished", "R1"), ("finished", "R2")]  # fmt: skip
        for run, words, spent in ((1, 1, 2), (2, 2, 2), (3, 2, 1)):
            row, turns = reader.run(run), reader.turns(run)
            told = [t.content["text"] for t in turns if "told" in (t.content.get("data") or {})]
            assert len(told) == len(set(told)) == words
            assert row.waiting == []
            assert row.spent["experiments"] == spent
            own = [t for t in turns if t.role == "assistant" and t.step > (row.forked_at or 0)]
            assert row.spent["tokens_in"] == 100 * len(own)
            # No price is known here, so each reply of its own is without one.
            spent = [row.spent[name] for name in ("uncounted", "unpriced", "steps")]
            assert spent == [0, len(own), turns[-1].step]
            assert len(row.notes) == 1
            assert "E2 failed: The user refused it." in json.dumps([t.content for t in turns])
        assert [h.run for h in (reader.hypothesis(n) for n in (1, 2, 3))] == ["R1", "R2", "R3"]
        assert {e.task for e in reader.experiments()} == {"again"}
    assert verify_tracker(studies, [1, 2, 3]).differences == ()


@pytest.mark.parametrize("run", [1, 2, 3])
@pytest.mark.parametrize("fast", [True, False])
def test_each_can_be_repeated(studies: Path, run: int, fast: bool) -> None:
    with Reader.open(studies) as reader:
        found = rerun(reader, run, silent, fast=fast)
    assert found.diverged is None, (found.diverged.what, difference(found.diverged.was, found.diverged.now))
    assert found.experiments == (0 if fast else 1 if run == 3 else 2)


def agent(*words: str) -> str:
    done = CliRunner().invoke(cli, [*words], env={"COLUMNS": "120"})
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_each_holds_when_it_is_measured_again_and_tells_what_it_shares(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("R1", "R2", "R3"):
        agent("report", run, "--db", str(studies))
        assert f"{run}: holds." in agent("verify", run, "--db", str(studies), "--rerun")
    shown = " ".join(agent("diff", "R1", "R2", "--db", str(studies)).split())
    assert "R2 was forked from R1 at step 4" in shown
    assert "The first 4 are the same." in shown
    with Reader.open(studies) as reader:
        found = run_difference(reader, 2, 3)
        assert found.forked == "R3 was forked from R2 at step 5"
        assert found.same_steps == 5
        (one,) = found.hypotheses
        assert [v.id for v in one.verdicts] == ["H2", "H3"]
