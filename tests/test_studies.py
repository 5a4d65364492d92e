"""Whole studies of subjects whose answer is known: what is there is found, and what is not there is not claimed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scipy.stats import binom

from lashley.agent.autopilot.course import Data, Protocol
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


def most(studies: int) -> int:
    """As many as a true rate of 5% gives in all but one run of a thousand."""
    return int(binom.ppf(0.999, studies, 0.05))


def heads_in(texts: tuple[str, ...]) -> set[str]:
    return {head for text in texts for head in re.findall(r"L\d+\.H\d+", text)}


def test_the_planted_heads_are_found_and_no_other() -> None:
    found = studied("planted:induction", "induction")
    assert found.status == "finished"
    assert heads_in(found.supported) == set(CIRCUIT.needed)
    assert heads_in(tuple(site for _, site in found.significant)) == set(CIRCUIT.needed)
    assert "confirmed" in found.verdicts.values()
    assert "inconclusive" not in found.verdicts.values()


def test_two_heads_that_stand_in_for_each_other_are_needed_together_and_not_alone() -> None:
    """The scripted study predicts it of the pair and of each; what the program says is what was planted."""
    pair = list(TRUTHS["planted:backup"].redundant)

    def protocol(study: Data) -> Protocol:
        names: list[str] = []
        for heads in (pair, *([head] for head in pair)):
            config = {"heads": heads, "together": True, "n": 16}
            predicted = {
                "kind": "head_ablation", "config": json.dumps(config), "quantity": "logit_diff_change",
                "comparison": "below", "high": -1.0,
            }  # fmt: skip
            statement = {"statement": " + ".join(heads), "rationale": "It may be.", "refuted_if": "It is not."}
            recorded = yield "Predict.", "propose_hypothesis", {**statement, "predictions": [predicted]}
            names.append(recorded["id"])
        for name in names:
            yield "Test.", "test_hypothesis", {"hypothesis": name}
        yield "Say.", "write_report", {"title": "t", "claims": [], "interpretation": "x"}

    found = studied("planted:backup", "induction", protocol=protocol)
    # Another prompt's value says something else for the one, which its twin then cannot unsay.
    alone = [found.verdicts[head] for head in pair]
    assert found.verdicts[" + ".join(pair)] == "confirmed"
    assert set(alone) <= {"refuted", "inconclusive"}, alone


def test_the_autopilot_finds_what_is_needed_alone_and_what_is_needed_only_as_a_pair() -> None:
    truth = TRUTHS["planted:backup"]
    found = studied("planted:backup", "induction")
    together = next(said for said in found.verdicts if "is needed for" in said and "zero, mean and resample" in said)
    assert found.verdicts[together] == "confirmed"
    assert set(truth.needed) <= heads_in((together,))
    assert not [said for said in found.supported if "do not stand in for each other" in said]
    (pair,) = [said for said in found.supported if " stand in for each other: removed all at once" in said]
    assert heads_in((pair,)) == set(truth.redundant)
    assert heads_in(found.supported) == {*truth.needed, *truth.redundant}


def test_a_verdict_that_a_later_test_strengthens_is_told_with_it_and_can_be_claimed() -> None:
    """Holm counts what is untested as showing nothing: so few questions show something only when the rest does."""
    answers: list[Data] = []

    def protocol(study: Data) -> Protocol:
        about = {"rationale": "It may be.", "refuted_if": "It is not."}
        for n, bounds in ((8, [-1.0]), (16, [-1.0, -1.2, -1.4, -1.6, -1.8, -2.0])):
            config = json.dumps({"heads": ["L0.H1"], "together": True, "method": "zero", "n": n})
            predictions = [{"kind": "head_ablation", "config": config, "quantity": "logit_diff_change",
                            "comparison": "below", "high": high} for high in bounds]  # fmt: skip
            yield "Predict.", "propose_hypothesis", {**about, "statement": f"n {n}", "predictions": predictions}
        for name in ("H1", "H2"):
            answers.append((yield "Test.", "test_hypothesis", {"hypothesis": name}))
        claim = {"sentence": "It is needed.", "conditions": ["H1 is supported"]}
        yield "Say.", "write_report", {"title": "t", "claims": [claim], "interpretation": "x"}

    found = studied("planted:induction", "induction", protocol=protocol)
    first, last = answers[-2:]
    assert first["statuses"] == {"H1": "inconclusive", "H2": "open"}
    assert last["statuses"] == {"H1": "supported", "H2": "supported"}
    assert found.claims == ("H1 is supported",)


def test_a_layer_that_writes_nothing_is_not_called_needed() -> None:
    found = studied("planted:dead-layer", "induction")
    (dead,) = TRUTHS["planted:dead-layer"].dead_layers
    assert any(one["kind"] == "layer_program" for one in found.judged)
    assert not any(re.search(rf"layer {dead}\b", said) for said in found.supported)


def null_study(folder: Path, seed: int) -> tuple[Claimed, set[str]]:
    """One study in which something is not there, and the heads that may be claimed.

    Of every four: a circuit among heads that write noise, whose mean effect is 0; twice random weights, on the task and
    on its shuffled answers; the circuit on shuffled answers, which a study leaves for the task that the circuit does.
    """
    task = "induction" if seed % 4 in (0, 1) else f"induction~shuffled{seed}"
    truth = CIRCUIT if seed % 4 in (0, 3) else TRUTHS["planted:null"]
    model = save(folder / str(seed), truth, noise=1.0, seed=seed)
    return studied(str(model), task), set(truth.needed)


def false_claims(folder: Path, seeds: range) -> list[int]:
    """The seeds of the studies that support anything that is not so."""
    false: list[int] = []
    for seed in seeds:
        found, true = null_study(folder, seed)
        # Of the circuit only claims about heads can be false: its layers do matter. Of shuffled answers all are.
        shuffled = any("shuffled" in said for said in found.supported)
        if heads_in(found.supported) - true or (found.supported and not true) or shuffled:
            false.append(seed)
    return false


def test_ten_studies_of_nothing_claim_nothing(tmp_path: Path) -> None:
    assert false_claims(tmp_path, range(10)) == []


@pytest.mark.slow
def test_of_two_hundred_studies_of_nothing_few_claim_something(tmp_path: Path) -> None:
    false = false_claims(tmp_path, range(SEEDS))
    assert len(false) <= most(SEEDS), false


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


def few_bring_something_home(folder: Path, seeds: int) -> None:
    """That all were right has never been; that one was, or that a claim was taken, only as often as 5% may give."""
    found = [greedy_study(folder, seed) for seed in range(seeds)]
    assert not [seed for seed, one in enumerate(found) if one.supported]
    verdicts = [seed for seed, one in enumerate(found) if shown(one)]
    claims = [seed for seed, one in enumerate(found) if one.claims]
    assert len(verdicts) <= most(seeds), verdicts
    assert len(claims) <= most(seeds), claims


def test_ten_greedy_students_of_noise_bring_little_home(tmp_path: Path) -> None:
    few_bring_something_home(tmp_path, 10)


@pytest.mark.slow
def test_two_hundred_greedy_students_of_noise_bring_little_home(tmp_path: Path) -> None:
    few_bring_something_home(tmp_path, SEEDS)
