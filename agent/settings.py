"""Settings that last: a flag before a variable, before lashley.toml of the current folder, before the user's own.

What a file says becomes the LASHLEY_* variable of the same name where that is not set. So whatever reads a variable
reads the files, and there is one order everywhere.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import click

FILE = "lashley.toml"
# The options that read their variable. The other settings are read where they are used.
OPTIONS = (
    "model", "task", "driver", "llm", "tools", "n", "experiments", "minutes", "steps", "tokens", "max_cost", "price",
    "experiment_minutes", "context", "reports", "display",
)  # fmt: skip
SETTINGS = (*OPTIONS, "base_url", "profile", "timeout", "db", "cache", "device")
# Which options of which commands: not those that filter a list.
LISTENING = {
    "run": OPTIONS,
    "resume": OPTIONS,
    "doctor": OPTIONS,
    "review": tuple(name for name in OPTIONS if name != "experiments"),
    "experiment": ("model", "task", "n"),
}
# A project's file comes from anybody, and a key goes to the server: there it may only name these.
OWN_HOSTS = ("localhost", "127.0.0.1", "::1", "api.openai.com")
# Variables that came from a file, and from which.
from_files: dict[str, str] = {}


def variable(name: str) -> str:
    return f"LASHLEY_{name.upper()}"


def user_file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "lashley" / FILE


def load(environ: MutableMapping[str, str] = os.environ) -> None:
    """Take the settings of both files into the environment. Raises click.UsageError for one that is none."""
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
    """The settings of a file, as the texts of variables; none where there is no file. Raises click.UsageError."""
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
            raise click.UsageError(f"{path}: {name} does not belong into a file; set OPENAI_API_KEY.")
        if name not in SETTINGS:
            raise click.UsageError(f"{path}: there is no setting {name!r}; there are {', '.join(SETTINGS)}.")
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
            f"{FILE} of this folder may name a server on this machine alone, since the key goes there. Say base_url in "
            f"{user_file()}, in OPENAI_BASE_URL, or with --base-url."
        )


def listen(command: click.Command, names: tuple[str, ...]) -> click.Command:
    """Lets the options of these names read their variables."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in names:
            parameter.envvar = variable(parameter.name)
    return command


def is_said(name: str) -> bool:
    """Whether the option was given on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def origin(variable: str) -> str:
    """How a person knows a variable: by its name, or by the file that sets it."""
    if variable not in from_files:
        return variable
    return f"{variable.removeprefix('LASHLEY_').lower()} in {from_files[variable]}"


def explain(fault: click.ClickException) -> None:
    """Where a value that an option refuses did not come from the command line, say where it came from."""
    if not isinstance(fault, click.BadParameter) or fault.ctx is None or fault.param is None:
        return
    name, named = fault.param.name or "", fault.param.envvar
    if fault.ctx.get_parameter_source(name) is click.core.ParameterSource.ENVIRONMENT and isinstance(named, str):
        fault.param_hint = origin(named)
