"""The tasks by name, and the task that a goal names.

Another package adds a task with an entry point of the group `lashley.tasks` that names a `Task`. A goal is matched by
the keywords and the formulas on the task cards: the more of its words they match, the better. If none match, there is
no guess.
"""

from __future__ import annotations

import re
from functools import cache

from ..errors import BadTask, UnknownName
from ..installed import Registered, registered
from .arithmetic import ARITHMETIC, ARITHMETIC_QUESTIONS
from .calculation import CALCULATIONS
from .capitals import CAPITALS_TASK
from .copying import COPYING, REPETITION
from .docstring import DOCSTRING
from .formulas import asks_for, formulas_in, works_out
from .gender import GENDER
from .greater_than import GREATER_THAN
from .gsm8k import GSM8K
from .induction import INDUCTION
from .ioi import IOI
from .json_closing import JSON_CLOSING
from .kth_smallest import HIGHEST_K, KTH_SMALLEST, kth_smallest
from .logic import LOGIC
from .multi_step import MULTI_STEP
from .open_prompts import OPEN_PROMPTS
from .relations import RELATIONS
from .rules import RULES
from .small_sets import SMALL_SETS
from .successor import SUCCESSOR
from .syllogisms import SYLLOGISMS
from .task import Task
from .years import YEARS

# In the order of the list; if a goal fits two tasks equally, the first is chosen.
BUILT_IN = (
    *(ARITHMETIC, ARITHMETIC_QUESTIONS, MULTI_STEP, *CALCULATIONS, GREATER_THAN),
    *(LOGIC, SYLLOGISMS, RULES, GSM8K),
    *(IOI, GENDER, OPEN_PROMPTS),
    *(CAPITALS_TASK, *RELATIONS, YEARS),
    *(INDUCTION, COPYING, REPETITION, SUCCESSOR, KTH_SMALLEST),
    *(DOCSTRING, JSON_CLOSING),
    *SMALL_SETS,
)
# Known by name but not listed: one task per k would make a long list.
UNLISTED = {t.name: t for t in map(kth_smallest, range(1, HIGHEST_K + 1)) if t.name != KTH_SMALLEST.name}
GROUP = "lashley.tasks"

SUFFIXES = ("ition", "ing", "ion", "ed", "al", "s")


def tasks() -> dict[str, Task]:
    """All tasks by name, built-in ones first. Raises `BadTask` if an installed task cannot be used."""
    return {name: one.thing for name, one in all_registered().items()}


@cache
def all_registered() -> dict[str, Registered[Task]]:
    """The tasks, each with its package."""
    ours = {task.name: task for task in BUILT_IN}
    return registered(ours, GROUP, "task", lambda one: isinstance(one, Task), "a Task", lambda one: one.name, BadTask)


def task(name: str) -> Task:
    """The task of this name. Raises `UnknownName` with the nearest names."""
    known = tasks()
    if name not in known and name not in UNLISTED:
        raise UnknownName("task", name, known)
    return known.get(name) or UNLISTED[name]


def match(goal: str) -> list[tuple[Task, tuple[str, ...]]]:
    """The tasks that the goal may mean, best first, each with the matching words and formulas of the goal.

    A word counts once, however many keywords it belongs to, and in any of its forms (add, adding, addition). A formula,
    such as a + b =, counts as many words as it has operands. One that a task works out on the way, such as a + b in
    a + b + c, counts only if the goal also names the task. Ties keep the order of `tasks()`. Empty if nothing matches.
    """
    words = re.findall(r"\w+", goal.replace("_", " "))
    stems = [stem(word) for word in words]
    formulas = list(dict.fromkeys(formulas_in(goal)))
    found: list[tuple[int, Task, tuple[str, ...]]] = []
    for candidate in tasks().values():
        places: set[int] = set()
        for keyword in (candidate.name, *candidate.keywords):
            phrase = [stem(word) for word in re.findall(r"\w+", keyword.replace("_", " "))]
            for start in range(len(stems) - len(phrase) + 1):
                if stems[start : start + len(phrase)] == phrase:
                    places.update(range(start, start + len(phrase)))
        asked = [one for one in formulas if asks_for(candidate.formulas, one)]
        if places or asked:
            asked += [one for one in formulas if works_out(candidate.formulas, one)]
            named = tuple(words[place] for place in sorted(places))
            score = len(named) + sum(one.operands for one in asked)
            found.append((score, candidate, (*named, *(one.text for one in asked))))
    return [(candidate, matching) for _, candidate, matching in sorted(found, key=lambda one: -one[0])]


def stem(word: str) -> str:
    """The word in lower case without its ending: additions and adding are add, summing is sum, cities is city."""
    word = word.lower()
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for suffix in SUFFIXES:
        left = word.removesuffix(suffix)
        if left != word and len(left) >= 3 and not word.endswith("ss"):
            if suffix == "s":
                return stem(left)
            return left[:-1] if len(left) > 3 and left[-1] == left[-2] else left
    return word
