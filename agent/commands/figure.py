"""`agent figure E12`: what an experiment drew, as picture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import db_option

if TYPE_CHECKING:
    from ...db.records import Figure


@click.command()
@click.argument("id", metavar="ID")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--format", "form", type=click.Choice(["png", "svg"]), default="png", show_default=True, help="Of the files."
)
@click.option("--to", "folder", metavar="FOLDER", default=".", help="Where E12-heads.png goes; else here.")
@click.option("--dpi", type=click.IntRange(36, 600), default=150, show_default=True, help="Dots an inch of a PNG.")
@click.option("--json", "as_json", is_flag=True, help="The data of the figures as JSON, and no file.")
@db_option
def figure(id: str, names: tuple[str, ...], form: str, folder: str, dpi: int, as_json: bool, db: str | None) -> None:
    """Draw the figures of the experiment ID (such as E12), or only those with these NAMEs."""
    import json

    from ...db import records
    from ...db.ids import parse_id
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from .one_line_errors import one_line

    with one_line(), Reader.open(tracker_path(db)) as reader:
        what, number = parse_id(id)
        if what != "experiment":
            raise click.UsageError(f"{id} is the id of a {what}; an experiment such as E12 is wanted.")
        row = reader.experiment(number)
        there = {one.name: one for one in row.figures}
        missing = [name for name in names if name not in there]
        if missing or not there:
            has = f"It has: {', '.join(there)}." if there else "It has none."
            raise click.UsageError(f"{row.id} has no figure {' or '.join(missing) or 'at all'}. {has}")
        chosen = [there[name] for name in names or there]
        if as_json:
            click.echo(json.dumps(records.as_json(chosen), indent=2))
            return
        write(row.id, chosen, form, Path(folder), dpi)


def write(experiment: str, figures: Sequence[Figure], form: str, folder: Path, dpi: int) -> None:
    """A file for each figure, whose path is printed."""
    from ...tools.report.figures import draw, draw_png

    folder.mkdir(parents=True, exist_ok=True)
    for one in figures:
        path = folder / f"{experiment}-{one.name}.{form}"
        path.write_bytes(draw_png(one, dpi) if form == "png" else draw(one).encode())
        click.echo(str(path))
