"""The findings of a study, all of them the program's: what its tests and its search say of every part and task that it
touched, whether or not anybody claimed it. Nulls and refutations stand among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..evidence.quantity import parse
from ..report.study import Study
from .call import kept
from .claim import VERDICTS, Claim, Finding
from .counted import counted, on_its_model
from .removals import removals, removed_by
from .types.behaves import Behaves
from .types.does import Does
from .types.needed import Needed
from .types.predicted import Predicted
from .types.spare import Spare
from .words import capitalized, in_order, listed, named

# How many parts an answer names before it counts the rest.
MOST = 8
# How many findings of other types it tells where no part was removed in a test.
MOST_OTHERS = 2


def findings(study: Study, claims: Sequence[Claim] = ()) -> list[Finding]:
    """What these claims come to, and what the study's own tests say; each thing once, the confirmed first, and what
    is said of parts before what is said of hypotheses and single numbers."""
    found: dict[str, Finding] = {}
    for claim in (*claims, *tested(study)):
        found.setdefault(repr(claim), claim.judge(study))
    for claim in (*_removed_alone(study, claims), *_untold(study, claims, found.values())):
        found.setdefault(repr(claim), claim.judge(study))
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    # `sorted` keeps what is alike in its order.
    return sorted(found.values(), key=lambda one: (isinstance(one.claim, Predicted | Behaves), order[one.verdict]))


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
    return list(dict.fromkeys(row.task for row in counted(study) if row.task))


def _removed_alone(study: Study, claims: Sequence[Claim]) -> Iterator[Claim]:
    """Of each part that a claim names: what removing it alone showed, if anything did."""
    said = {(one.task, one.about) for one in (*claims, *tested(study)) if isinstance(one, Needed | Spare)}
    for claim in claims:
        for part in claim.about:
            if (claim.task, (part,)) not in said and removals(study, frozenset({part}), claim.task):
                yield Needed(task=claim.task, parts=(part,))


def _untold(study: Study, claims: Sequence[Claim], found: Iterable[Finding]) -> Iterator[Claim]:
    """The hypotheses with a test that no other finding tells; all that were tested, where a claim picks one."""
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
                # Without a site the quantity is of all that was removed.
                if not named_sites or site in named_sites:
                    yield row.task, tuple(in_order(parts)), prediction.comparison == "between"


def answer(study: Study, found: Sequence[Finding]) -> list[str]:
    """The answer in a few sentences: what the model can do, what is needed, what is not, and what is open."""
    said = [one for task in tasks(study) for one in _needed(task, [f for f in found if f.claim.task == task])]
    if not said and not any(evidence.held_out for one in found for evidence in one.evidence):
        said.append("Nothing was tested on held-out prompts, so nothing is confirmed.")
    elif not said:
        said += [one.text for one in found if any(evidence.held_out for evidence in one.evidence)][:MOST_OTHERS]
    if elsewhere := [one for one in study.finished if not on_its_model(study, study.experiments[one])]:
        models = listed(list(dict.fromkeys(study.experiments[one].model for one in elsewhere)))
        count = f"{len(elsewhere)} experiment{'s' * (len(elsewhere) != 1)}"
        said.append(f"{count} measured another model ({models}); only what a hypothesis predicted of it is told here.")
    does = [one.text for one in found if isinstance(one.claim, Does)][:1]
    return [*said, *(one for one in does if one not in said)]


def _needed(task: str, found: Sequence[Finding]) -> Iterator[str]:
    """Sentences on the parts of one task, by verdict."""
    needed = [one for one in found if isinstance(one.claim, Needed)]
    spare = [one for one in found if isinstance(one.claim, Spare)]
    shown = [one for one in needed if one.verdict in ("confirmed", "supported")]
    for one in shown[:3]:
        yield one.text
    if len(shown) > 3:
        yield f"Also needed for {task} ({_words(shown[3:])}), each by its own test: {_names(shown[3:])}."
    refuted = [one for one in needed if one.verdict == "refuted"]
    artefacts = [one for one in refuted if one.against]
    if artefacts:
        yield (
            f"{capitalized(_names(artefacts))}: not needed for {task} (refuted on held-out prompts); what speaks "
            "against it stands below."
        )
    if others := [one for one in refuted if not one.against]:
        yield f"{capitalized(_names(others))}: not needed for {task} (refuted on held-out prompts)."
    if kept := [one for one in spare if one.verdict in ("confirmed", "supported")]:
        yield f"{capitalized(_names(kept))}: can be spared for {task} ({_words(kept)} on held-out prompts)."
    if wrong := [one for one in spare if one.verdict == "refuted"]:
        yield f"{capitalized(_names(wrong))}: cannot be spared for {task} (refuted on held-out prompts)."
    if open_ := [one for one in (*needed, *spare) if one.verdict == "undecided"]:
        yield f"Undecided for {task}: {_names(open_)}."


def _names(found: Sequence[Finding]) -> str:
    sets = [one.claim.about for one in found]
    single = [part for parts in sets if len(parts) == 1 for part in parts]
    several = [f"{named(parts)} together" for parts in sets if len(parts) > 1]
    shown = in_order(dict.fromkeys(single))
    more = [f"{len(shown) - MOST} more"] if len(shown) > MOST else []
    first = [named(shown[:MOST])] if shown else []
    # What each can be spared for need not be so of all at once.
    apart = [f"{listed([*first, *more])}{', each by itself' if len(shown) > 1 else ''}"] if shown else []
    return listed([*apart, *several])


def _words(found: Sequence[Finding]) -> str:
    return listed(list(dict.fromkeys(one.verdict for one in found)))
