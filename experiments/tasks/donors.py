"""More prompts of the task as donors, if the measured prompts are too few to be donors for each other.

Each prompt should have DONORS others with another question and answer: of its template and length; if there are fewer
than FEWEST, of its length; otherwise of any length. `engine.donors` decides which of them are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..engine.donors import FEWEST
from ..errors import BadTask
from .batch import Batch, encoded
from .prompt import Prompt

if TYPE_CHECKING:
    from ..lab import Lab

# A mean over fewer prompts depends mostly on which prompts they are.
DONORS = 8
LOOKED_AT = 4000


@dataclass(frozen=True)
class Place:
    """What decides whether a prompt can be a donor for another: its form, its question, its answer's tokens, and where
    the answer is read."""

    template: str
    length: int
    question: str
    answer: tuple[int, ...]
    read: int = 0

    def lends_to(self, other: Place) -> bool:
        own = other.answer[other.read : other.read + 1]
        return self.question != other.question and (not own or self.answer[other.read : other.read + 1] != own)


def place(tokenizer: Any, prompt: Prompt) -> Place:
    """The place of a prompt. Raises BadTask if the tokenizer cannot separate prompt, answer and distractor."""
    made = encoded(tokenizer, prompt)
    return Place(prompt.template, len(made["head"]), prompt.key, tuple(made["answer"]), made["at"])


Form = Callable[[Place, Place], bool]
FORMS: tuple[Form, ...] = (
    lambda a, b: bool(a.template) and (a.template, a.length) == (b.template, b.length),
    lambda a, b: a.length == b.length,
    lambda a, b: True,
)


def more_donors(lab: Lab, prompts: Sequence[Prompt], batch: Batch, seed: int) -> list[Prompt]:
    """The prompts needed in addition to the batch; empty if there are enough, or no more exist."""
    measured = [place(lab.subject.tokenizer, prompt) for prompt in prompts]
    known, places = {p.text for p in prompts}, list(measured)
    found: list[Prompt] = []
    left = list(measured)
    for form in FORMS:
        counts = {own: sum(form(own, other) and other.lends_to(own) for other in places) for own in left}
        lacking = {own for own, count in counts.items() if count < DONORS}
        templates = {own.template for own in lacking} if form is FORMS[0] else None
        for prompt, other in candidates(lab, batch, seed, templates) if lacking else ():
            lent = [own for own in lacking if form(own, other) and other.lends_to(own)]
            if not lent or prompt.text in known:
                continue
            found.append(prompt)
            places.append(other)
            known.add(prompt.text)
            counts.update({own: counts[own] + 1 for own in lent})
            lacking = {own for own in lacking if counts[own] < DONORS}
            if not lacking:
                break
        left = [own for own, count in counts.items() if count < FEWEST]
    return found


def candidates(lab: Lab, batch: Batch, seed: int, templates: set[str] | None) -> Iterator[tuple[Prompt, Place]]:
    """Explore prompts (of these templates; None: any) that fit into the columns of the batch."""
    room = batch.length - batch.reads + 1
    for prompt in islice(lab.task.source.stream("explore", seed), LOOKED_AT):
        if templates is not None and prompt.template not in templates:
            continue
        try:
            other = place(lab.subject.tokenizer, prompt)
        except BadTask:
            continue
        if other.length <= room and len(other.answer) <= batch.reads:
            yield prompt, other
