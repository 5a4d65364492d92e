"""`agent tasks`: list the tasks, and show one."""

from __future__ import annotations

import json
from typing import Literal

import click

from .one_line_errors import one_line
from .own_tasks import generate, import_
from .pages.task import EXAMPLES, print_card

DB_HELP = "Tracker file, which keeps your own tasks; default: LASHLEY_DB, or lashley.db in the current folder."


@click.group(invoke_without_command=True)
@click.option("--db", metavar="FILE", help=DB_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def tasks(ctx: click.Context, db: str | None, as_json: bool) -> None:
    """List the built-in tasks and those that the tracker keeps. `agent tasks show NAME` shows one with examples."""
    if ctx.invoked_subcommand is not None:
        return
    with one_line():
        from ...db.location import tracker_path
        from ...tools.workbench.catalog import kept, task_cards

        cards = task_cards(kept(tracker_path(db)))
    if as_json:
        click.echo(json.dumps(cards, indent=2))
        return
    from .pages.style import console, indented, plain

    out = console()
    for group in dict.fromkeys(card["group"] for card in cards):
        out.print(plain(group.capitalize(), "bold"))
        for card in cards:
            if card["group"] == group:
                added = f" (from {card['origin']})" if "origin" in card else ""
                out.print(indented(f"{card['name']}: {card['title']}.{added} {card['description'].splitlines()[0]}"))


tasks.add_command(generate)
tasks.add_command(import_)


@tasks.command()
@click.argument("name")
@click.option("-n", "--number", type=click.IntRange(1), help=f"Number of examples.  [default: {EXAMPLES}, or all]")
@click.option(
    "--split", type=click.Choice(["explore", "confirm"]), default="explore", show_default=True,
    help="Prompts for exploring, or those held out for testing.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draw of prompts.")
@click.option("--model", help="Load this model; show its tokens, and whether it can do the task.")
@click.option("--chat", is_flag=True, help="With --model: use its chat template.")
@click.option("--system", metavar="TEXT", help="With --chat: the system prompt.")
@click.option("--db", metavar="FILE", help=DB_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
def show(
    name: str,
    number: int | None,
    split: Literal["explore", "confirm"],
    seed: int,
    model: str | None,
    chat: bool,
    system: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """Show a task with examples: prompt, answer, distractor, corrupted prompt, spans, values.

    NAME is a built-in task, your own JSONL or CSV file, or a task that the tracker keeps.
    """
    if model is not None and split == "confirm":
        raise click.UsageError("Only predictions are measured on held-out prompts. With --model use --split explore.")
    if chat and model is None:
        raise click.UsageError("--chat needs a model. Name it with --model.")
    if system is not None and not chat:
        raise click.UsageError("--system needs --chat. Add it.")
    with one_line():
        from ...db.location import tracker_path
        from ...tools.workbench.catalog import named_task, show_task

        task = named_task(name, tracker_path(db))
        card = show_task(task, number or max(1, min(EXAMPLES, task.source.capacity(split))), split, seed)
        if model is not None:
            from ...tools.subject_card import loaded, subject_card

            subject = loaded(model, lambda text: click.echo(text, err=True))
            card["subject"] = subject_card(subject, task, len(card["examples"]), split, seed, chat=chat, system=system)
    if as_json:
        click.echo(json.dumps(card, indent=2))
        return
    print_card(card)
