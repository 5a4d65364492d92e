"""The program's answers to what a study asked: a word, then in a few sentences the number that decides it, what speaks
against it, and what was not tested.

An open question ("which heads ...?") is answered from every finding that is about such parts. A study from before
questions were registered is asked which parts its tasks need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...experiments.result import Frozen
from ..report.study import Study
from .claim import Finding, Verdict
from .counted import on_its_model
from .findings import questions, tasks
from .question import Question
from .types.does import Does
from .words import capitalized, in_order, listed, named

# How many parts an answer names before it counts the rest, and how many findings it gives in full.
MOST, IN_FULL = 8, 3
WORDS: Mapping[Verdict, str] = {
    "confirmed": "Yes.",
    "supported": "Yes, as far as it was tested.",
    "refuted": "No.",
    "undecided": "Undecided.",
    "seen": "It seems so.",
    "untested": "Not tested.",
}


class Answer(Frozen):
    """A question and its answer, each sentence the program's. `registered` is empty where nobody registered it."""

    question: str
    sentences: tuple[str, ...]
    registered: str = ""


def answers(study: Study, found: Sequence[Finding]) -> list[Answer]:
    """The answer to each question of the study, in the order in which they were registered."""
    asked = list(zip(questions(study), study.run.questions, strict=True))
    if not asked:
        return [_default(study, found)]
    said: dict[str, None] = {}
    given: list[Answer] = []
    for one, row in asked:
        # What answers several questions, such as what the model can do, is said once.
        new = [text for text in _answered(study, one, row.origin, found) if text not in said]
        said |= dict.fromkeys(new)
        given.append(Answer(question=row.text, sentences=tuple(new or ["As above."]), registered=row.created))
    return given


def word(found: Finding) -> str:
    """The answer in a word or two."""
    explored = found.evidence and all(one.says == "against" and not one.held_out for one in found.evidence)
    if found.partial:
        return "Not shown."
    return "It seems not." if found.verdict == "undecided" and explored else WORDS[found.verdict]


def answer_data(answer: Answer, study: Study) -> dict[str, Any]:
    """As JSON; `asked` says when it was registered."""
    before = sum(row.started < answer.registered for row in study.experiments.values())
    asked = (
        "not registered" if not answer.registered else "before the first experiment" if not before
        else f"after {before} experiment{'s' * (before != 1)}"
    )  # fmt: skip
    return {"question": answer.question, "asked": asked, "text": " ".join(answer.sentences),
            "sentences": list(answer.sentences)}  # fmt: skip


def _answered(study: Study, asked: Question, origin: str, found: Sequence[Finding]) -> Iterator[str]:
    if asked.claim is not None:
        one = next((one for one in found if one.claim == asked.claim), None) or asked.claim.judge(study)
        yield f"{word(one)} {one.text}"
        return
    # What the program read from a goal is asked of whatever task the study took.
    on = (tasks(study) or [asked.task]) if origin == "goal" else [asked.task]
    for task in on:
        yield from _open(study, asked.model_copy(update={"task": task}), found)


def _default(study: Study, found: Sequence[Finding]) -> Answer:
    on = tasks(study)
    sentences = [one for task in on for one in _open(study, Question(type="needed", task=task), found)]
    question = f"Which parts does {listed(on)} need?" if on else "Which parts are needed?"
    return Answer(question=question, sentences=tuple(sentences or ["Nothing was measured."]))


def _open(study: Study, asked: Question, found: Sequence[Finding]) -> Iterator[str]:
    """Sentences on the parts of one task."""
    here = [one for one in found if one.claim.task == asked.task and all(map(asked.asks_for, one.claim.about))]
    about = [one for one in here if one.claim.type in (("needed", "spare") if asked.type in ("needed", "spare") else
                                                      (asked.type,))]  # fmt: skip
    about = [one for one in about if one.verdict != "untested"]
    said = [*_by_verdict(asked, about)]
    if not any(one.evidence and any(number.held_out for number in one.evidence) for one in about):
        said.insert(0, f"No held-out test was made of any {_one(asked)} in {asked.task}, so nothing is confirmed.")
    yield from said
    if elsewhere := [one for one in study.finished if not on_its_model(study, study.experiments[one])]:
        models = listed(list(dict.fromkeys(study.experiments[one].model for one in elsewhere)))
        count = f"{len(elsewhere)} experiment{'s' * (len(elsewhere) != 1)}"
        yield f"{count} measured another model ({models}); only what a hypothesis predicted of it is told here."
    yield from (one.text for one in found if isinstance(one.claim, Does) and one.claim.task == asked.task)


def _by_verdict(asked: Question, found: Sequence[Finding]) -> Iterator[str]:
    task = asked.task
    needed = [one for one in found if one.claim.type == "needed"]
    spare = [one for one in found if one.claim.type == "spare"]
    others = [one for one in found if one.claim.type not in ("needed", "spare")]
    shown = [one for one in needed if one.verdict in ("confirmed", "supported") and not one.partial]
    yield from (one.text for one in shown[:IN_FULL])
    if len(shown) > IN_FULL:
        words = listed(list(dict.fromkeys(one.verdict for one in shown[IN_FULL:])))
        yield f"Also needed for {task} ({words}), each by its own test: {_names(shown[IN_FULL:])}."
    refuted = [one for one in needed if one.verdict == "refuted"]
    if artefacts := [one for one in refuted if one.against]:
        yield (
            f"{capitalized(_names(artefacts))}: not needed for {task} (refuted on held-out prompts); what speaks "
            "against it stands among the findings."
        )
    if plainly := [one for one in refuted if not one.against]:
        yield f"{capitalized(_names(plainly))}: not needed for {task} (refuted on held-out prompts)."
    if partial := [one for one in needed if one.partial and one.verdict == "supported"]:
        yield f"Damage under zero alone, which shows no need: {_names(partial)} (supported on held-out prompts)."
    if kept := [one for one in spare if one.verdict in ("confirmed", "supported")]:
        words = listed(list(dict.fromkeys(one.verdict for one in kept)))
        yield f"{capitalized(_names(kept))}: can be spared for {task} ({words} on held-out prompts)."
    if wrong := [one for one in spare if one.verdict == "refuted"]:
        yield f"{capitalized(_names(wrong))}: cannot be spared for {task} (refuted on held-out prompts)."
    if seen := [one for one in (*needed, *spare) if one.verdict == "seen" and not one.partial]:
        yield f"Seen while exploring {task}, and not tested: {_names(seen)}."
    if open_ := [one for one in (*needed, *spare) if one.verdict == "undecided"]:
        yield f"Undecided for {task}: {_names(open_)}."
    yield from (one.text for one in others[:IN_FULL])


def _one(asked: Question) -> str:
    return asked.among.removesuffix("s") if asked.among != "parts" else "part"


def _names(found: Sequence[Finding]) -> str:
    sets = [one.claim.about for one in found]
    single = [part for parts in sets if len(parts) == 1 for part in parts]
    several = [f"{named(parts)} together" for parts in sets if len(parts) > 1]
    shown = in_order(dict.fromkeys(single))
    more = [f"{len(shown) - MOST} more"] if len(shown) > MOST else []
    first = [named(shown[:MOST])] if shown else []
    # What each can be spared for need not be so of all at once.
    apart = [f"{listed([*first, *more])}{', each by itself' if len(shown) > 1 else ''}"] if shown else []
    return listed([*apart, *several])
