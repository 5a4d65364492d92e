"""The schema version of a file, and whether its tables are as the migrations made them.

`PRAGMA application_id` marks a file as a tracker, and `PRAGMA user_version` counts the `migrations` that it has. Tables
are STRICT: a text in a column of numbers is an error. Times are UTC in ISO 8601; JSON columns are checked to be JSON;
nothing here needs more than SQLite 3.37.
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
    """The number of migrations of the file; 0 if it is empty. Raises NotATracker or NewerSchema."""
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
    """`version_of` the file at `path`, without changing it or creating files next to it."""
    with closing(connect_read_only(path, glance=True)) as connection:
        try:
            return version_of(connection, path)
        except SQLITE_ERRORS as error:
            raise explained(error, path) from error


def migrate(db: Database, path: Path) -> None:
    """Apply all missing migrations, or none, inside the caller's transaction."""
    for step in migrations.after(version_of(db.conn, path)):
        step(db)
    db.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.conn.execute(f"PRAGMA user_version = {VERSION}")


def altered(connection: sqlite3.Connection) -> list[str]:
    """The tables, views, indexes and triggers that are missing or not as the migrations made them, one line each."""
    from sqlite_utils import Database

    names = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for step in migrations.after(0):
            step(Database(fresh))
        ours = {(kind, name): " ".join(sql.split()) for kind, name, sql in fresh.execute(names)}
    there = {(kind, name): " ".join(sql.split()) for kind, name, sql in connection.execute(names)}
    return [
        f"the {kind} {name} {'has been changed' if (kind, name) in there else 'is missing'}"
        for (kind, name), sql in ours.items()
        if there.get((kind, name)) != sql
    ]
