"""How much a study sends: a short first request, the other kinds on request, and old results as one line."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.agent.study.context_window import WHOLE_TURNS
from lashley.db.read.reader import Reader
from lashley.experiments.kinds.registry import kinds
from lashley.tests.wire import Wire, chat, function_call, response
from lashley.tools.registry import all_tools, review_tools, shared
from lashley.tools.toolset import ADDING, MAKING, core

# Bytes of the first request, and of the last one of a study of 29 calls.
MOST, LAST = 37_000, 70_000
REPORT = {"title": "Nothing", "claims": [], "interpretation": "Nothing was done."}
OTHER = "attention_entropy"


def studied(
    wire: Wire, folder: Path, api: str, *calls: tuple[str, dict[str, Any]], tools: str = "all",
    task: tuple[str, ...] = ("--task", "induction"), goal: str = "What adds?",
) -> list[Any]:  # fmt: skip
    """The bodies of the requests of a study that makes these calls, then reports."""
    wire.then({"data": []})
    for place, (name, given) in enumerate([*calls, ("write_report", REPORT)]):
        whole = json.dumps(given)
        as_chat, as_response = chat(None, (f"c{place}", name, whole)), response(function_call(f"c{place}", name, whole))
        # Without token counts, which would have to grow with the requests.
        wire.then({**(as_chat if api == "chat" else as_response), "usage": None})
    words = ["run", "--goal", goal, *task, "--driver", api, "--base-url", wire.url]
    words += ["--llm", "by-hand", "--model", "planted:induction", "--tools", tools, "--display", "none", "--n", "4"]
    words += ["--db", str(folder / "t.db"), "--reports", str(folder / "reports")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [received.body for received in wire.received[1:]]


def names(body: dict[str, Any]) -> set[str]:
    return {tool["function"]["name"] if "function" in tool else tool["name"] for tool in body["tools"]}


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("tools", ["all", "core"])
def test_the_first_request_is_short_and_names_every_kind(wire: Wire, tmp_path: Path, api: str, tools: str) -> None:
    (body,) = studied(wire, tmp_path, api, tools=tools)
    text = json.dumps(body, ensure_ascii=False)
    assert len(wire.received[1].raw) < MOST
    assert (ADDING in names(body)) == (tools == "all")
    assert {*core()} <= names(body)
    if tools == "all":
        assert not [kind for kind in (*kinds(), MAKING) if kind not in text]
    # What every kind takes is said once, and nowhere left out.
    assert not [one for one in shared().values() if text.count(json.dumps(one, ensure_ascii=False)[1:-1]) != 1]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_added_tool_is_sent_whole_from_the_next_request_on_and_replays(wire: Wire, tmp_path: Path, api: str) -> None:
    add = (ADDING, {"names": [OTHER]})
    run = (OTHER, {"reason": "To see."})
    bodies = studied(wire, tmp_path, api, add, run)
    assert [OTHER in names(body) for body in bodies] == [False, True, True]
    (tool,) = [
        t.get("function", t) for t in bodies[1]["tools"] if OTHER in (t.get("name"), t.get("function", {}).get("name"))
    ]
    assert tool["strict"]
    assert tool["description"] == all_tools()[OTHER].description
    assert set(tool["parameters"]["properties"]) == set(all_tools()[OTHER].schema["properties"])
    said = CliRunner().invoke(cli, ["replay", "R1", "--db", str(tmp_path / "t.db")], catch_exceptions=False)
    assert said.exit_code == 0, said.output


def test_a_kind_that_nobody_added_runs_and_is_sent_from_then_on(wire: Wire, tmp_path: Path) -> None:
    bodies = studied(wire, tmp_path, "chat", (OTHER, {"reason": "To see."}), (ADDING, {"names": ["nothing"]}))
    assert [OTHER in names(body) for body in bodies] == [False, True, True]
    answers = [m["content"] for m in bodies[-1]["messages"] if m["role"] == "tool"]
    assert answers[0].startswith("E1 ")
    assert answers[1].startswith("There is no tool 'nothing' to add. Add one")


def test_a_reviewer_can_add_every_kind_and_no_task() -> None:
    about = review_tools()[ADDING].description
    assert not [kind for kind in kinds() if kind not in {*core()} and f"\n{kind}: " not in about]
    assert f"\n{MAKING}: " not in about
    assert f"\n{MAKING}: " in all_tools()[ADDING].description


def test_every_answer_says_what_is_left_and_a_row_of_experiments_without_a_hypothesis_is_noticed(
    wire: Wire, tmp_path: Path
) -> None:
    expected = {"kind": "head_ablation", "config": json.dumps({"heads": ["L1.H2"], "together": True})}
    one = {**expected, "quantity": "loss_increase", "comparison": "above", "low": 0.01}
    words = {"statement": "L1.H2 is needed.", "rationale": "It was seen.", "refuted_if": "Nothing is lost."}
    seeds = [("block_influence", {"seed": seed, "reason": "x"}) for seed in range(6)]
    calls = [
        # What a study begins with does not count.
        ("baseline", {"reason": "x"}),
        *seeds[:3],
        ("list_tasks", {}),
        seeds[3],
        ("propose_hypothesis", {**words, "predictions": [one]}),
        *seeds[4:],
    ]
    studied(wire, tmp_path, "responses", *calls)
    with Reader.open(tmp_path / "t.db") as reader:
        answers = [turn.content["text"] for turn in reader.turns(1) if turn.role == "tool"][:-1]
    left = [re.findall(r"\n\(Left: (\d+) of 40 experiments\.\)$", text) for text in answers]
    assert left == [["39"], ["38"], ["37"], ["36"], ["36"], ["35"], ["35"], ["34"], ["33"]]
    still = "3 experiments in a row have changed no open hypothesis"
    assert [still in text for text in answers] == [False, False, False, True, *[False] * 5]
    with Reader.open(tmp_path / "t.db") as reader:
        codes = [turn.content.get("code", "") for turn in reader.turns(1) if turn.role == "tool"]
    assert codes == ["", "", "", "plateau", *[""] * 6]
    said = CliRunner().invoke(cli, ["replay", "R1", "--db", str(tmp_path / "t.db")], catch_exceptions=False)
    assert said.exit_code == 0, said.output


def long_study() -> list[tuple[str, dict[str, Any]]]:
    """29 calls, as a study makes them: looks, sweeps, other methods, predictions, tests."""
    why = {"reason": "The sweep before this one showed where to look, and a second method must agree with it."}
    one = {"like": "E3", "quantity": "effect[skip L1]", "comparison": "above", "low": 0.1}
    words = {"rationale": "The sweep showed it.", "refuted_if": "Nothing is lost."}
    methods = [
        ("head_ablation", {"method": m, "metric": t, **why}) for m in ("mean", "resample") for t in ("loss", "kl")
    ]
    return [
        ("list_tasks", {}), ("show_task", {"task": "induction"}), ("describe_model", {}), ("list_models", {}),
        ("baseline", why), ("logit_lens", why), ("layer_program", {"sweep": "skip_each", **why}),
        ("head_ablation", why), *methods, ("activation_patching", why), ("activation_patching", {"part": "z", **why}),
        (ADDING, {"names": ["direct_logit_attribution", "attention_patterns"]}),
        ("direct_logit_attribution", why), ("attention_patterns", why), ("head_detectors", why),
        ("layer_program", {"sweep": "repeat_each", **why}), ("show_experiment", {"experiment": "E4"}),
        ("query_tracker", {"sql": "SELECT site, value, low, high FROM effects WHERE experiment = 4"}),
        ("write_note", {"title": "Two heads", "text": "Two heads stand out. " * 30, "tags": [], "experiments": []}),
        ("propose_hypothesis", {"statement": "L1 is needed.", "predictions": [one], **words}),
        ("intervene", {"edit": ["A: zero L1.H2", "B: zero L0.H1"], "contrast": ["A minus B"], **why}),
        ("list_experiments", {}), ("test_hypothesis", {"hypothesis": "H1"}),
        ("activation_patching", {"direction": "noising", **why}), ("show_experiment", {"experiment": "E1"}),
    ]  # fmt: skip


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_long_study_sends_old_results_in_their_short_form(wire: Wire, tmp_path: Path, api: str) -> None:
    calls = long_study()
    bodies = studied(wire, tmp_path, api, *calls)
    assert len(bodies) == 29
    assert len(wire.received[-1].raw) < LAST
    talks = [body["messages"] if api == "chat" else body["input"] for body in bodies]
    steps = [before != after[: len(before)] for before, after in pairwise(talks)]
    # The steps are rare; between two of them a request only grows at its end, which keeps caches valid.
    assert 2 <= sum(steps) <= 6
    answers = {m.get("tool_call_id") or m.get("call_id"): m.get("content") or m["output"] for m in talks[-1]
               if m.get("role") == "tool" or m.get("type") == "function_call_output"}  # fmt: skip
    with Reader.open(tmp_path / "t.db") as reader:
        logged = {turn.content["call_id"]: turn.content["text"] for turn in reader.turns(1) if turn.role == "tool"}
        found = {e.id: e.found or "" for e in reader.experiments(run=1)}
    last = [f"c{place}" for place in range(len(calls) - WHOLE_TURNS, len(calls))]
    assert [answers[one] for one in last] == [logged[one] for one in last]
    shown = re.compile(r'\(Shortened; whole: show_experiment {"experiment": "(E\d+)"}\)$')
    short = {hit[1]: text for text in answers.values() if (hit := shown.search(text))}
    assert len(short) > 8
    for id, text in short.items():
        # It names the experiment, and says what it found.
        assert text.startswith(f"{id} ")
        assert " ".join(found[id].split())[:200] in text
    # The call that a short form names shows the experiment whole again.
    assert "E1" in short
    assert found["E1"] in answers[last[-1]]
    said = CliRunner().invoke(cli, ["replay", "R1", "--db", str(tmp_path / "t.db")], catch_exceptions=False)
    assert said.exit_code == 0, said.output


def test_a_study_without_a_task_is_first_sent_what_needs_none(wire: Wire, tmp_path: Path) -> None:
    (body,) = studied(wire, tmp_path, "chat", task=(), goal="What is this?")
    assert "free_run" in names(body)
    assert "No task matches" in json.dumps(body)
