"""Plain text and times, for a terminal or a browser.

Somebody else wrote the text, perhaps a language model or its subject.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime


def minute(at: str) -> str:
    """The tracker's UTC time to the minute."""
    return at[:16].replace("T", " ")


def since(start: str, at: str) -> str:
    seconds = (datetime.fromisoformat(at) - datetime.fromisoformat(start)).total_seconds()
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{rest:02d}"


def lasted(start: str, end: str | None) -> str:
    return "" if end is None else f"({since(start, end)})"


def printable(text: str) -> str:
    """Text that cannot control a terminal: control, format and surrogate characters become escapes; line ends stay, and
    a tab becomes a space."""
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character == "\t":
        return " "
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
