"""The k-th smallest of sixteen numbers (MechanisticProbe, arXiv 2310.14491): "57 300 12 ... 8", and then the answer.

The prompt has no question: a model is fine-tuned for one k, and then probed. Numbers are drawn with replacement from
the first 512 that are one token with and without a space before them, so the task does not exist for a tokenizer that
splits numbers. Unlike in the paper, the answer includes its space, because the model would write it next.
"""

from __future__ import annotations

import random

from .drawn import MOST, Drawn
from .fitted import Fitted
from .prompt import Prompt, Split, split_of
from .task import Task

COUNT = 16
POOL = 512
HIGHEST_K = 8


def spans(numbers: list[int], ranks: dict[str, int]) -> dict[str, tuple[int, int]]:
    """The spans of the numbers at these places of the list in the text, with single spaces between them."""
    starts = [0]
    for number in numbers:
        starts.append(starts[-1] + len(str(number)) + 1)
    return {name: (starts[at], starts[at + 1] - 1) for name, at in ranks.items()}


def line(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def key(numbers: list[int]) -> str:
    """The numbers without their order, so that the same ones are never in both splits."""
    return line(sorted(numbers))


def corruption(rng: random.Random, numbers: list[int], pool: tuple[int, ...], k: int, split: Split) -> list[int] | None:
    """The list with another k-th smallest number; None if random draws found none in the split."""
    ranked = sorted(numbers)
    at = numbers.index(ranked[k - 1])
    for new in rng.choices(pool, k=8):
        other = [*numbers[:at], new, *numbers[at + 1 :]]
        if sorted(other)[k - 1] != ranked[k - 1] and split_of(key(other)) == split:
            return other
    return None


def family(pool: tuple[int, ...], k: int) -> Drawn:
    pool = pool[:POOL]

    def draw(rng: random.Random, _kind: int, split: Split) -> Prompt | None:
        numbers = rng.choices(pool, k=COUNT)
        ranked = sorted(numbers)
        answer, below, above = ranked[k - 1], ranked[k - 2] if k > 1 else ranked[k - 1], ranked[k]
        if above == answer or (k > 1 and below == answer) or split_of(key(numbers)) != split:
            return None
        other = corruption(rng, numbers, pool, k, split)
        if other is None:
            return None
        return Prompt(
            text=line(numbers),
            answer=f" {answer}",
            distractor=f" {above}",
            corrupted=line(other),
            corrupted_answer=f" {sorted(other)[k - 1]}",
            spans=spans(numbers, {"answer": numbers.index(answer), "distractor": numbers.index(above)}),
            template=f"kth_smallest.{k}",
            key=key(numbers),
            operands=tuple(numbers),
            values={"smallest": str(ranked[0]), "largest": str(ranked[-1]), "place": str(numbers.index(answer))},
        )

    # With fewer numbers, the k-th and its neighbours would too often be equal.
    return Drawn(f"kth_smallest {k} 1", draw, most=MOST if len(pool) >= 2 * COUNT else 0)


def kth_smallest(k: int) -> Task:
    """The task for one k from 1 to 8."""
    return Task(
        name="kth_smallest" if k == 2 else f"kth_smallest_{k}",
        title=f"The number of rank {k} among sixteen numbers, from below",
        description=f"Gives the number of rank {k} among {COUNT}, smallest first; for models fine-tuned for it.\n"
        f"Chance is 1 in {COUNT}: one of the numbers in the prompt. A tokenizer must have numbers as single tokens.",
        keywords=("kth smallest", "k-th smallest", "smallest", "sort", "sorting", "ranking", "order of size"),
        answer_kind="number",
        max_new_tokens=4,
        guess=lambda p: 1 / len(set(p.operands or ())),
        group="sequences",
        source=Fitted(
            tuple(range(1000)),
            lambda tokens, number: tokens.single(str(number), f" {number}"),
            "numbers that are one token, with and without a space before them",
            lambda pool: family(pool, k),
        ),
    )


KTH_SMALLEST = kth_smallest(2)
