"""Why a study ends: each reason has a code, which the tracker keeps with its text.

Exit codes, replays and statistics use the code. `str.format` fills in a template, and its wording may change at any
time.
"""

from __future__ import annotations

from typing import NamedTuple

STOPPED, MINUTES = "stopped_by_user", "minutes"

# The limit that was reached, as the end of the sentence "The budget is spent: ".
LIMITS = {
    "experiments": "{most} experiments",
    MINUTES: "{most:g} minutes",
    "steps": "{most} steps",
    "tokens": "{most} tokens",
    "cost": "${most:g}",
    "cost_unknown": "${most:g} (the cost of a reply is not known)",
}
# Every end other than a written report. The errors of drivers have their own codes; see `drivers.server_faults`.
ENDINGS = {
    "budget": "The budget is spent: {limit}.",
    STOPPED: "Stopped by the user.",
    "same_call": "The language model made the same call {times} times in a row.",
    "refused": "The language model refuses: {said}",
    "no_calls": "The language model stopped calling tools.",
    "no_calls_shown": "The language model stopped calling tools: {hint}",
    "protocol": "{said}",
}


class Reason(NamedTuple):
    """A code and its message."""

    code: str
    text: str


def limit(code: str, most: float) -> Reason:
    """The reason that this limit is reached."""
    return Reason(code, LIMITS[code].format(most=most))


def why(code: str, **facts: object) -> Reason:
    """The reason with this code, filled in."""
    return Reason(code, ENDINGS[code].format(**facts))
