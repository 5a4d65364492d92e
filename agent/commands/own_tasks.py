"""`agent tasks generate` and `agent tasks import`: your own tasks, checked and kept in the tracker."""

from __future__ import annotations

from typing import Any

import click

from .one_line_errors import one_line

SHOWN = 20
KINDS = ("number", "word", "name", "yes_no", "true_false_unknown", "text")
DB_HELP = "Tracker file that keeps it; default: LASHLEY_DB, or lashley.db in the current folder."
NOBODY = (
    "The autopilot cannot make a task; this needs a language model. Set OPENAI_API_KEY, or give --base-url for your "
    "own server. To import prompts that you have: agent tasks import FILE."
)


@click.command()
@click.argument("description")
@click.option("--llm", help="Language model that makes it.")
@click.option("--base-url", help="URL of an OpenAI-compatible server; default: OPENAI_BASE_URL.")
@click.option("--model", help="Subject model; the task must work with its tokenizer.  [default: smollm2-135m]")
@click.option(
    "--n", type=click.IntRange(24, 2000), default=80, show_default=True, help="Least number of prompts to ask for."
)
@click.option("--db", metavar="FILE", help=DB_HELP)
def generate(
    description: str, llm: str | None, base_url: str | None, model: str | None, n: int, db: str | None
) -> None:
    """Have a language model make a task: DESCRIPTION says what the prompts ask.

    The program checks each draft and returns it with every fault until it finds none.

    \b
    agent tasks generate "Opposites of common adjectives" --llm gpt-6-astra
    agent tasks generate "The double of a number plus another" --base-url http://localhost:11434/v1 --llm qwen3
    """
    from ...tools.errors import ToolError
    from ...tools.workbench.catalog import show_task
    from ...tools.workbench.context import Context
    from .. import generate
    from ..drivers.choose import choose
    from ..drivers.conversation import NoKey
    from .pages.task import EXAMPLES, print_card

    if not description.strip():
        raise click.UsageError("The description is empty. Say what the prompts should ask.")
    with one_line():
        try:
            chosen, _, server = choose("auto", llm, base_url)
        except NoKey as fault:
            raise ToolError(NOBODY) from fault
        if not chosen.llm:
            raise ToolError(NOBODY)
        if server is not None:
            server.knock()
        with Context.open(db) as context:
            context.say = say
            context.model = model or context.model
            context.subject(context.model)
            say(f"{chosen.llm} makes the task.")
            name = generate.generate(context, chosen, description, n, say)
            print_card(show_task(context.find_task(name), EXAMPLES))
    say(f"Use it: agent experiment baseline --task {name}")


@click.command("import")
@click.argument("file")
@click.option("--name", help="Name of the task; default: the file's.")
@click.option(
    "--answer-kind",
    type=click.Choice(KINDS),
    help="How answers are compared; text: letter by letter.  [default: inferred]",
)
@click.option("--model", help="Also check every line with this model's tokenizer and context.")
@click.option("--db", metavar="FILE", help=DB_HELP)
def import_(file: str, name: str | None, answer_kind: Any, model: str | None, db: str | None) -> None:
    """Import the prompts of a JSONL or CSV FILE as a task. One bad line refuses the whole file.

    Required fields or columns: text and answer. Optional: distractor, corrupted, corrupted_answer, key, template,
    answer_kind (the same in all lines); accepted, spans and values, in JSON. The space between text and answer belongs
    to the answer.
    """
    from ...tools.report.plain_text import printable
    from ...tools.workbench.catalog import file_faults, import_task
    from ...tools.workbench.context import Context

    with one_line():
        faults = file_faults(file, name, answer_kind)
        if model is not None and not faults:
            from ...tools.subject_card import loaded

            faults = file_faults(file, name, answer_kind, loaded(model, say))
        for fault in faults[:SHOWN]:
            say(printable(" ".join(fault.split())))
        if faults:
            more = f" {len(faults) - SHOWN} more are not shown." if len(faults) > SHOWN else ""
            say(f"Error: {len(faults)} fault{'s' * (len(faults) > 1)}; nothing was imported.{more}")
            raise click.exceptions.Exit(2)
        # Open the tracker only now: a bad file must not create one.
        with Context.open(db) as context:
            task = import_task(context, file, name, answer_kind)
    sizes = task["prompts"]
    click.echo(
        f"Imported {task['name']}: {sizes['explore']:,} prompts to explore and {sizes['confirm']:,} to confirm; "
        f"answers are compared as {task['answer_kind']}."
    )
    if not all(sizes.values()):
        say("One split is empty, so no prediction can be tested. Add lines.")
    click.echo(f"Use it: agent tasks show {task['name']}    agent experiment baseline --task {task['name']}")


def say(text: str) -> None:
    click.echo(text, err=True)
