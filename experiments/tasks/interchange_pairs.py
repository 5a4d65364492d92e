"""Pairs of prompts for interchange interventions: a base, a donor that lends the value of a variable, and the
counterfactual answer, which the causal model gives for the base with the donor's value.

Both have the same template, the same number of tokens, and their spans at the same tokens. The counterfactual answer
differs from the base's, or the pair would show nothing; and from the donor's, so that a model that only copies the
donor's answer is not right (unless the answer is the variable itself).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch

from ..errors import BadConfiguration, BadTask
from ..lab import Lab
from .batch import Batch, encoded, make_batch
from .causal_model import CausalModel
from .corrupted_prompts import with_text
from .prompt import Prompt, Split
from .values import blank_before

# How many prompts of a split are looked at, at most, and how many donors are tried for a base.
LOOKED_AT = 2000
TRIED = 60


@dataclass(frozen=True)
class Pair:
    """answer: the counterfactual answer, with its blank. The base's own answer is what it is compared with.

    other: a donor with which the counterfactual answer is a third one, as a control; None if there is none.
    """

    base: Prompt
    donor: Prompt
    answer: str
    other: Prompt | None = None

    @property
    def asked(self) -> Prompt:
        """The base, scored on the counterfactual answer against its own."""
        return scored(self.base, self.answer, self.base.answer)

    @property
    def for_donor(self) -> Prompt:
        """The base, scored on the donor's answer against its own."""
        return scored(self.base, blank_before(self.base) + self.donor.answer.strip(), self.base.answer)


@dataclass(frozen=True)
class Pairs:
    """pairs: as many as were asked for. The rest counts what was passed over.

    without   bases that no prompt can lend to, of `looked_at`
    equal     tried donors with which the counterfactual answer is the base's own
    copied    tried donors with which it is the donor's own
    """

    pairs: tuple[Pair, ...]
    looked_at: int
    without: int
    equal: int
    copied: int

    @property
    def asked(self) -> list[str]:
        return [pair.base.key for pair in self.pairs]

    @property
    def questions(self) -> set[str]:
        """All questions that the pairs use, as base or as donor."""
        return {prompt.key for pair in self.pairs for prompt in (pair.base, pair.donor)}


@dataclass(frozen=True)
class Runs:
    """Bases scored on the counterfactual answers, and donors in the same columns."""

    base: Batch
    donor: Batch


def scored(prompt: Prompt, answer: str, other: str) -> Prompt:
    return prompt.model_copy(update={"answer": answer, "distractor": other, "accepted": (), "corrupted": None,
                                     "corrupted_answer": None})  # fmt: skip


def interchange_pairs(
    lab: Lab, model: CausalModel, n: int, split: Split, seed: int, without: Collection[str] = (), field: str = "n"
) -> Pairs:
    """The first n prompts of the draw that have a donor, each with one drawn by the seed from the same split.

    `without`: questions that may be neither base nor donor; `field`: the setting that n is. Raises BadConfiguration if
    there are fewer.
    """
    drawn = [p for p in islice(lab.task.source.stream(split, seed), LOOKED_AT) if p.key not in without]
    model.require(drawn[: max(n, 8)])
    maker = _Maker(lab, model, drawn, seed)
    found = list[Pair]()
    looked_at = passed = 0
    for base in drawn:
        if len(found) == n:
            break
        looked_at += 1
        pair = maker.pair(base)
        if pair is None:
            passed += 1
        else:
            found.append(pair)
    if len(found) < n:
        instead = f"Use {field} of at most {len(found)}" if found else "Use another variable, output or task"
        raise BadConfiguration(
            f"Only {len(found)} of {looked_at} prompts of {lab.task.name} ({split}) have a donor of the same template "
            f"and length, with another {model.variable} that changes the answer; {n} are needed. {instead}."
        )
    return Pairs(tuple(found), looked_at, passed, maker.equal, maker.copied)


class _Maker:
    """Finds donors among prompts."""

    def __init__(self, lab: Lab, model: CausalModel, pool: list[Prompt], seed: int) -> None:
        self.tokenizer, self.model, self.seed = lab.subject.tokenizer, model, seed
        self.groups: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in pool:
            self.groups[prompt.template].append(prompt)
        self.values: dict[str, str] = {}
        self.equal = self.copied = 0

    def value(self, prompt: Prompt) -> str:
        if prompt.text not in self.values:
            self.values[prompt.text] = self.model.value(prompt)
        return self.values[prompt.text]

    def pair(self, base: Prompt) -> Pair | None:
        """The first pair of a base, and the donor of the first one with another answer."""
        first: Pair | None = None
        for pair in self.pairs(base):
            if first is None:
                first = pair
            elif pair.answer != first.answer:
                return replace(first, other=pair.donor)
        return first

    def pairs(self, base: Prompt) -> Iterator[Pair]:
        others = [other for other in self.groups[base.template] if other.key != base.key and other.text != base.text]
        rng = random.Random(f"{base.text} {self.seed}")
        for donor in rng.sample(others, min(TRIED, len(others))):
            found = self.model.answer(base, self.value(donor))
            if found == base.answer.strip():
                self.equal += 1
            elif found == donor.answer.strip() and not self.model.only_variable:
                self.copied += 1
            else:
                pair = Pair(base, donor, blank_before(base) + found)
                if self.fits(pair):
                    yield pair

    def fits(self, pair: Pair) -> bool:
        """Whether both have the same layout, and the answers can be told from each other after either."""
        try:
            spans = {name: pair.donor.spans[name] for name in pair.base.spans if name in pair.donor.spans}
            lent = {"text": pair.donor.text, "spans": spans}
            rows = [[encoded(self.tokenizer, one) for one in (asked, asked.model_copy(update=lent))]
                    for asked in (pair.asked, pair.for_donor)]  # fmt: skip
        except BadTask:
            return False
        lengths = [len(own["head"]) == len(other["head"]) for own, other in rows]
        return all(lengths) and all(own[name] == other[name] for own, other in rows for name in ("answer", "spans"))


def shuffled_labels(lab: Lab, model: CausalModel, pairs: Sequence[Pair], seed: int) -> tuple[Pair, ...]:
    """The same bases and donors, with the answer for the variable of another pair's donor: a control for training."""
    maker, rng, found = _Maker(lab, model, [], seed), random.Random(seed), list[Pair]()
    for pair in pairs:
        wrong = pair
        for other in rng.sample(pairs, len(pairs)):
            answer = blank_before(pair.base) + model.answer(pair.base, model.value(other.donor))
            made = replace(pair, answer=answer)
            if answer.strip() not in (pair.answer.strip(), pair.base.answer.strip()) and maker.fits(made):
                wrong = made
                break
        found.append(wrong)
    return tuple(found)


def runs_of(lab: Lab, pairs: Sequence[Pair], for_donor: bool = False, other: bool = False) -> Runs:
    """The bases, scored on the counterfactual answers (`for_donor`: on the donor's), and the donors (`other`: the
    other donors, or the base itself without one) in the same columns. Both have the position `read`, where the two
    answers first differ."""
    asked = [pair.for_donor if for_donor else pair.asked for pair in pairs]
    donors = [(pair.other or pair.base) if other else pair.donor for pair in pairs]
    lent = [with_text(prompt, donor.text) for prompt, donor in zip(asked, donors, strict=True)]
    base, donor = (make_batch(lab.subject.tokenizer, prompts, lab.subject.device) for prompts in (asked, lent))
    first = base.length - base.reads
    read = [first + at for at in base.answer_at.tolist()]
    spans = tuple({"read": (at, at + 1), **row} for at, row in zip(read, base.spans, strict=True))
    return Runs(replace(base, spans=spans), replace(donor, spans=spans))


def positions_of(runs: Runs) -> list[str]:
    """The positions that every base has, in the order of the text; without `read` if it is `last` everywhere."""
    known = set[str].intersection(*map(set, runs.base.spans))
    if all(row["read"] == row["last"] for row in runs.base.spans):
        known.discard("read")
    order = torch.tensor([[row[name][0] for row in runs.base.spans] for name in sorted(known)]).double().mean(1)
    return [name for _, name in sorted(zip(order.tolist(), sorted(known), strict=True))]
