"""OpenAI's Responses API, the only one over which its newer models use tools.

The server stores nothing: each request sends the whole conversation. The items that the model produced, including its
encrypted reasoning, go back unchanged, so the model can continue its own reasoning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, cast

from .conversation import BadReply, Call, Message, Reply, ToolSpec
from .fields import a_dict, cached, dicts, tokens
from .foreign import RESPONSES_OPTIONS
from .history import answered, call_of, sendable_arguments, sendable_name
from .mending import repair
from .server import Server
from .server_faults import Complaint, reason_of

REASONING = "reasoning.encrypted_content"


class ResponsesDriver:
    """Takes turns over POST /responses. `timeout` is in seconds for a whole answer, `base_url` None means OpenAI."""

    name = "responses"

    def __init__(
        self,
        llm: str,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 600.0,
        max_output_tokens: int | None = None,
        retries: int = 4,
        profile: str | None = None,
    ) -> None:
        self.llm = llm
        self.server = Server(base_url, api_key, timeout, retries, profile)
        self._max_output_tokens = max_output_tokens
        self._refused: set[str] = set()

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The model's next turn. Raises a DriverError."""
        return self.server.ask(
            self.llm,
            lambda client: cast(Any, client.responses.with_raw_response).create(
                **self.request(instructions, messages, tools)
            ),
            self._concede,
            lambda body: repair(
                read_response(body, messages, self.server.url), body, messages, tools, self.server.profile
            ),
        )

    def request(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        """The request, as keyword arguments of `create`."""
        request: dict[str, Any] = {
            "model": self.llm,
            "instructions": instructions,
            "input": response_input(messages, with_items="items" not in self._refused),
            "store": False,
        }
        if "include" not in self._refused:
            request["include"] = [REASONING]
        if tools:
            request["tools"] = [self._tool(tool) for tool in tools]
            if "parallel_tool_calls" not in self._refused:
                request["parallel_tool_calls"] = False
        if self._max_output_tokens is not None and "max_output_tokens" not in self._refused:
            request["max_output_tokens"] = self._max_output_tokens
        return request

    @property
    def is_strict(self) -> bool:
        """Whether strict schemas are sent: not if the server refused them."""
        return "strict" not in self._refused

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        strict = {} if "strict" in self._refused else {"strict": True}
        return {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            **strict,
        }

    def _concede(self, complaint: Complaint) -> bool:
        for option, sound in RESPONSES_OPTIONS.items():
            if option not in self._refused and re.search(sound, str(complaint), re.IGNORECASE):
                self._refused.add(option)
                return True
        return False


def response_input(messages: Sequence[Message], with_items: bool = True) -> list[dict[str, Any]]:
    """The conversation as input items."""
    wire: list[dict[str, Any]] = []
    for message in answered(messages):
        if message.role == "tool":
            wire.append({"type": "function_call_output", "call_id": message.call_id, "output": message.text})
        elif message.items and with_items:
            wire.extend(sendable_item(item) for item in message.items)
        else:
            if message.text.strip() or not message.calls:
                wire.append({"role": message.role, "content": message.text})
            wire.extend(
                {
                    "type": "function_call",
                    "call_id": call.id,
                    "name": sendable_name(call.name),
                    "arguments": sendable_arguments(call.arguments),
                }
                for call in message.calls
            )
    return wire


def sendable_item(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it came; only a call whose name or arguments every server would refuse is repaired."""
    if item.get("type") != "function_call":
        return item
    name, arguments = sendable_name(str(item.get("name"))), sendable_arguments(str(item.get("arguments")))
    return {**item, "name": name, "arguments": arguments}


def read_response(body: dict[str, Any], messages: Sequence[Message], url: str) -> Reply:
    """The output items as a Reply. Raises BadReply if there are none."""
    items = dicts(body.get("output"))
    status = body.get("status") or "completed"
    reason = a_dict(body.get("incomplete_details")).get("reason")
    if status not in ("completed", "incomplete") or (status == "completed" and not items):
        raise BadReply(f"{url} sent an answer without a reply (status {status}): {reason_of(body.get('error'))}.")
    calls: list[Call] = []
    texts: list[str] = []
    refusals: list[str] = []
    kept: list[dict[str, Any]] = []
    for item in items:
        if item.get("type") == "function_call":
            call = call_of(item.get("call_id"), item.get("name"), item.get("arguments"), messages, calls)
            calls.append(call)
            item = {**item, "call_id": call.id, "arguments": call.arguments}
        elif item.get("type") == "message":
            for part in dicts(item.get("content")):
                if part.get("type") == "refusal":
                    refusals.append(str(part.get("refusal") or ""))
                else:
                    texts.append(str(part.get("text") or ""))
        kept.append(item)
    finish: Literal["stop", "length", "refusal"] = "stop"
    if refusals or reason == "content_filter":
        finish, texts = "refusal", refusals or texts
    elif status == "incomplete":
        finish = "length"
    # A turn that was cut off goes back as text: half a call must not run, and the server refuses reasoning without
    # the item that follows it. For the same reason, reasoning goes back only together with that item.
    if finish != "stop":
        calls, kept = [], []
    while kept and kept[-1].get("type") == "reasoning":
        kept.pop()
    return Reply(
        text="\n".join(text for text in texts if text),
        calls=tuple(calls),
        finish=finish,
        tokens_in=tokens(body.get("usage"), "input_tokens"),
        tokens_out=tokens(body.get("usage"), "output_tokens"),
        tokens_cached=cached(body.get("usage"), "input_tokens"),
        tokens_written=cached(body.get("usage"), "input_tokens", "cache_write_tokens"),
        items=tuple(kept),
    )
