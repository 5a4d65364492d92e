"""The settings that all experiments on circuits share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..experiment import Experiment
from ..metrics import OwnMetric

if TYPE_CHECKING:
    from ..tasks.task import Task

Method = Literal["exact", "eap", "eap_ig", "acdc"]
Ranking = Literal["absolute", "signed"]
Level = Literal["edge", "part"]
Replacement = Literal["corrupted", "mean", "zero"]
REPLACEMENTS: tuple[Replacement, ...] = ("corrupted", "mean", "zero")


class OnEdges(Experiment):
    """An experiment that ranks the edges of a model, and replaces some of them."""

    steps: Annotated[int, Field(ge=2, le=64, description="For eap_ig: runs on the way to the corrupted prompt.")] = 5
    ranking: Annotated[
        Ranking,
        Field(description="absolute: by the size of the effect. signed: edges that support the answer first."),
    ] = "absolute"
    replacement: Annotated[
        Replacement, Field(description="What edges outside the circuit carry: corrupted, mean or zero.")
    ] = "corrupted"
    metric: Annotated[OwnMetric, Field(description="Metric.")] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        self.require_metric(self.metric, task)
