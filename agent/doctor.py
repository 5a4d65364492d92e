"""What will work with a language model's server: it is asked for two short turns, as a study asks, and measured.

The trial is a call of one of a study's own tools and the turn after its result, about 2,000 tokens in all. What a whole
study needs is reckoned from how many tokens this server counted in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import computed_field

from .. import prompts
from ..tools.registry import all_tools
from ..tools.toolset import core, offered
from .drivers.chat import ChatDriver, talked
from .drivers.conversation import (
    ContextOverflow,
    Driver,
    DriverError,
    Frozen,
    Message,
    NoKey,
    Reply,
    ToolSpec,
    WrongKey,
)
from .drivers.profiles import context_length
from .drivers.server import Server
from .drivers.server_faults import NO_SUCH_MODEL
from .study.context_window import FEWEST, MOST, PER_CHARACTER, Window

Found = Literal["yes", "no", "unknown"]
# Those whose descriptions are long beside the instructions: only so a server that drops them is noticed.
TRIED = ("write_note", "propose_hypothesis", "list_tasks")
RESULT = "N1: written."


class Check(Frozen):
    """One thing that was tried. A `no` that is `fatal` keeps a study from being driven; `code` is that of the driver's
    error, where one is why."""

    name: str
    found: Found
    text: str
    fatal: bool = False
    code: str = ""


class Health(Frozen):
    """Everything that was found. `tools` is the widest choice of tools that fits (`all`, `core`); None where no study
    can be driven."""

    driver: str
    llm: str
    url: str
    profile: str
    checks: tuple[Check, ...]
    tools: str | None

    @computed_field
    @property
    def works(self) -> bool:
        return self.tools is not None


def examine(
    driver: Driver, server: Server, reads: int | None = None, say: Callable[[Check], None] = lambda check: None
) -> Health:
    """Try the server by its driver. `reads` is how many tokens its model reads at once, where the user says it; `say`
    hears each check as it is made. Nothing that a server does makes it fail."""
    checks: list[Check] = []

    def heard(check: Check) -> None:
        checks.append(check)
        say(check)

    tools = examined(driver, server, reads, heard)
    if any(check.found == "no" and check.fatal for check in checks):
        tools = None
    who = {"driver": driver.name, "llm": driver.llm, "url": server.url, "profile": server.profile.name}
    return Health(**who, checks=tuple(checks), tools=tools)


def examined(driver: Driver, server: Server, reads: int | None, say: Callable[[Check], None]) -> str | None:
    """Every check in turn, until one is fatal; the widest choice of tools that fits."""
    try:
        entries = server.knock()
    except DriverError as fault:
        say(failed(fault, "reachable"))
        return None
    profile = server.profile
    say(yes("reachable", f"{server.url} answers; it is taken for {profile.name}. {profile.about}"))
    say(listed(driver.llm, entries))
    specs = [ToolSpec.of(tool) for name, tool in all_tools().items() if name in TRIED]
    try:
        turns = tried(driver, specs)
    except DriverError as fault:
        say(failed(fault, "tools"))
        return None
    say(yes("key", "The key is accepted." if server.has_key else "It wants none."))
    say(calls(driver, turns))
    say(strict(driver))
    first = turns[0].tokens_in
    sent = len(prompts.read("doctor")) + sum(len(s.model_dump_json()) for s in specs)
    counted = first is not None and FEWEST <= first / sent <= MOST
    told = next((context_length(entry) for entry in entries if entry.get("id") == driver.llm), None)
    check, tools = room(reads or told, (first or 0) / sent if counted else PER_CHARACTER, server, reads is not None)
    say(check)
    return tools


def yes(name: str, text: str) -> Check:
    return Check(name=name, found="yes", text=text)


def failed(fault: DriverError, where: str) -> Check:
    """A fault as the check that it fails."""
    name = "key" if isinstance(fault, (NoKey, WrongKey)) else where
    name = "context" if isinstance(fault, ContextOverflow) else name
    name = "model" if fault.code == NO_SUCH_MODEL else name
    return Check(name=name, found="no", text=str(fault), fatal=True, code=fault.code)


def listed(llm: str, entries: Sequence[dict[str, Any]]) -> Check:
    names = [str(entry["id"]) for entry in entries if entry.get("id")]
    if llm in names:
        return yes("model", f"{llm} is there.")
    if not names:
        return Check(name="model", found="unknown", text=f"The server lists no models; {llm} is asked all the same.")
    others = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return Check(name="model", found="unknown", text=f"{llm} is not among those that it lists ({others}).")


def tried(driver: Driver, specs: Sequence[ToolSpec]) -> list[Reply]:
    """A first turn, and the one after the results of its calls; of a model that only talked in both, two more, since
    a study goes on with a schema then. Raises DriverError."""
    instructions = prompts.read("doctor")
    messages = [Message(role="user", text="Write the note now.")]
    turns: list[Reply] = []
    while True:
        turn = driver.reply(instructions, messages, specs)
        turns.append(turn)
        messages.append(Message.of(turn))
        if len(turns) == 4 or (len(turns) == 2 and not (isinstance(driver, ChatDriver) and talked(messages))):
            return turns[-2:]
        messages += [Message(role="tool", call_id=call.id, text=RESULT) for call in turn.calls]
        messages.append(Message(role="user", text="Write another, with other words."))


def calls(driver: Driver, turns: Sequence[Reply]) -> Check:
    """Whether it called what there is, with arguments that can be read."""
    by_schema = isinstance(driver, ChatDriver) and driver.by_schema
    by = "a JSON schema, since without one it calls none," if by_schema else "tools"
    mended = dict.fromkeys(one.what for turn in turns for one in turn.mended)
    noted = f" Its replies are mended: {' '.join(mended)}" if mended else ""
    hint = next((f" {turn.hint[0].upper()}{turn.hint[1:]}" for turn in turns if turn.hint), "")
    good = [any(call.name in TRIED and readable(call.arguments) for call in turn.calls) for turn in turns]
    if all(good):
        return yes("tools", f"It acts through {by} in two turns of two.{noted}")
    if any(good):
        return Check(
            name="tools", found="unknown", text=f"It acted through {by} in one turn of two: expect detours.{noted}"
        )
    text = "It takes tools, but calls none, turn after turn: a study would end soon. Take a model that calls tools."
    text += hint
    if any(turn.finish == "length" for turn in turns):
        text = "Its answers were cut at their length limit before a call was whole."
    return Check(name="tools", found="no", text=text, fatal=True)


def readable(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def strict(driver: Driver) -> Check:
    """Whether strict schemas are sent. Nothing depends on it: arguments are checked here, too."""
    if getattr(driver, "is_strict", False):
        return yes("strict", "Strict schemas are accepted.")
    text = "Strict schemas are not sent: what does not fit a schema is refused here, and told to the model."
    return Check(name="strict", found="no", text=text)


def room(reads: int | None, per_character: float, server: Server, by_user: bool) -> tuple[Check, str | None]:
    """How much of a context the tools take, and the widest choice that fits."""
    window, every = Window(limit=reads, per_character=per_character), all_tools()
    sizes = {
        which: window.base(prompts.read("system"), [ToolSpec.of(tool) for tool in offered(every, names).values()])
        for which, names in (("all", None), ("core", core()))
    }
    need = f"All tools take about {sizes['all']:,} tokens of each request, --tools core {sizes['core']:,}"
    if reads is None:
        text = f"It does not say how much it reads at once. {need}; if that is too much, {server.profile.longer}."
        return Check(name="context", found="unknown", text=text), "all"
    for which, size in sizes.items():
        if window.holds(size):
            said = f"{'You say that it' if by_user else 'It'} reads {reads:,} tokens. {need}"
            more = "" if which == "all" else ": all of them do not fit, take --tools core"
            return Check(name="context", found="yes" if which == "all" else "no", text=f"{said}{more}."), which
    text = f"It reads {reads:,} tokens. {need}: neither fits, {server.profile.longer}."
    return Check(name="context", found="no", text=text, fatal=True), None
