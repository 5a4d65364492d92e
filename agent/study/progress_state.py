"""The state of a study, read only from its conversation, so a stopped study can be resumed exactly."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...db import older
from ...tools.add_tools import added_by
from ...tools.toolset import ADDING
from ..drivers.conversation import Call, Message
from .endings import STOPPED, why

# Messages that the program sends as the user have one of these keys in their data.
SPENT, STOPPING, GOING_ON, FORKED = "spent", "stopping", "going_on", "forked"
# The user's own messages have this key, with their number. Trackers contain its value.
FROM_USER = "told"
# The optional tools that are still offered.
TOOLS = "tools"
# The optional tools that the first request describes, in the data of the first message; absent in logs of versions that
# sent all of them.
AT_HAND = "at_hand"
# The code of an answer that says that experiments have changed no hypothesis; and the calls that end such a row.
PLATEAU, THINKING = "plateau", ("propose_hypothesis", "test_hypothesis")
# What shows whether there is anything to explain.
LOOKING = frozenset({"baseline", "free_run"})


def last_reply(messages: Sequence[Message]) -> Message | None:
    """The latest message of the driver."""
    return next((m for m in reversed(messages) if m.role == "assistant"), None)


def unanswered(messages: Sequence[Message]) -> list[Call]:
    """The calls of the latest reply that have no answer yet."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message.role == "assistant":
            return [call for call in message.calls if call.id not in answered]
        answered.add(message.call_id)
    return []


def silent(messages: Sequence[Message]) -> int:
    """How many of the latest replies in a row called nothing."""
    count = 0
    for message in reversed(messages):
        if message.role == "assistant":
            if message.calls:
                break
            count += 1
    return count


def repeats(messages: Sequence[Message]) -> int:
    """How often in a row the latest calls were made, since the user's last message; 0 without calls."""
    count, same = 0, None
    for message in reversed(messages):
        if FROM_USER in (message.data or {}) and message.role == "user":
            break
        if message.role == "assistant":
            calls = [(call.name, call.arguments) for call in message.calls]
            same = calls if same is None else same
            if not calls or calls != same:
                break
            count += 1
    return count


def left_in(messages: Sequence[Message]) -> Sequence[str] | None:
    """The optional tools that are still offered: as the study began, or fewer since. None: all."""
    return next((m.data[TOOLS] for m in reversed(messages) if m.role == "user" and m.data and TOOLS in m.data), None)


def at_hand(messages: Sequence[Message]) -> set[str] | None:
    """The optional tools that a request describes: those of the first one, and those added or called since. None: all
    that are offered."""
    first = (messages[0].data or {}).get(AT_HAND)
    if first is None:
        return None
    calls = [call for message in messages for call in message.calls]
    added = {name for call in calls if call.name == ADDING for name in added_by(call.arguments)}
    return {*first, *added, *(call.name for call in calls)}


def explored(messages: Sequence[Message], call: Call, kinds: Collection[str]) -> int:
    """How many experiments in a row, with this one, ran since a hypothesis was last proposed or tested; 0 if this call
    runs another tool. What a study begins with, before there can be a hypothesis, does not count."""
    kinds = {*kinds} - LOOKING
    if call.name not in kinds:
        return 0
    names = {one.id: one.name for message in messages for one in message.calls}
    count = 1
    for message in reversed(messages):
        name = names.get(message.call_id, "")
        if message.role != "tool" or message.code not in ("", PLATEAU):
            continue
        if name in THINKING:
            break
        count += name in kinds
    return count


def closing(messages: Sequence[Message]) -> tuple[str, str, str] | None:
    """How the study will end, once the driver has been asked for its report: status, reason in words, and its code."""
    went_on = False
    for message in reversed(messages):
        data = (message.data or {}) if message.role == "user" else {}
        went_on = went_on or GOING_ON in data
        if SPENT in data:
            return "budget", why("budget", limit=data[SPENT]).text, message.code or older.limit_reached(data[SPENT])
        if STOPPING in data and not went_on:
            return "interrupted", data[STOPPING], STOPPED
    return None


def last_tries(messages: Sequence[Message]) -> int:
    """How often the driver has replied since it was asked for its report."""
    count = 0
    for message in reversed(messages):
        if message.role == "user" and {SPENT, STOPPING} & set(message.data or {}):
            break
        count += message.role == "assistant"
    return count
