"""`agent web`: the tracker in a browser, on this machine alone, for reading."""

from __future__ import annotations

import contextlib
import importlib.util
import sys

import click

from .one_line_errors import one_line
from .options import db_option

PORT = 8765


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Where; 0 takes one that is free."
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@db_option
def web(port: int, no_open: bool, db: str | None) -> None:
    """Browse the tracker in a browser: runs, experiments, notes, hypotheses, and SQL. It cannot be changed there.

    It is served on 127.0.0.1, for this machine alone, until Ctrl-C.
    """
    if importlib.util.find_spec("datasette") is None:
        raise click.UsageError('This needs Datasette: pip install "lashley[web]"')
    from ...db.location import tracker_path
    from ...db.read.reader import Reader

    path = tracker_path(db)
    with one_line():
        # Says what is wrong with the file, and brings an older one up to date, before anybody looks.
        Reader.open(path).close()
    from ...tools.report.plain_text import printable
    from ..web.serve import listen, serve

    try:
        ear = listen(port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(
            f"Port {port} of 127.0.0.1 cannot be had ({reason}). Another: agent web --port 0"
        ) from error
    address = f"http://127.0.0.1:{ear.getsockname()[1]}/"
    click.echo(f"{printable(str(path))} is at {address} (Ctrl-C ends it)")
    sys.stdout.flush()
    if not no_open and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(address)
    with ear, contextlib.suppress(KeyboardInterrupt):
        serve(path, ear)
