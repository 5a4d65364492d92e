"""The program's answers to a study's questions: a word, and a few sentences with the deciding number, what speaks
against it, and what was not tested.

The answer to an open question ("which heads ...?") rests on every finding about such parts. For a study from before
questions were registered, the question is which parts its tasks need. Whatever was asked, the answers name the parts
whose removal did the most damage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...experiments.result import Frozen
from ..report.study import Study
from .call import kept
from .claim import VERDICTS, Finding, Verdict
from .counted import on_its_model
from .covered import left_out
from .findings import questions, tasks
from .of_value import OnValue
from .question import Question
from .searched import searched
from .strongest import strongest_text
from .types.does import Does
from .types.needed import Needed
from .types.predicted import Predicted
from .types.spare import Spare
from .words import capitalized, count_words, in_order, listed, named

# How many parts an answer names before it counts the rest.
MOST = 8
WORDS: Mapping[Verdict, str] = {
    "confirmed": "Yes.",
    "supported": "Yes, as far as tested.",
    "refuted": "No.",
    "undecided": "Undecided.",
    "seen": "It seems so.",
    "untested": "Not tested.",
}


# The same for a table, with the verdict on the claim.
CELLS: Mapping[Verdict, str] = {
    "confirmed": "yes (confirmed)",
    "supported": "yes (supported)",
    "refuted": "no (refuted)",
    "undecided": "undecided",
    "seen": "it seems so",
    "untested": "not tested",
}


# Who asks the questions that no study registers.
ALWAYS = "by the program, of every study"
UNASKED = "by the program, because the study measured this task and registered no question about it"


class Answer(Frozen):
    """A question and its answer; the program wrote each sentence. `registered` is "" if nobody registered it; `by` says
    why the program asks a question that nobody registered."""

    question: str
    sentences: tuple[str, ...]
    registered: str = ""
    by: str = ""


def answers(study: Study, found: Sequence[Finding]) -> list[Answer]:
    """The answer to each question of the study, in order of registration."""
    asked = list(zip(questions(study), study.run.questions, strict=True))
    if not asked:
        return [_default(study, found)]
    said: dict[str, None] = {}
    given: list[Answer] = []
    for one, row in asked:
        # A sentence that answers several questions, such as what the model can do, appears once.
        new = [text for text in _answered(study, one, row.origin, found) if text not in said]
        said |= dict.fromkeys(new)
        given.append(Answer(question=row.text, sentences=tuple(new or ["As above."]), registered=row.created))
    # What the questions leave out is answered, too: tasks that were made or measured later, and parts.
    goal = any(one.claim is None and row.origin == "goal" for one, row in asked)
    for task in tasks(study):
        if task in {one.task for one, _ in asked}:
            continue
        needs = list[str]() if goal else list(_open(study, Question(type="needed", task=task), found))
        new = [text for text in (*needs, *_others(task, found)) if text not in said]
        said |= dict.fromkeys(new)
        if new:
            given.append(Answer(question=f"What was found on {task}?", sentences=tuple(new), by=UNASKED))
    if left := [text for task in tasks(study) for text in strongest_text(study, task) if text not in said]:
        given.append(Answer(question="Which parts did the most damage?", sentences=tuple(left), by=ALWAYS))
    if missing := [text for task in tasks(study) for text in left_out(study, task)]:
        given.append(Answer(question="What was not looked at?", sentences=tuple(missing), by=ALWAYS))
    return given


def word(found: Finding) -> str:
    """The answer in one or two words."""
    if found.partial:
        return "Not shown."
    return "It seems not." if _seems_not(found) else WORDS[found.verdict]


def _seems_not(found: Finding) -> bool:
    """Whether only the prompts to explore say anything, and they speak against the claim."""
    explored = found.evidence and all(one.says == "against" and not one.held_out for one in found.evidence)
    return found.verdict == "undecided" and bool(explored)


def cell(found: Finding) -> str:
    """The answer to a claim's question, and the verdict on the claim, in a few words."""
    if isinstance(found.claim, Predicted):
        return found.verdict
    return word(found).rstrip(".").lower() if found.partial or _seems_not(found) else CELLS[found.verdict]


def finding_data(found: Finding) -> dict[str, Any]:
    """A finding as JSON: the claim and its question, the verdict, the sentences, and the experiments behind them.

    answer    the answer to the question in a few words, with the verdict
    shade     the verdict by whose colour a page shows the answer
    grounds   the sentences that follow the answer
    explored  whether it rests only on the prompts to explore
    """
    return {
        "claim": kept(found.claim),
        "question": found.claim.question,
        "answer": cell(found),
        "shade": "undecided" if found.partial else found.verdict,
        "verdict": found.verdict,
        "means": VERDICTS[found.verdict],
        "text": found.text,
        "grounds": found.grounds,
        "explored": found.explored_only,
        "experiments": list(dict.fromkeys(one.experiment for one in found.evidence)),
        "evidence": [one.model_dump() for one in found.evidence],
    }


def answer_data(answer: Answer, study: Study) -> dict[str, Any]:
    """An answer as JSON; `asked` says when the question was registered."""
    before = sum(row.started < answer.registered for row in study.experiments.values())
    asked = (
        answer.by if answer.by
        else "not registered" if not answer.registered else "before the first experiment" if not before
        else f"after {before} experiment{'s' * (before != 1)}"
    )  # fmt: skip
    return {"question": answer.question, "asked": asked, "text": " ".join(answer.sentences),
            "sentences": list(answer.sentences)}  # fmt: skip


def _answered(study: Study, asked: Question, origin: str, found: Sequence[Finding]) -> Iterator[str]:
    if asked.claim is not None:
        one = next((one for one in found if one.claim == asked.claim), None) or asked.claim.judge(study)
        yield f"{word(one)} {one.text}"
        return
    # A question that the program read from a goal applies to the task that the study used.
    on = (tasks(study) or [asked.task]) if origin == "goal" else [asked.task]
    for task in on:
        yield from _open(study, asked.model_copy(update={"task": task}), found)


def _others(task: str, found: Sequence[Finding]) -> Iterator[str]:
    """Sentences on the claims on a task that say something else than what it needs."""
    others = [one for one in found if one.claim.task == task and one.verdict != "untested"
              and not isinstance(one.claim, Needed | Spare | Does | Predicted)]  # fmt: skip
    yield from (one.short for one in others[:MOST])


def _default(study: Study, found: Sequence[Finding]) -> Answer:
    on = tasks(study)
    sentences = [one for task in on for one in _open(study, Question(type="needed", task=task), found)]
    question = f"Which parts does {listed(on)} need?" if on else "Which parts are needed?"
    return Answer(question=question, sentences=tuple(sentences or ["Nothing was measured."]))


def _open(study: Study, asked: Question, found: Sequence[Finding]) -> Iterator[str]:
    """Sentences on the parts of one task."""
    here = [one for one in found if one.claim.task == asked.task and all(map(asked.asks_for, one.claim.about))]
    types = ("needed", "spare") if asked.type in ("needed", "spare") else (asked.type,)
    about = [one for one in here if one.claim.type in types and one.verdict != "untested"
             and not (isinstance(one.claim, OnValue) and not one.claim.is_on(asked.value, asked.at))]  # fmt: skip
    if not any(number.held_out for one in about for number in one.evidence):
        yield f"No held-out test was made of any {_one(asked)} in {asked.task}, so no {_one(asked)} is confirmed."
        if others := _tested(study, asked.task):
            yield f"Other predictions on {asked.task} were tested on held-out prompts: {listed(others)}."
    yield from by_verdict(asked, about)
    if types == ("needed", "spare"):
        yield from searched(study, asked)
        yield from strongest_text(study, asked.task, asked)
    if elsewhere := [one for one in study.finished if not on_its_model(study, study.experiments[one])]:
        models = listed(list(dict.fromkeys(study.experiments[one].model for one in elsewhere)))
        count = f"{len(elsewhere)} experiment{'s' * (len(elsewhere) != 1)}"
        yield f"{count} measured another model ({models}). Only hypotheses about it are judged here."
    yield from (one.text for one in found if isinstance(one.claim, Does) and one.claim.task == asked.task)


def _tested(study: Study, task: str) -> list[str]:
    """The hypotheses with a tested prediction on a task, each with its verdict."""
    return [
        f"{name} ({study.verdicts.hypotheses[name]})" for name, row in study.hypotheses.items()
        if any(one.judged is not None and one.config.get("task") == task for one in row.predictions)
    ]  # fmt: skip


def by_verdict(asked: Question, found: Sequence[Finding]) -> Iterator[str]:
    """Sentences on the findings about the parts of a task, the surest first."""
    needed = [one for one in found if one.claim.type == "needed"]
    spare = [one for one in found if one.claim.type == "spare"]
    shown = [one for one in needed if one.verdict in ("confirmed", "supported") and not one.partial]
    kept = [one for one in spare if one.verdict in ("confirmed", "supported")]
    open_ = [one for one in (*needed, *spare) if one.verdict == "undecided" and not one.explored_only]
    if asked.type == "spare":
        yield from _shown(asked, kept, "can be spared")
        yield from _shown(asked, shown, "needed")
    elif needed or spare:
        yield from _shown(asked, shown, "needed")
    if not shown and not kept and open_:
        # The number that would decide it comes nearest to an answer.
        yield open_[0].short
        open_ = open_[1:]
    yield from _refuted(asked, needed, spare)
    if asked.type != "spare":
        yield from _shown(asked, kept, "can be spared", lead=False)
    if partial := [one for one in needed if one.partial and one.verdict == "supported"]:
        yield f"Zero ablation alone shows damage by {_names(partial)}, which does not show need."
    if open_:
        for does, those in (("needs", needed), ("can spare", spare)):
            if those := [one for one in those if one in open_]:
                yield f"Whether {asked.task} {does} {_names(those)} is undecided."
    seen = {does: [one for one in those if one.verdict == "seen" and not one.partial]
            for does, those in (("needs", needed), ("can spare", spare))}  # fmt: skip
    if said := [f"{asked.task} {does} {_names(those)}" for does, those in seen.items() if those]:
        yield f"Seen while exploring, not tested on held-out prompts: {'; '.join(said)}."
    yield from (one.text for one in found if one.claim.type not in ("needed", "spare"))


def _shown(asked: Question, found: Sequence[Finding], what: str, lead: bool = True) -> Iterator[str]:
    """The parts for which the claim is shown: how many, which, and the number of the first."""
    task, single = asked.task, [one for one in found if len(one.claim.about) == 1]
    if not found:
        if lead:
            yield f"No {_one(asked)} is shown {'to be needed' if what == 'needed' else 'to be one that can be spared'}."
        return
    are = "are needed" if what == "needed" else what
    if len(single) == 1:
        yield single[0].short
    elif single:
        by_verdict = {word: [one for one in single if one.verdict == word] for word in ("confirmed", "supported")}
        names = listed([f"{_bare(those)} ({word} on held-out prompts)" for word, those in by_verdict.items() if those])
        count = capitalized(count_words(len(single)))
        yield f"{count} {asked.among} {are} for {task}, each by its own test: {names}."
        first = single[0]
        yield f"Of {named(first.claim.about)}: {first.because[:1].lower()}{first.because[1:]}"
    yield from (one.short for one in found if len(one.claim.about) > 1)


def _refuted(asked: Question, needed: Sequence[Finding], spare: Sequence[Finding]) -> Iterator[str]:
    refuted = [one for one in needed if one.verdict == "refuted"]
    for those in ([one for one in refuted if one.artefact], [one for one in refuted if not one.artefact]):
        if those:
            one = len(those) == 1
            it, each = ("it", "it") if one else ("them", "each")
            why = f": setting {it} to zero does damage, but replacing {each} by its mean does not"
            yield (
                f"{capitalized(_names(those))}{'' if one else ','} "
                f"{'is' if one and len(those[0].claim.about) == 1 else 'are'} not needed for {asked.task} (shown "
                f"on held-out prompts){why if those[0].artefact else ''}."
            )
    if wrong := [one for one in spare if one.verdict == "refuted"]:
        yield f"{capitalized(_names(wrong))} cannot be spared for {asked.task} (shown on held-out prompts)."


def _bare(found: Sequence[Finding]) -> str:
    """The names alone: "L1.H2, L3.H4 and 2 more"."""
    names = in_order(part for one in found for part in one.claim.about)
    more = [f"{len(names) - MOST} more"] if len(names) > MOST else []
    return listed([*names[:MOST], *more])


def _one(asked: Question) -> str:
    return asked.among.removesuffix("s") if asked.among != "parts" else "part"


def _names(found: Sequence[Finding]) -> str:
    sets = [one.claim.about for one in found]
    single = [part for parts in sets if len(parts) == 1 for part in parts]
    several = [f"{named(parts)} together" for parts in sets if len(parts) > 1]
    shown = in_order(dict.fromkeys(single))
    more = [f"{len(shown) - MOST} more"] if len(shown) > MOST else []
    first = [named(shown[:MOST])] if shown else []
    # The task may spare each part alone, but not all at once.
    apart = [f"{listed([*first, *more])}{', each by itself' if len(shown) > 1 else ''}"] if shown else []
    return listed([*apart, *several])
