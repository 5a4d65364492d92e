"""Tools for a server without tool calls that supports JSON schemas: each reply is one object, a tool and its arguments.

The instructions describe the tools, calls and results are sent as plain text, and the schema allows only a call. The
tracker keeps the same conversation as with tools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from ... import prompts
from .conversation import Call, Message, ToolSpec
from .fields import a_dict
from .history import answered, call_of, sendable_arguments
from .profiles import Format


def instructions_with(tools: Sequence[ToolSpec], instructions: str) -> str:
    """The instructions, followed by a description of every tool."""
    described = "\n\n".join(
        f"{tool.name}: {tool.description}\narguments: {json.dumps(tool.parameters, ensure_ascii=False)}"
        for tool in tools
    )
    return prompts.fill("by_schema", instructions=instructions, tools=described).strip()


def call_schema(tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The schema of a call of one of these tools. The tools' schemas must contain no references."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"tool": {"type": "string", "enum": [tool.name]}, "arguments": tool.parameters},
                "required": ["tool", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }


def response_format(kind: Format, tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The request field for a schema, in the form of OpenAI or of llama.cpp."""
    schema = call_schema(tools)
    if kind == "json_schema":
        return {"type": "json_schema", "json_schema": {"name": "call", "strict": True, "schema": schema}}
    return {"type": "json_object", "schema": schema}


def as_text(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation with calls and results as text. Consecutive results become one user message, because many
    templates require the roles to alternate."""
    wire: list[dict[str, Any]] = []
    names = {call.id: call.name for message in messages for call in message.calls}
    for message in answered(messages):
        if message.role == "assistant":
            calls = [
                json.dumps({"tool": call.name, "arguments": json.loads(sendable_arguments(call.arguments))})
                for call in message.calls
            ]
            role, text = "assistant", "\n".join(filter(None, [message.text.strip(), *calls]))
        else:
            role = "user"
            text = f"{names[message.call_id]} answered: {message.text}" if message.role == "tool" else message.text
        if wire and wire[-1]["role"] == role:
            wire[-1]["content"] += f"\n\n{text}"
        else:
            wire.append({"role": role, "content": text})
    return wire


def call_in(text: str, messages: Sequence[Message]) -> Call | None:
    """The call that a reply consists of, or None if it is not a call."""
    try:
        said = a_dict(cast(object, json.loads(text)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said.get("tool"), str) or "arguments" not in said:
        return None
    return call_of(None, said["tool"], said["arguments"], messages, ())
