"""What the tests of the two drivers share: both of them, a tool, a goal, and the replies of a server."""

from __future__ import annotations

from typing import Any

import pytest

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import (
    Message,
    Reply,
    ToolSpec,
)
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.tests.wire import Wire, chat, function_call, output_text, response

KEY = "k3y-1234567890-secret"  # not of the form that is struck out anyway
TOOL = ToolSpec(
    name="note",
    description="Write a note.",
    parameters={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
GOAL = (Message(role="user", text="Which heads add?"),)
BOTH = pytest.mark.parametrize("kind", [ChatDriver, ResponsesDriver], ids=["chat", "responses"])


def driver(kind: Any, wire: Wire, **settings: Any) -> Any:
    return kind("m", wire.url, KEY, **{"timeout": 10.0, "max_output_tokens": 500, "retries": 2, **settings})


def ask(kind: Any, wire: Wire, messages: tuple[Message, ...] = GOAL, tools: tuple[ToolSpec, ...] = (TOOL,)) -> Reply:
    return driver(kind, wire).reply("Be careful.", messages, tools)


def good(kind: Any, text: str = "ok") -> dict[str, Any]:
    return chat(text) if kind is ChatDriver else response(output_text(text))


def calling(kind: Any, id: Any, name: str, arguments: Any) -> dict[str, Any]:
    return chat(None, (id, name, arguments)) if kind is ChatDriver else response(function_call(id, name, arguments))


def refusing(message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}
