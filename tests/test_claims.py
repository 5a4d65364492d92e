"""Claims whose conditions do not hold, or hold by chance, are refused, whoever makes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.prediction import Prediction, judge
from lashley.experiments.result import Effect, Measurement, Result
from lashley.tools.registry import all_tools, answer
from lashley.tools.report.check import check
from lashley.tools.report.claims import Claim, check_claim
from lashley.tools.report.study import read_study
from lashley.tools.workbench.context import Context

from .recorded import EXPERIMENT, RUN


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R1: of forty heads one changes by chance (E1); a set that changes by chance (E2)."""
    path = tmp_path_factory.mktemp("many") / "t.db"
    with Store.open(path) as store:
        run = store.begin_run(**RUN)
        chance = {"metric": "loss", "value": 0.4, "low": 0.05, "high": 0.75, "n": 8, "p": 0.02, "q": 0.04}
        nothing = {"metric": "loss", "value": 0.01, "low": -0.3, "high": 0.3, "n": 8, "p": 0.9, "q": 0.95}
        heads = [
            Effect(site=f"L{i // 8}.H{i % 8}", percentile=99.0, **(chance if i == 3 else nothing)) for i in range(40)
        ]
        change = {"value": 0.4, "low": 0.05, "high": 0.75, "n": 8}
        measured = [Measurement(name=name, **change) for name in ("loss_increase", "accuracy_drop", "excess")]
        measured += [Measurement(name="percentile", value=99.0, low=97.0, high=100.0, n=20)]
        measured += [
            Measurement(name=name, value=v, low=v, high=v, n=8)
            for name, v in (("intact_accuracy", 0.9), ("accuracy", 0.5))
        ]
        for effects, measurements in ((heads, []), ([Effect(site="L0.H3 + L0.H4", **chance)], measured)):
            result = Result(measurements=tuple(measurements), effects=tuple(effects), found="x")
            store.finish_experiment(store.begin_experiment(run=run, **EXPERIMENT), result.model_dump(), 1.0)
        store.add_hypothesis(run, "Bare.", "", "")
        store.set_hypothesis_status(1, "supported", "I say so.")
        # H2: of its two predictions the first holds.
        config = {**EXPERIMENT["config"], "split": "confirm", "seed": 2}
        expected = [Prediction(kind=EXPERIMENT["kind"], config=config, quantity=name, comparison="above", low=0.1)
                    for name in ("accuracy_drop", "excess")]  # fmt: skip
        store.add_hypothesis(run, "One holds.", "", "", [one.model_dump() for one in expected])
        test = store.begin_experiment(run=run, **{**EXPERIMENT, "split": "confirm", "config": config})
        store.finish_experiment(test, Result(measurements=tuple(measured), found="x").model_dump(), 1.0)
        for place, (one, (value, low, high)) in enumerate(zip(expected, ((0.31, 0.22, 0.4), (0.1, -0.3, 0.5)),
                                                              strict=True), start=1):  # fmt: skip
            store.add_judgement(place, test, judge(one, value, (low, high), 8, 8).model_dump())
    return path


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("E1.effect[L0.H1] > 0", "the whole interval"),
        ("E1.effect[L0.H1] > -0.1", "the whole interval"),
        ("E1.effect[L0.H3] > 0", "the interval lies there, but q must be below 0.05 over all comparisons of the run"),
        ("E1.effect[L0.H3, loss] >= 0.01", "over the run"),
        ("E1.effect[L0.H3] between 0.01 and 99", "over the run"),
        ("E1.effect[L0.H3] - effect[L0.H1] > 0", "does not hold"),
        ("E1.effect[L0.H3] - effect[L4.H7] between -0.2 and 9", "does not hold"),
        ("E1.rank[L0.H3] < 2", "over the run"),
        ("E1.percentile[L0.H3] > 95", "over the run"),
        ("E1.p[L0.H3] < 0.05", "over the run"),
        ("E1.q[L0.H3] < 0.05", "over the run"),
        ("E2.loss_increase > 0", "over the run"),
        ("E2.accuracy_drop > 0.01", "over the run"),
        ("E2.excess > 0", "over the run"),
        ("E2.percentile > 95", "over the run"),
        ("E2.intact_accuracy - accuracy > 0.1", "over the run"),
        ("E9.accuracy > 0", "E9 is not an experiment of R1"),
        ("H1 is supported", "has no predictions"),
        ("H9 is supported", "H9 is not a hypothesis of R1"),
        ("H2 is supported", "does not hold (it is inconclusive); a verdict is the program's"),
        ("H2.2 is supported", "H2.2 is supported does not hold (excess above 0.1: inconclusive)"),
        ("H2.3 is supported", "name one of H2.1 to H2.2"),
        ("H2.1 is confirmed", "use H2.1 is supported"),
        ("H1 is true", "is not a condition"),
        ("It is so.", "is not a condition"),
        ("E1.effect[L0.H3]", "is not a condition"),
        ("E1.effect[L0.H3] > 0 or 1 > 0", "is not a condition"),
        ("1 > 0", "is not a condition"),
        ("", "is not a condition"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(many: Path, condition: str, why: str) -> None:
    with Context.open(str(many), run=1) as context:
        given = {
            "title": "t",
            "interpretation": "x",
            "claims": [{"sentence": "It matters.", "conditions": [condition]}],
        }
        said = answer(all_tools(), context, "write_report", json.dumps(given))
        assert said.refused
        assert why in said.text, said.text
        assert context.reader.latest_report(1) is None


def test_one_supported_prediction_carries_a_claim(many: Path) -> None:
    with Reader.open(many) as reader:
        one = Claim(sentence="It falls.", conditions=("H2.1 is supported", "H2.2 is inconclusive"))
        assert check("x", reader, 1, [one]) == []


def test_a_bound_that_no_change_also_meets_is_said_to_be_one(many: Path) -> None:
    with Reader.open(many) as reader:
        study = read_study(reader, 1)
        weak = Claim(sentence="It falls.", conditions=("E2.accuracy_drop > -0.2",))
        assert "A change that counts as none (within 0.1) meets this bound, too" in check_claim(weak, study)[0].found
        strict = Claim(sentence="It falls.", conditions=("E2.accuracy_drop > 0.2",))
        assert "counts as none" not in check_claim(strict, study)[0].found


def test_that_an_effect_is_small_needs_no_significance(many: Path) -> None:
    with Reader.open(many) as reader:
        small = Claim(
            sentence="It is small.", conditions=("E1.effect[L0.H1] < 0.5", "E1.effect[L0.H1] between -1 and 1")
        )
        assert check("x", reader, 1, [small]) == []


def test_a_claim_without_conditions_is_refused(many: Path) -> None:
    with Context.open(str(many), run=1) as context:
        words = {"title": "Words", "interpretation": "It is so."}
        claims = [{"sentence": "It matters.", "conditions": []}]
        said = answer(all_tools(), context, "write_report", json.dumps({**words, "claims": claims}))
        assert said.refused
        bare = [{"sentence": "It matters."}]
        assert answer(all_tools(), context, "write_report", json.dumps({**words, "claims": bare})).refused
