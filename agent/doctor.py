"""What works with a language model's server: the program asks it for two short turns, as a study does.

The trial is a call of one of a study's tools and the turn after its result, about 2,000 tokens in all. From the number
of tokens that the server counts in it, the program estimates what a whole study needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import computed_field

from .. import prompts
from ..tools.registry import all_tools
from ..tools.toolset import core, offered
from .drivers.chat import ChatDriver, only_talked
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
# Tools whose descriptions are long compared to the instructions: this reveals a server that drops them.
TRIED = ("write_note", "propose_hypothesis", "list_tasks")
RESULT = "N1: written."


class Check(Frozen):
    """One check. A `fatal` `no` means that this model cannot drive a study; `code` is that of the driver's error, if an
    error is the reason."""

    name: str
    found: Found
    text: str
    fatal: bool = False
    code: str = ""


class Health(Frozen):
    """All checks. `tools` is the widest choice of tools that fits (`all`, `core`); None if the model cannot drive a
    study."""

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
    """Test the server through its driver. `reads` is the size of the model's context in tokens, if the user gives it;
    `say` is called with each check. Raises nothing, whatever the server does."""
    checks: list[Check] = []

    def heard(check: Check) -> None:
        checks.append(check)
        say(check)

    tools = run_checks(driver, server, reads, heard)
    if any(check.found == "no" and check.fatal for check in checks):
        tools = None
    who = {"driver": driver.name, "llm": driver.llm, "url": server.url, "profile": server.profile.name}
    return Health(**who, checks=tuple(checks), tools=tools)


def run_checks(driver: Driver, server: Server, reads: int | None, say: Callable[[Check], None]) -> str | None:
    """Run the checks until one is fatal. Returns the widest choice of tools that fits."""
    try:
        entries = server.knock()
    except DriverError as fault:
        say(failed_check(fault, "reachable"))
        return None
    profile = server.profile
    say(yes("reachable", f"{server.url} answers. Its type is {profile.name}. {profile.about}"))
    say(model_check(driver.llm, entries))
    specs = [ToolSpec.of(tool) for name, tool in all_tools().items() if name in TRIED]
    try:
        turns = try_turns(driver, specs)
    except DriverError as fault:
        say(failed_check(fault, "tools"))
        return None
    say(yes("key", "The key is accepted." if server.has_key else "The server needs no key."))
    say(calls(driver, turns))
    say(strict(driver))
    first = turns[0].tokens_in
    sent = len(prompts.read("doctor")) + sum(len(s.model_dump_json()) for s in specs)
    counted = first is not None and FEWEST <= first / sent <= MOST
    reported = next((context_length(entry) for entry in entries if entry.get("id") == driver.llm), None)
    check, tools = room(reads or reported, (first or 0) / sent if counted else PER_CHARACTER, server, reads is not None)
    say(check)
    return tools


def yes(name: str, text: str) -> Check:
    return Check(name=name, found="yes", text=text)


def failed_check(fault: DriverError, where: str) -> Check:
    """A driver's error as a failed check."""
    name = "key" if isinstance(fault, (NoKey, WrongKey)) else where
    name = "context" if isinstance(fault, ContextOverflow) else name
    name = "model" if fault.code == NO_SUCH_MODEL else name
    return Check(name=name, found="no", text=str(fault), fatal=True, code=fault.code)


def model_check(llm: str, entries: Sequence[dict[str, Any]]) -> Check:
    names = [str(entry["id"]) for entry in entries if entry.get("id")]
    if llm in names:
        return yes("model", f"{llm} is available.")
    if not names:
        return Check(name="model", found="unknown", text=f"The server lists no models; {llm} may still work.")
    others = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return Check(name="model", found="unknown", text=f"{llm} is not among the models that the server lists ({others}).")


def try_turns(driver: Driver, specs: Sequence[ToolSpec]) -> list[Reply]:
    """A first turn, and the one after the results of its calls. A model that only talks in both gets two more, because
    a study then falls back to a JSON schema. Raises DriverError."""
    instructions = prompts.read("doctor")
    messages = [Message(role="user", text="Write the note now.")]
    turns: list[Reply] = []
    while True:
        turn = driver.reply(instructions, messages, specs)
        turns.append(turn)
        messages.append(Message.of(turn))
        if len(turns) == 4 or (len(turns) == 2 and not (isinstance(driver, ChatDriver) and only_talked(messages))):
            return turns[-2:]
        messages += [Message(role="tool", call_id=call.id, text=RESULT) for call in turn.calls]
        messages.append(Message(role="user", text="Write another, with other words."))


def calls(driver: Driver, turns: Sequence[Reply]) -> Check:
    """Whether it called tools that exist, with readable arguments."""
    by_schema = isinstance(driver, ChatDriver) and driver.by_schema
    by = "a JSON schema (without one it calls no tools)" if by_schema else "tools"
    mended = dict.fromkeys(one.what for turn in turns for one in turn.mended)
    noted = f" The program repairs its replies: {' '.join(mended)}" if mended else ""
    hint = next((f" {turn.hint[0].upper()}{turn.hint[1:]}" for turn in turns if turn.hint), "")
    good = [any(call.name in TRIED and readable(call.arguments) for call in turn.calls) for turn in turns]
    if all(good):
        return yes("tools", f"It acted through {by} in both turns.{noted}")
    if any(good):
        return Check(
            name="tools", found="unknown", text=f"It acted through {by} in one of two turns; expect extra turns.{noted}"
        )
    text = "It accepts tools but calls none, so a study would end soon. Choose a model that calls tools."
    text += hint
    if any(turn.finish == "length" for turn in turns):
        text = "Its answers reached their length limit before a call was complete."
    return Check(name="tools", found="no", text=text, fatal=True)


def readable(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def strict(driver: Driver) -> Check:
    """Whether strict schemas are sent. Nothing depends on it: the program checks arguments itself."""
    if getattr(driver, "is_strict", False):
        return yes("strict", "Strict schemas are accepted.")
    text = "Strict schemas are not sent. The program checks the arguments and returns faults to the model."
    return Check(name="strict", found="no", text=text)


def room(reads: int | None, per_character: float, server: Server, by_user: bool) -> tuple[Check, str | None]:
    """How much of the context the tools use, and the widest choice that fits."""
    window, every = Window(limit=reads, per_character=per_character), all_tools()
    sizes = {
        which: window.base(prompts.read("system"), [ToolSpec.of(tool) for tool in offered(every, names).values()])
        for which, names in (("all", None), ("core", core()))
    }
    need = f"All tools use about {sizes['all']:,} tokens of each request, --tools core {sizes['core']:,}"
    if reads is None:
        text = f"It reports no context size. {need}; if that is too much, {server.profile.longer}."
        return Check(name="context", found="unknown", text=text), "all"
    for which, size in sizes.items():
        if window.holds(size):
            said = f"Context size{' that you gave' if by_user else ''}: {reads:,} tokens. {need}"
            more = "" if which == "all" else ". All tools do not fit; use --tools core"
            return Check(name="context", found="yes" if which == "all" else "no", text=f"{said}{more}."), which
    text = f"Context size: {reads:,} tokens. {need}. Neither fits; {server.profile.longer}."
    return Check(name="context", found="no", text=text, fatal=True), None
