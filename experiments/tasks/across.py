"""Faults between the prompts of a file whose lines are each valid: the same question in both splits, and answers that
grading cannot distinguish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..answers.grading import READ_AS, counts_as, readable
from .letters import normal
from .prompt import Prompt
from .records import Fault
from .task import AnswerKind

# A prompt with the line where it starts.
Numbered = tuple[int, Prompt]
STRICT = 'compare answers letter by letter ("answer_kind": "text" in one line, or --answer-kind text)'


def faults_across(prompts: Sequence[Numbered], kind: AnswerKind, declared: bool) -> Iterator[Fault]:
    """All such faults. `declared`: the kind was given, not inferred from the answers, so some may not fit it."""
    yield from same_to_a_reader(prompts)
    yield from crossing_corrupted_prompts(prompts)
    yield from counted_as_right(prompts, kind)
    if declared:
        yield from unreadable(prompts, kind)


def same_to_a_reader(prompts: Sequence[Numbered]) -> Iterator[Fault]:
    """Texts that a reader would consider the same, but with different keys."""
    first: dict[str, Numbered] = {}
    for line, prompt in prompts:
        earlier, other = first.setdefault(normal(prompt.text), (line, prompt))
        if other.key != prompt.key:
            yield Fault(
                line,
                f"the same text as in line {earlier} except for case, blanks or the form of its characters; remove one "
                "of the two, or give both the same key, which keeps them in one split.",
            )


def crossing_corrupted_prompts(prompts: Sequence[Numbered]) -> Iterator[Fault]:
    """Corrupted prompts of one split that are prompts of the other."""
    texts = {normal(prompt.text): (line, prompt) for line, prompt in prompts}
    for line, prompt in prompts:
        found = texts.get(normal(prompt.corrupted or ""))
        if found is not None and found[1].split != prompt.split:
            says = f"it is the text of line {found[0]}, which is in the other split; give both the same key"
            yield Fault(line, f"{says}, or use another corrupted prompt.", "corrupted")


def counted_as_right(prompts: Sequence[Numbered], kind: AnswerKind) -> Iterator[Fault]:
    """Wrong answers that grading would count as right."""
    for line, prompt in prompts:
        right = (prompt.answer, *prompt.accepted)
        for field in ("distractor", "corrupted_answer"):
            given = getattr(prompt, field) or ""
            taken = next((a for a in right if counts_as(kind, given, a)), None)
            if taken is not None:
                way_out = "" if any(counts_as("text", given, a) for a in right) else f", or {STRICT}"
                says = (
                    f"{given!r} would count as the answer {taken!r} (answers are compared as {kind}: {READ_AS[kind]})"
                )
                yield Fault(line, f"{says}; use another one{way_out}.", field)


def unreadable(prompts: Sequence[Numbered], kind: AnswerKind) -> Iterator[Fault]:
    for line, prompt in prompts:
        for field, answers in (("answer", (prompt.answer,)), ("accepted", prompt.accepted)):
            for answer in answers:
                if not readable(kind, answer):
                    says = f"{answer!r} cannot be read as {READ_AS[kind]}; correct it, or use another answer_kind."
                    yield Fault(line, says, field)
