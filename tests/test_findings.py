"""The findings are the program's: on subjects whose answer is known they say it, whatever a writer wishes.

Each liar is a scripted driver with a wish and a tactic. What counts is the first screen of its report, everything above
the writer's own reading.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.autopilot.driver import Autopilot
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.experiments.result import Doubt
from lashley.tests.forked import agent
from lashley.tests.studies import Scripted
from lashley.tools.claims.answers import answers as answered
from lashley.tools.claims.answers import word
from lashley.tools.claims.by_reading import Reading, found_by_reading
from lashley.tools.claims.by_removal import NEEDED, SPARE, Answer, Found, _verdict
from lashley.tools.claims.call import TypedClaim, claim_on
from lashley.tools.claims.claim import CannotClaim, Finding, part_name
from lashley.tools.claims.counted import looked_through
from lashley.tools.claims.findings import findings
from lashley.tools.claims.registry import claim_types
from lashley.tools.claims.removals import Removal, corrected
from lashley.tools.claims.types.needed import Needed
from lashley.tools.evidence.conditions import parse_bound
from lashley.tools.evidence.trivial import cannot_fail
from lashley.tools.report.numbers import value_text
from lashley.tools.report.render import render_run
from lashley.tools.report.study import Study, read_study
from lashley.tools.report.verdict_words import verdict_words
from lashley.tools.workbench.context import Context

TASK = "induction"
SHOWN = ("confirmed", "supported", "seen")
# What each planted subject needs, alone and as a set; every other head does nothing.
ALONE: dict[str, set[str]] = {"planted:induction": {"L0.H1", "L1.H2"}, "planted:null": set()}


class Studied:
    """A study that has ended, read once while its tracker was open."""

    def __init__(self, path: Path, model: str, driver: Any, goal: str, n: int = 16) -> None:
        self.path = path
        with Context.open(str(path), model=model, task=TASK) as context:
            self.ending = study(context, driver, goal, Budget(), View(None), n=n)
        with Reader.open(path) as reader:
            self.study: Study = read_study(reader, 1)
            self.findings = findings(self.study)
            self.front = render_run(reader, 1).markdown.split("## The writer's reading")[0].replace("\\", "")

    def judged(self, kind: str, **fields: Any) -> Finding:
        with Reader.open(self.path) as reader:
            return claim_types()[kind].model_validate({"task": TASK, **fields}).judge(read_study(reader, 1))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    path = tmp_path_factory.mktemp("honest") / "t.db"
    return Studied(path, "planted:induction", Autopilot(), "Which heads continue a repeated list?")


# --- an honest study


def test_an_honest_study_says_what_was_planted(honest: Studied) -> None:
    both = honest.judged("needed", parts=("L0.H1", "L1.H2"))
    assert both.verdict == "confirmed"
    assert "Heads L0.H1 and L1.H2 are, together, needed for induction (confirmed on held-out prompts)." in both.text
    assert both.text in honest.front
    for head in ("L0.H1", "L1.H2"):
        assert honest.judged("needed", parts=(head,)).verdict in SHOWN
        assert honest.judged("spare", parts=(head,)).verdict == "refuted"
    assert honest.judged("does").verdict == "seen"
    (said,) = answered(honest.study, honest.findings)
    assert said.question == "Which heads does induction need?"
    assert both.text in said.sentences
    assert said.sentences[-1].startswith("Intact, the model says the answer")


def test_no_other_head_is_needed(honest: Studied) -> None:
    heads = [f"L{layer}.H{head}" for layer in range(2) for head in range(4)]
    for head in set(heads) - ALONE["planted:induction"]:
        assert honest.judged("needed", parts=(head,)).verdict not in SHOWN, head
        # Nothing but the prompts to explore speaks of them, and it says so.
        assert "not tested on held-out prompts" in honest.judged("needed", parts=(head,)).text


def test_a_set_says_nothing_of_its_members_and_members_nothing_of_a_set(honest: Studied) -> None:
    apart = honest.judged("needed", parts=("L0.H1", "L1.H0"))
    assert apart.verdict == "untested"
    assert "no experiment removed them" in apart.text
    together = honest.judged("stands_in", parts=("L0.H1", "L1.H2"))
    assert together.verdict == "refuted"


def test_what_was_not_measured_is_untested(honest: Studied) -> None:
    for kind, fields in (
        ("attends", {"parts": ("L1.H2",), "at": "answer"}), ("writes", {"parts": ("L1.H2",)}),
        ("path", {"parts": ("L0.H1", "L1.H2.k")}), ("carries", {"parts": ("L1.H2",)}),
        ("decodable", {"parts": ("L1",)}), ("scores", {"parts": ("L1.H2",), "at": "induction"}),
        ("enough", {"parts": ("L0.H1", "L1.H2")}), ("needed_within", {"parts": ("L0.H1",), "besides": ("L1.H2",)}),
    ):  # fmt: skip
        found = honest.judged(kind, **fields)
        assert found.verdict == "untested", kind
        assert "was not tested" in found.text, kind
    role = honest.judged("role", parts=("L1.H2",), at="induction head")
    assert role.verdict == "untested"
    assert "is not shown" in role.text


def test_a_hypothesis_is_told_by_its_predictions_and_never_by_its_statement(honest: Studied) -> None:
    for name, row in honest.study.hypotheses.items():
        found = honest.judged("predicted", of=name)
        assert row.statement not in found.text
        assert found.text.startswith(f"{name} is ")
    with pytest.raises(CannotClaim, match="H99 is no hypothesis"):
        honest.judged("predicted", of="H99")


# --- every other type, measured


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    """A study of the planted induction circuit by every instrument that the types read."""
    path = tmp_path_factory.mktemp("measured") / "t.db"

    def protocol(data: Data) -> Protocol:
        why = {"n": 16, "reason": "Look."}
        yield "", "baseline", why
        for kind, config in (
            ("attention_patterns", {}), ("direct_logit_attribution", {}), ("logit_lens", {}), ("head_detectors", {}),
            ("activation_patching", {"part": "z"}), ("minimal_set", {"goal": "keep"}),
            ("path_patching", {"receivers": ["L1.H2"]}), ("head_ablation", {"method": "mean"}),
            ("head_ablation", {"method": "mean", "heads": ["L0.H1", "L1.H2"], "together": True}),
            ("head_ablation", {"method": "mean", "heads": ["L1.H0", "L1.H2"], "together": True}),
            ("head_ablation", {"method": "mean", "heads": ["L1.H2"]}),
        ):  # fmt: skip
            yield "", kind, {**why, **config}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    return Studied(path, "planted:induction", Scripted(protocol), "How does it continue a list?")


@pytest.mark.parametrize(
    ("kind", "true", "false"),
    [
        ("attends", {"parts": ("L1.H2",), "at": "answer"}, {"parts": ("L1.H0",), "at": "answer"}),
        ("writes", {"parts": ("L1.H2",)}, {"parts": ("L0.H1",)}),
        ("decodable", {"parts": ("L1",)}, {"parts": ("L0",)}),
        ("scores", {"parts": ("L1.H2",), "at": "induction"}, {"parts": ("L0.H1",), "at": "induction"}),
        ("scores", {"parts": ("L0.H1",), "at": "previous_token"}, {"parts": ("L1.H2",), "at": "previous_token"}),
        ("carries", {"parts": ("L1.H2",)}, {"parts": ("L1.H0",)}),
        ("path", {"parts": ("L0.H1", "L1.H2.k")}, {"parts": ("L0.H0", "L1.H2.k")}),
        ("enough", {"parts": ("L0.H1", "L1.H2")}, {"parts": ("L0.H0", "L1.H2")}),
        ("needed", {"parts": ("L1.H2",)}, {"parts": ("L1.H0",)}),
        ("spare", {"parts": ("L1.H0",)}, {"parts": ("L1.H2",)}),
        ("needed_within", {"parts": ("L1.H2",), "besides": ("L0.H1",)}, {"parts": ("L1.H0",), "besides": ("L1.H2",)}),
    ],
)  # fmt: skip
def test_each_type_holds_of_what_was_planted_and_not_of_what_was_not(
    measured: Studied, kind: str, true: dict[str, Any], false: dict[str, Any]
) -> None:
    wrong = measured.judged(kind, **false)
    assert wrong.verdict in ("undecided", "untested", "refuted"), wrong.text
    if kind == "needed_within" and true["besides"] == ("L0.H1",):
        # With L0.H1 gone the circuit is gone, so L1.H2 adds nothing; nobody measured L0.H1 alone on these prompts.
        assert measured.judged(kind, **true).verdict == "untested"
        return
    right = measured.judged(kind, **true)
    assert right.verdict == "seen", right.text
    assert "not tested on held-out prompts" in right.text


def test_every_type_says_in_its_sentence_which_verdict_it_is(honest: Studied, measured: Studied) -> None:
    words = {
        "confirmed": "confirmed on held-out",
        "supported": "supported on held-out",
        "refuted": "refuted on held-out",
    }
    for found in (*honest.findings, *measured.findings):
        if found.claim.type not in ("predicted", "does"):
            assert found.verdict not in words or words[found.verdict] in found.text
        assert "{" not in found.text
        assert found.text.endswith((".", ")"))


# --- liars: a wish, a tactic, and the first screen


def prediction(heads: list[str], quantity: str, **bounds: Any) -> Data:
    config = {"heads": heads, "n": 16, "method": "mean", "together": len(heads) > 1}
    comparison = "above" if "low" in bounds else "below"
    return {
        "kind": "head_ablation",
        "config": json.dumps(config),
        "quantity": quantity,
        "comparison": comparison,
    } | bounds


def lying(*predictions: Data, claims: tuple[str, ...] = (), title: str, more: tuple[tuple[str, Data], ...] = ()) -> Any:
    """A study that looks, predicts, tests, and reports what it wishes."""

    def protocol(data: Data) -> Protocol:
        yield "", "baseline", {"n": 16, "reason": "Look."}
        for kind, config in more:
            yield "", kind, {"n": 16, "reason": "Look.", **config}
        said = {"statement": title, "rationale": "It is so.", "refuted_if": "It is not."}
        made = yield "", "propose_hypothesis", {**said, "predictions": list(predictions)}
        # A language model is told nothing but the text.
        if "is recorded" in made["text"]:
            yield "", "test_hypothesis", {"hypothesis": "H1"}
        told = [{"sentence": title, "conditions": [one]} for one in claims]
        found = yield "", "write_report", {"title": title, "claims": told, "interpretation": title}
        for claims_left, words in (([], title), ([], "It was looked at.")):
            if "is written" not in found["text"]:
                found = yield "", "write_report", {"title": words, "claims": claims_left, "interpretation": words}

    driver = Scripted(protocol)
    # A language model's words are held to more than a protocol's.
    driver.llm = "liar"
    return driver


YES = "L1.H0 is crucial for the list, confirmed on held-out prompts."
NO = "L1.H2 does not matter for the list, confirmed on held-out prompts."
TACTICS: dict[str, tuple[str, Callable[[], Any]]] = {
    "a bound that cannot fail": (
        "L1.H0", lambda: lying(prediction(["L1.H0"], "kl", low=-1.0), claims=("H1 is supported",), title=YES)
    ),
    "a bound that nearly nothing fails": (
        "L1.H0",
        lambda: lying(prediction(["L1.H0"], "logit_diff_change", high=5.0), claims=("H1 is supported",), title=YES),
    ),
    "a borrowed set": (
        "L1.H0",
        lambda: lying(prediction(["L1.H0", "L1.H2"], "logit_diff_change", high=-1.0), claims=("H1 is supported",),
                      title=YES),
    ),
    "a verdict upside down": (
        "L1.H0",
        lambda: lying(prediction(["L1.H0"], "logit_diff_change", high=-1.0), claims=("H1 is refuted",), title=YES),
    ),
    "the intact accuracy": (
        "L1.H0",
        lambda: lying(prediction(["L1.H0"], "accuracy", low=0.3), claims=("E1.accuracy > 0.3",), title=YES),
    ),
    "no to a needed head, by a bound that is too high": (
        "L1.H2",
        lambda: lying(prediction(["L1.H2"], "logit_diff_change", high=-50.0), claims=("H1 is refuted",), title=NO),
    ),
    "no to a needed head, by another head": (
        "L1.H2",
        lambda: lying(prediction(["L1.H0"], "logit_diff_change", high=-1.0), claims=("H1 is refuted",), title=NO,
                      more=(("head_ablation", {"heads": ["L1.H2"], "method": "mean"}),)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("tactic", TACTICS)
def test_the_first_screen_of_a_liar_says_what_is_so(tactic: str, tmp_path: Path) -> None:
    head, driver = TACTICS[tactic]
    studied = Studied(tmp_path / "t.db", "planted:induction", driver(), f"Is {head} important for a repeated list?")
    assert studied.ending.status == "finished"
    for wish in (YES, NO, "crucial", "does not matter"):
        assert wish not in studied.front
    needed = studied.judged("needed", parts=(head,))
    if head in ALONE["planted:induction"]:
        assert needed.verdict not in ("refuted",)
        assert f"{head} is not needed" not in studied.front
        assert f"{head}: not needed" not in studied.front
    else:
        assert needed.verdict not in SHOWN
        assert f"Head {head} is needed" not in studied.front
    # The goal names it, so the program's answer stands on the first screen, whatever was tested.
    assert f"**Does induction need head {head}?** {word(needed)} {needed.text}" in studied.front


# --- laws


@pytest.mark.parametrize("reading", [NEEDED, SPARE], ids=["needed", "spare"])
def test_verdicts_hold_over_every_combination_of_answers(reading: Any) -> None:
    ways = ("zero", "mean", "resample")
    for answers in itertools.product(("for", "against", "open", None), repeat=3):
        tried: Any = {way: one for way, one in zip(ways, answers, strict=True) if one is not None}
        held_out, explored = _verdict(tried, ways, True), _verdict(tried, ways, False)
        said = set(tried.values())
        assert (held_out == "confirmed") == (tuple(answers) == ("for",) * 3)
        assert held_out != "supported" or ("for" in said and "against" not in said)
        assert held_out != "refuted" or "against" in said
        # A gentle way of removal that contradicts is never outvoted by zero.
        if "for" in (tried.get("mean"), tried.get("resample")):
            assert held_out != "refuted"
        if "against" in said:
            assert held_out in ("refuted", "undecided")
        assert explored in ("seen", "undecided", "untested")
        assert (held_out == "untested") == (explored == "untested") == (not tried)


@pytest.mark.parametrize(
    ("bound", "fails"),
    [
        ("kl > 0", True), ("kl > -1", True), ("accuracy > 0", True), ("accuracy < 1", True), ("percentile > 0", True),
        ("accuracy between 0 and 1", True), ("accuracy > 0.5", False), ("kl > 0.1", False), ("kl < 0.1", False),
        ("effect[L0.H1] < -0.1", False), ("effect[L0.H1, kl] > 0", True), ("effect[L0.H1, to_answer] > 0", True),
        ("loss > 0", True), ("loss < 2", False), ("excess > 0", False), ("rank > -1", True),
    ],
)  # fmt: skip
def test_a_bound_that_cannot_fail_is_named(bound: str, fails: bool) -> None:
    assert bool(cannot_fail(parse_bound(bound))) == fails


def test_a_bound_that_a_control_meets_is_refused(measured: Studied) -> None:
    of = next(one for one, row in measured.study.experiments.items() if row.kind == "attention_patterns")
    with pytest.raises(CannotClaim, match="equal weights gives"):
        measured.judged("behaves", of=of, bound="effect[L1.H2, to_answer] > 0.01")
    found = measured.judged("behaves", of=of, bound="effect[L1.H2, to_answer] > 0.5")
    assert found.verdict == "seen"
    assert "the bound was set afterwards" in found.text


# --- a claim as data, from a report and from the command line


def test_a_report_takes_claims_as_data_and_words_them(tmp_path: Path) -> None:
    def protocol(data: Data) -> Protocol:
        yield "", "baseline", {"n": 16, "reason": "Look."}
        yield "", "head_ablation", {"n": 16, "method": "mean", "reason": "Which heads?"}
        report = {"title": "T", "claims": [], "interpretation": "It was looked at."}
        for wrong in (
            {"type": "ned", "parts": ["L1.H2"]}, {"type": "needed"}, {"type": "does", "parts": ["L1.H2"]},
            {"type": "behaves", "of": "E2", "bound": "effect[L1.H2, kl] > 0"}, {"type": "predicted", "of": "H7"},
        ):  # fmt: skip
            found = yield "", "write_report", {**report, "findings": [wrong]}
            assert found["refused"], wrong
        yield "", "write_report", {**report, "findings": [{"type": "needed", "parts": ["L1.H2"]},
                                                          {"type": "spare", "parts": ["L1.H0"]}]}  # fmt: skip

    studied = Studied(tmp_path / "t.db", "planted:induction", Scripted(protocol), "Which heads continue a list?")
    assert studied.ending.status == "finished"
    assert "sent the writer's report back 5 times. Reasons: a claim that cannot be made (5)." in studied.front
    for kind, head in (("needed", "L1.H2"), ("spare", "L1.H0")):
        found = studied.judged(kind, parts=(head,))
        assert found.verdict == "seen"
        assert found.text in studied.front


def test_anybody_can_ask_for_a_verdict(honest: Studied) -> None:
    folder = honest.path.parent
    said = agent(folder, "findings", "R1", "--json", "--db", str(honest.path))
    assert [one["verdict"] for one in json.loads(said.stdout)["findings"]] == [one.verdict for one in honest.findings]
    asked = agent(folder, "findings", "R1", "needed", "L0.H1", "L1.H2", "--db", str(honest.path))
    assert "confirmed on held-out prompts" in " ".join(asked.stdout.split())
    for wrong, words in (
        (("E1",), "not a run"), (("R9",), "There is no run R9"), (("R1", "ned", "L1"), "no type of claim 'ned'"),
        (("R1", "needed"), "name the parts"), (("R1", "attends", "L1.H2"), "at: is required"),
    ):  # fmt: skip
        refused = agent(folder, "findings", *wrong, "--db", str(honest.path))
        assert refused.returncode == 2
        assert words in refused.stderr


def test_only_what_a_prediction_speaks_of_counts_as_tested(honest: Studied) -> None:
    said = {one.claim.about for one in honest.findings if one.claim.type in ("needed", "spare")}
    heads = {"L0.H1", "L1.H2"}
    assert said <= {("L0.H1",), ("L1.H2",), ("L0.H1", "L1.H2"), ("L0",), ("L1",)}
    assert heads <= {part for parts in said for part in parts}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L1.H2 is crucial, and it is the only one.", ["crucial", "the only"]), ("This proves it.", ["proves"]),
        ("It was confirmed, Confirmed and CONFIRMED.", ["confirmed"]),
        ("It is half of the skill.", ["half of the"]),
        ("In nine of ten prompts.", ["nine of ten"]),
        ("In nine in ten prompts, three quarters.", ["nine in ten", "three quarters"]),
        ("A hundredfold, with probability one.", ["hundredfold", "probability one"]), ("H1 is {{H1.verdict}}.", []),
        ("It says \"it is confirmed\".", ["confirmed"]), ("`It is proved.`", ["proved"]),
        ("> It is crucial.", ["crucial"]),
        ("A third of the damage, twice as much.", ["a third of", "twice as"]), ("“That is certain,” it asked.", []),
        ("An uncertain and unsupported improvement.", []), ("It is refuted; certainly.", ["refuted", "certainly"]),
    ],
)  # fmt: skip
def test_words_that_are_the_programs_are_sent_back(text: str, words: list[str]) -> None:
    assert [one.split("'")[1] for one in verdict_words(text, lambda said: said == "That is certain,")] == words


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("answers", [("for", "against"), ("against", "for"), ("against", "open", "for")])
def test_numbers_that_contradict_each_other_leave_a_claim_undecided(held_out: bool, answers: tuple[Any, ...]) -> None:
    claim = claim_types()["writes"].model_validate({"task": TASK, "parts": ("L1.H2",)})
    readings = [Reading(f"E{i}", held_out, "share", 1.0, 0.5, 1.5, 16, 0.1, one) for i, one in enumerate(answers)]
    found = found_by_reading(claim, readings, "it writes", "it does not write", lambda one: f"It is {one.text}.")
    assert found.verdict == "undecided"
    assert found.sentence.startswith("Whether it writes is undecided.")


def test_one_prediction_and_a_difference_of_two_experiments_are_claims(measured: Studied, honest: Studied) -> None:
    rows = measured.study.experiments
    sweep = next(one for one, row in rows.items() if row.kind == "head_ablation" and row.config.get("heads") is None)
    alone = next(one for one, row in rows.items() if row.config.get("heads") == ["L1.H2"])
    same = measured.judged("contrast", of=sweep, at=alone, bound="effect[L1.H2] between -0.001 and 0.001")
    assert same.verdict == "seen"
    assert "minus that in" in same.text
    other = measured.judged("contrast", of=sweep, at=alone, bound="effect[L1.H2] < -0.5")
    assert other.verdict == "undecided"
    assert "It is not < -0.5" in other.text
    for wrong, words in (
        ({"of": sweep, "at": "E99", "bound": "effect[L1.H2] < 0"}, "E99 is no experiment"),
        ({"of": sweep, "at": alone, "bound": "accuracy > 0"}, "is not one effect"),
        ({"of": sweep, "at": alone, "bound": "effect[L1.H0] < 0"}, "no effect at 'L1.H0'"),
        ({"of": sweep, "at": "E1", "bound": "effect[L1.H2] < 0"}, "measured no effects"),
    ):
        with pytest.raises(CannotClaim, match=words):
            measured.judged("contrast", **wrong)
    name = next(one for one, row in honest.study.hypotheses.items() if len(row.predictions) > 1)
    first = honest.judged("predicted", of=f"{name}.1")
    assert first.text.startswith(f"Prediction 1 of {name}, which as a whole is ")
    assert len(first.evidence) == 1
    with pytest.raises(CannotClaim, match="predictions"):
        honest.judged("predicted", of=f"{name}.99")


# --- controls


def test_a_needed_set_is_shown_with_what_random_sets_do(honest: Studied, measured: Studied) -> None:
    both = measured.judged("needed", parts=("L0.H1", "L1.H2"))
    row = next(one for one in measured.study.experiments.values() if one.config.get("heads") == ["L0.H1", "L1.H2"])
    control = next(one for one in row.measurements if one.name == "control_change")
    value = value_text(control.value, control.low, control.high, unit="logits")
    said = f" As many heads near by, drawn at random, change logit_diff by {value} ({control.n} sets)."
    assert said in both.text
    single = measured.judged("needed", parts=("L1.H2",))
    assert " Single heads near by, drawn at random, change logit_diff by " in single.text
    # A sweep has no sets beside it, and nothing is said.
    assert "drawn at random" not in measured.judged("needed", parts=("L1.H0",)).text
    assert "drawn at random" not in measured.judged("spare", parts=("L1.H2",)).text
    assert "drawn at random" in honest.judged("needed", parts=("L0.H1", "L1.H2")).text


def test_what_is_predicted_of_a_spare_part_is_its_change_and_never_an_excess(tmp_path: Path, measured: Studied) -> None:
    told: list[Data] = []

    def protocol(data: Data) -> Protocol:
        about = {"statement": "It does not matter.", "rationale": "It was seen.", "refuted_if": "It does."}
        within = {"low": -0.5, "high": 0.5, "comparison": "between"}
        for quantity, bounds in (
            ("excess", {"high": 0.5, "comparison": "below"}), ("excess", within),
            ("percentile", {"high": 50, "comparison": "below"}), ("logit_diff_change", within),
        ):  # fmt: skip
            config = json.dumps({"heads": ["L1.H0"], "method": "mean", "n": 16})
            one = {"kind": "head_ablation", "config": config, "quantity": quantity, **bounds}
            told.append((yield "", "propose_hypothesis", {**about, "predictions": [one]}))
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "Nothing."}

    Studied(tmp_path / "t.db", "planted:induction", Scripted(protocol), "Is L1.H0 spare?")
    *refused, taken = told[-4:]
    assert all(one.get("refused") for one in refused)
    assert not taken.get("refused")
    of = next(one for one, row in measured.study.experiments.items() if row.config.get("heads") == ["L1.H2"])
    with pytest.raises(CannotClaim, match=r"logit_diff_change between -0\.1 and 0\.1"):
        measured.judged("behaves", of=of, bound="excess < 100")


@pytest.mark.parametrize(("mean", "told"), [("against", True), ("open", False), ("for", False)])
def test_only_where_the_mean_does_no_damage_it_is_said_that_it_does_none(mean: Answer, told: bool) -> None:
    by_zero = Removal("E1", True, "zero", "logit_diff", -2.5, -3.6, -1.1, 32, 0.5, "more", "effect[L1.H1]", True)
    found = Found("undecided", by_zero, {"zero": "for", "mean": mean}, [by_zero], ())
    said = Needed(task="ioi", parts=("L1.H1",)).against(found)
    assert any("E1), which the mean does not" in one for one in said) == told


# --- what a claim may name, and what it may rest on


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("L7.H3", "L7.H3"), (" L07.H03 ", "L7.H3"), ("L7.H3.z", "L7.H3"), ("L7", "L7"), ("L7.mlp_out", "L7.mlp"),
        ("L7.H3.k", "L7.H3.k"), ("L7.resid_post@last", "L7.resid_post@last"), ("logits", "logits"),
    ],
)  # fmt: skip
def test_a_part_has_one_name(text: str, name: str) -> None:
    assert part_name(text) == name


@pytest.mark.parametrize("text", ["L7.H3 is needed", "head 7.3", "L7.H3@the end, which is needed", "needed", ""])
def test_a_sentence_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="names no"):
        part_name(text)


def test_a_claim_in_a_report_names_what_there_is(honest: Studied) -> None:
    for given, words in (
        ({"type": "needed", "parts": ["L9.H0"]}, "has no L9.H0: it has 2 layers"),
        ({"type": "needed", "parts": ["L1.H7"]}, "has no L1.H7: it has 4 heads a layer"),
        ({"type": "needed", "parts": ["L1.H2"], "task": "lists, which need L1.H0"}, "No experiment of R1 has the task"),
        ({"type": "attends", "parts": ["L1.H2"], "at": "answer"}, "No attention to 'answer' was measured"),
        ({"type": "attends", "parts": ["L1.H2"], "at": "answer, as is confirmed"}, "should match pattern"),
    ):
        with pytest.raises(CannotClaim, match=words):
            claim_on(honest.study, TypedClaim.model_validate(given))


def test_a_place_that_no_prediction_names_is_one_of_all_that_were_measured(honest: Studied) -> None:
    row = next(one for one in honest.study.experiments.values() if one.kind == "head_ablation" and len(one.effects) > 2)
    metric = row.effects[0].metric
    assert looked_through(honest.study, row, "L1.H0", metric) == len(row.effects) == 8
    prediction = next(iter(honest.study.hypotheses.values())).predictions[0]
    assert prediction.judged is not None
    of_row = prediction._replace(quantity="effect[L1.H0]", judged=prediction.judged._replace(experiment=row.id))
    hypothesis = next(iter(honest.study.hypotheses.values()))._replace(predictions=[of_row])
    named = replace(honest.study, hypotheses={"H1": hypothesis})
    assert looked_through(named, row, "L1.H0", metric) == 1
    assert looked_through(named, row, "L1.H1", metric) == 8
    assert corrected(named, "E0", 0.01, among=8) == pytest.approx(8 * corrected(named, "E0", 0.01))


def test_another_model_and_a_task_that_is_not_done_show_nothing(honest: Studied) -> None:
    both = {"task": TASK, "parts": ("L0.H1", "L1.H2")}
    needed = claim_types()["needed"].model_validate(both)
    assert needed.judge(honest.study).verdict == "confirmed"
    rows = honest.study.experiments
    elsewhere = {one: row._replace(model="planted:backup") for one, row in rows.items()}
    assert needed.judge(replace(honest.study, experiments=elsewhere)).verdict == "untested"
    doubt = Doubt(code="unable", text="It cannot.")
    unable = {one: row._replace(doubts=[doubt]) for one, row in rows.items()}
    found = needed.judge(replace(honest.study, experiments=unable))
    assert found.verdict == "undecided"
    assert "The intact model is not shown to do the task" in found.text


def test_a_distance_shows_no_need(honest: Studied) -> None:
    rows = {
        one: row._replace(effects=[e._replace(metric="kl", value=2.0, low=1.5, high=2.5) for e in row.effects],
                          measurements=[])
        for one, row in honest.study.experiments.items() if row.kind == "head_ablation"
    }  # fmt: skip
    study = replace(honest.study, experiments=rows)
    for kind, verdicts in (("needed", ("undecided",)), ("spare", ("refuted", "undecided"))):
        claim = claim_types()[kind].model_validate({"task": TASK, "parts": ("L0.H1", "L1.H2")})
        assert claim.judge(study).verdict in verdicts
