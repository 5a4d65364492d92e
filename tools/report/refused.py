"""Why drafts of a report were refused, by reason, read from the logged drafts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from ..claims.call import TypedClaim, claim_on
from ..claims.claim import CannotClaim
from .check import bounds_that_hold
from .claims import Claim, claim_faults
from .numerals import quotes, typed_numbers
from .study import Study
from .verdict_words import words_found


def reasons(study: Study, drafts: Sequence[str]) -> list[tuple[str, int]]:
    """Each reason with the number of drafts that have it, the most frequent first."""
    found = Counter(reason for draft in drafts for reason in dict.fromkeys(_reasons(draft, study)))
    return found.most_common()


def _reasons(draft: str, study: Study) -> Iterator[str]:
    try:
        given: Any = json.loads(draft)
        claims = [Claim.model_validate(one) for one in given.get("claims") or ()]
        texts = [str(given.get("title") or ""), str(given.get("interpretation") or ""), *(c.sentence for c in claims)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        yield "arguments that cannot be read"
        return
    if any(typed_numbers(text, study) for text in texts):
        yield "a typed number"
    words = {what for text in texts for what in words_found(text, lambda said: quotes(study, said)).values()}
    if words & {"verdict", "sure"}:
        yield "a verdict or a certainty of its own"
    if "amount" in words:
        yield "an amount in words"
    if "all" in words:
        yield "a sentence about everything"
    if bounds_that_hold(claims, study):
        yield "a bound that cannot fail"
    if claims and claim_faults(tuple(claims), study):
        yield "a claim that does not hold"
    if not all(_can_be_made(one, study) for one in given.get("findings") or ()):
        yield "a claim that cannot be made"


def _can_be_made(claim: object, study: Study) -> bool:
    try:
        claim_on(study, TypedClaim.model_validate(claim)).judge(study)
    except (CannotClaim, ValidationError):
        return False
    return True
