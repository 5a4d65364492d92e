"""The tools that read: models, tasks, notes, earlier experiments, and the tracker itself, with SQL."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from ..db.records import Note, as_json
from .arguments import Answered, Arguments, number_of
from .paging import After, page
from .refusals import refused
from .report.escape import one_line
from .workbench import catalog
from .workbench.context import Context
from .workbench.experiment_text import experiment_lines, quoted

# Characters of a long text that a list shows; notes and rows that one answer reads.
SHOWN, CELL, NOTES, ROWS = 300, 600, 20, 50


class Listed(Arguments):
    after: After = 0


def list_models(context: Context, given: Listed) -> Answered:
    """Models you can study here, and the anatomy of this study's subject."""
    rows = catalog.models()
    subject = context.subject(context.model).describe()
    head = f"This study: {subject['name']}, {json.dumps(subject['anatomy'])}"
    lines = [f"{row['name']} ({'bundled, ' if row['also'] or row['parameters'] else ''}{row['state']})" for row in rows]
    return page(lines, given.after, "list_models", {}, head=head), {
        "models": rows,
        "subject": subject,
    }


def list_tasks(context: Context, given: Listed) -> Answered:
    """The tasks: what each asks, and how many prompts it has."""
    cards = catalog.task_cards(context.all_own_tasks())
    lines = [f"{c['name']}: {' '.join(c['description'].split())}" for c in cards]
    return page(lines, given.after, "list_tasks", {}), {"tasks": cards}


class ShowTask(Arguments):
    task: Annotated[str, Field(description="The task's name.")]


def show_task(context: Context, given: ShowTask) -> Answered:
    """One task with examples: prompt, answer, distractor, the spans that positions can name, and the named values."""
    card = catalog.show_task(context.find_task(given.task))
    lines = [f"{card['name']}: {card['description']}"]
    for e in card["examples"]:
        lines.append(
            f"prompt {quoted(e['text'], 300)} answer {quoted(e['answer'])} distractor {quoted(e['distractor'] or '')}"
        )
        lines.append(f"  corrupted {quoted(e['corrupted'] or '', 300)} spans {json.dumps(list(e['spans']))}")
        named = (f"{one_line(name)[:40]} = {quoted(value, 40)}" for name, value in e["values"].items())
        lines.append(f"  values {', '.join(named)}")
    return "\n".join(lines), card


class SearchNotes(Arguments):
    words: Annotated[str | None, Field(max_length=500, description="Words to search for. Null: all notes.")] = None
    after: After = 0


def search_notes(context: Context, given: SearchNotes) -> Answered:
    """Notes of this and earlier studies, best match first."""
    rows = context.reader.notes(given.words, context.alone)
    lines = [f"{r.id} ({r.run or 'no run'}) {one_line(r.title)}: {beginning(r)}" for r in rows]
    text = page(lines, given.after, "search_notes", {"words": given.words})
    return text or "No notes match.", {"notes": as_json(rows[given.after : given.after + NOTES])}


def beginning(note: Note) -> str:
    """The beginning of a note in one line, and the query that gives its rest."""
    text = one_line(note.text)
    if len(text) <= SHOWN:
        return text
    sql = f"SELECT substr(text, {SHOWN + 1}) FROM notes WHERE id = {number_of(note.id, 'note')}"
    return f"{text[:SHOWN]}… (the rest: query_tracker {json.dumps({'sql': sql})})"


class ListExperiments(Arguments):
    task: Annotated[str | None, Field(description="Only this task.")] = None
    kind: Annotated[str | None, Field(description="Only this kind.")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many, latest first.")] = 20
    after: After = 0


def list_experiments(context: Context, given: ListExperiments) -> Answered:
    """Earlier experiments, other studies' too, latest first: id, kind, task, status, what they found."""
    rows = context.reader.experiments(task=given.task, kind=given.kind)[::-1]
    rows = [row for row in rows if context.may_see(row)]
    lines = [f"{r.id} ({r.run or 'no run'}) {r.kind} {r.task} {r.status}: {r.found or r.error or ''}" for r in rows]
    text = page(lines, given.after, "list_experiments", given.model_dump(exclude={"after"}), given.limit)
    shown = rows[given.after : given.after + given.limit]
    return text or "No experiments match.", {"experiments": as_json(shown)}


class ShowExperiment(Arguments):
    experiment: Annotated[str, Field(description="Its id, such as E12.")]
    after: After = 0


def show_experiment(context: Context, given: ShowExperiment) -> Answered:
    """Show one experiment whole: notes, all measurements, profiles, all effects by size, samples."""
    logged = context.reader.experiment(number_of(given.experiment, "experiment"))
    if not context.may_see(logged):
        raise refused("held_out", id=logged.id)
    lines = experiment_lines(logged, effects=None, samples=None)
    text = page(lines, given.after, "show_experiment", {"experiment": logged.id})
    return text, {"id": logged.id, "found": logged.found}


def cell(value: object) -> str:
    """The value as text, at most CELL characters of it. A text that could pass for other cells or rows, such as a
    subject's answer, is quoted."""
    text = str(value)
    if len(text) > CELL:
        return f"{quoted(text[:CELL], CELL)}…"
    return text if text.isprintable() and "|" not in text else quoted(text, len(text))


class QueryTracker(Arguments):
    sql: Annotated[str, Field(description="One SELECT; with ORDER BY if there may be many rows.")]
    after: After = 0


def query_tracker(context: Context, given: QueryTracker) -> Answered:
    """Query the tracker with SQL (SQLite, read-only, at most 50 rows).

    Tables: experiments(id, run, kind, model, task, split, n, config, status, found), effects(experiment, site,
    metric, value, low, high, n, p, q, percentile, p_max), measurements(experiment, name, value, low, high, n, unit),
    samples(experiment, prompt, expected, said, changed, correct, changed_correct, failure), notes, hypotheses,
    predictions, judgements, ledger(model, task, kind, experiments, comparisons, significant). Ids are numbers: E12
    is experiment = 12. Other studies' results on held-out prompts are left out.
    """
    limit = given.after + ROWS
    columns, rows, more = context.reader.query(given.sql, limit, runs=context.sees, alone=context.alone)
    lines = [" | ".join(map(cell, row)) for row in rows]
    # A row that is not read yet: with it, the page knows that the list is longer.
    lines += [""] * more
    head = " | ".join(map(cell, columns))
    text = page(lines, given.after, "query_tracker", {"sql": given.sql}, ROWS, head, exact=not more)
    if any(len(str(value)) > CELL for row in rows[given.after :] for value in row):
        text += f"\n(… marks a text after {CELL} characters; substr(column, {CELL + 1}) gives the rest.)"
    return text, {"columns": columns, "rows": rows[given.after :]}
