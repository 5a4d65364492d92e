"""One experiment on several tasks: a table with a row for each number and a column for each task, and the differences.

Each task has an experiment of its own in the tracker. The prompts of two tasks are independent if they share no
question, and then the interval of a difference combines the two half-widths in quadrature (`statistics.differences`).
If they share one, or the questions were not kept, the half-widths are added, which is never too narrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Effect, Experiment, Measurement
from ...experiments.errors import ExperimentError
from ...experiments.prediction import p_of_bound
from ..errors import ToolError
from ..evidence.ledger import false_discovery
from ..evidence.pairing import independent
from ..evidence.quantity import asked_questions
from ..refusals import REFUSALS
from ..report.numbers import number, p_number
from .context import Context
from .experiment_text import CONFIGURATION, RANK, cut, profiles
from .run_experiment import Outcome, code_of, run_experiment

if TYPE_CHECKING:
    from ...experiments.experiment import Experiment as BaseExperiment
    from ...experiments.statistics.differences import Estimate

LIMIT = 6000
# A table has all rows if they are so few, otherwise the strongest; and so many of the clear differences are listed.
ROWS, STRONGEST, CLEAR = 40, 16, 12
SHOWN = 0.05
# Ranks among random parts, whose interval is no interval over prompts.
_OF_CONTROLS = (RANK, "percentile", "control_p")


class Fault(NamedTuple):
    """Why a task has no result: the text, the code, and the id of the failed experiment if one was logged."""

    text: str
    code: str
    id: str = ""


class OfEach(NamedTuple):
    """What became of each task."""

    outcomes: dict[str, Outcome]
    failed: dict[str, Fault]


class Difference(NamedTuple):
    """`name` in the experiment `one` minus the same in `other`, two tasks apart; q is p, corrected over all of them."""

    name: str
    one: str
    other: str
    tasks: tuple[str, str]
    value: float
    low: float
    high: float
    p: float
    q: float
    independent: bool


def tasks_in(text: str) -> list[str]:
    """The tasks that a call names, each once: "ioi, capitals" are two."""
    return list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))


def run_each(
    context: Context, tasks: Sequence[str], make: Callable[[str], BaseExperiment], reason: str | None,
    fresh: bool = False,
) -> OfEach:  # fmt: skip
    """Run the experiment that `make` gives for each task. A task that fails does not stop the others. Raises
    TrackerError."""
    outcomes, failed = dict[str, Outcome](), dict[str, Fault]()
    for task in tasks:
        try:
            outcome = run_experiment(context, make(task), reason, fresh)
        except (ToolError, ExperimentError) as fault:
            failed[task] = Fault(str(fault), fault.code)
            continue
        if outcome.error is None:
            outcomes[task] = outcome
        else:
            code = code_of(context.reader.experiment(outcome.number).error_type)
            failed[task] = Fault(
                REFUSALS["experiment_failed"].format(id=outcome.id, error=outcome.error), code, outcome.id
            )
    return OfEach(outcomes, failed)


def numbers_of(row: Experiment) -> dict[str, Measurement | Effect]:
    """Every number of the experiment by the name that a condition uses, effects on the metric asked for only."""
    asked = [one for one in row.effects if one.metric == row.effects[0].metric]
    return {**{one.name: one for one in row.measurements}, **{f"effect[{one.site}]": one for one in asked}}


def differences(rows: Sequence[Experiment], reader: Reader) -> list[Difference]:
    """Every number that two of these experiments have with an interval, compared between each two of them."""
    from ...experiments.statistics.differences import difference

    found: list[Difference] = []
    for one, other in combinations(rows, 2):
        apart_in_questions = independent(one, other, artifacts(reader, one), artifacts(reader, other))
        least = min((q for q in (asked_questions(one), asked_questions(other)) if q is not None), default=None)
        its_numbers = estimates(other)
        for name, number_of_one in estimates(one).items():
            if name not in its_numbers:
                continue
            apart = difference(number_of_one, its_numbers[name], apart_in_questions)
            if apart.low == apart.high:
                continue
            p = p_of_bound(apart.value, apart.low, apart.high, 0.0, least)
            tasks = (str(one.task), str(other.task))
            found.append(Difference(name, one.id, other.id, tasks, *apart, p=p, q=1.0, independent=apart_in_questions))
    corrected = false_discovery([each.p for each in found])
    return [each._replace(q=q) for each, q in zip(found, corrected, strict=True)]


def artifacts(reader: Reader, row: Experiment) -> Callable[[str], bytes]:
    return lambda name: reader.artifact(parse_id(row.id)[1], name)


def estimates(row: Experiment) -> dict[str, Estimate]:
    """Its numbers that have an interval over prompts."""
    from ...experiments.statistics.differences import Estimate

    return {
        name: Estimate(one.value, one.low, one.high)
        for name, one in numbers_of(row).items()
        if one.low is not None and one.high is not None and name not in _OF_CONTROLS
    }


def across_text(
    rows: Sequence[Experiment],
    apart: Sequence[Difference],
    failed: Mapping[str, Fault] | None = None,
    reused: Iterable[str] = (),
) -> str:
    """The text of these experiments, which differ only in their task; `failed`: why a task has none."""
    lines = list[str]()
    if rows:
        config = {k: v for k, v in rows[0].config.items() if v is not None and k not in ("task", "n")}
        ids = ", ".join(f"{row.id} {row.task} (n = {row.n})" for row in rows)
        lines.append(f"{rows[0].kind} {cut(json.dumps(config, ensure_ascii=False), CONFIGURATION, '…')}: {ids}")
    lines += [f"Not done on {task}: {fault.text}" for task, fault in (failed or {}).items()]
    if again := ", ".join(reused):
        lines.append(f"Found in the tracker, so no new evidence: {again}.")
    notes: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            notes.setdefault(note, []).append(str(row.task))
    lines += [f"Note ({', '.join(tasks)}): {note}" for note, tasks in notes.items()]
    lines += table(rows)
    lines += clear(apart, len(rows))
    if rows:
        lines.append(f'Each alone, with controls: show_experiment {{"experiment": "{rows[0].id}"}}')
    return cut("\n".join(lines), LIMIT, "(cut; show_experiment gives each whole)")


def table(rows: Sequence[Experiment]) -> list[str]:
    """A row for each number, a column for each task; * is a q below 0.05 within its experiment."""
    columns = [numbers_of(row) for row in rows]
    names = list(dict.fromkeys(name for column in columns for name in column))
    effects = [name for name in names if any(isinstance(column.get(name), Effect) for column in columns)]
    measured = [name for name in names if name not in effects]
    if not names:
        return []
    lines = [" | ".join(["number", *(str(row.task) for row in rows)])]
    lines += [_row(name, name, columns) for name in measured]
    if not effects:
        return lines
    none = [name for name in effects if not any(_differs(column.get(name)) for column in columns)]
    there = [name for name in effects if name not in none]
    more = len(there) > ROWS
    if more:
        there = sorted(there, key=lambda name: -max(abs(c[name].value) for c in columns if name in c))[:STRONGEST]
    metric = next(row.effects[0].metric for row in rows if row.effects)
    strongest = f", strongest {len(there)} of {len(effects)}" if more else ""
    lines.append(f"Effects on {metric}{strongest} (* q < 0.05):")
    lines += [_row(name.removeprefix("effect[")[:-1], name, columns) for name in there]
    if none:
        listed = ", ".join(name.removeprefix("effect[")[:-1] for name in none[:STRONGEST])
        lines.append(f"0 on every task at {len(none)} of {len(effects)}: {listed}")
    if more:
        for row in rows:
            asked = [one for one in row.effects if one.metric == row.effects[0].metric]
            lines += [f"{row.task}: {line}" for line in profiles(asked)]
    return lines


def _row(shown: str, name: str, columns: Sequence[Mapping[str, Measurement | Effect]]) -> str:
    return " | ".join([shown, *(_cell(column.get(name)) for column in columns)])


def _cell(one: Measurement | Effect | None) -> str:
    if one is None:
        return "-"
    interval = f" [{number(one.low)}, {number(one.high)}]" if one.low is not None and one.high is not None else ""
    star = "*" if isinstance(one, Effect) and one.q is not None and one.q < SHOWN else ""
    return f"{number(one.value)}{interval}{star}"


def _differs(one: Measurement | Effect | None) -> bool:
    return one is not None and bool(one.value or one.low or one.high)


def clear(apart: Sequence[Difference], tasks: int) -> list[str]:
    """The differences with q < 0.05 over all of them, the largest first."""
    if tasks < 2 or not apart:
        return []
    shown = sorted((one for one in apart if one.q < SHOWN), key=lambda one: -abs(one.value))
    shared = "" if all(one.independent for one in apart) else " (tasks that may share questions: wider intervals)"
    if not shown:
        return [f"None of the {len(apart)} differences between two tasks has q < 0.05{shared}."]
    rest = f"; the largest {CLEAR}" if len(shown) > CLEAR else ""
    lines = [f"Differences between two tasks with q < 0.05: {len(shown)} of {len(apart)}{shared}{rest}:"]
    return lines + [
        f"  {one.name} {one.tasks[0]} - {one.tasks[1]}: {number(one.value)} [{number(one.low)}, {number(one.high)}], "
        f"q {p_number(one.q)}"
        for one in shown[:CLEAR]
    ]


def as_data(apart: Sequence[Difference]) -> list[dict[str, Any]]:
    return [one._asdict() for one in apart]
