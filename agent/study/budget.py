"""The budget of a study, and what it has spent. Checked before every call; no call is cut off halfway."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ...db.read.runs import known_cost
from ..drivers.conversation import Reply
from ..prices import Price
from .endings import MINUTES, Reason, limit


class Budget(BaseModel):
    """The limits of a study; the defaults allow half an hour. None means no limit. `context` is the size of the
    language model's context in tokens; None: the server reveals it when it refuses more. `max_cost` is in dollars by
    `price`, which is None if unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiments: int = Field(default=40, ge=1)
    minutes: float = Field(default=30, gt=0)
    steps: int = Field(default=200, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    experiment_minutes: float | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, ge=1000)
    max_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    price: Price | None = None
    approve: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def price_for(self, llm: str) -> Price | None:
        """The price of this language model: the run's own, unless another model has taken over."""
        return self.price if self.price is not None and self.price.llm == llm else None


@dataclass
class Spent:
    """`tokens_cached` is part of `tokens_in`; `cost` is in dollars. The sums do not include `uncounted` replies, which
    came without a token count, and `unpriced` ones. `highest` is the cost of the most expensive reply."""

    experiments: int = 0
    steps: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    cost: float = 0.0
    unpriced: int = 0
    highest: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def add(self, reply: Reply, cost: float | None) -> None:
        """Add a reply of a language model, and its cost if known."""
        self.tokens_in += reply.tokens_in or 0
        self.tokens_cached += reply.tokens_cached or 0
        self.tokens_out += reply.tokens_out or 0
        self.uncounted += reply.tokens_in is None or reply.tokens_out is None
        self.cost += cost or 0.0
        self.unpriced += cost is None
        self.highest = max(self.highest, cost or 0.0)

    def over_cost(self, budget: Budget, requests: int = 0) -> bool:
        """Whether this many more requests, each as expensive as the most expensive so far, would exceed the money; also
        True if the cost of a reply is unknown."""
        ahead = self.cost + requests * self.highest
        return budget.max_cost is not None and (self.unpriced > 0 or ahead > budget.max_cost)

    def over(self, budget: Budget, requests: int = 0) -> Reason | None:
        """The limit that is reached, or None; `requests` more must still fit in the money."""
        if self.experiments >= budget.experiments:
            return limit("experiments", budget.experiments)
        if self.minutes >= budget.minutes:
            return limit(MINUTES, budget.minutes)
        if self.steps >= budget.steps:
            return limit("steps", budget.steps)
        if budget.tokens is not None and self.tokens_in + self.tokens_out >= budget.tokens:
            return limit("tokens", budget.tokens)
        if self.over_cost(budget, requests):
            return limit("cost_unknown" if self.unpriced else "cost", budget.max_cost or 0.0)
        return None

    def data(self) -> dict[str, Any]:
        return {
            "experiments": self.experiments,
            "steps": self.steps,
            "tokens_in": self.tokens_in,
            "tokens_cached": self.tokens_cached,
            "tokens_out": self.tokens_out,
            "uncounted": self.uncounted,
            "cost": known_cost(self.cost, self.unpriced),
            "unpriced": self.unpriced,
            "minutes": round(self.minutes, 2),
        }
