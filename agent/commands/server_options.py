"""The options that say how a language model's server is asked, the same for every command that asks one.

They hold for the whole process, as the variables of the same names do: who asks reads those.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..drivers import registry
from .options import Amount

F = TypeVar("F", bound=Callable[..., Any])


def server_options(command: F) -> F:
    """Adds --profile and --timeout."""
    names = ["openai", "ollama", "vllm", "llama.cpp", "llama-cpp-python", "openrouter", "compatible"]
    options = (
        click.option(
            "--profile",
            type=click.Choice(names),
            expose_value=False,
            callback=_export,
            help="What kind of server it is, where that is not recognised.",
        ),
        click.option(
            "--timeout",
            type=Amount(0, min_open=True),
            expose_value=False,
            callback=_export,
            help="Seconds for one whole answer of the language model; 600 otherwise.",
        ),
    )
    for option in options:
        command = option(command)
    return command


def driver_option(flag: str, help: str, default: bool = False) -> Callable[[F], F]:
    """An option that takes a driver: `auto` by default, or nothing."""
    return click.option(
        flag,
        type=click.Choice(registry.names()),
        default=registry.AUTO if default else None,
        show_default=default,
        help=f"{help} {registry.help_text()}.",
    )


def asks_nobody(name: str) -> bool:
    """Whether it is a driver that needs no language model. Raises BadRequest for one that is not there."""
    return name != registry.AUTO and registry.driver_named(name).needs == "nothing"


def _export(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None:
        os.environ[f"LASHLEY_{str(parameter.name).upper()}"] = str(value)
