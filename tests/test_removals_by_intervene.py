"""A removal that `intervene` makes is evidence like any other, and nothing else that it does is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.experiments.kinds.intervene import Intervene
from lashley.tests.studies import Scripted
from lashley.tests.test_findings import TASK, Studied


@pytest.mark.parametrize(
    ("edit", "method", "parts"),
    [
        (["zero L1.H2"], "zero", {"L1.H2"}),
        (["both: mean L0.H1 L1.H2"], "mean", {"L0.H1", "L1.H2"}),
        (["A: zero L0.H1", "A: zero L1.mlp"], "zero", {"L0.H1", "L1.mlp"}),
        (["skip L1"], "skip", {"L1"}),
        (["zero L1.H2@last"], None, set()),  # at one position only
        (["zero L*.H2"], None, set()),
        (["A: zero L1.H2", "A: mean L0.H1"], None, set()),  # two methods
        (["A: zero L1.H2", "B: zero L0.H1"], None, set()),  # the controls are those of A
        (["scale L1.H2 by 0"], None, set()),
        (["zero L1.resid_post"], None, set()),
    ],
)
def test_only_whole_parts_removed_by_one_method_are_a_removal(edit: list[str], method: str | None, parts: set) -> None:
    made = Intervene(model="planted:induction", task=TASK, edit=edit)
    name = made.lines()[0].name
    assert made.removed(name, 2) == parts
    assert not made.removed("another site", 2)
    if method is not None:
        assert made.removal_method() == method
    assert not Intervene(model="planted:induction", task=TASK, edit=edit, run_on="corrupted").removed(name, 2)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    def protocol(data: Data) -> Protocol:
        why: dict[str, Any] = {"n": 16, "reason": "Look."}
        yield "", "baseline", why
        yield "", "intervene", {**why, "edit": ["mean L1.H2"], "read": ["logit_diff"], "controls": 4}
        yield "", "head_ablation", {**why, "heads": ["L1.H2"], "method": "mean", "metric": "logit_diff", "controls": 3}
        yield "", "intervene", {**why, "edit": ["zero L1.H2@last"], "read": ["logit_diff"], "controls": 4}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    path: Path = tmp_path_factory.mktemp("intervened") / "t.db"
    return Studied(path, "planted:induction", Scripted(protocol), "Which heads continue a repeated list?")


def test_a_removal_by_intervene_counts_as_that_of_its_own_kind_does(studied: Studied) -> None:
    found = studied.judged("needed", parts=("L1.H2",))
    assert found.verdict == "seen"
    assert {number.experiment for number in found.evidence} == {"E2", "E3"}, "a removal at one position is none"
    numbers = {number.experiment: number for number in found.evidence if number.text.startswith("logit_diff")}
    assert numbers["E2"].text == numbers["E3"].text
    assert numbers["E2"].says == numbers["E3"].says == "for"
    assert studied.judged("spare", parts=("L1.H2",)).verdict == "undecided"
