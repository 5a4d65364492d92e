"""Datasette over one read-only tracker, and the socket that only this machine can reach."""

# pyright: standard
# (Datasette has no types)

from __future__ import annotations

import socket
import sqlite3
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from datasette.app import Datasette
from datasette.database import Database
from datasette.plugins import pm

from ...db.errors import TrackerError
from ...db.location import connect_read_only
from .plugin import Pages

# The first part of the address of Datasette's own pages.
NAME = "lashley"


class Tracker(Database):
    """The tracker's file, opened for Datasette as for every other reader, also while a study writes to it."""

    def connect(self, write: bool = False) -> sqlite3.Connection:
        if write:
            raise TrackerError(f"{self.path} is open for reading only.")
        connection = connect_read_only(Path(str(self.path)))
        self._all_file_connections.append(connection)
        return connection


def application(path: Path) -> Any:
    """The ASGI application of the tracker at `path`. Create only one per process."""
    # Datasette would print every wrong query, with all local variables, to the user's terminal.
    faults: Any = pm.get_plugin("datasette.handle_exception")
    faults.rich = None
    pm.register(Pages(path), name="lashley")
    datasette = Datasette([], settings={"allow_download": False}, metadata={"title": path.name})
    datasette.remove_database("_memory")
    datasette.add_database(Tracker(datasette, path=str(path)), name=NAME)
    return datasette.app()


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0 means any free port. Raises OSError."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("127.0.0.1", port))
        ear.listen(128)
    except OSError:
        ear.close()
        raise
    return ear


def serve(path: Path, ear: socket.socket) -> None:
    """Serve until interrupted."""
    # Import matplotlib now, so the first figure does not wait for it.
    Thread(target=import_module, args=("...tools.report.plots", __package__), daemon=True).start()
    config = uvicorn.Config(
        application(path), log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[ear])
