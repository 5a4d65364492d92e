"""How two runs or two experiments look side by side in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ....tools.report.plain_text import cut
from ....tools.workbench.difference import ExperimentDifference, Pair, RunDifference, Said, Setting, Step
from .style import indented, interval, number, plain, print_heading, print_title, table, value_text

MOST = 12  # how many differences of effects fit on a screen


def print_experiment_difference(console: Console, found: ExperimentDifference, everything: bool = False) -> None:
    one, other = found.ids
    print_title(console, f"{one} and {other}")
    print_settings(console, found.ids, found.settings)
    asked = "the same prompts" if found.same_prompts else "different prompts"
    console.print(indented(f"They used {asked}."))
    _numbers(console, "Measurements", found.ids, found.measurements, None)
    effects = [(abs(row.difference), row) for row in found.effects if row.difference is not None]
    ranked = [row for _, row in sorted(effects, key=lambda one: -one[0])]
    _numbers(console, "Effects, largest difference first", found.ids, ranked, None if everything else MOST)
    for id, sentence in zip(found.ids, found.found, strict=True):
        print_heading(console, id)
        console.print(indented(sentence or "no result"))


def _numbers(console: Console, title: str, ids: Sequence[str], rows: Sequence[Pair], most: int | None) -> None:
    if not rows:
        return
    print_heading(console, title)
    columns = ("name", f"~{ids[0]}", f"~{ids[1]}", "~difference")
    lines: list[tuple[object, ...]] = []
    for row in rows[:most]:
        values = (f"{number(one.value)} {interval(one)}" if one else "-" for one in row.values)
        lines.append((row.name, *values, _difference(row)))
    console.print(table(columns, lines))
    if any(row.paired for row in rows[:most]):
        console.print(indented("A difference with an interval is computed prompt by prompt.", "dim"))
    if most is not None and len(rows) > most:
        console.print(indented(f"{len(rows) - most} more: --all shows all.", "dim"))


def _difference(row: Pair) -> str:
    if row.paired:
        return f"{number(row.paired.value)} {interval(row.paired)}"
    if row.difference is None:
        return ""
    marks = {True: "(intervals overlap)", False: "(intervals do not overlap)", None: ""}
    return f"{number(row.difference)} {marks[row.overlap]}".strip()


def print_settings(console: Console, ids: Sequence[str], settings: Sequence[Setting]) -> None:
    print_heading(console, "Settings that differ" if settings else "No setting differs")
    rows = [(one.name, *(_cell(value) for value in one.values)) for one in settings]
    if rows:
        console.print(table(("~", f"~{ids[0]}", f"~{ids[1]}"), rows))


def _cell(value: Any) -> str:
    return "-" if value is None else cut(value_text(value), 200)


def print_run_difference(console: Console, found: RunDifference, everything: bool = False) -> None:
    one, other = found.ids
    print_title(console, f"{one} and {other}")
    if found.forked:
        console.print(indented(found.forked + "."))
    print_settings(console, found.ids, found.settings)
    print_heading(console, "Steps")
    same = found.same_steps
    console.print(indented(f"The first {same} are the same." if same else "They differ from the first step."))
    left, right = found.steps
    beside = [(_step(left, i), _step(right, i)) for i in range(max(len(left), len(right)))]
    if beside:
        console.print(table((f"~{one}", f"~{other}"), beside))
    experiments = found.experiments
    print_heading(console, "Experiments")
    pairs = [a if a == b else f"{a} as {b}" for a, b in experiments.both]
    console.print(indented(f"In both: {', '.join(pairs) or 'none'}."))
    for id, rows in zip(found.ids, experiments.alone, strict=True):
        console.print(indented(f"Only in {id}: {', '.join(row.id for row in rows) or 'none'}."))
        for row in rows if everything else ():
            console.print(indented(f"  {row.id} {row.kind}: {row.found or 'no result'}", "dim"))
    if found.hypotheses:
        print_heading(console, "Predictions")
        rows = [(row.statement, *(_verdict(one) for one in row.verdicts)) for row in found.hypotheses]
        console.print(table(("~", f"~{one}", f"~{other}"), rows))
    if found.claims:
        print_heading(console, "Claims")
        rows = [(row.sentence, *("yes" if there else "-" for there in row.in_)) for row in found.claims]
        console.print(table(("~", one, other), rows))
    console.print(plain(""))


def _step(path: Sequence[Step], place: int) -> str:
    if place >= len(path):
        return ""
    row = path[place]
    calls = ", ".join(f"{name} {value_text(given)}" for name, given in row.does)
    return f"{row.step}  {cut(calls or ' '.join(row.said.split()), 160)}"


def _verdict(one: Said | None) -> str:
    return "-" if one is None else f"{one.id} {one.verdict}"
