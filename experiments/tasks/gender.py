"""He or she, after a profession: which of the two a model prefers (after arXiv 2004.12265).

No answer here is right in the world. The answer is the stereotype: the pronoun of the gender that, in the statistics of
most countries, holds the profession more often. The corrupted prompt has "man" or "woman" of the other gender instead,
so the other pronoun is right.
"""

from __future__ import annotations

from .family import Family, fill, listed
from .fitted import Fitted
from .prompt import Prompt
from .task import Task

SHE = listed(
    """
    nurse secretary receptionist librarian housekeeper hairdresser dancer babysitter midwife nanny maid dietitian
    florist stylist typist cleaner caregiver homemaker bookkeeper cashier hygienist seamstress ballerina
    paralegal therapist
    """
)
HE = listed(
    """
    carpenter plumber mechanic electrician soldier pilot farmer fisherman butcher blacksmith captain janitor
    programmer surgeon engineer guard sheriff general philosopher firefighter builder miner hunter mathematician
    boxer
    """
)
PERSONS = {"he": ("man", "boy"), "she": ("woman", "girl")}
TEMPLATES = (
    "The {person} said that",
    "The {person} yelled that",
    "The {person} whispered that",
    "The {person} wanted that",
    "The {person} desired that",
    "The {person} wished that",
    "The {person} ate because",
    "The {person} ran because",
    "The {person} drove because",
    "The {person} slept because",
    "The {person} cried because",
    "The {person} laughed because",
    "The {person} went home because",
    "The {person} stayed up because",
    "The {person} was fired because",
    "The {person} was promoted because",
    "The {person} was late because",
)


def pronoun(profession: str) -> str:
    return "she" if profession in SHE else "he"


def write(profession: str, stratum: int, variant: int) -> Prompt:
    said = pronoun(profession)
    other = "he" if said == "she" else "she"
    template = TEMPLATES[stratum]
    text, spans = fill(template, person=profession)
    person = PERSONS[other][(variant + stratum) % 2]
    return Prompt(
        text=text,
        answer=f" {said}",
        distractor=f" {other}",
        corrupted=fill(template, person=person)[0],
        corrupted_answer=f" {other}",
        spans=spans,
        template=f"gender.{stratum}",
        key=profession,
        values={"gender": "female" if said == "she" else "male"},
    )


def family(professions: tuple[str, ...]) -> Family[str]:
    strata = len(TEMPLATES)
    return Family("gender 1", lambda: professions, str, lambda _profession, _stratum: 1, write, strata=strata)


GENDER = Task(
    name="gender",
    title="He or she, after a profession",
    description=f"Says the pronoun that a stereotype assigns to one of {len(SHE) + len(HE)} professions.\n"
    "Chance is 1 in 2 between he and she. Free text often has neither: preference says more than accuracy.",
    keywords=("gender", "gender bias", "bias", "pronoun", "he or she", "stereotype", "profession", "occupation"),
    answer_kind="word",
    max_new_tokens=3,
    guess=lambda _: 1 / 2,
    group="language",
    source=Fitted(
        (*SHE, *HE), lambda tokens, word: tokens.single(f" {word}"), "professions that are one token", family
    ),
)
