"""Whole studies of subjects whose answer is known: what is there is found, and what is not there is not claimed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.stats import binom

from lashley.experiments.planted.build import save
from lashley.experiments.planted.truth import TRUTHS

from .studies import Claimed, studied

CIRCUIT = TRUTHS["planted:induction"]
SEEDS = 200


def heads_in(texts: tuple[str, ...]) -> set[str]:
    return {head for text in texts for head in re.findall(r"L\d+\.H\d+", text)}


def test_the_planted_heads_are_found_and_no_other() -> None:
    found = studied("planted:induction", "induction")
    assert found.status == "finished"
    assert heads_in(found.supported) == set(CIRCUIT.needed)
    assert heads_in(tuple(site for _, site in found.significant)) == set(CIRCUIT.needed)


def null_study(folder: Path, seed: int) -> tuple[Claimed, set[str]]:
    """One study in which something is not there, and the heads that may be claimed.

    Of every four: a circuit among heads that write noise, whose mean effect is 0; twice random weights, on the task and
    on its shuffled answers; the circuit on shuffled answers.
    """
    task = "induction" if seed % 4 in (0, 1) else f"induction~shuffled{seed}"
    truth = CIRCUIT if seed % 4 in (0, 3) else TRUTHS["planted:null"]
    model = save(folder / str(seed), truth, noise=1.0, seed=seed)
    return studied(str(model), task), set(truth.needed) if seed % 4 == 0 else set()


def false_claims(folder: Path, seeds: range) -> list[int]:
    """The seeds of the studies that support anything that is not so."""
    false: list[int] = []
    for seed in seeds:
        found, true = null_study(folder, seed)
        # Of the circuit among noise only claims about heads can be false: its layers do matter.
        if heads_in(found.supported) - true or (found.supported and not true):
            false.append(seed)
    return false


def test_ten_studies_of_nothing_claim_nothing(tmp_path: Path) -> None:
    assert false_claims(tmp_path, range(10)) == []


@pytest.mark.slow
def test_of_two_hundred_studies_of_nothing_few_claim_something(tmp_path: Path) -> None:
    """At most as many as a true rate of 5% gives in all but one run of a thousand."""
    false = false_claims(tmp_path, range(SEEDS))
    assert len(false) <= binom.ppf(0.999, SEEDS, 0.05), false
