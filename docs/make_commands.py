"""The page of commands, made from the commands themselves: what each does, and its options with their help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from lashley.agent.commands.experiment import Kinds
from lashley.agent.main import COMMANDS, cli
from lashley.experiments.kinds.registry import kinds

ABOUT = """Each command prints this with `--help`. Run `source .venv/bin/activate` first. `lashley` is the same command
as `agent`. Options that stay the same can be set in `lashley.toml`, or as variables such as
`LASHLEY_LLM` ([which, and how](language_model.md#settings-that-stay-the-same))."""
OF_KINDS = "Each [kind](kinds/README.md) is a command, and its page lists its own options. All of them take:"


def commands_page(made: str) -> str:
    rows = [f"| [`agent {name}`](#agent-{name}) | {about} |" for name, (_, about) in COMMANDS.items()]
    sections = [section(*one) for one in every(cli, "agent")]
    head = f"# Commands\n\n{made}\n{ABOUT}\n\n| command | what it does |\n|---|---|"
    return "\n".join([head, *rows, "", "\n\n".join(sections), ""])


def every(group: click.Group, name: str) -> Iterator[tuple[str, click.Command, click.Context]]:
    """The commands of a group and those below them, but for the kinds of experiments."""
    above = click.Context(group, info_name=name)
    for below in group.list_commands(above):
        command = group.get_command(above, below)
        assert command is not None
        yield f"{name} {below}", command, click.Context(command, info_name=below, parent=above)
        if isinstance(command, click.Group) and not isinstance(command, Kinds):
            yield from every(command, f"{name} {below}")


def section(name: str, command: click.Command, context: click.Context) -> str:
    arguments = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    usage = [f"`{name} {arguments}`"] if arguments else []
    parts = [f"{'#' * name.count(' ')}# {name}", *usage, *paragraphs(command.help or "")]
    listed = options(command, context)
    if isinstance(command, Kinds):
        parts.append(OF_KINDS)
        listed = shared_options(command, context)
    return "\n\n".join([*parts, "\n".join(listed)] if listed else parts)


def paragraphs(text: str) -> Iterator[str]:
    """A help text in Markdown: what click would not wrap is a block."""
    for one in inspect.cleandoc(text).split("\n\n"):
        if one.startswith("\b"):
            yield f"```text\n{one.removeprefix(chr(8)).strip(chr(10))}\n```"
        else:
            yield escaped(" ".join(one.split()))


def options(command: click.Command, context: click.Context) -> list[str]:
    records = [one.get_help_record(context) for one in command.params if isinstance(one, click.Option)]
    return [f"- `{name}`: {escaped(' '.join(about.split()))}" for name, about in filter(None, records)]


def shared_options(group: Kinds, context: click.Context) -> list[str]:
    """The options of every kind's command besides the fields of the kind."""
    name = next(iter(kinds()))
    command = group.get_command(context, name)
    assert command is not None
    own = {f"`--{field.replace('_', '-')}" for field in kinds()[name].model_fields}
    return [line for line in options(command, context) if re.split(r"[ /]", line[2:])[0].rstrip("`:") not in own]


def escaped(text: str) -> str:
    """The text, without tags or emphasis outside of code."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(one if one.startswith("`") else re.sub(r"([*]|<(?=\w))", r"\\\1", one) for one in pieces)
