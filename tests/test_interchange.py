"""Interchange interventions: against plain hooks, and on a model whose causal model is planted."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.interchange import Interchange
from lashley.experiments.lab import Lab
from lashley.experiments.result import Effect, Result
from lashley.experiments.sites import parse_site
from lashley.experiments.tasks.causal_model import causal_model
from lashley.experiments.tasks.interchange_pairs import interchange_pairs
from lashley.tests.planted_sum import sum_lab
from lashley.tests.slow_way import clean_values, slow_logits

SUM: dict[str, Any] = {"task": "sum7", "variable": "s = (a + b) % 7", "output": "(s + c) % 7"}


@functools.cache
def planted(**given: Any) -> Result:
    return Interchange(**SUM, n=24, **given).run(sum_lab())


def values(result: Result, metric: str = "interchange") -> dict[str, Effect]:
    return {e.site: e for e in result.effects if e.metric == metric}


def test_the_variable_is_found_where_it_is_planted_and_nowhere_else() -> None:
    result = planted()
    found = values(result)
    assert result["accuracy"].value == 1.0
    assert result["intact"].value == 0.0
    assert result["identity"].value < 1e-3
    said = values(result, "said")
    assert found["L0.resid_post@b"].value == said["L0.resid_post@b"].value == 1.0
    # With another c the answer is another one again, which may be nearer to the counterfactual one than to its own.
    assert all(e.value < 0.4 for site, e in said.items() if site != "L0.resid_post@b")
    for site in ("L0.resid_post@a", "L0.resid_post@last", "L1.resid_post@b", "L2.resid_post@c"):
        assert found[site].value == 0.0
    # The end has the donor's answer after layer 1, which is never the counterfactual one.
    copied = values(result, "donor")
    assert copied["L1.resid_post@last"].value == copied["L2.resid_post@last"].value == 1.0
    assert copied["L0.resid_post@b"].value < 1.0


def test_other_donors_give_other_answers() -> None:
    above = values(planted(), "above_other")
    assert above["L0.resid_post@b"].value > 0.3
    assert {site for site, e in above.items() if (e.q or 1) < 0.05 and e.value > 0} == {"L0.resid_post@b"}


def test_parts_that_write_or_move_the_variable_hold_it() -> None:
    result = planted(sites=("L0.mlp", "L1.H0", "L1.H2", "L0.H1", "L1.mlp"), positions=("b", "last"))
    assert {site for site, e in values(result, "said").items() if e.value > 0.5} == {"L0.mlp@b", "L1.H0@last"}


def lead(lab: Lab, pair: Any, site: str, span: str) -> float:
    """One forward pass of the plain model with hooks: the counterfactual answer against the prompt's own."""
    tokens, model = lab.subject.tokenizer, lab.subject.model
    base, donor = (torch.tensor([tokens(p.text)["input_ids"]]) for p in (pair.base, pair.donor))
    at = {"a": 0, "b": 1, "c": 2, "last": 3}[span]
    where = parse_site(site)
    lent = clean_values(model, donor)[where.model_copy(update={"index": None})]
    edit = Edit(site=where, op="replace", source="donor")
    logits = slow_logits(model, base, Intervention(name="i", edits=(edit,)), lambda _, place: place == at,
                         lambda _, place: lent[place], lab.subject.anatomy.d_head)  # fmt: skip
    mine, own = (tokens(text)["input_ids"][0] for text in (pair.answer, pair.base.answer))
    return float(logits[-1, mine] - logits[-1, own])


@pytest.mark.parametrize("site", ["L0.resid_pre", "L0.resid_post", "L1.attn", "L1.H0", "L1.resid_post"])
def test_the_shares_are_those_of_plain_hooks(site: str) -> None:
    lab = sum_lab()
    pairs = interchange_pairs(lab, causal_model(SUM["variable"], SUM["output"]), 24, "explore", 0).pairs
    result = planted(sites=(site,), positions=("b", "last"))
    for span in ("b", "last"):
        slow = [float(lead(lab, pair, site, span) > 0) for pair in pairs]
        assert values(result)[f"{site}@{span}"].value == pytest.approx(sum(slow) / len(slow))


def test_pairs_are_what_the_causal_model_says() -> None:
    lab = sum_lab()
    found = interchange_pairs(lab, causal_model(SUM["variable"], SUM["output"]), 40, "confirm", 1)
    assert found.equal > 0
    assert found.copied > 0
    for pair in found.pairs:
        (a, b, c), (d, e, f) = ([int(p.text[i]) for i in (0, 2, 4)] for p in (pair.base, pair.donor))
        assert int(pair.answer) == (d + e + c) % 7
        assert len({(a + b + c) % 7, (d + e + c) % 7, (d + e + f) % 7}) == 3
        assert pair.base.split == pair.donor.split == "confirm"
        assert pair.other is not None
        assert (int(pair.other.text[0]) + int(pair.other.text[2]) + c) % 7 not in {int(pair.answer), (a + b + c) % 7}


def test_a_donor_from_an_excluded_question_is_never_used() -> None:
    lab, model = sum_lab(), causal_model(SUM["variable"], SUM["output"])
    first = interchange_pairs(lab, model, 16, "explore", 0)
    second = interchange_pairs(lab, model, 16, "explore", 0, without=first.questions)
    assert not first.questions & second.questions


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"variable": "a + b"}, "is not a variable. Write"),
        ({"output": "a + b"}, "does not use s. Write an output"),
        ({"output": "(s + d) % 7"}, "uses d, which is not a value of .* Use values of the task: a, b, c"),
        ({"output": "s + c"}, "The causal model gives '.*' for .* Change variable or output"),
        ({"variable": "a = b", "output": "a"}, "already have a value a. Give the variable another name"),
        ({"sites": ["L0.H1.pattern"]}, "cannot be interchanged. Use"),
        ({"sites": ["L0.H1"], "layers": [0]}, "sites or layers, not both"),
        ({"layers": []}, "layers is empty"),
        ({"positions": []}, "at least one position"),
    ],
)
def test_what_cannot_be_measured_is_one_line(changed: dict[str, Any], says: str) -> None:
    lab = sum_lab()
    with pytest.raises(BadConfiguration, match=says):
        Interchange(**{**SUM, "n": 4, **changed}).check(lab.subject.sizes, lab.task)


def test_a_position_that_no_prompt_has_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"position 'd'. Positions: all, a, b, c, last"):
        planted(positions=("d",))


def test_a_variable_that_is_the_answer_says_that_it_cannot_tell_them_apart() -> None:
    result = Interchange(**{**SUM, "variable": "s = (a + b + c) % 7", "output": "s"}, n=16).run(sum_lab())
    assert "copied_answer" in [note.code for note in result.notes]
    assert values(result)["L1.resid_post@last"].value == 1.0
    assert not values(result, "donor")
