"""`enough`: these parts alone keep the task."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....db.records import Effect, Experiment
from ...report.study import Study
from ..by_reading import Reading, against_bound, found_by_reading
from ..claim import ClaimOnParts, Finding
from ..counted import counted
from ..words import listed, named

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
        rows = [
            row for row in counted(study, self.task, ["minimal_set"])
            if row.config.get("goal") == "keep" and {e.site for e in row.effects} == set(self.parts)
        ]  # fmt: skip
        # What always stayed belongs to the claim. A set that is enough by itself comes before one with help.
        rows.sort(key=lambda row: _stayed(row) != "")
        where = _stayed(rows[0]) if rows else ""
        for row in rows:
            if _stayed(row) != where:
                continue
            one = next(m for m in row.measurements if m.name == "share")
            effect = Effect(
                "the set", "share", one.value, one.low or 0.0, one.high or 0.0, one.n or 0, None, None, None, None
            )
            readings.append(against_bound(study, row, effect, SHARE))
            searched = row.config.get("parts", "heads")
            stayed = f"The other {searched} were removed ({row.config.get('method')}); everything else stayed."
        them, task = named(self.parts), self.task

        def measured(one: Reading) -> str:
            return f"They leave a share of {one.text} of the intact metric ({one.experiment}). {stayed}"

        are = "are" if len(self.parts) > 1 else "is"
        holds, fails = f"{them} {are} enough for {task}{where}", f"{them} {are} not enough for {task}{where}"
        return found_by_reading(self, readings, holds, fails, measured)


def _stayed(row: Experiment) -> str:
    """What a search always left in place, in words: ", where all heads of layers other than 1 stay"."""
    layers, besides = row.config.get("layers"), row.config.get("besides")
    stayed = [f"all {row.config.get('parts', 'heads')} outside layer {listed([*map(str, layers)])}"] if layers else []
    stayed += [named(besides)] if besides else []
    return f", where {listed(stayed)} stay" if stayed else ""
