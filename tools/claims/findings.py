"""The findings of a study, all of them the program's: what its tests and its search say of every part and task that it
touched, whether or not anybody claimed it. Nulls and refutations stand among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..evidence.quantity import parse
from ..report.study import Study
from .call import kept
from .claim import VERDICTS, Claim, Finding
from .question import Question, read_question
from .removals import removed_by
from .types.does import Does
from .types.needed import Needed
from .types.spare import Spare
from .words import in_order


def findings(study: Study, claims: Sequence[Claim] = ()) -> list[Finding]:
    """What its questions and these claims come to, and what the study's own tests say; each thing once, the confirmed
    first."""
    found: dict[str, Finding] = {}
    asked = (one.claim for one in questions(study) if one.claim is not None)
    for claim in (*asked, *claims, *tested(study)):
        found.setdefault(repr(claim), claim.judge(study))
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    # `sorted` keeps what is alike in its order.
    return sorted(found.values(), key=lambda one: order[one.verdict])


def questions(study: Study) -> list[Question]:
    """What the study registered before its first experiment."""
    return [read_question(dict(one.claim)) for one in study.run.questions]


def finding_data(found: Finding) -> dict[str, Any]:
    """As JSON: the claim, the verdict, the sentences, and the experiments that they rest on."""
    return {
        "claim": kept(found.claim),
        "verdict": found.verdict,
        "text": found.text,
        "experiments": list(dict.fromkeys(one.experiment for one in found.evidence)),
        "evidence": [one.model_dump() for one in found.evidence],
    }


def tested(study: Study) -> Iterator[Claim]:
    """The claims that the held-out tests of a study bear on: whether its tasks can be done, and whether each thing that
    a test removed is needed. What was predicted to be harmless is asked for being spare."""
    yield from (Does(task=task) for task in tasks(study))
    for task, parts, harmless in dict.fromkeys(_removed_in_tests(study)):
        yield Spare(task=task, parts=parts) if harmless else Needed(task=task, parts=parts)


def tasks(study: Study) -> list[str]:
    """The tasks of its finished experiments, in their order."""
    rows = (study.experiments[one] for one in study.finished)
    return list(dict.fromkeys(row.task for row in rows if row.task))


def _removed_in_tests(study: Study) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    for hypothesis in study.hypotheses.values():
        for prediction in hypothesis.predictions:
            row = None if prediction.judged is None else study.experiments.get(prediction.judged.experiment)
            if row is None or row.status != "done" or row.task is None:
                continue
            quantity = parse(prediction.quantity)
            named_sites = {term.site for term in (quantity.first, quantity.second) if term is not None} - {None}
            for site, parts in removed_by(row).items():
                # Without a site the quantity is of all that was removed.
                if not named_sites or site in named_sites:
                    yield row.task, tuple(in_order(parts)), prediction.comparison == "between"
