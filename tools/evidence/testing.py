"""The test of a hypothesis: the experiments of its predictions, on the confirm split, and what their intervals say.

Nothing else runs on the confirm split. A prediction whose experiment fails stays untested, and counts as one that
showed nothing.
"""

from __future__ import annotations

import math

from ...db import records
from ...db.ids import parse_id, show_id
from ...db.read.reader import Reader
from ...experiments.prediction import EXCESS, Judgement, Prediction, judge
from ...experiments.statistics import VERSION
from ..workbench.context import Context
from ..workbench.environment import code_version
from ..workbench.run_experiment import logged_experiment, run_experiment
from .control_rank import control_rank
from .quantity import NoQuantity, parse, read, worked_out
from .verdict import said, verdicts


def prediction_of(row: records.Prediction) -> Prediction:
    return Prediction(kind=row.kind, config=dict(row.config), quantity=row.quantity, comparison=row.comparison,
                      low=row.low, high=row.high)  # fmt: skip


def run_tests(context: Context, hypothesis: int) -> list[str]:
    """Run and judge the untested predictions. Returns what went wrong, one line each."""
    name = show_id("hypothesis", hypothesis)
    faults = list[str]()
    for row in context.reader.hypothesis(hypothesis).predictions:
        if row.judged is not None:
            continue
        prediction = prediction_of(row)
        outcome = run_experiment(
            context, logged_experiment(prediction.kind, prediction.config), f"The test of {name}: {said(row)}."
        )
        if outcome.error is not None:
            faults.append(f"{outcome.id} failed, so '{said(row)}' was not tested: {outcome.error}")
            continue
        try:
            judged = judged_by(context.reader, prediction, outcome.number)
        except NoQuantity as fault:
            faults.append(f"'{said(row)}' cannot be read from {outcome.id}: {fault}")
            continue
        context.store.add_judgement(row.id, outcome.number, judged.model_dump())
    judge_anew(context)
    return faults


def judged_by(reader: Reader, prediction: Prediction, experiment: int) -> Judgement:
    """The judgement of this experiment on a prediction. Raises NoQuantity."""
    logged = reader.experiment(experiment)
    found = read(logged, parse(prediction.quantity), lambda name: reader.artifact(experiment, name))
    questions, beside = found.questions, control_rank(logged.measurements)
    if prediction.quantity == EXCESS and questions is not None and beside is not None:
        # Its interval also depends on the draw of the sets.
        questions = min(questions, beside[1] - 1)
    p = None if beside is None else beside[0] / beside[1]
    return judge(prediction, found.value, (found.low, found.high), found.n, questions, p)


def misjudged(reader: Reader, run: int | None) -> list[str]:
    """Recompute every judgement of a run from its experiment. Returns the differences, one line each."""
    found: list[str] = []
    for hypothesis in reader.hypotheses_of(run):
        for row in hypothesis.predictions:
            judged = row.judged
            if judged is None:
                continue
            where = f"{hypothesis.id}, '{said(row)}'"
            number = parse_id(judged.experiment)[1]
            logged = reader.experiment(number)
            # A later version adds fields, at their defaults, that did not exist when this was predicted.
            same = all(name in logged.config and logged.config[name] == of for name, of in row.config.items())
            if logged.kind != row.kind or not same:
                found.append(f"{where}: {judged.experiment} is not the experiment that it predicted")
                continue
            try:
                now = judged_by(reader, prediction_of(row), number)
            except NoQuantity as fault:
                found.append(f"{where}: {fault}")
                continue
            pairs: dict[str, tuple[object, object]] = {"value": (now.value, judged.value), "n": (now.n, judged.n)}
            # An interval that is not logged is computed by this version's statistics.
            if logged.environment.get("statistics", 1) == VERSION or not worked_out(row.quantity):
                pairs |= {"low": (now.low, judged.low), "high": (now.high, judged.high)}
            # Another version may have computed p differently, and the side where p was 1; the measured values stay
            # the same.
            if logged.code_version == code_version():
                pairs |= {"p": (now.p, judged.p), "side": (now.side, judged.side)}
            differs = [name for name, (one, other) in pairs.items() if one != other and not _same(one, other)]
            if differs:
                what = ", ".join(differs)
                found.append(f"{where}: judged again from {judged.experiment}, these differ: {what}")
    return found


def _same(one: object, other: object) -> bool:
    """Equal except for rounding: another machine may add a bootstrap's sums in another order."""
    return isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def judge_anew(context: Context) -> None:
    """Update the verdicts of all hypotheses of this run, because a new prediction changes their correction."""
    rows = context.reader.hypotheses_of(context.run)
    found = verdicts(rows)
    for row in rows:
        status = found.hypotheses[row.id]
        if status == row.status:
            continue
        tested = [one.judged.experiment for one in row.predictions if one.judged]
        count = len(found.predictions)
        comment = f"Judged from the intervals, with {count} prediction{'s' * (count != 1)} in all."
        numbers = [parse_id(one)[1] for one in dict.fromkeys(tested)]
        context.store.set_hypothesis_status(parse_id(row.id)[1], status, comment, numbers, context.call)
