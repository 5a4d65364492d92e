"""The commands that read what was found: `runs`, `experiments`, `show ID` and `notes`.

Defining them imports only click, and running them only SQLite and rich, so browsing starts at once.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec

import click

from ...db.records import EXPERIMENT_STATUSES
from .one_line_errors import one_line
from .options import db_option

if TYPE_CHECKING:
    from ...db.read.experiments import Sort
    from ...db.read.reader import Reader
    from ...tools.evidence.verdict import JudgedHypothesis

P = ParamSpec("P")

SORTS = ("id", "kind", "model", "task", "n", "seconds")

NONE_YET = 'Nothing is recorded yet. Start with: agent run --goal "..."'


class Read(NamedTuple):
    """What a command read, and the function (a module of this folder and a name) that prints it."""

    data: Any
    page: tuple[str, str]
    everything: bool = False
    nothing: str = "Nothing matches."
    there: int | None = None
    """How many rows match, if not all were read."""


def browses(command: Callable[Concatenate[Reader, P], Read]) -> Callable[..., None]:
    """Give a command --db and --json; print what it reads, and each error as one line."""

    @functools.wraps(command)
    def browse(db: str | None, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
        from ...db.location import tracker_path
        from ...db.read.reader import Reader

        with one_line():
            with Reader.open(tracker_path(db)) as reader:
                read = command(reader, *args, **kwargs)
            show_read(read, as_json)

    json_option = click.option("--json", "as_json", is_flag=True, help="The data as JSON.")
    return db_option(json_option(browse))


def show_read(read: Read, as_json: bool) -> None:
    """Print to standard output, as JSON or as a page; say on standard error how much is left out."""
    if read.there is not None and read.there > len(read.data):
        click.echo(f"Showing {len(read.data):,} of {read.there:,}; --limit {read.there} shows all.", err=True)
    if as_json:
        import json

        # ASCII only: no terminal or pipe can fail on it, and no escape sequence can act in it.
        from ...db import records

        click.echo(json.dumps(records.as_json(read.data), indent=2))
    elif not read.data:
        click.echo(read.nothing, err=True)
    else:
        from .pages.style import paged

        module, page = read.page
        options = {"everything": True} if read.everything else {}
        with paged() as console:
            getattr(importlib.import_module(f".{module}", __package__), page)(console, read.data, **options)


@click.command()
@browses
def runs(reader: Reader) -> Read:
    """List the studies."""
    found = reader.runs()
    return Read(found, ("pages.lists", "print_runs"), nothing=none_yet(reader, "study"))


@click.command()
@click.option("--kind", help="Filter by kind, such as head_ablation.")
@click.option("--task", help="Filter by task.")
@click.option("--model", help="Filter by subject model.")
@click.option("--run", metavar="ID", help="Filter by run.")
@click.option("--status", type=click.Choice(EXPERIMENT_STATUSES), help="Filter by status.")
@click.option("--sort", type=click.Choice(SORTS), default="id", show_default=True, help="Column to sort by, ascending.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most this many, from the end."
)
@browses
def experiments(
    reader: Reader,
    kind: str | None,
    task: str | None,
    model: str | None,
    run: str | None,
    status: str | None,
    sort: Sort,
    limit: int,
) -> Read:
    """List the experiments, latest last."""
    for what, value in (("kind", kind), ("task", task), ("model", model)):
        reader.require_known(what, value)
    wanted = (kind, task, model, number_of(reader, run), status)
    found = reader.experiments(*wanted, limit, sort)
    there = reader.experiment_count(*wanted) if len(found) == limit else None
    nothing = "Nothing matches." if found or reader.known("kind") else NONE_YET
    return Read(found, ("pages.lists", "print_experiments"), nothing=nothing, there=there)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--run", metavar="ID", help="Filter by run.")
@click.option("--tag", help="Filter by tag.")
@click.option("--experiment", metavar="ID", help="Filter by the experiment that a note cites.")
@click.option("--hypothesis", metavar="ID", help="Filter by hypothesis: notes that cite its experiments.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Show at most this many: the best matches, or the latest.",
)
@browses
def notes(
    reader: Reader,
    words: tuple[str, ...],
    run: str | None,
    tag: str | None,
    experiment: str | None,
    hypothesis: str | None,
    limit: int,
) -> Read:
    """List the notes, latest last; with WORDS, the notes that contain them, best match first."""
    reader.require_known("tag", tag)
    cited = number_of(reader, experiment, "experiment"), number_of(reader, hypothesis, "hypothesis")
    found = reader.notes(" ".join(words) or None, number_of(reader, run), tag, *cited)
    shown = found[:limit] if words else found[-limit:]
    nothing = "Nothing matches." if found or reader.notes() else none_yet(reader, "note")
    return Read(shown, ("pages.lists", "print_notes"), nothing=nothing, there=len(found))


@click.command()
@click.argument("id", metavar="ID")
@click.option(
    "--all", "everything", is_flag=True, help="Show all effects and samples, a run's whole conversation, or all edges."
)
@browses
def show(reader: Reader, id: str, everything: bool) -> Read:
    """Show a run (R1), experiment (E12), note (N3), hypothesis (H2) or circuit (C1)."""
    from ...db.ids import parse_id

    what, number = parse_id(id)
    if what == "run":
        return Read(reader.run(number, turns=True), ("pages.run", "print_run"), everything)
    if what == "hypothesis":
        return Read(_judged(reader, number), ("pages.lists", "print_hypothesis"))
    if what == "circuit":
        return Read(reader.circuit(number), ("pages.circuits", "print_circuit"), everything)
    if what == "experiment":
        return Read(reader.experiment(number), ("pages.lists", "print_experiment"), everything)
    return Read(reader.note(number), ("pages.lists", "print_note"))


def _judged(reader: Reader, number: int) -> JudgedHypothesis:
    """A hypothesis with its verdict and that of each prediction."""
    from ...db.ids import parse_id
    from ...tools.evidence.verdict import verdicts, with_verdicts

    row = reader.hypothesis(number)
    found = verdicts(reader.hypotheses_of(None if row.run is None else parse_id(row.run)[1]))
    return with_verdicts(row, found)


def none_yet(reader: Reader, what: str) -> str:
    """What to say when there are no studies or no notes; there may still be experiments run by hand."""
    count = reader.experiment_count()
    experiments = f"{count} experiment{'s' * (count != 1)}"
    return f"No {what} yet; {experiments}: agent experiments" if count else NONE_YET


def number_of(reader: Reader, id: str | None, what: str = "run") -> int | None:
    """The number in the id of a run or other record. Raises if the record does not exist."""
    from ...db.errors import TrackerError
    from ...db.ids import parse_id, show_id

    if id is None:
        return None
    there, number = parse_id(id)
    if there != what:
        example = f"{'an' if what == 'experiment' else 'a'} {what}, such as {show_id(what, 1)}"
        raise TrackerError(f"--{what} needs the id of {example}, not {id}.")
    reader.require(what, number)
    return number
