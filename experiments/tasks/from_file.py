"""A task from the user's own file, JSONL or CSV: one prompt per record, with the fields of `Prompt`.

    {"text": "The capital of France is", "answer": " Paris", "distractor": " Rome"}

Only `text` and `answer` are required; records of GSM8K, with `question` and `answer`, also work. The default key is the
text; without a template, prompts do not count as aligned. A hash determines the split, as everywhere. The program
infers how to compare the answers, unless a line gives `answer_kind` for all of them. All faults are reported together,
each with its line.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..answers.grading import READ_AS, is_number, polarity, words_of
from ..errors import BadTask
from ..result import Frozen
from . import gsm8k_set
from .across import Numbered, faults_across
from .letters import goes_without_spaces, only_words, runs_on
from .lines import Lines
from .prompt import Prompt, faults_of
from .records import FILES, Fault, Form, Record, jsonl, table, unknown
from .registry import UNLISTED, tasks
from .task import AnswerKind, Task

NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
TEXTS = {"text", "answer", "distractor", "corrupted", "corrupted_answer", "template", "key", "question", "answer_kind"}
# Fields of a record that apply to the whole task.
KIND = "answer_kind"
# Fields that a record may not have, and why.
NOT_GIVEN = {
    "split": "a hash of the key determines the split; remove the field.",
    "open": "every prompt of a file needs an answer; remove the field.",
}


class BadLines(BadTask):
    """A file with faults: all of them, in the order of their lines. The message has the first, and how many more."""

    code = "bad_lines"

    def __init__(self, faults: Sequence[str], listed: str = "`agent tasks import FILE` lists them") -> None:
        self.faults = tuple(faults)
        more = f" And {len(faults) - 1} more; {listed}." if len(faults) > 1 else ""
        super().__init__(self.faults[0] + more)


class Card(Frozen):
    """The properties of a task that are not in its prompts. Kept with them, so the task can be restored."""

    title: str
    description: str
    answer_kind: AnswerKind
    max_new_tokens: int
    stop: tuple[str, ...]
    chance: float | None = None
    """The probability of guessing the answer among those that each prompt offers, if known."""


@dataclass(frozen=True)
class Steady:
    """`Task.guess` for a task whose prompts all offer equally many answers."""

    chance: float

    def __call__(self, _: Prompt) -> float:
        return self.chance


def from_file(path: str | Path, name: str | None = None, kind: AnswerKind | None = None) -> Task:
    """The task in a JSONL or CSV file, named like the file; `kind` says how to compare answers.

    Raises `BadTask`; `BadLines` if its lines have faults.
    """
    path = Path(path)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise BadTask(no_file(path)) from error
    except OSError as error:
        raise BadTask(f"The task file {path} cannot be read ({error.strerror}). Give a JSONL or CSV file.") from error
    except UnicodeDecodeError as error:
        raise BadTask(f"The task file {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    form: Form = "csv" if path.suffix.lower() == ".csv" else "jsonl"
    return from_text(name or path.stem, content, form, str(path), kind=kind)


def no_file(path: str | Path) -> str:
    """The message for a missing task file, with similar names in the same folder."""
    path = Path(path)
    beside = [one.name for one in path.parent.glob("*") if one.suffix.lower() in FILES]
    near = difflib.get_close_matches(path.name, beside, n=2)
    hint = f" Did you mean {' or '.join(str(path.parent / name) for name in near)}?" if near else ""
    return f"There is no task file {path}.{hint}"


def from_hub(name: str) -> Task:
    """A part of GSM8K from the Hub, read like a file. Raises `BadTask` if it is not available."""
    return from_jsonl(name, gsm8k_set.from_hub(name))


def from_jsonl(name: str, content: str, card: Card | None = None) -> Task:
    """The task with this name, these lines, and this card if it has one. Raises `BadTask`, `BadLines` for faults."""
    return from_text(name, content, "jsonl", name, card)


def from_text(
    name: str, content: str, form: Form, file: str, card: Card | None = None, kind: AnswerKind | None = None
) -> Task:
    """The task in this text of a file. Raises `BadLines` with line, field and solution of each fault.

    A task with a card was checked as a whole when it was stored, so only its lines are checked again.
    """
    check_name(name, file)
    found, faults, declared = read_prompts(content, form)
    prompts = tuple(prompt for _, prompt in found)
    if card is None and found:
        kind = kind or declared
        card = card_of(name, prompts, kind)
        faults += faults_across(found, card.answer_kind, kind is not None)
    if faults or card is None:
        raise BadLines([fault.sentence(file) for fault in sorted(faults, key=lambda fault: fault.line)])
    numbers = tuple(line for line, _ in found)
    if form == "csv":
        content = as_jsonl(prompts, numbers)
    return task_of(name, prompts, content, card, numbers)


def check_name(name: str, file: str) -> None:
    """Raises `BadTask` for an invalid name, and for the name of a built-in or installed task."""
    if not re.fullmatch(NAME, name):
        raise BadTask(f"{file}: '{name}' is not a valid task name. Use letters, digits, _ and -, a letter first.")
    if name in tasks() or name in UNLISTED:
        raise BadTask(f"{file}: there is already a task '{name}'. Use another name.")


def read_prompts(content: str, form: Form) -> tuple[list[Numbered], list[Fault], AnswerKind | None]:
    """All prompts of a file, the faults of its lines in order, and the kind of answer that it gives."""
    known = {**Prompt.model_fields, "question": None, KIND: None}
    records, faults = jsonl(content) if form == "jsonl" else table(content, known, TEXTS)
    prompts: dict[str, Numbered] = {}
    kinds: dict[str, int] = {}
    for record in records:
        if (kind := record.given.pop(KIND, None)) is not None:
            faults += wrong_kind(record.line, kind, kinds)
        prompt, found = prompt_of(record)
        faults += found
        if prompt is None:
            continue
        if prompt.text in prompts:
            first = prompts[prompt.text][0]
            faults.append(Fault(record.line, f"the same text as in line {first}; remove one of the two."))
        prompts.setdefault(prompt.text, (record.line, prompt))
    if not prompts and not faults:
        wanted = "a header (text,answer) and rows below it" if form == "csv" else "one JSON object per line"
        faults.append(Fault(0, f"it has no prompts; write {wanted}, with text and answer."))
    kind: Any = next(iter(kinds), None)
    return list(prompts.values()), sorted(faults, key=lambda fault: fault.line), kind


def wrong_kind(line: int, kind: Any, kinds: dict[str, int]) -> list[Fault]:
    """The faults of the kind of answer that a line gives; `kinds` keeps the first kind and its line."""
    if kind not in READ_AS:
        return [Fault(line, f"there is no such kind; use {', '.join(READ_AS)}.", KIND)]
    if kinds and kind not in kinds:
        ((other, first),) = kinds.items()
        return [Fault(line, f"'{kind}', but '{other}' in line {first}; all answers of a task have one kind.", KIND)]
    kinds.setdefault(kind, line)
    return []


def as_jsonl(prompts: Sequence[Prompt], numbers: Sequence[int] = ()) -> str:
    """The prompts as lines of a file that can be read back; with `numbers`, each in its line, with blank lines between
    them."""
    lines: list[str] = []
    for i, prompt in enumerate(prompts):
        lines += [""] * (numbers[i] - 1 - len(lines) if numbers else 0)
        lines.append(json.dumps(prompt.model_dump(exclude_defaults=True), ensure_ascii=False))
    return "\n".join(lines)


def card_of(name: str, prompts: Sequence[Prompt], kind: AnswerKind | None = None) -> Card:
    """The card of prompts without one, with the given kind of answer, if any."""
    answers = [p.answer for p in prompts]
    return Card(
        title=f"Prompts from {name}",
        description=f"{len(prompts)} prompts of your own.\nChance is unknown.",
        answer_kind=kind or kind_of(answers),
        max_new_tokens=length_of(answers),
        stop=stop_of(answers),
    )


def length_of(answers: Sequence[str]) -> int:
    """How many tokens to generate. A token is at least a byte; a few more tokens show how a wrong answer continues."""
    return min(256, max(len(answer.encode()) for answer in answers) + 3)


def stop_of(answers: Sequence[str]) -> tuple[str, ...]:
    return () if any("\n" in answer for answer in answers) else ("\n",)


def task_of(name: str, prompts: tuple[Prompt, ...], content: str, card: Card, numbers: tuple[int, ...] = ()) -> Task:
    guess = None if card.chance is None else Steady(card.chance)
    given = {field: value for field, value in card if field != "chance"}
    return Task(name=name, keywords=(), source=Lines(prompts, numbers), content=content, guess=guess, **given)


def card_from(task: Task) -> Card:
    """The card from which this task can be restored."""
    given = {field: getattr(task, field) for field in Card.model_fields if field != "chance"}
    return Card(**given, chance=task.guess.chance if isinstance(task.guess, Steady) else None)


def kind_of(answers: Sequence[str]) -> AnswerKind:
    """The narrowest kind that fits all of these answers."""
    if all(is_number(a) for a in answers):
        return "number"
    if all(len(words_of(a)) == 1 and polarity(a) is not None for a in answers):
        return "yes_no"
    # Signs that are not part of a word, and scripts without spaces, can only be compared letter by letter.
    if all(1 <= len(words_of(a)) <= 3 and only_words(a) and not goes_without_spaces(a) for a in answers):
        return "word"
    return "text"


def prompt_of(record: Record) -> tuple[Prompt | None, list[Fault]]:
    """The prompt of a record, or its faults."""
    line, given = record.line, record.given
    if gsm8k_set.is_one(given):
        try:
            given = gsm8k_set.fields(given)
        except ValueError as error:
            return None, [Fault(line, f"{error}.")]
    faults = [Fault(line, NOT_GIVEN[field], field) for field in NOT_GIVEN if field in given]
    fields = Prompt.model_fields
    faults += [Fault(line, unknown(field, fields), field) for field in given if field not in fields]
    missing = "missing; every prompt needs text and answer."
    faults += [Fault(line, missing, field) for field in ("text", "answer") if field not in given]
    if faults:
        return None, faults
    try:
        prompt = Prompt.model_validate_json(json.dumps({"key": given["text"], **given}), strict=True)
    except ValidationError as error:
        return None, [Fault(line, says, field) for field, says in faults_of(error)]
    # Two words that run together are always a mistake, and would otherwise be measured silently.
    if together := joined(prompt.text, prompt.answer):
        return None, [Fault(line, f"text and answer run together as '{together}'; start it with a space.", "answer")]
    return prompt, []


def joined(text: str, answer: str) -> str:
    """The word that the end of the text and the start of the answer would form; empty if they are separate, or if one
    of them is written without spaces between words."""
    digit = text[-1:].isdigit() or answer[:1].isdigit()
    return text.split()[-1] + answer.split()[0] if runs_on(text, answer) and not digit else ""
