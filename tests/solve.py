"""The answers to prompts, worked out from their texts alone, by other means than those that made them."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, combinations

from lashley.experiments.tasks.capitals import CAPITALS
from lashley.experiments.tasks.gender import HE, SHE
from lashley.experiments.tasks.relations import AUTHORS, CITIES, CONTINENTS, ELEMENTS, LANGUAGES
from lashley.experiments.tasks.years import EVENTS

NEXT = {
    a: b
    for series in (
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Monday",
        "January February March April May June July August September October November December January",
        "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty",
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth",
    )
    for a, b in zip(series.split(), series.split()[1:], strict=False)
}


def calculated(work: Callable[[int, int], int], text: str) -> str:
    asked = text.splitlines()[-2 if text.endswith(("Answer:", "\nA:")) else -1]
    first, *others = map(int, re.findall(r"\d+", asked))
    # "If you take b away from a" names the smaller one first.
    if asked.startswith("If you take"):
        first, others = others[0], [first]
    for number in others:
        first = work(first, number)
    return f" {first}"


def known(facts: Mapping[str, str], text: str) -> str:
    there = [s for s in facts if re.search(rf"(?<![\w-]){re.escape(s)}(?![\w-])", text)]
    return f" {facts[max(there, key=len)]}"


def pronoun(text: str) -> str:
    person = text.split()[1]
    assert person in (*HE, *SHE, "man", "boy", "woman", "girl")
    return " he" if person in (*HE, "man", "boy") else " she"


def concluded(text: str) -> str:
    """By trying all worlds: which kinds of things there are, and of which kind the person is."""
    found = re.search(r"(All|No) (\w+)s are (\w+)s\.", text)
    assert found is not None
    quantifier, b, c = found.groups()
    name, fact_denied, fact = re.findall(r"(\w+) is (not )?a (\w+)\.", text)[0]
    asked_denied, asked = re.findall(rf"true that {name} is (not )?a (\w+)\?", text)[0]
    kinds = [(is_b, is_c) for is_b in (False, True) for is_c in (False, True)]
    said: set[bool] = set()
    for there in chain.from_iterable(combinations(kinds, n) for n in range(1, 5)):
        if any(is_b and (not is_c if quantifier == "All" else is_c) for is_b, is_c in there):
            continue
        for person in there:
            holds = dict(zip((b, c), person, strict=True))
            if holds[fact] != bool(fact_denied):
                said.add(holds[asked] != bool(asked_denied))
    return " Unknown" if len(said) == 2 else " Yes" if said == {True} else " No"


def chained(text: str) -> str:
    """Forward, until nothing new follows; in a closed world the rest is false."""
    known = set(re.findall(r"(?:^|\. )(\w+) is (\w+)(?=\.)", text.split("\nQuestion")[0]))
    rules = re.findall(r"someone is (\w+) then they are (\w+)\.", text)
    while new := {(who, b) for who, like in known for a, b in rules if a == like} - known:
        known |= new
    asked = re.findall(r"False: (\w+) is (\w+)\.", text)[0]
    return f" {asked in known}"


def again(text: str) -> str:
    words = text.split()
    return f" {words[words.index(words[-1]) + 1]}"


def copied(text: str) -> str:
    first, said = text.removeprefix("List: ").split("\nThe same list again:")
    return f" {first.split()[len(said.split())]}"


def went_round(text: str) -> str:
    words = text.split()
    period = next(p for p in range(1, len(words)) if words[p:] == words[:-p])
    return f" {words[-period]}"


def documented(text: str) -> str:
    arguments = text.split("(self, ")[1].split(")")[0].split(", ")
    last = re.findall(r":param (\w+):", text)[-1]
    return f" {arguments[arguments.index(last) + 1]}"


def closed(text: str) -> str:
    """The only closers of this many that make JSON of the last line."""
    text = text.splitlines()[-1]
    tries = [""]
    for _ in re.findall(r"[\[{]", text):
        tries = [t + bracket for t in tries for bracket in "]}"]
    (right,) = (t for t in tries if is_json(text + t))
    return right


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def following(text: str) -> str:
    asked = text.splitlines()[-2] if text.endswith("A:") else text.splitlines()[-1]
    for pattern in (r"not the \w+ (\w+) but", r"after (\w+)(?: is|\?| comes)$", r"^(\w+)(?: ->|, then)?$"):
        if found := re.search(pattern, asked):
            return f" {NEXT[found[1]]}"
    raise AssertionError(asked)


def ranked(k: int, text: str) -> str:
    numbers = [int(word) for word in text.split()]
    assert len(numbers) == 16
    return f" {next(n for n in numbers if sum(m < n for m in numbers) < k <= sum(m <= n for m in numbers))}"


SOLVERS: dict[str, Callable[[str], str]] = {
    "addition": partial(calculated, operator.add),
    "three_operands": partial(calculated, operator.add),
    "subtraction": partial(calculated, operator.sub),
    "multiplication": partial(calculated, operator.mul),
    "division": partial(calculated, operator.floordiv),
    "capitals": partial(known, CAPITALS),
    "languages": partial(known, LANGUAGES),
    "continents": partial(known, CONTINENTS),
    "cities": partial(known, CITIES),
    "elements": partial(known, ELEMENTS),
    "authors": partial(known, AUTHORS),
    "years": partial(known, EVENTS),
    "gender": pronoun,
    "syllogisms": concluded,
    "rules": chained,
    "induction": again,
    "copying": copied,
    "repetition": went_round,
    "docstring": documented,
    "json_closing": closed,
    "successor": following,
    "kth_smallest": partial(ranked, 2),
}
