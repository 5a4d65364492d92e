"""The program's findings of a study: what its tests and its search say about every part and task that it touched,
claimed or not. They include nulls and refutations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..evidence.quantity import parse
from ..report.study import Study
from .claim import VERDICTS, Claim, Finding
from .counted import counted, on_its_model
from .question import Question, read_question
from .removals import removals, removed_by
from .types.behaves import Behaves
from .types.does import Does
from .types.faithful import Faithful
from .types.needed import Needed
from .types.predicted import Predicted
from .types.spare import Spare
from .words import in_order


def findings(study: Study, claims: Sequence[Claim] = ()) -> list[Finding]:
    """The findings on its questions, these claims, and the study's own tests; each once, confirmed ones first, and
    findings about parts before those about hypotheses and single numbers."""
    found: dict[str, Finding] = {}
    made = [*(one.claim for one in questions(study) if one.claim is not None), *claims]
    for claim in (*made, *tested(study)):
        found.setdefault(repr(claim), claim.judge(study))
    for claim in (*_removed_alone(study, made), *_untold(study, made, found.values())):
        found.setdefault(repr(claim), claim.judge(study))
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    # A set in another order is the same set.
    once: dict[str, Finding] = {}
    for one in found.values():
        once.setdefault(one.text, one)
    # `sorted` is stable.
    return sorted(once.values(), key=lambda one: (isinstance(one.claim, Predicted | Behaves), order[one.verdict]))


def questions(study: Study) -> list[Question]:
    """The questions that the study registered before its first experiment."""
    return [read_question(dict(one.claim)) for one in study.run.questions]


def tested(study: Study) -> Iterator[Claim]:
    """The claims that the held-out tests of a study bear on: whether the model can do its tasks, and whether each thing
    that a test removed is needed (if the removal was predicted to be harmless, whether it is spare), and whether each
    circuit that was run carries its task."""
    yield from (Does(task=task) for task in tasks(study))
    for task, parts, harmless in dict.fromkeys(_removed_in_tests(study)):
        yield Spare(task=task, parts=parts) if harmless else Needed(task=task, parts=parts)
    run_as = ((row.task, row.config.get("circuit")) for row in counted(study, kinds=["circuit_faithfulness"]))
    for task, circuit in dict.fromkeys(run_as):
        if task and isinstance(circuit, str) and circuit in study.circuits:
            yield Faithful(task=task, of=circuit)


def tasks(study: Study) -> list[str]:
    """The tasks of its finished experiments, in order."""
    return list(dict.fromkeys(row.task for row in counted(study) if row.task))


def _removed_alone(study: Study, claims: Sequence[Claim]) -> Iterator[Claim]:
    """For each part that a claim names, what removing it alone showed, if anything."""
    said = {(one.task, one.about) for one in (*claims, *tested(study)) if isinstance(one, Needed | Spare)}
    for claim in claims:
        for part in claim.about:
            if (claim.task, (part,)) not in said and removals(study, frozenset({part}), claim.task):
                yield Needed(task=claim.task, parts=(part,))


def _untold(study: Study, claims: Sequence[Claim], found: Iterable[Finding]) -> Iterator[Claim]:
    """The hypotheses with a test that no other finding covers; all tested ones, if a claim picks one."""
    told = {evidence.experiment for one in found for evidence in one.evidence if not isinstance(one.claim, Predicted)}
    picked = {one.of for one in claims if isinstance(one, Predicted)}
    for name, row in study.hypotheses.items():
        judged = {one.judged.experiment for one in row.predictions if one.judged is not None}
        if name not in picked and judged and (picked or not judged <= told):
            yield Predicted(task=study.run.task or "", of=name)


def _removed_in_tests(study: Study) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    for hypothesis in study.hypotheses.values():
        for prediction in hypothesis.predictions:
            row = None if prediction.judged is None else study.experiments.get(prediction.judged.experiment)
            if row is None or row.status != "done" or row.task is None or not on_its_model(study, row):
                continue
            quantity = parse(prediction.quantity)
            named_sites = {term.site for term in (quantity.first, quantity.second) if term is not None} - {None}
            for site, parts in removed_by(row).items():
                # Without a site, the quantity is about everything that was removed.
                if not named_sites or site in named_sites:
                    yield row.task, tuple(in_order(parts)), prediction.comparison == "between"
