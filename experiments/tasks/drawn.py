"""A family with too many contents to list: lists of random numbers, repeated random words.

Every prompt is drawn from one random state. Draws of the other split, and repeated texts, are discarded, so the prompts
are of one split and distinct, as in any family. The spaces are far larger than any draw.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .prompt import SPLITS, Prompt, Split, as_read
from .question import Ask

MOST = 100_000


@dataclass(frozen=True)
class Drawn:
    """A source of prompts, given by a function that draws one.

    version  name and number of the definition; raise the number whenever the prompts or their values change
    draw     a prompt of this kind from a random state; kinds alternate
    kinds    number of kinds of prompts
    most     number of prompts of a split; 0 if there are too few words for any
    ask      see `Family`
    """

    version: str
    draw: Callable[[random.Random, int, Split], Prompt | None]
    kinds: int = 1
    most: int = MOST
    ask: Ask | None = None

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        rng = random.Random(f"{self.version} {split} {seed}")
        seen: set[str] = set()
        while len(seen) < self.most:
            prompt = self.draw(rng, len(seen) % self.kinds, split)
            if prompt is not None and prompt.text not in seen:
                seen.add(prompt.text)
                yield prompt

    def capacity(self, split: Split) -> int:
        return self.most

    def identity(self) -> Any:
        sample = [as_read(p) for s in SPLITS for p in islice(self.stream(s, 0), 20)]
        return [self.version, self.most, sample]
