"""Syllogisms whose conclusion follows, is refuted, or does not follow: Yes, No, or Unknown.

"All wugs are meps. Max is a wug. Is Max a mep?" One rule about invented nouns and one fact about a person. Invalid
forms (such as affirming the consequent) have the answer Unknown. The corrupted prompt differs only in the quantifier,
and the quantifier alone does not determine the answer.
"""

from __future__ import annotations

from itertools import permutations

from .family import Family, choose, fill
from .logic import NAMES, NOUNS
from .prompt import Prompt
from .task import Task

Form = tuple[str, str, bool]

QUANTIFIERS = ("All", "No")
FACTS = {"first": "is a {b}", "second": "is a {c}", "not second": "is not a {c}"}
QUESTION = "\nQ: Is it true that {name} {asked}? (Yes, No or Unknown)\nA:"
# What the rule and the fact imply about the other noun; None if they leave it open.
FOLLOWS: dict[tuple[str, str], bool | None] = {
    ("All", "first"): True,
    ("All", "second"): None,
    ("All", "not second"): False,
    ("No", "first"): False,
    ("No", "second"): False,
    ("No", "not second"): None,
}
# Four forms for each answer, two of them with each quantifier.
FORMS: tuple[Form, ...] = tuple((quantifier, fact, denied) for quantifier, fact in FOLLOWS for denied in (False, True))
SPANS = ("quantifier", "b", "c", "name", "asked")


def conclusion(quantifier: str, fact: str, denied: bool) -> str:
    """The answer to whether the person is (or, denied, is not) one of the noun that the fact does not mention."""
    follows = FOLLOWS[quantifier, fact]
    return "Unknown" if follows is None else "Yes" if follows != denied else "No"


def contents() -> list[tuple[str, str]]:
    """The two nouns of the rule, in its order."""
    return list(permutations(NOUNS, 2))


def say(nouns: tuple[str, str], form: Form, name: str, fact_first: bool) -> tuple[str, dict[str, tuple[int, int]]]:
    quantifier, fact, denied = form
    other = "{c}" if fact == "first" else "{b}"
    rule, said = "{quantifier} {b}s are {c}s.", "{name} " + FACTS[fact] + "."
    question = QUESTION.replace("{asked}", ("is not a " if denied else "is a ") + "{asked}")
    b, c = nouns
    template = (f"{said} {rule}" if fact_first else f"{rule} {said}") + question
    return fill(template, quantifier=quantifier, b=b, c=c, name=name, asked=c if other == "{c}" else b)


def write(nouns: tuple[str, str], stratum: int, variant: int) -> Prompt:
    form = FORMS[stratum]
    quantifier, fact, denied = form
    other = QUANTIFIERS[1 - QUANTIFIERS.index(quantifier)]
    name, fact_first = NAMES[variant // 2], bool(variant % 2)
    text, spans = say(nouns, form, name, fact_first)
    right = conclusion(*form)
    twin = (other, fact, denied)
    return Prompt(
        text=text,
        answer=f" {right}",
        distractor=f" {choose([a for a in ('Yes', 'No', 'Unknown') if a != right], text)}",
        corrupted=say(nouns, twin, name, fact_first)[0],
        corrupted_answer=f" {conclusion(*twin)}",
        spans={part: spans[part] for part in SPANS},
        template=f"syllogisms.{fact.replace(' ', '-')}-{'denied' if denied else 'asked'}-{variant % 2}",
        key=" ".join(nouns),
        values={"fact": fact, "denied": "yes" if denied else "no"},
    )


SYLLOGISMS = Task(
    name="syllogisms",
    title="Syllogisms, valid and invalid",
    description="Says whether a conclusion about invented nouns follows, is refuted, or is open.\n"
    "Chance is 1 in 3: Yes, No and Unknown are balanced, both for All and for No.",
    keywords=("invalid syllogism", "invalid", "fallacy", "does not follow", "syllogisms", "valid syllogism"),
    answer_kind="true_false_unknown",
    max_new_tokens=8,
    guess=lambda _: 1 / 3,
    group="reasoning",
    source=Family(
        "syllogisms 2",
        contents,
        key=" ".join,
        variants=lambda _nouns, _form: 2 * len(NAMES),
        write=write,
        strata=len(FORMS),
    ),
)
