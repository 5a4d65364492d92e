"""Everything that a study measured by removing some parts, and what each number says about them.

Only removals of exactly these parts count: a set that also contains others says nothing about them. They count whether
or not anybody cited them. Held-out numbers are judged like predictions, by their interval against the standard bound,
corrected over all predictions of the study; numbers from the explore prompts, by their q over the whole run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from ...db.records import Experiment as Row
from ...experiments.errors import ExperimentError
from ...experiments.kinds.registry import kind
from ...experiments.metrics import metrics, unit_of
from ...experiments.prediction import p_of_bound
from ...experiments.statistics.p_values import p_text
from ..evidence.control_rank import control_rank
from ..evidence.quantity import Quantity, asked_questions, changes_by_prompt
from ..evidence.verdict import ALPHA, METHODS, holm
from ..report.numbers import value_text
from ..report.study import Study
from .counted import able, counted, looked_through
from .standard import bound_on, standard
from .words import what_is

# An experiment with at least this many single removals is a search.
MANY = 8
Says = Literal["more", "within", "less", "better", "open"]
"""
more    the damage is more than the bound
within  the change lies within the bound, on both sides of zero
less    the damage is less than the bound, or there is none
better  the model does better without, by more than the bound
open    the interval holds the bound
"""


class Removal(NamedTuple):
    """One number: the change of a metric when exactly these parts are removed. `method` is skip for layers."""

    experiment: str
    held_out: bool
    method: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    bound: float
    says: Says
    # The number as a prediction names it.
    quantity: str
    # Whether its metric decides on the task.
    decides: bool
    # Whether one question makes more than half of the change. Then the number is open, whatever its interval.
    one_question: bool = False
    # The value of the metric in the intact model, if it was measured.
    intact: float | None = None
    # Why the number is open although its interval lies on one side of the bound: " (p 0.07, corrected over ...)".
    why_open: str = ""
    # Its rank among random sets, if the experiment drew some: "; rank 1 of 21 by logit_diff, with ...".
    rank: str = ""

    @property
    def text(self) -> str:
        return value_text(self.value, self.low, self.high, unit=unit_of(self.metric), n=self.n)


class Measured(NamedTuple):
    """A change from the tracker."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    quantity: str
    q: float | None


def methods_for(parts: Iterable[str]) -> tuple[str, ...]:
    """The methods by which such parts can be removed."""
    return ("skip",) if all("." not in part for part in parts) else METHODS


def removals(study: Study, parts: frozenset[str], task: str) -> list[Removal]:
    """From all finished experiments of the study on the task, in order."""
    at, found = standard(study, task), list[Removal]()
    for row in counted(study, task):
        for change in changes(study, row, parts):
            bound, held_out = bound_on(change.metric, at, row), row.split == "confirm"
            says = _held_out(study, row, change, bound, parts) if held_out else _explored(change, bound)
            carried = says in ("more", "better") and _one_question(study, row, parts, change.metric)
            method, decides = method_of(row), change.metric == at.metric
            # A removal shows nothing about a task that the model does not do.
            shows = able(row) and not carried
            why = _why_open(study, row, change, bound, parts) if says == "open" and shows else ""
            says = says if shows else "open"
            quantity = change.quantity
            intact = next((one.value for one in row.measurements if one.name == f"intact_{change.metric}"), None)
            found.append(Removal(row.id, held_out, method, *change[:5], bound, says, quantity, decides, carried, intact,
                                 why, rank_text(row, change.metric)))  # fmt: skip
    return found


class Swept(NamedTuple):
    """An experiment that removed many parts one at a time, and those whose damage passes the bound on its metric."""

    experiment: str
    method: str
    metric: str
    bound: float
    parts: tuple[str, ...]
    beyond: tuple[str, ...]


def sweeps(study: Study, task: str) -> list[Swept]:
    """The sweeps on the prompts to explore, each on the metric that decides on the task or, without it, on its own."""
    at, found = standard(study, task), list[Swept]()
    for row in counted(study, task):
        alone = {site: parts for site, parts in removed_by(row).items() if len(parts) == 1}
        effects = [effect for effect in row.effects if effect.site in alone]
        if row.split == "confirm" or len(alone) < MANY or not effects:
            continue
        metric = at.metric if any(effect.metric == at.metric for effect in effects) else effects[0].metric
        bound = bound_on(metric, at, row)
        says = {
            effect.site: _explored(
                Measured(effect.metric, effect.value, effect.low, effect.high, effect.n, "",
                         study.q.get((row.id, effect.site, effect.metric))), bound
            )
            for effect in effects if effect.metric == metric
        }  # fmt: skip
        looked, beyond = (
            tuple(part for site in sites for part in alone[site])
            for sites in (says, [site for site, one in says.items() if one == "more"])
        )
        found.append(Swept(row.id, method_of(row), metric, bound, looked, beyond))
    return found


def sets_with(study: Study, parts: frozenset[str], task: str) -> list[tuple[str, frozenset[str]]]:
    """The experiments that removed these parts together with others, and the others."""
    found: list[tuple[str, frozenset[str]]] = []
    for row in counted(study, task):
        sets = dict.fromkeys(removed_by(row).values())
        found += [(row.id, one) for one in sets if parts < one]
    return found


def changes(study: Study, row: Row, parts: frozenset[str]) -> list[Measured]:
    """What an experiment measured when it removed exactly these parts: the effect at their site and, if nothing else
    was removed, the change of every metric."""
    known, found = metrics(), dict[str, Measured]()
    removed = removed_by(row)
    for effect in row.effects:
        if removed.get(effect.site) == parts and parts and effect.metric in known:
            found[effect.metric] = Measured(effect.metric, effect.value, effect.low, effect.high, effect.n,
                                            f"effect[{effect.site}, {effect.metric}]",
                                            study.q.get((row.id, effect.site, effect.metric)))  # fmt: skip
    if not found or set(removed.values()) != {parts}:
        return list(found.values())
    by_change = {metric.change: name for name, metric in known.items()}
    for one in row.measurements:
        name = by_change.get(one.name)
        if name is not None and name not in found and one.low is not None and one.high is not None:
            q = next(iter(found.values())).q
            found[name] = Measured(name, one.value, one.low, one.high, one.n or row.n or 0, one.name, q)
    return list(found.values())


def removed_by(row: Row) -> dict[str, frozenset[str]]:
    """For each site of its effects on metrics, the removed parts; empty for an experiment that removes none, and for a
    kind that is not installed here."""
    known = metrics()
    sites = dict.fromkeys(effect.site for effect in row.effects if effect.metric in known)
    try:
        made = kind(row.kind).model_validate(dict(row.config))
        n_layers = int(row.subject.anatomy.get("n_layers", 0))
        found = {site: made.removed(site, n_layers) for site in sites}
    except (ExperimentError, ValueError):
        return {}
    return {site: parts for site, parts in found.items() if parts}


def rank_text(row: Row, metric: str = "") -> str:
    """ "; rank 1 of 21 by logit_diff, with 20 random sets of the same size and the nearest layers"; "" if it drew no
    random controls, or ranked them by another metric than this one."""
    ranked, by = control_rank(row.measurements), str(row.config.get("metric") or "")
    if ranked is None or metric not in ("", by):
        return ""
    removed = set(removed_by(row).values())
    if len(removed) > 1:
        return ""
    # Without the field, it was logged when controls came from any layer.
    layers = "the nearest layers" if row.config.get("control_pool", "anywhere") == "matched" else "any layers"
    count = ranked[1] - 1
    parts = next(iter(removed), frozenset[str]())
    what = f"{what_is(next(iter(parts)))}" if len(parts) == 1 else "set" if parts else "place"
    of = f"of the same size and {layers}" if len(parts) > 1 else f"of {layers}"
    whole = f"random {what}{'s' * (count != 1)} {of}"
    return f"; rank {ranked[0]:.0f} of {ranked[1]}{f' by {by}' if by else ''}, with {count} {whole}"


def rank_with(row: Row, quantity: Quantity) -> str:
    """`rank_text` for a quantity that is a change; "" for another one, such as a share."""
    of_change = {"effect", "accuracy_drop", "excess", *(metric.change for metric in metrics().values())}
    return rank_text(row) if quantity.second is None and quantity.first.name in of_change else ""


def method_of(row: Row) -> str:
    """How an experiment removed parts; only for one of which `removed_by` gives any."""
    return kind(row.kind).model_validate(dict(row.config)).removal_method()


def _one_question(study: Study, row: Row, parts: frozenset[str], metric: str) -> bool:
    """Whether one question makes more than half of the change, by size, under removal of these parts."""
    if not any(doubt.code == "one_question" for doubt in row.doubts):
        return False
    from ...experiments.statistics.carried import HALF, carried

    kept = changes_by_prompt(row, metric, lambda name: study.artifact(row.id, name))
    site = next((site for site, removed in removed_by(row).items() if removed == parts), None)
    if kept is None or site not in kept[0]:
        return False
    sites, by_prompt, asked = kept
    return float(carried(by_prompt[sites.index(site)], asked)) > HALF


def _harm(metric: str, value: float, low: float, high: float) -> tuple[float, float, float]:
    """The change with its sign set so that more is worse."""
    return (value, low, high) if metrics()[metric].worse > 0 else (-value, -high, -low)


def _explored(change: Measured, bound: float) -> Says:
    value, low, high = _harm(change.metric, change.value, change.low, change.high)
    stands = change.q is None or change.q < ALPHA
    if low > bound:
        return "more" if stands else "open"
    if -bound < low and high < bound:
        return "within"
    if high < -bound:
        return "better" if stands else "open"
    return "less" if high < bound and value < bound else "open"


def _held_out(study: Study, row: Row, change: Measured, bound: float, parts: frozenset[str]) -> Says:
    value = _harm(change.metric, change.value, change.low, change.high)[0]
    above, below = (_p_of(study, row, change, at, parts) < ALPHA for at in (bound, -bound))
    if value > bound:
        return "more" if above else "open"
    if value < -bound:
        return "better" if below else "less" if above else "open"
    if above and below:
        return "within"
    return "less" if above else "open"


def _p_of(study: Study, row: Row, change: Measured, at: float, parts: frozenset[str]) -> float:
    """The corrected p for damage of `at`."""
    site = next(site for site, removed in removed_by(row).items() if removed == parts)
    p = p_of_bound(*_harm(change.metric, change.value, change.low, change.high), at, asked_questions(row))
    return corrected(study, row.id, p, looked_through(study, row, site, change.metric))


def _why_open(study: Study, row: Row, change: Measured, bound: float, parts: frozenset[str]) -> str:
    """If only the correction leaves a number open, the corrected p as text; "" if the interval contains a bound."""
    value, low, high = _harm(change.metric, change.value, change.low, change.high)
    if any(low <= at <= high for at in (bound, -bound)):
        return ""
    if row.split == "confirm":
        p = _p_of(study, row, change, bound if value > -bound else -bound, parts)
        return f" (p {p_text(p)}, corrected over all predictions of the study)"
    return "" if change.q is None else f" (q {p_text(change.q)} over all comparisons of the study)"


def corrected(study: Study, experiment: str, p: float, among: int = 1) -> float:
    """A p of this experiment, corrected over all predictions of the study (Holm); it replaces a prediction that was
    judged from the experiment. An untested prediction counts as one that showed nothing. `among`: from how many p of
    the experiment it may have been picked (Bonferroni)."""
    rows = [one for row in study.hypotheses.values() for one in row.predictions]
    own = next((one for one in rows if one.judged is not None and one.judged.experiment == experiment), None)
    return holm(
        [min(1.0, p * among), *(1.0 if one.judged is None else one.judged.p for one in rows if one is not own)]
    )[0]
