"""The drivers by name. Each row is one driver; every `--driver` option and its help are made from the rows.

Nothing is imported until a driver is created. Another package adds a driver with an entry point of `lashley.drivers`:
its name is the driver's name, and its value a `DriverRow`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .conversation import Driver

GROUP = "lashley.drivers"
AUTO = "auto"


@dataclass(frozen=True)
class Asked:
    """The settings to create a driver with.

    llm                the language model; empty for a driver that needs nothing
    base_url, key      of the server; None if there is none
    timeout            seconds for a whole answer
    max_output_tokens  of one answer; None: no limit
    """

    llm: str = ""
    base_url: str | None = None
    key: str | None = None
    timeout: float = 600.0
    max_output_tokens: int | None = None
    retries: int = 4
    profile: str | None = None


@dataclass(frozen=True)
class DriverRow:
    """A driver: how to create it, and what it needs.

    about  one line of help
    needs  server: an OpenAI-compatible server or a key for OpenAI, which the program finds; the driver has a `server`.
           model: the name of a language model, which the driver reaches by itself. nothing: it is a fixed protocol.
    """

    name: str
    about: str
    needs: Literal["server", "model", "nothing"]
    make: Callable[[Asked], Driver]


def _responses(asked: Asked) -> Driver:
    from .responses import ResponsesDriver

    return ResponsesDriver(asked.llm, asked.base_url, asked.key, asked.timeout, asked.max_output_tokens, asked.retries,
                           asked.profile)  # fmt: skip


def _chat(asked: Asked) -> Driver:
    from .chat import ChatDriver

    return ChatDriver(asked.llm, asked.base_url, asked.key, asked.timeout, asked.max_output_tokens, asked.retries,
                      asked.profile)  # fmt: skip


def _autopilot(_: Asked) -> Driver:
    from ..autopilot.driver import Autopilot

    return Autopilot()


# In the order of the help.
OURS = (
    DriverRow("responses", "OpenAI", "server", _responses),
    DriverRow("chat", "a server with OpenAI's Chat Completions API", "server", _chat),
    DriverRow("autopilot", "a fixed protocol that needs no key", "nothing", _autopilot),
)


@cache
def installed() -> dict[str, EntryPoint]:
    """The drivers of other packages by name; imports none of them."""
    ours = {row.name for row in OURS}
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in {*ours, AUTO}}


def names() -> list[str]:
    """The values of --driver."""
    return [AUTO, *(row.name for row in OURS), *installed()]


def help_text() -> str:
    """The drivers in a sentence, each with its line of help, or with its package."""
    from ...tools.installed import origin

    lines = [f"{row.name}: {row.about}" for row in OURS]
    lines += [f"{name}: from {origin(entry)}" for name, entry in installed().items()]
    return "; ".join(lines)


def driver_named(name: str) -> DriverRow:
    """The driver of this name. Raises BadRequest if there is none, or if an installed one cannot be used."""
    from .conversation import BadRequest

    for row in OURS:
        if row.name == name:
            return row
    entry = installed().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, names(), n=2, cutoff=0.5) or names()
        raise BadRequest(f"There is no driver '{name[:40]}'. Is its package installed? There is {', '.join(near)}.")
    from ...tools.installed import loaded

    def fits(row: Any) -> bool:
        return isinstance(row, DriverRow) and row.name == name

    return loaded(entry, "driver", fits, f"a DriverRow named '{name}'", BadRequest)
