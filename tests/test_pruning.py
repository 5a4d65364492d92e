"""Pruning curves: from the intact model to the empty one, in the right order, which was found on other prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Intervention
from lashley.experiments.kinds.pruning_curve import PruningCurve
from lashley.experiments.methods import pruning
from lashley.experiments.methods.control_subsets import random_orders
from lashley.experiments.methods.removal import elements, removal
from lashley.experiments.planted.truth import TRUTHS
from lashley.tests.slow_way import slow_logits, tokens_of
from lashley.tests.test_controls import counting_lab
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED, tiny_subject

GIVEN: dict[str, Any] = {"task": "induction", "n": 8, "draws": 5}


@pytest.mark.parametrize("kind", SAMPLED)
def test_the_ends_and_the_middle_equal_the_slow_way(kind: str) -> None:
    subject, made = tiny_subject(kind), counting_lab(kind)
    draw = (3, "explore", 0)
    parts = elements("heads", subject.sizes)
    order = list(parts)[::-1]
    orders = [order, *random_orders(parts, order, subject.anatomy.n_layers, 0, 2)]
    found = pruning.curve(made, draw, parts, orders, "zero", "loss")  # type: ignore[arg-type]
    _, batch = made.prompts(*draw)  # type: ignore[arg-type]
    assert found.counts[0] == 0
    assert found.counts[-1] == 12
    for i in (0, 4, len(found.counts) - 1):
        gone = [s for name in order[: found.counts[i]] for s in parts[name]]
        by_hand = removal("by hand", gone, "zero") if gone else Intervention(name="intact")
        for prompt in range(len(batch)):
            ids = tokens_of(batch, prompt)
            logits = slow_logits(subject.model, ids, by_hand, lambda *_: True, lambda *_: None, subject.anatomy.d_head)
            targets = batch.targets[prompt][batch.targets[prompt] >= 0]
            scored = logits.log_softmax(-1)[-len(targets) :].gather(-1, targets[:, None])
            assert found.values[i, prompt] == pytest.approx(-float(scored.mean()), abs=1e-3)
    # Whatever the order, nothing removed and all removed are the same.
    for ends in (0, -1):
        assert (found.beside[:, ends] == found.values[ends]).all()


def test_by_gradients_the_head_that_says_the_answer_is_the_strongest() -> None:
    """What it attends by is saturated, which gradients miss: the other needed head is not found so."""
    name = "planted:induction"
    kind = PruningCurve(model=name, first="strongest", ranking="attribution", **GIVEN)
    estimate = kind.ranked(planted_lab(name), kind.draw)
    assert max(range(8), key=lambda i: estimate[i]) == 6
    assert next(iter(kind.run(planted_lab(name)).effects)).value < -5


def test_the_weakest_go_first_and_the_needed_last() -> None:
    name = "planted:induction"
    result = PruningCurve(model=name, **GIVEN).run(planted_lab(name))
    change = {int(e.site.split()[1]): e.value for e in result.effects}
    spare = 8 - len(TRUTHS[name].needed)
    assert all(value == pytest.approx(0.0, abs=1e-4) for count, value in change.items() if count <= spare)
    assert all(value < -5 for count, value in change.items() if count > spare)
    assert result["spared"].value > 0
    assert result["identity"].value < 1e-3
    strongest = PruningCurve(model=name, first="strongest", **GIVEN).run(planted_lab(name))
    assert all(e.value < -5 for e in strongest.effects)
    assert strongest["spared"].value < 0


@pytest.mark.parametrize("parts", ["mlps", "layers"])
def test_layers_and_mlps_go_too(parts: Any) -> None:
    name = "planted:dead-layer"
    result = PruningCurve(model=name, parts=parts, **GIVEN).run(planted_lab(name))
    first = next(e for e in result.effects if e.site == "weakest 1 of 3")
    assert first.value == pytest.approx(0.0, abs=1e-4)


def test_the_order_is_found_on_other_prompts() -> None:
    made = planted_lab("planted:null")
    other, draw = pruning.search_lab(made, (8, "explore", 0))
    measured = {p.text for p in made.prompts(8, "explore", 0)[0]}
    looked_at = {p.text for p in other.prompts(*draw)[0]}
    assert len(looked_at) == 8
    assert not measured & looked_at
    assert other.task.capacity("explore") == made.task.capacity("explore") - 8
    assert other.task.fingerprint() != made.task.fingerprint()
    confirm = pruning.search_lab(made, (8, "confirm", 0))[1]
    assert confirm[1] == "explore"


def test_a_task_with_no_prompt_left_is_refused_in_a_line() -> None:
    made = counting_lab("gpt2")
    with pytest.raises(BadConfiguration, match="Lower n to half"):
        pruning.search_lab(made, (made.task.capacity("explore"), "explore", 0))


def test_random_control_orders_hold_every_part_once() -> None:
    assert pruning.some_counts(270)[1] == 27
    assert pruning.some_counts(3) == (0, 1, 2, 3)
    assert torch.equal(torch.tensor(pruning.some_counts(20)), torch.arange(0, 21, 2))
