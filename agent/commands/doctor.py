"""`agent doctor`: does the configured language model answer, and what will work with it?"""

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
@click.option("--llm", help="The language model.")
@click.option("--base-url", help="An OpenAI-compatible server; else OPENAI_BASE_URL.")
@server_options
@click.option("--context", type=click.IntRange(1000), help="How many tokens the language model reads at once.")
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
def doctor(driver: str, llm: str | None, base_url: str | None, context: int | None, as_json: bool) -> None:
    """Try the language model that a study would ask: is it reachable, with this key, does it call tools, do they fit?

    Takes two short turns of it, about 2,000 tokens. Exit code 0 if a study can be driven, 1 if not.
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
        conclude(found, way(found, base_url, context))
    raise click.exceptions.Exit(0 if found.works else 1)


def without_server(chosen: Driver, why: str, as_json: bool) -> None:
    """A protocol asks nobody, and of a driver with its own way to a language model only a study shows what works."""
    from ..doctor import Health

    if as_json:
        found = Health(driver=chosen.name, llm=chosen.llm, url="", profile="", checks=(), tools="all")
        click.echo(found.model_dump_json(indent=2))
    else:
        click.echo(f"{why}\nWhat will work:\n  {own_way(chosen)}")


def own_way(chosen: Driver) -> str:
    """The command by which a study is driven without a server; the autopilot is taken by itself."""
    words = [] if chosen.name == "autopilot" else ["--driver", chosen.name]
    words += ["--llm", chosen.llm] if chosen.llm else []
    return f'{shlex.join(["agent", "run", *words])} --goal "..."'


def show(check: Check) -> None:
    """A line of what was found, as soon as it is: a slow model takes minutes for the next."""
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
        click.echo(f"What will work:\n  {command}")
    else:
        click.echo(
            'No study can be driven by it as it is. What works without it:\n  agent run --driver autopilot --goal "..."'
        )


def way(found: Health, base_url: str | None, context: int | None) -> str:
    """The command by which a study is driven."""
    words = ["agent", "run", "--goal", "..."]
    words += ["--driver", found.driver, "--llm", found.llm]
    words += ["--base-url", found.url] if base_url else []
    words += ["--tools", found.tools] if found.tools not in (None, "all") else []
    words += ["--context", str(context)] if context else []
    return shlex.join(words)
