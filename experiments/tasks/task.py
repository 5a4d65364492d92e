"""A task: a card that says what is asked and how it is scored, and a source that prompts are drawn from.

A draw is a prefix of one long sequence that only the split and the seed decide. So a larger study contains
the smaller one, and the same request gives the same prompts on every machine.
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
        """All prompts of the split, each text once, in an order that the seed decides."""
        ...

    def capacity(self, split: Split) -> int:
        """How many prompts `stream` gives."""
        ...

    def identity(self) -> Any:
        """What the prompts depend on, as JSON; it changes when they change."""
        ...


@runtime_checkable
class Fits(Source, Protocol):
    """A source that leaves out what a tokenizer cannot carry."""

    def for_tokenizer(self, tokenizer: Any) -> Fits: ...

    def note(self) -> str:
        """How much was left out and why; empty for nothing."""
        ...


class Task(Frozen):
    """What a subject is asked.

    description     two lines: what is measured, and what chance gives
    keywords        words and phrases by which a goal may name the task
    answer_kind     how the generated text is scored, as `answers.is_correct` has it; open prompts have no answer
    max_new_tokens  enough for an answer and for what gives a wrong one away
    stop            generation is cut at the first of these
    guess           how likely somebody is right who picks at random among the answers that a prompt offers; None where
                    only the commonest answer helps a guesser. See `chance.chance_of`
    group           where it stands in the list of tasks
    left_out        how many names, numbers or facts this subject's tokenizer cannot carry, and why; empty for none
    content         the lines of a task of one's own, from which it can be built again; None otherwise
    maker           who made it, where it was made or imported
    asked           by what chat template its prompts are asked, as a hash; empty where they are plain text
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*(~[a-z]+[0-9]*)?$")]
    title: str
    description: str
    keywords: tuple[str, ...]
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
        """The first n prompts of the split for this seed. Raises `BadTask` when it holds fewer."""
        self.require(n, split)
        return tuple(islice(self.source.stream(split, seed), n))

    def require(self, n: int, split: Split) -> None:
        """Raises `BadTask` unless the split holds n prompts."""
        if split not in SPLITS:
            raise BadTask(f"There is no split '{split}'; take {' or '.join(SPLITS)}.")
        if n < 1:
            raise BadTask(f"{n} prompts were asked of '{self.name}'; ask for at least 1.")
        exist = self.capacity(split)
        if n > exist:
            other: Split = "confirm" if split == "explore" else "explore"
            way_out = f"ask for at most {exist}" if exist else "add prompts to the task"
            raise BadTask(
                f"Task '{self.name}' has {exist} prompts in its {split} split "
                f"({self.capacity(other)} in {other}), and {n} were asked for; {way_out}."
            )

    def capacity(self, split: Split) -> int:
        """How many different prompts the split holds."""
        return self.source.capacity(split)

    def for_tokenizer(self, tokenizer: Any) -> Task:
        """The part of this task that a tokenizer can carry; `left_out` says what is missing.

        Raises `BadTask` where too little is left to ask anything.
        """
        if not isinstance(self.source, Fits):
            return self
        source = self.source.for_tokenizer(tokenizer)
        carried = self.model_copy(update={"source": source, "left_out": source.note()})
        if not all(carried.capacity(split) for split in SPLITS):
            raise BadTask(f"This model's tokenizer cannot carry '{self.name}'. {carried.left_out} Take another task.")
        return carried

    def cut(self, generated: str) -> str:
        """What counts as the answer: the generated text up to the first of the stops."""
        return generated[: min((at for s in self.stop if (at := generated.find(s)) >= 0), default=len(generated))]

    def fingerprint(self) -> str:
        """SHA-256 over everything that a measurement on this task depends on; after a ~ the chat template, if any."""
        definition = [self.name, self.answer_kind, self.max_new_tokens, self.stop, self.source.identity()]
        text = json.dumps(definition, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        own = hashlib.sha256(b"lashley-task\0" + text.encode()).hexdigest()
        return f"{own}~{self.asked}" if self.asked else own
