"""What the user tells a study arrives at its next step, once, also where the study was killed in between."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from lashley.db.read.reader import Reader
from lashley.tests.killed import agent_process, left, ran, sound
from lashley.tests.wire import serving

from .test_resume import agents, resume, scripted

WORDS = "Look at layer 0 too, please."


def tell(folder: Path, words: str = WORDS, run: str = "R1") -> int:
    return ran(agent_process("tell", run, words, "--db", "s.db", folder=folder))


def heard(path: Path) -> list[tuple[int, str]]:
    with Reader.open(path) as reader:
        assert reader.waiting(1) == []
        # It is the user's and this study's, like every turn: another run does not read it.
        seen = [reader.query("SELECT text FROM told", runs=runs)[1] for runs in (None, [1], [2])]
        assert (len(seen[0]), len(seen[1]), seen[2]) == (2, 2, [])
        turns = [t for t in reader.turns(1) if t.role == "user" and "told" in (t.content["data"] or {})]
        return [(t.content["data"]["told"], t.content["text"]) for t in turns]


def test_words_reach_a_study_that_runs_and_one_that_is_gone_on_with(tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = []

    def listening(body: dict[str, Any]) -> object:
        """Told while it thinks about its third step."""
        if "messages" in body:
            bodies.append(body)
            if sum(m["role"] == "assistant" for m in body["messages"]) == 2 and WORDS not in json.dumps(body):
                assert tell(tmp_path) == 0
        return scripted(body)

    with serving() as wire:
        wire.by(listening)
        assert ran(agent_process(*agents(wire), folder=tmp_path, commits=6)) == -signal.SIGKILL
        assert tell(tmp_path, "Before it went on.") == 0
        said = (tmp_path / "said.txt").read_text()
        assert "R1 reads it when you resume it: agent resume R1." in said
        assert ran(agent_process(*resume(wire), folder=tmp_path)) == 0
        assert "R1 reads it before its next step." in (tmp_path / "said.txt").read_text()
        assert heard(tmp_path / "s.db") == [(1, "Before it went on."), (2, WORDS)]
        sound(tmp_path / "s.db")
        last = [m["content"] for m in bodies[-1]["messages"] if m["role"] == "user"]
        assert last.count(WORDS) == last.count("Before it went on.") == 1
        # A study that has ended says so, and nothing is kept.
        assert tell(tmp_path) == 2
        assert "R1 has ended (finished), so it cannot read messages." in (tmp_path / "said.txt").read_text()
        assert len(heard(tmp_path / "s.db")) == 2
        assert left(tmp_path / "s.db")["status"] == "finished"


def test_a_protocol_takes_no_words(tmp_path: Path) -> None:
    words = ["--model", "planted:induction", "--task", "induction", "--n", "8", "--db", "s.db", "--driver", "autopilot"]
    assert ran(agent_process("run", "--goal", "Which heads?", *words, folder=tmp_path, commits=4)) == -signal.SIGKILL
    assert tell(tmp_path) == 2
    assert "is a fixed protocol and reads no messages" in (tmp_path / "said.txt").read_text()
    assert tell(tmp_path, run="R9") == 2
    assert "R9" in (tmp_path / "said.txt").read_text()
