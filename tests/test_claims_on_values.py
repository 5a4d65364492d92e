"""Claims on a named value rest on what was measured of this value, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.tests.studies import Scripted
from lashley.tests.test_findings import TASK, Studied
from lashley.tools.claims.answers import _open
from lashley.tools.claims.call import TypedClaim, claim_from, claim_on, kept, read_claim
from lashley.tools.claims.claim import CannotClaim, Finding
from lashley.tools.claims.question import question_from
from lashley.tools.claims.registry import claim_types

# The planted model copies the word after the last one: L1.H2 moves the answer, and L0.H1 finds where it is.
THERE: dict[str, Any] = {"value": "answer", "at": "repeated"}


@pytest.fixture(scope="module")
def valued(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    def protocol(data: Data) -> Protocol:
        why = {"n": 16, "reason": "Look."}
        yield "", "baseline", why
        for kind, config in (
            ("logit_lens", {"value": "answer", "position": "repeated"}),
            ("logit_lens", {"value": "before", "position": "answer"}),
            ("activation_patching", {"part": "z", "twin": "answer"}), ("activation_patching", {"part": "z"}),
        ):  # fmt: skip
            yield "", kind, {**why, **config}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    path = tmp_path_factory.mktemp("valued") / "t.db"
    return Studied(path, "planted:induction", Scripted(protocol), "How does it continue a list?")


def judged(studied: Studied, kind: str, split: str = "explore", **fields: Any) -> Finding:
    """The finding, with every experiment made on the prompts of this split."""
    rows = {name: row._replace(split=split) for name, row in studied.study.experiments.items()}
    claim = claim_types()[kind].model_validate({"task": TASK, **fields})
    return claim.judge(replace(studied.study, experiments=rows))


@pytest.mark.parametrize(
    ("kind", "part", "split", "verdict", "says"),
    [
        ("decodable", "L1", "explore", "seen", "A lens reads the answer of induction at repeated after layer 1 (seen"),
        ("decodable", "L0", "explore", "undecided", "does not read the answer of induction at repeated after layer 0"),
        ("decodable", "L1", "confirm", "confirmed", "at repeated after layer 1 (confirmed on held-out"),
        ("decodable", "L0", "confirm", "refuted", "A lens does not read the answer of induction at repeated after"),
        ("decodable", "L7", "confirm", "untested", "Whether a lens reads the answer of induction at repeated after l"),
        ("first_decodable", "L1", "confirm", "confirmed", "Layer 1 is the first layer after which the answer of ind"),
        ("first_decodable", "L0", "confirm", "refuted", "Layer 0 is not the first layer after which the answer of"),
        ("carries", "L1.H2", "explore", "seen", "L1.H2 carries what changes with the answer in induction (seen whi"),
        ("carries", "L1.H2", "confirm", "confirmed", "L1.H2 carries what changes with the answer in induction (con"),
        ("carries", "L0.H1", "confirm", "refuted", "L0.H1 does not carry what changes with the answer in induction"),
        ("carries", "L7.H0", "confirm", "untested", "Whether L7.H0 carries what changes with the answer in inducti"),
    ],
)
def test_a_claim_on_a_value_has_a_sentence_for_every_verdict(
    valued: Studied, kind: str, part: str, split: str, verdict: str, says: str
) -> None:
    fields = {"value": "answer"} if kind == "carries" else THERE
    found = judged(valued, kind, split, parts=(part,), **fields)
    assert (found.verdict, says in found.sentence) == (verdict, True), found.text
    if kind == "carries" and verdict != "untested":
        assert found.because.endswith("The corrupted prompts change only the answer and what follows from it.")


def test_evidence_on_a_value_is_none_on_the_answer_or_another_value(valued: Studied) -> None:
    # The lens was never read where the answer is predicted, nor the answer at another position.
    assert judged(valued, "decodable", parts=("L1",)).verdict == "untested"
    for other in ({"value": "answer"}, {"value": "answer", "at": "before"}, {"at": "answer"}):
        assert judged(valued, "decodable", parts=("L1",), **other).verdict == "untested", other
    assert judged(valued, "decodable", parts=("L1",), value="before", at="answer").verdict != "untested"
    # Corrupted prompts of the task also differ in where the answer is: L0.H1 carries this, and not the answer alone.
    assert judged(valued, "carries", "confirm", parts=("L0.H1",)).verdict == "confirmed"
    assert judged(valued, "carries", "confirm", parts=("L0.H1",), value="before").verdict == "untested"


def test_a_site_that_was_patched_at_a_position_is_named_with_it(tmp_path: Path) -> None:
    def protocol(data: Data) -> Protocol:
        why = {"n": 8, "reason": "Look."}
        yield "", "activation_patching", {**why, "part": "resid_pre", "layers": [1], "positions": ["last", "repeated"]}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    patched = Studied(tmp_path / "t.db", "planted:induction", Scripted(protocol), "How does it continue a list?", n=8)
    found = patched.judged("carries", parts=("L1.resid_pre",))
    assert found.verdict == "untested"
    assert found.untested[0].startswith("It was patched at L1.resid_pre@")
    assert found.untested[0].endswith("Name the position.")


def test_a_value_is_named_as_the_experiment_names_it_and_a_sentence_is_no_value(valued: Studied) -> None:
    given = TypedClaim(type="decodable", parts=["L1"], task=TASK, **THERE)
    claim = claim_on(valued.study, given)
    assert read_claim(kept(claim)) == claim
    for wrong in ("the sum that matters", "confirmed", "a\nb", "", "x" * 60):
        with pytest.raises(CannotClaim, match="names no value; write a name or arithmetic, such as a"):
            claim_from(given.model_copy(update={"value": wrong}), TASK)
    with pytest.raises(CannotClaim, match=r"decodable: at: .* you sent \"at the end\""):
        claim_from(given.model_copy(update={"at": "at the end"}), TASK)
    with pytest.raises(CannotClaim, match=r"No lens looked for the value a\+b of induction at repeated; named values"):
        claim_on(valued.study, given.model_copy(update={"value": "a + b"}))
    moved = TypedClaim(type="carries", parts=["L1.H2"], task=TASK, value="before")
    with pytest.raises(CannotClaim, match=r"measured this value\. Name it as the experiment does"):
        claim_on(valued.study, moved)
    with pytest.raises(CannotClaim, match="value"):
        claim_from(TypedClaim(type="needed", parts=["L1.H2"], task=TASK, value="answer"), TASK)
    # Without a value, a claim is kept as it was before claims had values.
    assert "value" not in kept(claim_from(TypedClaim(type="decodable", parts=["L1"]), TASK))


def test_a_question_about_a_value_names_its_part_and_is_answered_by_its_value_alone(valued: Studied) -> None:
    with pytest.raises(CannotClaim, match="names its site"):
        question_from(TypedClaim(type="carries", value="answer"), "layers", TASK)
    closed = question_from(TypedClaim(type="decodable", parts=["L1"], **THERE), "layers", TASK)
    assert closed.text == "Can the answer of induction at repeated be read after L1?"
    spaced = claim_from(TypedClaim(type="decodable", parts=["L1"], value="a + b", at="b"), "three_operands")
    assert spaced.question == "Can the value a+b of three_operands at b be read after L1?"
    found = [judged(valued, "decodable", "confirm", parts=("L1",), **THERE)]
    asked = question_from(TypedClaim(type="decodable"), "layers", TASK)
    assert found[0].verdict == "confirmed"
    on_the_answer = judged(valued, "carries", "confirm", parts=("L1.H2",))
    assert not any(found[0].sentence in one for one in _open(valued.study, asked, found))
    asked = question_from(TypedClaim(type="carries"), "heads", TASK)
    assert any(on_the_answer.sentence in one for one in _open(valued.study, asked, [on_the_answer]))
