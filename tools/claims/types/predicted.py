"""`predicted`: the outcome of a hypothesis, in the terms of its predictions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....db.records import Experiment, Prediction
from ....experiments.kinds.registry import own_settings
from ...evidence.conditions import Bound
from ...evidence.equivalence import rests_on_controls
from ...evidence.quantity import parse
from ...evidence.verdict import said, spoken
from ...report.escape import one_line
from ...report.numbers import setting, value_text
from ...report.study import Study
from ..claim import CannotClaim, Claim, Evidence, Finding, Verdict
from ..counted import on_its_model
from ..removals import rank_with
from ..standard import counts_as_none

_VERDICTS: dict[str, Verdict] = {
    "supported": "supported",
    "refuted": "refuted",
    "inconclusive": "undecided",
    "open": "untested",
}
# More damage than random parts: no change would not meet it.
BEYOND = "beyond_control"
_SAYS = {"supported": "for", "refuted": "against"}
MOST = 4


class Predicted(Claim):
    """The outcome of a hypothesis of this study: its predictions and their verdicts, in numbers. Its statement is the
    writer's, and is not repeated as a finding."""

    type: ClassVar[str] = "predicted"

    of: Annotated[
        str,
        Field(pattern=r"^H\d{1,18}(\.[1-9]\d?)?$", description="The hypothesis: H1; or one prediction of it: H1.2."),
    ]

    @property
    def question(self) -> str:
        return f"What became of {self.of}?"

    def judge(self, study: Study) -> Finding:
        name, _, number = self.of.partition(".")
        row = study.hypotheses.get(name)
        if row is None:
            raise CannotClaim(f"{name} is not a hypothesis of {study.run.id}.")
        if not row.predictions:
            raise CannotClaim(f"{name} has no predictions, so the program has no verdict on it.")
        if number and int(number) > len(row.predictions):
            raise CannotClaim(
                f"{name} has {len(row.predictions)} predictions, {name}.1 to {name}.{len(row.predictions)}."
            )
        about = [row.predictions[int(number) - 1]] if number else list(row.predictions)
        lines: list[str] = []
        evidence: list[Evidence] = []
        weak: list[str] = []
        for one in about:
            settings = ", ".join(
                f"{name} {one_line(setting(value))}" for name, value in own_settings(one.kind, one.config).items()
                if name in ("heads", "layers", "method", "program", "together")
            )  # fmt: skip
            tested = None if one.judged is None else study.experiments.get(one.judged.experiment)
            of = "" if tested is None or on_its_model(study, tested) else f" of {tested.model}"
            what = f"{said(one)} ({one.kind}{of}{f', {settings}' if settings else ''}, {one.config.get('task')})"
            if one.judged is None:
                lines.append(f"{what}: not tested")
                continue
            weak.append("" if tested is None else _worth(study, tested, one))
            judged, verdict = one.judged, study.verdicts.predictions[one.id] or "not tested"
            value = value_text(judged.value, judged.low, judged.high, n=judged.n)
            rank = "" if tested is None else rank_with(tested, parse(one.quantity))
            lines.append(f"{what}: {verdict}, {value} ({judged.experiment}{rank})")
            evidence.append(Evidence(experiment=judged.experiment, held_out=True, text=f"{said(one)}: {value}",
                                     says=_SAYS.get(verdict, "open")))  # type: ignore[arg-type]  # fmt: skip
        # What failed comes first.
        order = [i for word in ("refuted", "inconclusive", "not tested", "supported") for i, line in enumerate(lines)
                 if f": {word}" in line]  # fmt: skip
        shown = [lines[i] for i in dict.fromkeys((*order, *range(len(lines))))]
        more = f"; and {len(shown) - MOST} more" if len(shown) > MOST else ""
        count = len(lines)
        made = f"it made {count} prediction{'s' * (count != 1)} for held-out prompts"
        whole = spoken(row, study.verdicts)
        head = f"{name} is {whole}: {made}."
        status = study.verdicts.hypotheses[name]
        verdict = "confirmed" if whole == "confirmed" else _VERDICTS[status]
        if number:
            # One prediction is at most supported, whatever the verdicts on the others.
            verdict = _VERDICTS[study.verdicts.predictions[about[0].id] or "open"]
            head = f"Prediction {number} of {name}, which as a whole is {whole}."
        because = f"{'; '.join(shown[:MOST])}{more}."
        revised = (
            (f"It revises {row.revises}, which is {study.hypotheses[row.revises].status}.",)
            if row.revises in study.hypotheses
            else ()
        )
        shown = verdict in ("confirmed", "supported") and bool(weak) and all(weak)
        # The prediction is from before such predictions were refused.
        compared = [why for why in map(_by_controls, about) if why][:1]
        against = (*(dict.fromkeys(weak) if shown else ()), *revised, *compared)
        return Finding(claim=self, verdict=verdict, sentence=head, because=because, evidence=tuple(evidence),
                       against=against)  # fmt: skip


def _worth(study: Study, row: Experiment, one: Prediction) -> str:
    """A sentence, if the prediction also holds when nothing changes."""
    bound = _bound(one)
    return "" if bound is None else counts_as_none(study, row, bound)


def _by_controls(one: Prediction) -> str:
    """Why a prediction that reads like an equivalence shows none."""
    bound = _bound(one)
    return "" if bound is None else rests_on_controls(bound, str(one.config.get("metric", "")))


def _bound(one: Prediction) -> Bound | None:
    """The bound of a prediction; None for beyond_control."""
    if one.comparison == BEYOND:
        return None
    return Bound(quantity=parse(one.quantity), comparison=one.comparison, low=one.low, high=one.high)
