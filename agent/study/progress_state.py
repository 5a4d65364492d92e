"""Where a study stands, read from its conversation alone: so one that was stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Sequence

from ...db import older
from ..drivers.conversation import Call, Message
from .endings import STOPPED, why

# What the program says as the user carries one of these as data.
SPENT, STOPPING, GOING_ON, FORKED = "spent", "stopping", "going_on", "forked"
# And the user's own words, with their number.
TOLD = "told"
# What can be left out of the tools, and is left in.
TOOLS = "tools"


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
    """How many of the latest replies called nothing."""
    count = 0
    for message in reversed(messages):
        if message.role == "assistant":
            if message.calls:
                break
            count += 1
    return count


def repeats(messages: Sequence[Message]) -> int:
    """How often in a row, since the user last spoke, the latest reply has been made, if it called something."""
    count, same = 0, None
    for message in reversed(messages):
        if TOLD in (message.data or {}) and message.role == "user":
            break
        if message.role == "assistant":
            calls = [(call.name, call.arguments) for call in message.calls]
            same = calls if same is None else same
            if not calls or calls != same:
                break
            count += 1
    return count


def left_in(messages: Sequence[Message]) -> Sequence[str] | None:
    """What is left in of the tools that can be left out: as the study began, or as it was narrowed since. None: all."""
    return next((m.data[TOOLS] for m in reversed(messages) if m.role == "user" and m.data and TOOLS in m.data), None)


def closing(messages: Sequence[Message]) -> tuple[str, str, str] | None:
    """How the study will end, once the driver has been told that only the report is wanted: status, why in words, and
    the code of that."""
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
    """How often the driver has replied since it was told that only the report is wanted."""
    count = 0
    for message in reversed(messages):
        if message.role == "user" and {SPENT, STOPPING} & set(message.data or {}):
            break
        count += message.role == "assistant"
    return count
