"""Text from subjects and language models is data: the report shows it, and nothing acts on it.

The templates escape HTML. This module makes control characters visible, because a terminal or a browser
would act on them and XML forbids them, and it escapes Markdown.
"""

from __future__ import annotations

import re
import unicodedata

# Controls, half surrogates, and invisible characters that reorder their neighbours, break lines or only tag.
_HIDDEN = ("Cc", "Cs", "Cf", "Zl", "Zp")
_KEPT = "\n\t\u200c\u200d"  # the last two join or separate letters of some scripts, and the parts of some emoji
_NONE = "\ufffe\uffff"  # parsers disagree about these
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"⟨U+{code:04X}⟩"


def visible(text: str) -> str:
    """The text with every control and format character shown as a symbol; line ends and tabs stay."""
    text = text.replace("\r\n", "\n")
    return text if text.isprintable() else "".join(c if c.isprintable() else _seen(c) for c in text)


def _seen(character: str) -> str:
    hidden = unicodedata.category(character) in _HIDDEN or character in _NONE
    return _shown(character) if hidden and character not in _KEPT else character


def one_line(text: str) -> str:
    """The text on one line: a run of white space becomes one space; no-break spaces stay."""
    return re.sub(r"[^\S\u00a0]+", " ", visible(text)).strip()


def clipped(text: str, length: int) -> str:
    """At most `length` characters, with an ellipsis if the text was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def markdown_text(text: str) -> str:
    """One line, escaped so that Markdown shows it literally."""
    text = _MARKDOWN.sub(r"\\\1", one_line(text))
    # List markers and rules only count at the beginning of a line.
    return re.sub(r"^(\d*)(?=[.)](?:\s|$))|^(?=[-+=])", r"\1\\", text)


def markdown_code(text: str, *, cell: bool = False) -> str:
    """A code span that its content cannot close; line ends appear as ⏎, and a pipe is safe in a table cell."""
    text = visible(text).replace("\n", "⏎").replace("\t", "␉")
    if cell:
        text = text.replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or (text.strip(" ") and text != text.strip(" ")) else ""
    return f"{fence}{pad}{text or '∅'}{pad}{fence}"
