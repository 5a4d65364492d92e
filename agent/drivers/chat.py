"""The Chat Completions API, which nearly every server speaks: Ollama, vLLM, llama.cpp, OpenRouter and others.

Each request sends the whole conversation, rebuilt in the same way: its beginning is identical to the byte, so caches
hit. An option that a server refuses (strict schemas, the name of a limit) is not sent again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, cast

from . import by_schema
from .conversation import BadReply, BadRequest, Call, ContextOverflow, Message, Reply, ToolSpec
from .fields import a_dict, cached, dicts, tokens
from .foreign import LIMIT_OF_ANSWER, NO_TOOLS
from .history import answered, call_of, sendable_arguments, sendable_name
from .mending import repair
from .server import Server
from .server_faults import Complaint, reason_of

# Even English prose has no more characters per token than this, so a lower token count means that text was cut.
CHARACTERS_PER_TOKEN = 8
WORTH_CHECKING = 16_000
WORTH_COUNTING = 500


class ChatDriver:
    """Takes turns over POST /chat/completions.

    `timeout` is in seconds for a whole answer; `base_url` None means OpenAI; `profile` names the server type, None
    detects it. From a server without tools, or a model that only talks, the driver requests each call by a JSON
    schema."""

    name = "chat"

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
        # Whether calls are requested by a schema; whether that has worked, or has failed with a model that only talks.
        self.by_schema = self._schema_works = self._vain = False
        self._on_trial = False

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The model's next turn. Raises a DriverError."""
        if tools and not self.by_schema and not self._vain and only_talked(messages):
            self.by_schema = self._on_trial = True

        def read(body: dict[str, Any]) -> Reply | None:
            if tools and self.by_schema:
                return self._read_call(body, messages, tools)
            reply = repair(read_completion(body, messages, self.server.url), body, messages, tools, self.server.profile)
            return None if self._dropped(reply, instructions, messages, tools) else reply

        def asked() -> tuple[dict[str, Any], Reply | None]:
            return self.server.ask(
                self.llm,
                lambda client: cast(Any, client.chat.completions.with_raw_response).create(
                    **self.request(instructions, messages, tools)
                ),
                self._concede,
                lambda body: (body, read(body)),
            )

        body, reply = asked()
        if reply is None:
            self.by_schema = True
            body, reply = asked()
        assert reply is not None
        self._check_that_all_was_read(body, instructions, messages)
        return reply

    def request(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        """The request, as keyword arguments of `create`."""
        request: dict[str, Any] = {"model": self.llm}
        if tools and self.by_schema:
            text = by_schema.instructions_with(tools, instructions)
            request["messages"] = [{"role": "system", "content": text}, *by_schema.as_text(messages)]
            request["response_format"] = by_schema.response_format(self._left(self.server.profile.formats)[0], tools)
        else:
            request["messages"] = chat_messages(instructions, messages, self.server.profile.no_text)
        if tools and not self.by_schema:
            request["tools"] = [self._tool(tool) for tool in tools]
            if "parallel_tool_calls" in self._options:
                request["parallel_tool_calls"] = False
            if "tool_choice" in self._options:
                request["tool_choice"] = "auto"
        if self._max_output_tokens is not None and (limits := self._left(self.server.profile.limits)):
            request[limits[0]] = self._max_output_tokens
        if self.server.profile.extra:
            request["extra_body"] = self.server.profile.extra
        return request

    def _left(self, names: Sequence[Any]) -> list[Any]:
        return [name for name in names if name not in self._refused]

    @property
    def _options(self) -> list[Any]:
        return self._left(self.server.profile.options)

    @property
    def is_strict(self) -> bool:
        """Whether strict schemas are sent: not if the server refused them or is known to ignore them."""
        return "strict" in self._options and not self.by_schema

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        if "strict" in self._options:
            function["strict"] = True
        return {"type": "function", "function": function}

    def _concede(self, complaint: Complaint) -> bool:
        said, limits = str(complaint), self._left(self.server.profile.limits)
        if self._max_output_tokens is not None and limits and LIMIT_OF_ANSWER.search(said):
            self._refused.add(limits[0])
            return True
        if self.by_schema:
            formats = self._left(self.server.profile.formats)
            if self._schema_works:
                return False
            if len(formats) < 2:
                return self._back_to_tools()
            self._refused.add(formats[0])
            return True
        for option in self._options:
            if re.search(rf"\b{option}\b", said):
                self._refused.add(option)
                return True
        self.by_schema = bool(NO_TOOLS.search(said))
        return self.by_schema

    def _back_to_tools(self) -> bool:
        """Stop using the schema if it was only tried because a model with tools did not call them. Returns whether."""
        if not self._on_trial:
            return False
        self.by_schema, self._on_trial, self._vain = False, False, True
        return True

    def _dropped(self, reply: Reply, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> bool:
        """Whether the server silently dropped the tools. The input token count of the first reply shows it; later
        counts are large because of the conversation."""
        if reply.calls or reply.tokens_in is None or len(messages) != 1:
            return False
        text = length(instructions, messages)
        offered = sum(len(tool.description) + len(json.dumps(tool.parameters)) for tool in tools)
        # A count below the first bound excludes what the server had cached, and shows nothing.
        return text >= WORTH_COUNTING and text <= reply.tokens_in * CHARACTERS_PER_TOKEN < text + offered

    def _read_call(self, body: dict[str, Any], messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The reply to a request with a schema. Raises BadRequest if the first one ignores the schema."""
        reply = read_completion(body, messages, self.server.url)
        if reply.finish == "refusal":
            return reply
        call = by_schema.call_in(reply.text, messages)
        cut_object = reply.finish == "length" and reply.text.lstrip().startswith("{")
        if call is not None and reply.finish != "length":
            reply = reply.model_copy(update={"text": "", "calls": (call,)})
        reply = repair(reply, body, messages, tools, self.server.profile)
        if not self._schema_works and call is None and not reply.calls and not cut_object:
            if self._back_to_tools():
                return reply
            raise BadRequest(
                f"{self.llm} at {self.server.url} supports neither tools nor JSON schemas, so it cannot run "
                f"experiments: {self.server.profile.tools_on}, or use --driver autopilot."
            )
        self._schema_works, self._on_trial = True, False
        return reply

    def _check_that_all_was_read(self, body: dict[str, Any], instructions: str, messages: Sequence[Message]) -> None:
        """Raise if the conversation was cut: Ollama cuts a long one silently and answers the rest."""
        usage = a_dict(body.get("usage"))
        read = tokens(usage, "prompt_tokens")
        sent = length(instructions, messages)
        if not read or sent < WORTH_CHECKING:
            return
        # Some servers count only tokens that were not in their cache.
        read += tokens(usage.get("prompt_tokens_details"), "cached_tokens") or 0
        if read * CHARACTERS_PER_TOKEN < sent:
            raise ContextOverflow(
                f"{self.server.url} read only {read:,} tokens of {sent:,} characters: it cut the conversation. "
                f"{self.server.profile.longer.capitalize()}."
            )


def only_talked(messages: Sequence[Message]) -> bool:
    """Whether the last two replies contain only words, the second even after the model was asked to act."""
    said = [message for message in messages if message.role == "assistant"][-2:]
    return len(said) == 2 and all(message.finish == "stop" and not message.calls for message in said)


def length(instructions: str, messages: Sequence[Message]) -> int:
    """The number of characters of a conversation, without tools."""
    return len(instructions) + sum(len(m.text) + sum(len(c.arguments) for c in m.calls) for m in messages)


def chat_messages(instructions: str, messages: Sequence[Message], no_text: str | None = None) -> list[dict[str, Any]]:
    """The conversation in the form of Chat Completions; `no_text` replaces an empty text."""
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
            wire.append({"role": "assistant", "content": message.text or no_text, "tool_calls": calls})
        else:
            wire.append({"role": message.role, "content": message.text})
    return wire


def read_completion(body: dict[str, Any], messages: Sequence[Message], url: str) -> Reply:
    """The first choice as a Reply. Raises BadReply if there is none."""
    choices = dicts(body.get("choices"))
    if not choices:
        raise BadReply(f"{url} sent an answer without a reply (no choices). Try again, or use another model.")
    choice, said = choices[0], a_dict(choices[0].get("message"))
    if choice.get("finish_reason") == "error" or not said:
        raise BadReply(f"{url} sent an answer without a message: {reason_of(choice.get('error'))}.")
    calls: list[Call] = []
    finish: Literal["stop", "length", "refusal"] = "stop"
    text = content_text(said.get("content"))
    if choice.get("finish_reason") == "length":
        finish = "length"
    elif said.get("refusal") or choice.get("finish_reason") == "content_filter":
        finish, text = "refusal", str(said.get("refusal") or text)
    else:
        # Rely on the calls, not on finish_reason: some servers say "stop" although there are calls.
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
        tokens_written=cached(body.get("usage"), "prompt_tokens", "cache_write_tokens"),
    )


def content_text(content: object) -> str:
    """The text of a message. Some servers send it in parts; thoughts are left out."""
    if isinstance(content, list):
        parts = [part for part in dicts(cast(object, content)) if part.get("type") in ("text", "output_text")]
        return "".join(str(part.get("text") or "") for part in parts)
    return content if isinstance(content, str) else ""
