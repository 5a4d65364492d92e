"""The loop with a language model on a real HTTP server whose replies are scripted, and the real bundled subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import Ending, study
from lashley.db.read.reader import Reader
from lashley.tests.wire import Wire, chat, function_call, output_text, response
from lashley.tools.workbench.context import Context

GOAL = "Which heads does SmolLM2 need to add small numbers?"
BASELINE = {"task": "arithmetic", "n": 4, "reason": "First."}
SOURCE = "It is right in {{E1.accuracy}} of the prompts."
REPORT = {"title": "Sums", "claims": [], "interpretation": SOURCE}


def call(name: str, arguments: Any, id: str = "call_1") -> dict[str, Any]:
    return chat(None, (id, name, json.dumps(arguments) if isinstance(arguments, dict) else arguments))


def run(wire: Wire, folder: Path, **budget: Any) -> tuple[Ending, Reader]:
    driver = ChatDriver("by-hand", base_url=wire.url, api_key="none")
    path = folder / "t.db"
    with Context.open(str(path)) as context:
        ending = study(context, driver, GOAL, Budget(**budget), View(None))
    return ending, Reader.open(path)


def answers(reader: Reader) -> list[str]:
    return [t.content["text"] for t in reader.turns(1) if t.role == "tool"]


def test_a_study_ends_in_a_report_and_everything_is_in_the_tracker(wire: Wire, tmp_path: Path) -> None:
    wire.then(call("baseline", BASELINE))
    wire.then(call("head_ablation", {"task": "arithmetic", "n": 4, "heads": ["L0.H1"], "reason": "Then."}, "call_2"))
    wire.then(call("write_note", {"title": "x", "text": "y", "tags": [], "experiments": ["E1"]}, "call_3"))
    wire.then(call("write_report", REPORT, "call_4"))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "finished"
    assert not ending.report_by_program
    row = reader.run(1)
    assert (row.status, row.spent["experiments"], row.report) == ("finished", 2, f"# Sums\n\n{SOURCE}")
    assert [e.reason for e in row.experiments] == ["First.", "Then."]
    first = reader.experiment(1)
    assert first.config["model"] == "smollm2-135m"
    assert first.subject.anatomy["n_heads"] == 9
    # Every message that the server saw or sent is a turn, in order.
    roles = [t.role for t in reader.turns(1)]
    assert roles == ["user", *["assistant", "tool"] * 4]
    assert wire.bodies[-1]["messages"][:-2] == wire.bodies[-2]["messages"], "the beginning of the prompt never changes"


def test_the_same_study_over_the_responses_api(wire: Wire, tmp_path: Path) -> None:
    wire.then(response(function_call("c1", "baseline", json.dumps(BASELINE))))
    wire.then(response(output_text("Done."), function_call("c2", "write_report", json.dumps(REPORT))))
    with Context.open(str(tmp_path / "t.db")) as context:
        driver = ResponsesDriver("by-hand", base_url=wire.url, api_key="none")
        ending = study(context, driver, GOAL, Budget(), View(None))
    assert ending.status == "finished"


def test_a_bad_call_is_answered_and_never_ends_the_run(wire: Wire, tmp_path: Path) -> None:
    wire.then(call("no_such_tool", {}))
    wire.then(call("baseline", '{"task": "arith', "call_2"))
    wire.then(call("baseline", {"task": "arithmetics", "n": 4, "reason": "x"}, "call_3"))
    wire.then(call("baseline", {"task": "arithmetic", "n": 100_000, "reason": "x"}, "call_4"))
    wire.then(call("head_ablation", {"heads": ["L99.H0"], "n": 4, "reason": "x"}, "call_5"))
    wire.then(call("query_tracker", {"sql": "DELETE FROM runs"}, "call_6"))
    wire.then(call("baseline", {**BASELINE, "model": "/etc"}, "call_6b"))
    wire.then(call("baseline", BASELINE, "call_7"))
    wire.then(call("write_report", REPORT, "call_8"))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "finished"
    told = answers(reader)
    assert "no tool 'no_such_tool'" in told[0]
    assert "not valid JSON" in told[1]
    assert "arithmetic" in told[2]
    assert "512" in told[3]
    assert "There is no layer 99. This model has 30 layers, 0 to 29." in told[4]
    assert "SELECT" in told[5]
    assert "not on '/etc'" in told[6], "a call names no path"
    assert [e.status for e in reader.experiments()] == ["done"], "what cannot be asked leaves a turn, and no row"
    assert reader.run(1).spent["experiments"] == 1


def test_invented_numbers_and_foreign_experiments_are_sent_back(wire: Wire, tmp_path: Path) -> None:
    wire.then(call("baseline", BASELINE))
    wire.then(call("write_report", {**REPORT, "interpretation": "The accuracy is 0.93."}, "call_2"))
    wire.then(call("write_report", {**REPORT, "interpretation": "It is {{E7.accuracy}}."}, "call_3"))
    wire.then(call("write_report", {**REPORT, "interpretation": "It is {{E1.acuracy}}."}, "call_4"))
    wire.then(call("write_report", REPORT, "call_5"))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "finished"
    told = answers(reader)
    assert "0.93" in told[1]
    assert "E7" in told[2]
    assert "accuracy" in told[3]
    assert reader.report(1) == f"# Sums\n\n{SOURCE}"


def test_the_same_experiment_twice_is_no_new_evidence(wire: Wire, tmp_path: Path) -> None:
    wire.then(call("baseline", BASELINE))
    wire.then(call("baseline", {**BASELINE, "reason": "Again."}, "call_2"))
    wire.then(call("write_report", REPORT, "call_3"))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "finished"
    assert "not new evidence" in answers(reader)[1]
    assert len(reader.experiments()) == 1
    assert reader.run(1).spent["experiments"] == 1
    # Another study is given the earlier experiment, may cite it, and it is still one experiment.
    wire.then(call("baseline", {**BASELINE, "reason": "Another study."}))
    wire.then(call("write_report", REPORT, "call_2"))
    wire._answers.pop(0)
    with Context.open(str(tmp_path / "t.db")) as context:
        again = study(context, ChatDriver("by-hand", base_url=wire.url, api_key="none"), GOAL, Budget(), View(None))
    assert again.status == "finished"
    assert len(reader.experiments()) == 1
    assert [e.id for e in reader.run(2).experiments] == ["E1"]


def test_a_spent_budget_still_ends_in_a_report(wire: Wire, tmp_path: Path) -> None:
    wire.then(call("baseline", BASELINE))
    wire.then(call("baseline", {**BASELINE, "seed": 1}, "call_2"))  # and so on, deaf to the budget
    ending, reader = run(wire, tmp_path, experiments=1)
    assert ending.status == "budget"
    assert ending.report_by_program
    assert "{{E1.found}}" in (reader.report(1) or "")
    assert len(reader.experiments()) == 1


def test_a_model_that_goes_round_in_a_circle_is_told_then_left(wire: Wire, tmp_path: Path) -> None:
    wire.by(lambda _: call("list_tasks", {}))
    ending, reader = run(wire, tmp_path)
    assert (ending.status, ending.why) == ("failed", "The language model made the same call 10 times in a row.")
    assert ending.report_by_program
    said = answers(reader)
    assert len(said) == 10
    assert len(set(said[:3])) == 1
    assert "arithmetic" in said[2]
    assert "4 times in a row" in said[3]
    assert "write_report" in said[3]
    offered = [{tool["function"]["name"] for tool in body["tools"]} for body in wire.bodies]
    assert offered[3] - offered[4] == {"list_tasks"}, "so that something else is called"


def test_what_was_called_over_and_over_is_offered_again(wire: Wire, tmp_path: Path) -> None:
    for i, name in enumerate([*["list_models"] * 4, "list_tasks", "list_models"]):
        wire.then(call(name, {}, f"c{i}"))
    wire.then(call("write_report", {"title": "Sums", "claims": [], "interpretation": "Nothing."}, "end"))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "finished"
    assert "smollm2" in answers(reader)[5]


def test_what_is_called_again_later_is_done(wire: Wire, tmp_path: Path) -> None:
    names = [*["list_models"] * 3, "list_tasks"] * 2
    for i, name in enumerate(names):
        wire.then(call(name, {}, f"c{i}"))
    wire.then(call("write_report", {"title": "Sums", "claims": [], "interpretation": "Nothing."}, "end"))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "finished"
    assert not any("in a row" in text for text in answers(reader))


def test_a_model_that_only_talks_is_nudged_then_left(wire: Wire, tmp_path: Path) -> None:
    wire.then(chat("I would rather chat."))
    ending, reader = run(wire, tmp_path)
    assert ending.status == "failed"
    assert len(wire.received) == 3
    assert reader.report(1) is not None


def test_a_server_that_dies_keeps_what_was_found(wire: Wire, tmp_path: Path) -> None:
    wire.then(call("baseline", BASELINE))
    wire.then(
        {"error": {"message": "no credit", "code": "insufficient_quota", "type": "insufficient_quota"}}, status=429
    )
    ending, reader = run(wire, tmp_path)
    assert ending.status == "stopped"
    assert "no quota left" in (ending.why or "")
    # With no process at work on it any more, it is one that can be gone on with.
    assert reader.run(1).status == "stopped"
    assert reader.experiment(1).status == "done"


def test_a_server_that_never_answers_ends_the_study(wire: Wire, tmp_path: Path) -> None:
    wire.then({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)
    ending, reader = run(wire, tmp_path)
    assert ending.status == "failed"
    assert reader.report(1) is not None
