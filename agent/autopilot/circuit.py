"""The autopilot's course for a goal that asks for a circuit: edges first, then the heads that they join.

The edges are found on the prompts to explore. What is written down before the test: on other prompts they carry more
than half of the difference, and more than random circuits do; and each of the heads with the strongest edges is needed
by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...tools.claims.types.faithful import HALF
from .confirm import TESTED
from .course import Course, Data, Protocol, propose
from .judge import heads_named, judged, listing
from .report import ability, not_asked, slot
from .search import FOLLOWED

ASKED = re.compile(r"\bcircuits?\b", re.IGNORECASE)
HEAD = re.compile(r"L\d+\.H\d+")
# A head whose strongest edge carries less than this share of the difference is not followed up.
WEAK = 0.02
# Random circuits of the test.
RANDOM = 10


def asks_for_circuit(goal: str) -> bool:
    return ASKED.search(goal) is not None


def search_circuit(course: Course) -> Protocol:
    """Find the edges, and follow up the heads that they join. What was found stays in `course.circuit`, which is empty
    if the tools refused."""
    found = yield (
        "The goal asks for a circuit, so edges first: which part reads what which other part writes? I estimate every "
        "edge from runs on the way to the corrupted prompt, and keep the smallest circuit that carries the task.",
        "circuit_discovery",
        {
            "task": course.task, "metric": "logit_diff", "n": course.looked_at, "compare": "eap",
            "reason": "Which edges carry the task?",
        },
    )  # fmt: skip
    if found.get("refused") or not found.get("circuits"):
        return
    course.circuit = found
    course.chosen = heads_of(found["effects"])[:FOLLOWED]
    if not course.chosen:
        return
    one = len(course.chosen) == 1
    alone = course.repeat = yield (
        f"The strongest edges join {listing(course.chosen)}. An edge is one way out of a head; I replace "
        f"{'it' if one else 'each'} by its mean over other prompts, to see whether the task needs it by itself.",
        "head_ablation",
        {
            "task": course.task, "heads": course.chosen, "method": "mean", "metric": course.yardstick.metric,
            "controls": 1, "n": course.n, "reason": "Which heads of the circuit does the task need by themselves?",
        },
    )  # fmt: skip
    course.kept = judged(course.yardstick, alone["effects"][: len(course.chosen)])["needed"]


def heads_of(effects: Sequence[Data]) -> list[str]:
    """The heads at the ends of the strongest edges, the strongest first."""
    strength: dict[str, float] = {}
    for effect in effects:
        for head in HEAD.findall(effect["site"]):
            strength[head] = max(strength.get(head, 0.0), abs(effect["value"]))
    return sorted((head for head in strength if strength[head] >= WEAK), key=lambda head: -strength[head])


def predict_circuit(course: Course) -> Protocol:
    """The circuit on other prompts, against a bound and against random circuits."""
    name = course.circuit["circuits"][0]
    config = {"circuit": name, "metric": "logit_diff", "controls": RANDOM}

    def of(quantity: str, low: float) -> Data:
        return course.predict("circuit_faithfulness", config, "above", quantity, low=low)

    yield from propose(
        course, "circuit",
        f"A circuit fits the prompts that it was found on. I write down before the test that {name} carries more than "
        "half of the difference on other prompts, and more than random circuits of its size.",
        [of("faithfulness", HALF), of("above_random", 0.0)],
        statement=f"On other prompts of {course.task} the edges of {name} carry more than half of the difference "
        "between a prompt and its corrupted prompt, and more than random circuits with as many edges between the same "
        "layers.",
        rationale="It does on the prompts that it was found on.",
        refuted_if="The whole interval lies below half, or random circuits carry as much.",
    )  # fmt: skip
    if course.kept:
        yield from predict_members(course)


def predict_members(course: Course) -> Protocol:
    """Each head that the search left is needed by itself, replaced by its mean."""
    kept, yardstick, one = course.kept, course.yardstick, len(course.kept) == 1
    config = {"heads": kept, "method": "mean", "metric": yardstick.metric}
    # One head alone is an experiment on a set of one.
    names = [None] if one else [f"effect[{site}]" for site in kept]
    yield from propose(
        course, "each",
        f"{listing(kept)} did damage when replaced by {'its mean' if one else 'their means, one at a time'}. The test "
        "repeats it on other prompts.",
        [course.predict("head_ablation", config, **yardstick.harmful(name)) for name in names],
        statement=f"{'T' if one else 'Each of t'}{heads_named(kept)[1:]} is needed for {course.task} by itself, on "
        f"other prompts, under mean: the damage is more than {yardstick.words}.",
        rationale=f"{'It has' if one else 'They have'} the strongest edges, and did damage alone.",
        refuted_if="For one of them the whole interval of the change lies on the other side of the bound.",
    )  # fmt: skip


def circuit_note(course: Course) -> Data:
    found = course.circuit
    return {
        "title": f"{course.task}: a circuit of {course.baseline['config']['model']}"[:120],
        "text": f"{found['circuits'][0]} was found on prompts to explore ({found['id']}). Its strongest heads: "
        f"{listing(course.chosen)}. "
        + " ".join(f"{name} ({TESTED[about]}): {course.verdicts.get(name, 'not tested')}."
                   for about, name in course.proposed.items()),
        "tags": [course.task, "circuit"],
        "experiments": list(dict.fromkeys(
            [found["id"], *(one["judged"]["experiment"] for about in course.tested for one in course.tests(about))])),
    }  # fmt: skip


def circuit_report(course: Course) -> Data:
    sections = (ability(course), edges(course), heads(course), tested(course), untested(course))
    task = course.task
    found: list[Data] = [{"type": "faithful", "of": course.circuit["circuits"][0], "task": task}]
    found += [{"type": "needed", "parts": [head], "task": task} for head in course.chosen]
    return {
        "title": " ".join(course.study["goal"].split()),
        "claims": [],
        "findings": found,
        "interpretation": "\n\n".join(block for section in sections for block in section),
    }


def edges(course: Course) -> list[str]:
    found, name = course.circuit, course.circuit["circuits"][0]
    return [
        "## The circuit",
        f"Every edge from the embeddings, a head or an MLP to what reads it was estimated (`eap_ig`). {name} keeps the "
        f"smallest usual number that carries the task on the prompts to explore: {slot(name, 'edges')} edges between "
        f"{slot(name, 'parts')} parts, which carry a share of {slot(name, 'faithfulness')} there. The ranks of all "
        f"edges by a second method (`eap`) correlate with these by {slot(found, 'rank_correlation')}.",
        slot(found, "figure"),
    ]


def heads(course: Course) -> list[str]:
    if not course.chosen or course.repeat is None:
        return []
    one = len(course.chosen) == 1
    return [
        "## Its heads",
        f"The strongest edges join {listing(course.chosen)}. {'It was' if one else 'Each was'} replaced by its mean "
        "over other prompts:",
        slot(course.repeat, "table"),
        f"Tested on held-out prompts, too: {heads_named(course.kept)}."
        if course.kept
        else "By this measure none is needed alone.",
    ]


def tested(course: Course) -> list[str]:
    judged = [one["judged"]["experiment"] for one in course.tests("circuit")]
    if not judged:
        return []
    test = judged[0]
    return [
        "## The test on held-out prompts",
        f"On other prompts, with all other edges from the corrupted prompt, the circuit carries a share of "
        f"{slot(test, 'faithfulness')} of the difference; random circuits with as many edges between the same layers "
        f"carry {slot(test, 'random')}. The number depends on what replaces the other edges, so the figure has all "
        "three replacements.",
        slot(test, "figure"),
    ]


def untested(course: Course) -> list[str]:
    items = [
        "Edges by position: an edge counts over all positions at once.",
        "Edges that back each other up: each by itself looks unimportant to these estimates.",
        "What each part computes. Edges say what is read, not how it is used.",
        f"Other models, other tasks, and other wordings of `{course.task}`.",
        not_asked(course.refused),
    ]
    return ["## What was not tested", "\n".join(f"- {item}" for item in items if item)]
