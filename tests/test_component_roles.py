"""What each part of a circuit does: named right where the answer is planted, and from scores that are what they say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.engine.graph import components
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.kinds.circuit_discovery import CircuitDiscovery
from lashley.experiments.kinds.component_roles import ComponentRoles
from lashley.experiments.kinds.direct_logit_attribution import DirectLogitAttribution
from lashley.experiments.lab import Lab
from lashley.experiments.methods.component_inputs import beyond_halves, not_additive
from lashley.experiments.methods.component_places import LENGTHS, on_random_tokens
from lashley.experiments.methods.component_roles import Compared, Evidence, Place, Role, bound_of, roles_of
from lashley.experiments.methods.detectors import repeated_tokens
from lashley.experiments.model.loading import load
from lashley.experiments.result import Effect, Result
from lashley.experiments.sites import parse_site
from lashley.experiments.tasks.batch import token_batch
from lashley.experiments.tasks.registry import task
from lashley.tests.known_circuits import known
from lashley.tests.known_roles import IDLE, SHAPES, N, measured, named, subject_and_roles
from lashley.tests.test_planted import planted_lab

QUICK = ("planted:backup", "planted:constant", "gpt2:chain", "gpt2:and")
SEEDS = (1, 2)


def value(result: Result, site: str, metric: str) -> float:
    return next(e.value for e in result.effects if (e.site, e.metric) == (site, metric))


# --- where the answer is planted


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SHAPES])
def test_the_role_of_every_planted_part_is_named(name: str) -> None:
    assert named(measured(name, 0)) == subject_and_roles(name, 0)[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SHAPES)
def test_it_is_named_with_other_prompts_noise_and_seats(name: str, seed: int) -> None:
    """The noise of a head at rest may be large by chance: then it is unclear what the head does."""
    found = named(measured(name, seed))
    for part, roles in subject_and_roles(name, seed)[1].items():
        assert found[part] in ((roles,) if roles != IDLE else (IDLE, ("unclear",)))


def test_a_part_has_the_same_role_if_it_is_named_alone() -> None:
    lab, true = subject_and_roles("gpt2:decoy", 0)
    for part in ("L0.H1", "L1.H2", "L1.H3", "L1.mlp"):
        result = ComponentRoles(model=lab.subject.name, task="induction", n=N, parts=[part]).run(lab)
        assert named(result) == {part: true[part]}


def test_a_part_lists_what_it_reads_and_what_reads_it() -> None:
    lab, _ = known("gpt2:and")
    result = ComponentRoles(model=lab.subject.name, task="both", n=N, parts=["L0.mlp"]).run(lab)
    edges = {e.site: e.value for e in result.effects if e.metric == "attribution"}
    assert {edge for edge, share in edges.items() if abs(share) > 0.1} == {
        "L0.H0 -> L0.mlp", "L0.H2 -> L0.mlp", "L0.mlp -> logits"
    }  # fmt: skip
    assert "L0.mlp computes, also writes_answer" in result.found
    assert "read by L0.mlp -> logits -1.00" in result.found


def test_where_there_is_nothing_to_find_no_role_is_named() -> None:
    with pytest.raises(BadConfiguration, match="do not differ on these prompts"):
        ComponentRoles(model="planted:null", task="induction", n=N, parts=["L0.H0"]).run(planted_lab("planted:null"))


# --- the scores are those of the experiments that measure each alone


def test_scores_are_those_of_other_kinds() -> None:
    lab, _ = known("gpt2:query")
    given: dict[str, Any] = {"model": lab.subject.name, "task": lab.task.name, "n": N}
    result = ComponentRoles(**given, parts=["L0.H4", "L1.H1", "L0.mlp"]).run(lab)
    patched = ActivationPatching(**given, direction="noising", part="z", positions=["all"]).run(lab)
    direct = DirectLogitAttribution(**given).run(lab)
    edges = CircuitDiscovery(**given, verify=0).run(lab)
    for head in ("L0.H4", "L1.H1"):
        there = next(e.value for e in patched.effects if e.site.startswith(head))
        assert value(result, head, "corrupted") == pytest.approx(there, abs=1e-4)
        assert value(result, head, "direct") == pytest.approx(value(direct, head, "share"), abs=1e-4)
    for edge in ("L0.H4 -> L1.H1.q", "L1.H1 -> logits", "embed -> L0.H4.v"):
        assert value(result, edge, "attribution") == pytest.approx(value(edges, edge, "attribution"), abs=1e-4)


def test_the_fixed_place_is_that_of_a_plain_loop() -> None:
    lab, _ = known("gpt2:and")
    head = parse_site("L0.H2")
    (place,), weight = on_random_tokens(lab.subject, [head], "loop", 3)
    assert place == (False, 1)
    sums: list[float] = []
    for length in LENGTHS[1::2]:
        ids = repeated_tokens(lab.subject, 3, length, f"loop {length}")
        pattern = engine.read(lab.subject, token_batch(ids), {"pattern"}).pattern(0)[:, 2]
        sums.append(np.mean([float(row[q, 1]) for row in pattern for q in range(ids.shape[1] - length, ids.shape[1])]))
    assert weight[0] == pytest.approx(np.mean(sums), abs=1e-6)


def test_a_head_that_looks_for_content_has_no_fixed_place() -> None:
    for name, head in (("planted:induction", "L1.H2"), ("gpt2:query", "L1.H1")):
        assert on_random_tokens(known(name)[0].subject, [parse_site(head)], "content", 4)[1][0] < 0.5


# --- the laws of the rules


def test_a_bound_is_the_median_and_three_deviations() -> None:
    assert bound_of([0.0, -1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 + 3 * 1.4826 * 1)
    assert bound_of([0.0] * 9 + [-5.0] * 3) == bound_of([]) == 1e-3
    normal = np.random.default_rng(0).normal(size=200_000)
    assert (abs(normal) > bound_of(normal.tolist())).mean() < 0.05


def test_what_adds_up_has_no_joint_share_and_a_gate_has_one() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 50))
    assert not_additive(one, other, one + other)[0] == pytest.approx(np.zeros(50))
    # From two ones, `and` falls by 1 if either is taken, and `xor` rises by 1 if only one is.
    some, whole = not_additive(np.array([-1.0]), np.array([-1.0]), np.array([-1.0]))
    assert some / whole == pytest.approx(1 / 3)
    some, whole = not_additive(np.array([1.0]), np.array([1.0]), np.array([0.0]))
    assert some / whole == pytest.approx(1 / 2)


def test_what_the_reader_of_a_part_does_is_not_its_own() -> None:
    """The part adds its two inputs, and what reads it squares the sum: the halves of its output show the same."""
    rng = np.random.default_rng(1)
    asked = [str(i) for i in range(64)]
    start, move = 2 + rng.normal(size=64) / 4, 1 + rng.normal(size=64) / 4

    def change(by: np.ndarray) -> np.ndarray:
        return (start - by) ** 2 - start**2

    inputs = np.stack([change(move / 2), change(move / 2), change(move)])
    halves = np.stack([change(move / 2), change(move)])
    assert not beyond_halves("L0.mlp", inputs, halves, asked).low > 0
    gate = np.stack([change(move), change(move), change(move)])
    assert beyond_halves("L0.mlp", gate, halves, asked).low > 0


def effect(size: float, q: float = 0.001) -> Effect:
    return Effect(site="L1.H1", metric="any", value=size, low=size, high=size, n=16, p=q, q=q)


def scored(
    zero: float, mean: float, corrupted: float, direct: float = 0.0, q: float = 0.001, **given: Any
) -> tuple[Role, ...]:
    removed = {name: Compared(effect(size, q), 0.1)
               for name, size in (("zero", zero), ("mean", mean), ("corrupted", corrupted))}  # fmt: skip
    return roles_of(Evidence(removed, Compared(effect(direct, q), 1.0), **given))


def test_a_role_needs_a_score_beyond_its_control() -> None:
    sink, back = Place("the first token", 0.9, 0.2), Place("the previous token", 0.9, 0.8)
    copies, copies_not = Compared(effect(0.9), 0.1), Compared(effect(0.05), 0.1)
    head: dict[str, Any] = {"place": sink, "copying": copies_not}
    assert scored(-0.09, 0.05, 0.0) == ("idle",)
    assert scored(-0.9, -0.9, -0.9, 5.0, q=0.2) == scored(-0.9, 0.0, 0.0, q=0.2) == ("unclear",)
    assert scored(-0.9, 0.0, 0.05) == ("adds_constant",)
    assert scored(-0.9, -0.9, 0.0) == ("unclear",)
    assert scored(0.0, -0.9, 0.0, **head) == ("unclear",)
    assert scored(0.0, -0.9, 0.0, **head, joint=effect(0.3)) == ("computes",)
    assert scored(0.0, -0.9, 0.0, 2.0, **head, joint=effect(0.3)) == ("writes_answer",)
    assert scored(0.0, -0.9, 0.0, 2.0, joint=effect(0.3)) == ("computes", "writes_answer")
    assert scored(0.0, -0.9, 0.0, -2.0, place=sink, copying=copies) == ("moves_token", "suppresses")
    assert scored(0.0, 0.9, 0.0, -2.0, **head) == ("suppresses",)
    assert scored(0.0, 0.9, 0.0, **head, suppression=copies) == ("suppresses",)
    assert scored(0.0, 0.9, 0.0, 2.0, **head, suppression=copies) == ("writes_answer",)
    assert scored(0.0, -0.9, 0.0, place=back, copying=copies) == ("reads_position",)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"parts": ["L9.H0"]}, "There is no layer 9"),
        ({"parts": ["L0.resid_pre"]}, "L0.resid_pre is neither a head nor an MLP"),
        ({"parts": ["L0.H0", "L0.H0"]}, "each once"),
        ({"parts": []}, "parts must name 1 to 40"),
        ({"parts": ["L0.H0"], "metric": "accuracy"}, "metric"),
    ],
)
def test_what_cannot_be_named_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadConfiguration, match=says):
        ComponentRoles(model="planted:induction", task="induction", n=N, **given).check(
            planted_lab("planted:induction").subject.sizes, planted_lab("planted:induction").task
        )


# --- a real model


@pytest.mark.slow
def test_previous_token_and_induction_heads_of_smollm2_are_named() -> None:
    lab = Lab(load("smollm2-135m", "cpu"), task("induction"))
    parts = ["L16.H0", "L18.H6"]
    result = ComponentRoles(task="induction", n=8, controls=10, steps=2, parts=parts).run(lab)
    assert result["identity"].value < 1e-3
    assert set(named(result)) == set(parts)
    assert Counter(e.metric for e in result.effects)["place_on_random"] == 2
    assert value(result, "L16.H0", "place_on_random") > 0.5 > value(result, "L18.H6", "place_on_random")


def test_every_part_of_every_planted_subject_has_one_true_role() -> None:
    for name in SHAPES:
        lab, true = subject_and_roles(name, 1)
        assert set(true) == {str(part) for part in components(lab.subject.anatomy)}
        assert torch.is_tensor(lab.subject.model.get_input_embeddings().weight)
        assert sum(roles[0] != "idle" for roles in true.values()) >= 2
