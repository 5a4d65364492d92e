"""The named values of a prompt: what a lens can look for, and what results can be grouped by.

A span names a place of the text; a value names a text, which need not be in the prompt: the partial sum `a+b` of
`a + b + c`, or the city that answers a question about a country. A family gives the values that its spans do not show,
and a task of one's own gives any in the field `values`. Arithmetic over the values that are whole numbers is a value,
too: `a + b` in every prompt with the numbers `a` and `b`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import prod

from ..errors import BadTask
from .expression import NoValue, value_of, written
from .prompt import ANSWER, Prompt

# Between a group and a site, in the name of the group's change there: change[a=3; L7.H3].
OF_SITE = "; "


def values_of(prompt: Prompt) -> dict[str, str]:
    """Each value's name and text, without blanks around it: the texts of the spans, `answer`, and the prompt's own.

    The answer replaces a span of that name, and the prompt's own values replace spans. An open prompt has no answer.
    """
    spans = {name: prompt.text[start:end].strip() for name, (start, end) in prompt.spans.items()}
    answer = {ANSWER: prompt.answer.strip()} if prompt.answer else {}
    return {**spans, **answer, **{name: value.strip() for name, value in prompt.values.items()}}


def value_in(values: Mapping[str, str], name: str) -> str | None:
    """The value with this name, whatever its blanks (a + b is a+b), or the result if it is arithmetic over values that
    are whole numbers; None if there is neither."""
    try:
        return found_value(values, name)
    except NoValue:
        return None


def found_value(values: Mapping[str, str], name: str) -> str | None:
    """As `value_in`. Raises NoValue if it is arithmetic over these values that cannot be worked out."""
    if name in values:
        return values[name]
    plain = "".join(name.split())
    same = next((value for own, value in values.items() if "".join(own.split()) == plain), None)
    numbers = numbers_of(values)
    if same is not None or not numbers.keys() & set(re.findall(r"[^\W\d]\w*", name)):
        return same
    return written(value_of(name, numbers))


def numbers_of(values: Mapping[str, str]) -> dict[str, int]:
    """The values that are whole numbers and whose names can be part of a formula."""
    return {
        name: int(text) for name, text in values.items() if name.isidentifier() and re.fullmatch("-?[0-9]{1,15}", text)
    }


def changes_only(prompt: Prompt, name: str) -> bool:
    """Whether the corrupted prompt is the prompt with another text in the span with this name, and nothing else."""
    if prompt.corrupted is None or name not in prompt.spans:
        return False
    start, end = prompt.spans[name]
    before, after, other = prompt.text[:start], prompt.text[end:], prompt.corrupted
    whole = len(other) >= len(before) + len(after) and other.startswith(before) and other.endswith(after)
    return whole and other != prompt.text


def blank_before(prompt: Prompt) -> str:
    """The blank with which the prompt's answer starts; a space after an open prompt."""
    return prompt.answer[: len(prompt.answer) - len(prompt.answer.lstrip())] if prompt.answer else " "


def names_of(prompts: Iterable[Prompt]) -> list[str]:
    """The names of values that all of these prompts have, in the order of the first."""
    found: list[str] | None = None
    for prompt in prompts:
        own = values_of(prompt)
        found = list(own) if found is None else [name for name in found if name in own]
    return found or []


def value_in_each(prompts: Sequence[Prompt], name: str) -> list[str]:
    """The value with this name in each prompt, see `value_in`. Raises BadTask if a prompt has none."""
    found = [value_in(values_of(prompt), name) for prompt in prompts]
    texts = [text for text in found if text]
    if len(texts) < len(found):
        some = "No prompt has" if not texts else f"{len(found) - len(texts)} of {len(found)} prompts have no"
        raise BadTask(f"{some} value {name!r}{reason(prompts, name)}. {known_values(prompts)}")
    return texts


def reason(prompts: Sequence[Prompt], name: str) -> str:
    """Why it cannot be worked out in the first prompt without it, after a colon; empty if it is not arithmetic over
    values of that prompt."""
    for prompt in prompts:
        try:
            found_value(values_of(prompt), name)
        except NoValue as fault:
            return f": {fault}"
    return ""


def known_values(prompts: Sequence[Prompt]) -> str:
    """A sentence with the values that all of these prompts have."""
    known = ", ".join(names_of(prompts)) or "none"
    return f"Values that all of these prompts have: {known}{or_arithmetic(prompts)}."


def or_arithmetic(prompts: Sequence[Prompt]) -> str:
    """The end of a list of values: that arithmetic over the numbers of all these prompts is a value, if they have
    some."""
    numbers = [numbers_of(values_of(prompt)) for prompt in prompts]
    terms = [name for name in names_of(prompts) if name != ANSWER and all(name in each for each in numbers)][:2]
    return f", and arithmetic over numbers, such as {' * '.join(terms)}" if len(terms) == 2 else ""


def operands(numbers: Sequence[int]) -> dict[str, str]:
    """The numbers by their letters: a, b, c."""
    return {letter: str(number) for letter, number in zip("abc", numbers, strict=False)}


def combined(numbers: Sequence[int], sign: str) -> dict[str, str]:
    """The sums (sign +) or products (sign *) of two or more of the numbers: a+b, a+c, b+c, a+b+c."""
    letters = "abc"[: len(numbers)]
    total = sum if sign == "+" else prod
    return {
        sign.join(letters[i] for i in chosen): str(total(numbers[i] for i in chosen))
        for size in range(2, len(numbers) + 1)
        for chosen in combinations(range(len(numbers)), size)
    }


def digits(result: int, names: Sequence[str] = ("ones", "tens")) -> dict[str, str]:
    """The last digits of a result, 0 where it has none."""
    return {name: str(result // 10**place % 10) for place, name in enumerate(names)}


def carry(numbers: Sequence[int]) -> dict[str, str]:
    """What the ones of a sum carry to its tens."""
    return {"carry": str(sum(number % 10 for number in numbers) // 10)}


def sum_values(numbers: Sequence[int], names: Sequence[str] = ("ones", "tens")) -> dict[str, str]:
    """The values of a sum: its operands, every partial sum, the digits of the result, and the carry."""
    return {**operands(numbers), **combined(numbers, "+"), **digits(sum(numbers), names), **carry(numbers)}
