"""`agent tell`: words for a study that is running, from another terminal."""

from __future__ import annotations

import click

from .one_line_errors import one_line
from .options import db_option


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("words", nargs=-1, required=True)
@db_option
def tell(run: str, words: tuple[str, ...], db: str | None) -> None:
    """Tell a study that is running something: RUN (such as R3) reads your WORDS before its next step.

    They are logged as a turn of the conversation. A study that was stopped reads them when it goes on.
    """
    from ...db.ids import parse_id
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...db.write.store import Store

    text = " ".join(words).strip()
    if not text:
        raise click.UsageError("There are no words; say what the study is to know.")
    with one_line():
        what, number = parse_id(run)
        if what != "run":
            raise click.UsageError(f"{run} is the id of a {what}; a run such as R1 is wanted.")
        path = tracker_path(db)
        # A tracker that is not there is not made.
        with Reader.open(path) as reader:
            row = reader.run(number)
        if row.llm is None:
            raise click.UsageError(f"{run} is led by the {row.driver}, a fixed protocol, which takes no words.")
        with Store.open(path) as store:
            store.tell(number, text)
        with Reader.open(path) as reader:
            stopped = reader.run(number).status == "stopped"
    where = f"when it goes on: agent resume {run}" if stopped else "before its next step"
    click.echo(f"{run} reads it {where}.", err=True)
