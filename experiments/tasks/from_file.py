"""A task from a file of the user's own, JSONL or CSV: one prompt a record, with the fields of `Prompt`.

    {"text": "The capital of France is", "answer": " Paris", "distractor": " Rome"}

Only `text` and `answer` must be there; records of GSM8K, with `question` and `answer`, are taken, too. Without a key
the text is its own key; without a template nothing says that two prompts align. The split is made by hash, as
everywhere. How the answers are read is seen in them, unless a line gives `answer_kind`, for all of them. Faults are
told all together, each with its line.
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
# What a record may say of the whole task.
KIND = "answer_kind"
# What a record may not say for itself, and why.
NOT_GIVEN = {
    "split": "the split is made by hash of the key; remove the field.",
    "open": "a file's prompts need an answer each; remove the field.",
}


class BadLines(BadTask):
    """A file with faults: all of them, in the order of their lines. The message tells the first, and how many more."""

    code = "bad_lines"

    def __init__(self, faults: Sequence[str], listed: str = "`agent tasks import FILE` lists them") -> None:
        self.faults = tuple(faults)
        more = f" And {len(faults) - 1} more; {listed}." if len(faults) > 1 else ""
        super().__init__(self.faults[0] + more)


class Card(Frozen):
    """What of a task is not in its prompts. Kept with them, so that the task comes back as it was."""

    title: str
    description: str
    answer_kind: AnswerKind
    max_new_tokens: int
    stop: tuple[str, ...]
    chance: float | None = None
    """How likely it is to pick the answer among those that each prompt offers, where that is known."""


@dataclass(frozen=True)
class Steady:
    """`Task.guess` of a task whose prompts all offer equally many answers."""

    chance: float

    def __call__(self, _: Prompt) -> float:
        return self.chance


def from_file(path: str | Path, name: str | None = None, kind: AnswerKind | None = None) -> Task:
    """The task in a JSONL or CSV file, named like the file, its answers read as `kind` if that is given.

    Raises `BadTask`: `BadLines` where it has faults.
    """
    path = Path(path)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise BadTask(no_file(path)) from error
    except OSError as error:
        raise BadTask(f"The task file {path} cannot be read ({error.strerror}); give a JSONL or CSV file.") from error
    except UnicodeDecodeError as error:
        raise BadTask(f"The task file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    form: Form = "csv" if path.suffix.lower() == ".csv" else "jsonl"
    return from_text(name or path.stem, content, form, str(path), kind=kind)


def no_file(path: str | Path) -> str:
    """That a task file is not there, and the task files beside it whose names are near."""
    path = Path(path)
    beside = [one.name for one in path.parent.glob("*") if one.suffix.lower() in FILES]
    near = difflib.get_close_matches(path.name, beside, n=2)
    hint = f" Did you mean {' or '.join(str(path.parent / name) for name in near)}?" if near else ""
    return f"There is no task file {path}.{hint}"


def from_hub(name: str) -> Task:
    """A part of GSM8K from the Hub; its lines are those of a file. Raises `BadTask` where it cannot be had."""
    return from_jsonl(name, gsm8k_set.from_hub(name))


def from_jsonl(name: str, content: str, card: Card | None = None) -> Task:
    """The task with this name, these lines, and this card if it has one. Raises `BadTask`, `BadLines` for faults."""
    return from_text(name, content, "jsonl", name, card)


def from_text(
    name: str, content: str, form: Form, file: str, card: Card | None = None, kind: AnswerKind | None = None
) -> Task:
    """The task that this text of a file is. Raises `BadLines`: for each fault line, field and what to do.

    A task with a card was checked as a whole when it was kept, so that only its lines are looked at again.
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
    """Raises `BadTask` for what cannot name a task, and for the name of a built-in or installed one."""
    if not re.fullmatch(NAME, name):
        raise BadTask(
            f"{file}: '{name}' cannot name a task; give it a name of letters, digits, _ and -, a letter first."
        )
    if name in tasks() or name in UNLISTED:
        raise BadTask(f"{file}: '{name}' is the name of a task that is there already; give it another name.")


def read_prompts(content: str, form: Form) -> tuple[list[Numbered], list[Fault], AnswerKind | None]:
    """All prompts of a file, what is wrong with its lines in their order, and the kind of answer that it asks for."""
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
        wanted = "a header (text,answer) and rows below it" if form == "csv" else "one JSON object a line"
        faults.append(Fault(0, f"there are no prompts; write {wanted}, with text and answer."))
    kind: Any = next(iter(kinds), None)
    return list(prompts.values()), sorted(faults, key=lambda fault: fault.line), kind


def wrong_kind(line: int, kind: Any, kinds: dict[str, int]) -> list[Fault]:
    """What is wrong with the kind of answer that a line asks for; `kinds` keeps the first one, and its line."""
    if kind not in READ_AS:
        return [Fault(line, f"there is no such kind; take {', '.join(READ_AS)}.", KIND)]
    if kinds and kind not in kinds:
        ((other, first),) = kinds.items()
        return [Fault(line, f"'{kind}', and in line {first} '{other}'; all answers of a task are read alike.", KIND)]
    kinds.setdefault(kind, line)
    return []


def as_jsonl(prompts: Sequence[Prompt], numbers: Sequence[int] = ()) -> str:
    """The prompts as the lines of a file, from which they are read again as they are; with `numbers`, each in its line,
    and blank lines between them."""
    lines: list[str] = []
    for i, prompt in enumerate(prompts):
        lines += [""] * (numbers[i] - 1 - len(lines) if numbers else 0)
        lines.append(json.dumps(prompt.model_dump(exclude_defaults=True), ensure_ascii=False))
    return "\n".join(lines)


def card_of(name: str, prompts: Sequence[Prompt], kind: AnswerKind | None = None) -> Card:
    """The card of prompts that come without one, with the kind of answer that is asked for, if one is."""
    answers = [p.answer for p in prompts]
    return Card(
        title=f"Prompts from {name}",
        description=f"{len(prompts)} prompts of your own.\nChance is unknown.",
        answer_kind=kind or kind_of(answers),
        max_new_tokens=length_of(answers),
        stop=stop_of(answers),
    )


def length_of(answers: Sequence[str]) -> int:
    """How many tokens to generate. A byte is the least that a token can be; a few more show what a wrong answer goes
    on with."""
    return min(256, max(len(answer.encode()) for answer in answers) + 3)


def stop_of(answers: Sequence[str]) -> tuple[str, ...]:
    return () if any("\n" in answer for answer in answers) else ("\n",)


def task_of(name: str, prompts: tuple[Prompt, ...], content: str, card: Card, numbers: tuple[int, ...] = ()) -> Task:
    guess = None if card.chance is None else Steady(card.chance)
    given = {field: value for field, value in card if field != "chance"}
    return Task(name=name, keywords=(), source=Lines(prompts, numbers), content=content, guess=guess, **given)


def card_from(task: Task) -> Card:
    """The card that makes this task of one's own again."""
    given = {field: getattr(task, field) for field in Card.model_fields if field != "chance"}
    return Card(**given, chance=task.guess.chance if isinstance(task.guess, Steady) else None)


def kind_of(answers: Sequence[str]) -> AnswerKind:
    """How all these answers can be scored: the narrowest kind that fits each of them."""
    if all(is_number(a) for a in answers):
        return "number"
    if all(len(words_of(a)) == 1 and polarity(a) is not None for a in answers):
        return "yes_no"
    # A sign that is no part of a word, and a script without spaces, are only told apart letter by letter.
    if all(1 <= len(words_of(a)) <= 3 and only_words(a) and not goes_without_spaces(a) for a in answers):
        return "word"
    return "text"


def prompt_of(record: Record) -> tuple[Prompt | None, list[Fault]]:
    """The prompt of a record, or what is wrong with it."""
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
    # Word that runs into word is never what was meant, and would be measured without a complaint.
    if together := joined(prompt.text, prompt.answer):
        return None, [Fault(line, f"text and answer run together as '{together}'; begin it with a space.", "answer")]
    return prompt, []


def joined(text: str, answer: str) -> str:
    """The word that the end of the text and the beginning of the answer would make; empty where they are apart, or
    where one of them is written without spaces between words."""
    digit = text[-1:].isdigit() or answer[:1].isdigit()
    return text.split()[-1] + answer.split()[0] if runs_on(text, answer) and not digit else ""
