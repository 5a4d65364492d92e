"""A study that leaves another one: what it takes along, what it must show again, and what cannot be."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.agent.study.replay import rerun
from lashley.db.read.reader import Reader
from lashley.db.records import ExperimentSummary
from lashley.tests.killed import agent_process, ran
from lashley.tests.test_resume import GOAL, ON, scripted
from lashley.tests.wire import Wire, chat, function_call, reasoning, response, serving
from lashley.tools.evidence.verdict import verdicts
from lashley.tools.report.render import render_run
from lashley.tools.workbench.context import silent
from lashley.tools.workbench.verify import verify_tracker

OTHER = "Is layer 0 needed?"


def decides(body: dict[str, Any]) -> object:
    """The language model of the resume tests. In a fork it tests what was predicted again, and reports by its ids."""
    texts = [str(m.get("content")) for m in body.get("messages", [])]
    fork = next((i for i, text in enumerate(texts) if "this is a separate study" in text), None)
    if fork is None:
        return scripted(body)
    again = re.search(r"H1 as (H\d+)", texts[fork])
    cited = re.findall(r"\bE\d+", texts[fork])
    match sum(m["role"] == "assistant" for m in body["messages"][fork:]):
        case 0 if again:
            return chat("First.", ("f0", "test_hypothesis", json.dumps({"hypothesis": again[1]})))
        case 0 | 1:
            # What the parent measured on held-out prompts is refused, and its verdict.
            text = "H1 is {{H1.verdict}}."
            return chat("Next.", (f"f{len(texts)}", "write_report", report(text)))
        case _:
            own = f" It is {{{{{again[1]}.verdict}}}}." if again else ""
            return chat("Last.", (f"f{len(texts)}", "write_report", report(f"{{{{{cited[0]}.accuracy}}}}.{own}")))


def report(text: str) -> str:
    return json.dumps({"title": "T", "claims": [], "interpretation": text})


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with serving() as server:
        yield server.by(decides)


@pytest.fixture(scope="module")
def studies(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R1 by a language model; R2, forked after its prediction was recorded, with another goal, killed and taken up; R3,
    forked from R1 after the test, by another model; R4 by the autopilot, R5 its fork."""
    folder = tmp_path_factory.mktemp("forks")
    server, on = ["--base-url", wire.url], ["--db", "s.db", "--display", "none"]
    by_hand = ["--driver", "chat", "--llm", "by-hand", *server]
    assert ran(agent_process("run", "--goal", GOAL, *ON, *by_hand, folder=folder)) == 0
    assert (
        ran(agent_process("fork", "R1", "--at", "2", "--goal", OTHER, *server, *on, folder=folder, commits=3))
        == -signal.SIGKILL
    )
    assert ran(agent_process("resume", "R2", *server, *on, folder=folder)) == 0
    assert ran(agent_process("fork", "R1", "--at", "3", "--llm", "other", *server, *on, folder=folder)) == 0
    assert ran(agent_process("run", "--goal", GOAL, *ON, "--driver", "autopilot", folder=folder)) == 0
    assert ran(agent_process("fork", "R4", "--at", "2", "--experiments", "4", *on, folder=folder)) == 3
    return folder / "s.db"


def test_the_conversation_is_shared_to_the_byte_and_the_parent_stays(studies: Path) -> None:
    with Reader.open(studies) as reader:
        for run, parent, step in ((2, 1, 2), (3, 1, 3), (5, 4, 2)):
            row = reader.run(run)
            assert (row.parent, row.forked_at) == (f"R{parent}", step)
            until = [turn.content for turn in reader.turns(parent) if turn.step <= step]
            there = [turn.content for turn in reader.turns(run)]
            assert there[: len(until)] == until
            assert "this is a separate study" in there[len(until)]["text"]
        assert reader.run(2).goal == OTHER
        assert f"The user now asks: {OTHER}" in json.dumps([turn.content for turn in reader.turns(2)])
        assert reader.run(2).resumed
        assert reader.run(1).forks == ["R2", "R3"]
    assert verify_tracker(studies, [1, 2, 3, 4, 5]).differences == ()


def test_what_was_found_is_reused_but_for_what_was_held_out(studies: Path) -> None:
    with Reader.open(studies) as reader:
        for run, parent in ((2, 1), (3, 1), (5, 4)):
            shared = [e for e in reader.experiments(run=run) if e.run == f"R{parent}"]
            assert shared
            assert {e.split for e in shared} == {"explore"}
        spent = reader.run(3).spent
        assert spent["experiments"] == sum(e.run == "R3" for e in reader.experiments(run=3))
        assert spent["tokens_in"] == sum(t.tokens_in or 0 for t in reader.turns(3))
        assert spent["tokens_in"] < reader.run(1).spent["tokens_in"]


@pytest.mark.parametrize("run", [2, 3])
def test_what_was_predicted_counts_again_and_is_tested_on_other_prompts(studies: Path, run: int) -> None:
    with Reader.open(studies) as reader:
        (old,), (new,) = reader.hypotheses_of(1), reader.hypotheses_of(run)
        assert (new.statement, new.rationale, new.refuted_if) == (old.statement, old.rationale, old.refuted_if)
        assert len(new.predictions) == len(old.predictions)
        for before, after in zip(old.predictions, new.predictions, strict=True):
            seed = {"seed": int(new.id[1:])}
            assert after.config == {**before.config, **seed}
            assert after.judged.experiment != before.judged.experiment
            assert reader.experiment(int(after.judged.experiment[1:])).run == f"R{run}"
        assert set(verdicts([new]).corrected) == {one.id for one in new.predictions}
        assert "of R1" in new.events[0].comment
        said = [t.content["text"] for t in reader.turns(run) if t.role == "tool"]
        assert any("H1" in text and "report was rejected" in text for text in said), "the parent's verdict is its own"


@pytest.mark.parametrize("run", [2, 3, 5])
def test_a_fork_can_be_repeated(studies: Path, run: int) -> None:
    with Reader.open(studies) as reader:
        found = rerun(reader, run, silent)
    assert found.diverged is None, (found.diverged.what, found.diverged.was, found.diverged.now)
    assert found.experiments == sum(1 for e in own(studies, run) if e.status == "done")


def own(path: Path, run: int) -> list[ExperimentSummary]:
    with Reader.open(path) as reader:
        return [e for e in reader.experiments(run=run) if e.run == f"R{run}"]


def test_a_fork_ends_with_what_to_compare(studies: Path) -> None:
    said = (studies.parent / "said.txt").read_text()
    assert [line for line in said.splitlines() if line.startswith("Compare: ")] == [
        f"Compare: agent diff {parent} {run}" for parent, run in (("R1", "R2"), ("R1", "R3"), ("R4", "R5"))
    ]


def test_show_and_runs_tell_the_parent(studies: Path) -> None:
    shown = CliRunner().invoke(cli, ["show", "R2", "--db", str(studies)]).stdout
    assert "forked from  R1 at step 2" in shown
    assert "agent show R1" in shown
    listed = " ".join(CliRunner().invoke(cli, ["runs", "--db", str(studies)], env={"COLUMNS": "160"}).stdout.split())
    assert "(R1 from step 2 on) Is layer 0 needed?" in listed
    told = json.loads(CliRunner().invoke(cli, ["runs", "--json", "--db", str(studies)]).stdout)
    assert [(one["parent"], one["forked_at"]) for one in told][1] == ("R1", 2)


REFUSED = {
    "R1 --at 99": "R1 has no step 99. Its steps are 1 to 7",
    "R1 --at 7": "R1 wrote its report at step 7",
    "R2 --at 1": "R2 shares step 1 with R1: agent fork R1 --at 1",
    "R1 --at 2 --driver autopilot": "A language model drove R1",
    "R4 --at 2 --goal other": "cannot change its goal",
    "R4 --at 9": "R4 made predictions from step",
    "E1 --at 1": "E1 is not a run",
    "R9 --at 1": "There is no run R9",
    "R5 --at 12": "could only write its report",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(studies: Path, wire: Wire, words: str) -> None:
    server = [] if "R4" in words or "R5" in words else ["--base-url", wire.url]
    with Reader.open(studies) as reader:
        before = len(reader.runs())
    done = CliRunner().invoke(cli, ["fork", *words.split(), "--db", str(studies), *server])
    assert done.exit_code == 2
    assert REFUSED[words] in " ".join(done.stderr.split()), done.stderr
    with Reader.open(studies) as reader:
        assert len(reader.runs()) == before


def test_reasoning_of_one_server_is_not_sent_to_another(tmp_path: Path) -> None:
    with serving() as wire:
        ask = function_call("c1", "list_tasks", "{}")
        end = function_call("c2", "write_report", report("Nothing."))
        wire.then({"data": [{"id": "thinker"}]}).then(response(reasoning("SEALED"), ask)).then(response(end))
        words = ["--driver", "responses", "--llm", "thinker", "--base-url", wire.url]
        assert ran(agent_process("run", "--goal", GOAL, *ON, *words, folder=tmp_path)) == 0
        assert "SEALED" in wire.received[-1].raw.decode(), "it is handed back to whoever sealed it"
    with serving() as wire:
        done = function_call("c3", "write_report", report("Nothing."))
        wire.then({"data": [{"id": "other"}]}).then(response(done))
        words = ["--llm", "other", "--base-url", wire.url, "--db", "s.db", "--display", "none"]
        assert ran(agent_process("fork", "R1", "--at", "1", *words, folder=tmp_path)) == 0
        sent = wire.received[-1].raw.decode()
        assert "SEALED" not in sent
        assert '"call_id": "c1"' in sent or '"call_id":"c1"' in sent


@pytest.mark.parametrize(("run", "parent", "step"), [(2, "R1", 2), (3, "R1", 3), (5, "R4", 2)])
def test_the_report_of_a_fork_names_its_parent_and_counts_what_is_whose(
    studies: Path, run: int, parent: str, step: int
) -> None:
    with Reader.open(studies) as reader:
        report, rows = render_run(reader, run), reader.run(run).experiments
        shared = sum(row.run != f"R{run}" for row in rows)
        said = f"R{run} is a fork of {parent} after step {step}: {shared} of these experiments ran before "
        said += "that step, and "
        assert f"{said}{len(rows) - shared} after it." in report.markdown
        assert f"{said}{len(rows) - shared} after it." in report.html.replace("&#39;", "'")
        # The scripted model hands in a report or two that are refused.
        assert ("The program sent the writer" in report.markdown) == (run != 5)
        assert "is a fork of" not in render_run(reader, 1).markdown


def test_a_report_counts_what_its_relatives_tested_until_it_was_written(studies: Path) -> None:
    """Otherwise somebody could fork a study until a test comes out well, and show the last fork alone."""
    with Reader.open(studies) as reader:
        tested = {run: sum(p.judged is not None for h in reader.run(run).hypotheses for p in h.predictions)
                  for run in (1, 2, 3)}  # fmt: skip
        assert tested[1]
        assert tested[2]
        assert dict(reader.tested_by_relatives(3)) == {f"R{run}": tested[run] for run in (1, 2) if tested[run]}
        report = reader.latest_report(3)
        assert report is not None
        others = reader.tested_by_relatives(3, report.created)
        assert sum(one.tests for one in others) == tested[1] + tested[2]
        said = f"R1 and R2, which share its beginning, tested {tested[1] + tested[2]} predictions"
        assert said in render_run(reader, 3).markdown
        # R1 was written before it had forks.
        assert "share" not in render_run(reader, 1).markdown.split("## ")[0]
        assert dict(reader.tested_by_relatives(1)) == {f"R{run}": tested[run] for run in (2, 3) if tested[run]}
        assert set(dict(reader.tested_by_relatives(5))) <= {"R4"}
