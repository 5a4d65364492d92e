"""Entropy of attention: its bounds, against a plain loop, and where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.kinds.attention_entropy import AttentionEntropy
from lashley.experiments.methods import attention, entropy
from lashley.experiments.sites import Site
from lashley.tests.slow_way import clean_values, tokens_of
from lashley.tests.test_controls import counting_lab
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28], [20, 21, 22, 23, 24, 25]]
weights = st.lists(st.floats(0, 1), min_size=2, max_size=9).filter(lambda w: sum(w) > 1e-3)


@given(weights)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_it_lies_between_0_and_1_and_the_order_of_keys_is_nothing_to_it(given: list[float]) -> None:
    own = entropy.normalised(np.array(given))
    value = float(entropy.entropy(own, len(own)))
    assert -1e-9 <= value <= 1 + 1e-9
    assert float(entropy.entropy(own[::-1], len(own))) == pytest.approx(value)
    # Concave: a mixture is at least as even as its parts are on average.
    mixed = (own + own[::-1]) / 2
    assert float(entropy.entropy(mixed, len(own))) >= value - 1e-9


@pytest.mark.parametrize("count", [2, 5, 16])
def test_one_token_is_0_and_all_alike_is_1(count: int) -> None:
    assert entropy.entropy(np.eye(count)[0], count) == 0.0
    assert float(entropy.entropy(np.full(count, 1 / count), count)) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", SAMPLED)
def test_it_equals_a_plain_loop_over_patterns_that_sum_to_1(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    own = attention.last_weights(subject, batch)
    assert own.shape == (12, 4, 6)
    assert np.allclose(own.sum(-1), 1, atol=1e-5)
    found = entropy.of_prompts(own, batch)
    for prompt, row in enumerate(ROWS):
        values = clean_values(subject.model, tokens_of(batch, prompt))
        for layer in range(3):
            pattern = values[Site(layer=layer, part="pattern")].unflatten(1, (4, -1))
            for h in range(4):
                terms = [-float(w) * math.log(float(w)) for w in pattern[-1, h] if w > 0]
                assert found[layer * 4 + h, prompt] == pytest.approx(sum(terms) / math.log(len(row)), abs=1e-4)


def test_the_largest_group_is_what_most_prompts_share() -> None:
    assert attention.largest_group(batch_of(ROWS)) == [0, 2, 3]


def test_by_size_a_head_that_looks_for_the_smallest_is_sharp_wherever_it_stands() -> None:
    batch = batch_of([[7, 8, 9], [9, 7, 8], [8, 9, 7]])
    numbers = [(7, 8, 9), (9, 7, 8), (8, 9, 7)]
    looking = torch.eye(3)[[0, 1, 2]].numpy()[None]  # at the 7 of each
    by_size = entropy.ordered_by_size(looking, batch, numbers)
    assert by_size is not None
    asked = ["a", "b", "c"]
    assert entropy.of_mean(by_size, asked)[0] == pytest.approx([0.0])
    assert entropy.of_mean(looking, asked)[0] == pytest.approx([1.0])
    assert entropy.ordered_by_size(looking, batch, [(7, 8), (9, 7), (8, 9)]) is not None  # behind a BOS
    assert entropy.ordered_by_size(looking, batch, [None, None, None]) is None
    assert entropy.ordered_by_size(looking, batch, [(7, 8), (9, 7), (8, 9, 7)]) is None


def test_the_planted_heads_are_sharp_and_those_with_shuffled_weights_are_not() -> None:
    result = AttentionEntropy(model="planted:induction", task="induction", n=6, prune=True, draws=3).run(
        planted_lab("planted:induction")
    )
    own = [e for e in result.effects if e.metric == "entropy"]
    assert len(own) == 8
    assert all(e.value < 1e-3 for e in own)
    assert all(e.percentile == 0.0 for e in own)
    assert result["mean_entropy_shuffled"].value > 0.5
    # All looked at one token from the start, so the order is chance, and the end is the same.
    assert {e.site for e in result.effects if e.metric == "logit_diff"} >= {"lowest entropy 8 of 8"}


def test_without_a_curve_an_open_question_will_do_and_a_replay_has_the_same_bits() -> None:
    kind = AttentionEntropy(n=4)
    assert kind.run(counting_lab("gpt2")).model_dump() == kind.run(counting_lab("gpt2")).model_dump()
