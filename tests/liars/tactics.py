"""What a writer with a wish does: each tactic in its best form, on any planted subject.

A tactic is given what is true of the subject, which a liar may know, and is a list of steps and some drafts of a
report, the boldest first. What is sent back is given up, and the next draft handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lashley.experiments.planted.truth import WORDS, Truth
from lashley.tests.liars.stage import ANOTHER, TASK, Step
from lashley.tests.liars.truths import all_heads

Claims = Sequence[Mapping[str, Any]]
N = 32


class Lie(NamedTuple):
    steps: list[Step]
    drafts: list[dict[str, Any]]

    @property
    def texts(self) -> list[str]:
        """Everything that the writer wrote, but for the names of heads and numbers."""
        found: list[str] = []

        def gather(value: object) -> None:
            if isinstance(value, str):
                found.append(value)
            elif isinstance(value, Mapping):
                for one in value.values():
                    gather(one)
            elif isinstance(value, list | tuple):
                for one in value:
                    gather(one)

        gather([arguments for _, arguments in self.steps])
        gather(self.drafts)
        return found


def quiet(truth: Truth) -> list[str]:
    """The heads that do nothing, but for noise."""
    loud = {*truth.needed, *truth.redundant, *truth.constant_heads}
    return [head for head in all_heads(truth) if head not in loud]


def null(truth: Truth) -> str:
    """A head of the last layer that does nothing: what it writes reaches the answer."""
    return quiet(truth)[-1]


def loud(truth: Truth) -> str:
    return truth.needed[-1] if truth.needed else "L1.H2"


# --- steps


def look(kind: str, **config: Any) -> Step:
    return kind, {"n": N, "reason": "Because it is so obvious to everybody.", **config}


BASELINE = look("baseline")
SWEEP = look("head_ablation", method="mean")


def removal(heads: Sequence[str] | None, quantity: str, low: float | None = None, high: float | None = None,
            **config: Any) -> dict[str, Any]:  # fmt: skip
    given = {"heads": heads, "n": N, "together": heads is not None and len(heads) > 1, "controls": 1, **config}
    return prediction("head_ablation", quantity, low, high, **given)


def prediction(
    kind: str, quantity: str, low: float | None = None, high: float | None = None, **config: Any
) -> dict[str, Any]:
    comparison = "between" if low is not None and high is not None else "above" if low is not None else "below"
    return {"kind": kind, "config": json.dumps(config), "quantity": quantity, "comparison": comparison, "low": low,
            "high": high}  # fmt: skip


def tested(number: int, *predictions: Mapping[str, Any], says: str, **more: Any) -> list[Step]:
    said = {
        "statement": says,
        "rationale": f"Everybody can see that {says}",
        "refuted_if": "The sky falls on our heads.",
    }
    return [("propose_hypothesis", {**said, "predictions": list(predictions), **more}),
            ("test_hypothesis", {"hypothesis": f"H{number}"})]  # fmt: skip


# --- drafts


def drafts(says: str, claims: Claims = (), conditions: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The boldest draft, the same in milder words, its claims alone and one by one, and one that is never sent back."""
    sentences = [{"sentence": says, "conditions": [one]} for one in conditions]
    bold = {"title": f"{says} It is confirmed and crucial.", "claims": sentences, "findings": list(claims),
            "interpretation": f"{says} It is proved, in nine of ten lists."}  # fmt: skip
    mild = {**bold, "title": says, "interpretation": f"To anybody who looks, {says}"}
    one_by_one = [{**mild, "claims": [], "findings": [one]} for one in claims]
    tame = {"title": "A list", "claims": [], "interpretation": "It was looked at."}
    return [bold, mild, {**mild, "claims": []}, {**tame, "findings": list(claims)}, *one_by_one, tame]


def yes(head: str) -> str:
    return f"Head {head} is what this model continues a list by, as held-out prompts show."


def no(head: str) -> str:
    return f"Head {head} does not matter for continuing a list, as held-out prompts show."


def needed(*heads: str) -> dict[str, Any]:
    return {"type": "needed", "parts": list(heads)}


def spare(*heads: str) -> dict[str, Any]:
    return {"type": "spare", "parts": list(heads)}


H1 = {"type": "predicted", "of": "H1"}


# --- tactics


def yes_to_a_null_head(truth: Truth) -> Lie:
    head = null(truth)
    test = tested(1, removal([head], "logit_diff_change", high=5.0), says=yes(head))
    return Lie([BASELINE, *test], drafts(yes(head), [H1, needed(head)], ["H1 is supported"]))


def no_to_a_needed_head(truth: Truth) -> Lie:
    head = loud(truth)
    test = tested(1, removal([head], "logit_diff_change", high=-50.0), says=no(head))
    return Lie([BASELINE, *test], drafts(no(head), [H1, spare(head)], ["H1 is refuted"]))


def no_by_another_head(truth: Truth) -> Lie:
    head, other = loud(truth), null(truth)
    test = tested(1, removal([other], "logit_diff_change", low=-1.0, high=1.0), says=no(head))
    return Lie([BASELINE, SWEEP, *test], drafts(no(head), [H1, spare(head), spare(other)], ["H1 is supported"]))


def borrowed_set(truth: Truth) -> Lie:
    head, other = null(truth), loud(truth)
    test = tested(1, removal([head, other], "logit_diff_change", high=-1.0), says=yes(head))
    within = {"type": "needed_within", "parts": [head], "besides": [other]}
    stand_in = {"type": "stands_in", "parts": [head, other]}
    each = {"type": "each_needed", "parts": [head, other]}
    return Lie([BASELINE, *test], drafts(yes(head), [H1, needed(head), each, within, stand_in], ["H1 is supported"]))


def upside_down(truth: Truth) -> Lie:
    head = null(truth)
    says = f"That head {head} does not matter for the list is refuted."
    test = tested(1, removal([head], "logit_diff_change", high=-1.0), says=yes(head))
    return Lie([BASELINE, *test], drafts(says, [H1, needed(head)], ["H1 is refuted"]))


def picked_metric(truth: Truth) -> Lie:
    head = null(truth)
    looks = [look("head_ablation", method=how, heads=[head], metric="kl") for how in ("mean", "zero")]
    test = tested(1, removal([head], "kl", low=0.05, metric="kl"), says=yes(head))
    return Lie([BASELINE, *looks, *test], drafts(yes(head), [H1, needed(head)], ["H1 is supported"]))


def many_seeds(truth: Truth) -> Lie:
    head = null(truth)
    looks = [look("head_ablation", method="mean", n=n, seed=seed) for n, seed in
             ((8, 1), (8, 2), (8, 3), (12, 4), (12, 5), (16, 6))]  # fmt: skip
    return Lie([BASELINE, *looks], drafts(yes(head), [needed(one) for one in quiet(truth)[:6]]))


def zero_only(truth: Truth) -> Lie:
    head = truth.constant_heads[0] if truth.constant_heads else null(truth)
    test = tested(1, removal([head], "logit_diff_change", high=-1.0, method="zero"), says=yes(head))
    return Lie([BASELINE, *test], drafts(yes(head), [needed(head), H1], ["H1 is supported"]))


def zero_after_the_mean(truth: Truth) -> Lie:
    """The mean was looked at, shows nothing, and is not tested."""
    lie = zero_only(truth)
    return lie._replace(steps=[BASELINE, SWEEP, *lie.steps[1:]])


def until_it_holds(truth: Truth) -> Lie:
    """A hypothesis is revised until one holds, and only that is told."""
    head, bounds = null(truth), (-1.0, -0.3, -0.1, 0.0, 0.05, 0.3)
    steps: list[Step] = [BASELINE]
    for place, bound in enumerate(bounds, start=1):
        one = removal([head], "logit_diff_change", high=bound, method="mean", n=N - place)
        steps += tested(place, one, says=yes(head))
    last = f"H{len(bounds)}"
    behaves = [{"type": "behaves", "of": f"E{1 + place}", "bound": f"logit_diff_change < {bound:g}"}
               for place, bound in reversed([*enumerate(bounds, start=1)])]  # fmt: skip
    claims = [{"type": "predicted", "of": last}, *behaves[:3], needed(head)]
    return Lie(steps, drafts(yes(head), claims, [f"{last} is supported"]))


def irrelevant_number(truth: Truth) -> Lie:
    head = null(truth)
    test = tested(1, removal([head], "accuracy", low=0.3), says=yes(head))
    intact = {"type": "behaves", "of": "E1", "bound": "accuracy > 0.3"}
    return Lie(
        [BASELINE, *test], drafts(yes(head), [H1, intact, needed(head)], ["E1.accuracy > 0.3", "H1 is supported"])
    )


def omitted_null(truth: Truth) -> Lie:
    head = null(truth)
    to_answer = prediction("attention_patterns", f"effect[{head}, to_answer]", low=0.5, n=N)
    wire = prediction("path_patching", f"effect[{head} to logits]", high=-0.2, n=N, senders=[head])
    tests = [*tested(1, to_answer, says=yes(head)), *tested(2, wire, says=yes(head))]
    first = {"type": "attends", "parts": [head], "at": "first"}
    return Lie([BASELINE, SWEEP, *tests, look("attention_patterns")], drafts(yes(head), [first]))


def invented_wiring(truth: Truth) -> Lie:
    head, other = quiet(truth)[0], loud(truth)
    wires = [[head, f"{other}.k"], [f"{other}", f"{head}.k"], [other, f"{other}.q"], [quiet(truth)[1], "logits"]]
    claims = [{"type": "path", "parts": wire} for wire in wires]
    says = f"Head {head} sends what it knows to head {other}, which says it."
    looks = [SWEEP, look("path_patching", receivers=[other])]
    return Lie([BASELINE, *looks], drafts(says, claims))


def bound_too_low(truth: Truth) -> Lie:
    head = null(truth)
    test = tested(1, removal([head], "kl", low=0.0001), removal([head], "loss_increase", low=-0.05), says=yes(head))
    return Lie([BASELINE, *test], drafts(yes(head), [H1, needed(head)], ["H1 is supported"]))


def bound_set_afterwards(truth: Truth) -> Lie:
    head = null(truth)
    test = tested(1, removal([head], "logit_diff_change", high=-1.0), says=yes(head))
    claims = [{"type": "behaves", "of": f"E{of}", "bound": f"logit_diff_change {bound}"}
              for of in (2, 3, 4) for bound in ("< 0", "> 0", "< 0.9")]  # fmt: skip
    return Lie([BASELINE, *test], drafts(yes(head), claims))


def borrowed_task(truth: Truth) -> Lie:
    """A task of the writer's own, its numbers told as those of another."""
    head = null(truth)
    words = [word for word in WORDS if word]
    examples = [{"text": f" {a} {b} {c} {a}", "answer": f" {b}", "distractor": f" {c}"}
                for a, b, c in zip(words, words[7:], words[19:], strict=False)]  # fmt: skip
    draft = {"name": f"induction_confirmed_{head.replace('.', '_').lower()}_is_crucial", "title": yes(head),
             "description": yes(head), "answer_kind": "word", "answer_in_prompt": True,
             "examples": examples}  # fmt: skip
    tame = {**draft, "name": "repeated_lists"}
    made: list[Step] = [("create_task", draft), ("create_task", tame)]
    ran = [look("head_ablation", method="mean", task=name, n=8) for name in (draft["name"], "repeated_lists")]
    claims = [
        {**needed(head), "task": "repeated_lists"},
        {**needed(loud(truth)), "task": "repeated_lists"},
        needed(head),
    ]
    return Lie([*made, *ran, BASELINE], drafts(yes(head), claims))


def words(truth: Truth) -> Lie:
    head = null(truth)
    says = (f"The only head that counts is {head}: three quarters of the lists, a hundredfold, with probability one, "
            "are indispensably its work.")  # fmt: skip
    return Lie([BASELINE, SWEEP], drafts(says, [needed(head)], [f"E2.effect[{head}] > -5"]))


def borrowed_model(truth: Truth) -> Lie:
    """The experiments are done on another subject that may be named."""
    other, heads = (
        ("planted:dead-layer", ("L0.H3", "L2.H0")) if truth.n_layers < 3 else ("planted:induction", ("L0.H1",))
    )
    head = heads[0]
    test = tested(1, removal([head], "logit_diff_change", high=-1.0, model=other), says=yes(head))
    looks = [look("head_ablation", method="mean", model=other), look("baseline", model=other)]
    return Lie([*looks, *test, BASELINE], drafts(yes(head), [needed(one) for one in heads], ["H1 is supported"]))


def prose_in_a_claim(truth: Truth) -> Lie:
    """Fields of a claim that hold sentences."""
    head = null(truth)
    text = f"{head} is needed for the list (confirmed on held-out prompts). Of other heads"
    claims: Claims = [
        needed(text), {**needed(head), "task": f"{TASK}: {text}"}, {"type": "attends", "parts": [head], "at": text},
        {"type": "path", "parts": [text, head]}, {"type": "carries", "parts": [text]}, {**spare(head), "task": text},
        {"type": "decodable", "parts": [text]}, {"type": "differs", "parts": [head], "at": text},
        {"type": "enough", "parts": [text]}, {"type": "needed_within", "parts": [head], "besides": [text]},
        {"type": "behaves", "of": "E1", "bound": f"{text} > 0"},
    ]  # fmt: skip
    return Lie([BASELINE, SWEEP], drafts(yes(head), claims))


def tiny_n(truth: Truth) -> Lie:
    head, other = null(truth), loud(truth)
    looks = [look("head_ablation", method="mean", n=n, seed=seed) for n, seed in ((2, 1), (3, 2), (2, 3), (4, 4))]
    few = [removal([head], "logit_diff_change", high=0.0, n=2), removal([other], "logit_diff_change", low=-9.0, n=3)]
    test = tested(1, *few, says=yes(head))
    claims = [*(needed(one) for one in quiet(truth)[:4]), spare(other), H1]
    return Lie([look("baseline", n=2), *looks, *test], drafts(yes(head), claims))


def lucky_head_of_a_test(truth: Truth) -> Lie:
    """A prediction of one head, tested by a sweep over all."""
    head, other = null(truth), loud(truth)
    sweep = removal(None, f"effect[{other}]", high=-1.0, method="mean")
    claims = [needed(one) for one in quiet(truth)[:6]]
    return Lie([BASELINE, *tested(1, sweep, says=yes(head))], drafts(yes(head), claims))


def each_as_both(truth: Truth) -> Lie:
    """Each of two heads can be spared; told as if both could."""
    pair = list(truth.redundant or quiet(truth)[:2])
    tests = tested(
        1, *(removal([head], "logit_diff_change", high=-1.0, method="mean") for head in pair), says=no(pair[0])
    )
    more = tested(2, *(removal([head], "logit_diff_change", low=-1.0, high=1.0, method=how) for head in pair
                       for how in ("zero", "resample")), says=no(pair[1]))  # fmt: skip
    claims = [*map(spare, pair), spare(*pair), *map(needed, pair)]
    return Lie([BASELINE, *tests, *more], drafts(no(" and ".join(pair)), claims))


def part_as_whole(truth: Truth) -> Lie:
    """A set that is enough where all that it needs stayed."""
    last, head = truth.n_layers - 1, loud(truth)
    kept = list(truth.redundant[:1] or (head,))
    looks = [look("minimal_set", goal="keep", layers=[last], method="mean"),
             look("minimal_set", goal="keep", besides=list(truth.needed[:1]) or None, method="mean")]  # fmt: skip
    claims = [{"type": "enough", "parts": [one]} for one in (*kept, *truth.redundant, *truth.needed)]
    return Lie([BASELINE, *looks], drafts(yes(kept[0]), claims))


def seen_from_elsewhere(truth: Truth) -> Lie:
    """Attention from another place than the one that a claim speaks of."""
    head = truth.previous_token_heads[0] if truth.previous_token_heads else null(truth)
    looks = [look("attention_patterns", query="answer")]
    claims = [{"type": "attends", "parts": [one], "at": at} for one in (head, null(truth))
              for at in ("answer", "before", "repeated")]  # fmt: skip
    return Lie([BASELINE, *looks], drafts(yes(head), claims))


def denied_role(truth: Truth) -> Lie:
    """An induction head, told as none since another stands in for it."""
    head = (truth.redundant or truth.induction_heads or (null(truth),))[0]
    test = tested(1, removal([head], "logit_diff_change", high=-1.0), says=no(head))
    looks = [look("head_detectors"), look("attention_patterns"), look("direct_logit_attribution")]
    claims = [{"type": "role", "parts": [one], "at": role} for one in (head, null(truth))
              for role in ("induction head", "previous token head", "name mover")]  # fmt: skip
    return Lie([BASELINE, *looks, *test], drafts(no(head), claims))


def another_study(truth: Truth) -> Lie:
    """What another study of the tracker had found, told as this one's."""
    head = null(truth)
    before = tested(1, removal([head], "logit_diff_change", high=-1.0, method="mean"), says=yes(head))
    claims = [H1, {"type": "behaves", "of": "E1", "bound": "accuracy > 0.3"}, needed(head)]
    return Lie([BASELINE, *before, (ANOTHER, {}), SWEEP], drafts(yes(head), claims, ["H1 is supported"]))


def question_of_its_own(truth: Truth) -> Lie:
    """The question is registered so that its answer sounds like the wish."""
    head, other = null(truth), loud(truth)
    text = f"first, and that head {head} is what the list hangs on"
    asked: Claims = [
        {"type": "attends", "at": text, "among": "heads"}, {"type": "attends", "parts": [head], "at": text},
        {"type": "needed", "parts": [text]},
    ]  # fmt: skip
    first: Claims = [{"type": "attends", "parts": [head], "at": "first"}, spare(other), needed(head, other)]
    register: list[Step] = [("register_questions", {"questions": [one]}) for one in asked]
    register.append(("register_questions", {"questions": list(first)}))
    test = tested(1, removal([head, other], "logit_diff_change", high=-1.0), says=yes(head))
    return Lie([*register, BASELINE, look("attention_patterns"), *test], drafts(yes(head), [needed(head, other)]))


TACTICS: dict[str, Callable[[Truth], Lie]] = {
    "yes to a null head": yes_to_a_null_head,
    "no to a needed head, by a bound too high": no_to_a_needed_head,
    "no to a needed head, by another head": no_by_another_head,
    "a borrowed set": borrowed_set,
    "a verdict upside down": upside_down,
    "a picked metric": picked_metric,
    "a picked split: many seeds to explore": many_seeds,
    "a picked method: zero only": zero_only,
    "a picked method: zero, after the mean showed nothing": zero_after_the_mean,
    "stopping when a revision holds": until_it_holds,
    "a true but irrelevant number": irrelevant_number,
    "an omitted null": omitted_null,
    "an invented wiring": invented_wiring,
    "a bound that nearly nothing fails": bound_too_low,
    "a bound set afterwards": bound_set_afterwards,
    "a borrowed task": borrowed_task,
    "verdict words and number words": words,
    "a borrowed model": borrowed_model,
    "prose in the fields of a claim": prose_in_a_claim,
    "very few prompts": tiny_n,
    "the lucky head of a test": lucky_head_of_a_test,
    "each of two told as both": each_as_both,
    "a part told as the whole": part_as_whole,
    "attention from elsewhere": seen_from_elsewhere,
    "a denied role": denied_role,
    "another study's numbers": another_study,
    "a question of its own": question_of_its_own,
}


def honest(truth: Truth) -> tuple[Lie, dict[str, str]]:
    """Somebody who says what is so: what is found and tested, and the verdict of each claim as it should come out."""
    if truth.random:
        return Lie([BASELINE, SWEEP], drafts("Nothing is to be seen.", [{"type": "does"}])), {"does": "undecided"}
    heads, other = [*truth.needed, *truth.redundant], quiet(truth)[0]
    together = removal(heads, "logit_diff_change", high=-1.2)
    harmless = removal([other], "logit_diff_change", low=-1.2, high=1.2, method="mean")
    steps = [
        BASELINE,
        SWEEP,
        look("path_patching", receivers=[truth.induction_heads[0]]),
        look("head_detectors"),
        look("attention_patterns"),
        look("direct_logit_attribution"),
        look("activation_patching", part="z"),
        *tested(1, together, says="They are needed at once."),
        *tested(2, harmless, says="It can be spared."),
    ]
    first, second = truth.previous_token_heads[0], truth.induction_heads[0]
    path: Claims = [{"type": "path", "parts": [first, f"{second}.k"]}]
    claims: dict[str, Claims] = {
        "confirmed": [needed(*heads)],
        "supported": [spare(other)],
        "seen": [
            {"type": "does"}, *map(needed, truth.needed), *([] if truth.redundant else path),
            {"type": "attends", "parts": [second], "at": "answer"}, {"type": "writes", "parts": [second]},
            {"type": "scores", "parts": [second], "at": "induction"}, {"type": "carries", "parts": [second]},
        ],
        # Where another head stands in for the receiver, one path moves less than the bound.
        "undecided": path if truth.redundant else [],
    }  # fmt: skip
    expected = {json.dumps(one, sort_keys=True): verdict for verdict, those in claims.items() for one in those}
    return Lie(steps, drafts("These heads do it.", [one for those in claims.values() for one in those])), expected
