"""The driver of a replay: returns the logged replies in order, without asking a language model.

Before each reply it checks the instructions and tools. The conversation is compared as it is logged, message by
message, so how much of it is sent to a driver does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .conversation import Message, Reply, ToolSpec

Look = Callable[[str, Sequence[ToolSpec]], None]


class Recorded:
    """`name` and `llm` are those of the original driver; `look` gets instructions and tools before each reply."""

    def __init__(self, name: str, llm: str, replies: Iterator[Reply], look: Look) -> None:
        self.name, self.llm = name, llm
        self._replies, self._look = replies, look

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next logged reply; `replies` raises after the last one."""
        self._look(instructions, tools)
        return next(self._replies)
