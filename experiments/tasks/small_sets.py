"""Short fixed lists like those of earlier programs: 8 sums, 5 chains, 4 syllogisms, 5 word problems,
and 11 tasks of a few beginnings each.

The texts are equivalents written for this program, not copies of those lists. They are for comparison, and for trying
something in a minute. They are too small to learn much from: use a family for a study.
"""

from __future__ import annotations

from .lines import Lines
from .prompt import Prompt
from .task import AnswerKind, Task

Row = tuple[str, str, str]


def sums(*lines: str) -> tuple[Row, ...]:
    """Rows of lines such as "2 + 3 = 5, 6": the question, the answer, and a distractor."""
    rows = (line.rpartition(" = ") for line in lines)
    return tuple((f"{asked} =", *(f" {word}" for word in said.split(", "))) for asked, _, said in rows)  # type: ignore[misc]


def rows(text: str) -> tuple[Row, ...]:
    """Rows of lines such as "The sky is | blue | red"; \\n stands for a new line."""
    found = [line.strip().replace("\\n", "\n").split(" | ") for line in text.strip().splitlines()]
    return tuple((asked, f" {answer}", f" {wrong}") for asked, answer, wrong in found)


def question(text: str) -> str:
    return f"Q: {text}\nA:"


SETS: dict[str, tuple[str, AnswerKind, tuple[Row, ...]]] = {
    "small_arithmetic": (
        "Eight calculations",
        "number",
        sums("2 + 3 = 5, 6", "7 + 6 = 13, 12", "15 + 27 = 42, 32", "9 - 4 = 5, 6", "31 - 14 = 17, 27")
        + sums("6 * 7 = 42, 48", "12 * 4 = 48, 44", "56 / 8 = 7, 8"),
    ),
    "small_multi_step": (
        "Five chains of operations",
        "number",
        sums("(2 + 3) * 4 = 20, 14", "(9 - 5) * 3 = 12, 15", "6 * 2 + 7 = 19, 54", "20 / 4 + 3 = 8, 5")
        + sums("(8 + 4) / 3 = 4, 12"),
    ),
    "small_logic": (
        "Four syllogisms",
        "yes_no",
        (
            (question("All cats are animals. Tom is a cat. Is Tom an animal?"), " Yes", " No"),
            (question("No fish are birds. A trout is a fish. Is a trout a bird?"), " No", " Yes"),
            (question("All squares have four sides. This is a square. Does it have four sides?"), " Yes", " No"),
            (question("No reptiles have fur. A snake is a reptile. Does a snake have fur?"), " No", " Yes"),
        ),
    ),
    "small_gsm8k": (
        "Five word problems",
        "number",
        (
            (question("Ella has 12 eggs. She uses 5 and sells the rest for 2 dollars each. How much?"), " 14", " 24"),
            (question("A bus has 40 seats. 3 groups of 9 people sit down. How many are free?"), " 13", " 27"),
            (question("Sam reads 15 pages a day for 6 days. The book has 100. How many are left?"), " 10", " 90"),
            (question("A pen costs 3 dollars, a book twice as much. What do 2 pens and a book cost?"), " 12", " 9"),
            (question("Of 30 children half like tea, and 8 like milk. How many like neither?"), " 7", " 15"),
        ),
    ),
    "small_addition": ("Sums of one digit", "number", sums("2 + 3 = 5, 4", "4 + 4 = 8, 7", "1 + 6 = 7, 8")),
    "small_capitals": (
        "Capitals",
        "word",
        rows(
            """
            The capital of France is | Paris | Rome
            The capital of Japan is | Tokyo | Beijing
            The capital of Italy is | Rome | Paris
            The capital of Egypt is | Cairo | Tunis
            """
        ),
    ),
    "small_years": (
        "Years",
        "number",
        rows(
            """
            The Berlin Wall fell in the year | 1989 | 1979
            The Second World War ended in the year | 1945 | 1944
            Barack Obama was first elected in the year | 2008 | 2009
            """
        ),
    ),
    "small_json": (
        "Closing JSON brackets",
        "text",
        (('{"a": [1, 2', "]}", "}]"), ('{"a": {"b": 1', "}}", "]}"), ('[{"a": 1', "}]", "]}")),
    ),
    "small_distances": (
        "Distances",
        "number",
        rows(
            """
            One mile is about how many meters? It is about | 1609 | 1069
            A marathon is about how many kilometers long? About | 42 | 24
            One kilometer is how many meters? It is | 1000 | 500
            """
        ),
    ),
    "small_opposites": (
        "Opposites",
        "word",
        rows(
            """
            The opposite of hot is | cold | warm
            The opposite of up is | down | over
            The opposite of day is | night | week
            The opposite of big is | small | tall
            """
        ),
    ),
    "small_sequences": (
        "Series",
        "word",
        rows(
            """
            Monday, Tuesday, Wednesday, | Thursday | Sunday
            January, February, March, | April | June
            one, two, three, | four | six
            """
        ),
    ),
    "small_colors": (
        "Colours",
        "word",
        rows(
            """
            The color of grass is | green | blue
            The color of snow is | white | black
            The color of blood is | red | green
            """
        ),
    ),
    "small_plurals": (
        "Plurals",
        "word",
        rows(
            """
            One child, two | children | childs
            One mouse, two | mice | mouses
            One foot, two | feet | foots
            """
        ),
    ),
    "small_agreement": (
        "Verbs that agree",
        "word",
        rows(
            """
            The keys to the cabinet | are | is
            The author of the books | is | are
            The boys near the house | are | is
            """
        ),
    ),
    "small_translation": (
        "Words in French",
        "word",
        rows(
            """
            English: cat\\nFrench: chat\\nEnglish: dog\\nFrench: | chien | chat
            English: water\\nFrench: eau\\nEnglish: bread\\nFrench: | pain | eau
            English: day\\nFrench: jour\\nEnglish: night\\nFrench: | nuit | jour
            """
        ),
    ),
}


def small(name: str, title: str, kind: AnswerKind, given: tuple[Row, ...]) -> Task:
    prompts = (Prompt(text=text, answer=answer, distractor=wrong, key=text) for text, answer, wrong in given)
    return Task(
        name=name,
        title=title,
        description=f"A fixed list of {len(given)} prompts, for comparison or for a quick try.\n"
        "Too few to confirm anything.",
        keywords=(),
        answer_kind=kind,
        max_new_tokens=8,
        group="small sets",
        source=Lines(tuple(prompts)),
    )


SMALL_SETS = tuple(small(name, *rest) for name, rest in SETS.items())
