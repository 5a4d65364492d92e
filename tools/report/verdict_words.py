"""Words that only the program may say: verdicts, and how sure something is.

A language model that writes a report may say what it makes of a finding. Whether it is confirmed, and that something
is crucial or the only one, is what readers take for a result. So these words are sent back, with what to do instead.
"""

from __future__ import annotations

import re

_VERDICTS = r"confirm(?:s|ed|ing|ation)?|refut(?:e|es|ed|ing|ation)|supported|inconclusive|undecided"
_SURE = (
    r"prov(?:e|es|ed|en|ing)|proofs?|crucial(?:ly)?|essential(?:ly)?|indispensable|vital(?:ly)?|definitive(?:ly)?|"
    r"undoubted(?:ly)?|undeniabl[ey]|certain(?:ly|ty)|conclusive(?:ly)?|established|the only|solely|entirely"
)
_AMOUNTS = (
    r"(?:ten|hundred|thousand)fold|(?:one|two|three|four|five|six|seven|eight|nine) (?:in|out of) "
    r"(?:two|three|four|five|six|seven|eight|nine|ten)|(?:two|three) (?:thirds|quarters|fifths)|"
    r"half (?:of )?(?:the|its|all)|probability (?:of )?(?:one|zero)"
)
_WORD = re.compile(rf"\b(?:(?P<verdict>{_VERDICTS})|(?P<sure>{_SURE})|(?P<amount>{_AMOUNTS}))\b", re.IGNORECASE)
# Slots, code and quotations are no words of the writer's.
_NOT_PROSE = re.compile(r"\{\{.*?\}\}|`[^`\n]*`|^>.*$|\"[^\"\n]*\"|“[^”\n]*”", re.MULTILINE)
_WAY_OUT = {
    "verdict": "verdicts are the program's: write a slot, {{H1.verdict}}, or leave the word out",
    "sure": "how sure it is, is the program's to say: leave the word out",
    "amount": "it is an amount: write the slot of the number",
}


def verdict_words(text: str) -> list[str]:
    """The words of a writer's text that are the program's, each with what to do; every word once."""
    found: dict[str, str] = {}
    for match in _WORD.finditer(_NOT_PROSE.sub(" ", text)):
        said = " ".join(match[0].split()).lower()
        found.setdefault(said, f"'{said}': {_WAY_OUT[match.lastgroup or 'sure']}.")
    return list(found.values())
