"""`first_decodable`: the layer from which on a lens reads the answer, or a named value."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...report.study import Study
from ..by_reading import NOT_TESTED, SUFFIX
from ..claim import Finding, Verdict
from ..counted import counted
from .decodable import LENSES, Decodable, ReadByLens

Says = Literal["yes", "no", "open"]


class FirstDecodable(ReadByLens):
    """The answer can first be read after this layer, by the logit lens or the tuned lens: after it and every later
    layer that was measured, and after no earlier one. With value or at: as decodable. Readable is not used."""

    type: ClassVar[str] = "first_decodable"
    which: ClassVar[str] = "After which layer can {what} first be read?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One layer: L20.")]

    @property
    def question(self) -> str:
        return f"Is {self.parts[0]} the first layer after which {self.what} can be read?"

    def judge(self, study: Study) -> Finding:
        layer = int(self.parts[0].removeprefix("L").partition(".")[0])
        found = {at: self._after(at).judge(study) for at in self._measured(study)}
        said: dict[int, Says] = {at: _says(one) for at, one in found.items()}
        held_out = any(number.held_out for one in found.values() for number in one.evidence)
        verdict = _verdict(said, layer, held_out)
        it, reads = f"layer {layer}", f"the first layer after which {self.what} can be read"
        # What speaks against it first, then the layer itself and the one before.
        wrong = [at for at, one in said.items() if one == ("no" if at >= layer else "yes")]
        shown = list(dict.fromkeys([*wrong[:1], *(at for at in (layer - 1, layer) if at in found)]))
        against = "no" if wrong and not held_out else ""
        match verdict:
            case "untested":
                sentence = f"Whether {it} is {reads} was not tested."
            case "undecided" if against:
                sentence = f"Layer {layer} is not {reads}, on the prompts to explore ({NOT_TESTED})."
            case "undecided":
                sentence = f"Whether {it} is {reads} is undecided."
            case _:
                sentence = f"Layer {layer} is {'not ' if verdict == 'refuted' else ''}{reads} ({SUFFIX[verdict]})."
        return Finding(
            claim=self, verdict=verdict, sentence=sentence, because=" ".join(found[at].short for at in shown),
            evidence=tuple(number for at in shown for number in found[at].evidence),
        )  # fmt: skip

    def _after(self, layer: int) -> Decodable:
        return Decodable(task=self.task, parts=(f"L{layer}",), value=self.value, at=self.at)

    def _measured(self, study: Study) -> list[int]:
        """The layers after which a lens looked for it."""
        rows = [row for row in counted(study, self.task, LENSES) if self.measured(row)]
        sites = {effect.site for row in rows for effect in row.effects
                 if effect.metric == "lead" and effect.site.endswith(self.suffix)}  # fmt: skip
        return sorted(int(site.removeprefix("L").partition(".")[0]) for site in sites)


def _says(found: Finding) -> Says:
    if found.verdict in ("confirmed", "supported", "seen"):
        return "yes"
    explored = found.evidence and all(one.says == "against" for one in found.evidence)
    return "no" if found.verdict == "refuted" or explored else "open"


def _verdict(said: dict[int, Says], layer: int, held_out: bool) -> Verdict:
    if layer not in said:
        return "untested"
    later, earlier = ({one for at, one in said.items() if (at >= layer) == after} for after in (True, False))
    if later == {"yes"} and earlier <= {"no"}:
        return "confirmed" if held_out else "seen"
    return "refuted" if held_out and ("no" in later or "yes" in earlier) else "undecided"
