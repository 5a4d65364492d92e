"""Repair replies whose meaning is clear: misspelt tool names, and calls that came as text.

The program repairs a reply before it logs it, and logs each repair with the reply. So a replay sees what the study
saw. Nothing is guessed: apart from what servers add, a name must match exactly one tool, and a text must consist only
of calls.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .conversation import Call, Message, Repair, Reply, ToolSpec
from .history import call_of
from .profiles import PROFILES, UNKNOWN, Profile
from .streamed import MARK
from .written_calls import calls_written, shows_calls

# Namespaces before a name (`functions.`, `default_api:`, `mcp__`) and the name itself.
SPACED = re.compile(r"(?:[\w-]+?(?:\.|::?|/|__))*([\w -]+)", re.ASCII)
TO = re.compile(r"\bto=([\w.:/-]+)", re.ASCII)


def repair(
    reply: Reply, body: Mapping[str, Any], messages: Sequence[Message], tools: Sequence[ToolSpec], profile: Profile
) -> Reply:
    """The repaired reply with a record of every change; if its text shows calls that cannot be run, also with the
    reason."""
    # A tool that was called repeatedly is not offered for a turn, but its name must still match.
    known = {tool.name for tool in tools} | {call.name for message in messages for call in message.calls}
    done: list[Repair] = []
    if body.get(MARK):
        done.append(Repair(what="The server sent a stream that nobody requested; the program joined it."))
    calls = [_named(call, known, done) for call in reply.calls]
    changes: dict[str, Any] = {}
    if reply.finish == "stop" and tools and not calls and reply.text:
        written = calls_written(reply.text, lambda name: tool_named(name, known) is not None)
        for one in written:
            found = call_of(None, tool_named(one.name, known), one.arguments, messages, calls)
            calls.append(found)
        if written:
            done.append(Repair(what=f"A call came as text: {no_parser(profile)}", was=reply.text))
            # Drop the server's items, or they would go back as the text that they came as.
            changes = {"text": "", "items": ()}
        elif shows_calls(reply.text, known):
            changes = {"hint": f"its last text contains a call that cannot be run, and {no_parser(profile)}"}
    names = {call.id: call.name for call in calls}
    items = tuple(
        {**item, "name": names[item["call_id"]]} if item.get("call_id") in names else item for item in reply.items
    )
    return reply.model_copy(update={"items": items, "calls": tuple(calls), "mended": tuple(done), **changes})


def no_parser(profile: Profile) -> str:
    """Why calls come as text, and what the user can do."""
    said = [f"{one.name}: {one.tools_on}" for one in PROFILES if one.parses] if profile is UNKNOWN else []
    ways = "; ".join(said) or f"{profile.name}: {profile.tools_on}"
    return f"the server seems to have no tool parser for this model ({ways})."


def _named(call: Call, known: Collection[str], done: list[Repair]) -> Call:
    name = tool_named(call.name, known)
    if name is None or name == call.name:
        return call
    done.append(Repair(what=f"The model called the tool {call.name[:80]!r}; its name is {name}.", was=call.name))
    return call.model_copy(update={"name": name})


def tool_named(name: str, known: Collection[str]) -> str | None:
    """The one tool that this name means, ignoring what servers add before and after it, case, and the signs between
    words. None if no tool matches, or more than one."""
    if name in known:
        return name
    # gpt-oss: `note<|channel|>commentary`, or `<|channel|>commentary to=functions.note <|constrain|>json`.
    addressed = TO.search(name)
    bare = addressed[1] if addressed else name.split("<|")[0]
    bare = re.sub(r"(\(\)|:\d+)$", "", bare.strip().strip("\"'`")).strip()
    spaced = SPACED.fullmatch(bare)
    wanted = {letters(bare), letters(spaced[1])} if spaced else set[str]()
    found = [one for one in known if letters(one) in wanted - {""}]
    return found[0] if len(found) == 1 else None


def letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
