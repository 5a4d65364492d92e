"""Why a call is not done, or not done as asked: each reason under a code, with the text that whoever called reads.

The code goes into the tracker with the answer, so that refusals can be counted by their reason; the text says what to
do instead, and may be worded better at any time. A template is filled in by `str.format`. What the experiments and the
tracker refuse has the code of its error's class.
"""

from __future__ import annotations

from .errors import ToolError

# Codes that programs look for.
STOPPING, BUDGET_SPENT = "stopping", "budget_spent"

REFUSALS = {
    # The study takes no such call now. (`repeated` has its text in prompts/.)
    "study_over": "The study is finished; this call was not done.",
    STOPPING: "The user wants to stop; only {last} is taken now.",
    BUDGET_SPENT: "The budget is spent; only {last} is taken now.",
    # The call itself is wrong.
    "unknown_tool": "There is no tool '{name}'. Tools: {tools}.",
    "bad_arguments": "{name}: {faults}",
    "not_json": "{what} is no JSON ({fault}). Send one JSON object.",
    "not_an_object": "{what} must be one JSON object.",
    "task_name": "name: a task is called by what it asks. {words}",
    "tool_failed": "{name} failed inside: {fault}. Try another way.",
    "wrong_id": "{text} is the id of a {found}; an id of a {what} is wanted.",
    "other_model": "An experiment runs on the subject of this study ({model}) or on a bundled one ({bundled}), not on "
    "'{name}'. Leave model null.",
    "no_number": "'{text}' in {name} is no number; write for example 0,1,15.",
    "unknown_kind": "{wrong}: say all, core ({core}), or some of {there}.",
    "bad_configuration": "{faults}",
    "experiment_failed": "{id} failed: {error}",
    # Held-out prompts are kept for the tests.
    "confirm_closed": "The confirm split is closed: it is for the tests of hypotheses. Explore without naming a split; "
    "then propose_hypothesis with predictions, and test_hypothesis.",
    "held_out": "{id} is another study's test on held-out prompts. What it found is closed, so that nobody predicts "
    "what was read; its hypothesis and the verdict are open.",
    "held_out_like": "{id} is another study's test on held-out prompts; predict what you have seen.",
    "program_draws": "leave out {name}: the program draws the held-out prompts of each hypothesis.",
    # Hypotheses.
    "prediction": "Prediction {place}: {fault}",
    "cannot_fail": "{why}",
    "no_equivalence": "{why}",
    "like_or_kind": "give either like (an experiment, such as E5) or kind.",
    "predicted_already": "'{said}' is predicted already; the same test twice is no more evidence.",
    "no_predictions": "{id} has no predictions, so there is nothing to test.",
    "tested_already": "{id} has been tested: {status}. A new test needs a new hypothesis.",
    "other_study": "{name} belongs to {owner}; propose one of your own.",
    # What is written.
    "typed_number": "{what} holds a typed number, which others would read; name the experiment instead: E5.",
    "not_finished": "{id} is {status}; only finished experiments are evidence.",
    "no_study": "A report belongs to a study; there is none here.",
    "questions_registered": "This study has registered what it asks, and that stays: {questions}",
    "no_such_part": "The model has no {part}. {why}",
    "report_faults": "The report was not taken. Mend these and send it again, whole:\n- {faults}",
    "nothing_under_review": "There is no study under review here.",
    "review_faults": "The review was not taken. Mend these and send it again, whole:\n- {faults}",
    # Reviews.
    "is_a_review": "{name} is itself a second opinion, on {of}; review that one.",
    "still_running": "{name} is still running; review it when it has ended.",
    "claims_nothing": "{name} claims nothing, so there is nothing to review.",
    # Tasks.
    "no_task_file": "{fault}",
    "task_of_a_model": "{maker} made a task '{name}'; rename the file, or import it with --name.",
    "task_changed": "The task {name} in the tracker is not the one that was kept: its fingerprint is {now}, and was "
    "{was}. Its row was changed, or this program reads it differently. Import or make it again under another name.",
    # Repeating an experiment.
    "nothing_to_compare": "{name} is {status}, so there is nothing to compare with.",
    "other_weights": "{name} was measured on {model} with fingerprint {was}; the model of that name here has {now}. It "
    "is another model, so a replay would mean nothing.",
    "other_task_version": "{name} was measured on another version of the task {task}{of}.",
    "other_lab": "An experiment with chat needs a lab with chat, and one without needs a plain lab: lab_of makes both.",
    # Files of a report.
    "no_report": "{file} is no report that names its study and seal. Write it with: agent report R1",
    "unreadable": "{file} cannot be read: {why}.",
}


def refused(code: str, **facts: object) -> ToolError:
    """The error of this code. Raises KeyError for a code that is not there, and for facts that its template lacks."""
    return ToolError(REFUSALS[code].format(**facts), code)
