"""`agent top`: the strongest effects over all studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .browse import NONE_YET, Read, browses, number_of

if TYPE_CHECKING:
    from ...db.read.reader import Reader


@click.command()
@click.option("--task", help="Only on this task.")
@click.option("--model", help="Only on this subject model.")
@click.option("--kind", help="Only of this kind of experiment.")
@click.option("--metric", help="Effects on this metric. Else on that which has most: two have no common scale.")
@click.option("--run", metavar="ID", help="Only of this run.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many places.")
@browses
def top(
    reader: Reader,
    task: str | None,
    model: str | None,
    kind: str | None,
    metric: str | None,
    run: str | None,
    limit: int,
) -> Read:
    """The places with the strongest effects, over all studies: each once, as it was measured last."""
    for what, value in (("kind", kind), ("task", task), ("model", model)):
        reader.require_known(what, value)
    found = reader.strongest(kind, task, model, metric, number_of(reader, run), limit)
    return Read(
        found, ("pages.lists", "print_strongest"), nothing="Nothing matches." if reader.known("kind") else NONE_YET
    )
