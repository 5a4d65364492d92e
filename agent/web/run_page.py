"""The page of one run, finished or running: its steps, its conversation and its report."""

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
LONG = 320  # characters shown of a step; the full text is on its own page or in the conversation
# The parts of the page that change while a study runs. Each has its own template.
PARTS = ("facts", "hypotheses", "steps", "notes")


def run(reader: Reader, number: int) -> tuple[str, Shown]:
    def block(slot: Slot) -> str:
        return _block(reader, slot, values)

    values: Shown = {}
    study = reader.run(number, turns=True)
    values.update(story(reader, number, block))
    values["body"] = _here(values["body"])
    claims = cast("list[Shown]", values["claims"])
    values["claims"] = [{**claim, "html": _here(claim["html"])} for claim in claims]
    return "run.html.j2", {**values, **_rows(reader, study), "commands": _commands(study, str(values["command"]))}


def live(reader: Reader, asked: dict[str, str]) -> Shown:
    """The status of a run, and the changing parts of its page as HTML."""
    from .templates import fill

    study = reader.run(_number(asked["id"]), turns=True)
    rows = _rows(reader, study)
    return {
        "status": study.status,
        "parts": {name: fill(f"_{name}.html.j2", rows, reader) for name in PARTS},
    }


def conversation(reader: Reader, asked: dict[str, str]) -> tuple[str, Shown]:
    """The whole conversation, a fixed number of turns per page."""
    number = _number(asked["id"])
    page = asked.get("page") or "1"
    first = TURNS * (max(1, int(page) if page.isdecimal() and len(page) < 10 else 1) - 1)
    turns = reader.turns(number)
    later = f"/R{number}/conversation?page={first // TURNS + 2}" if len(turns) > first + TURNS else ""
    run = next(row for row in reader.runs() if row.id == f"R{number}")
    return "conversation.html.j2", {"here": "/", "run": run, "turns": turns[first : first + TURNS], "later": later}


def report(reader: Reader, asked: dict[str, str]) -> str:
    """The report as `agent report` writes it. Raises TrackerError if it cannot be rendered."""
    try:
        return render_run(reader, _number(asked["id"])).html
    except SlotError as error:
        raise TrackerError(f"The report of {asked['id']} cannot be rendered: {error}") from error


def _number(id: str) -> int:
    what, number = parse_id(id)
    if what != "run":
        raise TrackerError(f"{id} is not a run. Give the id of a run, such as R1.")
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


def _block(reader: Reader, slot: Slot, values: Shown) -> str:
    """The table or figure that a slot in the text asks for."""
    row = reader.experiment(parse_id(slot.of)[1])
    parts: Any = environment().get_template("_parts.html.j2").module
    if slot.field == "table":
        from .experiment_page import experiment

        return parts.tables(experiment(reader, parse_id(slot.of)[1])[1], 10)
    figure = next(one for one in row.figures if slot.key in (None, one.name))
    return parts.figure(drawn(figure, row.id, row.effects))


def _here(html: object) -> Markup:
    """Relink filled numbers: in a report they link to a section of it, here to the experiment's own page."""
    # Keep a drawing's references to its own parts.
    return Markup(re.sub(r' href="#([RENH][0-9]+)"', r' href="/\1"', str(html)))


def _commands(run: Run, again: str) -> list[tuple[str, str]]:
    commands = [("Ask the question again", again)]
    if run.status == "stopped":
        commands.insert(0, ("Resume it", shlex.join(["agent", "resume", run.id])))
    if run.experiments:
        commands.insert(0, ("Rerun all of it, and compare every number", f"agent replay {run.id}"))
    return [*commands, ("Check the report and its records", f"agent verify {run.id}")]
