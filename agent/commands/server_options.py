"""The options for a language model's server, the same for every command that uses one.

They set environment variables of the same names for the whole process; the drivers read those.
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
    """Add --profile and --timeout."""
    names = ["openai", "ollama", "vllm", "llama.cpp", "llama-cpp-python", "openrouter", "compatible"]
    options = (
        click.option(
            "--profile",
            type=click.Choice(names),
            expose_value=False,
            callback=_export,
            help="Server type; default: detected.",
        ),
        click.option(
            "--timeout",
            type=Amount(0, min_open=True),
            expose_value=False,
            callback=_export,
            help="Seconds to wait for a whole answer of the language model.  [default: 600]",
        ),
    )
    for option in options:
        command = option(command)
    return command


def driver_option(flag: str, help: str, default: bool = False) -> Callable[[F], F]:
    """An option that takes the name of a driver; its default is `auto`, or none."""
    return click.option(
        flag,
        type=click.Choice(registry.names()),
        default=registry.AUTO if default else None,
        show_default=default,
        help=f"{help} {registry.help_text()}.",
    )


def asks_nobody(name: str) -> bool:
    """Whether this driver needs no language model. Raises BadRequest if there is no such driver."""
    return name != registry.AUTO and registry.driver_named(name).needs == "nothing"


def _export(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None:
        os.environ[f"LASHLEY_{str(parameter.name).upper()}"] = str(value)
