"""The building blocks of every terminal page: plain text and tables without rules, for any width.

Much of the text comes from a language model or its subject. It is never interpreted as markup, and control characters
are made visible.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ....tools.report.plain_text import cut, printable


def console() -> Console:
    """Standard output: no colour in a pipe or with NO_COLOR, and no crash on a character it cannot encode."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportUnknownMemberType]
    return Console(highlight=False, markup=False, emoji=False)


@contextmanager
def paged() -> Generator[Console]:
    """As `console`, but in a terminal a long page goes through the pager ($PAGER, or less)."""
    screen = console()
    if not screen.is_terminal:
        yield screen
        return
    with screen.capture() as page:
        yield screen
    if page.get().count("\n") < screen.height:
        click.echo(page.get(), nl=False, color=True)
        return
    # Keep colours, and do not clear the screen at the end.
    os.environ.setdefault("LESS", "-RX")
    click.echo_via_pager(page.get(), color=True)


def quoted(text: str) -> str:
    """A sample on one line, with spaces and line ends visible."""
    return '"' + cut(text, 400).replace("\n", "\\n") + '"'


class Bounded(Protocol):
    """A value that may have an interval."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def on(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part)


def print_title(console: Console, *parts: str) -> None:
    console.print(plain("  ".join(part for part in parts if part.strip()), "bold"))


def print_heading(console: Console, title: str) -> None:
    console.print()
    console.print(plain(title, "bold"))


def print_facts(console: Console, *facts: tuple[str, Any]) -> None:
    """Print names and values in columns; leave out what is None or empty."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, max_width=16)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value is not None and value != "":
            table.add_row(plain(f"  {name}", "dim"), plain(value_text(value)))
    console.print(table)


# Columns never split a word shorter than this.
WORD = 17


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> RenderableType:
    """A table without rules. A column whose name starts with > is right-aligned. Columns whose names start with ~ share
    the remaining width and wrap, between words if there is room."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    for place, name in enumerate(columns):
        side, wraps = "right" if name.startswith(">") else "left", name.startswith("~")
        words = [len(word) for row in texts for word in row[place].split()] if wraps else []
        table.add_column(
            name.lstrip(">~"), justify=side, overflow="fold", no_wrap=not wraps,
            min_width=min(WORD, max(words, default=1)) if wraps else None,
        )  # fmt: skip
    for row in texts:
        table.add_row(*map(plain, row))
    return table


def indented(text: str, style: str = "") -> RenderableType:
    return Padding(plain(text, style), (0, 0, 0, 2), expand=False)


def plain(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def one_row(text: str, width: int, style: str = "") -> Text:
    """The text in one row of the terminal, cut with … if it is longer."""
    row = plain(" ".join(text.splitlines()), style)
    row.truncate(width, overflow="ellipsis")
    return row


def value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def interval(row: Bounded) -> str:
    return "" if row.low is None or row.high is None else f"[{number(row.low)}, {number(row.high)}]"
