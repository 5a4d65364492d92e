"""`agent doctor`: does the configured language model answer, and what works with it?"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from .one_line_errors import one_line
from .server_options import driver_option, server_options

if TYPE_CHECKING:
    from ..doctor import Check, Health
    from ..drivers.conversation import Driver

CHECKS = ("reachable", "model", "key", "tools", "strict", "context")
MARKS = {"yes": "ok", "no": "no", "unknown": "?"}


@click.command()
@driver_option("--driver", "As for `agent run`.", default=True)
@click.option("--llm", help="Name of the language model.")
@click.option("--base-url", help="URL of an OpenAI-compatible server; default: OPENAI_BASE_URL.")
@server_options
@click.option("--context", type=click.IntRange(1000), help="Size of the language model's context, in tokens.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(driver: str, llm: str | None, base_url: str | None, context: int | None, as_json: bool) -> None:
    """Test the language model that would drive a study: its server, the key, tool calls, and the size of its context.

    Uses two short turns, about 2,000 tokens. Exit code 0 if it can drive a study, 1 if not.
    """
    from ..drivers.choose import choose
    from ..study.context_window import answer_tokens

    with one_line():
        chosen, why, server = choose(driver, llm, base_url, max_output_tokens=context and answer_tokens(context))
        if server is None:
            without_server(chosen, why, as_json)
            return
        click.echo(why, err=True)
        from ..doctor import examine

        found = examine(chosen, server, context, (lambda check: None) if as_json else show)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        conclude(found, command_for(found, base_url, context))
    raise click.exceptions.Exit(0 if found.works else 1)


def without_server(chosen: Driver, why: str, as_json: bool) -> None:
    """A fixed protocol needs no server, and a driver with its own connection can only be tested by a study."""
    from ..doctor import Health

    if as_json:
        found = Health(driver=chosen.name, llm=chosen.llm, url="", profile="", checks=(), tools="all")
        click.echo(found.model_dump_json(indent=2))
    else:
        click.echo(f"{why}\nWhat works:\n  {command_without_server(chosen)}")


def command_without_server(chosen: Driver) -> str:
    """The command that starts a study without a server; the autopilot is the default."""
    words = [] if chosen.name == "autopilot" else ["--driver", chosen.name]
    words += ["--llm", chosen.llm] if chosen.llm else []
    return f'{shlex.join(["agent", "run", *words])} --goal "..."'


def show(check: Check) -> None:
    """Print each check as soon as it is done: with a slow model the next one can take minutes."""
    from rich.table import Table

    from .pages.style import console, plain

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=max(map(len, CHECKS)))
    table.add_column(overflow="fold")
    table.add_row(f"  {MARKS[check.found]:2}", check.name, plain(check.text))
    console().print(table)


def conclude(found: Health, command: str) -> None:
    if found.works:
        click.echo(f"What works:\n  {command}")
    else:
        click.echo(
            'This language model cannot drive a study. The autopilot can:\n  agent run --driver autopilot --goal "..."'
        )


def command_for(found: Health, base_url: str | None, context: int | None) -> str:
    """The command that starts a study with this language model."""
    words = ["agent", "run", "--goal", "..."]
    words += ["--driver", found.driver, "--llm", found.llm]
    words += ["--base-url", found.url] if base_url else []
    words += ["--tools", found.tools] if found.tools not in (None, "all") else []
    words += ["--context", str(context)] if context else []
    return shlex.join(words)
