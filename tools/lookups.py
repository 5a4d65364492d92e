"""The tools that read: models, tasks, notes, earlier experiments, and the tracker itself, with SQL."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from ..db.records import as_json
from .arguments import Answered, Arguments, Nothing, number_of
from .refusals import refused
from .report.escape import one_line
from .workbench import catalog
from .workbench.context import Context
from .workbench.experiment_text import experiment_text, quoted


def list_models(context: Context, _: Nothing) -> Answered:
    """Models you can study here, and the anatomy of this study's subject."""
    rows = catalog.models()
    subject = context.subject(context.model).describe()
    text = "\n".join(f"{row['name']} (bundled)" for row in rows)
    return f"{text}\nThis study: {subject['name']}, {json.dumps(subject['anatomy'])}", {
        "models": rows,
        "subject": subject,
    }


def list_tasks(context: Context, _: Nothing) -> Answered:
    """The tasks: what each asks, and how many prompts it has."""
    cards = catalog.task_cards(context.all_own_tasks())
    lines = [f"{c['name']}: {' '.join(c['description'].split())}" for c in cards]
    return "\n".join(lines), {"tasks": cards}


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


def search_notes(context: Context, given: SearchNotes) -> Answered:
    """Notes of this and earlier studies, best match first."""
    rows = context.reader.notes(given.words, context.alone)[:20]
    lines = [f"{r.id} ({r.run or 'no run'}) {one_line(r.title)}: {one_line(r.text)[:300]}" for r in rows]
    return "\n".join(lines) or "No notes match.", {"notes": as_json(rows)}


class ListExperiments(Arguments):
    task: Annotated[str | None, Field(description="Only this task.")] = None
    kind: Annotated[str | None, Field(description="Only this kind.")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many, latest last.")] = 20


def list_experiments(context: Context, given: ListExperiments) -> Answered:
    """Earlier experiments, other studies' too: id, configuration, what they found."""
    rows = context.reader.experiments(task=given.task, kind=given.kind, limit=given.limit)
    rows = [row for row in rows if context.may_see(row)]
    lines = [f"{r.id} ({r.run or 'no run'}) {r.kind} {r.task} {r.status}: {r.found or r.error or ''}" for r in rows]
    return "\n".join(lines) or "No experiments match.", {"experiments": as_json(rows)}


class ShowExperiment(Arguments):
    experiment: Annotated[str, Field(description="Its id, such as E12.")]


def show_experiment(context: Context, given: ShowExperiment) -> Answered:
    """Show one experiment: all measurements, the forty strongest effects, samples."""
    logged = context.reader.experiment(number_of(given.experiment, "experiment"))
    if not context.may_see(logged):
        raise refused("held_out", id=logged.id)
    return experiment_text(logged, effects=40, samples=8), {"id": logged.id, "found": logged.found}


def cell(value: object) -> str:
    """The value as text. A text that could pass for other cells or rows, such as a subject's answer, is quoted."""
    text = str(value)
    return text if text.isprintable() and "|" not in text else quoted(text, len(text))


class QueryTracker(Arguments):
    sql: Annotated[str, Field(description="One SELECT.")]


def query_tracker(context: Context, given: QueryTracker) -> Answered:
    """Query the tracker with SQL (SQLite, read-only, at most 50 rows).

    Tables: experiments(id, run, kind, model, task, split, n, config, status, found), effects(experiment, site,
    metric, value, low, high, n, p, q, percentile, p_max), measurements(experiment, name, value, low, high, n, unit),
    samples(experiment, prompt, expected, said, changed, correct, changed_correct, failure), notes, hypotheses,
    predictions, judgements, ledger(model, task, kind, experiments, comparisons, significant). Ids are numbers: E12
    is experiment = 12. Other studies' results on held-out prompts are left out.
    """
    columns, rows, truncated = context.reader.query(given.sql, limit=50, runs=context.sees, alone=context.alone)
    lines = [" | ".join(map(cell, row)) for row in (columns, *rows)]
    if truncated:
        lines.append("(more rows; narrow the query)")
    return "\n".join(lines), {"columns": columns, "rows": rows}
