"""What removing a head changes in the answer, by component: what the head wrote itself, and the response to that.

All shares use the last norm's scale from the intact run. So they add up to the whole change except for the effect of
the change of scale, which is the norm's part (arXiv 2402.15390).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .. import engine
from ..engine import Direct, Source
from ..interventions import Intervention
from ..lab import Lab, numbers
from ..sites import Site
from ..statistics.intervals import Array
from ..tasks.batch import Batch

PARTS = ("heads", "MLPs", "norm")


@dataclass(frozen=True)
class Without:
    """The changes without a head, in logits.

    direct     its own share [n]
    total      the logit difference, before any cap [n]
    responses  all components' shares [component, n]; the head's own is 0
    """

    direct: Array
    total: Array
    responses: Array

    @property
    def repair(self) -> Array:
        return self.total - self.direct

    def parts(self, sites: Sequence[Site]) -> Array:
        """[PARTS, n], which sum to the repair. The norm's part includes the change of biases after a norm."""
        heads = np.array([site.part == "z" for site in sites])
        return np.stack([self.responses[heads].sum(0), self.responses[~heads].sum(0),
                         self.repair - self.responses.sum(0)])  # fmt: skip


def without(
    lab: Lab,
    batch: Batch,
    intact: Direct,
    directions: Tensor,
    removals: Sequence[Intervention],
    sources: Mapping[str, Source],
) -> list[Without]:
    """One pass for each removal of a single head; `intact` are the shares along directions [batch, 1, d_model]."""
    found: list[Without] = []
    tell = lab.steps("heads removed")
    for removal in removals:
        after = engine.direct(lab.subject, batch, directions, removal.edits, sources, like=intact)
        responses = numbers((after.values - intact.values)[..., 0])
        own = intact.sites.index(removal.edits[0].site)
        direct = responses[own].copy()
        responses[own] = 0.0
        found.append(Without(direct, numbers((after.whole - intact.whole)[:, 0]), responses))
        tell(len(found), len(removals))
    return found
