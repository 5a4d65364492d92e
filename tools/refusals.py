"""Why a call is refused, or not done as asked: each reason has a code, and a text that the caller reads.

The code goes into the tracker with the answer, so that refusals can be counted by reason. The text says what to do
instead, and its wording may change at any time. `str.format` fills in a template. Refusals by the experiments and the
tracker have the code of their error's class.
"""

from __future__ import annotations

from .errors import ToolError

# Codes that programs look for.
STOPPING, BUDGET_SPENT = "stopping", "budget_spent"

REFUSALS = {
    # The study does not accept such a call now. (The text of `repeated` is in prompts/.)
    "study_over": "The study is over; this call was not run, and none is accepted any more.",
    STOPPING: "The user wants to stop; only {last} is accepted now.",
    BUDGET_SPENT: "The budget is spent; only {last} is accepted now.",
    # The call itself is wrong.
    "unknown_tool": "There is no tool '{name}'. Tools: {tools}.",
    "nothing_to_add": "There is no tool '{name}' to add. Add one or more of: {there}.",
    "bad_arguments": "{name}: {faults}",
    "not_json": "{what} is not valid JSON ({fault}). Send one JSON object.",
    "not_an_object": "{what} must be one JSON object, such as {{}}.",
    "task_name": "name: name the task after what it asks. {words}",
    "tool_failed": "{name} failed with an internal error: {fault}. Try another configuration, or another tool.",
    "wrong_id": "{text} is an id of type {found}; give one of type {what}.",
    "other_model": "An experiment runs on this study's subject ({model}) or a bundled model ({bundled}), not on "
    "'{name}'. Leave model null.",
    "no_number": "'{text}' in {name} is not a number; write, for example, 0,1,15.",
    "unknown_kind": "{wrong}. Use all, core ({core}), or some of {there}.",
    "bad_configuration": "{faults}",
    "experiment_failed": "{id} failed: {error}",
    "no_task_done": "It ran on none of these tasks:\n{faults}",
    "too_few_left": "The call runs {needed} experiments, one for each task, and {left} are left. Name at most {left}.",
    # Held-out prompts are kept for the tests.
    "confirm_closed": "The confirm split is reserved for the tests of hypotheses. Explore without naming a split; "
    "then call propose_hypothesis with predictions, and test_hypothesis.",
    "held_out": "{id} is another study's test on held-out prompts. Its result is hidden, so that nobody predicts "
    "what they have read. Use your own experiments; you can read its hypothesis and "
    "verdict.",
    "held_out_like": "{id} is another study's test on held-out prompts; name an experiment that you can read.",
    "one_experiment": "a prediction is about one experiment, and the quantity names {of}. Propose one for each.",
    "program_draws": "leave out {name}: the program draws the held-out prompts of each hypothesis.",
    # Hypotheses.
    "prediction": "Prediction {place}: {fault}",
    "cannot_fail": "{why}",
    "no_equivalence": "{why}",
    "like_or_kind": "give either like (an experiment, such as E5) or kind, and leave the other null.",
    "predicted_already": "'{said}' is already predicted, and the same test twice adds no evidence. "
    "Leave this prediction out.",
    "no_predictions": "{id} has no predictions, so there is nothing to test. Propose it again with a prediction.",
    "tested_already": "{id} has been tested: {status}. A new test needs a new hypothesis.",
    "other_study": "{name} belongs to {owner}; propose one of your own.",
    # What is written.
    "typed_number": "{what} contains a typed number, which the program cannot check; name the experiment by its id, or "
    "leave the number out.",
    "not_finished": "{id} is {status}; only finished experiments are evidence. Leave {id} out.",
    "no_study": "This call needs a study, and there is none here. Start one with: agent run --goal GOAL",
    "questions_registered": "This study has already registered its questions, and they are frozen: {questions} "
    "A task that you make later can have its own questions, before any experiment on it. Continue with an experiment.",
    "no_such_part": "The model has no {part}. {why}",
    "report_faults": "The report was rejected. Fix these faults and send the whole report again:\n- {faults}",
    "nothing_under_review": "No study is under review here. Start with: agent review R1",
    "review_faults": "The review was rejected. Fix these faults and send the whole review again:\n- {faults}",
    # Reviews.
    "is_a_review": "{name} is itself a second opinion on {of}; review {of} instead.",
    "still_running": "{name} is still running; review it when it has ended.",
    "claims_nothing": "{name} makes no claim, so there is nothing to review. Choose a study with claims.",
    # Tasks.
    "no_task_file": "{fault}",
    "task_of_a_model": "{maker} already made a task '{name}'; rename the file, or import it with --name.",
    "task_changed": "The task {name} in the tracker is not the one that was saved: its fingerprint was {was}, and "
    "is now {now}. Somebody changed its row, or this program reads it differently. Import it or make it again under "
    "another name.",
    # Repeating an experiment.
    "nothing_to_compare": "{name} is {status}, so there is nothing to compare with. Name an experiment that is done.",
    "other_weights": "{name} was measured on {model} with fingerprint {was}; the model of that name here has {now}. It "
    "is a different model, so a replay would mean nothing. Load the former weights, or run a new experiment.",
    "other_task_version": "{name} was measured on a different version of the task {task}{of}. Run a new "
    "experiment to measure this version.",
    "other_lab": "An experiment with chat needs a lab with chat, and one without needs a plain lab: lab_of makes both.",
    # Circuits.
    "circuit_of_another_model": "{id} is a circuit of {model}, not of {asked}. Use model {model}, or name a circuit of "
    "{asked}.",
    "circuit_of_other_weights": "{id} was found in {model} with fingerprint {was}; the model of that name here has "
    "{now}. Load the former weights, or name the edges.",
    "circuit_not_whole": "Of {id}, the strongest {kept} of {size} edges are stored, so it cannot be run. Find a "
    "smaller one: set edges in circuit_discovery.",
    "circuit_and_edges": "edges has other edges than {id}. Leave out edges, or leave out circuit.",
    "found_on_these": "{id} was found on {same} of these {n} prompts, which it therefore fits. Use other prompts: "
    "seed {seed}, or a prediction, which is tested on held-out ones.",
    "held_out_circuit": "{id} is from another study's test on held-out prompts; name a circuit that you can read.",
    "other_shape": "{one} is a circuit of {model}, and {other} one of {other_model}, which has other edges. Give two "
    "circuits of models with the same layers and heads.",
    # Files of a report.
    "no_report": "{file} names no study and seal, as a report does. Write it with: agent report R1",
    "unreadable": "{file} cannot be read: {why}.",
}


def refused(code: str, **facts: object) -> ToolError:
    """The error of this code. Raises KeyError for an unknown code, and for facts that its template needs and lacks."""
    return ToolError(REFUSALS[code].format(**facts), code)
