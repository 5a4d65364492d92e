"""Typed numbers. In a report, a number is either part of a name or comes from the tracker.

The rule, for prose outside slots: no decimals, no percentages, and no integers, except in names (L7.H3, layer 7,
heads 3 and 5, GPT-2, E12), in a heading's numbering, in list markers, and as years. The rule also covers code and
quotes, unless they quote what a prompt asked or a subject said in an experiment of the study. Words are allowed
("two-digit sums"): the rule stops a wrong number from looking like a measured one, but does not judge the claim.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from markdown_it.token import Token

from .escape import clipped
from .prose import grammar
from .study import Study

RULE = (
    "Write numbers as slots, such as {{E12.accuracy_drop}}, {{E12.n}} or {{E12.config.FIELD}}, and small counts in "
    "words (three heads). Code and quotes may contain a number only where they quote a prompt or an answer of this "
    "study exactly. Names (L7.H3, layer 7, layers 0-5, GPT-2, E12), list markers, heading numbers and years are "
    "allowed. Put nothing next to a slot that reads as part of its number (a sign, a digit, a letter, a unit, another "
    "slot), and spell out no percentage or decimal."
)

_THINGS = (
    "claims?|layers?|heads?|blocks?|neurons?|positions?|tokens?|figures?|tables?|sections?|steps?|seeds?|versions?"
)
_INTEGER = r"\d+(?![\d.,]*\d|\s*(?:%|‰|per\s?cent))"
_RANGE = rf"{_INTEGER}(?:\s*[-–]\s*{_INTEGER}(?!\w))?"
# How a name may continue: a part (.H3, .mlp), a word, a size (-0.6B).
_SIZE = r"(?:\d+x)?\d+(?:\.\d+)?[BMKTbmkt](?!\w)"
_REST = rf"(?:[-/](?:{_SIZE}|\w+)|\.[^\W\d_]\w*){{0,9}}"
# A word joined to a number by a hyphen is a name if it looks like one: drop-0.31 is not.
_MEASURED = (
    r"(?i:accurac(?:y|ies)|loss|drop|rise|fall|change|increase|decrease|effect|score|rate|share|percent|percentile|prob"
    r"|probability|logit|diff|difference|damage|kl|perplexity|repetition|excess|correct|right|wrong|about|nearly)(?i:e?s)?-?\d"
)
_NAMED = rf"(?<![\w.,])(?!{_MEASURED})(?=\w*[A-Z]|gpt|llama|qwen|phi|gemma)[^\W\d_]\w*"
# Only these families are known to have versions with a decimal point in their names.
_FAMILY = (
    r"(?i:gpt|llama|qwen|phi|gemma|mi[sx]tral|pythia|olmo|falcon|claude|gemini|deepseek|smollm|granite|yi|internlm|glm"
    r"|stablelm|vicuna|grok|exaone|nemotron|hunyuan|ernie|cerebras|command|bloom|mpt|rwkv|mamba)"
)
_FREE = re.compile(
    "|".join(
        (
            # layer 7, layers 0-5, heads 3, 4 and 7, layers 0-1, 5 and 8-9
            rf"\b(?i:{_THINGS})\s+{_RANGE}(?:\s*(?:to|and|or|through|,(?:\s*and)?|/)\s*{_RANGE}(?![-\w]))*",
            # Qwen2.5-7B, Llama-3.2-1B, GPT-3.5
            rf"(?<![\w.,])[^\W\d_]{{0,12}}{_FAMILY}-?[1-9]\.\d(?!\d|\s*%){_REST}",
            # Words with letters first: L7.H3, SmolLM2-135M, Qwen3-0.6B, E12, fp32
            rf"(?<![\w.,])(?!{_MEASURED})[^\W\d_]+\d\w*{_REST}",
            # pythia-70m, Mixtral-8x7B
            rf"(?<![\w.,])[^\W\d_]\w*(?:[-/][^\W\d_]\w*){{0,9}}-{_SIZE}{_REST}",
            # GPT-2, gemma-3-270m
            rf"{_NAMED}(?:-[^\W\d_]\w*){{0,9}}-\d+(?![\w.,%]*\d|\s*%){_REST}",
            r"\b95\s?%[ -](?i:confidence |bootstrap )?(?:intervals?\b|CIs?\b)",
            r"\barXiv:?\s?\d{4}\.\d{4,5}",
            # in 2024, the 1990s, (2019): not a count
            r"(?:(?<=\bin )|(?<=\bthe )|(?<=\bsince )|(?<=\bfrom )|(?<=\()|(?<=\bal\. ))(?:1[5-9]|20)\d\ds?"
            r"(?![\w.,%]*\d|\s*%|\w|\s+(?:\w+s|of)\b)",
        )
    )
)
# ½, ², ₃, ④, Ⅻ: numbers in Unicode that are not digits.
_SIGNS = "🔟💯" + "".join(c for c in map(chr, range(0x80, 0x20000)) if unicodedata.category(c) in ("No", "Nl"))
_QUOTED = re.compile(
    r'"[^"\n]*"|“[^”\n]{0,999}”|«[^»\n]{0,999}»|„[^“”\n]{0,999}[“”]|(?<!\w)\'[^\'\n]{1,80}\'(?!\w)|(?<!\w)‘[^’\n]{0,999}’'
)
_SLOT = re.compile(r"\{\{.*?\}\}")
_NUMERAL = re.compile(rf"[-−+]?[.,]?[\d{_SIGNS}](?:[\d.,{_SIGNS}]*[\d{_SIGNS}])?(?:\s?[%‰])?")
# A slot is \x01 in the searched text. Its neighbours must not change its number, or join two numbers into one.
_TOUCHED = re.compile(
    r"(?:[^\W\d]|[-−–+±.,^×]|(?<!-)[-−+±]\s|\b(?i:minus|negative|point)\s+)\x01"
    r"|\x01(?:[^\W\d]|\s?[%‰％]|[-−–.,:/^×·]?\x01|\s+(?i:per\s?cent|(?:hundred|thousand|million|billion|dozen)s?\b))"
)
_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    "|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|half"
)
_SPELLED = re.compile(
    rf"\b(?:{_WORD})(?:(?:\s+and\s+|[-\s]+)(?:{_WORD}|a)){{0,8}}[-\s]+(?:per\s?cent|point\s+(?:{_WORD})\b)"
    r"|[^\W\d_][%‰％]",
    re.IGNORECASE,
)
_NUMBERING = re.compile(r"^\s*[1-9]\d?(?:(?:\.\d{1,2}){1,3}[.):]?|[.):])\s+(?=\D)")


def typed_numbers(source: str, study: Study | None) -> list[str]:
    """One fault that names every typed number and its line, and the rule; none when there is nothing to say. Without a
    study there is nothing that could be quoted."""
    found: list[str] = []
    tokens = grammar().parse(source)
    line = 0
    marks = _list_marks(tokens)
    for i, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else line
        if i in marks:
            text = marks[i]
        elif token.type in ("fence", "code_block"):
            text = _code(token.content, study)
        elif token.type == "inline":
            text = "".join(_written(child, study) for child in token.children or [])
        else:
            continue
        if tokens[i - 1].type == "heading_open":
            text = _NUMBERING.sub("", text, count=1)
        for numeral in _typed(text, study):
            at = line + text.count("\n", 0, numeral.start())
            found.append(f'line {at}: "{_seen(numeral[0]).strip()}" in "{_around(text, *numeral.span())}"')
    if not found:
        return []
    more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
    return [f"Replace typed numbers with slots: {'; '.join(found[:8])}{more}. {RULE}"]


def masked(text: str, study: Study) -> str:
    """Plain text with … for every typed number, to quote a text that was not checked."""
    for numeral in reversed(_typed(text, study)):
        text = f"{text[: numeral.start()]}…{text[numeral.end() :]}"
    return text


def _typed(text: str, study: Study | None) -> list[re.Match[str]]:
    """Every typed number in a piece of text, in order, the first of those that overlap."""

    def quoted(match: re.Match[str]) -> str:
        return _blank(match[0]) if says(study, match[0][1:-1]) else match[0]

    unquoted = _QUOTED.sub(quoted, text)
    free = _FREE.sub(lambda match: _blank(match[0]), unquoted)
    searched = ((_NUMERAL, free), (_SPELLED, unquoted), (_TOUCHED, unquoted))
    kept: list[re.Match[str]] = []
    for one in sorted((m for pattern, where in searched for m in pattern.finditer(where)), key=lambda m: m.start()):
        if not kept or one.start() >= kept[-1].end():
            kept.append(one)
    return kept


def _list_marks(tokens: Sequence[Token]) -> dict[int, str]:
    """The marks of list items that do not continue the count, such as "93. of the answers", by their tokens."""
    found: dict[int, str] = {}
    counts, ended = list[int](), 0
    for i, token in enumerate(tokens):
        if token.type == "ordered_list_open":
            counts.append(ended)
        elif token.type == "ordered_list_close":
            ended = counts.pop()
        elif token.type == "list_item_open" and token.info:
            if int(token.info) not in (0, 1, counts[-1], counts[-1] + 1):
                found[i] = f"{token.info}{token.markup}"
            counts[-1] = int(token.info)
    return found


def _written(token: Token, study: Study | None) -> str:
    """The text of a piece of a line. A filled slot must not join its neighbours."""
    if token.type in ("text", "code_inline"):
        return token.content if token.type == "text" else _code(token.content, study)
    if token.type == "link_open":
        # Readers also see the tip of a link.
        return f"{token.attrs['title']}\n" if "title" in token.attrs else ""
    return {"slot": "\x01", "softbreak": "\n", "hardbreak": "\n"}.get(token.type, "")


def _code(code: str, study: Study | None) -> str:
    """Code that quotes the study, and slots in code, are not typed numbers."""
    return _blank(code) if says(study, code) else _SLOT.sub("\x01", code)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", "\x00", text)


def quotes(study: Study, text: str) -> bool:
    """Whether a prompt or an answer of the study's experiments, or its goal, contains the text."""
    wanted = _squeezed(text)
    return bool(wanted) and any(wanted in one for one in _quotable(study))


def says(study: Study | None, text: str) -> bool:
    """Whether a prompt or an answer of the study's experiments, or its goal, contains the text."""
    wanted = _squeezed(text)
    if not any(c.isdigit() for c in wanted):
        return True
    if study is None:
        return False
    # A bare number in quotes could be meant as a result, so it must be a whole answer.
    if _NUMERAL.fullmatch(wanted):
        return any(wanted == one for one in _quotable(study))
    return any(wanted in one for one in _quotable(study))


def _quotable(study: Study) -> Iterator[str]:
    yield _squeezed(study.run.goal)
    # A report that the program wrote quotes why the study ended.
    yield _squeezed(re.sub(r"[`{}]", "", study.run.error or ""))
    for row in study.experiments.values():
        for sample in row.samples:
            yield _squeezed(sample.prompt + sample.expected)
            yield _squeezed(sample.expected)
            yield from (_squeezed(text) for text in (sample.said, sample.changed) if text)


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _around(text: str, start: int, end: int) -> str:
    """The words around the number, to find it by."""
    piece = text[max(0, start - 24) : end + 24]
    return clipped(" ".join(_seen(piece).split()), 60)


def _seen(text: str) -> str:
    return text.replace("\x00", "…").replace("\x01", "{{…}}")
