"""Hypotheses: recorded with predictions before their test, tested by the program, and never overruled."""

from __future__ import annotations

import json
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError

from ..db.ids import show_id
from ..db.records import Hypothesis, as_json
from ..experiments.errors import ExperimentError
from ..experiments.explain import VALUE_ERROR
from ..experiments.kinds import registry
from ..experiments.kinds.registry import own_settings
from ..experiments.prediction import EXCESS, Comparison, Prediction
from ..experiments.statistics.p_values import p_text
from ..experiments.statistics.random_sets import DRAWS
from .arguments import Answered, Arguments, number_of
from .claims.weak_predictions import warnings
from .errors import ToolError
from .evidence.conditions import Bound, parse_bound
from .evidence.equivalence import rests_on_controls
from .evidence.possible import BEYOND, SLACK, impossible, sets_needed
from .evidence.quantity import FORMS, NoQuantity, parse, read
from .evidence.testing import prediction_of, run_tests
from .evidence.trivial import cannot_fail
from .evidence.verdict import (
    METHODS,
    JudgedPrediction,
    Stated,
    Verdicts,
    by_task,
    judged_predictions,
    said,
    spoken,
    task_line,
    verdicts,
)
from .json_arguments import json_object
from .refusals import REFUSALS, refused
from .report.numbers import value_text
from .workbench.across_tasks import tasks_in
from .workbench.circuits import changed, with_edges
from .workbench.context import Context
from .workbench.naming import allowed_model, within_task
from .workbench.run_experiment import experiment_from
from .writing import require_no_numbers


class Predicted(Arguments):
    like: Annotated[str | None, Field(description="The experiment to repeat on held-out prompts, such as E5.")] = None
    kind: Annotated[str | None, Field(description="Or a kind of experiment, such as head_ablation.")] = None
    config: Annotated[
        str | None,
        Field(
            description='A JSON object of the settings that differ from `like` or the defaults: {"heads": ["L7.H3"], '
            '"together": true}; null returns one to its default. Several tasks (ioi, capitals) give a prediction each. '
            "Name only the parts that you predict about. A removal is tested under zero, mean and resample unless you "
            "give method. The program sets split and seed.",
        ),
    ] = None
    quantity: Annotated[
        str, Field(min_length=1, description=f"A number of its result: {FORMS}. With beyond_control: excess.")
    ]
    comparison: Annotated[
        Comparison,
        Field(
            description="above `low`; below `high`; between both; or beyond_control: more damage than matched random "
            "parts (one head, or a set with together; the program draws enough random sets for a verdict)."
        ),
    ]
    low: Annotated[float | None, Field(description="Bound for above; lower bound for between.")] = None
    high: Annotated[float | None, Field(description="Bound for below; upper bound for between.")] = None


class ProposeHypothesis(Arguments):
    statement: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1000,
            description="What you expect, with metric and bound: one sentence that could be false.",
        ),
    ]
    rationale: Annotated[str, Field(min_length=1, max_length=4000, description="Why you expect it.")]
    refuted_if: Annotated[str, Field(min_length=1, max_length=2000, description="What would refute it, in words.")]
    predictions: Annotated[
        list[Predicted],
        Field(min_length=1, max_length=12, description="What you predict on held-out prompts. All must hold."),
    ]
    revises: Annotated[str | None, Field(description="The hypothesis that this one replaces: H1.")] = None


def propose_hypothesis(context: Context, given: ProposeHypothesis) -> Answered:
    """Record what you expect, as predictions, before the test. Returns an id such as H1. From then on it is frozen."""
    for row in context.written("hypotheses"):
        return recorded(context, row.number)
    require_no_numbers(context, "The rationale", given.rationale)
    revises = None if given.revises is None else own_hypothesis(context, given.revises)
    known = {_said(p) for h in context.reader.hypotheses_of(context.run) for p in h.predictions}
    made: list[Prediction] = []
    for place, one in enumerate(given.predictions, start=1):
        try:
            made += predictions(context, one)
        except (ToolError, ExperimentError, NoQuantity, ValidationError) as fault:
            text = str(fault.errors()[0]["msg"]) if isinstance(fault, ValidationError) else str(fault)
            text = REFUSALS["prediction"].format(place=place, fault=text.removeprefix(VALUE_ERROR))
            raise ToolError(text, getattr(fault, "code", "bad_arguments")) from fault
    made = with_sets(made, context.reader.hypotheses_of(context.run))
    for one in made:
        if _said(one) in known:
            raise refused("predicted_already", said=said(one))
    number = context.store.add_hypothesis(
        context.run, given.statement, given.rationale, given.refuted_if, [p.model_dump() for p in made], revises,
        context.call,
    )  # fmt: skip
    return recorded(context, number)


def recorded(context: Context, number: int) -> Answered:
    name, made = show_id("hypothesis", number), context.reader.hypothesis(number).predictions
    text = f"{name} is recorded and frozen, with {len(made)} prediction{'s' * (len(made) != 1)}:\n"
    text += "\n".join(f"  {about(one)}" for one in made)
    why = impossible(context, name)
    text += f"\n{why} Propose a revision of it that can be shown." if why else ""
    weak = warnings(context, made)
    text += "".join(f"\n{line}" for line in weak)
    return f"{text}\ntest_hypothesis tests it, once.", {
        "id": name,
        "predictions": [prediction_of(p).model_dump() for p in made],
        "impossible": why,
        "warnings": weak,
    }


def with_sets(made: list[Prediction], before: list[Hypothesis]) -> list[Prediction]:
    """The predictions with as many random sets as beyond_control needs, where the writer left the number to the
    program: enough for rank 1 to give a verdict although a few other predictions of the study show nothing.

    Predictions about the same experiment share it, and so share its sets.
    """
    # A configuration leaves out the number when it is the default.
    beyond = [
        one for one in made
        if one.comparison == BEYOND and getattr(experiment_from(one.kind, one.config), "controls", None) == DRAWS
    ]  # fmt: skip
    earlier = sum(one.comparison == BEYOND for h in before for one in h.predictions)
    wanted = max(DRAWS, sets_needed(len(beyond) + earlier + SLACK))
    grown = [(one.kind, one.config) for one in beyond]
    return [
        one.model_copy(update={"config": {**one.config, "controls": wanted}})
        if (one.kind, one.config) in grown else one
        for one in made
    ]  # fmt: skip


def predictions(context: Context, given: Predicted) -> list[Prediction]:
    """One prediction for each task, and for each method of removal where the call names none."""
    changes = _changes(given)
    tasks = tasks_in(str(changes.pop("task", None) or ""))
    found: list[Prediction] = []
    for task in tasks or [None]:
        found += predictions_on(context, given, {**changes, **({} if task is None else {"task": task})})
    return found


def predictions_on(context: Context, given: Predicted, changes: dict[str, Any]) -> list[Prediction]:
    """The predictions on one task: that of `changes`, of `like`, or of the study."""
    kind, config = _configuration(context, given, changes)
    require_a_fair_bound(given, str(config.get("metric", "")))
    if (wanted := parse(given.quantity)).other is not None:
        raise refused("one_experiment", of=wanted.other)
    require_measured(context, given)
    quantity = EXCESS if given.comparison == "beyond_control" else wanted.text
    methods = [config["method"]] if "method" in config else [None]
    if removes(kind) and "method" not in changes and given.comparison != "between":
        methods = list(METHODS)
    found: list[Prediction] = []
    for method in methods:
        whole = {**config, "method": method} if method is not None else config
        experiment = context.settled(with_edges(context, experiment_from(kind, whole)))
        context.check(experiment)
        found.append(
            Prediction(kind=kind, config=experiment.config(), quantity=quantity, comparison=given.comparison,
                       low=given.low, high=given.high)
        )  # fmt: skip
    return found


def removes(kind: str) -> bool:
    """Whether the kind has a method of removal. `method` of some kinds is another one, such as eap."""
    field = registry.kind(kind).model_fields.get("method")
    return field is not None and {*METHODS} <= {*get_args(field.annotation)}


def require_measured(context: Context, given: Predicted) -> None:
    """Raises NoQuantity, with the nearest names, if an experiment that the prediction repeats unchanged did not
    measure the quantity. Sites and groups may depend on the prompts, so their names are not checked."""
    if given.like is None or given.comparison == "beyond_control" or _changes(given) or "[" in given.quantity:
        return
    logged = context.reader.experiment(number_of(given.like, "experiment"))
    if logged.status == "done":
        read(logged, parse(given.quantity))


def require_a_fair_bound(given: Predicted, metric: str) -> None:
    """Raises ToolError for a bound that holds whatever the experiment finds, and for one that would call a part
    unimportant because its controls do as much damage."""
    if given.comparison == "beyond_control" or (given.low is None and given.high is None):
        return
    bound = Bound(quantity=parse(given.quantity), comparison=given.comparison, low=given.low, high=given.high)
    if why := cannot_fail(bound):
        raise refused("cannot_fail", why=why)
    if why := rests_on_controls(bound, metric):
        raise refused("no_equivalence", why=why)


def _configuration(context: Context, given: Predicted, changes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind and the full configuration with the changes, on the confirm split."""
    if (given.like is None) == (given.kind is None):
        raise refused("like_or_kind")
    base: dict[str, Any] = {"model": context.model, "task": context.task, **({"n": context.n} if context.n else {})}
    kind = given.kind or ""
    if given.like is not None:
        logged = context.reader.experiment(number_of(given.like, "experiment"))
        if not context.may_see(logged):
            raise refused("held_out_like", id=logged.id)
        kind, base = logged.kind, dict(logged.config)
    if "model" in changes:
        changes = {**changes, "model": allowed_model(context, changes["model"])}
    # Null returns a setting to its default, as in the kind's own tool; it can so take back one of `like`.
    unset = {name for name, value in changes.items() if value is None}
    whole = {name: value for name, value in changed(base, changes).items() if name not in unset}
    if "n" not in changes:
        task = context.find_task(str(whole["task"]))
        whole["n"] = within_task(task, int(whole.get("n") or registry.kind(kind).model_fields["n"].default), "confirm")
    experiment = experiment_from(kind, {**whole, "split": "confirm", "seed": 0})
    return kind, experiment.config()


def _changes(given: Predicted) -> dict[str, Any]:
    """The settings that the call changes. A null model, task or n is that of `like` or the study; a
    null method means all methods."""
    changes = json_object(given.config or "{}", "config")
    for name in ("split", "seed"):
        if changes.get(name) is not None:
            raise refused("program_draws", name=name)
    inherited = ("split", "seed", "model", "task", "n", "method")
    return {name: value for name, value in changes.items() if value is not None or name not in inherited}


def _said(row: Stated) -> str:
    """A prediction without its draw, to find the same prediction again."""
    config = {k: v for k, v in row.config.items() if k not in ("seed", "split", "controls")}
    return json.dumps([row.kind, config, row.quantity, row.comparison, row.low, row.high], sort_keys=True)


def about(prediction: Stated) -> str:
    """A prediction in one line: the expected result, and the experiment."""
    config = own_settings(prediction.kind, prediction.config)
    settings = ", ".join(f"{k} {json.dumps(v, ensure_ascii=False)}" for k, v in config.items())
    where = f"{prediction.config['task']}, n = {prediction.config['n']}"
    return f"{said(prediction)}: {prediction.kind}{f' {settings}' if settings else ''} on {where}"


def predict_by_hand(context: Context, kind: str, config: dict[str, Any], text: str, reason: str | None) -> Answered:
    """Record, test and judge what a person predicts in words: "accuracy_drop > 0.2", or "beyond control".

    Raises NoCondition, NoQuantity, ToolError and ExperimentError.
    """
    if " ".join(text.lower().split()) == "beyond control":
        given = Predicted(kind=kind, config=json.dumps(config), quantity=EXCESS, comparison="beyond_control")
    else:
        bound = parse_bound(text)
        given = Predicted(kind=kind, config=json.dumps(config), quantity=bound.quantity.text,
                          comparison=bound.comparison, low=bound.low, high=bound.high)  # fmt: skip
    rows = context.reader.hypotheses_of(context.run)
    made = with_sets(predictions(context, given), rows)
    number = context.store.add_hypothesis(
        context.run, about(made[0]), reason or "Predicted by hand.", "", [p.model_dump() for p in made]
    )
    why = impossible(context, show_id("hypothesis", number))
    for line in filter(None, (why, *warnings(context, context.reader.hypothesis(number).predictions))):
        context.say(line)
    said, data = tell_verdict(context, number, run_tests(context, number))
    return f"{said}\n{why}" if why else said, data


class TestHypothesis(Arguments):
    hypothesis: Annotated[str, Field(description="Its id, such as H1.")]


def test_hypothesis(context: Context, given: TestHypothesis) -> Answered:
    """Test a hypothesis on held-out prompts: run the experiments of its predictions and give each result.

    supported when all predictions hold, refuted when one fails, otherwise inconclusive; the intervals decide. Each
    experiment with a result counts in the budget.
    """
    number = own_hypothesis(context, given.hypothesis)
    row = context.reader.hypothesis(number)
    if not row.predictions:
        raise refused("no_predictions", id=row.id)
    # If the program was stopped in the middle of this test, the rest of the test runs now.
    begun = context.written("experiments") or context.written("hypothesis_events")
    if all(one.judged for one in row.predictions) and not begun:
        known = context.reader.hypotheses_of(context.run)
        raise refused("tested_already", id=row.id, status=spoken(row, verdicts(known)))
    return tell_verdict(context, number, run_tests(context, number))


def tell_verdict(context: Context, number: int, faults: list[str]) -> Answered:
    rows = context.reader.hypotheses_of(context.run)
    found = verdicts(rows)
    row = next(h for h in rows if h.id == show_id("hypothesis", number))
    judged = judged_predictions(row, found)
    lines = [f"{row.id} is {spoken(row, found)}."]
    lines += [f"  {line}" for line in map(judged_line, judged)]
    lines += [f"By task: {line}." for line in [task_line(row, found)] if line]
    lines += faults
    lines += [f"  {line}" for line in changed_verdicts(rows, row, found)]
    others = [h for h in rows if h.id != row.id and h.predictions and h.status != "open"]
    if others:
        lines.append("With all predictions counted: " + ", ".join(f"{h.id} {spoken(h, found)}" for h in others) + ".")
    tested = dict.fromkeys(one.judged.experiment for one in judged if one.judged)
    experiments = [context.reader.experiment(number_of(one, "experiment")) for one in tested]
    return "\n".join(lines), {
        "id": row.id, "status": row.status, "verdict": spoken(row, found),
        "predictions": [as_data(one) for one in judged], "tasks": by_task(row, found),
        "experiments": [{"id": e.id, "found": e.found, "notes": e.notes} for e in experiments],
        # Each test changes the correction of all the others, so each answer gives all verdicts.
        "statuses": {h.id: h.status for h in rows},
        "verdicts": {h.id: spoken(h, found) for h in rows},
    }  # fmt: skip


def changed_verdicts(rows: list[Hypothesis], tested: Hypothesis, now: Verdicts) -> list[str]:
    """The earlier predictions whose verdict this test has changed, because all are corrected together."""
    untested = tested._replace(predictions=[one._replace(judged=None) for one in tested.predictions])
    before = verdicts([untested if h.id == tested.id else h for h in rows]).predictions
    return [
        f"{one.judged.experiment} {said(one)}: {before[one.id]} -> {now.predictions[one.id]}"
        for h in rows if h.id != tested.id
        for one in h.predictions if one.judged is not None and before[one.id] != now.predictions[one.id]
    ]  # fmt: skip


def as_data(one: JudgedPrediction) -> dict[str, Any]:
    """A prediction with its verdict, for the log; the sentence is left out because it follows from the rest."""
    return {name: value for name, value in as_json(one).items() if name != "said"}


def judged_line(one: JudgedPrediction) -> str:
    """The result of a prediction, with value and interval."""
    if one.judged is None:
        return f"not tested: {about(one)}"
    judged = one.judged
    value = value_text(judged.value, judged.low, judged.high, n=judged.n)
    return f"{one.verdict} ({judged.experiment}: {value}; p {p_text(one.corrected)} corrected): {about(one)}"


class CommentHypothesis(Arguments):
    hypothesis: Annotated[str, Field(description="Its id, such as H1.")]
    comment: Annotated[str, Field(min_length=1, max_length=2000, description="What a reader should bear in mind.")]


def comment_hypothesis(context: Context, given: CommentHypothesis) -> Answered:
    """Comment on a hypothesis. The verdict stays; to improve a hypothesis, propose one that revises it."""
    number = own_hypothesis(context, given.hypothesis)
    require_no_numbers(context, "The comment", given.comment)
    status = context.reader.hypothesis(number).status
    if not context.written("hypothesis_events"):
        context.store.set_hypothesis_status(number, status, given.comment, call=context.call)
    return f"The comment is saved; {show_id('hypothesis', number)} is {status}.", {"id": given.hypothesis}


def own_hypothesis(context: Context, name: str) -> int:
    """The number of a hypothesis of this study. Raises ToolError for one of another."""
    number = number_of(name, "hypothesis")
    row = context.reader.hypothesis(number)
    if row.run != (None if context.run is None else show_id("run", context.run)):
        raise refused("other_study", name=name, owner=row.run or "no study")
    return number
