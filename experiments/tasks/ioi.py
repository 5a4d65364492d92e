"""Indirect object identification (arXiv 2211.00593): "When Mary and John went to the park, John gave a ball to".

Two names, one of which is repeated as the giver; the other one receives. Each template exists in both orders: ABBA,
with the receiver named first, and BABA. In the corrupted prompt the giver in the second clause (S2) is the other name,
so only the answer changes. Templates and lists were written for this program; names of more than one token are
left out for each tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from .family import Family, fill, listed
from .fitted import Fitted
from .prompt import Prompt
from .question import Question
from .task import Task

NAMES = listed(
    """
    Mary John James Robert Michael William David Richard Joseph Thomas Charles Daniel Matthew Anthony Mark Paul
    Andrew Kevin Brian George Edward Peter Jennifer Linda Elizabeth Susan Jessica Sarah Karen Nancy Lisa Emily
    Michelle Amanda Laura Anna Emma Alice Kate Jane Rachel Simon Adam Jack Tom Maria Ben Sam Max Alex Chris Dan Mike
    Bob Bill Jim Joe Tim Nick Luke Ryan Eric Jason Justin Scott Frank Henry Patrick Alan Martin Philip Stephen
    Steven Jonathan Christopher Ronald Kenneth Lucy Amy Anne Helen Diana Julia Sophie Grace Rose Claire Sara Ruth
    Victoria Jacob Noah Oliver Leon Oscar Harry Louis Albert Arthur Carl Diane Barbara Patricia Margaret Dorothy
    """
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
    "When {first} and {second} found a {object} near the {place}, {s2} decided to give it to",
    "After a long talk, {first} and {second} left the {place}, and {s2} gave the {object} to",
    "The {place} was closed when {first} and {second} came, so {s2} took the {object} and gave it to",
    "So {first} and {second} had fun at the {place}. Afterwards {s2} gave a {object} to",
    "Today {first} and {second} were sitting in the {place}, and {s2} handed the {object} over to",
    "On Sunday {first} and {second} visited the {place}. There {s2} bought a {object} and gave it to",
    "Because {first} and {second} had to wait at the {place}, {s2} showed a {object} to",
)


def pairs(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(combinations(sorted(names), 2))


def family(names: tuple[str, ...]) -> Family[tuple[str, str]]:
    """The prompts of these names."""
    strata = 2 * len(TEMPLATES)
    return Family("ioi 2", lambda: pairs(names), key=" ".join, variants=variants, write=write, strata=strata, ask=ask)


def variants(_names: tuple[str, str], _stratum: int) -> int:
    """The number of choices of the giver, the place and the object."""
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
        values={"s": s, "order": "BABA" if baba else "ABBA"},
    )


def ask(prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
    """Two names, one of which is the giver; the other one receives."""
    s, io = texts["s2"], texts["io"]
    if s != texts["s1"] or s == io:
        return None
    return Question(" ".join(sorted((s, io))), f" {io}", {"s": s, "order": prompt.values["order"]})


IOI = Task(
    name="ioi",
    title="Indirect object identification",
    description="Names the receiver: the one of two people who is not the giver. Half ABBA, half BABA.\n"
    "Chance is 1 in 2 between the two names of the prompt.",
    keywords=(
        *("ioi", "indirect object", "object identification", "names", "name mover", "repeated name", "giver"),
        *("receiver", "duplicate name", "s-inhibition"),
    ),
    answer_kind="word",
    max_new_tokens=4,
    guess=lambda _: 1 / 2,
    group="language",
    source=Fitted(NAMES, lambda tokens, name: tokens.single(f" {name}"), "names that are one token", family),
)
