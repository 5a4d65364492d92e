"""All faults that keep a text from becoming a report, at once, so that a writer can fix them in one go."""

from __future__ import annotations

from collections.abc import Sequence

from ...db.read.reader import Reader
from ..evidence.conditions import NoCondition, parse_condition
from ..evidence.trivial import cannot_fail
from .beside import by_ordinal, feigned, not_there
from .claims import Claim, claim_faults
from .escape import visible
from .numerals import RULE, quotes, typed_numbers
from .prose import misplaced, unwanted
from .slots import SlotError, fill, line_of, scan
from .study import Study, read_study
from .verdict_words import verdict_words


def check(source: str, reader: Reader, run: int, claims: Sequence[Claim] = ()) -> list[str]:
    """The faults of a report of this run, each one line; empty when it can be rendered.

    Faults are slots that are malformed, cannot be filled or are misplaced, HTML, typed numbers, and claims whose
    conditions do not hold. Raises NoSuchId when there is no such run.
    """
    # HTML is refused when it is written. A report that contains some can still be rendered, with the HTML escaped.
    written = (source, *(claim.sentence.strip() for claim in claims))
    forceful = dict.fromkeys(fault for text in written for fault in unwanted(visible(text)))
    study = read_study(reader, run)
    # A protocol's text is the program's own.
    sure: list[str] = []
    for text in map(visible, written if study.run.llm else ()):
        sure += [
            *verdict_words(text, lambda said: quotes(study, said)),
            *feigned(text),
            *by_ordinal(text),
            *not_there(text, study),
        ]
    return [*all_faults(source, study, claims), *bounds_that_hold(claims, study), *forceful, *dict.fromkeys(sure)]


def bounds_that_hold(claims: Sequence[Claim], study: Study) -> list[str]:
    """The conditions that cannot fail. An older report that has some can still be rendered."""
    found: list[str] = []
    for place, claim in enumerate(claims, start=1):
        for text in claim.conditions:
            try:
                condition = parse_condition(text)
            except NoCondition:
                continue  # `claim_faults` reports it
            why = "" if condition.bound is None else cannot_fail(condition.bound, study.experiments.get(condition.of))
            found += [f"Claim {place}: {why}"] if why else []
    return found


def all_faults(source: str, study: Study, claims: Sequence[Claim] = ()) -> list[str]:
    """The same, for a study that was read already."""
    found = faults(source, study)
    for place, claim in enumerate(claims, start=1):
        # The rule is long, so it appears once.
        said = any(fault.endswith(RULE) for fault in found)
        found += [
            f"Claim {place}: {fault.removesuffix(RULE).rstrip() if said else fault}"
            for fault in faults(claim.sentence, study)
        ]
    return [*found, *claim_faults(tuple(claims), study)]


def faults(source: str, study: Study) -> list[str]:
    """The faults of one text."""
    source, found = visible(source), list[str]()
    for slot in scan(source):
        try:
            if isinstance(slot, SlotError):
                raise slot
            fill(slot, study)
        except SlotError as error:
            where = "" if isinstance(slot, SlotError) else f"{line_of(source, slot.start)}: "
            found.append(f"{where}{error}")
    # Half a slot would make the rest of its line look like typed text.
    return [*found, *misplaced(source), *typed_numbers(source, study)] if not _malformed(source) else found


def _malformed(source: str) -> bool:
    return any(isinstance(slot, SlotError) for slot in scan(source))
