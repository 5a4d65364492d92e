"""Beyond control: how often a set that is one of the random ones is called more, and what is said beforehand where
nothing can be shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from lashley.agent.autopilot.course import Data, Protocol
from lashley.db import records
from lashley.experiments.methods.control_sets import random_sets
from lashley.experiments.methods.controls import control_measurements, control_summary
from lashley.experiments.prediction import Judgement, Prediction, judge
from lashley.experiments.result import Measurement
from lashley.experiments.sites import head
from lashley.experiments.statistics.excess import excess_interval
from lashley.experiments.statistics.random_sets import can_show
from lashley.experiments.statistics.skewed import mean_interval
from lashley.tests.studies import studied
from lashley.tools.evidence.control_rank import control_rank
from lashley.tools.evidence.possible import Basis, sets_needed, why_impossible
from lashley.tools.evidence.verdict import ALPHA, holm

BEYOND = Prediction(kind="k", config={}, quantity="excess", comparison="beyond_control")
Damage = Callable[[np.random.Generator, int], np.ndarray[Any, Any]]
# What sets do in the mean: most do little and a few do much, as heads are, or all of them vary alike.
SETS: dict[str, Damage] = {
    "normal": lambda rng, count: rng.normal(size=count),
    "a few strong": lambda rng, count: rng.lognormal(0, 1.5, count),
}


def judged(measured: list[Measurement], questions: int) -> Judgement:
    """As the test of a prediction judges an experiment."""
    found = {one.name: one for one in measured}
    rank = control_rank([records.Measurement(**one.model_dump()) for one in measured])
    assert rank is not None
    excess = found["excess"]
    return judge(BEYOND, excess.value, (excess.low, excess.high), excess.n, min(questions, rank[1] - 1),
                 rank[0] / rank[1])  # fmt: skip


@pytest.mark.parametrize("sets", [3, 20, 100])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("questions", [8, 32])
def test_one_of_the_random_sets_is_seldom_called_more_than_they_are(name: str, sets: int, questions: int) -> None:
    """The edited set is one of the population that its controls are drawn from. At most as many studies are wrong as a
    rate of 5% gives in all but one simulation of ten thousand, which is less than 6.5%."""
    rng, studies = np.random.default_rng([sets, questions]), 4000
    own = SETS[name](rng, studies * (sets + 1)).reshape(studies, sets + 1)
    means = own + rng.normal(0, 0.3 / questions**0.5, (studies, sets + 1))
    rank = 1 + (means[:, 1:] >= means[:, :1]).sum(1)
    wrong = np.flatnonzero(rank / (sets + 1) < ALPHA)
    # No p is below that of the rank, so that these are all that can be wrong; of some of them the whole is worked out.
    assert len(wrong) <= binom.ppf(0.9999, studies, ALPHA) < 0.065 * studies
    assert len(wrong) == 0 or can_show(sets)
    for i in [*wrong[:6], *range(6)]:
        noise = rng.normal(0, 0.3, (sets + 1, questions))
        damage = means[i][:, None] + noise - noise.mean(1, keepdims=True)
        assert judged(control_measurements("loss", damage[0], damage[1:]), questions).p >= rank[i] / (sets + 1) or (
            damage[0].mean() < damage[1:].mean()
        )


@pytest.mark.parametrize(("sets", "predictions", "shown"), [(3, 1, 0), (20, 1, 1), (20, 3, 0), (60, 3, 1)])
def test_a_set_that_is_worse_than_all_is_shown_where_the_sets_are_enough(
    sets: int, predictions: int, shown: int
) -> None:
    rng = np.random.default_rng(sets)
    beside, own = rng.normal(0, 0.1, (sets, 16)), rng.normal(2, 0.2, 16)
    p = judged(control_measurements("loss", own, beside), 16).p
    assert p == pytest.approx(1 / (sets + 1))
    assert (max(holm([p] * predictions)) < ALPHA) == shown
    assert sets_needed(predictions) <= sets if shown else sets_needed(predictions) > sets
    # Damage counts, whatever its sign; what helps is not beyond them.
    helped = judged(control_measurements("logit_diff", own, beside), 16)
    assert helped.side == "against"


def test_what_is_said_of_the_rank_says_where_the_sets_are_too_few() -> None:
    own, rng = np.full(6, 3.0), np.random.default_rng(0)
    few, enough = (control_measurements("loss", own, rng.normal(size=(count, 6))) for count in (3, 20))
    assert (
        control_summary(few, "sets")
        == " It ranks 1 of 4 by damage, with 3 sets (p 0.25, the smallest that so few can give)."
    )
    assert control_summary(enough, "sets") == " It ranks 1 of 21 by damage, with 20 sets (p 0.048)."
    assert control_summary([], "sets") == ""


def test_an_experiment_of_an_earlier_version_has_its_rank_by_the_share_of_weaker_sets() -> None:
    assert control_rank([records.Measurement("percentile", 95.0, None, None, 20, "")]) == (2, 21)
    assert control_rank([records.Measurement("loss", 1.0, None, None, 8, "")]) is None


# --- the interval


def test_the_excess_has_the_variance_and_the_skewness_of_both_draws() -> None:
    """Against what resampling both questions and sets gives (the pigeonhole bootstrap)."""
    rng = np.random.default_rng(5)
    asked = [f"q{i // 2}" for i in range(60)]
    values, others = rng.normal(1, 1, 60), rng.lognormal(size=(40, 1)) + rng.normal(0, 1, (40, 60))
    value, low, high = excess_interval(values, others, asked)
    slow: list[float] = []
    for _ in range(4000):
        rows = [row for q in rng.integers(0, 30, 30) for row in (2 * q, 2 * q + 1)]
        slow.append(values[rows].mean() - others[rng.integers(0, 40, 40)][:, rows].mean())
    assert value == pytest.approx(values.mean() - others.mean())
    assert low is not None
    assert high is not None
    below, above = np.quantile(slow, [0.025, 0.975])
    assert low < below < value < above < high
    # A few sets do much, so that the end below is the longer.
    assert value - low > high - value
    assert high - low < 1.5 * (above - below)
    assert excess_interval(values, others[:1], asked) == (pytest.approx(values.mean() - others[0].mean()), None, None)


def test_the_interval_of_the_excess_holds_the_truth_because_it_counts_the_draw_of_the_sets() -> None:
    rng, held, of_prompts, studies = np.random.default_rng(2), 0, 0, 150
    for _ in range(studies):
        beside = rng.normal(size=(20, 1)) + rng.normal(0, 0.3, (20, 12))
        own = 2 + rng.normal(0, 0.3, 12)
        _, low, high = excess_interval(own, beside)
        assert low is not None
        assert high is not None
        held += low <= 2 <= high
        _, low, high = mean_interval(own - beside.mean(0))
        of_prompts += low <= 2 <= high
    assert held >= 0.93 * studies
    assert of_prompts < 0.8 * studies, "the prompts alone are not all that was drawn"


def test_more_sets_are_other_sets_and_all_there_are_where_a_model_has_no_more() -> None:
    sizes = {"n_layers": 6, "n_heads": 5}
    for sites, count, found in (([head(1, 2)], 100, 29), ([head(1, 2), head(3, 0)], 100, 100)):
        sets = [frozenset(str(e.site) for e in i.edits) for i in random_sets(sites, sizes, "zero", 0, count)]
        assert len(set(sets)) == len(sets) == found
        assert not set.union(*map(set, sets)) & {*map(str, sites)}
    # The first twenty are drawn as ever.
    assert len(random_sets([head(1, 2)], sizes, "zero", 0)) == 20


# --- said beforehand

bases = st.builds(Basis, questions=st.integers(1, 40), sets=st.none() | st.integers(0, 300))


@given(st.lists(bases, min_size=1, max_size=8), st.lists(st.floats(0, 1), max_size=4))
def test_it_is_said_just_where_the_best_outcome_is_no_verdict(untested: list[Basis], known: list[float]) -> None:
    rests = dict(enumerate(untested))
    told_p = {len(untested) + i: p for i, p in enumerate(known)}
    own = [i for i in rests if i % 2 == 0]
    best = holm([*(one.least for one in untested), *known])
    said = why_impossible(own, rests, told_p)
    assert bool(said) == any(best[i] >= ALPHA for i in own)
    assert "\n" not in said
    assert said.endswith(" needed.") or not said


@pytest.mark.parametrize(("questions", "predictions"), [(8, 7), (5, 1), (4, 1), (10, 30)])
def test_as_many_questions_as_are_said_to_be_needed_are_enough_and_one_less_is_not(
    questions: int, predictions: int
) -> None:
    def said(count: int) -> str:
        return why_impossible([0], {i: Basis(questions=count) for i in range(predictions)}, {})

    needed = int(said(questions).rsplit(";", 1)[1].split()[0])
    assert said(needed - 1)
    assert said(needed) == ""
    if (questions, predictions) == (8, 7):
        assert said(8) == (
            "No verdict is possible with 7 predictions in the study: 8 different questions cannot show a p below "
            "0.0078; 9 are needed."
        )


def test_a_study_is_told_when_it_writes_down_what_cannot_be_shown_and_draws_the_sets_that_it_needs() -> None:
    told_: list[Data] = []

    def predicted(quantity: str, comparison: str, **more: Any) -> Data:
        config = {"heads": ["L0.H1"], "together": True, "n": more.pop("n", 8), **more.pop("config", {})}
        return {"kind": "head_ablation", "quantity": quantity, "comparison": comparison, "config": json.dumps(config),
                **more}  # fmt: skip

    def protocol(study: Data) -> Protocol:
        about = {"statement": "It matters.", "rationale": "It was seen.", "refuted_if": "It does not."}
        for predictions in (
            [predicted("accuracy_drop", "above", low=0.1, n=4)],
            [predicted("accuracy_drop", "above", low=0.2, n=16)],
            [predicted("excess", "beyond_control", n=16), predicted("accuracy_drop", "above", low=0.3, n=16)],
        ):
            told_.append((yield "Next.", "propose_hypothesis", {**about, "predictions": predictions}))
        yield "The end.", "write_report", {"title": "T", "claims": [], "interpretation": "Nothing."}

    assert studied("planted:induction", "induction", protocol=protocol).status == "finished"
    # A script is run from its beginning at each step, so the last answers are those of one run.
    few, enough, sets = told_[-3:]
    assert "4 different questions cannot show a p below 0.12; 7 are needed." in few["text"]
    assert few["impossible"] in few["text"]
    assert enough["impossible"] == "", enough["text"]
    # Eight heads are too few for anything, so those of the same layer are taken, whatever is asked for.
    assert "3 random sets cannot show a p below 0.25" in sets["impossible"]
    drawn = {one["config"]["controls"] for one in sets["predictions"]}
    assert drawn == {sets_needed(3 + 2)}, "both rest on the same experiment"
