"""How the tracker's rows look in a terminal: plain text and tables without lines, right at any width.

What is printed was written by somebody else, a language model or its subject among them. It is never
read as markup, and control characters are made visible.
"""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

Row = dict[str, Any]

STRONGEST = 15  # rows of effects and samples that fit a screen


def console() -> Console:
    """Standard output: no colour when it is a pipe or NO_COLOR is set, and no character that stops it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportUnknownMemberType]
    return Console(highlight=False, markup=False, emoji=False)


def print_runs(console: Console, rows: Sequence[Row]) -> None:
    columns = ("id", "started", "status", ">exp.", "~driver", "~model", "~goal")
    lines = [
        (
            row["id"],
            _minute(row["started"]),
            row["status"],
            row["experiment_count"],
            row["driver"],
            row["model"] or "-",
            _cut(row["goal"], 200),
        )
        for row in rows
    ]
    console.print(_table(columns, lines))


def print_experiments(console: Console, rows: Sequence[Row]) -> None:
    def outcome(row: Row) -> str:
        if row["status"] == "done":
            return row["found"] or ""
        return row["status"] + (f": {row['error']}" if row["error"] else "")

    columns = ("id", "run", "~kind", "~on", ">n", "~found")
    lines = [
        (
            row["id"],
            row["run"] or "-",
            row["kind"],
            _on(row, "model", "task", "split"),
            row["n"],
            _cut(" ".join(outcome(row).split()), 160),
        )
        for row in rows
    ]
    console.print(_table(columns, lines))


def print_notes(console: Console, rows: Sequence[Row]) -> None:
    for row in rows:
        print_note(console, row)
        console.print()


def print_run(console: Console, run: Row) -> None:
    _print_title(
        console, run["id"], run["status"], f"{_minute(run['started'])} {_lasted(run['started'], run['ended'])}"
    )
    seed = "" if run["seed"] is None else f", seed {run['seed']}"
    _print_facts(
        console,
        ("goal", run["goal"]),
        ("who", f"{run['driver']}{' (' + run['llm'] + ')' if run['llm'] else ', no language model'}{seed}"),
        ("on", " · ".join(run[key] for key in ("model", "task") if run[key])),
        ("budget", _pairs(run["budget"])),
        ("spent", _pairs(run["spent"])),
        ("error", run["error"]),
    )
    _print_heading(console, "Timeline")
    rows = [
        (_since(run["started"], row["at"]), row["what"], row["id"], _cut(" ".join(row["text"].split()), 160))
        for row in run["timeline"]
    ]
    console.print(_table((">at", "what", "id", "~text"), rows))
    for hypothesis in run["hypotheses"]:
        console.print()
        print_hypothesis(console, hypothesis)
    for note in run["notes"]:
        console.print()
        print_note(console, note)
    _print_heading(console, "Report")
    written = f"agent report {run['id']}" if run["report"] is not None else "none was written"
    console.print(_indented(written))


def print_experiment(console: Console, experiment: Row) -> None:
    seconds = "" if experiment["seconds"] is None else f"{experiment['seconds']:.1f} s"
    _print_title(console, f"{experiment['id']} {experiment['kind']}", experiment["status"], seconds)
    subject = experiment["subject"]
    _print_facts(
        console,
        ("run", experiment["run"]),
        ("model", f"{experiment['model']} ({subject['architecture']}, {subject['fingerprint'][:12]})"),
        ("task", _on(experiment, "task", "split")),
        ("n", experiment["n"]),
        ("reason", experiment["reason"]),
        ("error", experiment["error"] and f"{experiment['error_type']}: {experiment['error']}"),
        ("cited by", ", ".join(experiment["cited_by"])),
    )
    _print_heading(console, "Configuration")
    _print_facts(console, *experiment["config"].items())
    if experiment["found"] or experiment["notes"]:
        _print_heading(console, "Found")
        for line in (experiment["found"], *experiment["notes"]):
            console.print(_indented(line))
    if experiment["measurements"]:
        _print_heading(console, "Measurements")
        rows = [
            (row["name"], _number(row["value"]), _interval(row), row["n"], row["unit"])
            for row in experiment["measurements"]
        ]
        console.print(_table(("~name", ">value", "95% interval", ">n", "~unit"), rows))
    if experiment["effects"]:
        _print_effects(console, experiment["effects"])
    for figure in experiment["figures"]:
        if figure["kind"] == "head_heatmap":
            _print_heading(console, figure["title"])
            _print_heat_map(console, figure["data"], figure["unit"])
    if experiment["samples"]:
        _print_samples(console, experiment["samples"])
    if experiment["artifacts"]:
        _print_heading(console, "Artifacts")
        _print_facts(
            console, *[(row["name"], f"{row['media_type']}, {row['size']} bytes") for row in experiment["artifacts"]]
        )


def _print_effects(console: Console, effects: Sequence[Row]) -> None:
    _print_heading(console, f"Effects, strongest first ({min(STRONGEST, len(effects))} of {len(effects)})")
    strongest = sorted(effects, key=lambda row: -abs(row["value"]))[:STRONGEST]
    rows = [
        (row["site"], row["metric"], _number(row["value"]), _interval(row), row["n"], _number(row["q"]))
        for row in strongest
    ]
    console.print(_table(("~site", "~metric", ">change", "95% interval", ">n", ">q"), rows))


def _print_samples(console: Console, samples: Sequence[Row]) -> None:
    _print_heading(console, f"Samples ({min(STRONGEST, len(samples))} of {len(samples)})")
    marks = {True: " (right)", False: " (wrong)", None: ""}
    for place, row in enumerate(samples[:STRONGEST]):
        if place:
            console.print()
        changed = None if row["changed"] is None else f"{_quoted(row['changed'])}{marks[row['changed_correct']]}"
        _print_facts(
            console,
            ("prompt", _quoted(row["prompt"])),
            ("expected", _quoted(row["expected"])),
            ("said", f"{_quoted(row['said'])}{marks[row['correct']]}"),
            (row["condition"] or "changed", changed),
            ("failure", row["failure"]),
        )


def _print_heat_map(console: Console, data: Row, unit: str) -> None:
    """Layers down, heads across, in blocks as wide as the terminal. Colour repeats what the text says: blue is
    less, red is more."""
    values: list[list[float | None]] = data["values"]
    significant: list[list[bool]] | None = data.get("significant")
    largest = max((abs(value) for row in values for value in row if value is not None), default=0.0) or 1.0
    console.print(_indented(f"Layers down, heads across. 9 stands for {_number(largest)} {unit}; * is significant."))
    heads = max((len(row) for row in values), default=0)
    across = max(1, (console.width - 6) // 3)
    for first in range(0, heads, across):
        block = range(first, min(first + across, heads))
        console.print(Text("     " + "".join(f"{head:>2} " for head in block), "bold"))
        for layer, row in enumerate(values):
            line = Text(f"{'L' + str(layer):>4} ", "bold")
            for head in block:
                value = row[head] if head < len(row) else None
                if value is None:
                    line.append("   ")
                    continue
                ninths = round(9 * value / largest)
                mark = "*" if significant and significant[layer][head] else " "
                pale = 255 - round(200 * min(1.0, abs(value) / largest))
                back = f"#ff{pale:02x}{pale:02x}" if value > 0 else f"#{pale:02x}{pale:02x}ff"
                line.append(f"{ninths or '·':>2}{mark}", Style(color="black", bgcolor=back))
            console.print(line)


def print_note(console: Console, note: Row) -> None:
    tags = f"  [{', '.join(note['tags'])}]" if note["tags"] else ""
    console.print(_plain(f"{note['id']} {note['title']}", "bold").append_text(_plain(tags, "cyan")))
    console.print(_indented(note["text"]))
    where = [note["run"], "cites " + ", ".join(note["experiments"]) if note["experiments"] else None]
    console.print(_indented(" · ".join(part for part in (*where, _minute(note["created"])) if part), "dim"))


def print_hypothesis(console: Console, hypothesis: Row) -> None:
    console.print(_plain(f"{hypothesis['id']} {hypothesis['status']}", "bold"))
    _print_facts(
        console,
        ("statement", hypothesis["statement"]),
        ("rationale", hypothesis["rationale"]),
        ("refuted if", hypothesis["refuted_if"]),
        ("run", hypothesis["run"]),
    )
    rows = [
        (_minute(event["created"]), event["status"], event["comment"], ", ".join(event["experiments"]))
        for event in hypothesis["events"]
    ]
    console.print(_table(("when", "status", "~comment", "~evidence"), rows))


def _quoted(text: str) -> str:
    """One line of a sample, so that spaces and line ends show."""
    return '"' + _cut(text, 400).replace("\n", "\\n") + '"'


def _pairs(values: Row) -> str:
    return ", ".join(f"{name} {_value_text(value)}" for name, value in values.items() if value is not None)


def _on(row: Row, *columns: str) -> str:
    return " · ".join(row[column] for column in columns if row[column])


def _minute(at: str) -> str:
    """The tracker's UTC time to the minute."""
    return at[:16].replace("T", " ")


def _since(start: str, at: str) -> str:
    seconds = (datetime.fromisoformat(at) - datetime.fromisoformat(start)).total_seconds()
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{rest:02d}"


def _lasted(start: str, end: str | None) -> str:
    return "" if end is None else f"({_since(start, end)})"


def _print_title(console: Console, *parts: str) -> None:
    console.print(_plain("  ".join(part for part in parts if part.strip()), "bold"))


def _print_heading(console: Console, title: str) -> None:
    console.print()
    console.print(_plain(title, "bold"))


def _print_facts(console: Console, *facts: tuple[str, Any]) -> None:
    """A column of names and their values; what is None or empty is left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, max_width=16)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value is not None and value != "":
            table.add_row(_plain(f"  {name}", "dim"), _plain(_value_text(value)))
    console.print(table)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> RenderableType:
    """A table without lines. A column whose name begins with > is aligned to the right; those that begin with ~
    wrap, to share the width that the others leave."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        side = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">~"), justify=side, overflow="fold", no_wrap=not name.startswith("~"))
    for row in rows:
        table.add_row(*[_plain("" if value is None else str(value)) for value in row])
    return table


def _indented(text: str, style: str = "") -> RenderableType:
    return Padding(_plain(text, style), (0, 0, 0, 2), expand=False)


def _plain(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control, format and surrogate characters are written as escapes; line
    ends stay, and a tab becomes a space."""
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character == "\t":
        return " "
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _interval(row: Row) -> str:
    return "" if row["low"] is None or row["high"] is None else f"[{_number(row['low'])}, {_number(row['high'])}]"
