"""`agent skip`: stop only the experiment that a study is running, from another terminal."""

from __future__ import annotations

import click

from .one_line_errors import one_line
from .options import db_option, run_number


@click.command()
@click.argument("run", metavar="RUN")
@db_option
def skip(run: str, db: str | None) -> None:
    """Stop the experiment that RUN (such as R3) is running now. The study continues without it.

    The experiment is logged as stopped, and the language model reads that you stopped it. What was measured is kept:
    the same call resumes it. In the study's own terminal, press c.
    """
    from ...db import skips
    from ...db.location import tracker_path
    from ...db.read.reader import Reader

    with one_line():
        number = run_number(run)
        path = tracker_path(db)
        with Reader.open(path) as reader:
            status = reader.run(number).status
            running = reader.experiments(run=number, status="running")
        if status != "running":
            raise click.UsageError(f"{run} is not running ({status}), so there is no experiment to stop.")
        if not running:
            raise click.UsageError(f"{run} is not running an experiment at this moment. Try again when it is.")
        skips.ask(path, run)
    click.echo(f"{run} stops {running[-1].id} at its next step and continues.", err=True)
