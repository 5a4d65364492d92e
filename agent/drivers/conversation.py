"""The words that the loop and every driver share.

The loop keeps one conversation of `Message`s in this neutral form; a driver translates it to its
own wire format and its answer back into a `Reply`. Everything here is data that the tracker can store.
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


class Mended(Frozen):
    """One thing in a reply that was not taken as it came: what was done, in a sentence, and what had come."""

    what: str
    was: str = ""


class Reply(Frozen):
    """What a driver answered. `items` are provider objects to be handed back unchanged (reasoning items).

    tokens_in, tokens_out   what the server counted, None where it does not say
    tokens_cached           those of tokens_in that it had read before, which cost less; None where it does not say
    tokens_written          those of tokens_in that it put into its cache, which may cost more; None likewise
    mended                  what was not taken as it came, and is logged with the reply
    hint                    why calls that the text shows cannot be run; empty where it shows none
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_written: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    mended: tuple[Mended, ...] = ()
    hint: str = ""


# What of a reply is kept in the conversation.
KEPT = ("text", "calls", "items", "finish", "mended", "hint")


class Message(Frozen):
    """One entry of the conversation.

    user       text
    assistant  text, calls, items, finish: how the reply ended; mended, hint: see Reply
    tool       text: the answer to call_id; data: the same facts as JSON, which the autopilot reads
    code       of a user message that ends the study: which limit was reached, or who stopped it; of a tool message:
               why the call was refused. Empty where neither is so, and in logs from before there were codes
    """

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    data: dict[str, Any] | None = None
    items: tuple[dict[str, Any], ...] = ()
    finish: Finish = "stop"
    mended: tuple[Mended, ...] = ()
    hint: str = ""
    code: str = ""

    @classmethod
    def of(cls, reply: Reply) -> Message:
        """A reply as the conversation keeps it."""
        return cls(role="assistant", **{name: getattr(reply, name) for name in KEPT})

    @model_serializer(mode="wrap")
    def _as_logged(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what few messages have: logs from before it was kept stay the same to the byte."""
        return {name: value for name, value in dump(self).items() if value or name not in ("mended", "hint", "code")}


class ToolSpec(Frozen):
    """A tool as a language model is offered it; `parameters` is a strict JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, tool: Tool) -> ToolSpec:
        return cls(name=tool.name, description=tool.description, parameters=tool.schema)


class Driver(Protocol):
    """Anything that can take the next turn."""

    name: str
    llm: str

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply: ...


class DriverError(Exception):
    """The driver cannot answer. One line that says what to do; `fatal` errors end the run, resumable.

    `code` says what is wrong to a program: that of the class, or a more exact one (`server_faults.FAULTS`).
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
    """The conversation is too long. `limit` is how many tokens the server says that it reads, None where it does not
    say."""

    code = "context_overflow"

    def __init__(self, text: str = "", code: str | None = None, limit: int | None = None) -> None:
        super().__init__(text, code)
        self.limit = limit


class BadReply(DriverError):
    """The server answered something that is no reply (HTML, an error object, no choices)."""

    code = "bad_reply"


class BadRequest(DriverError):
    """The server refuses the request as it stands: an unknown model, a route or a parameter that it lacks."""

    code = "bad_request"


# What may be over when the study is gone on with: the server is back, the account has credit, there is a new key.
PASSING = (NoKey, WrongKey, Unreachable, QuotaSpent, BadReply)
