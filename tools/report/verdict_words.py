"""Words that only the program may say: verdicts, and how sure something is.

A language model that writes a report may say what it makes of a finding. Whether it is confirmed, and that something
is crucial or the only one, is what readers take for a result. So these words are sent back, with what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_VERDICTS = r"confirm(?:s|ed|ing|ation)?|refut(?:e|es|ed|ing|ation)|supported|inconclusive|undecided"
_SURE = (
    r"prov(?:e|es|ed|en|ing)|proofs?|crucial(?:ly)?|essential(?:ly)?|indispensable|vital(?:ly)?|definitive(?:ly)?|"
    r"undoubted(?:ly)?|undeniabl[ey]|certain(?:ly|ty)|conclusive(?:ly)?|established|the only|solely|entirely"
)
_SMALL = "one|two|three|four|five|six|seven|eight|nine|ten"
_AMOUNTS = (
    rf"(?:two|three|four|five|ten|hundred|thousand)fold|(?:{_SMALL}) (?:in|of|out of) (?:every |the )?(?:{_SMALL})|"
    rf"(?:a|one|two|three|four|five) (?:half|halves|thirds?|quarters?|fifths?|tenths?|hundredths?) (?:of|as|less|more)|"
    r"half (?:of )?(?:the|its|all|of)|(?:twice|double|triple|(?:two|three|four|five|ten) times) as|"
    r"(?:two|three) (?:thirds|quarters|fifths)|probability (?:of )?(?:one|zero)"
)
_WORD = re.compile(rf"\b(?:(?P<verdict>{_VERDICTS})|(?P<sure>{_SURE})|(?P<amount>{_AMOUNTS}))\b", re.IGNORECASE)
_SLOT = re.compile(r"\{\{.*?\}\}")
# Code and quotations are the writer's words, too, unless they quote the study.
_QUOTED = re.compile(r"`([^`\n]*)`|\"([^\"\n]*)\"|“([^”\n]*)”")
_WAY_OUT = {
    "verdict": "verdicts are the program's: write a slot, {{H1.verdict}}, or leave the word out",
    "sure": "how sure it is, is the program's to say: leave the word out",
    "amount": "it is an amount: write the slot of the number",
}


def verdict_words(text: str, quotes: Callable[[str], bool] | None = None) -> list[str]:
    """The words of a writer's text that are the program's, each with what to do; every word once. `quotes` says whether
    a text stands in a prompt, an answer or the goal of the study: what is quoted from there is not the writer's."""

    def unquoted(match: re.Match[str]) -> str:
        said = next(one for one in match.groups() if one is not None)
        return " " if quotes is not None and quotes(said) else said

    found: dict[str, str] = {}
    for match in _WORD.finditer(_QUOTED.sub(unquoted, _SLOT.sub(" ", text))):
        said = " ".join(match[0].split()).lower()
        found.setdefault(said, f"'{said}': {_WAY_OUT[match.lastgroup or 'sure']}.")
    return list(found.values())
