"""A long experiment is stopped alone: it is logged as stopped, the language model reads so, and the study continues."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Thread
from typing import Any

from lashley.db.read.reader import Reader
from lashley.tests.killed import agent_process, ran, sound
from lashley.tests.terminal import at_terminal
from lashley.tests.wire import chat, serving

LONG = {"n": 128, "task": "arithmetic", "reason": "All heads."}
REPORT = {"title": "T", "claims": [], "interpretation": "Nothing was found."}
ON = ["--model", "smollm2-135m", "--task", "arithmetic", "--db", "s.db", "--display", "none", "--driver", "chat"]


def scripted(body: dict[str, Any]) -> object:
    if "messages" not in body:
        return {"data": [{"id": "by-hand"}]}
    step = sum(m["role"] == "assistant" for m in body["messages"])
    name, given = [("head_ablation", LONG), ("list_models", {}), ("write_report", REPORT)][step]
    made = chat(None, (f"c{step}", name, json.dumps(given)))
    return {**made, "usage": {"prompt_tokens": len(json.dumps(body)) // 4, "completion_tokens": 9}}


def skip_when_it_runs(folder: Path, codes: list[int]) -> None:
    """Another terminal: it asks until there is an experiment to stop."""
    until = time.monotonic() + 240
    while time.monotonic() < until and 0 not in codes:
        if (folder / "s.db").exists():
            codes.append(ran(agent_process("skip", "R1", "--db", "s.db", folder=folder)))
        time.sleep(0.5)


def test_a_skipped_experiment_is_answered_logged_and_replayed(tmp_path: Path) -> None:
    codes = list[int]()
    with serving() as wire:
        wire.by(scripted)
        server = ["--llm", "by-hand", "--base-url", wire.url]
        study = agent_process("run", "--goal", "Which heads add?", *ON, *server, folder=tmp_path)
        other = Thread(target=skip_when_it_runs, args=(tmp_path, codes))
        other.start()
        assert ran(study) == 0, (tmp_path / "said.txt").read_text()
        other.join()
        last = json.loads(wire.received[-1].raw)
    answers = [m for m in last["messages"] if m["role"] == "tool"]
    assert codes[-1] == 0
    assert "R1 stops E1 at its next step and continues." in (tmp_path / "said.txt").read_text()
    assert answers[0]["content"].startswith("E1 failed: The user stopped it after ")
    assert "smollm2-135m" in answers[1]["content"]
    sound(tmp_path / "s.db")
    with Reader.open(tmp_path / "s.db") as reader:
        run, row = reader.run(1), reader.experiment(1)
        code = next(turn.content["code"] for turn in reader.turns(1) if turn.role == "tool")
    assert (run.status, row.status, row.error_type, code) == ("finished", "failed", "Skipped", "skipped")
    assert not list(tmp_path.glob("*.skip"))
    # Now there is nothing to stop; and the replay does what the log says.
    assert ran(agent_process("skip", "R1", "--db", "s.db", folder=tmp_path)) == 2
    assert "R1 is not running (finished)" in (tmp_path / "said.txt").read_text()
    assert ran(agent_process("replay", "R1", "--db", "s.db", folder=tmp_path)) == 0


def test_the_key_c_stops_the_experiment_in_the_live_view(tmp_path: Path) -> None:
    """In a terminal of its own, in the moving view."""
    with serving() as wire:
        wire.by(scripted)
        words = ["run", "--goal", "Which heads add?", *ON, "--llm", "by-hand", "--base-url", wire.url]
        words[words.index("none")] = "rich"
        code, shown = at_terminal(*words, folder=tmp_path, answers=[], when={"c stops it": "c"})
    assert code == 0, shown
    assert "E1 failed: The user stopped it after" in " ".join(shown.split())
    with Reader.open(tmp_path / "s.db") as reader:
        assert (reader.run(1).status, reader.experiment(1).error_type) == ("finished", "Skipped")
