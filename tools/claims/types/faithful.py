"""`faithful`: a stored circuit carries a task on prompts that it was not found on."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....db.records import Experiment as Row
from ....db.records import Measurement
from ...report.numbers import value_text
from ...report.study import Study
from ..by_reading import Reading, against_bound, found_by_reading
from ..claim import CannotClaim, Claim, Finding
from ..counted import counted
from ..words import listed

HALF = 0.5
NAMED = "named edge"


class Faithful(Claim):
    """A circuit carries the task: on prompts that it was not found on, with all other edges replaced, more than half of
    the difference is left, and more than random circuits carry. From circuit_faithfulness with this circuit."""

    type: ClassVar[str] = "faithful"

    of: Annotated[str, Field(pattern=r"^C\d{1,18}$", description="The circuit: C1.")]

    @property
    def question(self) -> str:
        return f"Does the circuit {self.of} carry {self.task}?"

    def judge(self, study: Study) -> Finding:
        circuit = study.circuits.get(self.of)
        if circuit is None:
            there = listed(list(study.circuits)) or "no circuits"
            raise CannotClaim(f"{self.of} is not a circuit of {study.run.id}, which has {there}.")
        rows = [row for row in counted(study, self.task, ["circuit_faithfulness"])
                if row.config.get("circuit") == self.of]  # fmt: skip
        readings = [one for row in rows for one in _readings(study, row)]
        what = f"circuit {self.of} ({circuit.size} edges)"

        def measured(one: Reading) -> str:
            row = study.experiments[one.experiment]
            return (
                f"It carries a share of {one.text} of the difference ({one.experiment}, with the other edges "
                f"{row.config.get('replacement')}), and {_above_text(row)} more than random circuits."
            )

        return found_by_reading(
            self, readings, f"{what} carries {self.task}", f"{what} does not carry {self.task}", measured
        )


def _readings(study: Study, row: Row) -> list[Reading]:
    """The share that the circuit carries. If random circuits may carry as much, it decides nothing."""
    found = [against_bound(study, row, effect, HALF) for effect in row.effects
             if effect.metric == "recovery" and NAMED in effect.site]  # fmt: skip
    above = _above(row)
    clear = above is not None and above.low is not None and above.low > 0
    return [one if clear or one.answer != "for" else one._replace(answer="open") for one in found]


def _above(row: Row) -> Measurement | None:
    """By how much the circuit carries more than random ones."""
    return next((one for one in row.measurements if one.name == "above_random"), None)


def _above_text(row: Row) -> str:
    above = _above(row)
    return "an unknown share" if above is None else value_text(above.value, above.low, above.high, n=above.n)
