"""How experiments, notes and hypotheses look in a terminal, and the lists of them. (A study has `page_run`.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.style import Style
from rich.text import Text

from ....db.records import Effect, Experiment, ExperimentSummary, Json, Note, RunSummary, Sample, StrongEffect
from ....tools.report.numbers import p_text, without_edges
from ....tools.report.plain_text import cut, minute, printable
from ....tools.report.spent import cost_text, tokens_text
from .points import print_points
from .style import (
    indented,
    interval,
    number,
    on,
    one_row,
    plain,
    print_facts,
    print_heading,
    print_title,
    quoted,
    table,
)

if TYPE_CHECKING:
    from ....tools.evidence.verdict import JudgedHypothesis, JudgedPrediction

STRONGEST, SAMPLES = 15, 5  # how many rows fit on a screen


def print_runs(console: Console, rows: Sequence[RunSummary]) -> None:
    """Two rows per study: what it spent; below, its goal, cut to the width of the terminal, and its driver."""
    lines = [("id", "started", "status", "exp.", "steps", "tokens", "cost", "time"), *map(_spending, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def print_line(words: Sequence[str], style: str) -> None:
        # The first three are words, the others numbers.
        set_out = [
            f"{word:{'<' if i < 3 else '>'}{wide}}" for i, (word, wide) in enumerate(zip(words, widths, strict=True))
        ]
        console.print(one_row("  ".join(set_out).rstrip(), console.width, style))

    print_line(lines[0], "dim")
    for row, line in zip(rows, lines[1:], strict=True):
        print_line(line, "bold")
        who = " ".join(part for part in (row.driver, row.llm, row.model and f"on {row.model}") if part)
        who = f"  {printable(who)[: console.width // 2]}"
        goal = (f"({row.parent} from step {row.forked_at} on) " if row.parent else "") + row.goal
        console.print(one_row(f"    {goal}", console.width - len(who)).append_text(plain(who, "dim")))
    stopped = [row.id for row in rows if row.status == "stopped"]
    if stopped:
        console.print(indented(how_to_resume(stopped[-1]), "dim"))


def _spending(row: RunSummary) -> tuple[str, ...]:
    """A run's line. What is not recorded shows as -, and an unknown cost as ?."""
    spent = row.spent
    llm, minutes = row.llm is not None and "tokens_in" in spent, spent.get("minutes")
    return (
        row.id, minute(row.started), row.status, str(row.experiment_count), str(spent.get("steps", "-")),
        tokens_text(spent["tokens_in"] + spent["tokens_out"]) if llm else "-",
        cost_text(spent) if llm else "-",
        "-" if minutes is None else f"{int(minutes * 60) // 60}:{int(minutes * 60) % 60:02d}",
    )  # fmt: skip


def how_to_resume(run: str) -> str:
    return f"{run} was stopped before its end. Resume it: agent resume {run}"


def print_experiments(console: Console, rows: Sequence[ExperimentSummary]) -> None:
    """Two rows per experiment: what it was, and what it found, cut to the width of the terminal."""

    def outcome(row: ExperimentSummary) -> str:
        if row.status == "done":
            return row.found or ""
        return row.status + (f": {row.error}" if row.error else "")

    for row in rows:
        count = "" if row.n is None else f" · n {row.n}"
        about = f"{row.id:<4} {row.kind}  {on(row.model, row.task, row.split)}{count}"
        console.print(one_row(f"{about} · {row.run}" if row.run else about, console.width, "bold"))
        console.print(one_row("     " + " ".join(outcome(row).split()), console.width))


def print_strongest(console: Console, rows: Sequence[StrongEffect]) -> None:
    """The sites of one metric. What all of them share is printed once, below."""
    console.print(plain(f"Largest effects on {rows[0].metric}, latest measurement of each site", "bold"))
    abouts = [{"kind": row.kind, "method": row.method, "model": row.model, "task": row.task, "split": row.split}
              for row in rows]  # fmt: skip
    differ = [name for name in abouts[0] if len({about[name] for about in abouts}) > 1]
    lines = [
        (row.site, number(row.value), interval(row), row.n, "" if row.q is None else p_text(row.q),
         row.id, *(about[name] or "" for name in differ))
        for row, about in zip(rows, abouts, strict=True)
    ]  # fmt: skip
    console.print(table(("~site", ">change", "95% interval", ">n", ">q", "from", *(f"~{n}" for n in differ)), lines))
    same = [value for name, value in abouts[0].items() if name not in differ]
    console.print(indented(" · ".join(name for name in same if name), "dim"))


def print_notes(console: Console, rows: Sequence[Note]) -> None:
    for row in rows:
        print_note(console, row)
        console.print()


def print_experiment(console: Console, experiment: Experiment, everything: bool = False) -> None:
    seconds = "" if experiment.seconds is None else f"{experiment.seconds:.1f} s"
    print_title(console, f"{experiment.id} {experiment.kind}", experiment.status, seconds)
    subject = experiment.subject
    print_facts(
        console,
        ("run", experiment.run),
        ("model", f"{experiment.model} ({subject.architecture}, {subject.fingerprint[:12]})"),
        ("task", on(experiment.task, experiment.split)),
        ("n", experiment.n),
        ("reason", experiment.reason),
        ("error", experiment.error and f"{experiment.error_type}: {experiment.error}"),
        ("circuits", ", ".join(one.id for one in experiment.circuits)),
        ("cited by", ", ".join(experiment.cited_by)),
    )
    print_heading(console, "Configuration")
    print_facts(console, *without_edges(experiment.config).items())
    if experiment.found or experiment.notes:
        print_heading(console, "Found")
        for line in (experiment.found or "", *experiment.notes):
            console.print(indented(line))
    if experiment.measurements:
        print_heading(console, "Measurements")
        rows = [(row.name, number(row.value), interval(row), row.n, row.unit) for row in experiment.measurements]
        console.print(table(("~name", ">value", "95% interval", ">n", "~unit"), rows))
    if experiment.effects:
        _print_effects(console, experiment.effects, None if everything else STRONGEST)
    for figure in experiment.figures:
        if figure.kind == "head_heatmap":
            print_heading(console, figure.title)
            _print_heat_map(console, figure.data, figure.unit)
        elif figure.kind == "matrix":
            print_heading(console, figure.title)
            _print_matrix(console, figure.data, figure.unit)
        elif figure.kind == "scatter":
            print_heading(console, figure.title)
            print_points(console, figure.data)
    if experiment.samples:
        _print_samples(console, experiment.samples, None if everything else SAMPLES)
    if experiment.artifacts:
        print_heading(console, "Artifacts")
        print_facts(console, *[(row.name, f"{row.media_type}, {row.size} bytes") for row in experiment.artifacts])


def _print_effects(console: Console, effects: Sequence[Effect], most: int | None) -> None:
    print_heading(console, f"Effects, largest first{_share(effects, most)}")
    strongest = sorted(effects, key=lambda row: -abs(row.value))[:most]
    rows = [
        (row.site, row.metric, number(row.value), interval(row), row.n, "" if row.q is None else p_text(row.q, 4))
        for row in strongest
    ]
    columns = ("~site", "~metric", ">change", "95% interval", ">n", ">q")
    if any(row.percentile is not None for row in strongest):
        columns = (*columns, ">above %")
        rows = [(*row, number(e.percentile)) for row, e in zip(rows, strongest, strict=True)]
    console.print(table(columns, rows))


def _print_samples(console: Console, samples: Sequence[Sample], most: int | None) -> None:
    print_heading(console, f"Samples{_share(samples, most)}")
    marks = {True: " (right)", False: " (wrong)", None: ""}
    for place, row in enumerate(samples[:most]):
        if place:
            console.print()
        changed = None if row.changed is None else f"{quoted(row.changed)}{marks[row.changed_correct]}"
        right = row.correct if row.changed is None else row.changed_correct
        print_facts(
            console,
            ("prompt", quoted(row.prompt)),
            ("expected", quoted(row.expected)),
            ("said", f"{quoted(row.said)}{marks[row.correct]}"),
            (row.condition or "changed", changed),
            ("failure", None if right else row.failure),
        )


def _share(rows: Sequence[object], most: int | None) -> str:
    """How many rows are shown, and how to see the rest."""
    return "" if most is None or len(rows) <= most else f" ({most} of {len(rows)}; --all shows all)"


def _print_heat_map(console: Console, data: Json, unit: str) -> None:
    """Layers down, heads across."""
    values: list[list[float | None]] = data["values"]
    heads = max((len(row) for row in values), default=0)
    console.print(indented(f"Layers down, heads across. {_key(data, unit)}"))
    _print_cells(console, data, [f"L{i}" for i in range(len(values))], [str(head) for head in range(heads)])


def _print_matrix(console: Console, data: Json, unit: str) -> None:
    rows, columns = ([_word(label) for label in data[side]] for side in ("rows", "columns"))
    down, across = (_word(data.get(f"{side}_label") or f"{side}s") for side in ("row", "column"))
    console.print(indented(f"Down: {down}. Across: {across}. {_key(data, unit)}"))
    _print_cells(console, data, rows, columns)


def _word(text: object) -> str:
    return printable(" ".join(str(text).split()))


def _largest(data: Json) -> float:
    return max((abs(value) for row in data["values"] for value in row if value is not None), default=0.0) or 1.0


def _key(data: Json, unit: str) -> str:
    if data.get("texts"):
        return f"The darkest is {number(_largest(data))} {unit}."
    return f"9 means {number(_largest(data))} {unit}; * is significant."


def _print_cells(console: Console, data: Json, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Print in blocks as wide as the terminal. Colour repeats the text: blue is less, red is more."""
    values: list[list[float | None]] = data["values"]
    significant, texts = data.get("significant"), data.get("texts")
    largest = _largest(data)
    aside = max(4, *(min(len(row), 14) for row in rows))
    wide = min(9, max(2, *(len(_word(text or "")) for row in (texts or [columns]) for text in row)))
    across = max(1, (console.width - aside - 2) // (wide + 1))
    for first in range(0, len(columns), across):
        block = range(first, min(first + across, len(columns)))
        head = "".join(f"{cut(columns[column], wide):>{wide}} " for column in block)
        console.print(Text(" " * (aside + 1) + head, "bold"))
        for place, row in enumerate(values):
            line = Text(f"{cut(rows[place], aside):>{aside}} ", "bold")
            for column in block:
                value = row[column] if column < len(row) else None
                text = cut(_word(texts[place][column] or ""), wide) if texts else ""
                if value is None:
                    line.append(f"{text:>{wide}} ")
                    continue
                ninths = round(9 * value / largest)
                mark = "*" if significant and significant[place][column] else " "
                pale = 255 - round(200 * min(1.0, abs(value) / largest))
                back = f"#ff{pale:02x}{pale:02x}" if value > 0 else f"#{pale:02x}{pale:02x}ff"
                shown = text if texts else ninths or "·"
                line.append(f"{shown:>{wide}}{mark}", Style(color="black", bgcolor=back))
            console.print(line)


def print_note(console: Console, note: Note) -> None:
    tags = f"  [{', '.join(note.tags)}]" if note.tags else ""
    console.print(plain(f"{note.id} {note.title}", "bold").append_text(plain(tags, "cyan")))
    console.print(indented(note.text))
    where = [note.run, "cites " + ", ".join(note.experiments) if note.experiments else None]
    console.print(indented(" · ".join(part for part in (*where, minute(note.created)) if part), "dim"))


def print_hypothesis(console: Console, hypothesis: JudgedHypothesis) -> None:
    console.print(plain(f"{hypothesis.id} {hypothesis.verdict}", "bold"))
    print_facts(
        console,
        ("statement", hypothesis.statement),
        ("rationale", hypothesis.rationale),
        ("refuted if", hypothesis.refuted_if),
        ("revises", hypothesis.revises),
        ("run", hypothesis.run),
    )
    if hypothesis.predictions:
        print_predictions(console, hypothesis.predictions)
    rows = [
        (minute(event.created), event.status, event.comment, ", ".join(event.experiments))
        for event in hypothesis.events
    ]
    console.print(table(("when", "status", "~comment", "~evidence"), rows))


def print_predictions(console: Console, predictions: Sequence[JudgedPrediction]) -> None:
    """The predictions and the results; p is corrected over all predictions of the study."""
    rows: list[tuple[object, ...]] = []
    for row in predictions:
        judged = row.judged
        found = ("", "", "") if judged is None else (number(judged.value), interval(judged), p_text(row.corrected))
        test = "" if judged is None else judged.experiment
        of = row.config.get("task", ""), row.config.get("method", "")
        rows.append((row.said, *of, *found, row.verdict or "not tested", test))
    columns = ("~predicted", "~task", "~method", ">found", "95% interval", ">p", "verdict", "test")
    console.print(table(columns, rows))
