"""Join a stream that a server sends without being asked into one reply.

Some servers and relays answer every request with server-sent events (`data: {...}` lines). Chat Completions come in
chunks, which are joined here; the Responses API ends its stream with the whole response.
https://platform.openai.com/docs/api-reference/chat-streaming and .../responses-streaming describe both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from .conversation import BadReply
from .fields import a_dict, dicts

# Set on a body that was joined; the driver logs it as a repair.
MARK = "lashley_streamed"
# Most chunks number their tool calls with an index; the few without one are distinguished by their ids.
Piece = dict[str, Any]


def is_stream(text: str) -> bool:
    """Whether a body that is not JSON is a stream: its first line is a field of an event, or a comment."""
    first = next((line for line in _lines(text) if line.strip()), "")
    return first.startswith(("data:", "event:", "id:", "retry:", ":"))


def join(text: str) -> dict[str, Any]:
    """The JSON object that the server would have answered without streaming, marked with MARK.

    An error inside the stream is returned as it is. Raises BadReply if the stream ends before the reply is complete,
    or contains none: half a reply must not be acted on.
    """
    events, done = list(_events(text)), "[DONE]" in (line.removeprefix("data:").strip() for line in _lines(text))
    for event in events:
        if event.get("error") and not event.get("choices"):
            return {"error": event["error"]}
        if event.get("type") == "error":
            return {"error": event}
    # The last event of the Responses API contains everything.
    for event in reversed(events):
        if event.get("type") in ("response.completed", "response.incomplete", "response.failed"):
            return {**a_dict(event.get("response")), MARK: True}
    chunks = [event for event in events if isinstance(event.get("choices"), list)]
    if chunks:
        return _joined(chunks, done)
    if any(str(event.get("type", "")).startswith("response.") for event in events):
        raise BadReply("the stream ends before the reply is complete")
    raise BadReply("it contains no reply")


def _events(text: str) -> Iterator[Piece]:
    """The JSON objects of a stream. An event may span several data lines, and some servers omit the blank lines between
    events."""
    waiting: list[str] = []
    for line in [*_lines(text), ""]:
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if (whole := _object(data)) is not None:
                yield whole
            elif data != "[DONE]":
                waiting.append(data)
        elif not line.strip() and waiting:
            if (whole := _object("\n".join(waiting))) is None:
                raise BadReply("one of its events is not JSON")
            yield whole
            waiting = []


def _lines(text: str) -> list[str]:
    """The lines, split only at the line ends of the format: JSON may contain others, such as U+2028."""
    return re.split(r"\r\n|\n|\r", text.lstrip("\ufeff"))


def _object(text: str) -> Piece | None:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast(Piece, value) if isinstance(value, dict) else None


def _joined(chunks: Sequence[Piece], done: bool) -> dict[str, Any]:
    """The completion that these chunks form; only the first choice."""
    said: Piece = {"role": "assistant", "content": None}
    calls: dict[object, Piece] = {}
    finish: object = None
    usage: object = None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in dicts(chunk.get("choices")):
            if choice.get("index", 0) != 0:
                continue
            finish = choice.get("finish_reason") or finish
            # Some servers send the whole message in a single event.
            delta = a_dict(choice.get("delta")) or a_dict(choice.get("message"))
            for field in ("content", "refusal"):
                if isinstance(delta.get(field), str):
                    said[field] = (said.get(field) or "") + delta[field]
            for piece in dicts(delta.get("tool_calls")):
                _add(calls, piece)
    if finish is None and not done:
        raise BadReply("the stream ends before the reply is complete")
    if calls:
        said["tool_calls"] = list(calls.values())
    choice = {"index": 0, "message": said, "finish_reason": finish or "stop"}
    return {"object": "chat.completion", "choices": [choice], "usage": usage, MARK: True}


def _add(calls: dict[object, Piece], piece: Piece) -> None:
    """Add a piece of a call to those before it: name and id come once, the arguments in parts."""
    key: object = piece.get("index")
    if key is None:
        key = piece.get("id") or next(reversed(calls), None)
    call = calls.setdefault(key, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call["id"] = call["id"] or piece.get("id") or ""
    known, given = call["function"], a_dict(piece.get("function"))
    known["name"] = known["name"] or given.get("name") or ""
    arguments = given.get("arguments")
    if isinstance(arguments, str):
        known["arguments"] += arguments
    elif arguments is not None:
        known["arguments"] = json.dumps(arguments)
