"""`agent verify`: check a report and the records behind it against the tracker's seals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .one_line_errors import one_line
from .options import db_option

if TYPE_CHECKING:
    from ...db.read.reader import Reader


@click.command()
@click.argument("what", metavar="RUN|EXPERIMENT|FILE")
@db_option
@click.option("--report", "file", metavar="FILE", help="Report file; default: those in reports/R1, if any.")
@click.option("--rerun", is_flag=True, help="Also rerun the experiments behind the report.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences and remarks as JSON.")
def verify(what: str, db: str | None, file: str | None, rerun: bool, as_json: bool) -> None:
    """Check that a study (R3), an experiment (E12) or a report (reports/R3/report.html) is as it was recorded.

    Checks every record in the tracker against its seal, and the chain of seals; renders the report again and compares
    it with the file. Exits 0 if all is as recorded; 1 if not, with each difference in one line. Writes nothing.
    """
    from ...db.location import tracker_path
    from ...db.read.reader import Reader

    with one_line():
        with Reader.open(tracker_path(db)) as reader:
            of, number, files = _target(what, file)
            differences, remarks, again = _compare(reader, of, number, files)
        if rerun and again:
            differed, same = _rerun(db, again)
            differences, remarks = differences + differed, remarks + same
    _say(what, differences, remarks, as_json)
    raise click.exceptions.Exit(1 if differences else 0)


def _target(what: str, file: str | None) -> tuple[str, int, list[Path]]:
    """Whether it is a run or an experiment, its number, and the files to compare."""
    from ...db.ids import parse_id
    from ...tools.workbench.verify import read_stands

    if Path(what).suffix in (".html", ".md"):
        if file is not None:
            raise click.UsageError(f"{what} is a report itself. Use --report with a run.")
        return *parse_id(read_stands(Path(what)).run), [Path(what)]
    of, number = parse_id(what)
    if of not in ("run", "experiment"):
        raise click.UsageError(f"{what} is a {of}. Give a run (R1), an experiment (E12) or a report file.")
    if file is not None:
        if of == "experiment":
            raise click.UsageError(f"{what} is an experiment and has no report. Name its run.")
        return of, number, [Path(file)]
    folder = Path("reports") / f"R{number}"
    there = [folder / name for name in ("report.html", "report.md") if (folder / name).exists()]
    return of, number, there if of == "run" else []


def _compare(reader: Reader, of: str, number: int, files: list[Path]) -> tuple[list[str], list[str], list[int]]:
    """Differences, remarks, and the experiments to rerun."""
    from ...tools.workbench.verify import cited, runs_of, verify_report, verify_tracker

    if of == "experiment":
        run = reader.experiment(number).run
        tracker = verify_tracker(reader.path, [None if run is None else int(run[1:])])
        return [*tracker.differences], [*tracker.remarks], [number]
    if all(row.id != f"R{number}" for row in reader.runs()):
        tracker = verify_tracker(reader.path, [number])
        if f"R{number}" not in tracker.gone:
            reader.require("run", number)
        return [*tracker.differences], [*tracker.remarks], []
    tracker = verify_tracker(reader.path, runs_of(reader, number))
    report = verify_report(reader, number, files)
    if not files:
        report = report.model_copy(update={"remarks": (*report.remarks, "no report file was compared")})
    return [*tracker.differences, *report.differences], [*tracker.remarks, *report.remarks], cited(reader, number)


def _rerun(db: str | None, numbers: list[int]) -> tuple[list[str], list[str]]:
    from ...tools.replay.experiment import replay
    from ...tools.workbench.context import Context
    from ..live import quiet_progress

    differences: list[str] = []
    remarks: list[str] = []
    with Context.open(db) as context, quiet_progress() as progress:
        context.progress = progress
        for number in numbers:
            found = replay(context, number)
            differences += [f"{found['id']} rerun: {line}" for line in found["differences"]]
            remarks += [f"{found['id']}: {line}" for line in found["warnings"]]
            if found["same"]:
                remarks.append(f"{found['id']} rerun: {found['compared']} values are the same")
    return differences, remarks


def _say(what: str, differences: list[str], remarks: list[str], as_json: bool) -> None:
    from ...tools.report.plain_text import printable

    if as_json:
        data = {"what": what, "holds": not differences, "differences": differences, "remarks": remarks}
        click.echo(json.dumps(data, indent=2))
        return
    for line in differences:
        click.echo(printable(" ".join(line.split("\n"))))
    for line in remarks:
        click.echo(printable(line), err=bool(differences))
    count = f"{len(differences)} difference{'s' * (len(differences) != 1)}"
    click.echo(f"{what}: {f'does not hold, {count}' if differences else 'holds'}.")
