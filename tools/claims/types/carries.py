"""`carries`: patching a site moves what tells a prompt from its corrupted prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import Finding
from ..counted import counted
from ..of_value import OnValue, plain, said
from ..standard import PART
from ..words import listed

if TYPE_CHECKING:
    from ....db.records import Experiment as Row


class Carries(OnValue):
    """A site carries what tells a prompt from its corrupted prompt: patched alone, it recovers (or destroys) more than
    a tenth of the difference. Sites are named as activation_patching names them. With value: between prompts that
    differ in this value (`twin`)."""

    type: ClassVar[str] = "carries"
    which: ClassVar[str] = "Which {among} carry what tells the prompts of {task} from their corrupted prompts?"

    parts: Annotated[
        tuple[str, ...], Field(min_length=1, max_length=1, description="One site, as activation_patching names it.")
    ]

    @property
    def question(self) -> str:
        if self.value is not None:
            return f"Does {self.parts[0]} carry {self.changing}?"
        return f"Does {self.parts[0]} carry what tells the prompts of {self.task} from their corrupted prompts?"

    @property
    def changing(self) -> str:
        return f"what changes with {said(self.value)} in {self.task}"

    def measured(self, row: Row) -> bool:
        twin = row.config.get("twin")
        same = plain(twin or "") == plain(self.value or "")
        return row.kind == "activation_patching" and same

    def judge(self, study: Study) -> Finding:
        readings: list[Reading] = []
        for row, effect in effects_at(study, ["activation_patching"], self.task, self.parts[0], "recovery"):
            if self.measured(row):
                side = -1 if row.config.get("direction") == "noising" else 1
                readings.append(against_bound(study, row, effect, PART, side))
        what = f"what tells a prompt of {self.task} from its corrupted prompt"
        if self.value is not None:
            what = self.changing

        def measured(one: Reading) -> str:
            moved = f"Patched alone, it moves {one.text} of the difference ({one.experiment})"
            only = "" if self.value is None else (
                f" The corrupted prompts change only {said(self.value)} and what follows from it.")  # fmt: skip
            return f"{moved}; the bound is {one.bound_text}.{only}"

        site = self.parts[0]
        holds, fails = f"{site} carries {what}", f"{site} does not carry {what}"
        found = found_by_reading(self, readings, holds, fails, measured)
        elsewhere = () if readings or "@" in site else self._at_positions(study)
        if not elsewhere:
            return found
        return found.model_copy(update={"untested": (f"It was patched at {listed(elsewhere)}. Name the position.",)})

    def _at_positions(self, study: Study) -> tuple[str, ...]:
        """The site with each position at which it was patched."""
        rows = [row for row in counted(study, self.task, ["activation_patching"]) if self.measured(row)]
        sites = {effect.site: None for row in rows for effect in row.effects}
        return tuple(one for one in sites if one.startswith(f"{self.parts[0]}@"))
