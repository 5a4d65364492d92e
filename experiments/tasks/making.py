"""Check a proposed task for everything that would invalidate its measurements.

All faults are found and reported together, each with its place and what to do. Prompts of a template whose answer is in
the prompt, or whose distractor is right, are left out and counted, as long as they are the smaller part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from ..answers.grading import READ_AS, counts_as, first_number, is_number, readable
from ..errors import BadTask
from ..model.encoding import encode, unknown_tokens
from .draft import Draft
from .expression import NoValue, sum_asked, value_of, written
from .filling import Complaint, Written, with_corrupted_prompts, write_out
from .from_file import NAME, Card, as_jsonl, joined, length_of, stop_of, task_of
from .letters import goes_without_spaces, normal
from .prompt import SPLITS, Prompt, faults_of, split_of
from .task import Task

# With fewer different questions in a split, an interval over them says nothing.
LEAST = 8
LINES = 40
# Faults for which prompts of a template are left out instead of refusing the task.
LEFT_OUT = {
    "leak": "that contain their answer",
    "right": "whose distractor is also right",
    "tokens": "whose answer and distractor the subject's tokenizer cannot separate",
}
# A number, a word or a single sign.
TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]")


class BadDraft(BadTask):
    """A proposed task with faults; the message lists them."""

    code = "bad_draft"

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        more = [f"and {len(faults) - LINES} more."] if len(faults) > LINES else []
        listed = "\n- ".join([*faults[:LINES], *more])
        super().__init__(f"The task was not made. Correct these faults and send the whole task again:\n- {listed}")


def made(draft: Draft, tokenizer: Any, taken: Collection[str]) -> Task:
    """The task of this draft. `taken` contains the existing names. Raises `BadDraft` with every fault."""
    found = [*wrong_card(draft, taken)]
    prompts, complaints = write_out(draft)
    found += complaints
    kept, left_out, complaints = sifted(draft, prompts)
    found += complaints
    if draft.rows or draft.examples or draft.templates:
        found += wrong_together(draft, kept)
    kept = with_corrupted_prompts(kept, split_of, draft.answer_kind)
    pairs, complaints = as_prompts(kept)
    found += complaints
    untold = [*wrong_tokens(pairs, tokenizer)]
    sizes = Counter(one.place for one in kept)
    few = [one for one in untold if one.row and sum(o.place == one.place for o in untold) * 2 <= sizes[one.place]]
    found += [one for one in untold if one not in few]
    if found:
        raise BadDraft(complaint_lines(found))
    if few:
        left_out["tokens"] = len(few)
    gone = {(one.place, one.row) for one in few}
    ready = [prompt for one, prompt in pairs if (one.place, one.row) not in gone]
    return task_of(draft.name, tuple(ready), as_jsonl(ready), card_of(draft, ready, left_out))


def card_of(draft: Draft, prompts: list[Prompt], left_out: Counter[str]) -> Card:
    """The card, which says what was left out and whether prompts contain their answers."""
    chance = "unknown" if draft.chance is None else f"{draft.chance:g}"
    remarks = ["The prompt contains the answer."] if draft.answer_in_prompt else []
    remarks += [f"Left out: {n} prompts {LEFT_OUT[what]}." for what, n in left_out.items()]
    answers = [p.answer for p in prompts]
    return Card(
        title=" ".join(draft.title.split()),
        description="\n".join([" ".join(draft.description.split()), " ".join([f"Chance is {chance}.", *remarks])]),
        answer_kind=draft.answer_kind,
        max_new_tokens=length_of(answers),
        stop=stop_of(answers),
        chance=draft.chance,
    )


def complaint_lines(found: list[Complaint]) -> list[str]:
    """One line per fault; for prompts of a template with the same fault, the first and how many more."""
    groups: dict[tuple[str, ...], list[Complaint]] = {}
    for i, one in enumerate(sorted(found, key=order)):
        groups.setdefault((one.place, one.what) if one.row else (str(i),), []).append(one)
    lines: list[str] = []
    for first, *others in groups.values():
        row = f" ({first.row})" if first.row else ""
        lines.append(f"{first.place}{row}: {first.says}" + (f" The same in {len(others)} more." if others else ""))
    return lines


def order(one: Complaint) -> tuple[bool, str, int]:
    """The order of faults: the card and the whole task, then examples, then templates."""
    found = re.match(r"(\w+)\[(\d+)\]", one.place)
    return (False, "", 0) if found is None else (True, found[1], int(found[2]))


def wrong_card(draft: Draft, taken: Collection[str]) -> Iterator[Complaint]:
    if not re.fullmatch(NAME, draft.name):
        yield Complaint("name", f"'{draft.name[:70]}' cannot name a task; use letters, digits and _, a letter first.")
    elif draft.name.casefold() in {name.casefold() for name in taken}:
        yield Complaint("name", f"there is already a task '{draft.name}'; use another name.")
    for field, most in (("title", 80), ("description", 400)):
        text = getattr(draft, field)
        if not text.strip() or len(text) > most:
            yield Complaint(field, f"give 1 to {most} characters.")
    if not (draft.rows or draft.examples or draft.templates):
        yield Complaint("rows", "there are no rows, examples or templates; send prompts.")


def sifted(draft: Draft, prompts: list[Written]) -> tuple[list[Written], Counter[str], list[Complaint]]:
    """The usable prompts, how many of the templates' prompts were left out and why, and the faults."""
    kept: list[Written] = []
    left: dict[tuple[str, str], list[Complaint]] = {}
    complaints: list[Complaint] = []
    for prompt in prompts:
        found = [*wrong(draft, prompt)]
        small = [one for one in found if prompt.row and one.what in LEFT_OUT]
        if small and len(small) == len(found):
            left.setdefault((prompt.place, small[0].what), []).append(small[0])
        else:
            kept.append(prompt)
            complaints += found
    sizes = Counter(prompt.place for prompt in prompts)
    for (place, _), group in left.items():
        if len(group) * 2 > sizes[place]:
            complaints += group
    counted: Counter[str] = Counter()
    for (_, what), group in left.items():
        counted[what] += len(group)
    if draft.answer_in_prompt and prompts and not any(leaks(p.text, p.fields["answer"]) for p in prompts):
        complaints.append(Complaint("answer_in_prompt", "no prompt contains its answer; send false."))
    return kept, counted, complaints


def wrong(draft: Draft, prompt: Written) -> Iterator[Complaint]:
    """The faults of one prompt by itself."""
    fields, kind = prompt.fields, draft.answer_kind
    answers = [("answer", prompt.text, fields["answer"])]
    if "corrupted" in fields and "corrupted_answer" in fields:
        answers.append(("corrupted_answer", fields["corrupted"], fields["corrupted_answer"]))
        yield from counted_as_right(draft, prompt, "corrupted_answer")
    elif "corrupted" in fields:
        yield prompt.complain("twin", "corrupted has no answer; also give corrupted_answer.", "corrupted")
    for field, text, answer in answers:
        yield from wrong_answer(draft, prompt, field, text, answer)
    for other in fields.get("accepted", ()):
        if not readable(kind, other):
            yield prompt.complain("kind", f"{other!r} cannot be read as {READ_AS[kind]}.", "accepted")
    if (distractor := fields.get("distractor")) is None:
        return
    if together := joined(prompt.text, distractor):
        yield prompt.complain("joined", f"it joins the text as '{together}'; start it with a space.", "distractor")
    yield from counted_as_right(draft, prompt, "distractor")


def counted_as_right(draft: Draft, prompt: Written, field: str) -> Iterator[Complaint]:
    """Wrong answers that grading would count as right."""
    given, right = prompt.fields[field], (prompt.fields["answer"], *prompt.fields.get("accepted", ()))
    if any(counts_as(draft.answer_kind, given, answer) for answer in right):
        yield prompt.complain("right", f"{given!r} would count as right; give a wrong answer.", field)


def wrong_answer(draft: Draft, prompt: Written, field: str, text: str, answer: str) -> Iterator[Complaint]:
    """The faults of an answer after its text."""
    kind = draft.answer_kind
    if not answer.strip():
        yield prompt.complain("empty", "it is empty; give what follows the text.", field)
        return
    if together := joined(text, answer) or (text[-1:].isdigit() and answer[0].isdigit() and text.split()[-1] + answer):
        yield prompt.complain("joined", f"it joins the text as '{together}'; start it with a space.", field)
    if not readable(kind, answer):
        yield prompt.complain(
            "kind", f"{answer!r} cannot be read as {READ_AS[kind]}; correct it, or use another answer_kind.", field
        )
    if not draft.answer_in_prompt and leaks(text, answer):
        yield prompt.complain(
            "leak",
            f"the prompt contains {answer.strip()!r}, so copying is right; reword it. If that is intended (copying, a "
            "choice among the prompt's words), send answer_in_prompt true.",
            field,
        )
    if (asked := worked_out(text)) is not None and not gives(answer, asked[1]):
        yield prompt.complain("sum", f"{asked[0]} is {shown(asked[1])}, not {answer.strip()}.", field)


def leaks(text: str, answer: str) -> bool:
    """Whether the text contains the words of the answer in sequence. Signs alone (brackets) do not count."""
    if goes_without_spaces(answer):
        return answer.strip() in text
    # A single letter must match exactly: "a" is everywhere and does not mean option A.
    fold = str if len(answer.strip()) == 1 else str.casefold
    words, sought = TOKEN.findall(fold(text)), TOKEN.findall(fold(answer))
    if not any(word[0].isalnum() for word in sought):
        return False
    return any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def worked_out(text: str) -> tuple[str, Fraction] | None:
    """The sum that a text clearly asks for, and its value."""
    asked = sum_asked(text)
    if asked is None:
        return None
    try:
        return asked, value_of(asked)
    except NoValue:
        return None


def gives(answer: str, value: Fraction) -> bool:
    """Whether the answer equals this value, to its number of decimals. Words are not checked."""
    number = first_number(answer)
    if number is None or not is_number(answer):
        return True
    places = -int(number.as_tuple().exponent)
    return abs(Fraction(number) - value) <= (Fraction(1, 2 * 10**places) if places > 0 else 0)


def shown(value: Fraction) -> str:
    try:
        return written(value)
    except NoValue:
        return f"{float(value):.4f}"


def wrong_together(draft: Draft, prompts: list[Written]) -> Iterator[Complaint]:
    """The faults of the prompts as a whole: duplicates, one answer for all, too few for two splits."""
    first: dict[str, Written] = {}
    for prompt in prompts:
        same = first.setdefault(normal(prompt.text), prompt)
        if same is not prompt:
            where = f"{same.place} ({same.row})" if same.row else same.place
            yield prompt.complain("twice", f"the same text as in {where}; change or remove one.", "text")
    for prompt in prompts:
        twin = first.get(normal(prompt.fields.get("corrupted") or ""))
        if twin is not None and split_of(twin.fields["key"]) != split_of(prompt.fields["key"]):
            yield prompt.complain(
                "crossing", f"it is the text of {twin.place}, which is in the other split; give both the same "
                "`about`.", "corrupted",
            )  # fmt: skip
    if len(prompts) > 1 and len({normal(prompt.fields["answer"]) for prompt in prompts}) == 1:
        yield Complaint(
            "answer", "every prompt has the same answer, so a subject that always says it is right; vary it."
        )
    if 0 < sum("distractor" in prompt.fields for prompt in prompts) < len(prompts):
        yield Complaint("distractor", "some prompts have one and some do not; give one to every prompt, or to none.")
    questions = Counter(split_of(key) for key in {prompt.fields["key"] for prompt in prompts})
    fewest = min(questions[split] for split in SPLITS)
    if fewest < LEAST:
        counted = " and ".join(f"{questions[split]} to {split}" for split in SPLITS)
        yield Complaint(
            "prompts", f"too few: there are {counted} (a hash splits them), and each split needs {LEAST} different "
            f"questions; add at least {2 * (LEAST - fewest)}, better up to 80 in all.",
        )  # fmt: skip


def as_prompts(prompts: list[Written]) -> tuple[list[tuple[Written, Prompt]], list[Complaint]]:
    ready: list[tuple[Written, Prompt]] = []
    complaints: list[Complaint] = []
    for prompt in prompts:
        try:
            ready.append((prompt, Prompt(**prompt.fields)))
        except ValidationError as error:
            for field, says in faults_of(error):
                # Already reported, in words that fit the draft.
                if not says.endswith("is empty.") and not says.startswith("distractor is the same"):
                    complaints.append(prompt.complain(says[:40], says, field))
    return ready, complaints


def wrong_tokens(pairs: list[tuple[Written, Prompt]], tokenizer: Any) -> Iterator[Complaint]:
    """The prompts that this tokenizer cannot handle, with the reasons."""
    from .batch import encode_answer, make_batch

    for one, prompt in pairs:
        try:
            make_batch(tokenizer, [prompt])
        except BadTask as fault:
            yield Complaint(one.place, str(fault), "tokens", one.row)
            continue
        if words := unknown_words(tokenizer, prompt.text):
            listed = ", ".join(map(repr, words))
            yield Complaint(f"{one.place}.text", f"the subject does not know {listed}; use other words.", "", one.row)
        if prompt.corrupted is not None and prompt.corrupted_answer is not None:
            try:
                encode_answer(tokenizer, prompt.corrupted, prompt.corrupted_answer)
            except BadTask as fault:
                yield Complaint(one.place, f"corrupted: {fault}", "tokens", one.row)


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """The pieces of a text that a tokenizer replaces by its unknown token, each once; none if it spells everything."""
    unknown = unknown_tokens(tokenizer)
    found = (text[a:b].strip() for one, (a, b) in zip(*encode(tokenizer, text), strict=True) if one in unknown)
    return list(dict.fromkeys(filter(None, found)))
