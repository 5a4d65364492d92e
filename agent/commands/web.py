"""`agent web`: browse the tracker, read-only, from this machine only."""

from __future__ import annotations

import contextlib
import importlib.util
import sys

import click

from .one_line_errors import one_line
from .options import db_option

PORT = 8765


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port; 0: any free one.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@db_option
def web(port: int, no_open: bool, db: str | None) -> None:
    """Browse the tracker in a web browser, read-only: runs, experiments, notes, hypotheses, and SQL.

    The server listens on 127.0.0.1, so only this machine can reach it. Ctrl-C stops it.
    """
    if importlib.util.find_spec("datasette") is None:
        raise click.UsageError('This needs Datasette. Run: pip install "lashley[web]"')
    from ...db.location import tracker_path
    from ...db.read.reader import Reader

    path = tracker_path(db)
    with one_line():
        # Report a damaged file and migrate an older one before the server starts.
        Reader.open(path).close()
    from ...tools.report.plain_text import printable
    from ..web.serve import listen, serve

    try:
        ear = listen(port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(
            f"Port {port} is not available ({reason}). Choose another: agent web --port 0"
        ) from error
    address = f"http://127.0.0.1:{ear.getsockname()[1]}/"
    click.echo(f"{printable(str(path))} is at {address} (Ctrl-C stops it)")
    sys.stdout.flush()
    if not no_open and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(address)
    with ear, contextlib.suppress(KeyboardInterrupt):
        serve(path, ear)
