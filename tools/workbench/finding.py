"""Finds a task by its name: the one place that looks names up, with or without a tracker that stores tasks.

A stored task is rebuilt from its lines and card, and must match the task that was stored, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ...db.read.reader import Reader
from ...db.records import TaskOrigin
from ...experiments.tasks.records import FILES
from ..refusals import refused

if TYPE_CHECKING:
    from ...experiments.tasks.task import Task


def is_file_name(name: str) -> bool:
    """Whether this names a file rather than a task. A file with shuffled answers is a task."""
    return "~shuffled" not in name and (name.lower().endswith(FILES) or "/" in name)


def find_task(
    name: str, reader: Reader | None, own: Mapping[str, Task], find: Callable[[str], Task], hint: str = ""
) -> Task:
    """The task of this name: this process's own, built in, installed, or in the tracker; or any task that `find` knows,
    with its answers shuffled.

    Raises UnknownName (with the hint) and ToolError.
    """
    from ...experiments.errors import UnknownName
    from ...experiments.tasks.from_file import from_hub
    from ...experiments.tasks.gsm8k_set import PARTS
    from ...experiments.tasks.registry import UNLISTED, tasks
    from ...experiments.tasks.shuffled import shuffled_by_name

    if derived := shuffled_by_name(name, find):
        return derived
    known = {**tasks(), **own}
    found = known.get(name) or UNLISTED.get(name) or kept_task(reader, name)
    if found is None and name in PARTS:
        return from_hub(name)
    if found is None:
        kept = reader.task_names() if reader is not None else []
        raise UnknownName("task", name, dict.fromkeys([*known, *kept]), hint)
    return found


def kept_task(reader: Reader | None, name: str, fingerprint: str | None = None) -> Task | None:
    """The stored task of this name (the latest, or the one with this fingerprint), or None."""
    # A chat template belongs to the subject and is not stored.
    own = None if fingerprint is None else fingerprint.split("~")[0]
    row = None if reader is None else reader.task_file(name, own)
    return None if row is None else rebuilt(row)


def kept_tasks(reader: Reader) -> dict[str, Task]:
    """The latest version of every task in the tracker, by name."""
    return {row.name: rebuilt(row) for row in reader.task_files()}


def rebuilt(row: TaskOrigin) -> Task:
    """The task, rebuilt from its row. Raises ToolError if it does not match what was stored, to the byte."""
    from ...experiments.tasks.from_file import Card, from_jsonl

    card = None if row.card is None else Card.model_validate(row.card)
    task = from_jsonl(row.name, row.content, card)
    if task.fingerprint() != row.fingerprint:
        now, was = task.fingerprint()[:16], row.fingerprint[:16]
        raise refused("task_changed", name=row.name, now=now, was=was)
    return task.model_copy(update={"maker": made_by(row)})


def made_by(row: TaskOrigin) -> str:
    """Who made a stored task: "chat qwen3 in R3", "user, from colours.csv"; "" if unknown."""
    if row.maker is None:
        return ""
    file = (row.spec or {}).get("file")
    return f"{row.maker}" + (f" in {row.run}" if row.run else "") + (f", from {file}" if file else "")
