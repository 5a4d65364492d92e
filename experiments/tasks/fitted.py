"""Tasks made of words, some of which a tokenizer may not support.

A name of two tokens has no single position in a circuit for names, and a list of numbers can be read position by
position only if every number is one token. The words that fit a tokenizer are determined once, and the task uses only
these; it records how many were left out, and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from .prompt import Prompt, Split
from .question import Ask, ask_of
from .task import Source

W = TypeVar("W")


@dataclass(frozen=True)
class Tokens:
    """The tokens of short texts, without special tokens such as a BOS."""

    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def single(self, *texts: str) -> bool:
        """Whether each of these is one token, and not the unknown token."""
        unknown = self.tokenizer.unk_token_id
        return all(len(ids) == 1 and ids[0] != unknown for ids in map(self.ids, texts))

    def answer_has_own_token(self, text: str, answer: str) -> bool:
        """Whether the answer after the text starts with its own token."""
        before, both = self.ids(text), self.ids(text + answer)
        return len(both) > len(before) and both[: len(before)] == before


@dataclass(frozen=True)
class Fitted(Generic[W]):
    """The source that `make` returns for all words, or for those that fit a tokenizer.

    words   all words
    fits    whether a word fits a tokenizer
    need    what `fits` requires, such as "names that are one token after a space"
    make    the source for some of the words; without prompts if there are too few
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

    @property
    def ask(self) -> Ask | None:
        return ask_of(self.source)

    def identity(self) -> Any:
        """The identity of the source; includes the remaining words only if some were left out."""
        if not self.left_out:
            return self.source.identity()
        kept = json.dumps(self.words, ensure_ascii=False).encode()
        return [self.source.identity(), hashlib.sha256(kept).hexdigest()]

    def for_tokenizer(self, tokenizer: Any) -> Fitted[W]:
        tokens = Tokens(tokenizer)
        kept = tuple(word for word in self.words if self.fits(tokens, word))
        return replace(self, words=kept, of=max(self.of, len(self.words)))

    def note(self) -> str:
        """A sentence on how many words were left out and why; empty if none were."""
        left = self.left_out
        return f"Left out for this tokenizer: {left} of {self.of}; the task needs {self.need}." if left else ""
