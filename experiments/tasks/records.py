"""The records of a user's file: one JSON object a line (JSONL), or the rows below a header (CSV).

Nothing is judged here but the form of the file. Every fault is kept with the line at which its record begins, so that a
file can be mended in one go.
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
# How the names of task files end.
FILES = (".jsonl", ".csv")


@dataclass(frozen=True)
class Fault:
    """What is wrong, in which line, counted from 1 (0: in the file as a whole), and in which field, if in one."""

    line: int
    says: str
    field: str = ""

    def sentence(self, file: str) -> str:
        """A sentence that begins with the place."""
        place = file + (f", line {self.line}" if self.line else "") + (f", field '{self.field}'" if self.field else "")
        return f"{place}: {self.says}"


@dataclass(frozen=True)
class Record:
    """One record as it stands in the file, and the line at which it begins."""

    line: int
    given: dict[str, Any]


Read = tuple[list[Record], list[Fault]]


class Twice(ValueError):
    """A key stands twice in one JSON object, of which `json` would keep the last."""

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


# What other programs call our fields.
ELSEWHERE = {
    "prompt": "text", "input": "text", "sentence": "text", "completion": "answer", "target": "answer",
    "output": "answer", "label": "answer", "foil": "distractor", "wrong": "distractor",
}  # fmt: skip


def meant(field: str, known: Collection[str]) -> str | None:
    """The field of ours that somebody may have meant by this name; None where there is none."""
    ours = ELSEWHERE.get(field.lower(), field.lower())
    # Looser, and 'extra' would be told to be 'text'.
    return next(iter(difflib.get_close_matches(ours, known, n=1, cutoff=0.7)), None)


def unknown(field: str, known: Collection[str]) -> str:
    """What to say of a field that there is not."""
    ours = meant(field, known)
    return f"there is no such field; {f'did you mean {ours!r}?' if ours else 'known are ' + ', '.join(known) + '.'}"


def jsonl(content: str) -> Read:
    """One JSON object a line; blank lines are passed over."""
    records: list[Record] = []
    faults: list[Fault] = []
    # Not splitlines(): it would also split at characters that JSON allows inside a string.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            given = json.loads(line, object_pairs_hook=each_once)
        except Twice as twice:
            faults.append(Fault(number, "this key stands twice in one object; remove one of the two.", twice.key))
            continue
        except json.JSONDecodeError as error:
            faults.append(Fault(number, f"not JSON ({error.msg} at column {error.colno}); write one object a line."))
            continue
        except (ValueError, RecursionError):
            faults.append(Fault(number, "a number or a nesting that is too large; write texts and short spans only."))
            continue
        if isinstance(given, dict):
            records.append(Record(number, given))
        else:
            faults.append(Fault(number, 'not an object; write {"text": ..., "answer": ...}.'))
    return records, faults


def table(content: str, known: Collection[str], texts: Collection[str]) -> Read:
    """The rows of a CSV file, whose header names fields of `known`. A cell of a field that is not in `texts` is JSON.

    An empty cell is a field that is not given. A fault in the header leaves nothing to read.
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
            way_out = "put a cell with a comma or a quote in it into quotes" if len(row) > len(header) else "fill it up"
            faults.append(Fault(line, f"{len(row)} cells under a header of {len(header)}; {way_out}."))
            continue
        given: dict[str, Any] = {}
        for name, cell in zip(header, row, strict=True):
            if not cell:
                continue
            try:
                given[name] = cell if name in texts else json.loads(cell, object_pairs_hook=each_once)
            except Twice as twice:
                faults.append(Fault(line, f"'{twice.key}' stands twice in one object; remove one of the two.", name))
            except (ValueError, RecursionError):
                faults.append(Fault(line, f"'{cell[:40]}' is no JSON, which this field is written in.", name))
        if given:
            records.append(Record(line, given))
    return records, faults


def _rows(content: str) -> tuple[list[tuple[int, list[str]]], list[Fault]]:
    """Every row that is not blank with the line at which it begins, and what cannot be read."""
    # Both kinds of line ends count as one; a bare \r, as old spreadsheets wrote it, too.
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
            says = "a quote is opened and never closed" if unclosed else f"not CSV ({error})"
            faults.append(Fault(begins, f'{says}; a quote inside a cell is written "".'))
            continue
        if any(cell.strip() for cell in row):
            rows.append((begins, row))


def _faults_of(header: list[str], line: int, known: Collection[str]) -> list[Fault]:
    if len(header) == 1 and header[0] not in known and any(sign in header[0] for sign in ";\t"):
        return [Fault(line, "the cells of the header are not parted by commas; save the file with commas.")]
    if not any(name in known or meant(name, known) for name in header):
        return [Fault(line, "the first line must name the columns, such as text,answer,distractor.")]
    faults = [
        Fault(line, unknown(name, known), name) if name else Fault(line, "a column has no name; give it one.")
        for name in dict.fromkeys(header)
        if name not in known
    ]
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    return faults + [Fault(line, "two columns have this name; remove one.", name) for name in twice]
