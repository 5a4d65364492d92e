"""A long study in a short context: the program shortens what it sends, in few, large steps, and logs everything.

Each step is a mark that the program logs as a message: results before one place are sent in their short form. The
program makes one when this saves enough, and when the conversation no longer fits the context; then a summary by the
program may replace everything before another place. So the same log is always sent in the same words, and between two
marks it only grows at its end, which keeps servers' caches valid. The tracker keeps everything, and its tools can show
it again: a short form names the call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..drivers.conversation import Call, ContextOverflow, Message, ToolSpec

# The data of a mark: {"results": place, "from": place, "limit": tokens}.
SHRUNK = "shrunk"
# Characters that a result without a short form keeps, and each text in the arguments of a call.
LINE, ARGUMENT = 360, 160
# Shorten results as soon as this saves so many characters; the latest turns stay whole. Each step makes servers read
# again what follows the first shortened result, so it must be rare.
PAYS, WHOLE_TURNS = 6_000, 3
SHORTENED = "Older results are sent in their short form."
# Tokens per character until the server has counted some; and the range of counts to believe.
PER_CHARACTER, FEWEST, MOST = 0.25, 1 / 8, 1.0
SHARE_FOR_ANSWER, MOST_FOR_ANSWER, MARGIN = 8, 16_384, 0.95


def is_mark(message: Message) -> bool:
    return message.role == "user" and SHRUNK in (message.data or {})


def mark_of(messages: Sequence[Message]) -> dict[str, Any]:
    """The latest mark: results before `results` are short, and the summary replaces everything before `from`."""
    marks = [m for m in messages if is_mark(m)]
    return (marks[-1].data or {})[SHRUNK] if marks else {"results": 1, "from": 1, "limit": None}


def as_requested(messages: Sequence[Message]) -> list[Message]:
    """The conversation as it is sent, which depends only on the log."""
    marks = [m for m in messages if is_mark(m)]
    return lay_out(messages, mark_of(messages), marks[-1].text if marks else "")


def lay_out(messages: Sequence[Message], mark: dict[str, Any], summary: str) -> list[Message]:
    first = [messages[0], *([Message(role="user", text=summary)] if mark["from"] > 1 else [])]
    rest = [
        short(m) if place < mark["results"] else m
        for place, m in enumerate(messages)
        if place >= mark["from"] and not is_mark(m)
    ]
    return [*first, *rest]


def short(message: Message) -> Message:
    """A result as one line that starts with its id; a call without long texts and hidden reasoning."""
    if message.role == "tool":
        return message.model_copy(update={"text": message.short or cut(" ".join(message.text.split()), LINE)})
    if message.role == "assistant":
        calls = tuple(call.model_copy(update={"arguments": brief(call)}) for call in message.calls)
        return message.model_copy(update={"calls": calls, "items": (), "text": cut(message.text, LINE)})
    return message


def brief(call: Call) -> str:
    if len(call.arguments) <= LINE:
        return call.arguments
    try:
        given: object = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return "{}"
    # JSON can escape half of a surrogate pair, which cannot be sent.
    return json.dumps(shorten(given), ensure_ascii=False).encode("utf-8", "replace").decode()


def shorten(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value, ARGUMENT)
    if isinstance(value, dict):
        return {str(name): shorten(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [shorten(one) for one in value[:4]] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 14].rstrip() + " … (shortened)"


def characters(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments) + 60 for call in message.calls)
    return 40 + (len(json.dumps(message.items)) if message.items else len(message.text) + calls)


@dataclass
class Window:
    """The context of a language model: `limit` in tokens, None if unknown."""

    limit: int | None = None
    per_character: float = PER_CHARACTER
    warned: bool = False
    pays: int | None = None  # shorten results as soon as this saves so many characters; None: never, as in a replay
    last: tuple[int, int] = (0, 0)  # characters sent and tokens read in the last request

    def tokens(self, messages: Sequence[Message]) -> int:
        return int(sum(map(characters, messages)) * self.per_character)

    def base(self, instructions: str, tools: Sequence[ToolSpec]) -> int:
        """The tokens that precede every conversation: instructions and tools."""
        return int((len(instructions) + sum(len(tool.model_dump_json()) for tool in tools)) * self.per_character)

    def left(self, base: int) -> int:
        assert self.limit is not None
        return int(MARGIN * self.limit) - answer_tokens(self.limit) - base

    def holds(self, base: int) -> bool:
        """Whether there is room for a conversation after this many tokens, as far as known."""
        return self.limit is None or self.left(base) >= self.limit // 4

    def room(self, base: int) -> int:
        """The tokens left for a conversation and the answer. Raises ContextOverflow."""
        assert self.limit is not None
        room = self.left(base)
        if room < self.limit // 10:
            raise ContextOverflow(
                f"The instructions and tools alone are about {base:,} tokens, and the language model's context is "
                f"{self.limit:,}. Give its server a longer context, use another model, or give the right size with "
                "--context."
            )
        return room

    def learn(self, fault: ContextOverflow, asked: int) -> None:
        """Learn the context size from a refusal; `asked` is the estimate of the tokens sent."""
        limit = int(0.9 * asked) if fault.limit is None else fault.limit
        if limit > asked + answer_tokens(limit):
            # The server counts more tokens than estimated; its next reply will show how many.
            self.per_character *= 1.1
        self.limit = limit if self.limit is None else min(limit, self.limit)

    def gauge(self, sent: int, read: int | None) -> str | None:
        """Compare the characters sent with the tokens that the server says it read. Returns a warning, once, if it read
        no more although more was sent."""
        if not read or not sent:
            return None
        before, was_read = self.last
        self.last = sent, read
        if FEWEST <= read / sent <= MOST:
            self.per_character = read / sent
        if self.warned or not was_read or sent < before + 2000 or read > was_read:
            return None
        self.warned = True
        return (
            f"The server read {read:,} tokens, and {was_read:,} in the turn before, although more was sent. It seems "
            "to cut conversations silently, or to count only new tokens. Give it a longer context (Ollama: "
            "OLLAMA_CONTEXT_LENGTH, or num_ctx), or give its size with --context."
        )


def shorter(messages: Sequence[Message], pays: int | None, limit: int | None) -> Message | None:
    """The mark that shortens all results but those of the latest turns, if this saves enough characters."""
    before = mark_of(messages)
    turns = [place for place, m in enumerate(messages) if m.role == "assistant"]
    if pays is None or len(turns) <= WHOLE_TURNS:
        return None
    place = turns[-WHOLE_TURNS]
    old = [m for m in messages[before["results"] : place] if not is_mark(m)]
    if sum(characters(m) - characters(short(m)) for m in old) < pays:
        return None
    said = next((m.text for m in reversed(messages) if is_mark(m)), SHORTENED)
    return Message(role="user", text=said, data={SHRUNK: {**before, "results": place, "limit": limit}})


def answer_tokens(limit: int) -> int:
    """The part of a context that is reserved for the answer."""
    return min(MOST_FOR_ANSWER, max(256, limit // SHARE_FOR_ANSWER))


def make_mark(
    messages: Sequence[Message], tokens: Callable[[Sequence[Message]], int], target: int, summary: Callable[[int], str],
    limit: int | None,
) -> Message:  # fmt: skip
    """The mark that shortens a conversation to `target` tokens, or as close as possible: first shorter results, then a
    summary of the oldest part. The latest turn stays whole if it fits."""
    before = mark_of(messages)
    turns = [place for place, m in enumerate(messages) if m.role == "assistant"] or [len(messages)]
    whole = next((place for place in turns if tokens(messages[place:]) <= target // 2), len(messages))
    results = max(whole, before["results"])
    mark: dict[str, Any] = {"results": results, "from": before["from"], "limit": limit}
    text = next((m.text for m in reversed(messages) if is_mark(m)), "")
    if mark["from"] == 1:
        text = SHORTENED
    if tokens(lay_out(messages, mark, text)) > target:
        # The summary may use the other half.
        later = [place for place in turns if place > before["from"]]
        for place in later:
            mark = {**mark, "from": place, "results": max(results, place)}
            if tokens(lay_out(messages, mark, "")) <= target // 2:
                break
        text = summary(mark["from"]) if later else text
    return Message(role="user", text=text, data={SHRUNK: mark})
