"""What is wrong with the prompts of a file though each line is good by itself: the same question in both splits, and
answers that grading cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..answers.grading import READ_AS, counts_as, readable
from .letters import normal
from .prompt import Prompt
from .records import Fault
from .task import AnswerKind

# A prompt with the line at which it begins.
Numbered = tuple[int, Prompt]
STRICT = 'have the answers read letter by letter ("answer_kind": "text" in one line, or --answer-kind text)'


def faults_across(prompts: Sequence[Numbered], kind: AnswerKind, declared: bool) -> Iterator[Fault]:
    """All of them. `declared`: the kind was not seen in the answers, but asked for, so that not all may fit it."""
    yield from same_to_a_reader(prompts)
    yield from crossing_corrupted_prompts(prompts)
    yield from counted_as_right(prompts, kind)
    if declared:
        yield from unreadable(prompts, kind)


def same_to_a_reader(prompts: Sequence[Numbered]) -> Iterator[Fault]:
    """Texts that ask the same count as one question, which only their key can say."""
    first: dict[str, Numbered] = {}
    for line, prompt in prompts:
        earlier, other = first.setdefault(normal(prompt.text), (line, prompt))
        if other.key != prompt.key:
            yield Fault(
                line,
                f"the same text as in line {earlier} but for case, blanks or the form of its characters; remove one of "
                "the two, or give both the same key, which keeps them in one split.",
            )


def crossing_corrupted_prompts(prompts: Sequence[Numbered]) -> Iterator[Fault]:
    """A twin that is run beside a prompt of one split must be no prompt of the other."""
    texts = {normal(prompt.text): (line, prompt) for line, prompt in prompts}
    for line, prompt in prompts:
        found = texts.get(normal(prompt.corrupted or ""))
        if found is not None and found[1].split != prompt.split:
            says = f"it is the text of line {found[0]}, which falls into the other split; give both the same key"
            yield Fault(line, f"{says}, or take another twin.", "corrupted")


def counted_as_right(prompts: Sequence[Numbered], kind: AnswerKind) -> Iterator[Fault]:
    """Wrong answers that grading would take for the right one."""
    for line, prompt in prompts:
        right = (prompt.answer, *prompt.accepted)
        for field in ("distractor", "corrupted_answer"):
            given = getattr(prompt, field) or ""
            taken = next((a for a in right if counts_as(kind, given, a)), None)
            if taken is not None:
                way_out = "" if any(counts_as("text", given, a) for a in right) else f", or {STRICT}"
                says = (
                    f"{given!r} would be counted as the answer {taken!r} (answers are read as {kind}: {READ_AS[kind]})"
                )
                yield Fault(line, f"{says}; give another one{way_out}.", field)


def unreadable(prompts: Sequence[Numbered], kind: AnswerKind) -> Iterator[Fault]:
    for line, prompt in prompts:
        for field, answers in (("answer", (prompt.answer,)), ("accepted", prompt.accepted)):
            for answer in answers:
                if not readable(kind, answer):
                    says = f"{answer!r} cannot be read as {READ_AS[kind]}; mend it, or take another answer_kind."
                    yield Fault(line, says, field)
