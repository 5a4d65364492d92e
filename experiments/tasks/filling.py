"""Turn a draft into prompts: fill templates, compute answers, and give prompts with the same question the same key."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from string import Formatter
from typing import Any

from ..answers.grading import counts_as
from .draft import Draft, Example, Slot, Template
from .expression import NoValue, sum_asked, value_of, written
from .family import fill, shuffled
from .letters import goes_without_spaces, normal
from .prompt import ANSWER
from .rows import read_rows
from .task import AnswerKind

# A draw has at most 512 prompts; more would only make the tracker larger.
MOST = 2000
LONGEST_RANGE = 10**6
# After these, as after "3+4=", an answer starts without a space.
NO_SPACE = re.compile(r"[\n(\[{\"'$]$|\S=$")


@dataclass(frozen=True)
class Complaint:
    """A fault and its `place`, such as examples[3].answer. The same `what` of one template is reported once, with the
    row of the first prompt that has it."""

    place: str
    says: str
    what: str = ""
    row: str = ""


@dataclass(frozen=True)
class Written:
    """A prompt from an example or a template: its fields, its origin, and the values of its slots."""

    place: str
    fields: dict[str, Any]
    row: str = ""

    @property
    def text(self) -> str:
        return self.fields["text"]

    def complain(self, what: str, says: str, field: str = "") -> Complaint:
        return Complaint(self.place + (f".{field}" if field else ""), says, what, self.row)


def write_out(draft: Draft) -> tuple[list[Written], list[Complaint]]:
    """All prompts of the draft in order, and the faults of its templates."""
    prompts = [of_example(f"examples[{i}]", example) for i, example in enumerate(draft.examples or ())]
    complaints: list[Complaint] = []
    for row in read_rows(draft.rows) if draft.rows else ():
        if isinstance(row, str):
            complaints.append(Complaint("rows", row))
        else:
            made = of_example(f"rows[{row.number}]", row.example)
            prompts.append(replace(made, fields={**made.fields, "values": row.values, "spans": row.spans}))
    templates = draft.templates or ()
    for i, template in enumerate(templates):
        place = f"templates[{i}]"
        found = list(wrong_slots(place, template))
        if not found:
            filled, found = of_template(place, f"{draft.name} {i}", template, max(1, MOST // len(templates)))
            prompts += filled
        complaints += found
    return prompts, complaints


def of_example(place: str, example: Example) -> Written:
    given = example.model_dump(exclude={"about"}, exclude_none=True)
    asked = sum_asked(example.text)
    key = example.about or (sum_key(asked) if asked else example.text)
    return Written(place, {**given, "key": normal(key) or place, "accepted": tuple(example.accepted or ())})


def sum_key(asked: str) -> str:
    """The operands in order of size: 3 + 4 and 4 + 3 ask about the same numbers."""
    return " | ".join(sorted(re.findall(r"\d+(?:\.\d+)?", asked)))


def wrong_slots(place: str, template: Template) -> Iterator[Complaint]:
    """The faults that prevent filling a template."""
    texts = {"text": template.text}
    if template.answer_is == "text":
        texts |= {"answer": template.answer} | ({"distractor": template.distractor} if template.distractor else {})
    used: dict[str, set[str]] = {}
    for field, text in texts.items():
        try:
            parsed = list(Formatter().parse(text))
        except ValueError:
            yield Complaint(f"{place}.{field}", "a brace is not paired; write {slot}, or {{ and }} for literal braces.")
            return
        used[field] = {name for _, name, _, _ in parsed if name is not None}
        if any(spec or conversion for _, _, spec, conversion in parsed):
            yield Complaint(f"{place}.{field}", "a slot has no format; write only its name in the braces.")
    if template.answer_is == "expression":
        given = f"{template.answer} {template.distractor or ''}"
        used["answer"] = set(re.findall(r"[A-Za-z_]\w*", given)) & {slot.name for slot in template.slots}
    declared = [slot.name for slot in template.slots]
    for field, names in used.items():
        for name in sorted(names - set(declared)):
            yield Complaint(f"{place}.{field}", f"{{{name}}} is not a slot of this template; add it to slots.")
    for j, slot in enumerate(template.slots):
        at = f"{place}.slots[{j}]"
        yield from wrong_slot(at, slot)
        if declared.index(slot.name) != j:
            yield Complaint(at, f"there is another slot '{slot.name}'; rename one.")
        elif not any(slot.name in names for names in used.values()):
            yield Complaint(at, f"'{slot.name}' is not used; use it or leave it out.")
        elif slot.name not in used["text"] and not template.paired:
            same = f"'{slot.name}' is not in the text, so each of its values gives the same prompt"
            yield Complaint(at, f"{same}; put it there, or pair it (paired: true).")
    lengths = {slot.name: count(slot) for slot in template.slots}
    if template.paired and len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        yield Complaint(f"{place}.slots", f"paired slots need equally many values, but they have: {listed}.")
    if not template.slots:
        yield Complaint(f"{place}.slots", "a template without slots is one prompt; send it among the examples.")


def wrong_slot(place: str, slot: Slot) -> Iterator[Complaint]:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,29}", slot.name):
        yield Complaint(place, f"'{slot.name}' is not a valid slot name; use letters, digits and _, a letter first.")
    if (slot.values is None) == (slot.low is None and slot.high is None):
        yield Complaint(place, "give either values, or low and high.")
    elif slot.values is not None:
        if not slot.values or not all(value.strip() for value in slot.values):
            yield Complaint(f"{place}.values", "there are none, or one is blank; give texts.")
    elif slot.low is None or slot.high is None or slot.low > slot.high:
        yield Complaint(place, "give low and high, low at most high.")
    elif slot.high - slot.low >= LONGEST_RANGE:
        yield Complaint(place, f"more than {LONGEST_RANGE:,} numbers; use a narrower range.")


def count(slot: Slot) -> int:
    if slot.values is not None:
        return len(slot.values)
    return 0 if slot.low is None or slot.high is None else slot.high - slot.low + 1


def nth(slot: Slot, i: int) -> str:
    return slot.values[i] if slot.values is not None else str((slot.low or 0) + i)


def rows_of(template: Template, most: int) -> Iterator[dict[str, str]]:
    """The values of the slots for each prompt, in order: all combinations, or `most` random ones."""
    sizes = [count(slot) for slot in template.slots]
    if template.paired:
        for i in range(min(sizes[0], most)):
            yield {slot.name: nth(slot, i) for slot in template.slots}
        return
    total = prod(sizes)
    rng = random.Random(template.text)
    for place in range(total) if total <= most else sorted(islice(shuffled(total, rng), most)):
        row: dict[str, str] = {}
        for slot, size in zip(reversed(template.slots), reversed(sizes), strict=True):
            place, i = divmod(place, size)
            row[slot.name] = nth(slot, i)
        yield {slot.name: row[slot.name] for slot in template.slots}


def of_template(place: str, form: str, template: Template, most: int) -> tuple[list[Written], list[Complaint]]:
    prompts: list[Written] = []
    complaints: list[Complaint] = []
    content = content_slots(template)
    for row in rows_of(template, most):
        text, spans = fill(template.text, **row)
        values = ", ".join(f"{name}={value}" for name, value in row.items())
        asked = sum_asked(text)
        key = sum_key(asked) if asked else " | ".join(sorted(row[name] for name in content))
        # A slot in the text is a span, and a span is a value.
        named = {name: value for name, value in row.items() if name not in spans and name != ANSWER}
        fields = {"text": text, "spans": spans, "template": form, "key": normal(key), "values": named}
        prompt = Written(place, fields, values)
        for field in ("answer", "distractor"):
            given = getattr(template, field)
            if given is None:
                continue
            try:
                prompt.fields[field] = filled(template, given, row, text)
            except NoValue as fault:
                complaints.append(prompt.complain(re.sub(r"\d+", "#", str(fault)), f"{given}: {fault}.", field))
        if "answer" in prompt.fields:
            prompts.append(prompt)
    return prompts, complaints


def filled(template: Template, given: str, row: Mapping[str, str], text: str) -> str:
    """An answer or a distractor for one row. Raises NoValue."""
    if template.answer_is == "text":
        return fill(given, **row)[0]
    numbers = {name: int(value) for name, value in row.items() if re.fullmatch(r"-?[0-9]{1,15}", value)}
    return ("" if NO_SPACE.search(text) or goes_without_spaces(text[-1:]) else " ") + written(value_of(given, numbers))


def content_slots(template: Template) -> list[str]:
    """The slots that determine the question: those of the expression, or all slots in the text except wording."""
    names = [slot.name for slot in template.slots if not slot.wording]
    if template.answer_is == "expression":
        used = set(re.findall(r"[A-Za-z_]\w*", template.answer))
        names = [name for name in names if name in used] or names
    else:
        within = {name for _, name, _, _ in Formatter().parse(template.text)}
        names = [name for name in names if name in within] or names
    return names or [slot.name for slot in template.slots]


def with_corrupted_prompts(prompts: list[Written], split_of: Any, kind: AnswerKind) -> list[Written]:
    """Give each prompt of a template a corrupted prompt: the next one of the same template and split with another
    answer, compared as answers of this kind."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, prompt in enumerate(prompts):
        if prompt.row:
            groups.setdefault((prompt.place, split_of(prompt.fields["key"])), []).append(i)
    twinned = list(prompts)
    for places in groups.values():
        for at, i in enumerate(places):
            others = (prompts[j].fields for j in places[at + 1 :] + places[:at])
            answer = prompts[i].fields["answer"]
            differs = (o for o in others if o["answer"].strip() and not counts_as(kind, o["answer"], answer))
            twin = next((o for o in differs if o["answer"].strip() != answer.strip()), None)
            if twin is not None:
                twins = {"corrupted": twin["text"], "corrupted_answer": twin["answer"]}
                twinned[i] = replace(prompts[i], fields={**prompts[i].fields, **twins})
    return twinned
