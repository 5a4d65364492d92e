"""SmolLM2 seen two ways that know nothing of each other: what one instrument says, another must bear out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.kinds.attribution_patching import AttributionPatching
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.head_detectors import HeadDetectors
from lashley.tests.test_patching import smollm, values

HEADS = 6
# Few prompts: the ratio of both is noisier, and few heads carry all of it.
WHOLE = [pytest.param(None, 16, 0.9, marks=pytest.mark.slow), pytest.param([23], 4, 0.75)]


@pytest.mark.parametrize(("layers", "n", "least"), WHOLE)
def test_estimates_by_gradients_agree_with_exact_patches_of_the_same_heads(
    layers: list[int] | None, n: int, least: float
) -> None:
    given: dict[str, Any] = {"task": "ioi", "n": n, "part": "z", "layers": layers, "direction": "noising"}
    exact = values(ActivationPatching(**given).run(smollm()))
    near = values(AttributionPatching(**given, verify=1, steps=8 if n > 4 else 4).run(smollm()), "attribution")
    assert near.keys() == exact.keys()
    pairs = np.array([(near[site].value, exact[site].value) for site in exact])
    together = float(np.corrcoef(pairs.T)[0, 1])
    ranks = float(np.corrcoef(np.argsort(np.argsort(pairs, axis=0), axis=0).T)[0, 1])
    few = min(10, len(exact) // 3)
    strongest = [set(sorted(found, key=lambda s: -abs(found[s].value))[:few]) for found in (near, exact)]
    both = len(strongest[0] & strongest[1])
    print(f"\n{len(pairs)} heads, n {n}: correlation {together:.3f}, ranks {ranks:.3f}, {both} of the {few} strongest")
    assert together > least
    assert both >= 0.6 * few


@pytest.mark.parametrize(("n", "texts"), [pytest.param(32, 32, marks=pytest.mark.slow), pytest.param(6, 2)])
def test_heads_that_look_like_induction_heads_are_those_that_induction_needs(n: int, texts: int) -> None:
    """Seen on random tokens, removed on words said twice; beside as many random heads of the same layers."""
    bench = smollm("induction")
    scores = values(HeadDetectors(n=texts).run(bench), "induction")
    top = sorted(scores, key=lambda site: -scores[site].value)[:HEADS]
    given: dict[str, Any] = {"task": "induction", "n": n, "together": True, "method": "mean"}
    removed = HeadAblation(**given, heads=top).run(bench)
    (lost,) = (e for e in removed.effects if e.metric == "logit_diff")
    random, excess = removed["control_change"], removed["excess"]
    print(f"\n{', '.join(f'{site} {scores[site].value:.2f}' for site in top)}: logit_diff "
          f"{removed['intact_logit_diff'].value:.2f}, without them {lost.text}; without as many others {random.text}; "
          f"excess {excess.text}, percentile {removed['percentile'].value:.0f}")  # fmt: skip
    assert scores[top[-1]].percentile == 100.0
    assert removed["percentile"].value == 100.0
    assert lost.value < 2 * min(random.value, 0.0)
    assert excess.low is not None
    assert excess.low > 0
