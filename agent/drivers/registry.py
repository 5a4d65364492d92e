"""The drivers by name: who can take the turns of a study. One row is one driver, from which every `--driver` option and
its help are made.

Nothing is imported until a driver is made. Another package adds one by an entry point of `lashley.drivers`: its name is
the driver's, and it names a `DriverRow`.
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
    """What a driver is made with.

    llm                the language model; empty for a driver that needs nothing
    base_url, key      of the server; None where there is none
    timeout            seconds for a whole answer
    max_output_tokens  of one answer; None: as long as it likes
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
    """A driver: how it is made, and what it needs.

    about  one line of help
    needs  server: an OpenAI-compatible server or a key for OpenAI, which the program looks for; it has a `server`.
           model: the name of a language model, which it reaches in its own way. nothing: it is a protocol.
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


# In the order in which they are offered.
OURS = (
    DriverRow("responses", "OpenAI", "server", _responses),
    DriverRow("chat", "a server that speaks OpenAI's Chat Completions", "server", _chat),
    DriverRow("autopilot", "a fixed protocol that needs no key", "nothing", _autopilot),
)


@cache
def installed() -> dict[str, EntryPoint]:
    """Those of other packages by name; none is imported."""
    ours = {row.name for row in OURS}
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in {*ours, AUTO}}


def names() -> list[str]:
    """What --driver takes."""
    return [AUTO, *(row.name for row in OURS), *installed()]


def help_text() -> str:
    """The drivers in a sentence, each with its one line of help; of another package's with the package."""
    from ...tools.installed import origin

    lines = [f"{row.name}: {row.about}" for row in OURS]
    lines += [f"{name}: from {origin(entry)}" for name, entry in installed().items()]
    return "; ".join(lines)


def driver_named(name: str) -> DriverRow:
    """The driver of this name. Raises BadRequest where there is none, and where an installed one cannot be used."""
    from .conversation import BadRequest

    for row in OURS:
        if row.name == name:
            return row
    entry = installed().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, names(), n=2, cutoff=0.5) or names()
        raise BadRequest(f"There is no driver '{name[:40]}': there is {' or '.join(near)}. Is its package installed?")
    from ...tools.installed import loaded

    def fits(row: Any) -> bool:
        return isinstance(row, DriverRow) and row.name == name

    return loaded(entry, "driver", fits, f"a DriverRow named '{name}'", BadRequest)
