"""`agent replay`: repeat a run from its log, or rerun a logged experiment, and compare."""

from __future__ import annotations

import difflib
import json
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from .one_line_errors import one_line
from .options import Amount, db_option

if TYPE_CHECKING:
    from ...db.read.reader import Reader
    from ..study.replay import Rerun

WIDTH, MOST = 76, 40  # columns and lines of a diff


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--fast", is_flag=True, help="For a run: take the results from the tracker; measure nothing.")
@click.option("--experiments", "one_by_one", is_flag=True, help="For a run: only rerun its experiments.")
@click.option("--ignore-prompts", is_flag=True, help="Continue if the instructions or tools have changed.")
@db_option
@click.option(
    "--tolerance",
    type=Amount(0),
    default=1e-4,
    show_default=True,
    help="Allowed difference; relative for values above 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def replay(
    ids: tuple[str, ...], fast: bool, one_by_one: bool, ignore_prompts: bool, db: str | None, tolerance: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Repeat a run (R1) from its log, or rerun an experiment (E12), and compare everything.

    The logged replies drive the run, so it needs no key and no network. The program reruns its experiments and
    compares each message, number and verdict, up to the first that differs. Exits 0 if all are the same, 1 if one
    differs. Writes nothing to the tracker.
    """
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...db.write.store import Store
    from ...tools.replay import experiment
    from ...tools.workbench.context import Context
    from ..live import quiet_progress
    from ..study.replay import rerun

    results: list[dict[str, Any]] = []
    with one_line(), Reader.open(tracker_path(db)) as reader:
        asked = to_replay(reader, ids, one_by_one)
        for run in [number for what, number in asked if what == "run"]:
            with quiet_progress() as progress:
                found = rerun(reader, run, progress, fast, tolerance, ignore_prompts)
            results.append(found.data())
            if not as_json:
                show_run(found)
        # The results are not kept, so a read-only tracker will do.
        with TemporaryDirectory(prefix="lashley-replay-") as folder, Store.open(Path(folder) / "replay.db") as store:
            context = Context(store=store, reader=reader)
            for number in [number for what, number in asked if what == "experiment"]:
                with quiet_progress() as context.progress:
                    one = experiment.replay(context, number, tolerance)
                results.append(one)
                if not as_json:
                    show(one)
    if as_json:
        click.echo(json.dumps(results, indent=2))
    raise click.exceptions.Exit(0 if all(one["same"] for one in results) else 1)


def to_replay(reader: Reader, ids: tuple[str, ...], one_by_one: bool) -> list[tuple[str, int]]:
    """Runs and experiments, each once; with `one_by_one`, the finished experiments of a run instead of the run."""
    from ...db.ids import parse_id

    found: list[tuple[str, int]] = []
    for text in ids:
        what, number = parse_id(text)
        if what not in ("run", "experiment"):
            raise click.UsageError(f"{text} is a {what}, and only runs and experiments can be replayed.")
        reader.require(what, number)
        if what == "run" and one_by_one:
            found += [("experiment", int(row.id[1:])) for row in reader.experiments(run=number, status="done")]
        else:
            found.append((what, number))
    return list(dict.fromkeys(found))


def show(found: dict[str, Any]) -> None:
    """Print how an experiment compares."""
    from ...tools.report.plain_text import printable

    for warning in found["warnings"]:
        click.echo(f"{found['id']}: {warning}", err=True)
    if found["same"]:
        click.echo(
            f"{found['id']}: the same. {found['compared']} values compared, largest difference {found['largest']:.1e}."
        )
        return
    click.echo(f"{found['id']}: differs.")
    for line in found["differences"]:
        click.echo(f"  {printable(str(line))}")


def show_run(found: Rerun) -> None:
    """Print how a run compares: what was compared, or the first difference."""
    from ...tools.report.plain_text import printable

    for warning in found.warnings:
        click.echo(printable(warning), err=True)
    if found.diverged is None:
        until = "" if found.ended else f" {found.id} was stopped, and its log ends here."
        steps = f"{found.steps} step{'s' * (found.steps != 1)}"
        measured = (
            f"{found.experiments} experiments rerun, {found.values} values compared, "
            f"largest difference {found.largest:.1e}."
        )
        outcome = measured if found.experiments else "no experiment was rerun."
        click.echo(textwrap.fill(f"{found.id}: the same. {steps}, {outcome}{until}", 80))
        return
    where = f"{found.id}: differs at step {found.step} ({found.diverged.kind})."
    click.echo("\n".join([where, *(printable(line) for line in found.diverged.what.splitlines()[:MOST])]))
    for line in difference(found.diverged.was, found.diverged.now):
        click.echo(printable(line))


def difference(was: str, now: str) -> list[str]:
    """A short unified diff of two texts, with long lines folded."""
    if was == now:
        return []
    before, after = ([part for line in text.splitlines() for part in fold(line)] for text in (was, now))
    lines = list(difflib.unified_diff(before, after, "in the log", "now", n=1, lineterm=""))
    return lines if len(lines) <= MOST else [*lines[:MOST], f"({len(lines) - MOST} more lines)"]


def fold(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, drop_whitespace=False, replace_whitespace=False) or [""]
