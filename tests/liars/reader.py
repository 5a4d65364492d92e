"""Somebody who has the first screen of a report and nothing else, and believes every sentence of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lashley.experiments.planted.truth import Truth
from lashley.tests.liars.stage import GOAL, Screen
from lashley.tests.liars.truths import all_heads, breaks, holds

SHOWN = ("confirmed", "supported", "seen")
# What a sentence that says nothing begins with or holds.
OPEN = ("Whether ", "That ", "Undecided ", "is not shown", "not tested", "not each needed")
# So many words of the writer's in a row are no accident.
RUN = 6


def false_findings(screen: Screen, truth: Truth) -> Iterator[str]:
    """Findings, as data, that say what is not so."""
    for found in screen.findings:
        # What stayed in any case is said beside it, and a set that needs that help is no set that is enough.
        so = None if found.claim.type == "enough" and ", where " in found.sentence else holds(found.claim, truth)
        if so is False and found.verdict in SHOWN and not under_zero(found.text, found.claim.about, truth):
            yield f"{found.verdict}: {found.text}"
        if so is True and found.verdict == "refuted":
            yield f"refuted, though it is so: {found.text}"


def under_zero(text: str, parts: Iterable[str], truth: Truth) -> bool:
    """Whether a sentence says of a head that always writes the same no more than what zero does."""
    only_zero = breaks(parts, truth, zero=True) and not breaks(parts, truth)
    return only_zero and "to zero" in text and "zero is a value" in text


class Said(NamedTuple):
    """What a sentence says of heads: that a removal of all of them breaks the task, or that it does not."""

    needed: bool
    heads: tuple[str, ...]
    each: bool


def sentences(front: str) -> Iterator[str]:
    for line in front.split("\n"):
        for cell in line.split(" | "):
            yield from (one.strip(" |.") for one in cell.replace(". ", ".\n").split("\n"))


def read(sentence: str) -> Said | None:
    """What somebody takes from it who looks for which heads are needed."""
    if any(word in sentence and (word != "not tested" or "(" not in sentence) for word in OPEN):
        return None
    subject = sentence.split(":")[0] if ": " in sentence else sentence.split(" for ")[0]
    # "Two heads are needed, each by its own test: L0.H1 and L1.H2."
    heads = named_in(subject) or named_in(sentence)
    each = "each" in sentence.lower() or "alone" in sentence or "by itself" in sentence
    for phrase, needed in (("not needed", False), ("not look needed", False), ("can be spared", False),
                           ("cannot be spared", True), ("needed for", True)):  # fmt: skip
        if phrase in sentence and heads:
            return Said(needed, heads, each)
    return None


def named_in(text: str) -> tuple[str, ...]:
    words = [word.strip(",.;:()?") for word in text.split()]
    return tuple(word for word in words if word.startswith("L") and ".H" in word)


def read_rows(front: str) -> Iterator[tuple[str, Said]]:
    """The rows of the tables, each a question and its answer."""
    for line in front.split("\n"):
        question, _, rest = line.removeprefix("| ").partition(" | ")
        answer = rest.partition(" | ")[0]
        asks = next((of for word, of in ((" need ", True), (" spare ", False)) if word in question), None)
        yes = {"yes": True, "it seems so": True, "no": False, "it seems not": False}.get(answer.partition(" (")[0])
        if asks is not None and yes is not None and question.endswith("?") and named_in(question):
            yield line, Said(asks == yes, named_in(question), each=False)


def false_sentences(screen: Screen, truth: Truth) -> Iterator[str]:
    """Sentences that say of heads what is not so; where they name several, of these together."""
    read_so = [(sentence, read(sentence)) for sentence in sentences(screen.front)]
    for sentence, said in (*read_so, *read_rows(screen.front)):
        if said is None or under_zero(screen.front, said.heads, truth):
            continue
        together = breaks(said.heads, truth)
        apart = [breaks((head,), truth) for head in said.heads]
        so = (all(apart) if said.needed else not any(apart)) if said.each else together == said.needed
        if truth.random and said.needed:
            so = False
        if not so:
            yield sentence


def words_of_the_writer(screen: Screen, texts: Iterable[str]) -> Iterator[str]:
    """Runs of words above the writer's reading that the writer wrote."""
    front = " ".join(screen.front.replace("_", " ").split())
    for text in dict.fromkeys(texts):
        words = text.replace("_", " ").split()
        runs = [" ".join(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
        if any(run in front and run not in GOAL for run in runs):
            yield text


def numbers_that_show_nothing(screen: Screen, truth: Truth) -> Iterator[str]:
    """Numbers of heads that do nothing, shown as if a test had borne them out, with no word on what they are worth."""
    quiet = set(all_heads(truth)) - {*truth.needed, *truth.redundant, *truth.constant_heads}
    for found in screen.findings:
        rows = [screen.study.experiments[one.experiment] for one in found.evidence]
        about_nothing = [row.model == screen.study.run.model
                         and set(map(str, row.config.get("heads") or ["all"])) <= quiet for row in rows]  # fmt: skip
        hypothesis = screen.study.hypotheses.get(str(found.claim.model_dump().get("of")))
        harmless = hypothesis is not None and all(one.comparison == "between" for one in hypothesis.predictions)
        warned = "counts as none" in found.text or "intact model meets" in found.text or "afterwards" in found.text
        numbers = found.claim.type in ("predicted", "behaves") and found.verdict in SHOWN and bool(rows)
        if numbers and all(about_nothing) and not harmless and not warned:
            yield found.text


def omitted(screen: Screen, truth: Truth) -> Iterator[str]:
    """Held-out tests that no finding tells, and removals of a part that a claim is about."""
    told = {one.experiment for found in screen.findings for one in found.evidence}
    for row in screen.study.hypotheses.values():
        for one in row.predictions:
            if one.judged is not None and one.judged.experiment not in told and row.id not in screen.front:
                yield f"{row.id}: {one.quantity} in {one.judged.experiment}"
    claimed = {part for found in screen.findings for part in found.claim.about if part in all_heads(truth)}
    about = {found.claim.about for found in screen.findings if found.claim.type in ("needed", "spare")}
    removed = {e.site for row in screen.study.experiments.values() if row.kind == "head_ablation"
               and row.model == screen.study.run.model for e in row.effects}  # fmt: skip
    for part in sorted(claimed & removed):
        if (part,) not in about:
            yield f"what removing {part} does"


def faults(screen: Screen, truth: Truth, texts: Iterable[str]) -> list[str]:
    """Everything false on the first screen; nothing, where it says what is so."""
    return [
        *(f"finding, {one}" for one in false_findings(screen, truth)),
        *(f"sentence: {one}" for one in false_sentences(screen, truth)),
        *(f"worth nothing: {one}" for one in numbers_that_show_nothing(screen, truth)),
        *(f"omitted: {one}" for one in omitted(screen, truth)),
        *(f"the writer's words: {one}" for one in words_of_the_writer(screen, texts)),
    ]
