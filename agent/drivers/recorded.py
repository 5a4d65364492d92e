"""The driver of a replay: gives the replies that were logged, in their order, and asks nobody.

Before each it looks at what it is asked with. The conversation itself is compared as it is logged, message by message,
so that what a driver is sent of it may be shortened as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .conversation import Message, Reply, ToolSpec

Look = Callable[[str, Sequence[ToolSpec]], None]


class Recorded:
    """`name` and `llm` are those of whoever decided; `look` sees instructions and tools before each reply."""

    def __init__(self, name: str, llm: str, replies: Iterator[Reply], look: Look) -> None:
        self.name, self.llm = name, llm
        self._replies, self._look = replies, look

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next one; what comes after the last one is for `replies` to raise."""
        self._look(instructions, tools)
        return next(self._replies)
