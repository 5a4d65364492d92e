"""The verdict on claims that rest on removals: whether parts are needed, and whether the task can spare them.

Each method of removal gives one answer, and all methods together give the verdict. Zero is a value that the model may
never have there, so damage under zero alone, without damage under the mean or another prompt's value, is not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ...experiments.kinds.registry import kind
from ...experiments.metrics import is_distance, metrics, unit_of
from ..report.numbers import number, value_text
from ..report.study import Study
from .claim import Evidence, Verdict
from .counted import able
from .removals import Removal, Says, methods_for, removals, sets_with
from .standard import standard
from .words import capitalized, listed, named, removing

Answer = Literal["for", "against", "open"]
NEEDED: Mapping[Says, Answer] = {"more": "for", "within": "against", "less": "against", "better": "against",
                                 "open": "open"}  # fmt: skip
SPARE: Mapping[Says, Answer] = {"within": "for", "more": "against", "better": "against", "less": "open", "open": "open"}


class Found(NamedTuple):
    """What removals say about a claim: the verdict, the number that decides it, the answer of each method of removal
    that was tried, and all the numbers."""

    verdict: Verdict
    decisive: Removal | None
    answers: Mapping[str, Answer]
    numbers: Sequence[Removal]
    evidence: tuple[Evidence, ...]

    def that(self, answer: Answer) -> list[str]:
        return [method for method, said in self.answers.items() if said == answer]


def by_removal(study: Study, parts: frozenset[str], task: str, reading: Mapping[Says, Answer]) -> Found:
    """The verdict from every removal of exactly these parts: from held-out ones if any, otherwise from exploring."""
    numbers = removals(study, parts, task)
    held_out = [one for one in numbers if one.held_out]
    used = _deciding(held_out or numbers)
    ways = methods_for(parts)

    def says(one: Removal) -> Answer:
        # A prediction that moved is not always worse, so a distance cannot show need; a small distance shows that
        # there is none.
        return "open" if reading is NEEDED and one.says == "more" and is_distance(one.metric) else reading[one.says]

    answers: dict[str, Answer] = {way: _together([says(one) for one in used if one.method == way])
               for way in ways if any(one.method == way for one in used)}  # fmt: skip
    verdict = _verdict(answers, ways, bool(held_out))
    evidence = tuple(_evidence(one, reading, says(one)) for one in numbers)
    decisive = _decisive([(one, says(one)) for one in used], verdict)
    return Found(verdict, decisive, answers, numbers, evidence)


def _evidence(one: Removal, reading: Mapping[Says, Answer], says: Answer) -> Evidence:
    """The number with its bound: damage beyond it or, for a spare part, a change within it."""
    if reading is SPARE:
        bounds: dict[str, Any] = {"comparison": "between", "low": -one.bound, "high": one.bound}
    else:
        more = metrics()[one.metric].worse > 0
        bounds = {"comparison": "above", "low": one.bound} if more else {"comparison": "below", "high": -one.bound}
    return Evidence(experiment=one.experiment, held_out=one.held_out, says=says, quantity=one.quantity,
                    text=f"{one.metric} {one.text} ({one.method})", **bounds)  # fmt: skip


def _deciding(numbers: Sequence[Removal]) -> list[Removal]:
    """From each experiment, the number on the metric that decides on the task; without one, all its numbers. So nobody
    picks a metric."""
    with_it = {one.experiment for one in numbers if one.decides}
    return [one for one in numbers if one.decides or one.experiment not in with_it]


def _together(answers: Sequence[Answer]) -> Answer:
    """The answer of several numbers of one method: they decide if one of them does and none contradicts."""
    said = set(answers) - {"open"}
    return next(iter(said)) if len(said) == 1 else "open"


def _verdict(answers: Mapping[str, Answer], ways: Sequence[str], held_out: bool) -> Verdict:
    if not answers:
        return "untested"
    said = set(answers.values())
    gentle = {answer for way, answer in answers.items() if way != "zero"}
    if not held_out:
        return "seen" if said == {"for"} else "undecided"
    if said == {"for"} and set(answers) == set(ways):
        return "confirmed"
    if "against" in gentle and "for" not in gentle:
        return "refuted"
    if "against" in said and "for" not in said:
        return "refuted"
    return "supported" if "for" in said and "against" not in said else "undecided"


def _decisive(used: Sequence[tuple[Removal, Answer]], verdict: Verdict) -> Removal | None:
    """The number for the sentence: one with the deciding answer, the mean before the other methods."""
    wanted = {"refuted": "against", "undecided": "open"}.get(verdict, "for")
    order = ("mean", "resample", "skip", "zero")
    fitting = [one for one, said in used if said == wanted] or [one for one, _ in used]
    fitting.sort(key=lambda one: (not one.decides, order.index(one.method) if one.method in order else len(order)))
    return fitting[0] if fitting else None


def number_of(found: Found, count: int) -> str:
    """ "Replacing it by its mean over other prompts lowers logit_diff from 5.31 to 1.73 (−3.58 logits [−6.23, −1.61],
    n = 32, E10)"."""
    assert found.decisive is not None
    return change_text(found.decisive, count)


def change_text(one: Removal, count: int) -> str:
    does = "lowers" if one.high < 0 else "raises" if one.low > 0 else "changes"
    if one.intact is None:
        where = f"{one.experiment}{one.rank}"
        return f"{removing(one.method, count)} changes {one.metric} by {one.text} ({where}){one.why_open}"
    ends = f"from {number(one.intact)} to {number(one.intact + one.value)}"
    where = f"{one.text}, {one.experiment}{one.rank}"
    return f"{removing(one.method, count)} {does} {one.metric} {ends} ({where}){one.why_open}"


def agreeing(found: Found) -> str:
    """ "; zero and resample ablation agree", to follow the deciding number of a claim that all methods confirm."""
    others = [way for way in found.answers if found.decisive is None or way != found.decisive.method]
    return f"; {listed(others)} ablation agree{'s' * (len(others) == 1)}" if others else ""


def beside_controls(study: Study, found: Found, count: int) -> tuple[str, bool]:
    """A sentence on what random controls change, if the experiment with the deciding number, or another with the same
    metric and method of removal, has them: "As many other heads nearby, drawn at random, change logit_diff
    by −0.02 [−0.05, 0.01] on average (20 sets)." And whether they do damage beyond the bound, too."""
    one = found.decisive
    if one is None:
        return "", False
    alike = [other for other in found.numbers
             if (other.metric, other.method, other.held_out) == (one.metric, one.method, one.held_out)]  # fmt: skip
    for experiment in dict.fromkeys((one.experiment, *(other.experiment for other in alike))):
        row = study.experiments[experiment]
        beside = next((m for m in row.measurements if m.name == "control_change"), None)
        if beside is None or row.config.get("metric") != one.metric:
            continue
        # Without the field, it was logged when controls came from any layer.
        near = "nearby" if row.config.get("control_pool", "anywhere") == "matched" else "anywhere"
        parts = getattr(kind(row.kind), "parts", "layers")
        which = f"{'Other' if count == 1 else 'As many other'} {parts} {near}, drawn at random,"
        where = "" if experiment == one.experiment else f"; {experiment}"
        sets = parts if count == 1 else "sets"
        text = value_text(beside.value, beside.low, beside.high, unit=unit_of(one.metric))
        unspecific = one.says == "more" and metrics()[one.metric].worse * beside.value > one.bound
        also = " do damage beyond the bound, too: they" if unspecific else ""
        return f"{which}{also} change {one.metric} by {text} on average ({beside.n} {sets}{where}).", unspecific
    return "", False


def one_question(found: Found) -> tuple[str, ...]:
    """A sentence, if a number is open because one question makes most of the change."""
    carried = [one for one in found.numbers if one.one_question and one.decides]
    if not carried:
        return ()
    one = carried[-1]
    return (f"One question makes more than half of the change in {one.experiment}; the others may show nothing.",)


def unable(study: Study, found: Found) -> tuple[str, ...]:
    """A sentence, if the intact model is not shown to do the task on the prompts of the removals."""
    removed = dict.fromkeys(number.experiment for number in found.numbers)
    rows = [one for one in removed if not able(study.experiments[one])]
    if not rows:
        return ()
    why = f"The intact model is not shown to do the task on the prompts of {listed(rows)}"
    return (f"{why}, so what a removal does there says nothing of it.",)


def seen_otherwise(found: Found, reading: Mapping[Says, Answer], count: int) -> tuple[str, ...]:
    """A sentence, if the prompts to explore show the contrary, by a method of removal that no held-out test tried."""
    contrary = {"supported": "against", "refuted": "for"}.get(found.verdict)
    tried = ("zero", *found.answers)
    seen = [one for one in found.numbers
            if one.decides and not one.held_out and one.method not in tried
            and reading[one.says] == contrary]  # fmt: skip
    if not seen:
        return ()
    one = seen[0]
    changes = change_text(one, count)
    return (
        f"While exploring it looked otherwise, and no held-out test tried this: {changes[:1].lower()}{changes[1:]}.",
    )


def with_others(study: Study, parts: frozenset[str], task: str) -> str:
    """A sentence, if the parts were removed, but never alone."""
    sets = sets_with(study, parts, task)
    if not sets:
        return ""
    experiment, whole = min(sets, key=lambda one: len(one[1]))
    return f"{experiment} removed {'it' if len(parts) == 1 else 'them'} together with {named(whole - parts)} only."


def not_tried(found: Found, parts: frozenset[str]) -> str:
    """A sentence that names the methods of removal that were not tried, and those that left the claim open."""
    if found.verdict in ("untested", "refuted"):
        return ""
    ways = [way for way in methods_for(parts) if way != "skip"]
    missing = [way for way in ways if way not in found.answers]
    tried = "tried" if found.verdict == "seen" else "tested on held-out prompts"
    said = [f"removal by {listed(missing)} was not {tried}"] if missing else []
    if found.verdict == "supported" and (left := [way for way in found.that("open") if way in ways]):
        kept = dict.fromkeys(one.why_open for one in found.numbers if one.method in left and one.held_out)
        said.append(f"under {listed(left)} the test leaves it open{''.join(kept)}")
    return f"{capitalized('; '.join(said))}." if said else ""


def bound_text(study: Study, task: str, found: Found) -> str:
    """The bound with which the deciding number was compared, with its unit."""
    at, one = standard(study, task), found.decisive
    metric, bound = (at.metric, at.bound) if one is None else (one.metric, one.bound)
    unit = unit_of(metric)
    return f"{bound:.2g}{f' {unit}' if unit else ''}"
