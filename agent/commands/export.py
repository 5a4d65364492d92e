"""`agent export`: the tracker's tables as CSV, JSON lines or Parquet, or one circuit, for other programs."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from ...db.export import TABLES
from .options import db_option

FORMATS = ("csv", "jsonl", "parquet")
CIRCUIT_FORMATS = ("json", "dot", "networkx")
AT_ONCE = 10_000


class Exported(click.Choice[str]):
    """A table, or the id of a circuit."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        is_circuit = value[:1] in ("C", "c") and value[1:].isdigit()
        return value if is_circuit else super().convert(value, param, ctx)


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE...|CIRCUIT]", type=Exported(list(TABLES)))
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, *CIRCUIT_FORMATS]),
    help="File format: csv, jsonl or parquet for tables; json, dot or networkx for a circuit.  [default: csv or json]",
)
@click.option(
    "--to",
    "folder",
    metavar="PLACE",
    help="Folder for one file per table, or a circuit's file; default: standard output.",
)
@click.option("--run", metavar="ID", help="Filter by run, such as R1.")
@db_option
def export(tables: tuple[str, ...], form: str | None, folder: str | None, run: str | None, db: str | None) -> None:
    """Export TABLEs of the tracker (runs, experiments, measurements, effects, samples, circuits, circuit_edges, notes,
    hypotheses), or one CIRCUIT (C1).

    One table goes to standard output; `agent export --format parquet --to data` writes all of them as files.
    A circuit is JSON, a graph for GraphViz (dot), or node-link JSON, which networkx.node_link_graph reads.
    """
    if circuits := [name for name in tables if name not in TABLES]:
        if len(tables) > 1 or run is not None:
            raise click.UsageError("Give one circuit alone, such as: agent export C1 --format dot")
        export_circuit(circuits[0], form or CIRCUIT_FORMATS[0], folder, db)
        return
    form = form or FORMATS[0]
    if form not in FORMATS:
        raise click.UsageError(f"--format {form} is for a circuit, such as C1. Tables need {', '.join(FORMATS)}.")
    from ...db.export import rows
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from .browse import number_of
    from .one_line_errors import one_line, require_parent, writing

    if folder is None and (len(tables) != 1 or form == "parquet"):
        raise click.UsageError("Name one table to print it as csv or jsonl, or give a folder with --to.")
    with one_line(), Reader.open(tracker_path(db)) as reader:
        number = number_of(reader, run)
        if folder is None:
            write(sys.stdout, form, *rows(reader, tables[0], number))
            sys.stdout.flush()
            return
        if form == "parquet":
            require_parquet()
        target = Path(folder).expanduser()
        require_parent(target)
        for table in tables or TABLES:
            path, found = target / f"{table}.{form}", rows(reader, table, number)
            with writing(path):
                target.mkdir(exist_ok=True)
                if form == "parquet":
                    count = write_parquet(path, *found)
                else:
                    with path.open("w", encoding="utf-8", newline="") as file:
                        count = write(file, form, *found)
            click.echo(f"{path}: {count} rows", err=True)


def export_circuit(id: str, form: str, to: str | None, db: str | None) -> None:
    """Print a circuit, or write it to the file `to`."""
    from ...db.ids import parse_id
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...tools.workbench.circuit_export import exported
    from .one_line_errors import one_line, require_parent, writing

    if form not in CIRCUIT_FORMATS:
        raise click.UsageError(f"--format {form} is for tables. A circuit needs {', '.join(CIRCUIT_FORMATS)}.")
    with one_line(), Reader.open(tracker_path(db)) as reader:
        text = exported(reader, parse_id(id)[1], form)
        if to is None:
            click.echo(text)
            return
        path = Path(to).expanduser()
        require_parent(path)
        with writing(path):
            path.write_text(text + "\n", encoding="utf-8")
        click.echo(str(path), err=True)


def write(file: IO[str], form: str, columns: Sequence[str], found: Iterable[tuple[Any, ...]]) -> int:
    """Write CSV with a header (RFC 4180), or one JSON object per line. Returns the number of rows."""
    table, count = csv.writer(file, lineterminator="\n"), 0
    if form == "csv":
        table.writerow(columns)
    for row in found:
        count += 1
        if form == "csv":
            table.writerow(row)
        else:
            file.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")
    return count


def require_parquet() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise click.UsageError("Parquet needs pyarrow. Run pip install pyarrow, or use --format csv or jsonl.")


def write_parquet(path: Path, columns: Sequence[str], found: Iterable[tuple[Any, ...]]) -> int:
    """Write Parquet; a column's type is that of all its values. Returns the number of rows."""
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")

    parts: list[Any] = []
    found = iter(found)
    while part := list(islice(found, AT_ONCE)):
        parts.append(pa.table(dict(zip(columns, map(list, zip(*part, strict=True)), strict=True))))
    whole = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({name: [] for name in columns})
    pq.write_table(whole, path)
    return whole.num_rows
