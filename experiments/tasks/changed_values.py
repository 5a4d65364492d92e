"""Corrupted prompts that are made to change one named value: the prompt with another text where the value is written.

The other text is one that the span has in another prompt of the split and template, so all else stays as it is. What
the changed prompt's answer is, the family says (`Family.ask`); for a source without that, the changed prompt must be a
prompt of the task itself, as in a task made from a template. A value that the text does not show, such as `a+b`,
changes with one of the spans. Values that follow from the changed one change with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise

from .prompt import ANSWER, Prompt, Split, split_of
from .question import Question, ask_of
from .task import Source
from .values import blank_before, value_in, values_of

# How many prompts the other texts are taken from.
POOL = 1000


@dataclass(frozen=True)
class ChangedValues:
    """Makes corrupted prompts from the prompts of one draw."""

    source: Source
    split: Split
    seed: int

    @cached_property
    def pool(self) -> tuple[Prompt, ...]:
        return tuple(islice(self.source.stream(self.split, self.seed), POOL))

    @cached_property
    def by_text(self) -> dict[str, Prompt]:
        return {prompt.text: prompt for prompt in self.pool}

    @cached_property
    def texts(self) -> dict[tuple[str, str], list[str]]:
        """The texts that a span has in the prompts of a template, by template and span."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for prompt in self.pool:
            for name, text in span_texts(prompt).items():
                found.setdefault((prompt.template, name), {})[text] = None
        return {of: list(texts) for of, texts in found.items()}

    def carriers(self, prompt: Prompt, value: str) -> list[tuple[str, ...]]:
        """The spans that are written with the value: its own; all that have its text in every prompt; or, for a value
        that the text does not show, each span by itself."""
        if value in prompt.spans:
            return [(value,)]
        shown = tuple(name for name in prompt.spans if (value, name) in self.equal)
        return [shown] if shown else [(name,) for name in prompt.spans]

    @cached_property
    def equal(self) -> frozenset[tuple[str, str]]:
        """Each value and span that have the same text in every prompt."""
        found: set[tuple[str, str]] | None = None
        for prompt in self.pool:
            spans, values = span_texts(prompt), values_of(prompt)
            own = {(value, name) for value, text in values.items() for name in spans if spans[name] == text}
            found = own if found is None else found & own
        return frozenset(found or ())

    def changing(self, prompt: Prompt, value: str) -> Iterator[tuple[Prompt, Mapping[str, str]]]:
        """The prompt with each corrupted prompt that changes this value, in an order that depends on the prompt, and
        the values of the corrupted prompt.

        If the answer stays the same, the corrupted prompt has no answer of its own.
        """
        own, rng = values_of(prompt), random.Random(f"{prompt.text} {value} {self.seed}")
        spans = span_texts(prompt)
        changes = [(names, text) for names in self.carriers(prompt, value)
                   for text in self.texts.get((prompt.template, names[0]), ())
                   if all(text != spans[name] for name in names)]  # fmt: skip
        rng.shuffle(changes)
        for names, text in changes:
            texts = {**spans, **dict.fromkeys(names, text)}
            written = rewritten(prompt, names, text)
            asked = None if written is None else self.asked(prompt, texts, written)
            if asked is None or split_of(asked.key) != self.split:
                continue
            answer = blank_before(prompt) + asked.answer.strip()
            values = {name: one.strip() for name, one in texts.items()}
            values |= {ANSWER: asked.answer.strip(), **asked.values}
            if value_in(values, value) != value_in(own, value):
                same = answer in (prompt.answer, *prompt.accepted)
                changed = {"corrupted": written, "corrupted_answer": None if same else answer}
                yield prompt.model_copy(update=changed), values

    def asked(self, prompt: Prompt, texts: Mapping[str, str], written: str) -> Question | None:
        ask = ask_of(self.source)
        if ask is not None:
            return ask(prompt, texts)
        found = self.by_text.get(written)
        return None if found is None else Question(found.key, found.answer, found.values)


def span_texts(prompt: Prompt) -> dict[str, str]:
    return {name: prompt.text[start:end] for name, (start, end) in prompt.spans.items()}


def rewritten(prompt: Prompt, names: Sequence[str], text: str) -> str | None:
    """The prompt's text with another text in these spans; None if they overlap."""
    places = sorted({prompt.spans[name] for name in names})
    if any(second[0] < first[1] for first, second in pairwise(places)):
        return None
    made, at = "", 0
    for start, end in places:
        made, at = made + prompt.text[at:start] + text, end
    return made + prompt.text[at:]
