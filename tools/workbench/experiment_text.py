"""An experiment as short text for a language model: its id, what limits it, what was found, the numbers.

No answer is longer than LIMIT characters; show_experiment gives the rest, page by page. A subject's answers are quoted
and cut, so that a model can only read them as data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby

from ...db.records import Effect, Experiment, Measurement
from ...experiments.edge_names import without_edges
from ...experiments.interventions import show_layers
from ..evidence.same_number import only_effect
from ..report.numbers import number, p_number

LIMIT = 3000
REFUSAL = 8000
CONFIGURATION = 800
STRONGEST = 12
SAMPLES = 4
# A profile has at least so many layers; an experiment with more profiles than this prints none.
LAYERS, PROFILES = 4, 8
# The measurement whose n counts the ranks.
RANK = "control_rank"
# The share of the controls that changed less; its n counts them.
SHARE = "percentile"
# What a control gives if nothing is wrong, or if the part does no more than its controls.
USUAL = {
    "identity": "must be 0", "excess": "0 if it does no more than its controls",
    "control_p": "below 0.05 if it does more than its controls", "everything": "the other run, so 1 or -1",
}  # fmt: skip
# One layer in the name of a site, which is no head, neuron or path: "L3", "L3.mlp", "skip L3", "L3.resid_pre@a".
LAYER = re.compile(r"^([^L]*\bL)(\d+)((?:\.[a-z_]+)?(?:@.+)?)$")


def experiment_text(e: Experiment, effects: int | None = STRONGEST, samples: int | None = SAMPLES) -> str:
    """The text of an experiment, as `Reader.experiment` returns it."""
    return cut("\n".join(experiment_lines(e, effects, samples)), rest=rest_of(e.id))


def rest_of(id: str) -> str:
    return f"(cut; the rest: {shown_by(id)})"


def shown_by(id: str) -> str:
    """The call that shows an experiment whole."""
    return f'show_experiment {{"experiment": "{id}"}}'


def experiment_lines(e: Experiment, effects: int | None, samples: int | None) -> list[str]:
    """Its lines, notes before numbers; None: all effects or samples."""
    config = {k: v for k, v in without_edges(e.config).items() if v is not None}
    lines = [f"{e.id} {e.kind} {cut(json.dumps(config, ensure_ascii=False), CONFIGURATION, '…')}: {e.status}"]
    if e.status == "failed":
        return [*lines, f"{e.error_type}: {e.error}"]
    lines += [f"Note: {note}" for note in e.notes]
    lines.append(e.found or "")
    lines += [f"Stored as {one.id}, which circuit_faithfulness takes as circuit." for one in e.circuits]
    # With several metrics, the first is the one that was asked for; `found` reports the others.
    asked = [row for row in e.effects if row.metric == e.effects[0].metric]
    same = only_effect(asked, e.measurements)
    names = {same: f"{same} = effect[{asked[0].site}]"} if same else dict[str, str]()
    evidence = {same: tested(asked[0], apart=False)} if same else dict[str, str]()
    lines += [f"  {names.get(m.name, m.name)} {valued(m)}{evidence.get(m.name, '')}" for m in e.measurements]
    lines += profiles(asked)
    lines += [] if same else strongest(asked, effects, e.id)
    for s in e.samples[:samples]:
        after = f", then {quoted(s.changed)}" if s.changed is not None else ""
        lines.append(f"  prompt ...{quoted(s.prompt[-40:])} expected {quoted(s.expected)} said {quoted(s.said)}{after}")
    return [line for line in lines if line]


def profiles(effects: Sequence[Effect]) -> list[str]:
    """The values of one kind of site over the layers, one line for each kind: all layers, in order."""
    rows: dict[str, dict[int, float]] = {}
    for effect in effects:
        if found := LAYER.match(effect.site):
            before, layer, after = found.groups()
            rows.setdefault(f"{before}*{after}", {})[int(layer)] = effect.value
    long = {where: values for where, values in rows.items() if len(values) >= LAYERS}
    if not long or len(long) > PROFILES:
        return []
    return [
        f"Profile of {effects[0].metric}, {where}, layers {show_layers(tuple(sorted(values)))}: "
        + " ".join(number(values[layer]) for layer in sorted(values))
        for where, values in long.items()
    ]


def strongest(effects: Sequence[Effect], most: int | None, id: str) -> list[str]:
    """The effects by size, equal ones in one line, and those that are exactly 0 in one line without values."""
    ranked = sorted((row for row in effects if row.value or row.low or row.high), key=lambda row: -abs(row.value))
    none = [row.site for row in effects if not (row.value or row.low or row.high)]
    lines = list[str]()
    if ranked:
        shown = ranked[:most]
        ranks = f"rank 1-{len(shown)}" if len(shown) > 1 else "rank 1"
        rest = "" if len(shown) == len(ranked) else f"; all: {shown_by(id)}"
        lines.append(f"Effects on {ranked[0].metric}, by size, {ranks} of {len(effects)}{rest}:")
        apart = among_others(effects)
        for text, rows in groupby(shown, lambda row: f"{valued(row)}{tested(row, apart)}"):
            lines.append(f"  {', '.join(row.site for row in rows)} {text}")
    if none:
        sites = ", ".join(none) if most is None or len(none) <= most else f"{', '.join(none[:most])} and others"
        lines.append(f"No change at all (0) at {len(none)} of {len(effects)}: {sites}")
    return lines


def among_others(effects: Sequence[Effect]) -> bool:
    """Whether percentiles compare with more than the effects themselves: then they say more than the ranks."""
    sizes = [abs(row.value) for row in effects]
    shares = ((row, 100 * sum(size < abs(row.value) for size in sizes) / max(1, len(sizes) - 1)) for row in effects)
    return any(row.percentile is not None and abs(row.percentile - share) > 1e-6 for row, share in shares)


def valued(row: Measurement | Effect) -> str:
    if isinstance(row, Measurement) and row.name == RANK and row.n:
        return f"{number(row.value)} of {row.n} (1: the most damage)"
    if isinstance(row, Measurement) and row.name == SHARE and row.n:
        # n counts the controls, of which this share changed less.
        rank = 1 + row.n - round(row.value * row.n / 100)
        return f"{number(row.value)} (rank {rank} of {row.n + 1} by size, with its controls)"
    interval = f" [{number(row.low)}, {number(row.high)}]" if row.low is not None and row.high is not None else ""
    n = f", n = {row.n}" if row.n else ""
    if isinstance(row, Measurement) and row.name in USUAL:
        n += f" ({USUAL[row.name]})"
    unit = f" {row.unit}" if isinstance(row, Measurement) and row.unit else ""
    return f"{number(row.value)}{interval}{unit}{n}"


def tested(row: Effect, apart: bool) -> str:
    """The evidence for an effect: its corrected p, and the share of its controls that changed less, where these are not
    only the other effects of the list, which is in the order of size."""
    q = f", q {p_number(row.q)}" if row.q is not None else ""
    if not apart or row.percentile is None:
        return q
    share = "all" if row.percentile == 100 else f"{number(row.percentile)}% of"
    return f"{q}, larger than {share} its controls"


def quoted(text: str, most: int = 60) -> str:
    return json.dumps(text if len(text) <= most else text[:most] + "…", ensure_ascii=True)


REST = "(cut; query_tracker can read the rest from the tracker)"


def cut(text: str, most: int = LIMIT, rest: str = REST) -> str:
    return text if len(text) <= most else text[: most - len(rest) - 1].rsplit("\n", 1)[0] + f"\n{rest}"
