"""Circuits where the answer is planted, and the laws of graphs and areas."""

from __future__ import annotations

from functools import cache
from typing import Any

import networkx as nx
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lashley.experiments.engine.graph import Graph, graph_of, top
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.circuit_discovery import CircuitDiscovery
from lashley.experiments.kinds.circuit_faithfulness import CircuitFaithfulness
from lashley.experiments.kinds.intervene import Intervene
from lashley.experiments.lab import Lab
from lashley.experiments.methods.circuits import areas, random_circuit, sizes_of
from lashley.experiments.model.loading import load
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.tasks.registry import task
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import tiny_subject

SINGLE_PATH = ("planted:induction", "planted:dead-layer", "planted:constant")


def graph(kind: str = "gpt2") -> Graph:
    return graph_of(tiny_subject(kind).anatomy)


@cache
def discovered(model: str, method: str, **given: Any) -> Result:
    return CircuitDiscovery(model=model, task="induction", n=16, method=method, verify=4, **given).run(
        planted_lab(model)
    )


def auroc(model: str, result: Result) -> float:
    made = graph_of(planted_lab(model).subject.anatomy)
    truth = made.mask(TRUTHS[model].edges)[made.after].numpy()
    return float(roc_auc_score(truth, abs(result.arrays["edges"])[made.after.numpy()]))


# --- the graph


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gptj"])
def test_an_edges_name_reads_back(kind: str) -> None:
    made = graph(kind)
    for s, r in made.after.nonzero().tolist():
        assert made.parse(made.edge(s, r)) == (s, r)


def test_keys_that_heads_share_have_one_name() -> None:
    made = graph("llama")  # four heads, two of keys
    assert made.parse("L0.H1 -> L1.H3.k") == made.parse("L0.H1 -> L1.K1")
    assert graph("gpt2").parse("L0.H1 -> L1.K3") == graph("gpt2").parse("L0.H1 -> L1.H3.k")


@pytest.mark.parametrize(
    ("edge", "says"),
    [
        ("L0.H1", "is not an edge"),
        ("L0.H9 -> logits", "L0.H9 is not a sender of this model"),
        ("L0.H1 -> L1.H9.k", "L1.H9.k is not a receiver of this model"),
        ("L1.H1 -> L0.H1.k", "L0.H1.k comes before L1.H1"),
        ("L1.mlp -> L1.H0.q", "L1.H0.q comes before L1.mlp"),
    ],
)
def test_an_edge_that_does_not_exist_is_refused(edge: str, says: str) -> None:
    with pytest.raises(BadConfiguration, match=says):
        graph().mask([edge])


def test_pruning_keeps_the_edges_on_a_path_from_the_embeddings_to_the_logits() -> None:
    made = graph()
    generator = torch.Generator().manual_seed(3)
    for share in (0.02, 0.05, 0.1, 0.3):
        mask = (torch.rand(made.after.shape, generator=generator) < share) & made.after
        # Each part is a node; its inputs are nodes that lead to it.
        drawn: nx.DiGraph[str] = nx.DiGraph()
        drawn.add_nodes_from(["s0", f"r{len(made.receivers) - 1}"])
        drawn.add_edges_from((f"s{s}", f"r{r}") for s, r in mask.nonzero().tolist())
        drawn.add_edges_from((f"r{r}", f"s{s}") for s, reads in made.readers.items() for r in reads)
        reached = nx.descendants(drawn, "s0") | {"s0"}
        leads = nx.ancestors(drawn, f"r{len(made.receivers) - 1}") | {f"r{len(made.receivers) - 1}"}
        wanted = {(s, r) for s, r in mask.nonzero().tolist() if f"s{s}" in reached and f"r{r}" in leads}
        assert {(s, r) for s, r in made.pruned(mask).nonzero().tolist()} == wanted


def test_a_random_circuit_has_as_many_edges_between_the_same_layers() -> None:
    made = graph()
    edges = made.after.nonzero().tolist()
    mask = top(made, [(s, r) for s, r in edges[::7]], len(edges[::7]))

    def counted(one: torch.Tensor) -> list[tuple[int, int, str]]:
        return sorted((made.senders[s].layer, made.receivers[r].layer, made.receivers[r].by)
                      for s, r in one.nonzero().tolist())  # fmt: skip

    drawn = [random_circuit(made, mask, seed) for seed in range(5)]
    assert all(counted(one) == counted(mask) for one in drawn)
    assert not torch.equal(drawn[0], drawn[1])


def test_areas_are_those_of_trapezoids_by_hand() -> None:
    cpr, cmd = areas([0.0, 0.5, 1.0], [0.0, 1.5, 1.0])
    assert cpr == pytest.approx(0.25 * 1.5 + 0.25 * 2.5)
    assert cmd == pytest.approx(0.25 * (1 + 0.5) + 0.25 * 0.5)


def test_sizes_are_the_usual_shares_each_once() -> None:
    usual = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
    assert [count for _, count in sizes_of(graph())] == sorted({max(1, round(x * graph().size)) for x in usual})


# --- where the answer is planted


@pytest.mark.parametrize("model", SINGLE_PATH)
@pytest.mark.parametrize("method", ["exact", "acdc", "eap_ig"])
def test_the_planted_edges_are_found(model: str, method: str) -> None:
    result = discovered(model, method)
    assert auroc(model, result) >= (1.0 if method == "exact" else 0.95)
    assert result["faithfulness"].value == pytest.approx(1, abs=0.02)
    assert result["identity"].value < 1e-3


def test_acdc_keeps_the_planted_edges_and_nothing_else() -> None:
    made = graph_of(planted_lab("planted:induction").subject.anatomy)
    kept = discovered("planted:induction", "acdc").arrays["circuit"]
    assert {made.edge(int(s), int(r)) for s, r in kept} == set(TRUTHS["planted:induction"].edges)


def test_two_heads_that_back_each_other_up_are_found_with_what_holds_them_back() -> None:
    assert auroc("planted:backup", discovered("planted:backup", "exact")) >= 0.95
    assert auroc("planted:backup", discovered("planted:backup", "eap_ig")) >= 0.9


@pytest.mark.parametrize("method", ["eap", "eap_ig"])
def test_whole_parts_are_found_and_each_is_measured_by_replacing_all_that_it_writes(method: str) -> None:
    lab = planted_lab("planted:induction")
    result = CircuitDiscovery(
        model="planted:induction", task="induction", n=16, method=method, level="part", edges=2, verify=3
    ).run(lab)
    measured = {e.site: e.value for e in result.effects if e.metric == "recovery"}
    assert list(measured)[:2] in (["L0.H1", "L1.H2"], ["L1.H2", "L0.H1"])
    assert result["faithfulness"].value == pytest.approx(1, abs=0.02)
    # All that a part writes, from the corrupted prompt at every position: what a patch does.
    for site in ("L0.H1", "L1.H2"):
        patched = Intervene(model="planted:induction", task="induction", n=16, edit=[f"patch {site} from corrupted"],
                            read=["logit_diff"]).run(lab)  # fmt: skip
        assert measured[site] == pytest.approx(patched.effects[0].value / result["gap"].value, abs=1e-3)


def test_a_parts_estimate_is_the_sum_of_those_of_its_edges() -> None:
    lab = planted_lab("planted:backup")
    given = {"model": "planted:backup", "task": "induction", "n": 16, "method": "eap_ig", "verify": 0}
    parts = CircuitDiscovery(level="part", **given).run(lab)
    edges = CircuitDiscovery(**given).run(lab).arrays["edges"]
    made = graph_of(lab.subject.anatomy)
    for effect in parts.effects:
        at = [str(sender) for sender in made.senders].index(effect.site)
        assert effect.value == pytest.approx(float(edges[at].sum()), abs=1e-4)


def test_methods_that_rank_edges_are_refused_for_parts() -> None:
    lab = planted_lab("planted:induction")
    for given in ({"method": "acdc"}, {"compare": "eap"}):
        with pytest.raises(BadConfiguration, match="With level part"):
            CircuitDiscovery(model="planted:induction", task="induction", level="part", **given).check({}, lab.task)


def test_two_methods_agree_where_one_path_is_planted() -> None:
    result = CircuitDiscovery(model="planted:induction", task="induction", n=16, method="exact", compare="eap_ig",
                              edges=4).run(planted_lab("planted:induction"))  # fmt: skip
    shared = next(m for m in result.measurements if m.name.startswith("shared_of_top"))
    assert shared.value >= 4
    assert result["shared_p"].value < 0.01
    assert result["kept"].value == 4


def test_a_circuit_carries_the_task_on_other_prompts_and_random_ones_do_not() -> None:
    result = CircuitFaithfulness(model="planted:induction", task="induction", n=16, split="confirm", found_on=16).run(
        planted_lab("planted:induction")
    )
    carried = {e.site: e.value for e in result.effects if e.metric == "recovery"}
    random = {e.site: e.value for e in result.effects if e.metric == "random"}
    at = "5% (6 edges)"
    assert carried[at] == pytest.approx(1, abs=0.02)
    assert abs(random[at]) < 0.1
    assert result["cpr"].value > 0.9 > result["cpr[random]"].value
    assert result["cmd"].value < 0.1 < result["cmd[random]"].value


def test_each_planted_edge_is_needed_and_an_idle_one_is_not() -> None:
    edges = [*TRUTHS["planted:induction"].edges, "embed -> L1.H0.q"]
    result = CircuitFaithfulness(model="planted:induction", task="induction", n=16, edges=edges).run(
        planted_lab("planted:induction")
    )
    assert result["faithfulness"].value == pytest.approx(1, abs=0.02)
    left = {e.site.removeprefix("without "): e.value for e in result.effects if e.site.startswith("without ")}
    assert set(left) == set(edges)
    assert all(left[edge] < -0.2 for edge in TRUTHS["planted:induction"].edges)
    assert left["embed -> L1.H0.q"] == pytest.approx(0, abs=1e-3)


def test_where_there_is_nothing_to_find_nothing_is_found() -> None:
    with pytest.raises(BadConfiguration, match="do not differ on these prompts"):
        discovered("planted:null", "eap_ig")


@pytest.mark.slow
def test_of_a_hundred_random_models_at_most_five_have_a_circuit_that_beats_random_ones() -> None:
    beats = 0
    for seed in range(100):
        try:
            result = CircuitFaithfulness(
                model="planted:null", task="induction", n=16, split="confirm", found_on=16, controls=5
            ).run(planted_lab("planted:null", seed=seed))
        except BadConfiguration:
            # The prompts and their corrupted prompts do not differ, so there is nothing to carry.
            continue
        at = "10%"
        carried = next(e for e in result.effects if e.metric == "recovery" and e.site.startswith(at))
        random = next(e for e in result.effects if e.metric == "random" and e.site.startswith(at))
        beats += carried.low is not None and carried.low > random.value
    assert beats <= 5


@pytest.mark.slow
def test_a_circuit_of_smollm2_carries_more_than_random_ones_on_other_prompts() -> None:
    lab = Lab(load("smollm2-135m", "cpu"), task("ioi"))
    result = CircuitFaithfulness(task="ioi", n=8, split="confirm", found_on=8, controls=1).run(lab)
    assert result["cmd"].value < 0.5 * result["cmd[random]"].value
    assert result["cpr"].value > 0.8
