"""`agent tasks`: what a subject can be asked."""

from __future__ import annotations

import json
from typing import Any, Literal

import click

from .faults import one_line
from .own_tasks import generate, import_

DB_HELP = "The tracker, which keeps your own tasks; else LASHLEY_DB, else lashley.db here."
EXAMPLES = 4


@click.group(invoke_without_command=True)
@click.option("--db", metavar="FILE", help=DB_HELP)
@click.option("--json", "as_json", is_flag=True, help="The list as JSON.")
@click.pass_context
def tasks(ctx: click.Context, db: str | None, as_json: bool) -> None:
    """The tasks, and your own: used, imported or made before. `agent tasks show NAME` prints one with examples."""
    if ctx.invoked_subcommand is not None:
        return
    with one_line():
        from ...db.location import tracker_path
        from ...tools.catalog import kept, task_cards

        cards = task_cards(kept(tracker_path(db)))
    if as_json:
        click.echo(json.dumps(cards, indent=2))
        return
    from .style import console, indented, plain

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
@click.option("-n", "--number", type=click.IntRange(1), help=f"How many examples.  [default: {EXAMPLES}, if there are]")
@click.option(
    "--split", type=click.Choice(["explore", "confirm"]), default="explore", show_default=True,
    help="Prompts to look around with, or those kept for testing.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which prompts are drawn.")
@click.option("--model", help="Load this model, show what it sees in tokens, and whether it can do the task.")
@click.option("--chat", is_flag=True, help="With --model: ask it through its chat template.")
@click.option("--system", metavar="TEXT", help="With --chat: the system prompt.")
@click.option("--db", metavar="FILE", help=DB_HELP)
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
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
    """Print a task's card with examples: prompt, answer, distractor, corrupted twin, spans.

    NAME is a task, a JSONL or CSV file of your own, or the name of one that was used, made or imported before.
    """
    if model is not None and split == "confirm":
        raise click.UsageError("On held-out prompts only predictions are measured; with --model take --split explore.")
    if chat and model is None:
        raise click.UsageError("--chat asks a model: name it with --model.")
    if system is not None and not chat:
        raise click.UsageError("--system is part of a chat: give --chat, too.")
    with one_line():
        from ...db.location import tracker_path
        from ...tools.catalog import named_task, show_task

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


def print_card(card: dict[str, Any]) -> None:
    """The card with its examples, or with what a subject makes of it where the card says so."""
    from .style import printable

    click.echo(f"{card['name']}: {printable(card['title'])}\n{printable(card['description'])}")
    if card["maker"]:
        click.echo(f"made by {printable(card['maker'])}")
    if "origin" in card:
        click.echo(f"from {printable(card['origin'])}, which is installed")
    click.echo("prompts: " + ", ".join(f"{count:,} {split}" for split, count in card["prompts"].items()))
    if "subject" in card:
        show_subject(card["subject"])
        return
    if card["chance"] is not None:
        click.echo(f"guessing gets: {printable(card['chance'])}")
    for example in card["examples"]:
        click.echo(f"\n  {printable(example['text']).replace(chr(10), chr(10) + '  ')}")
        spans = {k: example["text"][a:b] for k, (a, b) in example["spans"].items()}
        answers = (
            "no answer" if example["open"] else f"answer {example['answer']!r}, distractor {example['distractor']!r}"
        )
        click.echo(f"    {answers}, spans {spans}")
        if example["accepted"]:
            click.echo(f"    right, too: {', '.join(other.strip() for other in example['accepted'])}")
        if example["corrupted"]:
            click.echo(f"    corrupted {example['corrupted']!r}, then {example['corrupted_answer']!r}")


def show_subject(card: dict[str, Any]) -> None:
    """The examples in tokens, a bar between each, then the verdict and the measurements behind it."""
    from .style import printable

    def joined(tokens: list[str]) -> str:
        return printable("|".join(tokens).replace("\n", "\\n"))

    for example in card["examples"]:
        click.echo(f"\n  {joined(example['tokens'])}")
        click.echo(f"    answer {joined(example['answer'])!r}, distractor {joined(example['distractor'])!r}")
        spans = [f"{name} {a}" if b == a + 1 else f"{name} {a}-{b - 1}" for name, (a, b) in example["spans"].items()]
        click.echo(f"    {len(example['tokens'])} tokens from 0; {', '.join(spans) or 'no spans'}")
    click.echo(f"\n{card['found']}")
    for m in card["measurements"]:
        interval = "" if m["low"] is None else f" [{m['low']:.3f}, {m['high']:.3f}]"
        n = "" if m["n"] is None else f", n = {m['n']}"
        click.echo(f"  {m['name']:<16} {m['value']:.3f}{interval}{n}")
    for note in card["tokenizer"]:
        click.echo(note)
    if card["left_out"]:
        click.echo(card["left_out"])
