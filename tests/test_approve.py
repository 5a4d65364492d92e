"""--approve: the user is asked at a real terminal before what would take long, over a real HTTP server on loopback."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.agent.study.interrupt import Stop, ctrl_c
from lashley.agent.study.replay import rerun
from lashley.db.read.reader import Reader
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.cost import seconds_per_run, whole_runs
from lashley.experiments.errors import NotApproved
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.lab import INTACT
from lashley.experiments.sites import head
from lashley.tests.killed import sound
from lashley.tests.terminal import CTRL_C, CTRL_D, KILL, at_terminal
from lashley.tests.tiny import batch_of, tiny_subject
from lashley.tests.wire import Wire, chat, serving
from lashley.tools.registry import all_tools, answer
from lashley.tools.workbench.approval import Approval, Gate, lasting
from lashley.tools.workbench.context import Context, silent

ON = ["--model", "planted:induction", "--task", "induction", "--n", "8", "--db", "s.db", "--display", "plain"]
PLANTED = "planted:induction"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as server:
        yield server


def scripted(body: dict[str, Any]) -> object:
    """Two experiments, then a report of the one that ran."""
    if "messages" not in body:
        return {"data": [{"id": "by-hand"}]}
    step = sum(m["role"] == "assistant" for m in body["messages"])
    done = re.findall(r"^(E\d+) (?!failed)", "\n".join(m["content"] or "" for m in body["messages"]), re.MULTILINE)
    report = {"title": "T", "claims": [], "interpretation": f"{{{{{done[0]}.found}}}}" if done else "Nothing was run."}
    calls = [("head_ablation", {"n": 8, "reason": "All."}), ("baseline", {"n": 8, "reason": "Can it?"})]
    name, arguments = (*calls, ("write_report", report))[min(step, 2)]
    return chat(None, (f"c{step}", name, json.dumps(arguments)))


def rows(folder: Path) -> list[tuple[str, str, str | None]]:
    with Reader.open(folder / "s.db") as reader:
        return [(e.kind, e.status, e.error_type) for e in reader.experiments()]


def with_model(wire: Wire) -> list[str]:
    wire.by(scripted)
    return ["run", "--goal", "Which heads?", *ON, "--driver", "chat", "--llm", "m", "--base-url", wire.url]


def test_a_refusal_is_answered_and_logged_and_a_kill_while_asked_asks_again(wire: Wire, tmp_path: Path) -> None:
    code, shown = at_terminal(*with_model(wire), "--approve", "0", folder=tmp_path, answers=["perhaps\n", "n\n", KILL])
    assert code == -KILL, shown
    assert shown.count("Run E1 head_ablation of 8 prompts of induction? [y/N]:") == 2
    assert "Run E2 baseline of 8 prompts of induction? [y/N]:" in shown
    assert rows(tmp_path)[0] == ("head_ablation", "failed", "NotApproved")
    on = ["resume", "R1", "--db", "s.db", "--display", "none", "--base-url", wire.url]
    code, shown = at_terminal(*on, folder=tmp_path, answers=["y\n"])
    assert code == 0, shown
    assert "Run E3 baseline of 8 prompts of induction? [y/N]:" in shown
    assert rows(tmp_path)[1:] == [("baseline", "failed", "Interrupted"), ("baseline", "done", None)]
    with Reader.open(tmp_path / "s.db") as reader:
        told = [t.content["text"] for t in reader.turns(1) if t.role == "tool"]
        assert reader.run(1).spent["experiments"] == 1
        # Nobody is asked for it again where the run is repeated.
        found = rerun(reader, 1, silent)
        assert found.diverged is None, (found.diverged.what, found.diverged.was, found.diverged.now)
        assert found.experiments == 1
    assert told[0].startswith("E1 failed: The user refused it.")
    assert "E1 failed: The user refused it" in wire.received[-1].raw.decode(), "the language model was told"
    sound(tmp_path / "s.db")


def test_ctrl_d_is_a_no_and_ctrl_c_a_no_that_ends_the_study(wire: Wire, tmp_path: Path) -> None:
    words = [*with_model(wire), "--approve", "0"]
    code, shown = at_terminal(*words, folder=tmp_path, answers=[CTRL_D, CTRL_C])
    assert code == 130, shown
    assert "Stopping after this step" in shown
    assert rows(tmp_path) == [("head_ablation", "failed", "NotApproved"), ("baseline", "failed", "NotApproved")]
    with Reader.open(tmp_path / "s.db") as reader:
        assert reader.run(1).status == "interrupted"
        assert "Nothing was run." in (reader.report(1) or "")
    sound(tmp_path / "s.db")


@pytest.mark.parametrize("command", [["run", "--goal", "Which heads?", *ON, "--driver", "autopilot"], ["resume", "R1"]])
def test_where_nobody_can_be_asked_it_says_so_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if command[0] == "resume":
        with Context.open("s.db") as context:
            context.store.begin_run(
                goal="g", driver="autopilot", llm=None, model=PLANTED, task="induction", seed=0,
                budget={"approve": 60.0}, environment={},
            )  # fmt: skip
    more = ["--db", "s.db"] if command[0] == "resume" else ["--approve", "60"]
    done = CliRunner().invoke(cli, [*command, *more])
    assert done.exit_code == 2
    line = next(line for line in done.stderr.splitlines() if line.startswith("Error"))
    assert "--approve needs a terminal, and there is none" in line
    assert ("--no-approve" in line) == (command[0] == "resume")
    assert not (tmp_path / "reports").exists()


def swept(context: Context, seed: int = 0) -> str:
    given = {"n": 8, "seed": seed, "reason": "x"}
    return answer(all_tools(), context, "head_ablation", json.dumps(given)).text


def test_it_asks_once_an_experiment_and_by_the_estimate(tmp_path: Path) -> None:
    asked: list[str] = []

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    with Context.open(str(tmp_path / "s.db"), model=PLANTED, task="induction") as context:
        context.approval = Approval(1e-9, yes)
        assert "failed" not in swept(context)
        assert len(asked) == 1
        assert re.match(
            r"E1 head_ablation of 8 prompts of induction would take about [0-9.]+ seconds. Run it\?", asked[0]
        )
        # What was run before is not run again, so there is nothing to ask.
        assert "This repeats E" in swept(context)
        assert len(asked) == 1
        context.approval = Approval(1e-9, lambda _: False)
        refused = swept(context, seed=1)
        assert "E2 failed: The user refused it: it would take about" in refused
        # Refused once, asked anew, done; and what is shorter is not asked for.
        context.approval = Approval(100_000, lambda _: pytest.fail("nobody is to be asked"))
        assert "failed" not in swept(context, seed=1)
        ours = context.reader.experiment(3).effects
    with Context.open(str(tmp_path / "other.db"), model=PLANTED, task="induction") as context:
        assert "failed" not in swept(context, seed=1)
        assert context.reader.experiment(1).effects == ours, "asking changes no number"


def test_the_time_in_which_the_user_thinks_is_not_the_experiments(tmp_path: Path) -> None:
    def slowly(_: str) -> bool:
        time.sleep(0.5)
        return True

    with Context.open(str(tmp_path / "s.db"), model=PLANTED, task="induction") as context:
        context.subject(PLANTED)
        context.approval, context.experiment_minutes = Approval(0, slowly), 60
        began = time.monotonic()
        assert "failed" not in swept(context)
        took, logged = time.monotonic() - began, context.reader.experiment(1).seconds
        assert 0 < logged <= took - 0.5
        assert 0.5 <= context.waited <= took
        gate = Gate(context.approval, "E9", HeadAblation(model=PLANTED, task="induction", n=8))
        assert gate.open() is True
        assert gate.waited >= 0.5
        assert gate.open(1e6) is False, "once is enough"


def test_ctrl_c_twice_stops_at_once_and_a_terminal_that_is_gone_stops_too() -> None:
    stop = Stop()

    def interrupted(_: str) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True

    def gone(_: str) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    with ctrl_c(stop, "R1"):
        assert stop.answers(interrupted)("Run it?") is False
        assert (stop.asked, stop.at_once) == (True, False)
        with pytest.raises(KeyboardInterrupt):
            stop.answers(interrupted)("Run it?")
        assert stop.at_once
    with pytest.raises(KeyboardInterrupt):
        Stop().answers(gone)("Run it?")


def test_the_gate_opens_by_the_sum_of_what_was_and_what_will_be() -> None:
    experiment = HeadAblation(model=PLANTED, task="induction", n=8, heads=["L0.H1"])
    gate = Gate(Approval(60, lambda _: False), "E1", experiment)
    assert gate.open() is False
    assert gate.open(59.0) is False
    with pytest.raises(NotApproved, match="would take about 2 minutes"):
        gate.open(119.5)
    told: list[str] = []
    Gate(Approval(60, lambda question: told.append(question) is None), "E1", experiment).open(7200)
    assert told == ["E1 head_ablation of 8 prompts of induction, heads L0.H1 would take about 2 hours. Run it?"]


def test_an_estimate_is_the_sum_over_interventions_of_the_layers_they_run() -> None:
    subject, batch = tiny_subject("llama"), batch_of([[5, 17, 40, 8], [61, 9, 12, 4]])
    layers = subject.anatomy.n_layers
    removals = [Intervention(name="x", edits=(Edit(site=head(layer, 0)),)) for layer in range(layers)]
    # A removal in layer l runs the layers from l on.
    assert whole_runs(removals, layers) == pytest.approx(1 + sum(layers - layer for layer in range(layers)) / layers)
    # A program that runs all layers twice begins as the clean pass does; what changes nothing costs its reading.
    program = Intervention(name="p", program=tuple(range(layers)) * 2)
    assert whole_runs([program, INTACT], layers) == pytest.approx(1 + 1 + 1 / layers)
    for fewer, more in product([removals[:1]], [removals, removals * 3]):
        assert whole_runs(fewer, layers) < whole_runs(more, layers)
    assert seconds_per_run(subject, batch, PairReadout(batch)) > 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.042, "0.042 seconds"), (3, "3 seconds"), (42, "42 seconds"), (89, "89 seconds"), (200, "3.3 minutes"),
     (5000, "83 minutes"), (9000, "2.5 hours")],
)  # fmt: skip
def test_a_time_in_words(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


NO_NUMBER = {"nan": "'nan' is not a finite number", "inf": "'inf' is not a finite number", "-1": "not in the range",
             "soon": "not a valid float"}  # fmt: skip


@pytest.mark.parametrize("given", NO_NUMBER)
def test_what_is_no_number_of_seconds_is_refused_in_a_line(given: str) -> None:
    for words in (["run", "--goal", "g", "--approve"], ["resume", "R1", "--approve"], ["replay", "R1", "--tolerance"]):
        done = CliRunner().invoke(cli, [*words, given])
        assert done.exit_code == 2
        assert NO_NUMBER[given] in done.stderr
