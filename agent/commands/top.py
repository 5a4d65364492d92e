"""`agent top`: the strongest effects over all studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .browse import NONE_YET, Read, browses, number_of

if TYPE_CHECKING:
    from ...db.read.reader import Reader


@click.command()
@click.option("--task", help="Filter by task.")
@click.option("--model", help="Filter by subject model.")
@click.option("--kind", help="Filter by kind of experiment.")
@click.option("--metric", help="Metric of the effects; default: the most frequent one.")
@click.option("--run", metavar="ID", help="Filter by run.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show at most this many sites."
)
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
    """List the sites with the strongest effects over all studies, each with its latest measurement."""
    for what, value in (("kind", kind), ("task", task), ("model", model)):
        reader.require_known(what, value)
    found = reader.strongest(kind, task, model, metric, number_of(reader, run), limit)
    return Read(
        found, ("pages.lists", "print_strongest"), nothing="Nothing matches." if reader.known("kind") else NONE_YET
    )
