"""`decodable`: a lens reads the answer after a layer."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import ClaimOnParts, Finding

# The answer is twice as likely as the answers of the other prompts.
LEAD = math.log(2)


class Decodable(ClaimOnParts):
    """The answer can be read after a layer, by the logit lens or the tuned lens: it is more than twice as likely there
    as the answers of the other prompts. Readable does not mean used."""

    type: ClassVar[str] = "decodable"
    which: ClassVar[str] = "After which layer can the answer of {task} be read?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One layer: L20.")]

    @property
    def question(self) -> str:
        return f"Can the answer of {self.task} be read after {self.parts[0]}?"

    def judge(self, study: Study) -> Finding:
        site = f"{self.parts[0].removesuffix('.resid_post')}.resid_post"
        readings = [
            against_bound(study, row, effect, LEAD)
            for row, effect in effects_at(study, ["logit_lens", "tuned_lens"], self.task, site, "lead")
        ]
        layer = f"layer {self.parts[0].removeprefix('L').removesuffix('.resid_post')}"

        def measured(one: Reading) -> str:
            return (
                f"Its lead over the answers of other prompts is {one.text} nats ({one.experiment}); twice as likely is "
                f"{one.bound_text}. That it can be read does not say that it is used."
            )

        reads = f"the answer of {self.task} after {layer}"
        holds, fails = f"a lens reads {reads}", f"a lens does not read {reads}"
        return found_by_reading(self, readings, holds, fails, measured)
