"""Why a study ends: each reason under a code, which goes into the tracker beside its text.

Exit codes, replays and whoever counts go by the code. A template is filled in by `str.format`, and may be worded
better at any time.
"""

from __future__ import annotations

from typing import NamedTuple

STOPPED, MINUTES = "stopped_by_user", "minutes"

# Which limit of the budget is reached, in the words that finish "The budget is spent: ".
LIMITS = {
    "experiments": "{most} experiments",
    MINUTES: "{most:g} minutes",
    "steps": "{most} steps",
    "tokens": "{most} tokens",
    "cost": "${most:g}",
    "cost_unknown": "${most:g}, since it is not known what a reply cost",
}
# Any other end but that the report is written. The code of a driver's fault is its own; see `drivers.server_faults`.
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
    """A code, and what is told of it."""

    code: str
    text: str


def limit(code: str, most: float) -> Reason:
    """That this limit is reached."""
    return Reason(code, LIMITS[code].format(most=most))


def why(code: str, **facts: object) -> Reason:
    """Why a study ends."""
    return Reason(code, ENDINGS[code].format(**facts))
