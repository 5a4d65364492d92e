"""`behaves`: a quantity of an experiment and its bounds, for what no other type expresses."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....db.records import Prediction
from ....experiments.kinds.registry import own_settings
from ...evidence.conditions import Bound, Condition, NoCondition, check_bound, parse_bound
from ...evidence.equivalence import rests_on_controls
from ...evidence.quantity import NoQuantity, read
from ...evidence.trivial import cannot_fail
from ...report.escape import one_line
from ...report.numbers import setting, value_text
from ...report.study import Study
from ..by_reading import SUFFIX
from ..claim import CannotClaim, Claim, Evidence, Finding, Verdict
from ..counted import finished, on_its_model
from ..removals import rank_with
from ..standard import counts_as_none


class Behaves(Claim):
    """A quantity of a finished experiment lies where you say: "accuracy_drop > 0.2". The finding is the quantity, its
    value and the bound, and nothing else. A bound that cannot fail is refused; one that was not predicted says so."""

    type: ClassVar[str] = "behaves"

    of: Annotated[str, Field(pattern=r"^E\d{1,18}$", description="The experiment: E5.")]
    bound: Annotated[
        str, Field(min_length=1, description="accuracy_drop > 0.2, effect[L7.H3] < -0.1, share between 0 and 0.1.")
    ]

    @property
    def question(self) -> str:
        return f"Is {self.bound} in {self.of}?"

    def judge(self, study: Study) -> Finding:
        row = finished(study, self.of)
        try:
            bound = parse_bound(self.bound)
            measured = read(row, bound.quantity, lambda name: study.artifact(self.of, name))
            checked = check_bound(Condition(of=self.of, bound=bound), row, study.q,
                                  lambda name: study.artifact(self.of, name))  # fmt: skip
        except (NoCondition, NoQuantity) as fault:
            raise CannotClaim(str(fault)) from fault
        why_not = cannot_fail(bound, row) or rests_on_controls(bound, str(row.config.get("metric", "")))
        if why_not:
            raise CannotClaim(why_not)
        held_out = row.split == "confirm"
        before = _predicted(study, row.id, bound) if held_out else None
        value = value_text(measured.value, measured.low, measured.high, unit=measured.unit, n=measured.n)
        own = own_settings(row.kind, row.config)
        settings = ", ".join(
            f"{name} {one_line(setting(of))}" for name, of in own.items() if of not in (None, [], "", False)
        )
        where = "held-out prompts" if held_out else "exploring"
        of = "" if on_its_model(study, row) else f" of {row.model}"
        what = f"{row.kind}{of}{f' ({settings})' if settings else ''} on {row.task}, {where}"
        # A prediction is judged once, with the correction over all predictions of the study.
        verdict: Verdict = (
            _JUDGED[study.verdicts.predictions[before.id] or "inconclusive"] if before is not None
            else "seen" if checked.holds else "undecided"
        )  # fmt: skip
        says = (
            "the bound was set afterwards"
            if before is None
            else f"as predicted: {verdict}, with all predictions counted"
        )
        lies = {"supported": "is", "seen": "is", "refuted": "is not"}.get(verdict, "is not shown to be")
        sentence = f"In {self.of}, {bound.quantity.text} {lies} {bound.there} ({SUFFIX[verdict]})."
        because = f"It is {value}{rank_with(row, bound.quantity)}: {what}; {says}."
        none = counts_as_none(study, row, bound) if verdict in ("supported", "seen") else ""
        return Finding(claim=self, verdict=verdict, sentence=sentence, because=because, against=(none,) if none else (),
                       evidence=(Evidence(experiment=self.of, held_out=held_out, text=value,
                                          says="for" if checked.holds else "open"),))  # fmt: skip


_JUDGED: dict[str, Verdict] = {"supported": "supported", "refuted": "refuted", "inconclusive": "undecided"}


def _predicted(study: Study, experiment: str, bound: Bound) -> Prediction | None:
    """The prediction of exactly this bound, recorded before the experiment ran."""
    found = (
        one for row in study.hypotheses.values() for one in row.predictions
        if one.judged is not None and one.judged.experiment == experiment and one.quantity == bound.quantity.text
        and one.comparison == bound.comparison and (one.low, one.high) == (bound.low, bound.high)
    )  # fmt: skip
    return next(found, None)
