"""The program's verdict next to a language model's text, on every head, layer and MLP that the text names.

A writer can make a sentence seem to say anything. So each part that the writer names becomes a claim of the report,
judged like any other, and the verdict appears below each paragraph that names the part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..claims.claim import Claim, Finding
from ..claims.findings import findings, tasks
from ..claims.mentions import mentions
from ..claims.parts import lacks, sizes_of
from ..claims.removals import removals
from ..claims.types.needed import Needed
from .claims import sentences, typed
from .escape import markdown_text
from .prose import grammar
from .study import Study

_ORDINALS = (
    "second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)"
    "teenth|twentieth"
)
_COUNTED_OFF = re.compile(rf"\b(?:(?:{_ORDINALS})\s+(?:layer|head|block)|first\s+head)\b", re.IGNORECASE)
MARK = "The program:"
_FEIGNED = re.compile(r"(?im)^[\s>*_#\-+\d.)]*the program\b[\s*_]*:.*$")


def found_in(study: Study) -> list[Finding]:
    """All findings of a study: on its questions, its report's claims, the parts that its text names, and its tests. A
    second opinion has no findings of its own."""
    if study.run.reviews:
        return []
    report = study.report
    return findings(study, [] if report is None else [*typed(report.claims), *named_in(study)])


def named_in(study: Study) -> Iterator[Claim]:
    """For each part that a language model's report names, the claim that each task in which it was removed needs it; if
    there is no such task, that the study's task needs it."""
    if study.report is None or not study.run.llm:
        return
    written = [study.report.source, *(one.sentence for one in sentences(study.report.claims))]
    for part in mentions("\n\n".join(written)):
        on = [task for task in tasks(study) if removals(study, frozenset({part}), task)]
        yield from (Needed(task=task, parts=(part,)) for task in on or [study.run.task or ""])


def annotated(source: str, found: Sequence[Finding]) -> str:
    """The writer's Markdown, with the program's verdicts below each block that names parts."""
    lines, notes = source.split("\n"), dict[int, str]()
    for token in grammar().parse(source):
        if token.level == 0 and token.map is not None and token.nesting >= 0:
            first, last = token.map
            said = verdicts_on("\n".join(lines[first:last]), found)
            if said:
                notes[last] = f"> *{MARK}* {markdown_text(' '.join(said))}"
    shown: list[str] = []
    for place in range(len(lines) + 1):
        shown += ["", notes[place], ""] if place in notes else []
        shown += lines[place : place + 1]
    return "\n".join(shown)


def verdicts_on(text: str, found: Sequence[Finding]) -> list[str]:
    """What the program says about each part that the text names, each in one sentence."""
    said: list[str] = []
    for part in mentions(text):
        about = [one for one in found if one.claim.about == (part,)]
        said += [one.sentence for one in about]
    return list(dict.fromkeys(said))


def not_there(text: str, study: Study) -> list[str]:
    """A fault, if the text names parts that the model does not have."""
    sizes = sizes_of(study)
    wrong = [part for part in mentions(text) if lacks(part, sizes)]
    return [f"The model has no {', no '.join(wrong)}: name only parts that it has."] if wrong else []


def by_ordinal(text: str) -> list[str]:
    """A fault, if the text counts heads or layers off ("the sixth layer"): a reader cannot know from where."""
    found = _COUNTED_OFF.search(text)
    said = "" if found is None else found[0]
    return [f"'{said}': layers and heads count from 0; write, for example, layer 5 or L5.H3."] if said else []


def feigned(text: str) -> list[str]:
    """A fault, if a line looks like the program's."""
    found = _FEIGNED.search(text)
    return [] if found is None else [f"Only the program begins a line with '{MARK}'; begin yours differently."]
