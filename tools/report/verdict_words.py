"""Words that only the program may say: verdicts, and how sure something is.

A language model that writes a report may interpret a finding. But readers take words such as "confirmed", "crucial" or
"the only" for results. So the program rejects these words, and says what to do instead.
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
# A half that is a place, not an amount: "the first half of the layers", "the second half of its heads".
_PLACE = "".join(
    rf"(?<!\b{word} )"
    for word in ("first", "second", "other", "upper", "lower", "early", "earlier", "late", "later", "latter", "last",
                 "top", "bottom", "front", "back", "left", "right")
)  # fmt: skip
_AMOUNTS = (
    rf"(?:two|three|four|five|ten|hundred|thousand)fold|(?:{_SMALL}) (?:in|of|out of) (?:every |the )?(?:{_SMALL})|"
    rf"(?:a|one|two|three|four|five) (?:half|halves|thirds?|quarters?|fifths?|tenths?|hundredths?) "
    r"(?:of(?! the intact)|as|less|more)|"
    rf"{_PLACE}half (?:of )?(?:the|its|all|it|them|what)\b|"
    r"(?:twice|double|triple|(?:two|three|four|five|ten) times) as|"
    r"(?:two|three) (?:thirds|quarters|fifths)|probability (?:of )?(?:one|zero)"
)
# No study looks at everything, so a sentence about everything says more than was measured.
_ALL = (
    r"(?:all|the whole|the entire) (?:of )?(?:the )?(?:work|job|computation|effect|behaviou?r)|"
    r"(?:do|does|did|doing|done) (?:nothing|everything)|(?:on|in|for|across) (?:every|all|any) (?:other )?"
    r"(?:tasks?|prompts?|models?)|nothing else"
)
_WORD = re.compile(
    rf"\b(?:(?P<verdict>{_VERDICTS})|(?P<sure>{_SURE})|(?P<amount>{_AMOUNTS})|(?P<all>{_ALL}))\b", re.IGNORECASE
)
_SLOT = re.compile(r"\{\{.*?\}\}")
# Code and quotations count as the writer's words, unless they quote the study.
_QUOTED = re.compile(r"`([^`\n]*)`|\"([^\"\n]*)\"|“([^”\n]*)”")
_WAY_OUT = {
    "verdict": "only the program gives verdicts: write a slot, {{H1.verdict}}, or leave the word out",
    "sure": "only the program says how certain something is: leave the word out",
    "amount": "this is an amount: write the slot of the number",
    "all": "no study looks at everything: name the parts, the task and the prompts that were measured",
}


def verdict_words(text: str, quotes: Callable[[str], bool] | None = None) -> list[str]:
    """The words of a writer's text that only the program may use, each once, with what to do. `quotes` says whether a
    prompt, an answer or the goal of the study contains a text: words quoted from there are not the writer's."""
    return [f"'{said}': {_WAY_OUT[what]}." for said, what in words_found(text, quotes).items()]


def words_found(text: str, quotes: Callable[[str], bool] | None = None) -> dict[str, str]:
    """These words, each with what it is: verdict, sure, amount or all."""

    def unquoted(match: re.Match[str]) -> str:
        said = next(one for one in match.groups() if one is not None)
        return " " if quotes is not None and quotes(said) else said

    found: dict[str, str] = {}
    for match in _WORD.finditer(_QUOTED.sub(unquoted, _SLOT.sub(" ", text))):
        said = " ".join(match[0].split()).lower()
        found.setdefault(said, match.lastgroup or "sure")
    return found
