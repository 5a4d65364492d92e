"""A study that is killed, at any instant, and taken up again is the study that was never killed."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest

from lashley.db.read.reader import Reader
from lashley.experiments.planted.build import save
from lashley.experiments.planted.truth import TRUTHS
from lashley.tests.killed import BEFORE, CALL, agent_process, began, left, phase, ran, sound
from lashley.tests.wire import Wire, chat, serving

ON = ["--model", "planted:induction", "--task", "induction", "--n", "8", "--db", "s.db", "--display", "none"]
GOAL = "Which heads continue a repeated list?"
HEADS = {"heads": ["L1.H0"], "together": True, "method": "mean"}


def scripted(body: dict[str, Any]) -> object:
    """A language model that does the same whenever the conversation is the same; ids it has from the answers."""
    if "messages" not in body:
        return {"data": [{"id": "by-hand"}]}
    said = [m["content"] or "" for m in body["messages"] if m["role"] == "tool"]
    ids = list(dict.fromkeys(re.findall(r"^(E\d+) (?!failed)", "\n".join(said), re.MULTILINE)))
    step = sum(m["role"] == "assistant" for m in body["messages"])
    if "wants to stop" in (body["messages"][-1]["content"] or ""):
        step = 6

    def calls(*named: tuple[str, dict[str, Any]]) -> object:
        return chat(f"Step {step}.", *((f"c{step}.{i}", name, json.dumps(a)) for i, (name, a) in enumerate(named)))

    match step:
        case 0:
            return calls(("baseline", {"n": 8, "reason": "First."}), ("head_ablation", {"n": 8, "reason": "All."}))
        case 1:
            note = {"title": "Heads", "text": "Two stand out.", "tags": ["x"], "experiments": ids}
            expected = {"kind": "head_ablation", "config": json.dumps({**HEADS, "n": 8})}
            one = {**expected, "quantity": "loss_increase", "comparison": "above", "low": 0.01}
            other = {**expected, "comparison": "beyond_control", "quantity": "excess"}
            told = {"statement": "A head is needed.", "rationale": "It was seen.", "refuted_if": "Nothing is lost."}
            return calls(("write_note", note), ("propose_hypothesis", {**told, "predictions": [one, other]}))
        case 2:
            return calls(("test_hypothesis", {"hypothesis": "H1"}))
        case 3:
            again = ("baseline", {"n": 8, "reason": "Again."})
            return calls(("comment_hypothesis", {"hypothesis": "H1", "comment": "Few prompts."}), again)
        case 4:
            return chat("I am thinking.")
        case 5:
            return calls(("write_report", {"title": "T", "claims": [], "interpretation": "It is 0.93."}))
        case _:
            text = f"It is right in {{{{{ids[0]}.accuracy}}}}; {{{{{ids[1]}.found}}}}"
            text += " H1 is {{H1.verdict}}." if any("H1 is recorded" in one for one in said) else ""
            return calls(("write_report", {"title": "T", "claims": [], "interpretation": text}))


class Whole(NamedTuple):
    """A study that nobody stops: what it leaves, how long it takes, and how it is begun."""

    left: dict[str, Any]
    seconds: float
    begin: list[str]


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with serving() as server:
        yield server.by(scripted)


@pytest.fixture(scope="module", params=["chat", "autopilot"])
def whole(request: pytest.FixtureRequest, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    server = ["--driver", "chat", "--llm", "by-hand", "--base-url", wire.url]
    asked = server if request.param == "chat" else ["--driver", "autopilot"]
    folder = tmp_path_factory.mktemp(request.param)
    begin = ["run", "--goal", GOAL, *ON, *asked]
    ran(agent_process("models", folder=folder))  # what is imported once is imported
    since = time.monotonic()
    assert ran(agent_process(*begin, folder=folder)) == 0, (folder / "said.txt").read_text()
    sound(folder / "s.db")
    return Whole(left(folder / "s.db"), time.monotonic() - since, begin)


def goes_on(whole: Whole, wire: Wire, folder: Path, kill: Callable[[list[str]], int]) -> None:
    """Begins the study, has it killed, takes it up until it ends, and compares."""
    path = folder / "s.db"
    server = ["--base-url", wire.url] if "chat" in whole.begin else []
    on = ["resume", "R1", "--db", "s.db", "--display", "none", *server]
    code = kill(whole.begin)
    while code == -signal.SIGKILL:
        code = kill(on if began(path) else whole.begin)
    said = (folder / "said.txt").read_text() if (folder / "said.txt").exists() else ""
    if code == 2:
        # It was killed between the end of the study and the writing of its files.
        assert "R1 has ended (finished)" in said, said
        assert ran(agent_process("report", "R1", "--db", "s.db", folder=folder)) == 0
    else:
        assert code == 0, said
    sound(path)
    assert left(path) == whole.left


def at_random(whole: Whole, wire: Wire, folder: Path, seed: int, seconds: float) -> list[str]:
    """Killed once, twice or three times, at instants within so many seconds; gives the phase of each."""
    instants = random.Random(seed)
    times = [instants.uniform(0, 1.1 * seconds) for _ in range(instants.randint(1, 3))]
    phases: list[str] = []

    def kill(command: list[str]) -> int:
        process = agent_process(*command, folder=folder)
        if times:
            process.join(times.pop())
            process.kill()
        code = ran(process)
        if code == -signal.SIGKILL:
            phases.append(f"{phase(folder / 's.db')}, {'again' if phases else 'first'}")
        return code

    goes_on(whole, wire, folder, kill)
    return phases


def after_writes(whole: Whole, wire: Wire, folder: Path, commits: int) -> bool:
    """Killed right after so many writes; False if there are not so many."""
    left_to_kill = [commits]

    def kill(command: list[str]) -> int:
        return ran(agent_process(*command, folder=folder, commits=left_to_kill.pop() if left_to_kill else 0))

    goes_on(whole, wire, folder, kill)
    with Reader.open(folder / "s.db") as reader:
        return bool(reader.run(1).resumed)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_any_instant_nothing_is_lost_or_doubled(whole: Whole, wire: Wire, tmp_path: Path, seed: int) -> None:
    at_random(whole, wire, tmp_path, seed, whole.seconds)


@pytest.mark.slow
def test_killed_at_a_hundred_instants(whole: Whole, wire: Wire, tmp_path: Path) -> None:
    """Fifty with each driver, in as many studies as it takes: `pytest -s` prints what the kills hit."""
    phases: Counter[str] = Counter()
    seconds, studies = whole.seconds, 0
    while phases.total() < 50:
        (folder := tmp_path / str(studies)).mkdir()
        hit = at_random(whole, wire, folder, 100 + studies, seconds)
        phases.update(hit)
        # How long a study takes varies with what else the machine does: instants after its end would hit nothing.
        seconds, studies = seconds * (1.1 if hit else 0.7), studies + 1
    print(f"\n{phases.total()} kills in {studies} studies:")
    print(*(f"  {count:>3}  {where}" for where, count in phases.most_common()), sep="\n")
    assert {BEFORE, CALL} <= {where.split(",")[0] for where in phases}


# After these an experiment is done, and a note kept, and neither is answered yet.
@pytest.mark.parametrize("commits", [pytest.param(4, marks=pytest.mark.slow), 9])
def test_killed_right_after_a_write(whole: Whole, wire: Wire, tmp_path: Path, commits: int) -> None:
    assert after_writes(whole, wire, tmp_path, commits)


@pytest.mark.slow
def test_killed_right_after_every_write(whole: Whole, wire: Wire, tmp_path: Path) -> None:
    commits = 2
    while True:
        folder = tmp_path / str(commits)
        folder.mkdir()
        if not after_writes(whole, wire, folder, commits):
            break
        commits += 1
    assert commits > 20


def agents(wire: Wire) -> list[str]:
    return ["run", "--goal", GOAL, *ON, "--driver", "chat", "--llm", "by-hand", "--base-url", wire.url]


def resume(wire: Wire) -> list[str]:
    return ["resume", "R1", "--db", "s.db", "--display", "none", "--base-url", wire.url]


def status(folder: Path) -> str:
    with Reader.open(folder / "s.db") as reader:
        return reader.run(1).status


def test_a_run_is_taken_up_once_and_only_while_it_is_stopped(tmp_path: Path) -> None:
    with serving() as wire:
        wire.by(scripted)
        assert ran(agent_process(*agents(wire), folder=tmp_path, commits=6)) == -signal.SIGKILL
        assert status(tmp_path) == "stopped"
        # Nothing is answered until both have asked for the run: one of them holds it, the other is sent away.
        both, said, waiting = Event(), tmp_path / "said.txt", list[bool]()

        def wait(body: dict[str, Any]) -> object:
            if "messages" in body:
                waiting.append(both.wait(120))
            return scripted(body)

        wire.by(wait)
        two = [agent_process(*resume(wire), folder=tmp_path) for _ in range(2)]
        while all(one.is_alive() for one in two):
            time.sleep(0.05)
        assert status(tmp_path) == "running"
        assert "R1 is running in another process" in said.read_text()
        both.set()
        assert sorted(map(ran, two)) == [0, 2]
        assert all(waiting)
        assert ran(agent_process(*resume(wire), folder=tmp_path)) == 2
        assert "R1 has ended (finished)" in said.read_text()
    assert ran(agent_process("run", "--continue", "--db", "s.db", folder=tmp_path)) == 2
    assert "There is no stopped study in s.db to resume" in said.read_text()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_once_writes_the_report_and_twice_can_be_gone_on_with(tmp_path: Path, times: int) -> None:
    pids: list[int] = []

    def interrupts(body: dict[str, Any]) -> object:
        if "messages" in body and "Step 0." in json.dumps(body["messages"][-3:]) and pids:
            pid = pids.pop()
            for time_ in range(times):
                os.kill(pid, signal.SIGINT)
                while time_ == 0 and "Stopping" not in (tmp_path / "said.txt").read_text():
                    time.sleep(0.02)
        return scripted(body)

    with serving() as wire:
        wire.by(interrupts)
        process = agent_process(*agents(wire), folder=tmp_path)
        pids.append(process.pid or 0)
        assert ran(process) == 130
        if times == 1:
            assert status(tmp_path) == "interrupted"
            sound(tmp_path / "s.db")
            found = left(tmp_path / "s.db")
            assert found["report"][0].startswith("# T"), "the language model wrote it"
            assert len(found["experiments"]) == 2
            return
        assert status(tmp_path) == "stopped"
        assert ran(agent_process("run", "--continue", *resume(wire)[2:], folder=tmp_path)) == 0
        assert status(tmp_path) == "finished"
        sound(tmp_path / "s.db")


def test_other_weights_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    save(tmp_path / "m", TRUTHS["planted:induction"])
    words = ["--model", "./m", "--task", "induction", "--n", "8", "--db", "s.db", "--driver", "autopilot"]
    assert ran(agent_process("run", "--goal", GOAL, *words, folder=tmp_path, commits=7)) == -signal.SIGKILL
    save(tmp_path / "m", TRUTHS["planted:null"])
    assert ran(agent_process("resume", "R1", "--db", "s.db", folder=tmp_path)) == 2
    assert "so its weights have changed" in (tmp_path / "said.txt").read_text()
    with Reader.open(tmp_path / "s.db") as reader:
        assert (reader.run(1).status, reader.run(1).resumed) == ("stopped", [])
