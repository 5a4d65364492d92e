"""Whether our instruments find what others have published about a model.

The experiments, quantities, bounds and sources are data, in published.toml; this module runs them. So it tests our
instruments on a model that others have measured.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...experiments.errors import ExperimentError
from ...experiments.result import Frozen, Result
from ..evidence.quantity import NoQuantity, Numbers, read

DATA = Path(__file__).with_name("published.toml")


class Check(Frozen):
    """A quantity of an experiment, its published value, and the bounds within which it must lie here."""

    quantity: str
    published: str
    low: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"


class Trial(Frozen):
    """One experiment and its checks. `about` says where our measure differs from the source's."""

    kind: str
    config: dict[str, Any]
    source: str
    about: str = ""
    checks: tuple[Check, ...] = Field(min_length=1)


class Held(Frozen):
    """A check and its result. `unmeasured`: it could not be measured, and `why` says why."""

    kind: str
    check: Check
    source: str
    about: str
    state: Literal["agrees", "differs", "unmeasured"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


def trials(path: Path = DATA) -> list[Trial]:
    return [Trial.model_validate(row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["trial"]]


def hold(model: str, given: Sequence[Trial], tell: Callable[[Trial], None] | None = None) -> Iterator[Held]:
    """Run each experiment on the model and compare it with the published values.

    Raises ExperimentError if the model is not available. If the model cannot do an experiment, its checks say so.
    """
    from ...experiments.kinds.registry import kind
    from ...experiments.model.loading import sizes_of
    from ..python_api.notebook import run

    sizes_of(model)
    for trial in given:
        if tell is not None:
            tell(trial)
        try:
            result = run(kind(trial.kind).model_validate({**trial.config, "model": model})).result
        except ExperimentError as fault:
            yield from (unmeasured(trial, check, str(fault)) for check in trial.checks)
        else:
            yield from (held(trial, check, result) for check in trial.checks)


def held(trial: Trial, check: Check, result: Result) -> Held:
    try:
        found = read(Numbers.of(result, trial.config), check.quantity)
    except NoQuantity as fault:
        return unmeasured(trial, check, str(fault))
    agrees = (check.low is None or found.value >= check.low) and (check.high is None or found.value <= check.high)
    return Held(kind=trial.kind, check=check, source=trial.source, about=trial.about, value=found.value,
                low=found.low, high=found.high, state="agrees" if agrees else "differs")  # fmt: skip


def unmeasured(trial: Trial, check: Check, why: str) -> Held:
    return Held(kind=trial.kind, check=check, source=trial.source, about=trial.about, state="unmeasured",
                why=why)  # fmt: skip
