"""The data that the loop and every driver share.

The loop keeps the conversation as `Message`s in this neutral form. A driver translates them into its wire format, and
the answer back into a `Reply`. The tracker can store everything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

if TYPE_CHECKING:
    from ...tools.registry import Tool

Finish = Literal["stop", "length", "refusal"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Call(Frozen):
    """A tool call as the model wrote it. `arguments` is the JSON text, not yet parsed or trusted; `id` is unique in its
    conversation."""

    id: str
    name: str
    arguments: str


class Repair(Frozen):
    """One repair of a reply: what the program did, in a sentence, and the original."""

    what: str
    was: str = ""


class Reply(Frozen):
    """A driver's answer. `items` are provider objects (reasoning items) that go back to the server unchanged.

    tokens_in, tokens_out   as the server counted; None if it does not say
    tokens_cached           the part of tokens_in that was in its cache and costs less; None if it does not say
    tokens_written          the part of tokens_in written to its cache, which may cost more; None if it does not say
    mended                  the repairs of the reply, logged with it
    hint                    why the calls in the text cannot be run; empty if there are none
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_written: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    mended: tuple[Repair, ...] = ()
    hint: str = ""


# The fields of a reply that the conversation keeps.
KEPT = ("text", "calls", "items", "finish", "mended", "hint")


class Message(Frozen):
    """One entry of the conversation.

    user       text
    assistant  text, calls, items; finish: how the reply ended; mended, hint: see Reply
    tool       text: the answer to call_id; data: the same facts as JSON, which the autopilot reads
    short      in a tool message to a language model: what is sent in place of the text once the answer is old
    code       in a user message that ends the study: which limit was reached, or who stopped it; in a tool message:
               why the call was refused, or "plateau" if experiments change no hypothesis. Otherwise empty, and in logs
               of versions without codes
    """

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    data: dict[str, Any] | None = None
    items: tuple[dict[str, Any], ...] = ()
    finish: Finish = "stop"
    mended: tuple[Repair, ...] = ()
    hint: str = ""
    code: str = ""
    short: str = ""

    @classmethod
    def of(cls, reply: Reply) -> Message:
        """The message that the conversation keeps of a reply."""
        return cls(role="assistant", **{name: getattr(reply, name) for name in KEPT})

    @model_serializer(mode="wrap")
    def _as_logged(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields that few messages have, so the logs of older versions stay identical to the byte."""
        seldom = ("mended", "hint", "code", "short")
        return {name: value for name, value in dump(self).items() if value or name not in seldom}


class ToolSpec(Frozen):
    """A tool as it is offered to a language model; `parameters` is a strict JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, tool: Tool) -> ToolSpec:
        return cls(name=tool.name, description=tool.description, parameters=tool.brief_schema)


class Driver(Protocol):
    """Anything that can take the next turn."""

    name: str
    llm: str

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply: ...


class DriverError(Exception):
    """The driver cannot answer. One line that says what to do. A `fatal` error stops the run; it can be resumed.

    `code` says what is wrong, for programs: the class's code, or a more exact one (`server_faults.FAULTS`).
    """

    code = "driver"

    def __init__(self, text: str = "", code: str | None = None) -> None:
        super().__init__(text)
        self.code = code or type(self).code


class NoKey(DriverError):
    code = "no_key"


class WrongKey(DriverError):
    code = "wrong_key"


class Unreachable(DriverError):
    code = "unreachable"


class QuotaSpent(DriverError):
    code = "quota_spent"


class ContextOverflow(DriverError):
    """The conversation is too long. `limit` is the context size in tokens that the server reports; None if it does not
    say."""

    code = "context_overflow"

    def __init__(self, text: str = "", code: str | None = None, limit: int | None = None) -> None:
        super().__init__(text, code)
        self.limit = limit


class BadReply(DriverError):
    """The server's answer is not a reply (HTML, an error object, no choices)."""

    code = "bad_reply"


class BadRequest(DriverError):
    """The server refuses the request: an unknown model, route or parameter."""

    code = "bad_request"


# Errors that may be gone when the study is resumed: the server is back, the account has credit, the key is new.
PASSING = (NoKey, WrongKey, Unreachable, QuotaSpent, BadReply)
