"""`agent tell`: send a message to a running study from another terminal."""

from __future__ import annotations

import click

from .one_line_errors import one_line
from .options import db_option, run_number


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("words", nargs=-1, required=True)
@db_option
def tell(run: str, words: tuple[str, ...], db: str | None) -> None:
    """Send a message to a running study: RUN (such as R3) reads your WORDS before its next step.

    The message is logged as a turn of the conversation. A stopped study reads it when it is resumed.
    """
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...db.write.store import Store

    text = " ".join(words).strip()
    if not text:
        raise click.UsageError("The message is empty. Say what the study should know.")
    with one_line():
        number = run_number(run)
        path = tracker_path(db)
        # Do not create a tracker that does not exist.
        with Reader.open(path) as reader:
            row = reader.run(number)
        if row.llm is None:
            raise click.UsageError(f"The {row.driver} drives {run}; it is a fixed protocol and reads no messages.")
        with Store.open(path) as store:
            store.tell(number, text)
        with Reader.open(path) as reader:
            stopped = reader.run(number).status == "stopped"
    where = f"when you resume it: agent resume {run}" if stopped else "before its next step"
    click.echo(f"{run} reads it {where}.", err=True)
