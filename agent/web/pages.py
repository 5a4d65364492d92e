"""The lists of runs, experiments, notes and hypotheses; and which page belongs to an id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlencode

from ...db.errors import NotAnId
from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import EXPERIMENT_STATUSES
from ...tools.report.shown import Shown
from . import circuit_page, experiment_page, run_page
from .judged import judged

Asked = dict[str, str]
Filled = tuple[str, Shown]
Address = Mapping[str, str | int | None]
T = TypeVar("T")

# The lists of the tracker, and Datasette's own pages.
PLACES = (
    ("/", "Runs"),
    ("/experiments", "Experiments"),
    ("/hypotheses", "Hypotheses"),
    ("/notes", "Notes"),
    ("/lashley", "Data and SQL"),
)
PAGE = 50
VERDICTS = ("supported", "refuted", "inconclusive", "open")


def runs(reader: Reader, asked: Asked) -> Filled:
    rows, older = _page(list(reversed(reader.runs())), asked)
    return "runs.html.j2", {"here": "/", "rows": rows, "older": older}


def experiments(reader: Reader, asked: Asked) -> Filled:
    """Experiments, latest first; filtered by kind, task, model and status."""
    names = ("kind", "task", "model")
    chosen = {name: asked.get(name) or None for name in (*names, "status")}
    for name in names:
        reader.require_known(name, chosen[name])
    kind, task, model, status = chosen.values()
    before = _before(asked, "experiment")
    rows = reader.experiments(kind, task, model, status=status, limit=PAGE + 1, before=before)[::-1]
    choices = {name: reader.known(name) for name in names} | {"status": list(EXPERIMENT_STATUSES)}
    older = _address("/experiments", {**chosen, "before": rows[PAGE - 1].id}) if len(rows) > PAGE else ""
    page: Shown = {"rows": rows[:PAGE], "older": older, "choices": choices, "chosen": chosen}
    return "experiments.html.j2", {"here": "/experiments", **page}


def notes(reader: Reader, asked: Asked) -> Filled:
    """Notes that match the words, best match first, or the latest; with the tags of these notes and their counts."""
    words, tag = (asked.get("q") or "").strip(), asked.get("tag") or None
    reader.require_known("tag", tag)
    found = reader.notes(words or None, tag=tag)
    found = found if words else found[::-1]
    tags = Counter(tag for note in found for tag in dict.fromkeys(note.tags))
    facets = [
        {"tag": one, "count": count, "href": _address("/notes", {"q": words, "tag": None if one == tag else one})}
        for one, count in sorted(tags.items(), key=lambda pair: (-pair[1], pair[0]))[:30]
    ]
    rows, older = _page(found, asked, "/notes", {"q": words, "tag": tag})
    page: Shown = {"rows": rows, "older": older, "facets": facets, "q": words, "tag": tag, "count": len(found)}
    return "notes.html.j2", {"here": "/notes", **page}


def hypotheses(reader: Reader, asked: Asked) -> Filled:
    """Hypotheses of all runs, latest first; filtered by verdict."""
    status = asked.get("status") or None
    found = reader.latest_hypotheses(PAGE + 1, status, _before(asked, "hypothesis"))
    older = _address("/hypotheses", {"status": status, "before": found[PAGE - 1].id}) if len(found) > PAGE else ""
    page: Shown = {"rows": judged(reader, found[:PAGE]), "older": older, "status": status, "statuses": VERDICTS}
    return "hypotheses.html.j2", {"here": "/hypotheses", **page}


def anything(reader: Reader, asked: Asked) -> Filled:
    """The page of an id."""
    what, number = parse_id(asked["id"])
    if what == "run":
        return run_page.run(reader, number)
    if what == "experiment":
        return experiment_page.experiment(reader, number)
    if what == "circuit":
        return circuit_page.circuit(reader, number)
    if what == "note":
        return "note.html.j2", {"here": "/notes", "note": reader.note(number)}
    return "hypothesis.html.j2", {"here": "/hypotheses", "h": judged(reader, [reader.hypothesis(number)])[0]}


def address_of_id(reader: Reader, asked: Asked) -> str | None:
    """The address of the record, if somebody searches the notes for an id. Raises NoSuchId."""
    try:
        what, number = parse_id(asked.get("q") or "")
    except NotAnId:
        return None
    reader.require(what, number)
    return "/" + (asked["q"].strip().upper())


def _before(asked: Asked, kind: str) -> int | None:
    """The number of the id where the next page starts. Raises NotAnId."""
    if not asked.get("before"):
        return None
    what, number = parse_id(asked["before"])
    if what != kind:
        raise NotAnId(asked["before"])
    return number


def _page(rows: list[T], asked: Asked, path: str = "/", rest: Address | None = None) -> tuple[list[T], str]:
    """The rows of a numbered page, and the address of the next one or ""."""
    number = asked.get("page") or "1"
    page = int(number) if number.isdecimal() and len(number) < 10 else 1
    first = PAGE * (max(1, page) - 1)
    older = _address(path, {**(rest or {}), "page": page + 1}) if len(rows) > first + PAGE else ""
    return rows[first : first + PAGE], older


def _address(path: str, values: Address) -> str:
    given = {name: value for name, value in values.items() if value}
    return path + ("?" + urlencode(given) if given else "")
