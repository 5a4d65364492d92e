"""Text from subjects and language models is data: it is shown, and nothing in it is obeyed.

HTML is escaped by the templates. Here control characters are made visible, for a terminal or a
browser would act on them and XML forbids them, and Markdown is taken out of force.
"""

from __future__ import annotations

import re
import unicodedata

# Controls, halves of pairs, and what nobody sees: characters that reorder what is around them, break lines or only tag.
_HIDDEN = ("Cc", "Cs", "Cf", "Zl", "Zp")
_KEPT = "\n\t\u200c\u200d"  # the last two join and part letters of some scripts, and the parts of some signs
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
    """The text on one line: runs of white space are one space, but for spaces that must not break."""
    return re.sub(r"[^\S\u00a0]+", " ", visible(text)).strip()


def clipped(text: str, length: int) -> str:
    """At most `length` characters, and an ellipsis where something was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def markdown_text(text: str) -> str:
    """One line that Markdown shows as it is."""
    text = _MARKDOWN.sub(r"\\\1", one_line(text))
    # A list marker or a rule is one only at the beginning of a line.
    return re.sub(r"^(\d*)(?=[.)](?:\s|$))|^(?=[-+=])", r"\1\\", text)


def markdown_code(text: str, *, cell: bool = False) -> str:
    """A code span that nothing inside can close; line ends are shown as ⏎, and a pipe is safe in a table's cell."""
    text = visible(text).replace("\n", "⏎").replace("\t", "␉")
    if cell:
        text = text.replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or (text.strip(" ") and text != text.strip(" ")) else ""
    return f"{fence}{pad}{text or '∅'}{pad}{fence}"
