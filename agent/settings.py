"""Settings. In order of precedence: a flag, a variable, lashley.toml in the current folder, the user's lashley.toml.

A setting in a file becomes the LASHLEY_* variable of the same name unless that is set. So everything that reads a
variable also reads the files, in the same order everywhere.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import click

FILE = "lashley.toml"
# The options that read their variable. The code that uses the other settings reads them itself.
OPTIONS = (
    "model", "task", "driver", "llm", "tools", "n", "experiments", "minutes", "steps", "tokens", "max_cost", "price",
    "experiment_minutes", "context", "reports", "display",
)  # fmt: skip
SETTINGS = (*OPTIONS, "base_url", "profile", "timeout", "db", "cache", "device")
# Which commands read which variables. Options that filter a list read none.
LISTENING = {
    "run": OPTIONS,
    "resume": OPTIONS,
    "doctor": OPTIONS,
    "review": tuple(name for name in OPTIONS if name != "experiments"),
    "experiment": ("model", "task", "n"),
}
# Anybody may have written a project's file, and the key goes to the server: so it may only name these hosts.
OWN_HOSTS = ("localhost", "127.0.0.1", "::1", "api.openai.com")
# Variables set from a file, and the file.
from_files: dict[str, str] = {}


def variable(name: str) -> str:
    return f"LASHLEY_{name.upper()}"


def user_file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "lashley" / FILE


def load(environ: MutableMapping[str, str] = os.environ) -> None:
    """Copy the settings of both files into the environment. Raises click.UsageError for an unknown setting."""
    project = Path(FILE)
    for path in (project, user_file()):
        for name, value in read(path).items():
            if name == "base_url" and path is project:
                check_own(value)
            taken = environ.get(variable(name)) or (name == "base_url" and environ.get("OPENAI_BASE_URL"))
            if not taken:
                environ[variable(name)] = value
                from_files[variable(name)] = str(path)


def read(path: Path) -> dict[str, str]:
    """The settings of a file, as texts for variables; empty if the file does not exist. Raises click.UsageError."""
    if not path.is_file():
        return {}
    import tomllib

    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise click.UsageError(f"{path} cannot be read: {fault}.") from None
    settings: dict[str, str] = {}
    for name, value in found.items():
        if "key" in name.lower():
            raise click.UsageError(f"{path}: {name} does not belong in a file. Set OPENAI_API_KEY instead.")
        if name not in SETTINGS:
            raise click.UsageError(f"{path}: unknown setting {name!r}. Known settings: {', '.join(SETTINGS)}.")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise click.UsageError(f"{path}: {name} must be a text or a number.")
        settings[name] = str(value)
    return settings


def check_own(base_url: str) -> None:
    from urllib.parse import urlsplit

    try:
        host = urlsplit(base_url).hostname
    except ValueError:
        host = None
    if host not in OWN_HOSTS:
        raise click.UsageError(
            f"{FILE} in this folder may only name a server on this machine, because your key goes there. Set base_url "
            f"in {user_file()}, in OPENAI_BASE_URL, or with --base-url."
        )


def listen(command: click.Command, names: tuple[str, ...]) -> click.Command:
    """Let these options read their variables."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in names:
            parameter.envvar = variable(parameter.name)
    return command


def is_said(name: str) -> bool:
    """Whether the option was given on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def origin(variable: str) -> str:
    """Where a variable was set: its name, or the setting and the file."""
    if variable not in from_files:
        return variable
    return f"{variable.removeprefix('LASHLEY_').lower()} in {from_files[variable]}"


def explain(fault: click.ClickException) -> None:
    """Name the source of a refused value that did not come from the command line."""
    if not isinstance(fault, click.BadParameter) or fault.ctx is None or fault.param is None:
        return
    name, named = fault.param.name or "", fault.param.envvar
    if fault.ctx.get_parameter_source(name) is click.core.ParameterSource.ENVIRONMENT and isinstance(named, str):
        fault.param_hint = origin(named)
