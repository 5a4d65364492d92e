"""Patch paths from one head to another, or to the logits, with everything else held fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.patching import Contrast
from ..questions import WHICH_READS_FROM_WHICH
from ..result import Effect, Figure, Result
from ..statistics.strongest import clear, largest

if TYPE_CHECKING:
    from ..engine.paths import Edge, Through
    from ..lab import Lab
    from ..methods.controls import Compared
    from ..sites import Site
    from ..statistics.recovery import Scale
    from ..tasks.task import Task

LOGITS = "logits"
ROWS = 40
# Each path needs a tensor. The most numbers in such tensors at a time.
HELD = 64_000_000


class PathPatching(Contrast):
    """Which heads does a head read from, and by its queries, keys or values? Patches the direct path from senders to
    receivers (arXiv 2211.00593, 2304.05969).

    A sender (a head or an MLP) gets its value from the other run; all other heads and MLPs keep their values, so only
    what it writes directly to the receiver changes. (`mlps` recomputed is the definition of 2211.00593: only heads are
    held, and MLPs on the way respond to the change; the two can differ several times over.) The receiver is recomputed
    from that, through only its queries, keys or values if it is a head, and everything after it runs freely. Each path
    by itself, `L0.H1 to L1.H2.k`, with recovery as in activation_patching: -1 (noising) is the whole difference. Paths
    through another head or MLP are not included: follow them step by step, from the logits back. Small values add up,
    and paths that back each other up hide. Controls: the identity, and the percentile among all other paths. Cost: two
    attentions and a run from the receiver on for each path, so use all heads with only a few receivers.
    """

    kind: ClassVar[str] = "path_patching"
    question: ClassVar[str] = WHICH_READS_FROM_WHICH
    later: ClassVar[frozenset[str]] = Contrast.later | {"mlps"}

    direction: Annotated[
        Literal["denoising", "noising"],
        Field(description="noising: the sender's corrupted value in the clean run. denoising: the reverse."),
    ] = "noising"
    receivers: Annotated[
        list[str] | None, Field(description="Heads such as L9.H6, MLPs such as L9.mlp, or logits. Null: the logits.")
    ] = None
    senders: Annotated[
        list[str] | None,
        Field(description="Heads or MLPs. Null: all heads before the receivers."),
    ] = None
    by: Annotated[
        list[Literal["q", "k", "v", "all"]] | None,
        Field(description="What a head receives through: q, k, v, or all at once. Null: q, k and v, each by itself."),
    ] = None
    mlps: Annotated[
        Literal["held", "recomputed"],
        Field(description="MLPs between sender and receiver: held, or recomputed from the changed stream."),
    ] = "held"
    positions: Annotated[
        str, Field(description="At which tokens the sender is patched: all, last, read, changed, or a span.")
    ] = "all"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if {"n_layers", "n_heads"} <= set(sizes):
            self.ends(sizes)

    def ends(self, sizes: Mapping[str, int]) -> tuple[list[Site], list[tuple[Site, Through]]]:
        """Senders, and receivers with what they read through. Raises BadConfiguration for a missing one."""
        from ..methods.controls import all_heads
        from ..sites import Site, check_site, parse_site

        def component(text: str) -> Site:
            site = check_site(parse_site(text), sizes)
            if site.part != "mlp_out" and (site.part != "z" or site.index is None):
                raise BadConfiguration(f"A path cannot end at {site}. Use a head (L7.H3), an MLP (L7.mlp), or logits.")
            return site

        if self.receivers == [] or self.senders == [] or self.by == []:
            raise BadConfiguration("receivers, senders and by must each name at least one, or be null for all.")
        ways: list[Through] = list(dict.fromkeys(self.by or ["q", "k", "v"]))
        end = Site(layer=sizes["n_layers"] - 1, part="resid_post")
        receivers: list[tuple[Site, Through]] = []
        for text in dict.fromkeys(self.receivers or [LOGITS]):
            site = end if text == LOGITS else component(text)
            receivers += [(site, by) for by in (ways if site.part == "z" else ["all"])]  # type: ignore[misc]
        senders = all_heads(sizes) if self.senders is None else [component(t) for t in dict.fromkeys(self.senders)]
        return senders, receivers

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from .. import engine
        from ..engine.paths import NEEDED, Paths, all_edges
        from ..methods.controls import among, compare, per_prompt
        from ..statistics.intervals import questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE
        from ..tasks.corrupted_prompts import corrupted_prompts

        senders, receivers = self.ends(lab.subject.sizes)
        edges = all_edges(senders, receivers, lab.subject.anatomy)
        if not edges:
            raise BadConfiguration("No sender is before a receiver, so there is no path. Name earlier senders.")
        pair = corrupted_prompts(lab, self.draw, value=self.twin)
        pair.known(self.positions)
        scale = self.scale(lab, pair)
        base, other = self.runs(pair)
        source = self.lent(lab, base, other, {e.sender.part for e in edges})
        paths = Paths(lab.subject, base, engine.read(lab.subject, base, NEEDED), source, self.positions,
                      self.mlps == "recomputed")  # fmt: skip
        tell = lab.steps("paths")
        size = max(1, HELD // (len(base) * base.length * lab.subject.anatomy.d_model))
        runs: list[Compared] = []
        for first in range(0, len(edges), size):
            made = [paths.intervention(edge, named(edge)) for edge in edges[first : first + size]]
            tell(first + len(made), len(edges))
            doing = f"paths {first + 1} to {first + len(made)} of {len(edges)}, {self.direction} at {self.positions}"
            runs.append(compare(lab, doing, base, [i for i, _ in made], lab.readout(self.metric, base),
                                {i.name: s for i, s in made}))  # fmt: skip
        values = np.concatenate([runs[0].values(self.metric)[:1], *(r.values(self.metric)[1:] for r in runs)])
        run = max(runs, key=lambda r: r.identity(self.metric).value)
        found = among(scale.effects([named(e) for e in edges], values[1:] - values[0]))
        return Result(
            measurements=(*scale.measurements(), questions_asked(pair.asked), run.identity(self.metric)),
            effects=found,
            figures=(self.drawing(lab, edges, found),),
            found=self.summary(scale, found) + self.changed(pair),
            notes=(*pair.notes, *run.failed(self.metric)),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: values}, pair.asked), WHOLE: scale.whole},
        )

    def summary(self, scale: Scale, found: Sequence[Effect]) -> str:
        count = sum(map(clear, found))
        return (
            f"{scale.summary}. {count} of {len(found)} direct paths ({self.direction}, sender at {self.positions}, "
            f"MLPs {self.mlps}) change it (q < 0.05); {largest(found, ' by recovery', 6, scale.said)}."
        )

    def drawing(self, lab: Lab, edges: Sequence[Edge], found: Sequence[Effect]) -> Figure:
        """Senders by receivers; only the strongest senders if there are many."""
        from ..statistics.recovery import UNIT

        cells = {(str(e.sender), reading(e)): effect for e, effect in zip(edges, found, strict=True)}
        rows, columns = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
        size = {row: max(abs(e.value) for (sender, _), e in cells.items() if sender == row) for row in rows}
        shown = [row for row in rows if row in sorted(rows, key=lambda r: -size[r])[:ROWS]]
        title = f"Recovery by direct paths, {self.direction}: {lab.subject.name}, {self.task}"
        title += f" (the largest {ROWS} of {len(rows)} senders)" if len(shown) < len(rows) else ""
        effects = [[cells.get((row, column)) for column in columns] for row in shown]
        data = {"values": [[None if e is None else e.value for e in row] for row in effects],
                "significant": [[clear(e) for e in row] for row in effects], "rows": shown, "columns": columns,
                "row_label": "sender", "column_label": "receiver", "scale": "diverging"}  # fmt: skip
        return Figure(name="paths", kind="matrix", title=title, unit=UNIT, n=self.n, data=data)


def reading(edge: Edge) -> str:
    """The receiver, and for a head what it reads through."""
    if edge.receiver.part == "resid_post":
        return LOGITS
    return f"{edge.receiver}.{edge.by}" if edge.receiver.part == "z" and edge.by != "all" else str(edge.receiver)


def named(edge: Edge) -> str:
    return f"{edge.sender} to {reading(edge)}"
