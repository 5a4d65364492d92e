"""What comes next: days, months, letters, numbers in words, ordinals.

Asked as a rule after two solved pairs of the same series ("Monday -> Tuesday"), or in a sentence without examples.
Pairs are held out as a whole, so solved pairs are of the same split as the question; a plain sequence of days would
reveal others.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .family import Family, choose, fill, listed
from .prompt import Prompt, split_of
from .task import Task

SERIES = {
    "day": listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": listed(
        "January February March April May June July August September October November December",
    ),
    "letter": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "number": listed(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty"
    ),
    "ordinal": listed(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    ),
}
ROUND = ("day", "month")
RULES = ("{before} -> {after}", "{before}, then {after}", "{before} {after}", "after {before} comes {after}")
SENTENCES = (
    "The {kind} that comes right after {before} is",
    "Q: Which {kind} comes after {before}?\nA:",
    "The next {kind} after {before} is",
    "If it is not the {kind} {before} but the one after it, then it is",
)
# The most choices of solved lines for each rule.
LINES = 6


class Step(NamedTuple):
    kind: str
    before: str
    after: str


@cache
def steps() -> tuple[Step, ...]:
    found = (
        Step(kind, a, b)
        for kind, series in SERIES.items()
        for a, b in zip(series, (*series[1:], series[0]), strict=True)
        if kind in ROUND or b != series[0]
    )
    return tuple(found)


def key(step: Step) -> str:
    return step.before


@cache
def others(step: Step) -> tuple[Step, ...]:
    """The other steps of the same series and split."""
    return tuple(s for s in steps() if s.kind == step.kind and s != step and split_of(key(s)) == split_of(key(step)))


def variants(step: Step, stratum: int) -> int:
    """Of three or more others, one is for the corrupted prompt and two are shown, in either order; of two, one is."""
    pool = len(others(step))
    return 1 if stratum >= len(RULES) else min(LINES, 2 * pool) if pool > 2 else pool


def asked(step: Step, stratum: int, shown: tuple[Step, ...]) -> tuple[str, dict[str, tuple[int, int]]]:
    if stratum >= len(RULES):
        return fill(SENTENCES[stratum - len(RULES)], kind=step.kind, before=step.before)
    lines = "".join(fill(RULES[stratum], **s._asdict())[0] + "\n" for s in shown)
    text, spans = fill(RULES[stratum].removesuffix(" {after}"), before=step.before)
    return lines + text, {name: (a + len(lines), b + len(lines)) for name, (a, b) in spans.items()}


def wrong(step: Step) -> list[str]:
    """The step itself, what comes before it, and what comes two later."""
    series = SERIES[step.kind]
    at = series.index(step.before)
    near = {series[(at + move) % len(series)] for move in (-1, 2)}
    return sorted(near - {step.before, step.after})


def write(step: Step, stratum: int, variant: int) -> Prompt:
    pool = others(step)
    at = variant % len(pool)
    twin, *shown = (pool[(at + i) % len(pool)] for i in range(min(3, len(pool))))
    if variant >= len(pool):
        shown.reverse()
    text, spans = asked(step, stratum, tuple(shown))
    return Prompt(
        text=text,
        answer=f" {step.after}",
        distractor=f" {choose(wrong(step), text)}",
        corrupted=asked(twin, stratum, tuple(shown))[0],
        corrupted_answer=f" {twin.after}",
        spans=spans,
        template=f"successor.{step.kind}-{stratum}-{len(shown)}",
        key=key(step),
        values=step._asdict(),
    )


SUCCESSOR = Task(
    name="successor",
    title="What comes next",
    description="Names the next day, month, letter, number in words or ordinal, after two solved pairs or none.\n"
    "Chance is 1 in 7 to 1 in 26, another member of the series.",
    keywords=(
        *("successor", "succession", "comes next", "next day", "days", "weekday", "months", "letters", "alphabet"),
        *("ordinal", "numerals", "number words", "incrementation"),
    ),
    answer_kind="word",
    max_new_tokens=8,
    guess=lambda p: 1 / len(next(s for s in SERIES.values() if p.key in s)),
    group="sequences",
    source=Family("successor 1", steps, key, variants, write, strata=len(RULES) + len(SENTENCES)),
)
