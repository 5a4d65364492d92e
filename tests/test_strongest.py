"""What an experiment says of its largest effects: nothing that chance gives is called strong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.result import Effect
from lashley.experiments.statistics.strongest import beside_shuffled, clear, largest
from lashley.tests.test_planted import planted_lab


def effect(site: str, value: float, q: float | None) -> Effect:
    return Effect(site=site, metric="loss", value=value, low=value - 1, high=value + 1, n=8, q=q)


def name(one: Effect) -> str:
    return one.site


FOUND = [effect("A", 0.1, 0.01), effect("B", -3.0, 0.4), effect("C", -0.5, 0.049), effect("D", 9.0, 0.05)]


def test_only_what_stands_out_is_strong() -> None:
    assert largest(FOUND, " on loss", said=name) == "strongest on loss: C, A"
    assert largest(FOUND, count=1, said=name) == "strongest: C"
    assert largest(FOUND[1::2], said=name) == "none stands out; largest: D, B"
    untested = [effect("A", 1.0, None), effect("B", 2.0, None)]
    assert largest(untested, " on kl", said=name) == "largest on kl: B, A"


@given(st.lists(st.tuples(st.floats(-5, 5), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=9))
def test_a_place_is_called_strong_only_with_a_q_below_one_in_twenty(drawn: list[tuple[float, float | None]]) -> None:
    found = [effect(f"L{i}", value, q) for i, (value, q) in enumerate(drawn)]
    text = largest(found, said=name)
    named = [next(e for e in found if e.site == site) for site in text.partition(": ")[2].split(", ")]
    assert text.startswith("strongest") == any(map(clear, found))
    assert not text.startswith("strongest") or all(map(clear, named))
    assert [abs(e.value) for e in named] == sorted((abs(e.value) for e in named), reverse=True)


def test_a_sweep_of_random_weights_calls_no_head_strong() -> None:
    null, built = "planted:null", "planted:induction"
    for kind in (HeadAblation, LayerProgram):
        config = {"task": "induction", "n": 16, **({"sweep": "skip_each"} if kind is LayerProgram else {})}
        there = kind.model_validate({"model": null, **config}).run(planted_lab(null))
        assert ("strongest" in there.found) == any(map(clear, there.effects))
    found = HeadAblation(model=built, task="induction", n=16).run(planted_lab(built)).found
    assert "strongest on logit_diff: L" in found


def test_no_layer_is_among_the_strongest_and_the_smallest() -> None:
    for model in ("planted:induction", "planted:dead-layer"):
        swept = LayerProgram(model=model, task="induction", n=16, sweep="skip_each").run(planted_lab(model))
        strong, _, small = swept.found.partition("; smallest: ")
        sizes = [
            abs(e.value) for part in small.rstrip(".").split(", skip") for e in swept.effects if e.site[5:] in part
        ]
        assert sizes == sorted(sizes)
        assert all((e.site in strong) + (e.site in small) == 1 for e in swept.effects)


def test_a_head_stands_out_only_above_all_of_shuffled_weights() -> None:
    sites, values = ["A", "B", "C", "D"], [0.25, 0.5, 0.25, 0.25]
    assert beside_shuffled(sites, values, 0.4, count=1) == "B 0.50 (shuffled weights at most 0.40)"
    assert beside_shuffled(sites, values, 0.4, ", chance 0.25", 2) == (
        "B 0.50, A 0.25 and 2 more (shuffled weights at most 0.40, chance 0.25)"
    )
    assert beside_shuffled(sites, values, 0.5) == (
        "B 0.50, A 0.25, C 0.25 and 1 more (no head stands out: shuffled weights at most 0.50)"
    )
