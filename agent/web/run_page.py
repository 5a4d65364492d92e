"""The page of one run: its story, also while it is being written, its conversation and its report."""

from __future__ import annotations

import re
import shlex
from typing import Any, cast

from markupsafe import Markup

from ...db.errors import TrackerError
from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Run
from ...tools.report.escape import clipped
from ...tools.report.plain_text import since
from ...tools.report.render import render_run
from ...tools.report.shown import Shown
from ...tools.report.slots import Slot, SlotError
from ...tools.report.spent import budget_text, spent_text
from ...tools.report.story import story
from ..study.story import steps_of
from .figures import drawn
from .judged import judged
from .templates import environment

TURNS = 40
LONG = 320  # characters of a step; the rest is on its own page or in the conversation
# What changes while a study goes on, each a template of its own.
PARTS = ("facts", "hypotheses", "steps", "notes")


def run(reader: Reader, number: int) -> tuple[str, Shown]:
    def block(slot: Slot) -> str:
        return _block(reader, slot, told)

    told: Shown = {}
    study = reader.run(number, turns=True)
    told.update(story(reader, number, block))
    told["body"] = _here(told["body"])
    claims = cast("list[Shown]", told["claims"])
    told["claims"] = [{**claim, "html": _here(claim["html"])} for claim in claims]
    return "run.html.j2", {**told, **_rows(reader, study), "commands": _commands(study, str(told["command"]))}


def live(reader: Reader, asked: dict[str, str]) -> Shown:
    """The status of a run, and the parts of its page that may have changed, as HTML."""
    from .templates import fill

    study = reader.run(_number(asked["id"]), turns=True)
    rows = _rows(reader, study)
    return {
        "status": study.status,
        "parts": {name: fill(f"_{name}.html.j2", rows, reader) for name in PARTS},
    }


def conversation(reader: Reader, asked: dict[str, str]) -> tuple[str, Shown]:
    """All that was said, some turns a page."""
    number = _number(asked["id"])
    page = asked.get("page") or "1"
    first = TURNS * (max(1, int(page) if page.isdecimal() and len(page) < 10 else 1) - 1)
    turns = reader.turns(number)
    later = f"/R{number}/conversation?page={first // TURNS + 2}" if len(turns) > first + TURNS else ""
    run = next(row for row in reader.runs() if row.id == f"R{number}")
    return "conversation.html.j2", {"here": "/", "run": run, "turns": turns[first : first + TURNS], "later": later}


def report(reader: Reader, asked: dict[str, str]) -> str:
    """The report as `agent report` writes it. Raises TrackerError where it cannot be rendered."""
    try:
        return render_run(reader, _number(asked["id"])).html
    except SlotError as error:
        raise TrackerError(f"The report of {asked['id']} cannot be rendered: {error}") from error


def _number(id: str) -> int:
    what, number = parse_id(id)
    if what != "run":
        raise TrackerError(f"{id} is the id of a {what}; a run such as R1 is wanted.")
    return number


def _rows(reader: Reader, run: Run) -> Shown:

    steps = [
        {"at": since(run.started, at), "id": id, "decided": clipped(decided, LONG), "found": clipped(found, LONG)}
        for at, id, decided, found in steps_of(run)
    ]
    return {
        "here": "/",
        "run": run,
        "steps": steps,
        "hypotheses": judged(reader, run.hypotheses),
        "notes": run.notes,
        "budget": budget_text(run.budget),
        "spent": spent_text(run),
    }


def _block(reader: Reader, slot: Slot, told: Shown) -> str:
    """What stands in the text where its writer wanted a table or a figure."""
    row = reader.experiment(parse_id(slot.of)[1])
    parts: Any = environment().get_template("_parts.html.j2").module
    if slot.field == "table":
        from .experiment_page import experiment

        return parts.tables(experiment(reader, parse_id(slot.of)[1])[1], 10)
    figure = next(one for one in row.figures if slot.key in (None, one.name))
    return parts.figure(drawn(figure, row.id, row.effects))


def _here(html: object) -> Markup:
    """A filled number links to its experiment: on a report's page below, here on a page of its own."""
    # A drawing's own references to its parts stay.
    return Markup(re.sub(r' href="#([RENH][0-9]+)"', r' href="/\1"', str(html)))


def _commands(run: Run, again: str) -> list[tuple[str, str]]:
    commands = [("The question, asked anew", again)]
    if run.status == "stopped":
        commands.insert(0, ("Go on with it", shlex.join(["agent", "resume", run.id])))
    if run.experiments:
        commands.insert(0, ("Measure all of it again, and compare every number", f"agent replay {run.id}"))
    return [*commands, ("Check the report and all it rests on", f"agent verify {run.id}")]
