"""`path`: one part reads directly from another."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import ClaimOnParts, Finding
from ..standard import PART


class Path(ClaimOnParts):
    """One part sends to another directly: patched alone, the path moves more than a tenth of the difference between a
    prompt and its corrupted prompt. From path_patching. Two parts that matter need not be connected."""

    type: ClassVar[str] = "path"
    ordered: ClassVar[bool] = True
    which: ClassVar[str] = "Which {among} read from which in {task}?"

    parts: Annotated[
        tuple[str, ...],
        Field(
            min_length=2, max_length=2, description="Sender and receiver: L0.H1 and L1.H2.k (by q, k or v), or logits."
        ),
    ]

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(
            part.removesuffix(".q").removesuffix(".k").removesuffix(".v") for part in self.parts if part != "logits"
        )

    @property
    def question(self) -> str:
        return f"Does {self.parts[1]} read from {self.parts[0]} in {self.task}?"

    def judge(self, study: Study) -> Finding:
        sender, receiver = self.parts
        readings: list[Reading] = []
        for row, effect in effects_at(study, ["path_patching"], self.task, f"{sender} to {receiver}", "recovery"):
            side = 1 if row.config.get("direction") == "denoising" else -1
            readings.append(against_bound(study, row, effect, PART, side))

        def measured(one: Reading) -> str:
            return (
                f"Patched alone, the path moves {one.text} of the difference to the corrupted prompt "
                f"({one.experiment}); the bound is {one.bound_text}."
            )  # fmt: skip

        reads = f"directly from {sender} in {self.task}"
        holds, fails = f"{receiver} reads {reads}", f"{receiver} does not read {reads}"
        return found_by_reading(self, readings, holds, fails, measured)
