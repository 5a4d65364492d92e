"""Indirect object identification (arXiv 2211.00593): "When Mary and John went to the park, John gave a ball to".

Two names, one of which comes back as the giver; the other one receives. Each template stands in both orders:
ABBA, where the receiver is named first, and BABA. In the corrupted twin the giver of the second clause (S2)
is the other name, so that the answer flips with nothing else changed. Templates and lists are our own; the
names are single tokens with a space before them in common vocabularies.
"""

from __future__ import annotations

from itertools import combinations

from .family import Family, fill
from .prompt import Prompt
from .task import Task

NAMES = (
    *("Mary", "John", "James", "Robert", "Michael", "William", "David", "Richard", "Joseph", "Thomas", "Charles"),
    *("Daniel", "Matthew", "Anthony", "Mark", "Paul", "Andrew", "Kevin", "Brian", "George", "Edward", "Peter"),
    *("Jennifer", "Linda", "Elizabeth", "Susan", "Jessica", "Sarah", "Karen", "Nancy", "Lisa", "Emily", "Michelle"),
    *("Amanda", "Laura", "Anna", "Emma", "Alice", "Kate", "Jane", "Rachel", "Simon", "Adam", "Jack", "Tom", "Maria"),
)
PLACES = ("park", "store", "school", "restaurant", "office", "library", "station", "market", "beach", "museum")
OBJECTS = ("drink", "book", "ring", "letter", "key", "ball", "gift", "map", "coin", "basket")
TEMPLATES = (
    "When {first} and {second} went to the {place}, {s2} gave a {object} to",
    "After {first} and {second} met at the {place}, {s2} handed a {object} to",
    "Then {first} and {second} walked to the {place}, and {s2} gave a {object} to",
    "While {first} and {second} were waiting at the {place}, {s2} passed a {object} to",
    "Yesterday {first} and {second} talked for a while at the {place}. Before leaving, {s2} offered a {object} to",
    "Before {first} and {second} left the {place}, {s2} brought a {object} to",
    "Once {first} and {second} had arrived at the {place}, {s2} decided to give a {object} to",
    "Last week {first} and {second} spent a day at the {place}. In the evening, {s2} sent a {object} to",
)


def contents() -> list[tuple[str, str]]:
    return list(combinations(sorted(NAMES), 2))


def variants(_names: tuple[str, str], _stratum: int) -> int:
    """Which of the two gives, the place and the object."""
    return 2 * len(PLACES) * len(OBJECTS)


def write(names: tuple[str, str], stratum: int, variant: int) -> Prompt:
    template, baba = divmod(stratum, 2)
    variant, giver = divmod(variant, 2)
    place, thing = divmod(variant, len(OBJECTS))
    s, io = names[giver], names[1 - giver]
    first, second = (s, io) if baba else (io, s)
    words = {"first": first, "second": second, "place": PLACES[place], "object": OBJECTS[thing]}
    text, spans = fill(TEMPLATES[template], **words, s2=s)
    twin, _ = fill(TEMPLATES[template], **words, s2=io)
    s1, receiver = ("first", "second") if baba else ("second", "first")
    return Prompt(
        text=text,
        answer=f" {io}",
        distractor=f" {s}",
        corrupted=twin,
        corrupted_answer=f" {s}",
        spans={"io": spans[receiver], "s1": spans[s1], "s2": spans["s2"]}
        | {part: spans[part] for part in ("place", "object")},
        template=f"ioi.{template}-{'baba' if baba else 'abba'}",
        key=" ".join(names),
    )


IOI = Task(
    name="ioi",
    title="Indirect object identification",
    description="Names the receiver: of two people, the one who is not the giver. Half ABBA, half BABA.\n"
    "Chance is 1 in 2 between the two names of the prompt.",
    keywords=(
        *("ioi", "indirect object", "object identification", "names", "name mover", "repeated name", "giver"),
        *("receiver", "duplicate name", "s-inhibition"),
    ),
    answer_kind="word",
    max_new_tokens=4,
    source=Family("ioi 1", contents, key=" ".join, variants=variants, write=write, strata=2 * len(TEMPLATES)),
)
