"""The answer of a study in one to three sentences, for a reader who reads no further: which parts a task needs, which
it does not, and which are undecided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...experiments.metrics import is_distance
from ..report.study import Study
from .claim import Finding
from .findings import questions, tasks
from .question import Question
from .strongest import Ranked, strongest
from .words import capitalized, in_order, listed, named, what_is

# How many parts a sentence names before it counts the rest.
MOST = 8


def in_short(study: Study, found: Sequence[Finding]) -> str:
    """Empty if the study asks no open question about what its tasks need or can spare."""
    asked = questions(study)
    open_ = [one for one in asked if one.claim is None and one.type in ("needed", "spare")]
    said: list[str] = []
    for task in tasks(study):
        which = open_ if asked else [Question(type="needed", task=task)]
        about = [
            one for one in found
            if one.claim.type in ("needed", "spare") and one.claim.task == task
            and any(all(map(question.asks_for, one.claim.about)) for question in which)
        ]  # fmt: skip
        of_task = [*_of_task(task, about)]
        said += of_task
        if of_task:
            said += _most_damage(
                [one for one in strongest(study, task) if any(q.asks_for(one.parts[0].part) for q in which)], about
            )
    said += [one.sentence for one in found if one.claim.type == "faithful" and one.verdict in ("confirmed", "refuted")]
    return " ".join(said)


def _of_task(task: str, found: Sequence[Finding]) -> Iterator[str]:
    if not any(number.held_out for one in found for number in one.evidence):
        return
    needed = [one for one in found if one.claim.type == "needed"]
    shown = [one for one in needed if one.verdict in ("confirmed", "supported") and not one.partial]
    kept = [one for one in found if one.claim.type == "spare" and one.verdict in ("confirmed", "supported")]
    refuted = [one for one in needed if one.verdict == "refuted"]
    undecided = [one for one in needed if one.verdict == "undecided" and not one.explored_only]
    if shown:
        yield f"For {task}, the model needs {listed(list(_with_verdicts(shown)))}."
    elif kept or refuted or undecided:
        yield f"For {task}, no part is shown to be needed."
    yield from _not_needed(task, refuted, kept)
    if undecided:
        them = _several(undecided)
        yield f"{capitalized(them)} {'is' if len(_parts(undecided)) == 1 else 'are'} undecided."


def _most_damage(ranked: Sequence[Ranked], found: Sequence[Finding]) -> Iterator[str]:
    """Which parts did the most damage, unless all of them are shown to be needed: then the answer has named them."""
    shown = {
        one.claim.about for one in found if one.claim.type == "needed" and one.verdict in ("confirmed", "supported")
    }
    for one in ranked:
        parts = [strong.part for strong in one.parts]
        if one.removed > 1 and any((part,) not in shown for part in parts) and not is_distance(one.metric):
            yield f"Of {one.removed} {one.kind}s removed one at a time, {listed(parts)} did the most damage."


def _with_verdicts(shown: Sequence[Finding]) -> Iterator[str]:
    """ "head L20.H8 (confirmed)", "layer 1 (confirmed, but other layers nearby do damage, too)"."""
    groups: dict[tuple[str, bool, str], list[Finding]] = {}
    for one in sorted(shown, key=lambda one: len(one.claim.about) < 2):
        # Heads go with heads, and a set stands by itself.
        about = one.claim.about
        alike = named(about) if len(about) != 1 else what_is(about[0])
        groups.setdefault((one.verdict, one.unspecific, alike), []).append(one)
    sets = [set(one.claim.about) for one in shown if len(one.claim.about) > 1]
    for (verdict, unspecific, alike), those in groups.items():
        several = len(those[0].claim.about) > 1
        # The set has named them.
        again = not several and set(_parts(those)) in sets
        names = f"{alike} together" if several else "each of them by itself" if again else _several(those)
        others = "sets" if several else f"{alike}s"
        yield f"{names} ({verdict}{f', but other {others} nearby do damage, too' if unspecific else ''})"


def _not_needed(task: str, refuted: Sequence[Finding], kept: Sequence[Finding]) -> Iterator[str]:
    single = [one for one in refuted if len(one.claim.about) == 1]
    sets = [one for one in kept if len(one.claim.about) > 1]
    for those, artefact in (([o for o in single if o.artefact], True), ([o for o in single if not o.artefact], False)):
        if those:
            at_once = set(_parts(those)) in [set(one.claim.about) for one in sets]
            how = ", alone or all at once" if at_once else ", each by itself" if len(those) > 1 else ""
            it = "it" if len(those) == 1 else "each"
            why = f"; setting {it} to zero does damage, but replacing it by its mean does not" if artefact else ""
            yield f"It does not need {_several(those)}{how}{why}."
    done = set(_parts(single))
    for one in kept:
        if not set(one.claim.about) <= done:
            together = " together" if len(one.claim.about) > 1 else ""
            yield f"It can do without {named(one.claim.about)}{together} ({one.verdict})."


def _parts(found: Sequence[Finding]) -> list[str]:
    return in_order(dict.fromkeys(part for one in found for part in one.claim.about))


def _several(found: Sequence[Finding]) -> str:
    parts = _parts(found)
    if len(parts) <= MOST:
        return named(parts)
    return f"{named(parts[:MOST])} and {len(parts) - MOST} more"
