"""The parts whose removal alone did the most damage in a study, whoever names them.

A writer chooses what to ask and what to claim, and could leave out the parts that matter most. So the answer also names
these, from every experiment that removed parts one at a time: beyond the bound, and with q below 0.05 or on held-out
prompts. A part that does damage under zero alone, although another way of removal shows none, is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...experiments.metrics import is_distance, metrics
from ..report.claims import sentences, typed
from ..report.study import Study
from .by_removal import NEEDED, by_removal
from .claim import Verdict
from .counted import counted
from .mentions import mentions
from .question import Question, read_question
from .removals import Removal, removals, removed_by
from .standard import bound_on, standard
from .words import listed, named, what_is

MOST = 5
# How many parts are looked at closely, the strongest first.
CLOSELY = 24
# Zero is a value that a model may never have at a part, so it comes last.
_ORDER = ("mean", "resample", "skip", "zero")


class Strong(NamedTuple):
    """A part, the number that shows its damage, and the verdict on whether it is needed."""

    part: str
    number: Removal
    verdict: Verdict


class Ranked(NamedTuple):
    """The strongest parts of one kind by one metric, the most damage first, and how many such parts were removed."""

    kind: str
    metric: str
    removed: int
    parts: tuple[Strong, ...]


def strongest(study: Study, task: str) -> list[Ranked]:
    """For each kind of part (layers, heads, ...): those that did damage when removed alone, by the metric that shows it
    for most of them. Parts without that metric are ranked by another one."""
    alone, found = _alone(study, task), list[Ranked]()
    for kind in dict.fromkeys(map(what_is, alone)):
        those = [part for part in alone if what_is(part) == kind]
        beyond = sorted((part for part in those if alone[part] > 0), key=lambda part: -alone[part])[:CLOSELY]
        left: list[dict[str, Strong]] = [each for each in (_shown(study, task, part) for part in beyond) if each]
        while left:
            metric = Counter(metric for each in left for metric in each).most_common(1)[0][0]
            parts = sorted((each[metric] for each in left if metric in each), key=_damage, reverse=True)
            found.append(Ranked(kind, metric, len(those), tuple(parts[:MOST])))
            left = [each for each in left if metric not in each]
    return found


def strongest_text(study: Study, task: str, asked: Question | None = None) -> Iterator[str]:
    """ "Of 30 layers that were removed one at a time, these did the most damage, by the change of loss: layer 0 (...)";
    only the kinds of part that the question is about."""
    for one in strongest(study, task):
        if asked is not None and not asked.asks_for(one.parts[0].part):
            continue
        did = "changed the prediction most" if is_distance(one.metric) else "did the most damage"
        of = f"Of {one.removed} {one.kind}s" if one.removed > 1 else f"Of one {one.kind}"
        which = "these" if len(one.parts) > 1 else "this"
        said = listed([f"{named((part.part,))} ({_text(part)})" for part in one.parts])
        where = f" for {task}" if study.run.task != task else ""
        yield f"{of} removed one at a time{where}, {which} {did}, by the change of {one.metric}: {said}."
        if left := _left_out(study, [part.part for part in one.parts]):
            yield f"The study's goal, its registered questions and its writer name none of these: {named(left)}."


def _text(one: Strong) -> str:
    number = one.number
    return f"{number.text}, {number.method}, {number.experiment}; {_status(one)}"


def _status(one: Strong) -> str:
    if one.verdict in ("confirmed", "supported"):
        return f"{one.verdict} on held-out prompts"
    return "undecided on held-out prompts" if one.number.held_out else "seen while exploring"


def _damage(one: Strong) -> float:
    return metrics()[one.number.metric].worse * one.number.value


def _alone(study: Study, task: str) -> dict[str, float]:
    """Each part that was removed alone, and by how many times the bound its whole interval shows damage, at most; 0 if
    no interval does. An effect counts on the metric that decides on the task or, without it, on the experiment's
    own."""
    at, found = standard(study, task), dict[str, float]()
    for row in counted(study, task):
        single = {site: next(iter(parts)) for site, parts in removed_by(row).items() if len(parts) == 1}
        effects = [effect for effect in row.effects if effect.site in single]
        decides = any(effect.metric == at.metric for effect in effects)
        for effect in effects:
            if effect.metric not in ((at.metric,) if decides else (effects[0].metric,)):
                continue
            worse, bound = metrics()[effect.metric].worse, bound_on(effect.metric, at, row)
            certain = min(worse * effect.low, worse * effect.high)
            times = worse * effect.value / bound if certain > bound else 0.0
            part = single[effect.site]
            found[part] = max(found.get(part, 0.0), times)
    return found


def _shown(study: Study, task: str, part: str) -> dict[str, Strong]:
    """By metric, the number that shows the damage of a part, on held-out prompts if there is one. The metric that
    decides on the task comes first. Empty if no number shows it."""
    parts = frozenset({part})
    verdict = by_removal(study, parts, task, NEEDED)
    gentle = {said for way, said in verdict.answers.items() if way != "zero"}
    if verdict.verdict == "refuted" or ("against" in gentle and "for" not in gentle):
        return {}
    numbers = removals(study, parts, task)
    deciding = {one.experiment for one in numbers if one.decides}
    shown = [one for one in numbers if one.says == "more" and (one.decides or one.experiment not in deciding)]
    shown.sort(key=lambda one: (not one.decides, not one.held_out, _place(one.method), -abs(one.value)))
    found: dict[str, Strong] = {}
    for one in shown:
        found.setdefault(one.metric, Strong(part, one, verdict.verdict))
    return found


def _place(method: str) -> int:
    return _ORDER.index(method) if method in _ORDER else len(_ORDER)


def _left_out(study: Study, parts: Sequence[str]) -> list[str]:
    """Those of these parts that a language model wrote a report without."""
    report = study.report
    if report is None or not study.run.llm:
        return []
    claims: Sequence[Mapping[str, object]] = report.claims
    asked = [read_question(dict(one.claim)).about for one in study.run.questions]
    claimed = [one.about for one in typed(claims)]
    written = [study.run.goal, report.source, *(one.sentence for one in sentences(claims))]
    names = {part for about in (*asked, *claimed) for part in about} | set(mentions("\n\n".join(written)))
    return [part for part in parts if part not in names]
