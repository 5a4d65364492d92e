"""A family of generated prompts: a finite, countable space; a draw is a walk through it.

A family lists its contents (the sums, the pairs of names), and writes every content in several strata (wordings, or yes
and no), each with many variants. The walk visits the contents in shuffled order and alternates the strata, so any
number of prompts is spread evenly over both. It visits each (content, stratum, variant) once, so nothing is drawn twice
and the capacity is known.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from string import Formatter
from typing import Any, Generic, TypeVar

from .prompt import SPLITS, Prompt, Split, as_read, split_of
from .question import Ask

C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True)
class Family(Generic[C]):
    """A source of prompts, given by plain functions of a content.

    version   name and number of the definition; raise the number whenever the prompts or their values change
    contents  lists all contents
    key       the key of a content's prompts; it decides their split
    variants  the number of different texts for a content in one stratum
    write     the prompt of (content, stratum, variant): always the same, with a unique text
    strata    the number of strata
    ask       what it asks if a prompt's spans have other texts; None: corrupted prompts with one changed value are
              looked for among its prompts
    """

    version: str
    contents: Callable[[], Sequence[C]]
    key: Callable[[C], str]
    variants: Callable[[C, int], int]
    write: Callable[[C, int, int], Prompt]
    strata: int = 1
    ask: Ask | None = None

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        rng = random.Random(f"{self.version} {split} {seed}")
        contents = self._of(split)
        rng.shuffle(contents)
        walks: dict[tuple[int, int], Iterator[int]] = {}
        longest = max((self.variants(c, s) for c in contents for s in range(self.strata)), default=0)
        for lap in range(longest * self.strata):
            for place, content in enumerate(contents):
                stratum = (place + lap) % self.strata
                if (place, stratum) not in walks:
                    walks[place, stratum] = shuffled(self.variants(content, stratum), rng)
                variant = next(walks[place, stratum], None)
                if variant is not None:
                    yield self.write(content, stratum, variant)

    def capacity(self, split: Split) -> int:
        return sum(self.variants(c, s) for c in self._of(split) for s in range(self.strata))

    def identity(self) -> Any:
        sample = [as_read(p) for split in SPLITS for p in islice(self.stream(split, 0), 20)]
        return [self.version, [self.capacity(split) for split in SPLITS], sample]

    def _of(self, split: Split) -> list[C]:
        return [c for c in self.contents() if split_of(self.key(c)) == split]


def shuffled(count: int, rng: random.Random) -> Iterator[int]:
    """The numbers below `count` in random order, one at a time: Fisher-Yates that stores only moved entries."""
    moved: dict[int, int] = {}
    for i in range(count):
        j = rng.randrange(i, count)
        yield moved.get(j, j)
        moved[j] = moved.pop(i, i)


def choose(options: Sequence[T], by: str) -> T:
    """One of the options, determined by a text, so it needs no random state."""
    return options[zlib.crc32(by.encode()) % len(options)]


def listed(text: str) -> tuple[str, ...]:
    """The words of a text, as a tuple."""
    return tuple(text.split())


def fill(template: str, **words: object) -> tuple[str, dict[str, tuple[int, int]]]:
    """The template with its {fields} filled, and the span of each field (its first, if it occurs more than once)."""
    text, spans = "", {}
    for literal, field, _, _ in Formatter().parse(template):
        text += literal
        if field is not None:
            word = str(words[field])
            spans.setdefault(field, (len(text), len(text) + len(word)))
            text += word
    return text, spans
