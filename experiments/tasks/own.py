"""A task written in Python: prompts in a short form for notebooks, checked like the lines of a file.

    Task([Prompt("Grass is", " green", distractor=" blue"), Prompt("Snow is", " white", distractor=" black")])

The code that reads files also reads lists and data frames, as records with the fields of `Prompt`, so faults give the
same messages. A "line" is then a position in the list or a row of the frame, from 1 on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..errors import BadTask
from . import prompt, task
from .from_file import BadLines, from_file, from_text, no_file, prompt_of
from .records import Record
from .task import AnswerKind

if TYPE_CHECKING:
    import pandas as pd


class Prompt(prompt.Prompt):
    """A text and what should follow it: `Prompt("Grass is", " green", distractor=" blue")`.

    The answer starts with a space if the text needs one. Prompts with the same `key` (default: the text) are in the
    same split. The other fields are those of a line in a task file. Raises BadTask.
    """

    if not TYPE_CHECKING:

        def __init__(self, text, answer, **fields) -> None:
            # None means that a field is not given, so a row with gaps can be passed as it is.
            given = {"text": text, "answer": answer} | {k: v for k, v in fields.items() if v is not None}
            record = listed(given)
            for name, value in record.items():
                if (fault := not_json(value)) is not None:
                    raise BadTask(f"The prompt, field '{name}': {fault}.")
            made, faults = prompt_of(Record(0, record))
            if made is None:
                raise BadTask(" ".join(fault.sentence("The prompt") for fault in faults))
            super().__init__(**{name: getattr(made, name) for name in prompt.Prompt.model_fields})

        # Reading a prompt from JSON does not call this.
        __init__.__pydantic_base_init__ = True

    else:

        def __init__(
            self,
            text: str,
            answer: str,
            *,
            distractor: str | None = None,
            corrupted: str | None = None,
            corrupted_answer: str | None = None,
            spans: Mapping[str, tuple[int, int]] | None = None,
            template: str | None = None,
            key: str | None = None,
            operands: Sequence[int] | None = None,
            accepted: Sequence[str] | None = None,
            values: Mapping[str, str] | None = None,
        ) -> None: ...


class Task(task.Task):
    """Prompts of your own: a list of `Prompt` (or of dictionaries with its fields), a data frame with such columns, or
    a JSONL or CSV file.

    A hash of the key puts a prompt in the explore or the confirm split. Results call the task by its `name`; default:
    the file's name, or "prompts". The program infers how to compare answers, unless `answer_kind` (or, in a list or a
    frame, a field of that name) says it. Raises BadTask with the first fault, and all of them in its `faults`.
    """

    def __init__(
        self,
        prompts: Iterable[prompt.Prompt | Mapping[str, Any]] | pd.DataFrame | str | PathLike[str],
        name: str | None = None,
        answer_kind: AnswerKind | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadTask(f"name must be a text such as 'colours', not {name!r}.")
        if answer_kind is not None and answer_kind not in get_args(AnswerKind):
            raise BadTask(f"There is no answer_kind {answer_kind!r}. Use {', '.join(get_args(AnswerKind))}.")
        if isinstance(prompts, (str, PathLike)):
            path = Path(fspath(prompts)).expanduser()
            if not path.is_file():
                raise BadTask(no_file(path))
            made = from_file(path, name, answer_kind)
        else:
            made = from_records(records_of(prompts), name or "prompts", answer_kind)
        super().__init__(**{field: getattr(made, field) for field in task.Task.model_fields})

    # Reading a task from a tracker does not call this.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def from_file(
        cls, path: str | PathLike[str], name: str | None = None, answer_kind: AnswerKind | None = None
    ) -> Task:
        """The task in a JSONL or CSV file, as `Task(path)`. Raises BadTask."""
        return cls(Path(fspath(path)), name, answer_kind)


def from_records(records: list[dict[str, Any]], name: str, kind: AnswerKind | None) -> task.Task:
    """The task of these records. Raises BadTask; BadLines for faults in them."""
    lines: list[str] = []
    for number, record in enumerate(records, 1):
        if (fault := not_json(record)) is not None:
            raise BadTask(f"The prompts, line {number}: {fault}.")
        lines.append(json.dumps(record, ensure_ascii=False))
    try:
        return from_text(name, "\n".join(lines), "jsonl", "The prompts", kind=kind)
    except BadLines as bad:
        raise BadLines(bad.faults, "they are in the error's faults") from bad


def not_json(value: Any) -> str | None:
    """Why a value cannot be in a task file, or None."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as fault:
        return f"{fault}; use only texts, numbers and short spans"
    return None


def records_of(given: Any) -> list[dict[str, Any]]:
    """A list of prompts or of mappings, or a data frame, as records. Raises BadTask."""
    if hasattr(given, "columns") and callable(getattr(given, "to_dict", None)):
        rows: list[Mapping[Any, Any]] = given.to_dict("records")
        return [listed({str(k): v for k, v in row.items() if not empty(v)}) for row in rows]
    if isinstance(given, (Mapping, bytes)) or not isinstance(given, Iterable):
        raise BadTask(
            f"A {type(given).__name__} is not a set of prompts. Give a list of lashley.Prompt, a data frame, or a "
            "JSONL or CSV file."
        )
    found: list[dict[str, Any]] = []
    for number, one in enumerate(given, 1):
        if isinstance(one, prompt.Prompt):
            found.append(one.model_dump(mode="json", exclude_defaults=True))
        elif isinstance(one, Mapping):
            found.append(listed({str(k): v for k, v in one.items()}))
        else:
            raise BadTask(
                f"The prompts, line {number}: a {type(one).__name__} is not a prompt; use lashley.Prompt(text, answer)."
            )
    return found


def listed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record in JSON's types: numbers of NumPy as Python's, tuples as lists."""
    return {name: plain(value) for name, value in record.items()}


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value.item() if callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0 else value


def empty(cell: Any) -> bool:
    """Whether a cell of a data frame is empty, in any of its representations."""
    return (
        cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and math.isnan(cell))
    )
