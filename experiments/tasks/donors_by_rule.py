"""For a prompt, another prompt of the task whose named values obey a rule: "same answer and other a"."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from ..errors import BadConfiguration, BadTask
from ..lab import Lab
from ..model.encoding import encode, encode_answer
from ..notes import note
from ..result import Note
from .donors import LOOKED_AT
from .prompt import Prompt, Split
from .values import value_in, value_in_each, values_of

# For each named value, whether the donor has the same or another one.
Rules = Sequence[tuple[Literal["same", "other"], str]]
# How many fitting prompts a prompt's donor is drawn from.
FITTING = 8


def prompts_with_donors(
    lab: Lab, draw: tuple[int, Split, int], rules: Sequence[Rules]
) -> tuple[tuple[Prompt, ...], tuple[Note, ...]]:
    """The first n prompts of the draw that have a donor for each of the rules, and a note on those that have none.

    Raises BadTask for a value that a prompt does not have, and BadConfiguration if there are fewer than n.
    """
    n, split, seed = draw
    found, passed, looked_at = list[Prompt](), 0, 0
    lenders = Lenders.of(lab, seed)
    for name in dict.fromkeys(name for each in rules for _, name in each):
        value_in_each(lab.task.prompts(n, split, seed), name)
    for prompt in islice(lab.task.source.stream(split, seed), LOOKED_AT):
        if len(found) == n:
            break
        looked_at += 1
        if all(next(lenders.texts(prompt, one), None) is not None for one in rules):
            found.append(prompt)
        else:
            passed += 1
    if len(found) < n:
        said = "; ".join(" and ".join(map(" ".join, one)) for one in rules)
        raise BadConfiguration(
            f"Only {len(found)} of {looked_at} prompts of {lab.task.name} have a donor with {said}, of their template "
            f"and length. {f'Use n of at most {len(found)}, or fewer rules' if found else 'Use fewer rules'}."
        )
    notes = (note("without_donor_by_rule", passed=passed, looked_at=looked_at),) if passed else ()
    return tuple(found), notes


def donors_by_rule(lab: Lab, prompts: Sequence[Prompt], rules: Rules, seed: int) -> list[str]:
    """For each prompt, the text of a donor of its template and length, from the explore split, drawn by the seed.

    The answer has the same tokens after both texts, so their columns correspond. Raises BadConfiguration if a prompt
    has none.
    """
    lenders, rng, found = Lenders.of(lab, seed), random.Random(seed), list[str]()
    for prompt in prompts:
        texts = list(islice(lenders.texts(prompt, rules), FITTING))
        if not texts:
            raise BadConfiguration(f"{prompt.text[-60:]!r} has no donor with {' and '.join(map(' '.join, rules))}. "
                                   "Ask for fewer values.")  # fmt: skip
        found.append(rng.choice(texts))
    return found


class Lenders:
    """The prompts of the explore split by template and number of tokens."""

    @classmethod
    def of(cls, lab: Lab, seed: int) -> Lenders:
        """Those of this lab, whose prompts are tokenized only once."""
        if seed not in lab.lenders:
            lab.lenders[seed] = cls(lab, seed)
        return lab.lenders[seed]

    def __init__(self, lab: Lab, seed: int) -> None:
        self.tokenizer = lab.subject.tokenizer
        self.groups: dict[tuple[str, int], list[Prompt]] = defaultdict(list)
        for prompt in islice(lab.task.source.stream("explore", seed), LOOKED_AT):
            self.groups[self.group(prompt)].append(prompt)

    def group(self, prompt: Prompt) -> tuple[str, int]:
        return prompt.template, len(encode(self.tokenizer, prompt.text)[0])

    def texts(self, prompt: Prompt, rules: Rules) -> Iterator[str]:
        own = values_of(prompt)
        for other in self.groups[self.group(prompt)]:
            if other.key == prompt.key or other.text == prompt.text or not obeys(own, values_of(other), rules):
                continue
            try:
                same = [encode_answer(self.tokenizer, text, prompt.answer)[1] for text in (prompt.text, other.text)]
            except BadTask:
                continue
            if same[0] == same[1]:
                yield other.text


def obeys(own: Mapping[str, str], other: Mapping[str, str], rules: Rules) -> bool:
    pairs = [(how, value_in(own, name), value_in(other, name)) for how, name in rules]
    return all(None not in (mine, its) and (mine == its) == (how == "same") for how, mine, its in pairs)
