"""`enough`: with nothing but these parts the task is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....db.records import Effect
from ...report.study import Study
from ..by_reading import Reading, against_bound, found_by_reading
from ..claim import ClaimOnParts, Finding
from ..words import named

SHARE = 0.5


class Enough(ClaimOnParts):
    """These parts are enough: with all others of their kind removed, more than half of the intact metric is left. From
    minimal_set with goal keep. Parts outside the search (MLPs, other layers) stay, and are named."""

    type: ClassVar[str] = "enough"
    which: ClassVar[str] = "Which {among} are enough for {task}?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, description="The set, as minimal_set found it.")]

    @property
    def question(self) -> str:
        return f"{'Is' if len(self.parts) == 1 else 'Are'} {named(self.parts)} enough for {self.task}?"

    def judge(self, study: Study) -> Finding:
        readings: list[Reading] = []
        stayed = ""
        for row in study.experiments.values():
            kept = row.kind == "minimal_set" and row.config.get("goal") == "keep" and row.task == self.task
            if not kept or row.status != "done" or {e.site for e in row.effects} != set(self.parts):
                continue
            one = next(m for m in row.measurements if m.name == "share")
            effect = Effect(
                "the set", "share", one.value, one.low or 0.0, one.high or 0.0, one.n or 0, None, None, None, None
            )
            readings.append(against_bound(study, row, effect, SHARE))
            layers, searched = row.config.get("layers"), row.config.get("parts", "heads")
            where = f" in layers {', '.join(map(str, layers))}" if layers else ""
            stayed = f"Removed were the other {searched}{where} ({row.config.get('method')}); everything else stayed."
        them, task = named(self.parts), self.task

        def measured(one: Reading) -> str:
            left = f"a share of {one.text} of the intact metric is left ({one.experiment})"
            return f"With nothing else of their kind, {left}. {stayed}"

        are = "are" if len(self.parts) > 1 else "is"
        holds, fails = f"{them} {are} enough for {task}", f"{them} {are} not enough for {task}"
        return found_by_reading(self, readings, holds, fails, measured)
