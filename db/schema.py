"""Which version of the tables a file has, and whether they are as this version makes them.

The file says that it is ours by `PRAGMA application_id`, and how many of the `migrations` it has
seen by `PRAGMA user_version`. Tables are STRICT: a text in a column of numbers is an error, not data.
Times are UTC in ISO 8601; JSON columns are checked to be JSON; nothing here needs more than SQLite 3.37.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from . import migrations
from .errors import SQLITE_ERRORS, NewerSchema, NotATracker, explained
from .location import connect_read_only

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID = 0x4C41534C  # "LASL"

RUN_STATUSES = ("running", "finished", "failed", "interrupted", "budget")
HYPOTHESIS_STATUSES = ("open", "supported", "refuted", "inconclusive")
VERSION = len(migrations.NAMES)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """How many migrations the file has seen; 0 for an empty one. Raises NotATracker or NewerSchema."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (
        application == 0
        and version == 0
        and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    ):
        return 0
    if application != APPLICATION_ID:
        raise NotATracker(path, "it is the database of another program")
    if version > VERSION:
        raise NewerSchema(path, version, VERSION)
    return version


def version_at(path: Path) -> int:
    """`version_of` the file at `path`, which is not changed and gets no file beside it."""
    with closing(connect_read_only(path, glance=True)) as connection:
        try:
            return version_of(connection, path)
        except SQLITE_ERRORS as error:
            raise explained(error, path) from error


def migrate(db: Database, path: Path) -> None:
    """Brings the file up to date inside the caller's transaction: all migrations that it lacks, or none."""
    for step in migrations.after(version_of(db.conn, path)):
        step(db)
    db.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.conn.execute(f"PRAGMA user_version = {VERSION}")


def altered(connection: sqlite3.Connection) -> list[str]:
    """What of our tables, views, indexes and triggers is gone or is not as the migrations made it, each one line."""
    from sqlite_utils import Database

    names = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for step in migrations.after(0):
            step(Database(fresh))
        ours = {(kind, name): " ".join(sql.split()) for kind, name, sql in fresh.execute(names)}
    there = {(kind, name): " ".join(sql.split()) for kind, name, sql in connection.execute(names)}
    return [
        f"the {kind} {name} {'is not as this version makes it' if (kind, name) in there else 'is not there any more'}"
        for (kind, name), sql in ours.items()
        if there.get((kind, name)) != sql
    ]
