"""Ratios, numbers of two experiments, and first layers: against the slow way, in conditions and in slots."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.db.read.reader import Reader
from lashley.db.records import Effect, Experiment
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.prediction import p_of_bound
from lashley.experiments.statistics.ratios import ratio_interval
from lashley.experiments.statistics.skewed import mean_interval
from lashley.tests.test_request_size import studied
from lashley.tests.wire import Wire
from lashley.tools.claims.claim import CannotClaim
from lashley.tools.claims.of_two import _paired  # pyright: ignore[reportPrivateUsage]
from lashley.tools.evidence.conditions import check_bound, parse_condition
from lashley.tools.evidence.first_layer import of_first_layer, parse_first_layer
from lashley.tools.evidence.pairing import independent, same_prompts
from lashley.tools.evidence.quantity import NoQuantity, parse, read
from lashley.tools.registry import all_tools, answer
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

PLANTED = {"model": "planted:induction", "task": "induction", "n": 16, "sweep": "exact"}
TWO = ("L0.H1", "L1.H2")


class Logged:
    """E1 and E2 on the same prompts under zero and mean, E3 on another draw, E4 a lens."""

    def __init__(self, path: Path) -> None:
        with Context.open(str(path)) as context:
            for more in ({}, {"method": "mean"}, {"seed": 1}):
                assert run_experiment(context, HeadAblation.model_validate({**PLANTED, **more})).error is None
            lens = {name: PLANTED[name] for name in ("model", "task", "n")}
            assert run_experiment(context, LogitLens.model_validate(lens)).error is None
        self.reader = Reader.open(path)

    def row(self, of: str) -> Experiment:
        return self.reader.experiment(int(of[1:]))

    def artifact(self, of: str, name: str) -> bytes:
        return self.reader.artifact(int(of[1:]), name)

    def other(self, of: str) -> tuple[Experiment, Any]:
        return self.row(of), partial(self.artifact, of)

    def read(self, text: str, of: str = "E1") -> Any:
        return read(self.row(of), parse(text), partial(self.artifact, of), self.other)

    def changes(self, of: str, site: str) -> Any:
        values = np.load(io.BytesIO(self.artifact(of, "logit_diff"))).astype(float)
        sites = [effect.site for effect in self.row(of).effects if effect.metric == "logit_diff"]
        return values[1 + sites.index(site)] - values[0]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return Logged(tmp_path_factory.mktemp("two") / "t.db")


def ends(found: Any) -> tuple[float, float, float]:
    return found.value, found.low, found.high


# --- two numbers


def test_a_ratio_of_two_effects_is_computed_prompt_by_prompt(logged: Logged) -> None:
    one, other = (logged.changes("E1", site) for site in TWO)
    expected = ratio_interval(one, other, [str(i) for i in range(16)])
    assert ends(logged.read("effect[L0.H1] / effect[L1.H2]")) == pytest.approx([float(each) for each in expected])
    assert ends(logged.read("effect[L1.H2] / effect[L1.H2]")) == pytest.approx((1, 1, 1))
    whole = logged.read("intact_logit_diff / effect[L1.H2]")
    a, b = logged.read("intact_logit_diff"), logged.read("effect[L1.H2]")
    corners = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
    assert ends(whole) == pytest.approx((a.value / b.value, min(corners), max(corners)))


def test_a_denominator_that_may_be_zero_is_refused_in_one_line(logged: Logged) -> None:
    with pytest.raises(NoQuantity, match=r"the denominator is 0 .*any ratio is possible. Use the difference") as fault:
        logged.read("effect[L1.H2] / effect[L1.H0]")
    assert "\n" not in str(fault.value)


def test_two_experiments_are_paired_only_if_they_asked_the_same_prompts(logged: Logged) -> None:
    (one, a), (other, b), (drawn, c) = (logged.other(of) for of in ("E1", "E2", "E3"))
    assert same_prompts(one, other, a, b)
    assert not same_prompts(one, drawn, a, c)
    moved = logged.changes("E1", "L0.H1") - logged.changes("E2", "L0.H1")
    expected = mean_interval(moved, [str(i) for i in range(16)])
    assert ends(logged.read("effect[L0.H1] - E2.effect[L0.H1]")) == pytest.approx([float(each) for each in expected])
    paired = ratio_interval(logged.changes("E1", "L0.H1"), logged.changes("E2", "L0.H1"), [str(i) for i in range(16)])
    assert ends(logged.read("effect[L0.H1] / E2.effect[L0.H1]")) == pytest.approx([float(each) for each in paired])

    # Another draw may have prompts in common, or none; its interval is as wide as that needs.
    found, mine = logged.read("effect[L0.H1] - E3.effect[L0.H1]"), logged.read("effect[L0.H1]")
    third = logged.read("effect[L0.H1]", "E3")
    below, above = (mine.value - mine.low, third.high - third.value), (mine.high - mine.value, third.value - third.low)
    join = (lambda two: float(np.hypot(*two))) if independent(one, drawn, a, c) else sum
    assert found.value == pytest.approx(mine.value - third.value)
    assert (found.low, found.high) == pytest.approx((found.value - join(below), found.value + join(above)))

    # The claims about two experiments pair by the same rule: equal numbers of different questions are no pair.
    study: Any = SimpleNamespace(artifact=logged.artifact)
    assert len(_paired(study, one, other, "L0.H1", None)[2]) == 16
    with pytest.raises(CannotClaim, match="did not measure the same on the same prompts"):
        _paired(study, one, drawn, "L0.H1", None)


def test_a_condition_names_two_experiments_and_says_so_in_full(logged: Logged) -> None:
    condition = parse_condition("E1.effect[L0.H1] - E2.effect[L0.H1] between -1000 and 1000")
    assert (condition.of, condition.text) == ("E1", "E1.effect[L0.H1] - E2.effect[L0.H1] between -1000 and 1000")
    row, artifact = logged.other("E1")
    assert check_bound(condition, row, {}, artifact, logged.other).holds
    assert parse_condition("E1.effect[L0.H1] / E1.effect[L1.H2] > 0").text == "E1.effect[L0.H1] / effect[L1.H2] > 0"
    # A ratio claims that its denominator is no chance finding, and above zero its numerator, too.
    q = {("E1", "L0.H1", "logit_diff"): 0.2, ("E1", "L1.H2", "logit_diff"): 0.001}
    ratio = parse_condition("E1.effect[L0.H1] / effect[L1.H2] > 0.5")
    assert not check_bound(ratio, row, q, artifact, logged.other).holds
    assert check_bound(ratio, row, {**q, ("E1", "L0.H1", "logit_diff"): 0.01}, artifact, logged.other).holds
    with pytest.raises(NoQuantity, match="E2 is another experiment"):
        read(row, parse("effect[L0.H1] - E2.effect[L0.H1]"), artifact)


# --- first layers


def effect(site: str, value: float, low: float, high: float, metric: str = "lead") -> Effect:
    return Effect(site=site, metric=metric, value=value, low=low, high=high, n=32, p=None, q=None, percentile=None,
                  p_max=None)  # fmt: skip


rows = st.lists(st.tuples(st.floats(-2, 2), st.floats(0.01, 1), st.floats(0.01, 1)), min_size=4, max_size=12)


@given(rows, st.sampled_from(["<", ">"]), st.floats(-1, 1).map(lambda one: round(one, 3)))
def test_a_first_layer_is_the_slow_way(made: list[tuple[float, float, float]], sign: str, bound: float) -> None:
    effects = [effect(f"L{i}", v, v - a, v + b) for i, (v, a, b) in reversed([*enumerate(made)])]
    term = parse_first_layer(f"first layer where lead {sign} {bound}")
    assert term is not None
    assert parse(term.text).text == term.text
    side = 1 if sign == ">" else -1
    own = [i for i, (v, _, _) in enumerate(made) if side * v > side * bound]
    if not own:
        with pytest.raises(NoQuantity, match="no layer passes"):
            of_first_layer(term, effects, 32)
        return
    maybe = [i for i, (v, a, b) in enumerate(made) if side * v + (b if side > 0 else a) > side * bound]
    surely = [i for i in own if p_of_bound(made[i][0], made[i][0] - made[i][1], made[i][0] + made[i][2], bound, 32)
              < 0.05 / len(made)]  # fmt: skip
    found = of_first_layer(term, effects, 32)
    assert found == (own[0], maybe[0], surely[0] if surely else len(made))
    assert found[1] <= found[0] <= found[2]


def test_the_interval_of_a_first_layer_holds_the_true_one() -> None:
    """400 studies of 30 layers whose true value rises to the bound and passes it at layer 15."""
    rng, truth = np.random.default_rng(3), np.concatenate([np.full(15, -0.02), np.linspace(0.1, 1.5, 15)])
    term, held = parse_first_layer("first layer where lead > 0"), 0
    assert term is not None
    for _ in range(400):
        values = truth[:, None] + rng.normal(size=(30, 32)) * 0.5
        mean, low, high = mean_interval(values)
        effects = [effect(f"L{i}", *map(float, of)) for i, of in enumerate(zip(mean, low, high, strict=True))]
        _, first, last = of_first_layer(term, effects, 32)
        held += first <= 15 <= last
    assert held / 400 >= 0.95


@pytest.mark.parametrize(
    ("early", "slope", "first", "n", "width"),
    [
        # Far below the bound, then a slow rise beyond it; a jump; everything passes; more prompts. Early layers near
        # the bound could pass, and the interval says so.
        (-1.0, 0.2, 15, 20, 8), (-1.0, 3.0, 15, 20, 1), (-1.0, 1.0, 0, 20, 1), (-1.0, 0.2, 15, 64, 5),
        (-0.5, 1.0, 15, 20, 13),
    ],
)  # fmt: skip
def test_the_interval_of_the_layer_from_which_it_stays_holds_the_true_one(
    early: float, slope: float, first: int, n: int, width: float
) -> None:
    """100 studies of 30 layers with the deviation of a lens on a small model; some early layer passes by noise."""
    rng = np.random.default_rng(5)
    truth = np.concatenate([np.full(first, early), slope * np.arange(1, 31 - first)])
    where, stays = (parse_first_layer(f"first layer {how} lead > 0") for how in ("where", "from which"))
    assert where is not None
    assert stays is not None
    held, sizes = 0, list[float]()
    for _ in range(100):
        mean, low, high = mean_interval(truth[:, None] + rng.normal(size=(30, n)))
        effects = [effect(f"L{i}", *map(float, of)) for i, of in enumerate(zip(mean, low, high, strict=True))]
        value, start, end = of_first_layer(stays, effects, n)
        assert start <= value <= end
        assert of_first_layer(where, effects, n)[0] <= value
        held += start <= first <= end
        sizes.append(end - start)
    assert held / 100 >= 0.93
    assert np.mean(sizes) <= width


def test_a_bump_of_noise_moves_the_first_layer_and_not_the_one_from_which_it_stays() -> None:
    values = [-1.0, 0.3, *[-1.0] * 8, *[2.0] * 5]
    effects = [effect(f"L{i}", v, v - 0.5, v + 0.5) for i, v in enumerate(values)]
    where, stays = (parse_first_layer(f"first layer {how} lead > 0") for how in ("where", "from which"))
    assert where is not None
    assert stays is not None
    assert of_first_layer(where, effects, 32) == (1, 1, 10)
    assert of_first_layer(stays, effects, 32) == (10, 10, 10)
    assert parse(stays.text).text == stays.text == "first layer from which effect[lead] > 0"
    assert parse_condition("first layer from which E4.lead > 0 < 12").text.startswith("E4.first layer from which")
    with pytest.raises(NoQuantity, match=r"the last layer does not pass \(-1 at layer 15\).*Use first layer where"):
        of_first_layer(stays, [*effects, effect("L15", -1, -2, 0)], 32)


def test_kinds_of_sites_are_not_mixed_and_heads_are_no_profile() -> None:
    both = [effect(f"L{i}.{part}", i - 5, i - 6, i - 4) for i in range(10) for part in ("mlp", "attn")]
    mixed = parse_first_layer("first layer where lead > 0")
    named = parse_first_layer("first layer where lead at L*.attn > 0")
    assert mixed is not None
    assert named is not None
    with pytest.raises(NoQuantity, match=r"several kinds of site \(L\*.mlp, L\*.attn\). Name one: at L\*.mlp"):
        of_first_layer(mixed, both, 32)
    assert of_first_layer(named, both, 32)[0] == 6
    with pytest.raises(NoQuantity, match="needs one effect for each layer"):
        of_first_layer(mixed, [effect("L0.H1", 1, 0.5, 1.5)], 32)
    with pytest.raises(NoQuantity, match="a condition adds a bound on the layer"):
        parse("first layer where lead")


def test_a_lens_says_from_which_layer_on_the_answer_leads(logged: Logged) -> None:
    leads = {e.site: e.value for e in logged.row("E4").effects if e.metric == "lead"}
    # The planted circuit writes the answer in its last layer, 1.
    assert leads["L0.resid_post"] < 1 < leads["L1.resid_post"]
    assert ends(logged.read("first layer where lead > 1", "E4")) == (1, 1, 1)
    inside = parse_condition("first layer where E4.lead > 1 < 2")
    assert inside == parse_condition("E4.first layer where effect[lead] > 1 < 2")
    row, artifact = logged.other("E4")
    assert check_bound(inside, row, {("E4", "L1.resid_post", "lead"): 0.01}, artifact).holds
    assert not check_bound(inside, row, {("E4", "L1.resid_post", "lead"): 0.2}, artifact).holds


def test_a_report_fills_slots_and_checks_conditions_with_several_numbers(wire: Wire, tmp_path: Path) -> None:
    from lashley.tests import test_request_size

    source = (
        "The change is {{E1.effect[L0.H1] - E2.effect[L0.H1]}} apart, {{E1.effect[L0.H1] / E1.effect[L1.H2]}} times "
        "the other, and {{E1.count(effect < -0.1)}} heads."
    )
    claims = [{"sentence": "The two differ.", "conditions": ["E1.effect[L0.H1] / effect[L1.H2] > 0.5"]}]
    report = {"title": "Two", "claims": claims, "interpretation": source}
    kept, test_request_size.REPORT = test_request_size.REPORT, report
    sweep = {"sweep": "exact", "n": 16, "reason": "x"}
    try:
        studied(wire, tmp_path, "chat", ("head_ablation", sweep), ("head_ablation", {**sweep, "method": "mean"}))
    finally:
        test_request_size.REPORT = kept
    (page,) = (tmp_path / "reports").rglob("report.md")
    with Reader.open(tmp_path / "t.db") as reader:
        study = SimpleNamespace(row=lambda of: reader.experiment(int(of[1:])))
        effects = {e.site: e.value for e in study.row("E1").effects}
        text = page.read_text()
        assert "{{" not in text
        assert f"{effects['L0.H1'] / effects['L1.H2']:.2f}" in text
        assert "`E1.effect[L0.H1] / effect[L1.H2] > 0.5`: 1.0" in text
        assert "and 2 [2, 2], n = 8 heads." in text.replace("\xa0", " ")


def test_a_prediction_is_about_one_experiment(tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "t.db"), model=PLANTED["model"], task="induction") as context:
        context.run = None
        one = {"kind": "head_ablation", "config": "{}", "quantity": "effect[L0.H1] - E2.effect[L0.H1]",
               "comparison": "below", "high": -1}  # fmt: skip
        given = {"statement": "A.", "rationale": "B.", "refuted_if": "C.", "predictions": [one]}
        said = answer(all_tools(), context, "propose_hypothesis", json.dumps(given))
        assert said.refused
        assert "a prediction is about one experiment, and the quantity names E2" in said.text
