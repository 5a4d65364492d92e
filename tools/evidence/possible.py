"""Whether a verdict is possible at all, reported when predictions are recorded, not after their test.

A given number of different questions, or of random sets, cannot show a p below some limit, whatever the result; and
all predictions of a study share one correction. If even the best result would be inconclusive, the test costs time and
shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...experiments.prediction import Prediction, least_p
from ...experiments.result import Frozen
from ...experiments.statistics import random_sets
from ...experiments.statistics.random_sets import can_show, possible_sets
from ..workbench.context import Context
from ..workbench.run_experiment import logged_experiment
from .testing import prediction_of
from .verdict import ALPHA, holm

BEYOND = "beyond_control"
# How many other predictions of the study may show nothing before there are too few random sets.
SLACK = 2
MOST_SETS, MOST_QUESTIONS = 2000, 64


class Basis(Frozen):
    """What a prediction's test will rest on: the number of different questions and, for beyond_control, of random
    sets."""

    questions: int
    sets: int | None = None

    @property
    def least(self) -> float:
        """The smallest p that the test can show."""
        return max(min(1.0, least_p(self.questions)), 0.0 if self.sets is None else random_sets.least_p(self.sets))


def basis(context: Context, prediction: Prediction) -> Basis:
    experiment = logged_experiment(prediction.kind, prediction.config)
    task = context.find_task(experiment.task)
    questions = len({p.key for p in task.prompts(*experiment.draw)})
    beyond = prediction.comparison == BEYOND
    return Basis(questions=questions, sets=experiment.random_sets(context.sizes(experiment.model)) if beyond else None)


def sets_can_show(places: int, size: int) -> bool:
    """Whether `places` allow enough random sets of this size to show that a set is beyond them."""
    return can_show(possible_sets(places, size))


def sets_needed(count: int) -> int:
    """How many random sets allow a verdict when `count` predictions have no smaller p."""
    return next(
        sets for sets in range(1, MOST_SETS) if random_sets.least_p(sets) * count < ALPHA or sets == MOST_SETS - 1
    )


def impossible(context: Context, hypothesis: str) -> str:
    """One line if no verdict on a hypothesis of this study is possible, with what it would take; otherwise ""."""
    rows = context.reader.hypotheses_of(context.run)
    predictions = [one for h in rows for one in h.predictions]
    own = [one.id for h in rows if h.id == hypothesis for one in h.predictions]
    rests = {one.id: basis(context, prediction_of(one)) for one in predictions if one.judged is None}
    known = {one.id: one.judged.p for one in predictions if one.judged is not None}
    return why_impossible(own, rests, known)


def why_impossible(own: Sequence[int], rests: Mapping[int, Basis], known: Mapping[int, float]) -> str:
    """own: the ids of a hypothesis's predictions; rests: what each untested one of the study rests on; known: the p of
    each other one; both by id."""
    best = _best({**known, **{one: at.least for one, at in rests.items()}})
    stuck = [one for one in own if one in rests and best[one] >= ALPHA]
    if not stuck:
        return ""
    count = len(rests) + len(known)
    where = f"with {count} prediction{'s' * (count != 1)} in the study"
    said: list[str] = []
    few = [one for one in stuck if min(1.0, least_p(rests[one].questions)) >= ALPHA / count]
    if few:
        least = min(rests[one].questions for one in few)
        said.append(
            f"{least} different question{'s' * (least != 1)} cannot show a p below "
            f"{min(1.0, least_p(least)):.2g}; {_questions_needed(few, rests, known)} are needed"
        )
    beside = [
        sets for one in stuck if (sets := rests[one].sets) is not None and random_sets.least_p(sets) >= ALPHA / count
    ]
    if beside:
        said.append(
            f"{min(beside)} random sets cannot show a p below {random_sets.least_p(min(beside)):.2g}; "
            f"{sets_needed(_no_better(rests, known))} or more are needed"
        )
    return f"No verdict is possible {where}: {'; '.join(said)}."


def _no_better(rests: Mapping[int, Basis], known: Mapping[int, float]) -> int:
    """How many predictions have, at best, no smaller p than random sets allow."""
    return sum(at.sets is not None for at in rests.values()) + sum(p >= ALPHA for p in known.values())


def _best(p: Mapping[int, float]) -> dict[int, float]:
    return dict(zip(p, holm(list(p.values())), strict=True))


def _questions_needed(few: Sequence[int], rests: Mapping[int, Basis], known: Mapping[int, float]) -> int:
    """The smallest number of different questions that makes a verdict possible on each of these. Random sets are
    reported separately, because more questions do not help there."""
    for questions in range(2, MOST_QUESTIONS):
        most = {one: at.least for one, at in rests.items()}
        best = _best({**known, **most, **{one: least_p(questions) for one in few}})
        if all(best[one] < ALPHA for one in few):
            return questions
    return MOST_QUESTIONS
