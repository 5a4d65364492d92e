"""Examples as CSV: a header line, then one prompt a line. All columns but those of an example are named values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from .draft import Example

FIELDS = ("text", "answer", "distractor", "corrupted", "corrupted_answer", "about")


class Row:
    """One line: the example, and its named values."""

    def __init__(self, number: int, example: Example, values: dict[str, str]) -> None:
        self.number, self.example, self.values = number, example, values

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """The values that the text holds exactly once, as the ranges of their characters."""
        text = self.example.text
        return {
            name: (text.index(value), text.index(value) + len(value))
            for name, value in self.values.items()
            if text.count(value) == 1
        }


def read_rows(text: str) -> Iterator[Row | str]:
    """Each row, or a fault in words. Blank lines are skipped."""
    lines = list(csv.reader(io.StringIO(text.strip("\n"))))
    header = [name.strip() for name in lines[0]] if lines else []
    if not {"text", "answer"} <= set(header) or len(set(header)) < len(header) or not all(header):
        yield "the first line must name the columns, each once: text,answer,distractor."
        return
    for number, cells in enumerate(lines[1:], start=1):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield (
                f"row {number} has {len(cells)} cells instead of {len(header)}; put a cell with a comma in double "
                "quotes."
            )
            continue
        given = dict(zip(header, cells, strict=True))
        fields = {name: cell for name, cell in given.items() if name in FIELDS and (cell or name in ("text", "answer"))}
        values = {name: cell.strip() for name, cell in given.items() if name not in FIELDS and cell.strip()}
        yield Row(number, Example(**fields), values)  # type: ignore[arg-type]
