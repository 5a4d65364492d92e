"""Path patching: against the recipe written with plain hooks, by laws, and on the planted circuit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.paths import NEEDED, Edge, Paths
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds import path_patching
from lashley.experiments.kinds.path_patching import PathPatching
from lashley.experiments.sites import Site, head, parse_site
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.tests.corrupted_lab import corrupted_lab, difference, ids
from lashley.tests.slow_way import clean_values, hooked
from lashley.tests.test_patching import smollm
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import KINDS, tiny_subject
from lashley.tools.report.figures import draw

N = 2
# Attention and MLP one after the other, side by side, and with norms behind them and fewer KV heads.
FEW = ("gpt2", "gpt_neox", "gemma2")
SOME = [pytest.param(kind, marks=() if kind in FEW else pytest.mark.slow) for kind in KINDS]
LAST = Site(layer=2, part="resid_post")


def slow_path(
    kind: str, clean: Tensor, corrupted: Tensor, sender: Site, receiver: Site, by: str, held: tuple[str, ...]
) -> Tensor:
    """The recipe: the sender patched, all that `held` names held, and what the receiver then reads kept; then a run in
    which the receiver alone reads that. Three passes with hooks; logits [position, vocabulary]."""
    subject = tiny_subject(kind)
    d, model = subject.anatomy.d_head, subject.model
    own, other = clean_values(model, clean), clean_values(model, corrupted)
    parts = [Site(layer=layer, part=part) for layer in range(3) for part in held]  # type: ignore[arg-type]

    def run(edits: list[tuple[Site, Tensor]]) -> tuple[dict[Site, Tensor], Tensor]:
        seen: dict[Site, Tensor] = {}

        def change(site: Site, value: Tensor) -> Tensor:
            value = value.clone()
            seen[site] = value[0].clone()  # as computed, before it is held
            for at, new in edits:
                if (at.layer, at.part) == (site.layer, site.part):
                    where = slice(None) if at.index is None else slice(at.index * d, (at.index + 1) * d)
                    value[0, :, where] = new[:, where]
            return value

        with torch.no_grad(), hooked(model, change) as cache:
            logits = model(input_ids=clean, past_key_values=cache, use_cache=True).logits[0]
        return seen, logits

    kept = [(site, own[site]) for site in parts]
    bare = Site(layer=sender.layer, part=sender.part)
    sent = [*kept, (sender, other[bare])]
    if receiver.part == "resid_post":
        return run(sent)[1]
    kv = [Site(layer=receiver.layer, part=part) for part in ("k", "v")]  # type: ignore[arg-type]
    to = Site(layer=receiver.layer, part=receiver.part)
    if receiver.part == "mlp_out" or by == "all":
        seen, _ = run(sent)
    elif by == "q":
        seen, _ = run([*sent, *((site, own[site]) for site in kv)])
    else:
        moved, _ = run(sent)
        site = kv[("k", "v").index(by)]
        seen, _ = run([(site, moved[site])])
    return run([(receiver, seen[to])])[1]


SENDERS = ("L0.H1", "L1.H2", "L0.mlp", "L1.mlp")


@pytest.mark.parametrize("held", [("z", "mlp_out"), ("z",)], ids=["held", "recomputed"])
@pytest.mark.parametrize("kind", SOME)
def test_a_path_is_what_the_recipe_makes_of_it(kind: str, held: tuple[str, ...]) -> None:
    bench = corrupted_lab(kind)
    pair = corrupted_prompts(bench, (N, "explore", 0))
    subject = bench.subject
    source = engine.patch_source(engine.read(subject, pair.corrupted, {"z", "mlp_out"}), pair.clean, pair.corrupted)
    paths = Paths(subject, pair.clean, engine.read(subject, pair.clean, NEEDED), source, recomputed=held == ("z",))
    edges = [Edge(parse_site(s), head(2, 3), by) for s in SENDERS[1:3] for by in ("q", "k", "v", "all")]
    edges += [Edge(parse_site(s), to) for s in SENDERS for to in (Site(layer=2, part="mlp_out"), LAST)]
    made = [paths.intervention(edge, str(i)) for i, edge in enumerate(edges)]
    found = engine.run(subject, pair.clean, [i for i, _ in made], PairReadout(pair.clean),
                       {i.name: s for i, s in made})["logit_diff"]  # fmt: skip
    for i, edge in enumerate(edges):
        for row, prompt in enumerate(pair.prompts):
            assert prompt.corrupted is not None
            slow = slow_path(kind, ids(kind, prompt.text), ids(kind, prompt.corrupted), edge.sender, edge.receiver,
                             edge.by, held)  # fmt: skip
            assert float(found[i, row]) == pytest.approx(difference(slow, prompt), abs=2e-3), edge


@pytest.mark.parametrize("kind", SOME)
def test_all_paths_of_a_small_change_add_up_to_the_patch(kind: str) -> None:
    """To first order: what a sender does is what it does through each receiver's queries, keys and values, each MLP,
    and straight to the logits."""
    bench, sender, step = corrupted_lab(kind), head(0, 1), 0.01
    a, batch = bench.subject.anatomy, corrupted_prompts(bench, (N, "explore", 0)).clean
    clean = engine.read(bench.subject, batch, NEEDED)
    nudged = engine.Activations({(0, "z"): clean.at(0, "z") * (1 - step)})
    paths = Paths(bench.subject, batch, clean, nudged)
    edges = [Edge(sender, LAST), *(Edge(sender, Site(layer=i, part="mlp_out")) for i in range(a.blocks[0].parallel, 3))]
    edges += [Edge(sender, head(i, h), by) for i in (1, 2) for h in range(a.n_heads) for by in ("q", "k", "v")]
    made = [paths.intervention(edge, str(i)) for i, edge in enumerate(edges)]
    whole = Intervention(name="whole", edits=(Edit(site=sender, op="scale", factor=1 - step),))
    intact = Intervention(name="intact")
    found = engine.run(bench.subject, batch, [intact, whole, *(i for i, _ in made)], PairReadout(batch),
                       {i.name: s for i, s in made})["logit_diff"].double()  # fmt: skip
    change = found[1:] - found[0]
    assert torch.allclose(change[1:].sum(0), change[0], rtol=0.1, atol=0.02 * float(change.abs().max()) + 2e-5)


@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_of_the_planted_circuit_the_key_edge_is_found_and_only_it(
    direction: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = planted_lab("planted:induction")
    given: dict[str, Any] = {"model": "planted:induction", "task": "induction", "n": 32, "direction": direction}
    every = PathPatching(**given, receivers=[*(f"L1.H{h}" for h in range(4)), "L1.mlp", "logits"]).run(bench)
    there = {e.site for e in every.effects if abs(e.value) > 1e-3}
    assert there == {"L0.H1 to L1.H2.k", "L1.H2 to logits"}
    assert {e.site for e in every.effects if (e.q or 1) < 0.05} == there
    straight = next(e for e in every.effects if e.site == "L1.H2 to logits")
    assert abs(straight.value) == pytest.approx(1.0, abs=1e-3)
    again = PathPatching(**given, receivers=[*(f"L1.H{h}" for h in range(4)), "L1.mlp", "logits"]).run(bench)
    assert again.model_dump() == every.model_dump()
    monkeypatch.setattr(path_patching, "HELD", 1)
    pieces = PathPatching(**given, receivers=["L1.H2", "logits"], senders=["L0.H1", "L1.H2"]).run(bench)
    found = {e.site: e.value for e in every.effects}
    assert {e.site: e.value for e in pieces.effects} == pytest.approx({e.site: found[e.site] for e in pieces.effects},
                                                                      abs=1e-5)  # fmt: skip


def test_what_is_no_path_is_refused() -> None:
    bench = planted_lab("planted:induction")
    given: dict[str, Any] = {"model": "planted:induction", "task": "induction", "n": 8}
    with pytest.raises(BadConfiguration, match=r"^A path cannot end at L0.resid_pre"):
        PathPatching(**given, receivers=["L0.resid_pre"]).check(bench.subject.sizes, bench.task)
    with pytest.raises(BadConfiguration, match="No sender is before a receiver"):
        PathPatching(**given, receivers=["L0.H1"]).run(bench)


def test_a_path_to_smollms_logits_is_drawn_and_no_more_than_the_patch() -> None:
    given: dict[str, Any] = {"task": "ioi", "n": 4}
    bench = smollm()
    result = PathPatching(**given, senders=["L23.H3", "L20.H0", "L29.H1"], receivers=["logits", "L23.H3"]).run(bench)
    found = {e.site: e.value for e in result.effects}
    assert set(found) == {"L23.H3 to logits", "L20.H0 to logits", "L29.H1 to logits",
                          *(f"L20.H0 to L23.H3.{by}" for by in "qkv")}  # fmt: skip
    assert found["L29.H1 to logits"] < -0.1
    assert draw(result.figures[0])
