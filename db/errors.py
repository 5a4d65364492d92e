"""What can go wrong with the tracker, each as one line that says what to do.

SQLite's own errors name neither the file nor the way out; `explained` turns them into ours.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence


class TrackerError(Exception):
    """The base of every error that this folder raises on purpose. Its text is one line for the user; programs go by
    its class, or by its code."""

    code = "tracker"

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class TrackerFails(TrackerError):
    """The file, its disk or its lock fails, whatever is asked of it. What met it has written nothing."""

    code = "tracker_fails"


class NotATracker(TrackerError):
    """The path holds something else: a folder, another program's database, a file that is no database."""

    code = "not_a_tracker"

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        super().__init__(f"{os.fspath(path)} is no Lashley database: {why}. Name another with --db or LASHLEY_DB.")


class NewerSchema(TrackerError):
    """The file was written by a later version of this program. It has not been touched."""

    code = "newer_schema"

    def __init__(self, path: str | os.PathLike[str], found: int, known: int) -> None:
        super().__init__(
            f"{os.fspath(path)} was written by a newer Lashley (schema {found}, this one knows {known}); "
            "it was left untouched. Update Lashley, or name another file with --db."
        )


class NotAnId(TrackerError):
    """A text that should have been an id of the tracker."""

    code = "not_an_id"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r:.60} is no id. Ids look like R1 (run), E12 (experiment), N3 (note), H2 (hypothesis)."
        )


class NoSuchId(TrackerError):
    """An id that is well formed but names no row; `near` are the ids next to it that do."""

    code = "no_such_id"

    def __init__(self, what: str, shown: str, near: Sequence[str]) -> None:
        there = f"the nearest: {' and '.join(near)}" if near else f"no {what} is recorded yet"
        super().__init__(f"There is no {what} {shown}; {there}.")


class NotRecorded(TrackerError):
    """A kind, task, model or tag that nothing in the tracker has; with those that it has."""

    code = "not_recorded"

    def __init__(self, what: str, name: str, known: Sequence[str]) -> None:
        import difflib

        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        rest = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
        super().__init__(f"The tracker has nothing of the {what} '{name}'. {rest}")


class QueryRefused(TrackerError):
    """An SQL text that is not one harmless SELECT, is wrong, or took too long."""

    code = "query_refused"


# Of a damaged file SQLite tells in bytes of the file itself, which Python may not be able to read.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process is writing."""
    # Extended result codes keep the primary code in their low byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def explained(error: Exception, path: str | os.PathLike[str]) -> TrackerError:
    """Our error for one of `SQLITE_ERRORS`, about the file at `path`."""
    where = os.fspath(path)
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, "a text in it is no text")
    # Extended result codes keep the primary code in their low byte.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return TrackerFails(f"{where} is locked: another process is writing it. Wait for it to end, or use --db.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return TrackerFails(f"{where} cannot be opened or written ({error}). Check its permissions, or use --db.")
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, str(error))
        case sqlite3.SQLITE_NOTADB:
            return NotATracker(path, "it is not an SQLite file")
        case sqlite3.SQLITE_FULL:
            return TrackerFails(
                f"{where} cannot grow: the disk is full. Free some space; `agent resume` goes on with a study."
            )
        case sqlite3.SQLITE_IOERR:
            return TrackerFails(
                f"{where} cannot be read or written ({error}). Is the disk full, over its quota, or failing? "
                "`agent resume` goes on with a study."
            )
        case sqlite3.SQLITE_NOMEM:
            return TrackerFails(f"{where} needs more memory than there is ({error}). Close other programs.")
        case sqlite3.SQLITE_CONSTRAINT:
            return TrackerError(f"{where} refused a row: {error}")
        case _ if "Could not decode to UTF-8" in str(error):
            return damaged(path, "a text in it is no text")
        case _:
            return TrackerError(f"{where}: {error}")


def damaged(path: str | os.PathLike[str], why: str) -> TrackerFails:
    """The file is an SQLite file, and some of its bytes are not what was written."""
    where = os.fspath(path)
    return TrackerFails(
        f"{where} is damaged ({why}). Restore a copy, or save what can be read: sqlite3 {where} .recover"
    )
