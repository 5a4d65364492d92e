"""Lenses and what goes with them on the real model: few prompts, and what is known of it."""

from __future__ import annotations

import pytest

from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.lab import Lab
from lashley.experiments.result import Result
from lashley.experiments.subject import load
from lashley.experiments.tasks.registry import task


@pytest.fixture(scope="module")
def ioi() -> Lab:
    subject = load("smollm2-135m", "cpu")
    return Lab(subject, task("ioi").for_tokenizer(subject.tokenizer))


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


def test_the_receiver_is_readable_late(ioi: Lab) -> None:
    result = LogitLens(task="ioi", n=4).run(ioi)
    lead = by_metric(result, "lead")
    assert lead["L29.resid_post"] > 3 > abs(lead["L10.resid_post"])
    assert result["settled_after"].value > 20
    assert result["identity"].value < 1e-3
