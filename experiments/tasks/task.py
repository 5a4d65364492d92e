"""A task: a card that says what the prompts ask and how answers are scored, and a source of prompts.

A draw is a prefix of one long sequence that depends only on the split and the seed. So a larger study contains the
smaller one, and the same request gives the same prompts on every machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import ConfigDict, Field, SkipValidation

from ..errors import BadTask
from ..result import Frozen
from .prompt import SPLITS, Prompt, Split

AnswerKind = Literal["number", "word", "name", "yes_no", "true_false_unknown", "text", "open"]
Group = Literal["arithmetic", "reasoning", "language", "facts", "sequences", "code", "small sets", "your own"]


class Source(Protocol):
    """Where prompts come from: `Family` and `Drawn` for generated ones, `Lines` for a file, `Fitted` around them."""

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        """All prompts of the split, each text once, in an order that depends on the seed."""
        ...

    def capacity(self, split: Split) -> int:
        """The number of prompts of `stream`."""
        ...

    def identity(self) -> Any:
        """Everything that the prompts depend on, as JSON; it changes when they change."""
        ...


@runtime_checkable
class Fits(Source, Protocol):
    """A source that leaves out words that do not fit a tokenizer."""

    def for_tokenizer(self, tokenizer: Any) -> Fits: ...

    def note(self) -> str:
        """How much was left out and why; empty if nothing was."""
        ...


class Task(Frozen):
    """A task for a subject.

    description     two lines: what is measured, and the chance level
    keywords        words and phrases by which a goal may name the task
    formulas        what the prompts ask to calculate, such as a+b; a letter stands for any number, 1 for one digit
    answer_kind     how generated text is scored, see `answers.is_correct`; open prompts have no answer
    max_new_tokens  enough for an answer and for recognising a wrong one
    stop            generation is cut at the first of these
    guess           the probability of a random choice among the answers that a prompt offers; None if only the most
                    frequent answer helps a guesser. See `chance.chance_of`
    group           its group in the list of tasks
    left_out        how many names, numbers or facts do not fit this subject's tokenizer, and why; empty if none
    content         the lines of a user's own task, from which it can be rebuilt; None otherwise
    maker           who made it, if it was made or imported
    asked           the hash of the chat template of its prompts; empty for plain text
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*(~[a-z]+[0-9]*)?$")]
    title: str
    description: str
    keywords: tuple[str, ...]
    formulas: tuple[str, ...] = ()
    answer_kind: AnswerKind
    max_new_tokens: Annotated[int, Field(ge=1)]
    stop: tuple[str, ...] = ("\n",)
    guess: SkipValidation[Callable[[Prompt], float]] | None = Field(default=None, exclude=True, repr=False)
    source: SkipValidation[Source] = Field(exclude=True, repr=False)
    group: Group = "your own"
    left_out: str = ""
    content: str | None = Field(default=None, exclude=True, repr=False)
    maker: str = ""
    asked: str = Field(default="", exclude=True)

    def prompts(self, n: int, split: Split = "explore", seed: int = 0) -> tuple[Prompt, ...]:
        """The first n prompts of the split for this seed. Raises `BadTask` if it has fewer."""
        self.require(n, split)
        return tuple(islice(self.source.stream(split, seed), n))

    def require(self, n: int, split: Split) -> None:
        """Raises `BadTask` unless the split has n prompts."""
        if split not in SPLITS:
            raise BadTask(f"There is no split '{split}'. Use {' or '.join(SPLITS)}.")
        if n < 1:
            raise BadTask(f"n is {n}. Use at least 1 prompt of '{self.name}'.")
        exist = self.capacity(split)
        if n > exist:
            other: Split = "confirm" if split == "explore" else "explore"
            way_out = f"Use at most {exist}" if exist else "Add prompts to the task"
            raise BadTask(
                f"Task '{self.name}' has only {exist} of {n} prompts in its {split} split "
                f"({self.capacity(other)} in {other}). {way_out}."
            )

    def capacity(self, split: Split) -> int:
        """The number of different prompts of the split."""
        return self.source.capacity(split)

    def for_tokenizer(self, tokenizer: Any) -> Task:
        """The part of this task that fits a tokenizer; `left_out` says what is missing.

        Raises `BadTask` if too little is left.
        """
        if not isinstance(self.source, Fits):
            return self
        source = self.source.for_tokenizer(tokenizer)
        carried = self.model_copy(update={"source": source, "left_out": source.note()})
        if not all(carried.capacity(split) for split in SPLITS):
            raise BadTask(f"This model's tokenizer does not fit '{self.name}'. {carried.left_out} Use another task.")
        return carried

    def cut(self, generated: str) -> str:
        """The part that counts as the answer: the generated text up to the first stop."""
        return generated[: min((at for s in self.stop if (at := generated.find(s)) >= 0), default=len(generated))]

    def fingerprint(self) -> str:
        """SHA-256 of everything that a measurement on this task depends on; then ~ and the chat template, if any."""
        definition = [self.name, self.answer_kind, self.max_new_tokens, self.stop, self.source.identity()]
        text = json.dumps(definition, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        own = hashlib.sha256(b"lashley-task\0" + text.encode()).hexdigest()
        return f"{own}~{self.asked}" if self.asked else own
