"""`behaves`: a quantity of an experiment and its bounds, for what no other type expresses."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....experiments.kinds.registry import own_settings
from ...evidence.conditions import Bound, Condition, NoCondition, check_bound, parse_bound
from ...evidence.equivalence import rests_on_controls
from ...evidence.quantity import NoQuantity, read
from ...evidence.trivial import cannot_fail
from ...report.escape import one_line
from ...report.numbers import setting, value_text
from ...report.study import Study
from ..claim import CannotClaim, Claim, Evidence, Finding, Verdict


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
        row = study.experiments.get(self.of)
        if row is None or row.status != "done":
            why = f"is no experiment of {study.run.id}" if row is None else f"is {row.status}"
            raise CannotClaim(f"{self.of} {why}.")
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
        before = held_out and _predicted(study, row.id, bound)
        value = value_text(measured.value, measured.low, measured.high, unit=measured.unit, n=measured.n)
        own = own_settings(row.kind, row.config)
        settings = ", ".join(
            f"{name} {one_line(setting(of))}" for name, of in own.items() if of not in (None, [], "", False)
        )
        where = "held-out prompts" if held_out else "exploring"
        what = f"{row.kind}{f' ({settings})' if settings else ''} on {row.task}, {where}"
        verdict: Verdict = ("supported" if before else "seen") if checked.holds else "undecided"
        says = "as predicted" if before else "the bound was set afterwards"
        lies = bound.text if checked.holds else f"not shown to be {bound.text}"
        sentence = f"{bound.quantity.text} is {value} in {self.of}: {what}. It is {lies} ({says})."
        return Finding(claim=self, verdict=verdict, sentence=sentence,
                       evidence=(Evidence(experiment=self.of, held_out=held_out, text=value,
                                          says="for" if checked.holds else "open"),))  # fmt: skip


def _predicted(study: Study, experiment: str, bound: Bound) -> bool:
    """Whether this bound, or a stronger one, was written down before the experiment ran."""
    return any(
        one.judged is not None and one.judged.experiment == experiment and one.quantity == bound.quantity.text
        and one.comparison == bound.comparison and (one.low, one.high) == (bound.low, bound.high)
        for row in study.hypotheses.values() for one in row.predictions
    )  # fmt: skip
