"""The answer to any prompt, worked out again from its text alone."""

from __future__ import annotations

import re

from lashley.experiments.tasks.ioi import NAMES
from lashley.tests.solve import SOLVERS

SOLVED_HERE = ("arithmetic", "arithmetic_questions", "multi_step", "logic", "gsm8k", "ioi", "greater_than")


def solved(name: str, text: str) -> str:
    """The answer to a prompt, worked out from its text alone, by other means than those that made it."""
    if name in SOLVERS:
        return SOLVERS[name](text)
    last = text.splitlines()[-1]
    digits = [int(d) for d in re.findall(r"\d+", text)]
    if name == "arithmetic":
        return f" {sum(map(int, re.findall(r'[0-9]+', last)))}"
    if name == "arithmetic_questions":
        return f" {sum(digits)}"
    if name == "multi_step":
        if not last.startswith("Start"):
            return f" {eval(last.removesuffix('='))}"
        words = last.removesuffix(" The result is").replace("Start with", "").replace(".", "").replace(" by", "")
        signs = {"Add": "+", "Subtract": "-", "Multiply": "*"}
        a, first, b, second, c = (signs.get(word, word) for word in words.split())
        return f" {eval(f'({a}{first}{b}){second}{c}')}"
    if name == "logic":
        return _concluded(text)
    if name == "gsm8k":
        return f" {_counted(text, digits)}"
    assert name == "ioi"
    people = [n for n in re.findall(r"\b[A-Z][a-z]+\b", text) if n in NAMES]
    return f" {next(n for n in people if people.count(n) == 1)}"


def is_right(name: str, text: str, answer: str) -> bool:
    if name == "greater_than":
        began = re.findall(r"\d\d(\d\d)", text)[0]
        return re.fullmatch(r"\d\d", answer) is not None and int(answer) > int(began)
    return solved(name, text) == answer


def _concluded(text: str) -> str:
    premises, question = text.split("\nQuestion: ")
    kinds: dict[str, str] = {}
    rules: dict[tuple[str, str], bool] = {}
    for premise in premises.split(". "):
        words = [w.strip(".") for w in premise.split() if w not in ("a", "is", "are")]
        if len(words) == 2:
            kinds[words[0]] = words[1]
        else:
            rules[words[1], words[2]] = words[0] != "No"
    asked = [w.strip("?") for w in question.splitlines()[0].split() if w not in ("Is", "Are", "all", "a")]
    thing = kinds.get(asked[0], asked[0])
    (through,) = (to for (start, to), _ in rules.items() if start == thing)
    return " Yes" if rules[through, asked[1]] else " No"


def _counted(text: str, digits: list[int]) -> int:
    x, y, z = digits
    told = {
        "buys \\d more": x + y - z,
        "bags": x * y - z,
        "boxes away": (x - y) * z,
        "in the morning": (x + y) * z,
        "did not fit": x * y + z,
        "Together": x + (x + y) - z,
        "twice": 2 * x + y - z,
        "ribbon": (x + y) * z,
    }
    (result,) = (value for words, value in told.items() if re.search(words, text))
    return result
