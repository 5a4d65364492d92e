"""Tasks made of words of which a tokenizer may carry only some.

A name of two tokens has no place of its own in a circuit for names, and a list of numbers is only read
position by position where every number is one token. What of its words a tokenizer carries is asked once, and the
task is made of these alone; how many were left out, and why, stays with the task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from .prompt import Prompt, Split
from .task import Source

W = TypeVar("W")


@dataclass(frozen=True)
class Tokens:
    """What a tokenizer makes of short texts. Special tokens such as a BOS are left aside."""

    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def single(self, *texts: str) -> bool:
        """Is each of these one token, and not the one that stands for all that the tokenizer does not know?"""
        unknown = self.tokenizer.unk_token_id
        return all(len(ids) == 1 and ids[0] != unknown for ids in map(self.ids, texts))

    def answer_has_own_token(self, text: str, answer: str) -> bool:
        """Does the answer after the text begin with a token of its own?"""
        before, both = self.ids(text), self.ids(text + answer)
        return len(both) > len(before) and both[: len(before)] == before


@dataclass(frozen=True)
class Fitted(Generic[W]):
    """The source that `make` gives for all of the words, or for those that a tokenizer carries.

    words   all there are
    fits    whether a tokenizer carries one
    need    what `fits` asks for, to be read after "names" or the like: "names that are one token after a space"
    make    the source of some of the words; of too few, one without prompts
    """

    words: tuple[W, ...]
    fits: Callable[[Tokens, W], bool]
    need: str
    make: Callable[[tuple[W, ...]], Source]
    of: int = 0

    @cached_property
    def source(self) -> Source:
        return self.make(self.words)

    @property
    def left_out(self) -> int:
        return max(0, self.of - len(self.words))

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        return self.source.stream(split, seed)

    def capacity(self, split: Split) -> int:
        return self.source.capacity(split)

    def identity(self) -> Any:
        """That of the source. The words that are left are part of it only where some are not."""
        if not self.left_out:
            return self.source.identity()
        kept = json.dumps(self.words, ensure_ascii=False).encode()
        return [self.source.identity(), hashlib.sha256(kept).hexdigest()]

    def for_tokenizer(self, tokenizer: Any) -> Fitted[W]:
        tokens = Tokens(tokenizer)
        kept = tuple(word for word in self.words if self.fits(tokens, word))
        return replace(self, words=kept, of=max(self.of, len(self.words)))

    def note(self) -> str:
        """How many words were left out and why, in a sentence; empty when all were carried."""
        left = self.left_out
        return f"Left out for this tokenizer: {left} of {self.of}; it takes {self.need}." if left else ""
