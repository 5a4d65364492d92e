"""`agent report`: render a study's report from the tracker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .one_line_errors import one_line
from .options import db_option, run_number

if TYPE_CHECKING:
    from ...db.read.reader import Reader


def write_files(reader: Reader, run: int, folder: str) -> Path:
    """Write report.html, .md, .ipynb and figures/ to FOLDER/R1. Returns the path of the HTML file."""
    from ...tools.report.cells import notebook
    from ...tools.report.render import render_run, write

    target, report = Path(folder) / f"R{run}", render_run(reader, run)
    write(report, target, ipynb=notebook(report, reader.path, target))
    return target / "report.html"


@click.command()
@click.argument("run", metavar="RUN")
@db_option
@click.option(
    "--to", "folder", metavar="FOLDER", default="reports", show_default=True, help="Folder for R1/report.html."
)
@click.option("--print", "to_terminal", is_flag=True, help="Print the Markdown instead of writing files.")
@click.option("--json", "as_json", is_flag=True, help="Print the report's source and path as JSON.")
def report(run: str, db: str | None, folder: str, to_terminal: bool, as_json: bool) -> None:
    """Write the report of RUN (such as R1) as one HTML file, as Markdown, and as a notebook that opens the tracker."""
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...tools.report.default import source_of

    with one_line(), Reader.open(tracker_path(db)) as reader:
        number = run_number(run)
        reader.require("run", number)
        if to_terminal:
            from ...tools.report.render import render_run

            click.echo(render_run(reader, number).markdown)
            return
        path = write_files(reader, number, folder)
        if as_json:
            data = {"run": f"R{number}", "html": str(path), "source": source_of(reader, number)}
            click.echo(json.dumps(data, indent=2))
        else:
            click.echo(str(path))
