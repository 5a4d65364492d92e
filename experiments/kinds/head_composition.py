"""Which heads read what earlier heads write, from the weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..experiment import Experiment
from ..questions import WHICH_READS_FROM_WHICH
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    import numpy as np

    from ..lab import Lab
    from ..sites import Site
    from ..tasks.task import Task


class HeadComposition(Experiment):
    """Which heads read what earlier heads write: as queries, keys or values? From the weights alone, all pairs at once.

    The score of a pair is the share of what the sender writes that the receiver reads (Frobenius norms, Elhage et al.
    2021), minus chance: the mean score of pairs of the same model under random rotations (random_q, random_k,
    random_v). Read it as effect[L0.H1 -> L1.H2, k]; the result keeps the `top` pairs of each of q, k and v, and all
    pairs among `heads`. `percentile`: the share of random pairs that score less. Shows where a path may run, such as an
    induction head that reads a previous-token head through its keys; not that any text uses it, and no paths through
    MLPs. Weights have no sampling error: intervals are points, n is 1, and predictions cannot be tested on them.
    Ignores task and `n`. Cost: seconds to a minute.
    """

    kind: ClassVar[str] = "head_composition"
    question: ClassVar[str] = WHICH_READS_FROM_WHICH
    aspect: ClassVar[str] = "from the weights alone"

    heads: Annotated[
        list[str] | None,
        Field(description="Keep all pairs among these heads, such as L7.H3. Null: the top pairs only."),
    ] = None
    through: Annotated[
        Literal["q", "k", "v"], Field(description="Which to report and draw first; all three are kept.")
    ] = "k"
    top: Annotated[int, Field(ge=1, le=500, description="How many pairs to keep for each of q, k and v.")] = 30

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        """Runs no prompts, so the task may have fewer than `n`."""
        if {"n_layers", "n_heads"} <= set(sizes):
            self.sites(sizes)

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        from ..sites import named_heads

        return [] if self.heads is None else named_heads(self.heads, sizes)

    @property
    def asks(self) -> bool:
        return False

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods.composition import THROUGH, all_scores
        from ..methods.controls import all_heads

        sizes = lab.subject.sizes
        names = [str(s) for s in all_heads(sizes)]
        chosen = {names.index(str(s)) for s in self.sites(sizes)}
        scores, random = all_scores(lab.subject, self.seed, lab.steps("composition"))
        effects: list[Effect] = []
        measured = [Measurement(name="questions", value=1)]
        parts: list[str] = []
        for name in sorted(THROUGH, key=lambda name: name != self.through):
            own, chance = scores[THROUGH.index(name)], random[THROUGH.index(name)]
            expected = float(chance.mean()) if len(chance) else 0.0
            ranked = np.argsort(-np.nan_to_num(own.ravel(), nan=-1.0), kind="stable")[: self.top].tolist()
            pairs = [divmod(i, len(names)) for i in ranked]
            pairs += [(s, r) for s in sorted(chosen) for r in sorted(chosen) if (s, r) not in set(pairs)]
            for s, r in pairs:
                if not np.isnan(own[s, r]):
                    value = float(own[s, r]) - expected
                    weaker = 100 * float((chance < own[s, r]).mean()) if len(chance) else None
                    effects.append(Effect(site=f"{names[s]} -> {names[r]}", metric=name, value=value, low=value,
                                          high=value, n=1, percentile=weaker))  # fmt: skip
            low, high = np.percentile(chance, [2.5, 97.5]).tolist() if len(chance) else (0.0, 0.0)
            measured.append(Measurement(name=f"random_{name}", value=expected, low=low, high=high, n=len(chance)))
            best = [f"{e.site} {e.value:+.3f}" for e in effects if e.metric == name][:5]
            parts.append(f"{name}: {', '.join(best)} (chance {expected:.3f})")
        return Result(
            measurements=tuple(measured),
            effects=tuple(effects),
            figures=(self.figure(lab, scores[THROUGH.index(self.through)], sorted(chosen), names),),
            found=f"Composition of {lab.subject.name}'s heads beyond chance, strongest pairs. {'; '.join(parts)}.",
            arrays={"composition": scores.astype(np.float32)},
        )

    def figure(self, lab: Lab, own: np.ndarray, chosen: list[int], names: list[str]) -> Figure:
        """Head by head if heads are named; otherwise the strongest pair of every two layers."""
        import numpy as np

        sizes = lab.subject.sizes
        heads = sizes["n_heads"]
        with_heads = lab.subject.anatomy.with_heads
        count = len(with_heads)
        if chosen:
            grid, labels, what = own[np.ix_(chosen, chosen)], [names[i] for i in chosen], "head"
        else:
            filled = np.nan_to_num(own, nan=-1.0).reshape(count, heads, count, heads).max((1, 3))
            # No head reads what the last layer writes, and the first layer reads from no head.
            grid, labels, what = np.where(filled < 0, np.nan, filled), [str(i) for i in with_heads], "layer"
            grid = grid[:-1, 1:] if count > 1 else grid
        values: list[list[Any]] = [[None if np.isnan(v) else float(v) for v in row] for row in grid]
        rows, columns = labels[: len(grid)], labels[len(labels) - len(grid) :]
        strongest = "" if chosen else ", strongest pair of two layers"
        return Figure(name="composition", kind="matrix", unit="score", n=1,
                      title=f"{self.through.upper()}-composition{strongest}: {lab.subject.name}",
                      data={"values": values, "rows": rows, "columns": columns, "row_label": f"sender {what}",
                            "column_label": f"receiver {what}", "scale": "sequential"})  # fmt: skip
