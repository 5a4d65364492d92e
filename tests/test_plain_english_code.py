"""Phrases that must not come back into the texts of the code: docstrings, help, messages, comments, templates, prompts.

Each is German syntax in English words, or a word that says nothing. A phrase is in the list only where it is wrong
always, so that nobody has to argue with the test. The documents have a list of their own.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from lashley.tests.imports import ROOT

FOLDERS = ("agent", "prompts", "db", "experiments")
# Not looked at: the wording of older versions, which users' files contain, and SQL that every tracker contains.
KEPT = ("db/older.py", "db/migrations/")
PHRASES = (
    r"\banew\b",
    r"\bgo(?:es|ing)? on with\b",
    r"\btak(?:e|es|en|ing) up again\b",
    r"(?<!\bthere )(?<!\bit )\bis no (?!longer\b|more\b|less\b|faster\b|worse\b|better\b|such\b|different\b)",
    r"\b(?:is|are) none of (?:these|them|theirs)\b",
    r"\b(?:can|could|cannot|to) be had\b",
    r"\bto be (?:told|had|read|said|asked|measured|kept|shown|taken|tested|done|given)\b",
    r"\bdearest\b",
    r"\bthe deed\b",
    r"\bunasked\b",
    r"\bthereby\b",
    r"\bwhatever it be\b",
    r"\bso many that\b",
    r"\bminds? (?:the|no) \w+",
    r"\bwhat is told\b",
    r"\b(?:is|are|was|were) told\b",
    r"\bnothing but\b",
    r"\bhas to be run\b",
    r"\bbeside (?:it|them|each other|which|what)\b",
    r"\bas it stands\b",
    r"[;,] else\b",
    r"\bby what[;.:]",
    r"\bof which\b[^.]{0,40}\bis\.",
    r"\bare as many\b",
    r"\bas who\b",
    r"\bwhoever\b",
)  # fmt: skip
FOUND = re.compile("|".join(f"(?:{one})" for one in PHRASES), re.IGNORECASE)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of every docstring, message and comment; a message of several lines is one text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "…"
                                       for part in node.values)  # fmt: skip
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    comments = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT]
    yield from ((token.start[0], token.string.lstrip("# ")) for token in comments)


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for ending in ("py", "md", "j2", "js"):
            yield from sorted((ROOT / folder).rglob(f"*.{ending}"))
    yield ROOT / "errors.py"


def phrases(path: Path, source: str) -> list[tuple[int, str]]:
    found = texts(source) if path.suffix == ".py" else enumerate(source.splitlines(), 1)
    return [(line, hit[0]) for line, text in found for hit in FOUND.finditer(" ".join(text.split()))]


def test_no_phrase_comes_back() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, line {line}: {phrase!r}"
        for path in files()
        if not path.relative_to(ROOT).as_posix().startswith(KEPT)
        for line, phrase in phrases(path, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ('"""This is no head."""', True),
        ('"""There is no head."""', False),
        ('"""It is no longer there."""', False),
        ('fail(f"Port {port} cannot be had.")', True),
        ('help = "The tracker; else LASHLEY_DB."', True),
        ("x = 1  # computed anew", True),
        ('"""The study goes on\nwith its steps."""', True),
        ('"""The study goes on."""', False),
    ],
)
def test_which_phrases_are_caught(source: str, caught: bool) -> None:
    assert bool(phrases(Path("found.py"), source)) == caught
