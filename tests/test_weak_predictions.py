"""A prediction that would show little is named when it is recorded, and recorded all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.tests.studies import Scripted
from lashley.tools.workbench.context import Context

LOOK = {"n": 16, "reason": "Look."}
REPORT = {"title": "T", "claims": [], "interpretation": "It was looked at."}
MEETS = "meets this bound, too. Tighten it before the test"


def proposed(path: Path, model: str, predictions: list[dict[str, Any]], other: bool = False) -> dict[str, Any]:
    """What the program answered to a hypothesis with these predictions, after a baseline (with other: of another study
    in the same tracker)."""
    said: dict[str, Any] = {}

    def look(data: Data) -> Protocol:
        yield "", "baseline", LOOK
        yield "", "write_report", REPORT

    def protocol(data: Data) -> Protocol:
        if not other:
            yield "", "baseline", LOOK
        given = {"statement": "It holds.", "rationale": "It may.", "refuted_if": "It does not."}
        said.update((yield "", "propose_hypothesis", {**given, "predictions": predictions}))
        yield "", "write_report", REPORT

    for one in ([look] if other else []) + [protocol]:
        with Context.open(str(path), model=model, task="induction") as context:
            assert study(context, Scripted(one), "Which heads?", Budget(), View(None), n=16).status == "finished"
    return said


def prediction(
    quantity: str, low: float | None = None, high: float | None = None, kind: str = "head_ablation", **config: Any
) -> dict[str, Any]:
    own = {"method": "mean", "heads": ["L1.H2"], **config} if kind == "head_ablation" else config
    comparison = "between" if low is not None and high is not None else "above" if low is not None else "below"
    return {"kind": kind, "config": json.dumps({"n": 16, **own}), "quantity": quantity, "comparison": comparison,
            "low": low, "high": high}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "weak"),
    [
        (prediction("effect[L1.H2]", high=0.3), "within 1 logits"),
        (prediction("effect[L1.H2]", high=-0.3), "within 1 logits"),
        (prediction("effect[L1.H2]", high=-1.5), ""),
        (prediction("effect[L1.H2, kl]", low=0.0005), "within 0.1 nats"),
        (prediction("effect[L1.H2]", low=0.0005, metric="kl"), "within 0.1 nats"),
        (prediction("effect[L1.H2]", low=0.2, metric="kl"), ""),
        (prediction("effect[L1.H2]", low=-0.5, high=0.5), ""),
        (prediction("accuracy_drop", low=0.05, together=True), "within 0.1)"),
        (prediction("accuracy_drop", low=0.3, together=True), ""),
        (prediction("loss_increase", high=0.3, together=True), "within 0.1 nats"),
        # Not a change, but what a lens reads.
        (prediction("effect[L1.resid_post, prob]", low=0.05, kind="logit_lens"), ""),
    ],
)  # fmt: skip
def test_a_bound_that_no_effect_meets_is_named(tmp_path: Path, given: dict[str, Any], weak: str) -> None:
    said = proposed(tmp_path / "t.db", "planted:induction", [given])
    assert said["id"] == "H1"
    assert (MEETS in said["text"]) == bool(weak)
    assert len(said["warnings"]) == bool(weak)
    assert weak in "".join(said["warnings"])
    with Reader.open(tmp_path / "t.db") as reader:
        (kept,) = reader.hypothesis(1).predictions
    assert (kept.low, kept.high) == (given["low"], given["high"])


def test_the_warning_names_the_predictions_that_it_is_about(tmp_path: Path) -> None:
    given = [prediction("effect[L1.H2]", high=bound) for bound in (0.3, -1.5, -0.2)]
    (one,) = proposed(tmp_path / "t.db", "planted:induction", given)["warnings"]
    assert one.startswith("Warning (predictions 1, 3): A change that counts as none (within 1 logits) meets")


@pytest.mark.parametrize(("model", "able"), [("planted:null", False), ("planted:induction", True)])
@pytest.mark.parametrize("other", [False, True])
def test_a_task_that_the_subject_cannot_do_is_named(tmp_path: Path, model: str, able: bool, other: bool) -> None:
    said = proposed(tmp_path / "t.db", model, [prediction("effect[L1.H2]", high=-1.5)], other)
    assert ("E1 does not show that planted:null can do induction" in said["text"]) == (not able)
