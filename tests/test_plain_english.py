"""Plain English: phrases that must not come back, and how long the sentences of a document may be.

A document is Markdown, of which the prose counts: no code, tables or headings. A folder of code counts by its
docstrings and its messages. To hold a further folder or document to this, add it to `CODE` or `DOCUMENTS`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What must not come back, and what to write instead. Case does not count.
PHRASES = {
    r"(?<!there )\b(?:is|are|was|were|be) no (?!\w+er\b|more|less)": "is not a",
    r"(?<!there )\b(?:is|are|was|were) none\b": "is not",
    r"\bnone of (?:theirs|ours|its|his)\b|\bnone (?:is|are) to\b": "has no",
    r"\banew\b": "again",
    r"\b(?:go|goes|going|went|gone) on (?:with|where|from|as)\b": "continue, resume",
    r"\bstands? (?:beside|below|above|among|there|under|behind|next)\b": "is, appears",
    r"\bbeside\b": "next to, with",
    r"\bunasked\b": "automatically",
    r"\bdearest\b": "most expensive",
    r"\bthe deed\b": "the action",
    r"\btold\b": "say who says what to whom",
    r"(?:^|[;:,] )by what\b": "name it",
    r"\b(?:be|is|are) had\b": "is available",
    r"\bminds? the\b": "depends on",
    r"\bof which\b[^.]{0,40}\bis\b": "two sentences",
    r"\bas (?:they are|it is)\b": "unchanged",
    r"\b(?:is|are|was|were) to be\b": "must be, will be",
    r"\bso many that\b": "enough to",
    r"(?:[;:,.] |^)else\b": "otherwise",
    r"\b(?:run|runs|ran|running)(?: (?:it|them|anything|something|everything))? again\b": "rerun",
    r"\bturned\b(?! (?:on|off|into))": "the verb that is meant",
    r"\bnothing but\b": "only",
    r"\bthereby\b|\btherein\b|\bthereof\b|\bwhereby\b|\bwherein\b": "so",
    r"\bwhatever it be\b": "whatever it is",
    r"\bin a line\b": "in one line",
    r"\b(?:no|nor|not|cannot|nobody)\b[^.]*\bneither[.;:]": "not ... either",
    r"\bis said\b|\bare said\b|\bit is told\b": "say who says it",
    r"\bas ever\b": "as always",
    r"\bgives? way\b|\bin earnest\b|\bdoes its worst\b": "say what happens",
}
# A sentence that begins with the clause that is its subject has to be read twice.
CLAUSE_FIRST = re.compile(r"^(?:What|Who|Whoever|Whatever)\b.*[^?:]$", re.DOTALL)

# Words of a sentence, in the mean over a document. The longest of today's is a little below.
LONGEST_MEAN = 20.0

# The documents that are held to it. Left out are those that are made from texts of the code that are not plain yet: the
# pages of kinds, commands, metrics, statistics and words (the glossary).
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/*.md",
    "docs/architectures.md",
    "docs/chat.md",
    "docs/faults.md",
    "docs/findings.md",
    "docs/glossary.md",
    "docs/decisions/*.md",
    "docs/first_study.md",
    "docs/how_it_works.md",
    "docs/language_model.md",
    "docs/led_by_smollm2.md",
    "docs/limits.md",
    "docs/models.md",
    "docs/own_task.md",
    "docs/python.md",
    "docs/removals.md",
    "docs/results.md",
    "docs/running.md",
    "docs/security.md",
    "docs/tour.ipynb",
    "docs/tracker.md",
)
# Folders and files of code whose docstrings and messages are held to the phrases. A docstring may be a clause.
CODE: tuple[str, ...] = ("docs", "tools")


def markdown(page: Path) -> str:
    """The text of a page; of a notebook, that of its cells without code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def prose(text: str) -> list[str]:
    """The sentences of a Markdown text, without code, tables, headings, comments and the targets of links."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(?:\||#|    ).*$", "", _items_joined(text), flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "CODE", text).replace("*", "")
    return [one for block in re.split(r"\n\s*\n", text) for one in sentences(block)]


def _items_joined(text: str) -> str:
    """Each item of a list is a block of its own, its lines joined."""
    return re.sub(r"^ *(?:[-*]|\d+\.) (.*(?:\n {2,3}\S.*)*)", lambda m: "\n" + re.sub(r"\n +", " ", m[1]) + "\n", text,
                  flags=re.MULTILINE)  # fmt: skip


def sentences(text: str) -> Iterator[str]:
    for one in re.split(r"(?<=[.!?])[)\"”]?\s+(?=[A-Z0-9\"“(])", " ".join(text.split())):
        if len(one.split()) > 1:
            yield one


def spoken(code: str) -> Iterator[str]:
    """The docstrings and messages of Python code: every text of three words or more that is not a pattern."""
    tree = ast.parse(code)
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    pieces = {id(part) for node in formatted for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "it" for part in node.values]
            yield from _if_spoken("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
            yield from _if_spoken(node.value)


def _if_spoken(text: str) -> Iterator[str]:
    if len(re.findall(r"\b[a-z]{2,}\b", text)) >= 3 and "\\b" not in text:
        yield text


def phrases(found: list[str]) -> list[str]:
    """Each phrase that must not come back, with its sentence and what to write instead."""
    return [
        f"{match[0].strip()!r} ({instead}): {one}"
        for one in found
        for pattern, instead in PHRASES.items()
        for match in [re.search(pattern, one, re.IGNORECASE)]
        if match
    ]


def faults(found: list[str]) -> list[str]:
    """The phrases, and each sentence whose subject is a clause."""
    return phrases(found) + [f"a clause as the subject: {one}" for one in found if CLAUSE_FIRST.search(one)]


def mean_length(found: list[str]) -> float:
    return sum(len(one.split()) for one in found) / len(found)


def files(patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", files(DOCUMENTS), ids=named)
def test_a_document_is_in_plain_english(page: Path) -> None:
    found = prose(markdown(page))
    assert not faults(found), "\n".join(faults(found))
    assert not found or mean_length(found) <= LONGEST_MEAN, f"{mean_length(found):.1f} words a sentence"


@pytest.mark.parametrize("folder", CODE)
def test_the_texts_of_the_code_are_in_plain_english(folder: str) -> None:
    paths = files((f"{folder}/**/*.py",)) or files((folder,))
    said = [(named(path), one) for path in paths for text in spoken(path.read_text(encoding="utf-8"))
            for one in prose(text)]  # fmt: skip
    assert said
    wrong = [f"{path}: {fault}" for path, one in said for fault in phrases([one])]
    assert not wrong, "\n".join(wrong)


def test_each_phrase_would_be_found() -> None:
    bad = (
        "It is no id.", "They are none.", "It has none of theirs.", "It is drawn anew.", "It goes on with the study.",
        "The verdict stands below it.", "Beside it is another.", "It runs unasked.", "The dearest call is this.",
        "Who did the deed?", "The model is told.", "By what it sorts.", "Port 80 cannot be had.", "It minds the order.",
        "Ten tasks, of which one is new.", "It keeps them as they are.", "It is to be done.", "There are so many that",
        "Say so, else it fails.", "Run it again.", "The heads are turned.", "It is nothing but noise.",
        "It is thereby lost.", "Whatever it be, it stays.", "It says so in a line.", "Nor by SQL neither.",
        "It is said at each load.", "Graded as ever.", "It works in earnest.", "Who changes it has a forgery.",
    )  # fmt: skip
    assert [one for one in bad if not faults([one])] == []
    found = {pattern for pattern in PHRASES if any(re.search(pattern, one, re.IGNORECASE) for one in bad)}
    assert found == set(PHRASES)


def test_only_prose_counts() -> None:
    text = """# The table is no page

Read it. It has
two lines, and `code is no text`; see [the page](is/no/page.md).

    agent is no command

- An item
  of two lines
- Another one.

| this | is no sentence |
"""
    assert prose(text) == [
        "Read it.",
        "It has two lines, and CODE; see the page.",
        "An item of two lines",
        "Another one.",
    ]
    assert list(spoken('def f():\n    """What it does now."""\n    raise E(f"{x} is no id here")')) == [
        "What it does now.", "it is no id here",
    ]  # fmt: skip
