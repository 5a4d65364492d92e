"""The records of a user's file: one JSON object per line (JSONL), or the rows below a header (CSV).

This checks only the form of the file. Every fault has the line where its record starts, so the user can correct all of
them at once.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["jsonl", "csv"]
# The extensions of task files.
FILES = (".jsonl", ".csv")


@dataclass(frozen=True)
class Fault:
    """A fault, its line, counted from 1 (0: the whole file), and its field, if any."""

    line: int
    says: str
    field: str = ""

    def sentence(self, file: str) -> str:
        """A sentence that starts with the place."""
        place = file + (f", line {self.line}" if self.line else "") + (f", field '{self.field}'" if self.field else "")
        return f"{place}: {self.says}"


@dataclass(frozen=True)
class Record:
    """One record as it is in the file, and the line where it starts."""

    line: int
    given: dict[str, Any]


Read = tuple[list[Record], list[Fault]]


class Twice(ValueError):
    """A key occurs twice in one JSON object, of which `json` would keep the last."""

    code = "key_twice"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises Twice."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise Twice(key)
        made[key] = value
    return made


# Other programs' names for these fields.
ELSEWHERE = {
    "prompt": "text", "input": "text", "sentence": "text", "completion": "answer", "target": "answer",
    "output": "answer", "label": "answer", "foil": "distractor", "wrong": "distractor",
}  # fmt: skip


def meant(field: str, known: Collection[str]) -> str | None:
    """The field that the user may have meant by this name, or None."""
    ours = ELSEWHERE.get(field.lower(), field.lower())
    # With a looser match, 'extra' would suggest 'text'.
    return next(iter(difflib.get_close_matches(ours, known, n=1, cutoff=0.7)), None)


def unknown(field: str, known: Collection[str]) -> str:
    """The message for an unknown field."""
    ours = meant(field, known)
    return f"there is no such field; {f'did you mean {ours!r}?' if ours else 'known fields: ' + ', '.join(known) + '.'}"


def jsonl(content: str) -> Read:
    """Read one JSON object per line; skip blank lines."""
    records: list[Record] = []
    faults: list[Fault] = []
    # Not splitlines(), which would also split at characters that JSON allows inside a string.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            given = json.loads(line, object_pairs_hook=each_once)
        except Twice as twice:
            faults.append(Fault(number, "this key occurs twice in one object; remove one of the two.", twice.key))
            continue
        except json.JSONDecodeError as error:
            faults.append(Fault(number, f"not JSON ({error.msg} at column {error.colno}); write one object per line."))
            continue
        except (ValueError, RecursionError):
            faults.append(Fault(number, "a number or nesting that is too large; use only texts and short spans."))
            continue
        if isinstance(given, dict):
            records.append(Record(number, given))
        else:
            faults.append(Fault(number, 'not an object; write {"text": ..., "answer": ...}.'))
    return records, faults


def table(content: str, known: Collection[str], texts: Collection[str]) -> Read:
    """Read the rows of a CSV file, whose header names fields of `known`. Cells of fields not in `texts` are JSON.

    An empty cell means that the field is not given. With a fault in the header, nothing is read.
    """
    rows, faults = _rows(content)
    if not rows:
        return [], faults
    (line, header), *rest = rows
    header = [name.strip() for name in header]
    faults += _faults_of(header, line, known)
    if faults and faults[0].line <= line:
        return [], faults
    records: list[Record] = []
    for line, row in rest:
        if len(row) != len(header):
            way_out = "put cells with commas or quotes in quotes" if len(row) > len(header) else "add the missing cells"
            faults.append(Fault(line, f"{len(row)} cells under a header of {len(header)}; {way_out}."))
            continue
        given: dict[str, Any] = {}
        for name, cell in zip(header, row, strict=True):
            if not cell:
                continue
            try:
                given[name] = cell if name in texts else json.loads(cell, object_pairs_hook=each_once)
            except Twice as twice:
                faults.append(Fault(line, f"'{twice.key}' occurs twice in one object; remove one of the two.", name))
            except (ValueError, RecursionError):
                faults.append(Fault(line, f"'{cell[:40]}' is not JSON, which this field needs.", name))
        if given:
            records.append(Record(line, given))
    return records, faults


def _rows(content: str) -> tuple[list[tuple[int, list[str]]], list[Fault]]:
    """Every row that is not blank, with the line where it starts, and what cannot be read."""
    # \n and \r\n are one line end; so is a bare \r, from old spreadsheets.
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    faults: list[Fault] = []
    while True:
        begins = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return rows, faults
        except csv.Error as error:
            unclosed = "end of data" in str(error)
            says = "a quote is not closed" if unclosed else f"not CSV ({error})"
            faults.append(Fault(begins, f'{says}; a quote inside a cell is written "".'))
            continue
        if any(cell.strip() for cell in row):
            rows.append((begins, row))


def _faults_of(header: list[str], line: int, known: Collection[str]) -> list[Fault]:
    if len(header) == 1 and header[0] not in known and any(sign in header[0] for sign in ";\t"):
        return [Fault(line, "the cells of the header are not separated by commas; save the file with commas.")]
    if not any(name in known or meant(name, known) for name in header):
        return [Fault(line, "the first line must name the columns, such as text,answer,distractor.")]
    faults = [
        Fault(line, unknown(name, known), name) if name else Fault(line, "a column has no name; give it one.")
        for name in dict.fromkeys(header)
        if name not in known
    ]
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    return faults + [Fault(line, "two columns have this name; remove one.", name) for name in twice]
