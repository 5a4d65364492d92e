"""An intervention is data: edits at sites, or a program of layers to run, or both.

It contains no tensors. An edit that needs some (`mean`, `resample`, `patch`, `add`) names a source, and the engine gets
the sources by name. So an intervention can be stored, compared and replayed.
"""

from __future__ import annotations

import re
from typing import Literal

from .errors import BadConfiguration
from .result import Frozen
from .sites import ORDER, Part, Site

Op = Literal["zero", "replace", "add", "scale", "project_out", "freeze", "cut"]


class Edit(Frozen):
    """A change of the value at a site, at some positions.

    zero         set to 0
    replace      set to the value of `source` (a mean, another prompt's activation, its own clean one)
    add          add `factor` times the source's vector
    scale        multiply by `factor`
    project_out  remove the component along the source's vector
    cut          of a pattern: keep only the keys that the source marks with 1, and share their attention as before
                 (attention knockout, arXiv 2304.14767); a query that loses all of its keys attends to nothing
    freeze       keep the value of the intact run of the same prompt, whatever happens before; needs no source
    positions    "all" (except pads), "first" or "last" (that token of the prompt), the name of a span, or "all-X": all
                 except X
    """

    site: Site
    op: Op = "zero"
    source: str | None = None
    factor: float = 1.0
    positions: str = "all"


class Intervention(Frozen):
    """Edits made together in one run, and the layers to run (None: all of them in order)."""

    name: str
    edits: tuple[Edit, ...] = ()
    program: tuple[int, ...] | None = None

    @property
    def changes(self) -> tuple[Edit, ...]:
        """The edits that can be the first to change something. A freeze cannot: before any change it does nothing."""
        return tuple(e for e in self.edits if e.op != "freeze")

    def first_step(self, n_layers: int) -> int:
        """The first step of the program at which this differs from the intact model."""
        program = self.program if self.program is not None else tuple(range(n_layers))
        touched = [self.first_wrong_layer(n_layers)]
        for edit in self.changes:
            # What an edit does after its layer is done is first seen by the layer that follows.
            touched += [step for step, layer in enumerate(program) if layer == edit.site.layer][:1]
        return min(touched)

    def first_wrong_layer(self, n_layers: int) -> int:
        if self.program is None:
            return n_layers
        for step, layer in enumerate(self.program):
            if step != layer:
                return step
        return len(self.program)


def first_part(edits: tuple[Edit, ...]) -> Part:
    """The earliest part of a layer that these edits touch."""
    parts: list[Part] = [e.site.part for e in edits]
    return min(parts, key=ORDER.index)


def parse_layers(text: str, n_layers: int) -> tuple[int, ...]:
    """'0-4, 4, 6-11' -> the list of layers to run. An empty text is an empty program.

    A range may be descending ('11-0') and may repeat. Raises BadConfiguration for a layer that does not exist.
    """
    layers: list[int] = []
    for piece in filter(None, (p.strip() for p in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", piece)
        if not match:
            raise BadConfiguration(f"'{piece}' is neither a layer nor a range. Write it as '0-4, 4, 6-{n_layers - 1}'.")
        first, last = int(match[1]), int(match[2] or match[1])
        worst = max(first, last)
        if worst >= n_layers:
            raise BadConfiguration(f"There is no layer {worst}. This model has {n_layers} layers, 0 to {n_layers - 1}.")
        layers += range(first, last + 1) if first <= last else range(first, last - 1, -1)
    return tuple(layers)


def show_layers(program: tuple[int, ...]) -> str:
    """The shortest text that `parse_layers` reads back: (0, 1, 2, 2, 5) -> '0-2, 2, 5'."""
    pieces: list[list[int]] = []
    for layer in program:
        if pieces and layer == pieces[-1][-1] + 1:
            pieces[-1].append(layer)
        else:
            pieces.append([layer])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in pieces)
