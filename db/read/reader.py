"""The tracker, open for reading: its contents as records (`records.py`) with short ids.

This imports only the standard library, so browsing starts at once, and the connection is read-only. Rows come in the
order in which they were written unless a method says otherwise. The readers of runs, experiments and thoughts define
most methods; this file opens and closes a tracker, and has the queries over all of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .. import query, schema
from ..errors import NotRecorded, TrackerError
from ..location import check_is_file, connect_read_only
from .runs import RunReader


class Reader(RunReader):
    """The tracker, open for reading. Create it with `Reader.open`; it is a context manager.

    Arguments are row numbers (12), results have ids ("E12"). Every method raises NoSuchId for a row that does not
    exist. A run marked as running whose process has ended has the status stopped, and its experiment interrupted.
    """

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open the tracker at `path`, migrating an older one. Raises TrackerError if there is none."""
        path = Path(path)
        if not path.exists():
            raise TrackerError(
                f'There is no tracker at {path} yet. Start with: agent run --goal "..." (or name another with --db).'
            )
        check_is_file(path)
        version = schema.version_at(path)
        if version == 0:
            raise TrackerError(f'{path} is empty. Start with: agent run --db {path} --goal "..."')
        if version < schema.VERSION:
            from ..write.store import Store

            Store.open(path).close()
        return cls(path, connect_read_only(path))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def known(self, what: str) -> list[str]:
        """The existing kinds, tasks or models of experiments, or tags of notes."""
        tags = "SELECT DISTINCT value AS name FROM notes, json_each(notes.tags) ORDER BY 1"
        sql = tags if what == "tag" else f"SELECT DISTINCT {what} AS name FROM experiments ORDER BY 1"
        return [name for name in self._values(sql) if name is not None]

    def require_known(self, what: str, name: str | None) -> None:
        """Raises NotRecorded unless the tracker has this kind, task, model or tag. Accepts None, and any name if the
        tracker has none at all."""
        known = self.known(what) if name is not None else []
        if name is not None and known and name.lower() not in {one.lower() for one in known}:
            raise NotRecorded(what, name, known)

    def query(
        self,
        sql: str,
        limit: int = 100,
        seconds: float = 2.0,
        runs: Sequence[int] | None = None,
        alone: int | None = None,
    ) -> tuple[list[str], list[list[Any]], bool]:
        """Columns, at most `limit` rows, and whether there were more; with `runs`, only what these may see; with
        `alone`, only the reasoning of that run.

        Raises QueryRefused (see db/query.py).
        """
        return query.select(self.path, sql, limit, seconds, runs, alone)
