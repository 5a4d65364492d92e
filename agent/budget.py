"""What a study may spend, and what it has spent. Checked before every call; nothing is cut off half-way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Budget(BaseModel):
    """Limits that fit a coffee break. None means no limit; `context` is how many tokens the language model reads at
    once, None where that is found out when it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiments: int = Field(default=40, ge=1)
    minutes: float = Field(default=30, gt=0)
    steps: int = Field(default=200, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    experiment_minutes: float | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, ge=1000)


@dataclass
class Spent:
    experiments: int = 0
    steps: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def over(self, budget: Budget) -> str | None:
        """Which limit is reached, in words, or None."""
        if self.experiments >= budget.experiments:
            return f"{budget.experiments} experiments"
        if self.minutes >= budget.minutes:
            return f"{budget.minutes:g} minutes"
        if self.steps >= budget.steps:
            return f"{budget.steps} steps"
        if budget.tokens is not None and self.tokens_in + self.tokens_out >= budget.tokens:
            return f"{budget.tokens} tokens"
        return None

    def data(self) -> dict[str, Any]:
        return {
            "experiments": self.experiments,
            "steps": self.steps,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "minutes": round(self.minutes, 2),
        }
