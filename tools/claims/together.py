"""The verdict of a claim that holds only where several others do: a conjunction."""

from __future__ import annotations

from collections.abc import Sequence

from .claim import Finding, Verdict

# The weakest comes first: one part that is refuted refutes the whole, one that was not tested leaves it open.
_WEAKEST: tuple[Verdict, ...] = ("refuted", "untested", "undecided", "seen", "supported", "confirmed")


def weakest(findings: Sequence[Finding]) -> Verdict:
    """The verdict on all of these at once."""
    said = {one.verdict for one in findings}
    return next(one for one in _WEAKEST if one in said)


def missing(findings: Sequence[Finding]) -> list[Finding]:
    """Those that keep the whole from being confirmed or supported, the weakest first."""
    left = [one for one in findings if one.verdict not in ("confirmed", "supported")]
    return sorted(left, key=lambda one: _WEAKEST.index(one.verdict))
