"""Syllogisms over invented nouns: two chains that end in the same noun, one with "All" and one with "No".

"All wugs are meps. All drems are florps. All meps are gands. No florps are gands. Are all wugs gands?" The
answer needs the hop from the asked noun to the middle one: both deciding premises name the last noun, and every prompt
contains "All" and "No". The corrupted prompt swaps these two words, so it has the same words and the other answer.
Using nonsense words to exclude world knowledge is the idea of PrOntoQA (arXiv 2210.01240); nouns and wording were
written for this program.
"""

from __future__ import annotations

from itertools import permutations

from .family import Family, fill
from .prompt import Prompt
from .task import Task

# Invented nouns that common tokenizers split alike, alone and with an s, so that prompts of one form align.
NOUNS = (
    *("breg", "chome", "crad", "drem", "fendle", "fep", "florp", "gand", "glorb", "gorm", "gorp", "hask"),
    *("lorm", "mep", "nid", "noll", "plim", "quab", "rint", "sef", "tove", "wem", "wug", "zog"),
)
NAMES = ("Max", "Sam", "Alex", "Kim", "Robin", "Lee", "Pat", "Chris")

# The two chains come before the rules, so that "All" and "No" always follow a space and can be swapped.
FORMS = (
    (
        ("All {a} are {b}.", "All {d} are {e}."),
        ("{quantifier} {middle} are {c}.", "{other} {e} are {c}."),
        "\nQuestion: Are all {subject} {predicate}?\nAnswer:",
    ),
    (
        ("Every {a} is a {b}.", "Every {d} is a {e}."),
        ("{quantifier} {middle} is a {c}.", "{other} {e} is a {c}."),
        " {name} is a {a}.\nQuestion: Is {subject} a {predicate}?\nAnswer:",
    ),
)
ALL = ("All", "Every")
SPANS = ("subject", "middle", "predicate", "quantifier")
ORDERS = 4


def contents() -> list[tuple[str, str]]:
    """Pairs of the asked noun and the last one."""
    return list(permutations(NOUNS, 2))


def variants(_content: tuple[str, str], stratum: int) -> int:
    """The number of choices of three more nouns, the order of both pairs of premises, and, for one form, a name."""
    left = len(NOUNS) - 2
    return left * (left - 1) * (left - 2) * ORDERS * (len(NAMES) if stratum // 2 else 1)


def write(content: tuple[str, str], stratum: int, variant: int) -> Prompt:
    form, negative = divmod(stratum, 2)
    left = [noun for noun in NOUNS if noun not in content]
    more: list[str] = []
    for _ in range(3):
        variant, at = divmod(variant, len(left))
        more.append(left.pop(at))
    variant, swapped_rules = divmod(variant, 2)
    variant, swapped_chains = divmod(variant, 2)
    chains, rules, question = FORMS[form]
    template = " ".join([*chains[:: -1 if swapped_chains else 1], *rules[:: -1 if swapped_rules else 1]]) + question
    a, c, b, d, e = (noun if form else f"{noun}s" for noun in (*content, *more))
    name = NAMES[variant]
    nouns = {"a": a, "b": b, "c": c, "d": d, "e": e, "middle": b, "predicate": c, "name": name}
    nouns["subject"] = name if form else a
    quantifiers = (ALL[form], "No")
    text, spans = fill(template, **nouns, quantifier=quantifiers[negative], other=quantifiers[1 - negative])
    twin, _ = fill(template, **nouns, quantifier=quantifiers[1 - negative], other=quantifiers[negative])
    answers = (" Yes", " No")
    return Prompt(
        text=text,
        answer=answers[negative],
        distractor=answers[1 - negative],
        corrupted=twin,
        corrupted_answer=answers[1 - negative],
        spans={part: spans[part] for part in SPANS},
        template=f"logic.{('all', 'member')[form]}-{swapped_chains}{swapped_rules}",
        key=" ".join(content),
        values={"a": a, "b": b, "c": c, "d": d, "e": e, "form": ("all", "member")[form]},
    )


LOGIC = Task(
    name="logic",
    title="Syllogisms with nonsense words",
    description="Draws a conclusion about invented nouns from two premises; another chain leads to the opposite.\n"
    "Chance is 1 in 2: Yes and No are balanced and have the same words.",
    keywords=(
        *("logic", "logical", "syllogism", "deduction", "deductive", "deduce", "reasoning", "premise"),
        *("yes or no", "true or false", "entailment", "quantifier"),
    ),
    answer_kind="yes_no",
    max_new_tokens=8,
    guess=lambda _: 1 / 2,
    group="reasoning",
    source=Family("logic 1", contents, key=" ".join, variants=variants, write=write, strata=4),
)
