"""The verdict on a conjunction: a claim that holds only if several others do."""

from __future__ import annotations

from collections.abc import Sequence

from .claim import Finding, Verdict

# Weakest first: one refuted part refutes the whole, and one untested part leaves it open.
_WEAKEST: tuple[Verdict, ...] = ("refuted", "untested", "undecided", "seen", "supported", "confirmed")


def weakest(findings: Sequence[Finding]) -> Verdict:
    """The verdict on all of these at once."""
    said = {one.verdict for one in findings}
    return next(one for one in _WEAKEST if one in said)


def missing(findings: Sequence[Finding]) -> list[Finding]:
    """Those that keep the whole from being confirmed or supported, the weakest first."""
    left = [one for one in findings if one.verdict not in ("confirmed", "supported")]
    return sorted(left, key=lambda one: _WEAKEST.index(one.verdict))
