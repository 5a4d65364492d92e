"""More prompts of the task, where those that are measured on are too few to lend each other their values.

Each prompt should have DONORS others that ask and answer otherwise: of its template and length; where there are not
even FEWEST, of its length; else of any length. Which of them lend is for `engine.donors` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from .batch import Batch, encode_answer
from .engine.donors import FEWEST
from .errors import BadTask
from .tasks.prompt import Prompt

if TYPE_CHECKING:
    from .lab import Lab

# A mean over fewer prompts than this is mostly the noise of which prompts they were.
DONORS = 8
LOOKED_AT = 4000


@dataclass(frozen=True)
class Place:
    """What decides whether a prompt can lend to another, which has the same place: its form, its question, its answer's
    tokens, and at which of them the answer is read."""

    template: str
    length: int
    question: str
    answer: tuple[int, ...]
    read: int = 0

    def lends_to(self, other: Place) -> bool:
        own = other.answer[other.read : other.read + 1]
        return self.question != other.question and (not own or self.answer[other.read : other.read + 1] != own)


Form = Callable[[Place, Place], bool]
FORMS: tuple[Form, ...] = (
    lambda a, b: bool(a.template) and (a.template, a.length) == (b.template, b.length),
    lambda a, b: a.length == b.length,
    lambda a, b: True,
)


def more_donors(lab: Lab, prompts: Sequence[Prompt], batch: Batch, seed: int) -> list[Prompt]:
    """The prompts that are lacking beside those of the batch; empty where there are enough, or no more."""
    measured = [
        Place(template, length, question, tuple(t for t in answer if t >= 0), at)
        for (template, length), question, answer, at in zip(
            batch.groups, batch.questions, batch.targets.tolist(), batch.answer_at.tolist(), strict=True
        )
    ]
    known, places = {p.text for p in prompts}, list(measured)
    found: list[Prompt] = []
    left = list(measured)
    for form in FORMS:
        counts = {place: sum(form(place, other) and other.lends_to(place) for other in places) for place in left}
        lacking = {place: DONORS - count for place, count in counts.items() if count < DONORS}
        templates = {place.template for place in lacking} if form is FORMS[0] else None
        for prompt, other in candidates(lab, batch, seed, templates) if lacking else ():
            lent = [place for place in lacking if form(place, other) and other.lends_to(place)]
            if not lent or prompt.text in known:
                continue
            found.append(prompt)
            places.append(other)
            known.add(prompt.text)
            counts.update({place: counts[place] + 1 for place in lent})
            lacking = {place: DONORS - counts[place] for place in lacking if counts[place] < DONORS}
            if not lacking:
                break
        left = [place for place, count in counts.items() if count < FEWEST]
    return found


def candidates(lab: Lab, batch: Batch, seed: int, templates: set[str] | None) -> Iterator[tuple[Prompt, Place]]:
    """Explore prompts (of these templates; None: of any) that fit into the columns of the batch."""
    room = batch.length - batch.reads + 1
    for prompt in islice(lab.task.source.stream("explore", seed), LOOKED_AT):
        if templates is not None and prompt.template not in templates:
            continue
        try:
            head, answer, _ = encode_answer(lab.subject.tokenizer, prompt.text, prompt.answer)
        except BadTask:
            continue
        if len(head) <= room and len(answer) <= batch.reads:
            yield prompt, Place(prompt.template, len(head), prompt.key, tuple(answer))
