"""What all kinds that patch share: two runs, a direction, and the places of a sweep.

A place is a site and the positions to patch: `L7.H3`, or `L7.resid_pre@s2` for a span of the task.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..metrics import OwnMetric
from ..result import Effect, Figure
from ..statistics.strongest import clear

if TYPE_CHECKING:
    from ..engine import Source
    from ..interventions import Intervention
    from ..lab import Lab
    from ..sites import Part, Site
    from ..statistics.recovery import Scale
    from ..tasks.batch import Batch
    from ..tasks.corrupted_prompts import CorruptedPrompts
    from ..tasks.task import Task

Patched = Literal["resid_pre", "attn_out", "mlp_out", "z", "pattern", "k", "v"]
WHOLE_STREAM = ("resid_pre", "attn_out", "mlp_out")
# A drawing with more rows shows only the strongest.
ROWS = 40
CONTROLS = 20


@dataclass(frozen=True)
class Place:
    site: Site
    positions: str

    def __str__(self) -> str:
        return str(self.site) if self.positions == "all" else f"{self.site}@{self.positions}"

    def patch(self, source: str) -> Intervention:
        from ..interventions import Edit, Intervention

        edit = Edit(site=self.site, op="replace", source=source, positions=self.positions)
        return Intervention(name=str(self), edits=(edit,))


class Contrast(Experiment):
    """Two runs on the same prompts, and which of them gets values of the other."""

    later: ClassVar[frozenset[str]] = Experiment.later | {"twin"}

    direction: Annotated[
        Literal["denoising", "noising"],
        Field(description="denoising: clean values into the corrupted run (what suffices). noising: corrupted values "
              "into the clean run (what is needed)."),
    ] = "denoising"  # fmt: skip
    metric: Annotated[
        OwnMetric,
        Field(description="Metric. logit_diff: the answer against the corrupted prompt's answer."),
    ] = "logit_diff"

    twin: Annotated[
        str | None,
        Field(description="Named value that the corrupted prompts change, and what follows from it, such as a."),
    ] = None  # fmt: skip

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if task.answer_kind == "open":
            raise BadConfiguration(f"The prompts of {self.task} have no answer to restore. Use another task.")
        if self.twin is not None:
            from ..tasks.values import or_arithmetic, value_in, values_of

            prompts = task.prompts(*self.draw)
            if not any(value_in(values_of(prompt), self.twin) for prompt in prompts):
                known = ", ".join(dict.fromkeys(name for prompt in prompts for name in values_of(prompt)))
                raise BadConfiguration(f"No prompt has the value '{self.twin}' to change. "
                                       f"Values: {known}{or_arithmetic(prompts)}.")  # fmt: skip

    def changed(self, pair: CorruptedPrompts) -> str:
        """A sentence on what the corrupted prompts change; empty if no span of the task tells."""
        n, counts = len(pair.prompts), dict(pair.changes)
        if self.twin is None:
            said = [f"{name} ({count} of {n})" if count < n else name for name, count in counts.items()]
            return f" The corrupted prompts change {', '.join(said)}." if said else ""
        counts.pop(self.twin, None)
        follow = [f"{name} ({count} of {n})" if count < n else name for name, count in counts.items()]
        rest = f", and with it {', '.join(follow)}" if follow else ""
        same = "" if any(p.corrupted_answer for p in pair.prompts) else (
            " The answer stays the same, so it is compared with the distractor.")  # fmt: skip
        return f" The corrupted prompts change only {self.twin}{rest}.{same}"

    def runs(self, pair: CorruptedPrompts) -> tuple[Batch, Batch]:
        """The run that is patched, and the run that the values come from."""
        return (pair.corrupted, pair.clean) if self.direction == "denoising" else (pair.clean, pair.corrupted)

    def scale(self, lab: Lab, pair: CorruptedPrompts) -> Scale:
        """Both ends, measured. Raises BadConfiguration if they do not differ."""
        from ..lab import INTACT, numbers
        from ..statistics.recovery import Scale

        ends = [
            numbers(lab.run(f"{name} prompts", batch, [INTACT], lab.readout(self.metric, batch))[self.metric][0])
            for name, batch in (("clean", pair.clean), ("corrupted", pair.corrupted))
        ]
        scale = Scale(self.metric, ends[0], ends[1], pair.asked)
        scale.require("Clean and corrupted runs")
        return scale

    def lent(self, lab: Lab, base: Batch, other: Batch, parts: set[Any]) -> Source:
        """The values of an intact run over `other` at the patched sites of `base`."""
        from .. import engine

        return engine.patch_source(engine.read(lab.subject, other, parts), base, other)


class Patching(Contrast):
    """A sweep of patches over places."""

    part: Annotated[
        Patched,
        Field(description="Part to patch in every layer: resid_pre (the stream before the layer), attn_out, mlp_out, "
              "z (each head's output), pattern (each head's attention), k, v (of each KV head)."),
    ] = "resid_pre"  # fmt: skip
    positions: Annotated[
        list[str] | None,
        Field(description="Where: all, last (token of the prompt), read (the token that predicts), changed (tokens "
              "that differ), each (every token; only prompts of one length), or spans of the task, each by itself. "
              "Null: every span for the stream and its parts, all for heads."),
    ] = None  # fmt: skip
    layers: Annotated[list[int] | None, Field(description="Only these layers. Null: all.")] = None
    sites: Annotated[
        list[str] | None,
        Field(description="Instead of part and layers: sites such as L7.H3, L5.mlp, L2.K0, L7.H3.pattern."),
    ] = None

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if {"n_layers", "n_heads", "n_kv_heads"} <= set(sizes):
            self.swept(sizes)
        if self.positions is not None and (not self.positions or len(set(self.positions)) < len(self.positions)):
            raise BadConfiguration("positions must name at least one position, each once.")

    def swept(self, sizes: Mapping[str, int]) -> list[Site]:
        """The sites to patch. Raises BadConfiguration if one does not exist or cannot be patched."""
        from ..sites import sites_or_layers

        found = sites_or_layers(self.sites, self.part, self.layers, sizes)
        for site in found if self.sites is not None else ():
            if site.part not in get_args(Patched) or (site.index is None) != (site.part in WHOLE_STREAM):
                raise BadConfiguration(f"{site} cannot be patched here. Use L7.resid_pre, L7.attn, L7.mlp, L7.H3, "
                                       "L7.H3.pattern, L7.K1 or L7.V1.")  # fmt: skip
        return found

    def pair(self, lab: Lab) -> CorruptedPrompts:
        from ..tasks.corrupted_prompts import corrupted_prompts

        return corrupted_prompts(lab, self.draw, one_length="each" in (self.positions or ()), value=self.twin)

    def at(self, pair: CorruptedPrompts, sites: Sequence[Site]) -> list[str]:
        """The positions of the sweep, by their names in the batches."""
        from ..tasks.corrupted_prompts import is_step

        spans = [s for s in pair.spans if not is_step(s)]
        if self.positions is None:
            if all(s.part not in WHOLE_STREAM for s in sites):
                return ["all"]
            apart = any(row["read"] != row["last"] for row in pair.clean.spans)
            return [s for s in spans if s != "changed" and (apart or s != "read")]
        steps = [s for s in pair.spans if is_step(s)]
        named = [s for at in self.positions for s in (steps if at == "each" else [pair.known(at)])]
        return list(dict.fromkeys(named))

    def places(self, pair: CorruptedPrompts, sites: Sequence[Site]) -> list[Place]:
        return [Place(site, at) for site in sites for at in self.at(pair, sites)]

    def others(self, places: Sequence[Place], sizes: Mapping[str, int]) -> list[Place]:
        """Other random places, first in the same layers, so that each place has 20 to compare with."""
        lacking = CONTROLS - (len(places) - 1)
        if lacking <= 0:
            return []
        from ..sites import sites_of

        chosen, layers = [p.site for p in places], {p.site.layer for p in places}
        kinds: list[tuple[Part, str]] = sorted({(p.site.part, p.positions) for p in places})
        free = [Place(site, at) for part, at in kinds for site in sites_of(part, sizes) if site not in chosen]
        random.Random(self.seed).shuffle(free)
        return sorted(free, key=lambda p: p.site.layer not in layers)[:lacking]

    def drawing(
        self, lab: Lab, pair: CorruptedPrompts, places: Sequence[Place], found: Sequence[Effect], title: str
    ) -> Figure:
        """Heads as layer by head; several positions as site by position; otherwise bars."""
        from ..statistics.recovery import UNIT
        from ..tasks.corrupted_prompts import tokens_at

        by_place = dict(zip(places, found, strict=True))
        sites, at = list(dict.fromkeys(p.site for p in places)), list(dict.fromkeys(p.positions for p in places))
        title = f"{title}: {lab.subject.name}, {self.task}"
        if len(at) == 1 and len({s.part for s in sites}) == 1 and sites[0].index is not None:
            return head_map(lab, by_place, title, self.n)
        if len(at) == 1:
            labels = [str(s.layer if self.sites is None else s) for s in sites]
            data = {"labels": labels, "values": [e.value for e in found],
                    "low": [e.low for e in found], "high": [e.high for e in found]}  # fmt: skip
            return Figure(name="places", kind="layer_bars", title=title, unit=UNIT, n=self.n, data=data)
        size = {s: max(abs(e.value) for p, e in by_place.items() if p.site == s) for s in sites}
        shown = sorted(sites, key=lambda s: -size[s])[:ROWS] if len(sites) > ROWS else sites
        if len(shown) < len(sites):
            title += f" (the largest {ROWS} of {len(sites)})"
        plain = len({s.part for s in shown}) == 1 and shown[0].index is None
        cells = [[by_place.get(Place(s, p)) for p in at] for s in shown]
        data = {"values": [[None if e is None else e.value for e in row] for row in cells],
                "significant": [[clear(e) for e in row] for row in cells],
                "rows": [str(s.layer if plain else s) for s in shown], "columns": tokens_at(lab, pair, at),
                "row_label": "layer" if plain else "", "column_label": "position", "scale": "diverging"}  # fmt: skip
        return Figure(name="places", kind="matrix", title=title, unit=UNIT, n=self.n, data=data)


def head_map(lab: Lab, found: Mapping[Place, Effect], title: str, n: int) -> Figure:
    from ..sites import COUNTED
    from ..statistics.recovery import UNIT

    count = lab.subject.sizes[COUNTED[next(iter(found)).site.part][1]]
    values: list[list[float | None]] = [[None] * count for _ in range(lab.subject.sizes["n_layers"])]
    significant = [[False] * count for _ in values]
    for place, effect in found.items():
        assert place.site.index is not None
        values[place.site.layer][place.site.index] = effect.value
        significant[place.site.layer][place.site.index] = clear(effect)
    return Figure(name="heads", kind="head_heatmap", title=title, unit=UNIT, n=n,
                  data={"values": values, "significant": significant})  # fmt: skip
