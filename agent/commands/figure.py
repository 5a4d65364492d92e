"""`agent figure E12`: the figures of an experiment as picture files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import db_option

if TYPE_CHECKING:
    from ...db.records import Figure

FORMS = ("png", "svg")


@click.command()
@click.argument("id", metavar="ID")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--format", "form", type=click.Choice(FORMS), help="File format.  [default: that of --to, or png]")
@click.option(
    "--to", "to", metavar="PLACE", default=".", help="Folder, or file such as heads.svg; default: the current folder."
)
@click.option(
    "--dpi", type=click.IntRange(36, 600), default=150, show_default=True, help="Resolution of a PNG, in dots per inch."
)
@click.option("--json", "as_json", is_flag=True, help="Print the data of the figures as JSON; write no file.")
@db_option
def figure(id: str, names: tuple[str, ...], form: str | None, to: str, dpi: int, as_json: bool, db: str | None) -> None:
    """Draw the figures of experiment ID (such as E12): all of them, or only the NAMEs."""
    import json

    from ...db import records
    from ...db.ids import parse_id
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from .one_line_errors import one_line

    with one_line(), Reader.open(tracker_path(db)) as reader:
        what, number = parse_id(id)
        if what != "experiment":
            raise click.UsageError(f"{id} is not an experiment. Give the id of one, such as E12.")
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
        write(paths(row.id, chosen, form, Path(to).expanduser()), dpi)


def paths(experiment: str, figures: Sequence[Figure], form: str | None, to: Path) -> dict[Path, Figure]:
    """Where each figure goes: into the folder `to`, or into the file of that name."""
    from .one_line_errors import require_parent

    ending = to.suffix.lower().removeprefix(".")
    if not ending or to.is_dir():
        require_parent(to)
        return {to / f"{experiment}-{one.name}.{form or FORMS[0]}": one for one in figures}
    if ending not in FORMS:
        raise click.UsageError(
            f"--to {to} is neither a {' or '.join(FORMS)} file nor an existing folder. Name one of these."
        )
    if form not in (None, ending):
        raise click.UsageError(f"--to {to} is a {ending} file; leave out --format {form}.")
    if len(figures) > 1:
        named = ", ".join(one.name for one in figures)
        raise click.UsageError(f"One file holds one figure. Name one of {named}, or give a folder with --to.")
    require_parent(to)
    return {to: figures[0]}


def write(figures: Mapping[Path, Figure], dpi: int) -> None:
    """Write each figure to its file, and print the path."""
    from ...tools.report.figures import draw, draw_png
    from .one_line_errors import writing

    for path, one in figures.items():
        drawn = draw_png(one, dpi) if path.suffix.lower() == ".png" else draw(one).encode()
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(drawn)
        click.echo(str(path))
