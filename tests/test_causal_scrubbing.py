"""Causal scrubbing: by its laws, against plain hooks, and on the planted circuit."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.causal_scrubbing import CausalScrubbing
from lashley.experiments.lab import INTACT, Lab, lab_of, numbers
from lashley.experiments.methods.causal_scrubbing import Draws, Pool, Scrubber, usable
from lashley.experiments.methods.control_sets import matched_sets
from lashley.experiments.methods.scrubbing_hypothesis import Group, grouped, moved_to, parsed, runs_needed
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.sites import Site, parse_site
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.slow_way import clean_values, hooked
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import tiny_subject

MODEL = "planted:induction"
PREVIOUS, INDUCTION = "L0.H1", "L1.H2"
TRUE = (f"{PREVIOUS} depends on before", f"{INDUCTION} depends on answer")
Who = tuple[Prompt, ...]


@functools.cache
def scrubbed(*hypothesis: str, model: str = MODEL, **given: Any) -> Result:
    settings: dict[str, Any] = {"model": model, "task": "induction", "n": 16, "samples": 2, "controls": 4, **given}
    return CausalScrubbing(hypothesis=list(hypothesis), **settings).run(planted_lab(model))


# --- the planted circuit


def test_the_true_hypothesis_keeps_everything_and_is_not_rejected() -> None:
    result = scrubbed(*TRUE)
    assert result["kept"].value == pytest.approx(1, abs=1e-3)
    assert result["rejected"].value == 0
    assert result["kept_wrong_largest"].value < 0.3
    assert result["with_itself"].value < 0.1


@pytest.mark.parametrize("model", ["planted:dead-layer", "planted:constant"])
def test_it_holds_for_the_other_planted_circuits(model: str) -> None:
    truth = TRUTHS[model]
    lines = (f"{truth.previous_token_heads[0]} depends on before", f"{truth.induction_heads[0]} depends on answer",
             *(f"{head} depends on words" for head in truth.constant_heads),
             # Its MLP turns the answer round where nothing constant is written.
             *(("L1.mlp depends on answer",) if truth.constant_heads else ()))  # fmt: skip
    result = scrubbed(*lines, model=model)
    assert result["kept"].value == pytest.approx(1, abs=1e-3)
    assert result["rejected"].value == 0


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        # The head that only acts through another one is forgotten.
        ((f"{INDUCTION} depends on answer",), 0),
        ((f"{PREVIOUS} depends on everything",), 0),
        # The right heads, and a value that does not decide what they write.
        ((f"{PREVIOUS} depends on before", f"{INDUCTION} depends on words"), 0),
        ((f"{PREVIOUS} depends on words", f"{INDUCTION} depends on answer"), 0),
    ],
)
def test_a_hypothesis_that_leaves_out_what_matters_is_rejected(lines: tuple[str, ...], kept: float) -> None:
    result = scrubbed(*lines)
    assert result["kept"].value == pytest.approx(kept, abs=0.25)
    assert result["rejected"].value == 1


def test_with_intact_inputs_only_what_writes_to_the_logits_is_tested() -> None:
    result = scrubbed(f"{INDUCTION} depends on answer", inputs="intact")
    assert result["kept"].value == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 20), marks=pytest.mark.slow)])
def test_wrong_hypotheses_of_the_same_shape_are_rejected_every_time(seeds: range) -> None:
    lab = planted_lab(MODEL)
    true = parsed([f"{PREVIOUS} depends on everything", f"{INDUCTION} depends on answer"])
    sites = [parse_site(PREVIOUS), parse_site(INDUCTION)]
    rejected: list[float] = []
    for seed in seeds:
        wrong = moved_to(true, matched_sets(sites, lab.subject.sizes, seed, 1)[0])
        result = CausalScrubbing(model=MODEL, task="induction", n=16, samples=1, controls=2, seed=seed % 4,
                                 hypothesis=[str(one) for one in wrong]).run(lab)  # fmt: skip
        rejected.append(result["rejected"].value)
    assert rejected == [1.0] * len(seeds)


def test_where_there_is_nothing_to_keep_it_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"do not differ on these prompts.*Use a task"):
        scrubbed("L0.H1 depends on answer", model="planted:null")


# --- laws


def every_part(lab: Lab) -> list[str]:
    sizes = lab.subject.sizes
    heads = [f"L{i}.H{h}" for i in range(sizes["n_layers"]) for h in range(sizes["n_heads"])]
    return ["embed", *heads, *(f"L{i}.mlp" for i in range(sizes["n_layers"]))]


def test_all_parts_that_depend_on_everything_are_the_intact_model() -> None:
    lab = planted_lab(MODEL)
    result = scrubbed(*(f"{part} depends on everything" for part in every_part(lab)))
    assert result["kept"].value == pytest.approx(1, abs=1e-4)


def test_if_nothing_is_named_the_model_sees_another_prompt_and_nothing_else() -> None:
    lab, metric = words_lab("gpt2"), "logit_diff"
    pool = Pool(lab, 0)
    bases, _, _ = usable(lab, pool, (), (6, "explore", 0))
    found = Scrubber(lab, Draws(pool, bases, "law"), ()).run("law", metric)
    others = Scrubber(lab, Draws(pool, bases, "law"), ())
    batch = others.batch(others.draws.of(bases, ()))
    assert np.allclose(
        found, numbers(lab.run("other", batch, [INTACT], lab.readout(metric, batch))[metric][0]), atol=1e-4
    )


# --- against plain hooks


@functools.cache
def words_lab(kind: str) -> Lab:
    """Prompts of three words, each of three, with values a, b and c."""
    lines = [
        json.dumps({"text": f"w{a} w{b} w{c} w9", "answer": f" w{40 + i % 30}", "distractor": f" w{3 + i % 30}",
                    "spans": {"a": [0, 3], "b": [4, 7], "c": [8, 11]}, "template": "words"})
        for i, (a, b, c) in enumerate(itertools.product(range(10, 13), range(20, 23), range(30, 33)))
    ]  # fmt: skip
    return lab_of(tiny_subject(kind), from_jsonl("words", "\n".join(lines)))


class Slow:
    """A scrubbed model, one prompt and one forward pass with hooks at a time; only the draws are shared."""

    def __init__(self, lab: Lab, draws: Draws, groups: tuple[Group, ...]) -> None:
        self.lab, self.draws, self.groups = lab, draws, groups

    def ids(self, prompt: Prompt) -> Tensor:
        return torch.tensor([self.lab.subject.tokenizer(prompt.text)["input_ids"]])

    @torch.no_grad()
    def run(self, who: Who, before: tuple[int, bool] | None) -> list[tuple[dict[Site, Tensor], Tensor]]:
        """The values at every site and the logits of each prompt, with all parts of a lower order replaced."""
        other = [clean_values(self.lab.subject.model, self.ids(p)) for p in self.draws.of(who, ())]
        given = [{s: v.clone() for s, v in one.items()
                  if s.part in ("z", "mlp_out") and (before is None or (s.layer, s.part == "mlp_out") < before)}
                 for one in other]  # fmt: skip
        for group in self.groups:
            if before is None or group.order < before:
                lent = self.run(self.draws.of(who, group.values), group.order)
                for mine, (theirs, _) in zip(given, lent, strict=True):
                    for site in group.sites:
                        whole = site.model_copy(update={"index": None})
                        d = self.lab.subject.anatomy.d_head
                        at = slice(None) if site.index is None else slice(site.index * d, (site.index + 1) * d)
                        mine[whole][:, at] = theirs[whole][:, at]
        if before is None:
            for mine, one in zip(given, other, strict=True):
                mine[Site(layer=0, part="resid_pre")] = one[Site(layer=0, part="resid_pre")]
        found: list[tuple[dict[Site, Tensor], Tensor]] = []
        for prompt, mine in zip(who, given, strict=True):
            seen: dict[Site, Tensor] = {}

            def change(site: Site, value: Tensor, mine: dict[Site, Tensor] = mine,
                       seen: dict[Site, Tensor] = seen) -> Tensor:  # fmt: skip
                value = mine[site][None] if site in mine else value
                seen[site] = value[0].clone()
                return value

            model = self.lab.subject.model
            with hooked(model, change) as cache:
                logits = model(input_ids=self.ids(prompt), past_key_values=cache, use_cache=True).logits[0, -1]
            found.append((seen, logits))
        return found


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_a_scrubbed_model_is_what_plain_hooks_make_of_it(kind: str) -> None:
    lab = words_lab(kind)
    parts = parsed(["L0.H1 depends on a", "L1.H0 depends on a, b", "L1.H2 depends on a, b", "L1.mlp depends on c",
                    "L2.H3 depends on everything", "L2.mlp depends on nothing"])  # fmt: skip
    pool = Pool(lab, 0)
    bases, _, _ = usable(lab, pool, parts, (3, "explore", 0))
    found = Scrubber(lab, Draws(pool, bases, "same"), parts).run("test", "logit_diff")
    slow = Slow(lab, Draws(pool, bases, "same"), grouped(parts)).run(bases, None)
    ids = lab.subject.tokenizer.convert_tokens_to_ids
    for base, value, (_, logits) in zip(bases, found, slow, strict=True):
        assert base.distractor is not None
        mine, rival = ids(base.answer.strip()), ids(base.distractor.strip())
        assert value == pytest.approx(float(logits[mine] - logits[rival]), abs=2e-4)


def test_donors_agree_on_the_values_and_ask_something_else() -> None:
    lab = words_lab("gpt2")
    pool = Pool(lab, 0)
    bases, passed, looked_at = usable(lab, pool, parsed(["L0.H1 depends on a, b"]), (4, "explore", 0))
    draws = Draws(pool, bases, "x")
    for _ in range(10):
        lent = draws.of(bases, ("a", "b"))
        assert all(pool.values(p)["a"] == pool.values(q)["a"] and pool.values(p)["b"] == pool.values(q)["b"]
                   and p.key != q.key for p, q in zip(bases, lent, strict=True))  # fmt: skip
    assert (draws.alone, draws.drawn) == (0, 40)
    assert looked_at == 4 + passed


# --- the hypothesis


def test_parts_of_a_layer_with_the_same_values_are_one_run() -> None:
    parts = parsed(
        ["L1.H2 depends on a, b", "L1.H0 depends on b,a", "L0.mlp depends on nothing", "L2.mlp depends on c"]
    )
    assert [(tuple(map(str, g.sites)), g.values) for g in grouped(parts)] == [
        (("L1.H0", "L1.H2"), ("a", "b")),
        (("L2.mlp",), ("c",)),
    ]
    assert [runs_needed(grouped(parts)[:count]) for count in (0, 1, 2)] == [1, 2, 4]
    moved = moved_to(parts, [parse_site(name) for name in ("L3.mlp", "L1.H1", "L1.H3")])
    assert {str(one) for one in moved} == {"L1.H1 depends on a, b", "L1.H3 depends on a, b", "L3.mlp depends on c"}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["L1.H2 answer"], "is not a line of a hypothesis. Write"),
        (["L1.attn depends on answer"], "cannot be scrubbed. Use a head"),
        (["L1.H9 depends on answer"], "There is no head 9"),
        (["L1.H2 depends on answer, nothing"], "Name only one of them"),
        (["L1.H2 depends on a", "L1.H2 depends on b"], "each once"),
        ([], "at least one part"),
        (["L1.H2 depends on country"], "has a value country. Use before, answer"),
    ],
)
def test_what_is_no_hypothesis_is_one_line(lines: list[str], says: str) -> None:
    lab = planted_lab(MODEL)
    with pytest.raises(BadConfiguration, match=says):
        CausalScrubbing(model=MODEL, task="induction", n=4, hypothesis=lines).check(lab.subject.sizes, lab.task)


def test_what_needs_too_many_runs_or_donors_is_refused() -> None:
    lab = planted_lab(MODEL)
    deep = [f"L{i}.H0 depends on answer" for i in range(8)]
    with pytest.raises(BadConfiguration, match=r"needs up to 256 runs, more than 128. Name parts of fewer layers"):
        CausalScrubbing(task="induction", n=4, hypothesis=deep).check({}, lab.task)
    with pytest.raises(BadConfiguration, match=r"Only 0 of \d+ prompts .* agrees on a, b, c. Name fewer values"):
        CausalScrubbing(task="words", n=2, hypothesis=["L0.H1 depends on a, b, c"]).run(words_lab("gpt2"))
