"""One prompt, and everything that experiments use of it.

Only a hash of its key determines whether a prompt is in the `explore` or the `confirm` split, so the prompts used to
form a hypothesis can never test it, whatever the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from ..result import Frozen
from .letters import visible

Split = Literal["explore", "confirm"]
SPLITS: tuple[Split, ...] = get_args(Split)
# The name of the answer among the values of a prompt.
ANSWER = "answer"


def split_of(key: str) -> Split:
    """The split of all prompts with this key: one bit of its SHA-256."""
    # Any bit would do. The first of byte 15 gives each split about half of the 45 small sums, and half of the twenty
    # whose result has one digit.
    return "explore" if hashlib.sha256(key.encode()).digest()[15] < 128 else "confirm"


def blank_at_end(text: str) -> bool:
    """Whether the text ends with a visible or invisible blank. A line end does not count: no space follows it."""
    return text[-1] not in "\r\n" and (text[-1].isspace() or not visible(text[-1]))


class Inconsistent(ValueError):
    """Inconsistent fields of a prompt, with each fault."""

    code = "inconsistent_prompt"

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(". And: ".join(faults))


class Prompt(Frozen):
    """A text, its answer, and what to compare them with.

    text              ends without a blank; the model would write `text + answer`
    answer            the continuation, with its leading space if the text needs one
    distractor        a plausible wrong answer of the same form
    corrupted         the text with one small change: the same template, another answer
    corrupted_answer  the answer of `corrupted`
    spans             named half-open ranges of characters in `text`, such as {"a": (0, 1)}
    template          prompts that share it have the same parts in the same order; "" if unknown
    key               the content, such as "3+4": prompts that share it are in the same split
    operands          the numbers of a sum, in the order in which they are used
    accepted          all right answers, if there is more than one; includes `answer`
    open              there is no answer; only how the subject continues matters
    values            named texts besides the spans and the answer, such as {"a+b": "7"}; see `values.values_of`

    Inconsistent fields raise pydantic's ValidationError, whose context contains an `Inconsistent`.
    """

    text: Annotated[str, Field(min_length=1)]
    answer: str
    distractor: str | None = None
    corrupted: str | None = None
    corrupted_answer: str | None = None
    spans: dict[str, tuple[int, int]] = Field(default_factory=dict)
    template: str = ""
    key: Annotated[str, Field(min_length=1)]
    operands: tuple[int, ...] | None = None
    accepted: tuple[str, ...] = ()
    open: bool = False
    values: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if faults := list(self._faults()):
            raise Inconsistent(faults)
        return self

    def _faults(self) -> Iterator[str]:
        for name, text in (("text", self.text), ("corrupted", self.corrupted)):
            if text is not None and (not visible(text).strip() or blank_at_end(text)):
                yield f"{name} is blank or ends with a blank; move the blank to the start of the answer"
        if not self.open:
            for name in ("answer", "distractor", "corrupted_answer"):
                yield from self._faults_of_answer(name, getattr(self, name))
        elif self.answer or self.distractor or self.corrupted_answer or self.accepted:
            yield "an open prompt has no answer; leave out the answers"
        if self.accepted and (self.answer not in self.accepted or self.distractor in self.accepted):
            yield "accepted must contain the answer, but not the distractor"
        if self.corrupted is None and self.corrupted_answer is not None:
            yield "corrupted_answer is given without corrupted; give both or neither"
        if self.corrupted == self.text:
            yield "corrupted is the same as text; change one thing so that the answer changes"
        for name, value in self.values.items():
            if not name.strip() or not value.strip():
                yield f"value {name!r} is blank; give it a name and a text"
            elif name == ANSWER:
                yield f"values has {ANSWER!r}, which is the name of the prompt's answer; use another name"
        for name, (start, end) in self.spans.items():
            if not 0 <= start < end <= len(self.text):
                size = len(self.text)
                yield f"span {name} ({start}, {end}) is empty or outside the text, which has {size} characters"

    def _faults_of_answer(self, name: str, given: str | None) -> Iterator[str]:
        if given is None:
            return
        if not given.strip():
            yield f"{name} is empty"
        elif name != "answer" and given.strip() == self.answer.strip():
            yield f"{name} is the same as the answer"
        elif name != "answer" and self.answer.strip() and given[0].isspace() != self.answer[0].isspace():
            yield f"{name} and the answer must both start with a space, or neither"

    @property
    def message(self) -> str:
        """The question without a chat template; see `experiments.model.chat`."""
        return self.text

    @property
    def split(self) -> Split:
        return split_of(self.key)


def as_read(prompt: Prompt) -> dict[str, Any]:
    """The fields that are not the default, without the names of values: what a family's identity is made from.

    A family's values follow from its contents, and no token depends on them. So a task keeps the fingerprint that it
    had before prompts had values.
    """
    return prompt.model_dump(exclude_defaults=True, exclude={"values"})


def faults_of(error: ValidationError) -> list[tuple[str, str]]:
    """pydantic's faults in a prompt's fields: the field, or "" for several, and a sentence for each."""
    found: list[tuple[str, str]] = []
    for detail in error.errors(include_url=False):
        # An invalid text also makes its key invalid, which the user did not write.
        if detail["loc"] == ("key",) and not isinstance(detail["input"], str):
            continue
        cause = detail.get("ctx", {}).get("error")
        says = cause.faults if isinstance(cause, Inconsistent) else (detail["msg"],)
        found += [(".".join(map(str, detail["loc"])), f"{one}.") for one in says]
    return found
