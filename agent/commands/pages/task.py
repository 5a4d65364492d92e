"""How a task looks in a terminal: its card with examples, and their tokens for a subject."""

from __future__ import annotations

from typing import Any

import click

EXAMPLES = 4


def print_card(card: dict[str, Any]) -> None:
    """Print the card with its examples, or with a subject's tokens and result if the card has them."""
    from ....tools.report.plain_text import printable

    click.echo(f"{card['name']}: {printable(card['title'])}\n{printable(card['description'])}")
    if card["maker"]:
        click.echo(f"made by {printable(card['maker'])}")
    if "origin" in card:
        click.echo(f"from the installed package {printable(card['origin'])}")
    click.echo("prompts: " + ", ".join(f"{count:,} {split}" for split, count in card["prompts"].items()))
    if "subject" in card:
        show_subject(card["subject"])
        return
    if card["chance"] is not None:
        click.echo(f"chance level: {printable(card['chance'])}")
    for example in card["examples"]:
        click.echo(f"\n  {printable(example['text']).replace(chr(10), chr(10) + '  ')}")
        spans = {k: example["text"][a:b] for k, (a, b) in example["spans"].items()}
        answers = (
            "no answer" if example["open"] else f"answer {example['answer']!r}, distractor {example['distractor']!r}"
        )
        click.echo(f"    {answers}, spans {spans}")
        # The texts of spans and the answer are already there.
        if named := {k: v for k, v in example["values"].items() if k not in spans and k != "answer"}:
            click.echo(f"    values {named}")
        if example["accepted"]:
            click.echo(f"    also right: {',  '.join(other.strip() for other in example['accepted'])}")
        if example["corrupted"]:
            click.echo(f"    corrupted {example['corrupted']!r}, then {example['corrupted_answer']!r}")


def show_subject(card: dict[str, Any]) -> None:
    """Print the examples as tokens with bars between them, then the verdict and the measurements behind it."""
    from ....tools.report.plain_text import printable

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
