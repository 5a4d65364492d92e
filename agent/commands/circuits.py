"""`agent circuits`: the circuits that experiments found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .browse import NONE_YET, Read, browses

if TYPE_CHECKING:
    from ...db.read.reader import Reader


@click.command()
@click.option("--task", help="Filter by task.")
@click.option("--model", help="Filter by subject model.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most this many, from the end."
)
@browses
def circuits(reader: Reader, task: str | None, model: str | None, limit: int) -> Read:
    """List the circuits that circuit_discovery found, latest last."""
    for what, value in (("task", task), ("model", model)):
        reader.require_known(what, value)
    found = reader.circuits(task, model)
    nothing = "No circuit yet. Find one with: agent experiment circuit_discovery --task ioi"
    if found or reader.circuits():
        nothing = "Nothing matches."
    elif not reader.known("kind"):
        nothing = NONE_YET
    return Read(found[-limit:], ("pages.circuits", "print_circuits"), nothing=nothing, there=len(found))
