"""`decodable`: a lens reads the answer after a layer."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import Finding
from ..of_value import OnValueAt, said

# The answer is twice as likely as the answers of the other prompts.
LEAD = math.log(2)


class Decodable(OnValueAt):
    """The answer can be read after a layer, by the logit lens or the tuned lens: it is more than twice as likely there
    as the answers of the other prompts. With value and position: this value there. Readable does not mean used."""

    type: ClassVar[str] = "decodable"
    which: ClassVar[str] = "After which layer can the answer of {task} be read?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One layer: L20.")]

    @property
    def question(self) -> str:
        return f"Can {self.named} be read after {self.parts[0]}?"

    def judge(self, study: Study) -> Finding:
        site = f"{self.parts[0].removesuffix('.resid_post')}.resid_post{self.at}"
        readings = [
            against_bound(study, row, effect, LEAD)
            for row, effect in effects_at(study, ["logit_lens", "tuned_lens"], self.task, site, "lead")
            if self.measured(row)
        ]
        layer = f"layer {self.parts[0].removeprefix('L').removesuffix('.resid_post')}"
        others = "answers" if said(self.value) == said(None) else "values"

        def measured(one: Reading) -> str:
            return (
                f"Its lead over the {others} of other prompts is {one.text} nats ({one.experiment}); twice as likely "
                f"is {one.bound_text}. That it can be read does not say that it is used."
            )

        reads = f"{self.named} after {layer}"
        holds, fails = f"a lens reads {reads}", f"a lens does not read {reads}"
        return found_by_reading(self, readings, holds, fails, measured)
