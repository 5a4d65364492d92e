"""Facts and if-rules about people's properties, True or False, 0 to 5 deep (after ProofWriter, arXiv 2012.13048).

Two people have one property each, and a chain of five rules starts from each property. The asked property is `depth`
rules down one chain: it is true of one person and, in a closed world, false of the other. So every prompt has the same
number of sentences at any depth, and the corrupted prompt only asks about the other person.
"""

from __future__ import annotations

import random
from itertools import pairwise, permutations

from .family import Family, choose, fill, listed
from .prompt import Prompt
from .task import Task

DEEPEST = 5
NAMES = listed("Anne Bob Charlie Dave Erin Fiona Gary Harry")
LIKE = listed(
    """
    kind rough big cold quiet young smart nice green red round furry white blue happy tall strong proud brave calm rich
    tired hungry busy
    """
)
PEOPLE = tuple(permutations(NAMES, 2))
ORDERS = 8
QUESTION = "\nQuestion: True or False: {subject} is {asked}.\nAnswer:"


def contents() -> list[tuple[str, str]]:
    """Pairs of properties at the same depth, one of each chain: the asked one, and the other."""
    return list(permutations(LIKE, 2))


def order(number: int) -> list[int]:
    """One of the possible orders of the two facts and ten rules."""
    return random.Random(f"rules {number}").sample(range(2 + 2 * DEEPEST), 2 + 2 * DEEPEST)


ARRANGED = tuple(order(number) for number in range(ORDERS))


def chains(content: tuple[str, str], depth: int, by: str) -> tuple[list[str], list[str]]:
    """The properties of both chains, the asked one at this depth of the first."""
    left = [word for word in LIKE if word not in content]
    at = 7 * len(by) + sum(map(ord, by))
    step = choose((1, 3, 5, 7, 9, 13, 15, 17, 19, 21), by)
    # A step that is coprime with the 22 remaining words visits each of them once.
    rest = [left[(at + step * i) % len(left)] for i in range(2 * DEEPEST)]
    first, second = rest[:DEEPEST], rest[DEEPEST:]
    first.insert(depth, content[0])
    second.insert(depth, content[1])
    return first, second


def sentences(people: tuple[str, str], both: tuple[list[str], list[str]]) -> list[str]:
    """Two facts and ten rules."""
    said = [f"{person} is {chain[0]}." for person, chain in zip(people, both, strict=True)]
    return said + [f"If someone is {a} then they are {b}." for c in both for a, b in pairwise(c)]


def variants(_content: tuple[str, str], _stratum: int) -> int:
    return len(PEOPLE) * ORDERS


def write(content: tuple[str, str], stratum: int, variant: int) -> Prompt:
    depth, false = divmod(stratum, 2)
    people, arrangement = PEOPLE[variant // ORDERS], variant % ORDERS
    both = chains(content, depth, f"{content} {stratum} {variant}")
    said = sentences(people, both)
    story = " ".join(said[at] for at in ARRANGED[arrangement])
    text, spans = fill(QUESTION, subject=people[false], asked=content[0])
    fact = story.index(said[false])
    answers = (" True", " False")
    return Prompt(
        text=story + text,
        answer=answers[false],
        distractor=answers[1 - false],
        corrupted=story + fill(QUESTION, subject=people[1 - false], asked=content[0])[0],
        corrupted_answer=answers[1 - false],
        spans={name: (a + len(story), b + len(story)) for name, (a, b) in spans.items()}
        | {"fact": (fact, fact + len(said[false]) - 1)},
        template=f"rules.{depth}-{arrangement}",
        key=" ".join(content),
        values={"depth": str(depth)},
    )


RULES = Task(
    name="rules",
    title="Facts and if-rules, up to five deep",
    description="Says whether something follows from two facts and ten rules, 0 to 5 rules deep; otherwise False.\n"
    "Chance is 1 in 2: True and False are balanced at every depth and have the same sentences.",
    keywords=(
        *("proofwriter", "if-rules", "rules", "proof", "proof depth", "true or false", "chaining"),
        *("multi-hop", "multi-hop reasoning", "facts and rules"),
    ),
    answer_kind="yes_no",
    max_new_tokens=8,
    guess=lambda _: 1 / 2,
    group="reasoning",
    source=Family("rules 1", contents, key=" ".join, variants=variants, write=write, strata=2 * (DEEPEST + 1)),
)
