"""What keeps a text from becoming a report, all of it at once, so that a writer can mend it in one go."""

from __future__ import annotations

from ...db.read import Reader
from .escape import visible
from .numerals import typed_numbers
from .prose import misplaced
from .slots import SlotError, fill, line_of, scan
from .study import Study, read_study


def check(source: str, reader: Reader, run: int) -> list[str]:
    """The faults of a source for the report of this run, each one line; empty when it can be rendered.

    Slots that are malformed or cannot be filled, slots where nothing can stand, and numbers that were typed.
    Raises NoSuchId when there is no such run.
    """
    return faults(source, read_study(reader, run))


def faults(source: str, study: Study) -> list[str]:
    """The same for a study that has been read."""
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
    return [*found, *misplaced(source), *typed_numbers(source)] if not _malformed(source) else found


def _malformed(source: str) -> bool:
    return any(isinstance(slot, SlotError) for slot in scan(source))
