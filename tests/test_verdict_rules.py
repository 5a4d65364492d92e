"""The rules of findings: answers and their verdicts, bounds that cannot fail, words and names that are refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from lashley.db.read.reader import Reader
from lashley.tests.reported import study as reported_study
from lashley.tools.claims.by_reading import Reading, found_by_reading
from lashley.tools.claims.by_removal import NEEDED, SPARE, Answer, Found, _verdict
from lashley.tools.claims.claim import part_name
from lashley.tools.claims.registry import claim_types
from lashley.tools.claims.removals import Removal
from lashley.tools.claims.types.differs import _verdict as differ
from lashley.tools.claims.types.first_decodable import _verdict as first
from lashley.tools.claims.types.needed import Needed
from lashley.tools.evidence.conditions import parse_bound
from lashley.tools.evidence.trivial import cannot_fail
from lashley.tools.report.refused import reasons
from lashley.tools.report.study import read_study
from lashley.tools.report.verdict_words import verdict_words

TASK = "induction"


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L1.H2 is crucial, and it is the only one.", ["crucial", "the only"]), ("This proves it.", ["proves"]),
        ("It was confirmed, Confirmed and CONFIRMED.", ["confirmed"]),
        ("It is half of the skill.", ["half of the"]), ("One half of the skill.", ["one half of"]),
        # A place is no amount.
        ("In the first half of the layers, and the second half of the prompt; the Other half of its heads.", []),
        ("The later half the model needs, but half the heads it does not.", ["half the"]),
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


@pytest.mark.parametrize(
    ("text", "reasons_given"),
    [
        ("It loses half of the skill.", ["an amount in words"]),
        ("It is confirmed.", ["a verdict or a certainty of its own"]),
        ("It is crucial for half of the prompts.", ["a verdict or a certainty of its own", "an amount in words"]),
        ("The first half of the layers was read.", []),
        ("The first layers do all the work.", ["a sentence about everything"]),
        ("The later layers do nothing for this task.", ["a sentence about everything"]),
        ("They do the whole work on every task.", ["a sentence about everything"]),
        ("All heads of layer 1 were removed, and nothing was typed by hand.", []),
    ],
)
def test_an_amount_in_words_is_no_verdict(tmp_path: Path, text: str, reasons_given: list[str]) -> None:
    with Reader.open(reported_study(tmp_path / "t.db", driver="chat")) as reader:
        draft = json.dumps({"title": "T", "claims": [], "interpretation": text})
        assert [reason for reason, _ in reasons(read_study(reader, 1), [draft])] == reasons_given


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("answers", [("for", "against"), ("against", "for"), ("against", "open", "for")])
def test_numbers_that_contradict_each_other_leave_a_claim_undecided(held_out: bool, answers: tuple[Any, ...]) -> None:
    claim = claim_types()["writes"].model_validate({"task": TASK, "parts": ("L1.H2",)})
    readings = [Reading(f"E{i}", held_out, "share", 1.0, 0.5, 1.5, 16, 0.1, one) for i, one in enumerate(answers)]
    found = found_by_reading(claim, readings, "it writes", "it does not write", lambda one: f"It is {one.text}.")
    assert found.verdict == "undecided"
    assert found.sentence.startswith("Whether it writes is undecided.")


@pytest.mark.parametrize(("mean", "told"), [("against", True), ("open", False), ("for", False)])
def test_only_where_the_mean_does_no_damage_it_is_said_that_it_does_none(mean: Answer, told: bool) -> None:
    by_zero = Removal("E1", True, "zero", "logit_diff", -2.5, -3.6, -1.1, 32, 0.5, "more", "effect[L1.H1]", True)
    found = Found("undecided", by_zero, {"zero": "for", "mean": mean}, [by_zero], ())
    said = Needed(task="ioi", parts=("L1.H1",)).against(found)
    assert any("E1), but replacing it by its mean does not" in one for one in said) == told


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


@pytest.mark.parametrize(
    ("here", "there", "verdict"),
    [
        ("confirmed", ["refuted"], "confirmed"), ("supported", ["refuted", "refuted"], "supported"),
        ("confirmed", ["refuted", "supported"], "refuted"), ("refuted", ["refuted"], "refuted"),
        ("confirmed", ["refuted", "undecided"], "undecided"), ("confirmed", ["refuted", "untested"], "untested"),
        ("confirmed", ["seen"], "undecided"), ("seen", ["refuted"], "seen"),
    ],
)  # fmt: skip
def test_a_difference_of_tasks_needs_a_verdict_in_each(here: Any, there: list[Any], verdict: str) -> None:
    assert differ(here, there) == verdict


def test_a_difference_names_every_task() -> None:
    claim = claim_types()["differs"].model_validate({"task": "ioi", "parts": ("L1.H2",), "at": "capitals,gender"})
    assert claim.question == "Does ioi need head L1.H2 where capitals and gender do not?"


@pytest.mark.parametrize(
    ("said", "held_out", "verdict"),
    [
        ({0: "no", 1: "yes", 2: "yes"}, True, "confirmed"), ({0: "no", 1: "yes", 2: "yes"}, False, "seen"),
        ({0: "yes", 1: "yes", 2: "yes"}, True, "refuted"), ({0: "yes", 1: "yes", 2: "yes"}, False, "undecided"),
        ({0: "open", 1: "yes", 2: "yes"}, True, "undecided"), ({0: "no", 1: "yes", 2: "no"}, True, "refuted"),
        ({0: "no", 2: "yes"}, True, "untested"), ({1: "yes"}, True, "confirmed"),
    ],
)  # fmt: skip
def test_the_first_layer_is_read_and_none_before_it(said: Any, held_out: bool, verdict: str) -> None:
    assert first(said, 1, held_out) == verdict
