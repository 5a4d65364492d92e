"""The errors of the tracker, each one line that says what to do.

SQLite's own errors name neither the file nor a solution; `explained` converts them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence


class TrackerError(Exception):
    """The base of every error that this folder raises on purpose. Its text is one line for the user; programs use its
    class or code."""

    code = "tracker"

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class TrackerFails(TrackerError):
    """The file, its disk or its lock fails. The failed operation has written nothing."""

    code = "tracker_fails"


class NotATracker(TrackerError):
    """The path is not a tracker: a folder, another program's database, or another kind of file."""

    code = "not_a_tracker"

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        super().__init__(f"{os.fspath(path)} is not a Lashley database: {why}. Name another with --db or LASHLEY_DB.")


class NewerSchema(TrackerError):
    """A later version of Lashley wrote the file. It was not changed."""

    code = "newer_schema"

    def __init__(self, path: str | os.PathLike[str], found: int, known: int) -> None:
        super().__init__(
            f"A newer Lashley wrote {os.fspath(path)} (schema {found}; this version knows {known}). The file was not "
            "changed. Update Lashley, or name another file with --db."
        )


class NotAnId(TrackerError):
    """A text that should be an id of the tracker."""

    code = "not_an_id"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r:.60} is not an id. Ids look like R1 (run), E12 (experiment), N3 (note), H2 (hypothesis), "
            "C1 (circuit)."
        )


class NoSuchId(TrackerError):
    """A well-formed id that names no row; `near` are the nearest existing ids."""

    code = "no_such_id"

    def __init__(self, what: str, shown: str, near: Sequence[str]) -> None:
        there = f"Nearest: {' and '.join(near)}" if near else f"No {what} is recorded yet"
        super().__init__(f"There is no {what} {shown}. {there}.")


class NotRecorded(TrackerError):
    """A kind, task, model or tag that the tracker does not have; with the ones that it has."""

    code = "not_recorded"

    def __init__(self, what: str, name: str, known: Sequence[str]) -> None:
        import difflib

        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        rest = f"Did you mean {' or '.join(near)}?" if near else f"It has: {', '.join(known)}."
        super().__init__(f"The tracker has nothing with the {what} '{name}'. {rest}")


class QueryRefused(TrackerError):
    """An SQL text that is wrong, not a single allowed SELECT, or too slow."""

    code = "query_refused"


# SQLite's message about a damaged file may contain bytes of the file that Python cannot decode.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process is writing."""
    # Extended result codes keep the primary code in their low byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def explained(error: Exception, path: str | os.PathLike[str]) -> TrackerError:
    """The tracker's error for one of `SQLITE_ERRORS`, about the file at `path`."""
    where = os.fspath(path)
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, "a text in it is not valid UTF-8")
    # Extended result codes keep the primary code in their low byte.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return TrackerFails(f"{where} is locked: another process is writing to it. Wait for it, or use --db.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return TrackerFails(f"{where} cannot be opened or written ({error}). Check its permissions, or use --db.")
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, str(error))
        case sqlite3.SQLITE_NOTADB:
            return NotATracker(path, "it is not an SQLite file")
        case sqlite3.SQLITE_FULL:
            return TrackerFails(
                f"{where} cannot grow: the disk is full. Free some space; `agent resume` resumes a study."
            )
        case sqlite3.SQLITE_IOERR:
            return TrackerFails(
                f"{where} cannot be read or written ({error}). Is the disk full, over quota, or failing? "
                "`agent resume` resumes a study."
            )
        case sqlite3.SQLITE_NOMEM:
            return TrackerFails(f"There is not enough memory for {where} ({error}). Close other programs.")
        case sqlite3.SQLITE_CONSTRAINT:
            return TrackerError(f"{where} refused a row: {error}")
        case _ if "Could not decode to UTF-8" in str(error):
            return damaged(path, "a text in it is not valid UTF-8")
        case _:
            return TrackerError(f"{where}: {error}")


def damaged(path: str | os.PathLike[str], why: str) -> TrackerFails:
    """The error for an SQLite file in which some bytes have changed."""
    where = os.fspath(path)
    return TrackerFails(
        f"{where} is damaged ({why}). Restore a backup, or save what is readable: sqlite3 {where} .recover"
    )
