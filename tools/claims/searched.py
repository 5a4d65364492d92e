"""What a study looked through while exploring: a sentence on each search, with how much of it did damage."""

from __future__ import annotations

from collections.abc import Iterator

from ...db.records import Experiment as Row
from ...experiments.metrics import unit_of
from ...experiments.sites import count
from ..report.study import Study
from .parts import sizes_of
from .question import Question
from .removals import Swept, sweeps
from .standard import standard
from .words import capitalized, what_is


def searched(study: Study, asked: Question) -> Iterator[str]:
    """ "While exploring, E3 removed each of 54 of the model's 270 heads (zero): 5 did damage beyond the bound"."""
    said: list[str] = []
    decides = standard(study, asked.task).metric
    for one in sweeps(study, asked.task):
        looked = [part for part in one.parts if asked.asks_for(part)]
        if looked:
            beyond = len([part for part in one.beyond if asked.asks_for(part)])
            bound = "the bound" if one.metric == decides else f"{one.bound:g} {unit_of(one.metric)} of {one.metric}"
            said.append(f"{_search(study, one, looked, first=not said)}: {beyond or 'none'} did damage beyond {bound}")
    if said:
        yield f"{capitalized(f'while exploring, {said[0]}')}."
        yield from (f"{one}." for one in said[1:])


def _search(study: Study, one: Swept, looked: list[str], first: bool) -> str:
    kind = f"{what_is(looked[0])}s"
    there = _there_are(study, looked[0])
    screened = _screened(study, study.experiments[one.experiment]) if kind == "heads" else 0
    of = f" of the model's {there}" if first and there > max(len(looked), screened) else ""
    if screened > len(looked):
        return f"{one.experiment} screened {screened}{of} {kind} and removed {len(looked)} of them ({one.method})"
    if one.method == "skip":
        return f"{one.experiment} skipped each of {len(looked)}{of} {kind}"
    return f"{one.experiment} removed each of {len(looked)}{of} {kind} ({one.method})"


def _screened(study: Study, row: Row) -> int:
    """How many heads a screen looked through; 0 if the search has no screen."""
    sizes, config = sizes_of(study), row.config
    if config.get("sweep", "exact") == "exact" or config.get("heads") or "n_heads" not in sizes:
        return 0
    layers = range(sizes["n_layers"]) if config.get("layers") is None else config["layers"]
    return sum(count("z", layer, sizes) for layer in layers)


def _there_are(study: Study, part: str) -> int:
    """How many heads or layers the model has; 0 for other parts."""
    sizes = sizes_of(study)
    if "." not in part:
        return sizes.get("n_layers", 0)
    if what_is(part) != "head" or not {"n_layers", "n_heads"} <= set(sizes):
        return 0
    return sum(count("z", layer, sizes) for layer in range(sizes["n_layers"]))
