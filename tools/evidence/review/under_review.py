"""What a second opinion attacks: the claims of a report, each with the numbers that it rests on.

A report's claims are the program's findings (typed claims with a verdict), and the writer's own sentences with their
conditions. Each reduces to assertions that a test on other prompts can contradict: a number of an experiment lies
within bounds, or it does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ....experiments.prediction import Comparison
from ....experiments.result import Frozen
from ...claims.claim import Evidence, Finding
from ...claims.findings import findings
from ...claims.types.needed import Needed
from ...claims.types.needed_within import NeededWithin
from ...report.claims import Claim, check_claim, sentences, typed
from ...report.prose import plain
from ...report.slots import fill
from ...report.study import Study
from ..conditions import parse_condition
from ..quantity import read

# The verdicts that a test can contradict.
ATTACKED = ("confirmed", "supported", "seen", "refuted")


class Assertion(Frozen):
    """A statement about one number (of "E12" or "H2"): it lies within bounds (`inside`), or it does not."""

    of: str
    kind: str
    config: dict[str, Any]
    quantity: str
    comparison: Comparison
    low: float | None = None
    high: float | None = None
    inside: bool = True


class UnderReview(NamedTuple):
    """A claim as the reviewer reads it: in words, with what was found for it, and what it rests on.

    members  for a needed set, the claim on each member that it adds to the damage of the others
    """

    sentence: str
    found: Sequence[str]
    assertions: Sequence[Assertion]
    cited: frozenset[str] = frozenset()
    members: Sequence[NeededWithin] = ()


def under_review(study: Study) -> list[UnderReview]:
    """The claims of a study, the writer's sentences first, then the program's findings."""
    kept = () if study.report is None else study.report.claims
    written = sentences(kept)
    found = [one for one in findings(study, typed(kept)) if one.verdict in ATTACKED and _of_one_number(one)]
    return [*(_sentence(claim, study) for claim in written), *(_finding(one, study) for one in found)]


def _sentence(claim: Claim, study: Study) -> UnderReview:
    return UnderReview(
        plain(claim.sentence, lambda slot: fill(slot, study)),
        [f"holds: {one.condition.text} ({one.found})" for one in check_claim(claim, study)],
        assertions(claim, study),
        frozenset(text.split()[0] for text in claim.conditions),
    )


def _finding(found: Finding, study: Study) -> UnderReview:
    decided = [one for one in found.evidence if one.held_out] or list(found.evidence)
    said = [f"{one.experiment}: {one.text}" for one in decided if one.says != "open"]
    return UnderReview(found.text, said, list(_of_evidence(decided, study)), members=_members(found))


def _members(found: Finding) -> list[NeededWithin]:
    """A needed set may have a member that does nothing; these claims let a test find it."""
    claim = found.claim
    if not isinstance(claim, Needed) or len(claim.parts) < 2 or found.verdict == "refuted":
        return []
    return [
        NeededWithin(task=claim.task, parts=(one,), besides=tuple(other for other in claim.parts if other != one))
        for one in claim.parts
    ]


def _of_one_number(found: Finding) -> bool:
    """Whether the finding rests on a number that a prediction can name."""
    return any(one.quantity for one in found.evidence)


def _of_evidence(evidence: Sequence[Evidence], study: Study) -> Iterator[Assertion]:
    """The assertions that the deciding numbers of a finding make, each once."""
    known = set[str]()
    for one in evidence:
        if not one.quantity or one.says == "open":
            continue
        row = study.experiments[one.experiment]
        found = Assertion(of=one.experiment, kind=row.kind, config=dict(row.config), quantity=one.quantity,
                          comparison=one.comparison, low=one.low, high=one.high, inside=one.says == "for")  # fmt: skip
        same = json.dumps([found.quantity, found.config.get("method"), found.low, found.high, found.inside])
        if same not in known:
            known.add(same)
            yield found


def assertions(claim: Claim, study: Study) -> list[Assertion]:
    """The testable assertions of a sentence's conditions. A condition on a number without an interval is not testable,
    nor on numbers of two experiments; and neither is 'is inconclusive'."""
    found: list[Assertion] = []
    for text in claim.conditions:
        condition = parse_condition(text)
        if condition.bound is not None:
            row, bound = study.experiments[condition.of], condition.bound
            if bound.quantity.other is not None:
                continue
            if read(row, bound.quantity, lambda name, of=condition.of: study.artifact(of, name)).low is None:
                continue
            found.append(
                Assertion(of=condition.of, kind=row.kind, config=dict(row.config), quantity=bound.quantity.text,
                          comparison=bound.comparison, low=bound.low, high=bound.high)
            )  # fmt: skip
            continue
        predictions = study.hypotheses[condition.of].predictions
        for one in predictions if condition.place is None else predictions[condition.place - 1 :][:1]:
            inside = condition.verdict in ("supported", "confirmed")
            if inside or (condition.verdict == "refuted" and study.verdicts.predictions[one.id] == "refuted"):
                found.append(
                    Assertion(of=condition.of, inside=inside, kind=one.kind, config=dict(one.config),
                              quantity=one.quantity, comparison=one.comparison, low=one.low, high=one.high)
                )  # fmt: skip
    return found
