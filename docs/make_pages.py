"""Writes what is made from the code: a page for each kind of experiment, the commands, the glossary, the statistics,
the tracker's tables, and the types of the package for editors (`__init__.pyi`).

`make docs` runs it. A test compares its output with the files, so a page can never be out of date.
"""

from __future__ import annotations

import inspect
import json
import sqlite3
import tempfile
import types
import typing
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

import lashley
from lashley.db.write.store import Store
from lashley.docs.make_commands import commands_page
from lashley.docs.make_glossary import glossary_page
from lashley.experiments.answers import scoring
from lashley.experiments.experiment import Experiment, Whole
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.metrics import Metric, OneOf, metrics
from lashley.experiments.statistics import intervals
from lashley.tools.claims import standard
from lashley.tools.claims.claim import VERDICTS
from lashley.tools.claims.registry import claim_types
from lashley.tools.registry import all_tools
from lashley.tools.workbench.catalog import kind_cards, questions

DOCS = Path(__file__).resolve().parent
MADE = "<!-- Made from the code by `make docs`; changes belong there. -->\n"

# What one row of a table holds.
TABLES = {
    "runs": "A study: its goal, its driver, its budget and what it spent, how it ended. A killed study also has the "
    "status `running`; `agent runs` shows the difference.",
    "turns": "One message of a study's conversation, as it was sent or received.",
    "questions": "The questions of a study, registered before its first experiment: a claim of open verdict (`claim`), "
    "and the program's words for it. `origin` is the driver, or the goal that the program read.",
    "told": "A message of the user to a running study (`agent tell`). The turn that brought it carries its number.",
    "resumptions": "When a stopped run was resumed, and in which environment.",
    "experiments": "One experiment: its configuration (`config`), its subject, task and code, and its result.",
    "measurements": "One number of an experiment, with its 95% interval over prompts.",
    "effects": "The paired change of a metric by an edit at a site (edited minus intact).",
    "samples": "The text that the subject generated for one prompt, intact and changed.",
    "figures": "The data of a drawing.",
    "circuits": "A circuit that an experiment found. `size` counts its edges, `possible` those of the whole model, and "
    "`members` are its parts. `faithfulness` is on the prompts that it was found on.",
    "circuit_edges": "An edge of a circuit. `share` is the change without it, as a share of the whole difference; it "
    "is an estimate unless `measured` is 1. Of a circuit with more than 10,000 edges, the strongest 10,000 are kept.",
    "artifacts": "Values per prompt, as a NumPy array (`.npy`).",
    "notes": "An observation that outlives its study.",
    "notes_fts": "The full-text index over notes: `WHERE notes_fts MATCH 'heads'`; its rowid is the note's id.",
    "hypotheses": "A statement, and the result that would refute it.",
    "predictions": "The result that a hypothesis predicts for an experiment (its whole configuration, a quantity, a "
    "comparison, bounds). It is written before the experiment runs, and frozen.",
    "judgements": "The outcome of a prediction: the quantity with its interval, and the p that it lies on the bound. "
    "Verdicts follow by Holm's correction over all predictions of the run.",
    "hypothesis_events": "A verdict on a hypothesis. Rows are only added.",
    "reports": "The source of a report, with slots in place of numbers. The latest one counts.",
    "reuses": "An experiment of another study that answered a question of this one.",
    "subjects": "A model that was studied, identified by a hash over weights, configuration and tokenizer.",
    "environments": "The machine, the packages and their versions.",
    "requests": "The instructions and tools that were sent to a language model, besides the conversation.",
    "seals": "The SHA-256 of a record when it was written (`what` says what it is, `row` its number), and the chain "
    "through all seals of its run: the SHA-256 of the previous `chain` and this `sha256`.",
    "older_rows": "The last row of each table from before there were seals; empty in a file that always had them.",
    "task_files": "The lines of a task that is not built in, so that a replay finds them: the user's own file, or a "
    "task that a language model made (`maker`, `run`), with its proposal (`spec`).",
}
VIEWS = {
    "experiment_summary": "An experiment with its measurements in one text.",
    "top_effects": "Every effect with its place among the effects of its experiment, strongest first.",
    "ledger": "The number of comparisons in this file, by family: the same subject, task and kind.",
    "run_timeline": "Everything that happened in a study, with its time.",
}


def pages() -> dict[Path, str]:
    """Every page by its path."""
    ours = {name: k for name, k in kinds().items() if k.__module__.startswith("lashley.")}
    made = {DOCS / "kinds" / f"{name}.md": kind_page(k) for name, k in ours.items()}
    about = f"# Statistics\n\n{MADE}\n{inspect.cleandoc(intervals.__doc__ or '')}\n"
    readme = DOCS.parent / "README.md"
    return {
        **made,
        DOCS / "kinds" / "README.md": kinds_page(set(ours)),
        DOCS / "commands.md": commands_page(MADE),
        DOCS / "glossary.md": glossary_page(MADE),
        DOCS / "decisions" / "README.md": decisions_page(),
        readme: with_questions(readme.read_text(encoding="utf-8"), set(ours)),
        DOCS / "statistics.md": about,
        DOCS / "metrics.md": metrics_page(),
        DOCS / "findings.md": findings_page(),
        DOCS / "tracker.md": tracker_page(),
        DOCS.parent / "__init__.pyi": stub(),
    }


def with_questions(readme: str, ours: set[str]) -> str:
    """The README with its table of questions as the kinds name them."""
    head = "| question | experiments |\n|---|---|\n"
    before, _, rest = readme.partition(head)
    after = rest[rest.index("\n\n") :]
    rows: list[str] = []
    for question, aspects in questions([card for card in kind_cards() if card["name"] in ours]).items():
        links = [f"[{name}](docs/kinds/{name}.md)" for names in aspects.values() for name in names]
        rows.append(f"| {question} | {', '.join(links)} |")
    return before + head + "\n".join(rows) + after


def kinds_page(ours: set[str]) -> str:
    """All kinds, below the question that each answers."""
    cards = {card["name"]: card for card in kind_cards() if card["name"] in ours}
    parts: list[str] = []
    for question, aspects in questions(list(cards.values())).items():
        rows = [
            f"| [{name}]({name}.md) | {cell(cards[name]['about'])} |" for names in aspects.values() for name in names
        ]
        parts.append("\n".join([f"## {question}\n\n| kind | what it asks |\n|---|---|", *rows]))
    return f"""# Kinds of experiments

{MADE}
Each kind is a command (`agent experiment head_ablation`), a tool for the language model, and a class in Python
(`lashley.HeadAblation`). Its page says what it measures, what it costs, and when it misleads.
[Measured costs](../../benchmarks/KINDS.md).

{(chr(10) * 2).join(parts)}
"""


def decisions_page() -> str:
    """The decisions by their titles."""
    paths = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    titles = [(path.name, path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")) for path in paths]
    listed = "\n".join(f"- [{title}]({name})" for name, title in titles)
    return f"""# Decisions

{MADE}
Each explains one thing that would surprise a reader of the code.

{listed}
"""


def stub() -> str:
    """The public names of the package, for completion and type checkers, which do not see lazy imports."""
    ours = {k.__name__: k.__module__.removeprefix("lashley.") for k in kinds().values()}
    names = {**{n: m for n, m in lashley.PUBLIC.items() if n not in ("errors", "open")}, **ours}
    lines = ["from . import errors as errors"]
    lines += [
        f"from .{module} import {name} as {name}"
        for name, module in sorted(names.items(), key=lambda one: (one[1], one[0][0].islower(), one[0]))
    ]
    public = sorted({*names, "errors", "__version__"}, key=lambda one: (one[0].islower() or one[0] == "_", one))
    listed = "".join(f'    "{one}",\n' for one in public)
    return f"""# Made from the code by `make docs`; changes belong there.
import os

{chr(10).join(lines)}

__version__: str
__all__ = [
{listed}]

# Not in __all__: a star import would replace Python's own `open`.
def open(path: str | os.PathLike[str] | None = None) -> Tracker: ...
"""


def kind_page(kind: type[Experiment]) -> str:
    about = inspect.cleandoc(kind.__doc__ or "")
    rows = [
        f"| `{name}` | {cell(field_words(info))} | {default_words(info)} | {cell(info.description)} |"
        for name, info in kind.model_fields.items()
    ]
    options = " ".join(
        f"`{flag(name, info.annotation)}`" for name, info in kind.model_fields.items() if name != "split"
    )
    schema = json.dumps(all_tools()[kind.kind].schema, indent=2, ensure_ascii=False)
    return f"""# {kind.kind}

{MADE}
{about}

Question: {kind.question}{f" ({kind.aspect})" if kind.aspect else ""}

[How its intervals and p-values are made](../statistics.md).

## Configuration

| field | type | default | meaning |
|---|---|---|---|
{chr(10).join(rows)}

## Command

    agent experiment {" ".join(filter(None, (kind.kind, kind.example)))}

Every field but `split` is an option: {options}. {lists_of(kind)} Other
options: `--predict` (a prediction, recorded and then tested on held-out prompts), `--file` (JSON or YAML), `--fresh`,
`--reason`, `--db`, `--json`.

## Tool

This is the schema for a language model. Its description is the text above. Null means the default.

```json
{schema}
```
"""


def findings_page() -> str:
    rows = [
        f"| `{name}` | {' '.join((inspect.getdoc(one) or '').split())} |"
        for name, one in claim_types().items()
        if one.__module__.startswith("lashley.")
    ]
    verdicts = [f"- **{word}**: {text}" for word, text in VERDICTS.items()]
    return f"""# Findings

{MADE}
A report opens with an answer and a table of findings. The program writes both. It looks for every experiment of the
study that bears on a part and a task, whoever cited it, compares the number with a fixed bound, and writes the finding.
The writer's own sentences are below, under *The writer's reading*.

The table asks what each claim asks, and answers it: yes, no or undecided, with the verdict on the claim. Findings that
rest on the prompts to explore alone are in a table of their own.

## What is asked

A study registers its questions before its first experiment, as data, and they are frozen. A question names parts ("Does
ioi need head L5.H3?"), or it asks which ("Which heads does ioi need?"). A language model registers them with its first
call, `register_questions`. If it does not, and for the autopilot, the program reads the goal. The program always asks
about the parts that the goal names. It words the questions, so a goal that wishes for an answer ("show that ...")
becomes a question with two possible answers. The report opens with the answer to each question: the verdict, the number
that decides it, the evidence against it, and what was not tested.

The program also judges every head, layer and MLP that a language model names in its text. The verdict appears among the
findings, and again below each paragraph that names the part. A paragraph that names a part that the model does not have
is sent back.

## Verdicts

{chr(10).join(verdicts)}

## The standard bound

{inspect.cleandoc(standard.__doc__ or "").partition(chr(10) * 2)[2]}

A number on held-out prompts is judged by its interval against the bound, corrected over all predictions of the study
(Holm). A number on the prompts to explore is never more than *seen*, and only if its q over the whole run is below
0.05. A part counts as removed only if exactly this part was removed: a set says nothing about its members. A head of a
held-out sweep that no prediction names counts as picked from all heads of the sweep (Bonferroni).

Only the study's own model counts. If the intact model is not shown to do the task, no removal shows anything about the
task. A change of the prediction alone (kl) does not show need. The finding says so if only zero does damage. The
findings include the result of every part that a claim names and that was removed alone, and every hypothesis that was
tested. [Liars](../benchmarks/LIARS.md) on planted models try to get something false onto the first screen.

## What can be claimed

| type | what it says, and what it needs |
|---|---|
{chr(10).join(rows)}

The program refuses a bound that cannot fail (`kl > 0`, an accuracy above 0), or that the control or the intact model
already meets, in a prediction and in a report.
"""


def metrics_page() -> str:
    ours = [metric for metric in metrics().values() if metric.read.__module__.startswith("lashley.")]
    rows = [
        f"| `{metric.name}` | {metric.unit} | {'more' if metric.worse > 0 else 'less'} | {needs(metric)} | "
        f"{'yes' if metric.has_slope else 'no'} | `{metric.change}` |"
        for metric in ours
    ]
    about = inspect.cleandoc(scoring.__doc__ or "").partition("\n\n")[2]
    return f"""# Metrics

{MADE}
{about}

| metric | unit | worse is | prompts need | gradients can rank by it | name of its change |
|---|---|---|---|---|---|
{chr(10).join(rows)}

A distance from the intact prediction (`kl`) is 0 for the intact model and never negative: its effects have an interval
and no p-value. See [statistics](statistics.md) for how intervals and p-values are made, and
[CONTRIBUTING](../CONTRIBUTING.md#a-metric-10-lines) for a metric of your own.
"""


def needs(metric: Metric) -> str:
    if metric.needs_distractor:
        return "an answer and a distractor"
    return "an answer" if metric.needs_answer else "nothing"


def flag(name: str, annotation: Any) -> str:
    written = name.replace("_", "-")
    return f"--{written}/--no-{written}" if annotation is bool else f"--{written}"


def cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def lists_of(kind: type[Experiment]) -> str:
    whole = [name for name, info in kind.model_fields.items() if any(isinstance(one, Whole) for one in info.metadata)]
    each = f" Repeat {', '.join(f'`--{name}`' for name in whole)} for each item." if whole else ""
    return f"Write a list as one option with commas, or repeat the option.{each}"


def default_words(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    return "none" if value is None else f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def field_words(info: FieldInfo) -> str:
    """What a field takes."""
    metric = next((one for one in info.metadata if isinstance(one, OneOf)), None)
    return type_words(info.annotation if metric is None else typing.Literal[*metric.names])


def type_words(annotation: Any) -> str:
    """A type in words: 'zero, mean or resample', 'list of whole numbers', 'text or none'."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_words(a) for a in inner)
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in inner[:-1]) + f" or `{inner[-1]}`"
    if origin is list:
        return f"list of {type_words(inner[0])}s"
    names = {int: "whole number", float: "number", str: "text", bool: "yes or no", type(None): "none"}
    return names.get(annotation, str(annotation))


def tracker_page() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lashley.db"
        Store.open(path).close()
        with closing(sqlite3.connect(path)) as connection:
            query = "SELECT name FROM sqlite_schema WHERE type = ? AND name NOT GLOB ? AND name NOT GLOB 'sqlite_*'"
            tables = {n: columns(connection, n) for (n,) in connection.execute(query, ("table", "*_fts_*"))}
            views = {n: columns(connection, n) for (n,) in connection.execute(query, ("view", ""))}
    return f"""# The tracker

{MADE}
Everything that a study does is in one SQLite file. `--db FILE` names it, or `LASHLEY_DB`, or it is `lashley.db` in the
current folder. Any program that reads SQLite can read it, also while a study is running.

Ids are numbers in the tables (`experiment = 12`) and short names in the views and everywhere else (`E12`). Times are
UTC. Use `json_extract(config, '$.method')` for columns marked JSON.

The past is final. Triggers refuse to change or remove a turn, a note, a report, a run or an experiment that has ended,
and everything that belongs to it. Every record is sealed when it is written, so `agent verify` finds a change even by a
program that removes the triggers. You may add tables, views and indexes of your own.

## Views, for reading

{chr(10).join(section(name, VIEWS[name], cols) for name, cols in views.items())}
## Tables

{chr(10).join(section(name, TABLES[name], cols) for name, cols in tables.items())}"""


def section(name: str, about: str, named: list[str]) -> str:
    return f"### {name}\n\n{about}\n\n{', '.join(named)}\n"


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table or a view, with the table that they point to, and whether they hold JSON."""
    points = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    found: list[str] = []
    for row in connection.execute(f"PRAGMA table_info({table})"):
        remarks = [f"→ {points[row[1]]}"] if row[1] in points else []
        remarks += ["JSON"] if f"json_valid({row[1]})" in sql else []
        found.append(f"`{row[1]}`" + (f" ({', '.join(remarks)})" if remarks else ""))
    return found


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {path.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
