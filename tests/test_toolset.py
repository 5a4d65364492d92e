"""A study offers all tools, the core, or those that were named; what can never be left out is always there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from lashley.agent.instruments import instruments
from lashley.agent.main import cli
from lashley.experiments.kinds.registry import kinds
from lashley.tests.wire import Wire, chat
from lashley.tools.errors import ToolError
from lashley.tools.registry import all_tools
from lashley.tools.toolset import ADDING, MAKING, chosen, core, offered

ALWAYS = set(all_tools()) - set(kinds()) - {MAKING, ADDING}
REPORT = {"title": "Nothing", "claims": [], "interpretation": "Nothing was done."}


def test_core_is_a_part_that_a_protocol_could_work_with() -> None:
    assert {"baseline", "head_ablation", "layer_program"} <= set(core()) < set(kinds())
    assert set(offered(all_tools(), chosen("core"))) == ALWAYS | set(core())


@pytest.mark.parametrize(
    ("words", "kept"),
    [("baseline", {"baseline"}), (" logit_lens ,baseline,baseline", {"baseline", "logit_lens"}), (MAKING, {MAKING})],
)
def test_named_ones(words: str, kept: set[str]) -> None:
    assert set(offered(all_tools(), chosen(words))) == ALWAYS | kept


def test_all_is_all() -> None:
    assert list(offered(all_tools(), chosen("all"))) == list(all_tools())


@pytest.mark.parametrize("words", ["", ",", "cor", "baseline,heads", "write_note"])
def test_a_name_that_is_not_there_is_told_with_those_that_are(words: str) -> None:
    with pytest.raises(ToolError, match="baseline"):
        chosen(words)


def test_a_study_sends_no_other_tools_and_takes_no_call_of_them(wire: Wire, tmp_path: Path) -> None:
    wire.then({"data": []})  # it is asked first whether anybody is there
    wire.then(chat(None, ("c1", "head_ablation", json.dumps({"reason": "x"}))))
    wire.then(chat(None, ("c2", "write_report", json.dumps(REPORT))))
    words = ["run", "--goal", "What adds?", "--task", "arithmetic", "--driver", "chat", "--base-url", wire.url]
    words += ["--llm", "by-hand", "--model", "planted:induction", "--tools", "baseline", "--display", "none"]
    words += ["--db", str(tmp_path / "t.db"), "--reports", str(tmp_path / "reports")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    bodies = [received.body for received in wire.received[1:]]
    assert {tool["function"]["name"] for tool in bodies[0]["tools"]} == ALWAYS | {"baseline"}
    assert bodies[0]["tools"] == bodies[1]["tools"]
    said = bodies[1]["messages"][-1]["content"]
    assert said.startswith("There is no tool 'head_ablation'. Tools: ")
    assert "logit_lens" not in said


def test_the_autopilot_has_its_own(tmp_path: Path) -> None:
    words = ["run", "--goal", "What adds?", "--driver", "autopilot", "--tools", "core", "--db", str(tmp_path / "t.db")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert "Leave out --tools" in done.stderr
    assert not (tmp_path / "t.db").exists()


def test_every_kind_has_its_question_and_only_what_is_offered_is_named() -> None:
    told = instruments(kinds())
    for name in kinds():
        assert len(re.findall(rf"\b{name}\b", told)) == 1, f"prompts/instruments.md: {name}"
    few = instruments({"baseline", "direct_logit_attribution", "head_composition"}).splitlines()
    assert few[1:] == [
        "- Can the model do the task, and where does it fail? baseline",
        "- Which part reads from which? from the weights alone: head_composition",
        "- What does a part write, and when is the answer there? direct_logit_attribution",
    ]
