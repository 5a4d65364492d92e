"""The Chat Completions API, which nearly every server speaks: Ollama, vLLM, llama.cpp, OpenRouter and others.

The whole conversation is sent each time, rebuilt in the same way, so that its beginning stays the same to the
byte and caches hit. What a server does not know (strict schemas, a limit's name) it is not sent again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, cast

from .conversation import BadReply, Call, ContextOverflow, Message, Reply, ToolSpec
from .faults import (
    Complaint,
    Server,
    a_dict,
    answered,
    cached,
    call_of,
    dicts,
    reason_of,
    sendable_arguments,
    sendable_name,
    tokens,
)

OPTIONS = ("strict", "parallel_tool_calls")
LIMIT = re.compile(r"max_(completion_|output_)?tokens|in the completion")
# Even English prose has no more characters per token than this; fewer tokens read means text that was cut.
CHARACTERS_PER_TOKEN = 8
WORTH_CHECKING = 16_000


class ChatDriver:
    """Takes turns over POST /chat/completions. `timeout` is in seconds per attempt, `base_url` None means OpenAI."""

    name = "chat"

    def __init__(
        self,
        llm: str,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 600.0,
        max_output_tokens: int | None = None,
        retries: int = 4,
    ) -> None:
        self.llm = llm
        self.server = Server(base_url, api_key, timeout, retries)
        self._max_output_tokens = max_output_tokens
        self._refused: set[str] = set()
        # OpenAI's models want the first name and many local servers know only the second; some of these ignore what
        # they do not know, so each is first sent its own. None at the end: a limit that is too high is left out.
        names = ["max_completion_tokens", "max_tokens"]
        self._limits = [*(names if self.server.is_openai else names[::-1]), None]

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The model's next turn. Raises a DriverError."""
        body = self.server.ask(
            self.llm,
            lambda client: cast(Any, client.chat.completions.with_raw_response).create(
                **self.request(instructions, messages, tools)
            ),
            self._concede,
        )
        reply = read_completion(body, messages, self.server.url)
        self._check_that_all_was_read(body, instructions, messages)
        return reply

    def request(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        """What is sent, as the keyword arguments of `create`."""
        request: dict[str, Any] = {"model": self.llm, "messages": chat_messages(instructions, messages)}
        if tools:
            request["tools"] = [self._tool(tool) for tool in tools]
            if "parallel_tool_calls" not in self._refused:
                request["parallel_tool_calls"] = False
        if self._max_output_tokens is not None and (limit := self._limits[0]):
            request[limit] = self._max_output_tokens
        return request

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        if "strict" not in self._refused:
            function["strict"] = True
        return {"type": "function", "function": function}

    def _concede(self, complaint: Complaint) -> bool:
        said = str(complaint)
        if self._max_output_tokens is not None and self._limits[0] and LIMIT.search(said):
            self._limits.pop(0)
            return True
        for option in OPTIONS:
            if option not in self._refused and re.search(rf"\b{option}\b", said):
                self._refused.add(option)
                return True
        return False

    def _check_that_all_was_read(self, body: dict[str, Any], instructions: str, messages: Sequence[Message]) -> None:
        """Ollama cuts a long conversation silently, and answers what is left of it."""
        usage = a_dict(body.get("usage"))
        read = tokens(usage, "prompt_tokens")
        sent = len(instructions) + sum(len(m.text) + sum(len(c.arguments) for c in m.calls) for m in messages)
        if not read or sent < WORTH_CHECKING:
            return
        # Some servers count only what was not in their cache.
        read += tokens(usage.get("prompt_tokens_details"), "cached_tokens") or 0
        if read * CHARACTERS_PER_TOKEN < sent:
            raise ContextOverflow(
                f"{self.server.url} read only {read:,} tokens of {sent:,} characters: it cuts conversations silently. "
                "Give it a longer context (Ollama: OLLAMA_CONTEXT_LENGTH)."
            )


def chat_messages(instructions: str, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation in the words of Chat Completions."""
    wire: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    for message in answered(messages):
        if message.role == "tool":
            wire.append({"role": "tool", "tool_call_id": message.call_id, "content": message.text})
        elif message.calls:
            calls = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": sendable_name(call.name), "arguments": sendable_arguments(call.arguments)},
                }
                for call in message.calls
            ]
            wire.append({"role": "assistant", "content": message.text or None, "tool_calls": calls})
        else:
            wire.append({"role": message.role, "content": message.text})
    return wire


def read_completion(body: dict[str, Any], messages: Sequence[Message], url: str) -> Reply:
    """The first choice as a Reply. Raises BadReply where there is none."""
    choices = dicts(body.get("choices"))
    if not choices:
        raise BadReply(f"{url} answered without any choice, so there is no reply in it: try again, or another model.")
    choice, said = choices[0], a_dict(choices[0].get("message"))
    if choice.get("finish_reason") == "error" or not said:
        raise BadReply(f"{url} answered a choice without a message: {reason_of(choice.get('error'))}.")
    calls: list[Call] = []
    finish: Literal["stop", "length", "refusal"] = "stop"
    text = content_text(said.get("content"))
    if choice.get("finish_reason") == "length":
        finish = "length"
    elif said.get("refusal") or choice.get("finish_reason") == "content_filter":
        finish, text = "refusal", str(said.get("refusal") or text)
    else:
        # The calls decide, whatever finish_reason says: servers answer "stop" with calls present.
        for call in dicts(said.get("tool_calls")):
            function = a_dict(call.get("function"))
            calls.append(call_of(call.get("id"), function.get("name"), function.get("arguments"), messages, calls))
    return Reply(
        text=text,
        calls=tuple(calls),
        finish=finish,
        tokens_in=tokens(body.get("usage"), "prompt_tokens"),
        tokens_out=tokens(body.get("usage"), "completion_tokens"),
        tokens_cached=cached(body.get("usage"), "prompt_tokens"),
    )


def content_text(content: object) -> str:
    """The text of a message, which some servers send in parts (of which thoughts are not shown)."""
    if isinstance(content, list):
        parts = [part for part in dicts(cast(object, content)) if part.get("type") in ("text", "output_text")]
        return "".join(str(part.get("text") or "") for part in parts)
    return content if isinstance(content, str) else ""
