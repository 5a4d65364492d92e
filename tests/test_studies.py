"""Whole studies of subjects whose answer is known: what is there is found, and what is not there is not claimed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.stats import binom

from lashley.agent.drivers.autopilot_course import Data, Protocol
from lashley.experiments.planted.build import save
from lashley.experiments.planted.truth import N_HEADS, TRUTHS

from .studies import Claimed, studied

CIRCUIT = TRUTHS["planted:induction"]
IDLE = [
    head
    for layer in range(CIRCUIT.n_layers)
    for head in (f"L{layer}.H{h}" for h in range(N_HEADS))
    if head not in CIRCUIT.needed
]
SEEDS = 200
# As many as a true rate of 5% gives in all but one run of a thousand.
MOST = int(binom.ppf(0.999, SEEDS, 0.05))


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
    false = false_claims(tmp_path, range(SEEDS))
    assert len(false) <= MOST, false


def greedy(study: Data) -> Protocol:
    """Looks at heads that write noise, and predicts of each that its effect goes where it went, whatever is there.
    Then tries to claim each that it saw, one after the other, until a report is taken."""
    seen = yield "Look.", "head_ablation", {"heads": IDLE, "n": 16, "reason": "Something may be there."}
    guessed = [
        {
            "like": seen["id"], "config": '{"method": "zero"}', "quantity": f"effect[{e['site']}]",
            **({"comparison": "below", "high": 0.0} if e["value"] < 0 else {"comparison": "above", "low": 0.0}),
        }
        for e in seen["effects"]
    ]  # fmt: skip
    words = {"statement": "All that was seen is there.", "rationale": "It was seen.", "refuted_if": "It is not."}
    recorded = yield "Predict.", "propose_hypothesis", {**words, "predictions": guessed}
    tested = yield "Test.", "test_hypothesis", {"hypothesis": recorded["id"]}
    of = [seen["id"], tested["experiments"][0]["id"]]
    for condition in (f"{e}.effect[{one['site']}] {sign} 0" for e in of for one in seen["effects"] for sign in "<>"):
        claim = {"sentence": "This head matters.", "conditions": [condition]}
        answer = yield "Claim.", "write_report", {"title": "t", "claims": [claim], "interpretation": "x"}
        if answer.get("finished"):
            return
    yield "Nothing.", "write_report", {"title": "t", "claims": [], "interpretation": "x"}


def greedy_study(folder: Path, seed: int) -> Claimed:
    found = studied(str(save(folder / str(seed), CIRCUIT, noise=1.0, seed=seed)), "induction", protocol=greedy)
    assert (found.status, len(found.judged)) == ("finished", len(IDLE))
    return found


def shown(found: Claimed) -> list[str]:
    """The predictions that came out one way or the other."""
    return [one["quantity"] for one in found.judged if one["verdict"] != "inconclusive"]


def test_a_greedy_student_of_noise_comes_home_with_nothing(tmp_path: Path) -> None:
    """Of ten studies, none would be claimed in 60% of cases at a rate of 5%; the seeds are fixed."""
    found = [greedy_study(tmp_path, seed) for seed in range(10)]
    assert [seed for seed, one in enumerate(found) if shown(one) or one.claims or one.supported] == []


@pytest.mark.slow
def test_of_two_hundred_greedy_studies_few_bring_something_home(tmp_path: Path) -> None:
    found = [greedy_study(tmp_path, seed) for seed in range(SEEDS)]
    verdicts, claims = ([seed for seed, one in enumerate(found) if what(one)] for what in (shown, lambda x: x.claims))
    print(f"verdicts {verdicts}, claims {claims} of {SEEDS}")
    assert len(verdicts) <= MOST, verdicts
    assert len(claims) <= MOST, claims
