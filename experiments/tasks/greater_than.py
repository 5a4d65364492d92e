"""Greater than (arXiv 2305.00586): "The war lasted from the year 1732 to the year 17" continues with a higher number.

All higher numbers of two digits are right (`accepted`); the answer is one of them, with another first digit if there is
one, and the distractor is a lower one. In the corrupted prompt the war begins in the year 01 of its century, so the
distractor would also be right; it is the corrupted prompt's answer.
"""

from __future__ import annotations

from .family import Family, choose, fill, listed
from .fitted import Fitted, Tokens
from .prompt import Prompt
from .task import Task

Year = tuple[int, int]

NOUNS = listed(
    """
    abduction accord affair agreement alliance appraisal assault assessment attack attempt campaign captivity case
    challenge chaos clash collaboration comparison competition confrontation consequence conspiracy construction
    consultation contact contract convention cooperation custody deal decline decrease demonstration development
    discussion dispute domination dynasty effect effort employment endeavor engagement epidemic evaluation evolution
    exchange expansion expedition experiment fall fame flights friendship growth hardship hostility illness impact
    imprisonment improvement incarceration increase insurgency invasion investigation journey kingdom marriage
    modernization negotiation notoriety obstruction operation order outbreak outcome overhaul partnership peace
    persecution plague plan practice process progress project pursuit quest raid reforms reign relationship retaliation
    revolution rise rivalry romance rule sanctions shift siege slump stature stint strikes study test testing tests
    therapy tour tradition treaty trial trip unemployment voyage war warfare work
    """
)
CENTURIES = range(11, 18)
NUMBERS = range(1, 100)
TEXT = "The {noun} lasted from the year {century}{year} to the year {same}"


def key(content: Year) -> str:
    century, year = content
    return f"{century}{year:02}"


def carried(tokens: Tokens, content: Year) -> bool:
    """Whether the tokens of the year are those of its century followed by those of its number."""
    century, year = content
    return tokens.ids(f" {key(content)}") == tokens.ids(f" {century}") + tokens.ids(f"{year:02}")


def answers(years: list[int], year: int, by: str) -> tuple[str, str]:
    """A higher number and one that is not, with different first digits if possible."""
    _, *others = years
    higher, lower = [y for y in others if y > year], [y for y in others if y <= year]
    right = choose([y for y in higher if y // 10 != year // 10] or higher, by)
    wrong = choose([y for y in lower if y // 10 != right // 10] or lower, by)
    return f"{right:02}", f"{wrong:02}"


def family(carried: tuple[Year, ...]) -> Family[Year]:
    """The prompts of these years. The first of a century is for corrupted prompts; the last can only be an answer."""
    numbers = {century: [y for c, y in carried if c == century] for century in CENTURIES}

    def contents() -> list[Year]:
        return [(century, year) for century, years in numbers.items() for year in years[1:-1]]

    def write(content: Year, _stratum: int, variant: int) -> Prompt:
        century, year = content
        words = {"noun": NOUNS[variant], "century": century, "same": century}
        text, spans = fill(TEXT, **words, year=f"{year:02}")
        right, wrong = answers(numbers[century], year, text)
        return Prompt(
            text=text,
            answer=right,
            distractor=wrong,
            corrupted=fill(TEXT, **words, year=f"{numbers[century][0]:02}")[0],
            corrupted_answer=wrong,
            spans={part: spans[part] for part in ("noun", "century", "year", "same")},
            template="greater_than",
            key=key(content),
            operands=(year,),
            accepted=tuple(f"{y:02}" for y in range(year + 1, 100)),
            # Tokenizers may write the year as one token, its two halves or its digits.
            values={"whole_year": key(content), "decade": str(year // 10)},
        )

    return Family("greater_than 1", contents, key, variants=lambda _content, _stratum: len(NOUNS), write=write)


GREATER_THAN = Task(
    name="greater_than",
    title="A later year",
    description="Gives the year in which something ended, in the same century; any higher two-digit number is right.\n"
    "Chance is 1 in 2, for a random number and against the distractor; but always saying 99 is always right.",
    keywords=("greater than", "greater-than", "greater", "later year", "larger number", "compare numbers", "lasted"),
    answer_kind="number",
    max_new_tokens=4,
    guess=lambda p: len(p.accepted) / 100,
    group="arithmetic",
    source=Fitted(
        tuple((century, year) for century in CENTURIES for year in NUMBERS),
        carried,
        "years that fall into two digits and two",
        family,
    ),
)
