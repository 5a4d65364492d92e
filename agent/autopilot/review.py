"""The autopilot as a reviewer: a fixed attempt to refute the claims of a study, within a budget of experiments.

It writes everything down before the first test, in this order, as far as the budget reaches:

1. The numbers that each claim rests on, predicted for other prompts. For a number of an experiment that removed
   something, it predicts zero, mean and resample; it repeats the predictions of a hypothesis unchanged.
2. Controls, by one removal each, for claims that a head or a set of heads does damage. Another head of the same layer,
   drawn at random, must not do as much damage (null). With shuffled answers there must be no such damage (permuted; in
   the logit difference alone: any damage changes the loss of a wrong answer, too).
3. The members of a set of heads that a claim calls needed: the set with and without each of them, on the same prompts.
4. The predictions of a hypothesis under the methods of removal that it left out.

A claim falls when a test contradicts it. It stands when everything that it rests on is upheld and no control fails.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...tools.evidence.verdict import METHODS
from ..drivers.conversation import Message, Reply
from .course import Data, Protocol, as_reply
from .judge import listing

_EFFECT = re.compile(r"effect\[([^\],]+)(?:,\s*([^\]]+))?\]")


@dataclass
class Plan:
    """A hypothesis of the review: what it is for (again, null, permuted, members, other methods), and which claims it
    is about."""

    about: str
    claims: list[int]
    statement: str
    predictions: list[Data]
    name: str = ""
    tested: bool = False

    @property
    def cost(self) -> int:
        """How many experiments its test takes: predictions of one configuration share one."""
        return len({(one["kind"], one["config"]) for one in self.predictions})


@dataclass
class Course:
    """What the reviewer was given, and what came of it so far."""

    given: Data
    plans: list[Plan] = field(default_factory=list[Plan])
    standing: list[Data] = field(default_factory=list[Data])
    statuses: Data = field(default_factory=dict[str, Any])
    refused: list[str] = field(default_factory=list[str])


def reply(messages: Sequence[Message]) -> Reply:
    """The protocol over what has been answered so far, and its next step."""
    course = Course(messages[0].data or {})
    steps = review_protocol(course)
    thought, tool, arguments = next(steps)
    for message in messages[1:]:
        if message.role == "user" and message.data and "spent" in message.data:
            return as_reply("The budget is spent.", "write_review", verdicts(course), len(messages))
        if message.role == "tool":
            refused = {"refused": message.text} if (message.data or {}).get("refused") else {}
            if refused and tool == "write_review":
                return Reply(text=f"The verdicts were refused: {message.text[:300]}")
            try:
                thought, tool, arguments = steps.send(refused or message.data or {})
            except StopIteration:
                return Reply(text="The protocol is done.")
    return as_reply(thought, tool, arguments, len(messages))


def review_protocol(course: Course) -> Protocol:
    """The steps of a review; each receives what the one before it gave."""
    listed = yield "What are the sizes of the subject?", "list_models", {}
    course.plans = affordable(course.given, listed["subject"]["anatomy"])
    for plan in course.plans:
        recorded = yield (
            f"Written down before any test ({plan.about}).",
            "propose_hypothesis",
            {
                "statement": plan.statement,
                "rationale": "A second opinion: what a claim rests on has to hold on other prompts, and its controls.",
                "refuted_if": "The whole interval of a prediction lies on the other side of its bound.",
                "predictions": plan.predictions,
            },
        )
        plan.name = recorded.get("id", "")
        if not plan.name:
            course.refused.append(f"{plan.statement} ({recorded['refused']})")
    for plan in course.plans:
        if not plan.name:
            continue
        found = yield f"The test of {plan.name} ({plan.about}).", "test_hypothesis", {"hypothesis": plan.name}
        if not found.get("refused"):
            plan.tested = True
            course.standing, course.statuses = found["standing"], found["statuses"]
    yield "The verdicts.", "write_review", verdicts(course)


def affordable(given: Data, anatomy: Data) -> list[Plan]:
    """What is tested: in the order of the protocol, whatever still fits into the budget."""
    # A run ends when its budget is reached, and the verdicts are still to come.
    left, known = max(1, given["experiments"] - 1), set[str]()
    chosen: list[Plan] = []
    for plan in (*again(given), *controls(given, anatomy), *members(given), *others(given)):
        if plan.about != "members":
            # A prediction is made once; a claim that shares it is judged by the same test. Only the members of a set
            # are compared with the whole of it, which takes the same prompts.
            plan.predictions = list({key(one): one for one in plan.predictions if key(one) not in known}.values())
        plan.predictions = plan.predictions[:12]
        if plan.predictions and plan.cost <= left:
            chosen.append(plan)
            known |= {key(one) for one in plan.predictions}
            left -= plan.cost
    return chosen


def key(prediction: Data) -> str:
    return json.dumps(prediction, sort_keys=True)


def again(given: Data) -> Iterator[Plan]:
    """What each claim rests on, on other prompts."""
    for claim in given["claims"]:
        predictions: list[Data] = []
        for one in claim["assertions"]:
            beside = [heads_of(other) for other in claim["assertions"] if other["of"] == one["of"]]
            config = narrowed(one, [heads[0] for heads in beside if len(heads) == 1])
            explored = one["of"].startswith("E") and "method" in config and one["comparison"] != "between"
            for method in METHODS if explored else [config.get("method")]:
                whole = config if method is None else {**config, "method": method}
                predictions.append(predicted(one, whole))
        statement = f"What claim {claim['claim']} of {given['reviews']} rests on, predicted again for other prompts."
        yield Plan("again", [claim["claim"]], statement, predictions)


def controls(given: Data, anatomy: Data) -> Iterator[Plan]:
    """For each claim of damage: another head instead of its own, and its own towards shuffled answers."""
    named = {head for claim in given["claims"] for one in claim["assertions"] for head in heads_of(one)}
    draw = random.Random(given["reviews"])
    for claim in given["claims"]:
        # That other heads do not exceed their own controls would be no null: the controls may do as much.
        damage = [one for one in claim["assertions"]
                  if is_damage(one) and heads_of(one) and one["quantity"] != "excess"]  # fmt: skip
        # By the mean, where the claim was made under it: zero alone does damage anywhere.
        one = next((a for a in damage if a["config"].get("method") == "mean"), damage[0] if damage else None)
        if one is None:
            continue
        heads = heads_of(one)
        free = [stand_in(head, named, anatomy, draw) for head in heads]
        if all(free) and len(set(free)) == len(free):
            statement = f"{listing(free)}, drawn from the same layers, must not do the damage of {listing(heads)}."
            yield Plan("null", [claim["claim"]], statement, [opposite(one, {**narrowed(one), "heads": free}, free)])
        task = one["config"]["task"]
        if metric_of(one) == "logit_diff" and "~shuffled" not in task:
            statement = f"Towards shuffled answers, the removal of {listing(heads)} does no such damage."
            config = {**narrowed(one), "task": f"{task}~shuffled"}
            yield Plan("permuted", [claim["claim"]], statement, [opposite(one, config, heads)])


def members(given: Data) -> Iterator[Plan]:
    """For each set that a claim calls needed: the damage of all of it, and of all but one of its members."""
    for claim in given["claims"]:
        sets = [one for one in claim["assertions"] if is_damage(one) and len(heads_of(one)) > 1]
        for one in sorted(sets, key=lambda a: a["config"].get("method") != "mean")[: bool(claim.get("members"))]:
            heads = heads_of(one)
            fewer = [[head for head in heads if head != left_out] for left_out in heads]
            statement = f"The damage of {listing(heads)}, and of these heads without one of them."
            yield Plan("members", [claim["claim"]], statement, [removed(one, some) for some in (heads, *fewer)])


def removed(one: Data, heads: Sequence[str]) -> Data:
    """The same damage, by these heads."""
    quantity = f"effect[{' + '.join(heads)}]" if _EFFECT.fullmatch(one["quantity"]) else one["quantity"]
    config = {**narrowed(one), "heads": [*heads], "layers": None, "together": len(heads) > 1}
    return predicted({**one, "quantity": quantity}, config)


def others(given: Data) -> Iterator[Plan]:
    """The damage that a hypothesis predicted, under the methods of removal that it left out."""
    for claim in given["claims"]:
        damage = [one for one in claim["assertions"] if one["of"].startswith("H") and is_damage(one)]
        beside = [heads_of(one)[0] for one in damage if len(heads_of(one)) == 1]
        predictions = [predicted(one, {**narrowed(one, beside), "method": method})
                       for method in METHODS for one in damage if "method" in one["config"]]  # fmt: skip
        statement = f"What claim {claim['claim']} of {given['reviews']} rests on, under the other methods of removal."
        yield Plan("other methods", [claim["claim"]], statement, predictions)


def is_damage(one: Data) -> bool:
    """Said to lie beyond one bound."""
    return one["inside"] and one["comparison"] in ("above", "below")


def heads_of(one: Data) -> list[str]:
    """The heads whose removal an assertion is about; none for one that is about something else."""
    if one["kind"] != "head_ablation":
        return []
    found = _EFFECT.fullmatch(one["quantity"])
    if found is not None:
        return found[1].split(" + ")
    return one["config"]["heads"] or [] if "[" not in one["quantity"] else []


def metric_of(one: Data) -> str:
    found = _EFFECT.fullmatch(one["quantity"])
    if found is not None:
        return found[2] or one["config"]["metric"]
    return "logit_diff" if one["quantity"] == "logit_diff_change" else "other"


def narrowed(one: Data, beside: Sequence[str] = ()) -> Data:
    """The configuration without the program's part; of a sweep only the head that is spoken of, and those `beside` it,
    which share the experiment."""
    config = {name: value for name, value in one["config"].items() if name not in ("split", "seed")}
    heads = heads_of(one)
    if _EFFECT.fullmatch(one["quantity"]) and heads:
        shared = len(heads) == 1 and heads[0] in beside
        heads = list(dict.fromkeys(beside)) if shared else heads
        config |= {"heads": heads, "layers": None, "together": not shared and len(heads) > 1, "sweep": "exact"}
    return config


def predicted(one: Data, config: Data) -> Data:
    bounds = {name: one[name] for name in ("low", "high") if one[name] is not None}
    rest = {"kind": one["kind"], "quantity": one["quantity"], "comparison": one["comparison"]}
    return {**rest, "config": json.dumps(config), **bounds}


def opposite(one: Data, config: Data, heads: Sequence[str]) -> Data:
    """That these heads do not do the damage: the change stays on the other side of the bound."""
    low, high = one["low"], one["high"]
    bounds = {"comparison": "above", "low": high} if low is None else {"comparison": "below", "high": low}
    quantity = one["quantity"]
    if _EFFECT.fullmatch(quantity):
        quantity = f"effect[{' + '.join(heads)}]"
        config = {**config, "heads": list(heads), "layers": None, "together": len(heads) > 1}
    return {"kind": one["kind"], "quantity": quantity, "config": json.dumps(config), **bounds}


def stand_in(head: str, named: set[str], anatomy: Data, draw: random.Random) -> str:
    """Another head of the layer that no claim names; "" if there is none."""
    layer = head.split(".")[0]
    free = [f"{layer}.H{number}" for number in range(anatomy["n_heads"]) if f"{layer}.H{number}" not in named]
    return draw.choice(free) if free else ""


def verdicts(course: Course) -> Data:
    """The arguments of write_review."""
    standing = {one["claim"]: one for one in course.standing}
    given: list[Data] = []
    for claim in course.given["claims"]:
        own = [plan for plan in course.plans if claim["claim"] in plan.claims and plan.tested]
        failed = [plan for plan in own if plan.about in ("null", "permuted") and status(course, plan) == "refuted"]
        found = standing.get(claim["claim"], {"verdict": "undecided", "against": [], "for": []})
        word = "undecided" if failed and found["verdict"] == "stands" else found["verdict"]
        cited = dict.fromkeys([*(plan.name for plan in own), *found["against"], *found["for"]])
        given.append({
            "claim": claim["claim"],
            "verdict": word,
            "conditions": [f"{name} is {course.statuses[name]}" for name in cited][:8],
            "comment": comment(course, word, own, failed, found),
        })  # fmt: skip
    return {"verdicts": given, "text": text(course)}


def status(course: Course, plan: Plan) -> str:
    return course.statuses[plan.name]


def comment(course: Course, word: str, own: list[Plan], failed: list[Plan], found: Data) -> str:
    if word == "falls":
        return f"Contradicted by {listing(found['against'])}."
    if failed and found["verdict"] == "stands":
        return (
            f"It holds on other prompts, but so it does where it should not ({listing([p.name for p in failed])}): "
            "the test does not tell these heads from others."
        )
    if not own and not found["for"]:
        return "The budget did not reach it, or it rests on nothing that can be tested again."
    controls = [
        f"{plan.name} ({plan.about}) is {status(course, plan)}" for plan in own if plan.about in ("null", "permuted")
    ]
    said = "All that it rests on was upheld on other prompts." if word == "stands" else (
        "Nothing contradicts it, and not all that it rests on was upheld: too little was tested, or the intervals are "
        "too wide."
    )  # fmt: skip
    return said + (f" Controls: {listing(controls)}." if controls else "")


def text(course: Course) -> str:
    """What was done, in words."""
    plans = [plan for plan in course.plans if plan.tested]
    lines = [
        "A fixed protocol tried to refute each claim, within its budget: what it rests on was predicted again for "
        "other prompts; of damage by heads, another head of the same layer, drawn at random, and shuffled answers were "
        "the controls, where the same damage must not be; then the methods of removal that were left out. All of it "
        "was written down before the first test.",
        "\n".join(f"- {plan.name} ({plan.about}, for {claims_named(plan.claims)}): {{{{{plan.name}.verdict}}}}."
                  for plan in plans) or "Nothing was tested.",
    ]  # fmt: skip
    if course.refused:
        lines.append("Some tests were not possible here; the tools refused them.")
    return "\n\n".join(lines)


def claims_named(claims: Sequence[int]) -> str:
    return f"claim{'s' * (len(claims) != 1)} {listing([str(one) for one in claims])}"
