"""Attention patterns: read as the model computes them, and edited, on every architecture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lashley.experiments import engine
from lashley.experiments.errors import BadConfiguration, UnsupportedModel
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.sites import Site, check_site, parse_site
from lashley.tests.slow_way import clean_values, first_token, tokens_of
from lashley.tests.test_engine import TOLERANCE, Case, batches, everywhere, gap, logits_of, nothing_asked, own_logits
from lashley.tests.tiny import BASE, SAMPLED, WIDE, batch_of, tiny_model, tiny_subject, tiny_tokenizer

FEW = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]
ALIKE = [[5, 17, 40, 8, 77, 30], [61, 9, 12, 44, 80, 7], [33, 90, 4, 4, 51, 28]]
every_kind = pytest.mark.parametrize("kind", SAMPLED)


@every_kind
def test_a_pattern_is_read_as_the_model_computes_it(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    clean = engine.read(subject, batch, {"pattern"})
    for prompt in range(len(batch)):
        first = first_token(batch, prompt)
        values = clean_values(subject.model, tokens_of(batch, prompt))
        for layer in range(subject.anatomy.n_layers):
            own = values[Site(layer=layer, part="pattern")].unflatten(1, (subject.anatomy.n_heads, -1)).transpose(0, 1)
            seen = clean.pattern(layer)[prompt]
            assert gap(seen[:, first:, first:], own) <= TOLERANCE
            assert float(seen[:, first:, :first].abs().max() if first else 0.0) == 0.0


@every_kind
@given(data=st.data())
@FEW
def test_edited_patterns_equal_the_slow_way(kind: str, data: st.DataObject) -> None:
    subject = tiny_subject(kind)
    case = Case(subject, *data.draw(batches()))
    made: list[Edit] = []
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(["pattern", "pattern", "z", "v"]))
        heads = subject.anatomy.n_kv_heads if part == "v" else subject.anatomy.n_heads
        op = data.draw(st.sampled_from(["zero", "replace", "scale", "freeze", "add"]))
        made.append(
            Edit(
                site=Site(
                    layer=data.draw(st.integers(0, 2)),
                    part=part,  # type: ignore[arg-type]
                    index=data.draw(st.none() | st.integers(0, heads - 1)),
                ),
                op=op,
                source="patch" if op in ("replace", "add") else None,
                factor=data.draw(st.sampled_from([-0.5, 2.0])),
                positions=data.draw(st.sampled_from(["all", "last", "span"])),
            )
        )
    tried = Intervention(name="tried", edits=tuple(made))
    every = data.draw(st.booleans())
    fast = engine.run(subject, case.batch, [tried], Logits(every_column=every), case.sources)["logits"][0]
    for prompt in range(len(case.batch)):
        slow = case.slow(tried, prompt)
        slow = slow if every else slow[-case.batch.reads :]
        assert gap(fast[prompt, -len(slow) :], slow) <= TOLERANCE


@every_kind
@pytest.mark.parametrize("method", ["mean", "resample"])
def test_patterns_of_other_prompts_equal_the_slow_way(kind: str, method: str) -> None:
    subject, batch = tiny_subject(kind), nothing_asked(batch_of(ALIKE))
    case = Case(subject, batch, batch)
    for layer in range(subject.anatomy.n_layers):
        site = Site(layer=layer, part="pattern", index=layer)
        tried = Intervention(name="tried", edits=(Edit(site=site, op="replace", source=method),))
        fast = engine.run(subject, batch, [tried], Logits(), case.sources)["logits"][0]
        for prompt in range(len(batch)):
            assert gap(fast[prompt], case.slow(tried, prompt)) <= TOLERANCE


@every_kind
def test_a_head_that_attends_nowhere_writes_nothing(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    for layer in range(subject.anatomy.n_layers):
        nowhere, nothing = (Edit(site=Site(layer=layer, part=p, index=2)) for p in ("pattern", "z"))
        assert gap(logits_of(subject, batch, nowhere), own_logits(subject, batch)) > 1e-3
        assert gap(logits_of(subject, batch, nowhere), logits_of(subject, batch, nothing)) <= TOLERANCE


@every_kind
def test_frozen_patterns_and_values_freeze_what_the_heads_write(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    for layer in range(1, subject.anatomy.n_layers):
        damage = everywhere("resid_post", layer - 1, op="scale", factor=-0.5)
        by_parts = [everywhere(part, layer, op="freeze") for part in ("pattern", "v")]
        whole = logits_of(subject, batch, damage, everywhere("z", layer, op="freeze"))
        assert gap(logits_of(subject, batch, damage), whole) > 1e-3
        assert gap(logits_of(subject, batch, damage, *by_parts), whole) <= TOLERANCE


def test_means_and_resamples_of_patterns_need_prompts_of_one_length() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    clean = engine.read(subject, batch, {"pattern"})
    for source in (engine.mean_source(clean, batch), engine.resample_source(clean, batch, 0)):
        with pytest.raises(BadConfiguration, match=r"^1 of 3 prompts have no donor of their length"):
            logits_of(subject, batch, everywhere("pattern", 1, op="replace", source="other"), other=source)
    place = engine.places_source(clean, batch, batch, [0, 1, 2], [5, 5, 5])
    with pytest.raises(BadConfiguration, match=r"^The source 'place' has only one vector, but a pattern"):
        logits_of(subject, batch, everywhere("pattern", 1, op="replace", source="place"), place=place)
    with pytest.raises(BadConfiguration, match=r"^A pattern is not a vector"):
        engine.vector_source(subject, {(1, "pattern"): torch.zeros(24)})


def test_an_attention_that_hides_its_pattern_is_refused_by_name_and_usable_otherwise() -> None:
    changed = {**BASE, **WIDE, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4,
               "max_position_embeddings": 4096}  # fmt: skip
    subject, batch = prepare("tiny", tiny_model("gpt_oss", **changed), tiny_tokenizer(), "cpu"), batch_of(ROWS)
    with pytest.raises(UnsupportedModel, match=r"^GptOssAttention does not compute its weights with one softmax"):
        engine.read(subject, batch, {"pattern"})
    with pytest.raises(UnsupportedModel, match=r"^GptOssAttention does not compute its weights with one softmax"):
        logits_of(subject, batch, everywhere("pattern", 1))
    assert gap(logits_of(subject, batch, everywhere("z", 1, op="freeze")), own_logits(subject, batch)) <= TOLERANCE


def test_the_name_of_a_pattern() -> None:
    site = parse_site("L7.H3.pattern")
    assert (site.layer, site.part, site.index, str(site)) == (7, "pattern", 3, "L7.H3.pattern")
    assert str(parse_site("L7.pattern")) == "L7.pattern"
    sizes = {"n_layers": 8, "n_heads": 3, "n_kv_heads": 1, "d_mlp": 4}
    with pytest.raises(BadConfiguration, match=r"^There is no head 3 in L7\.H3\.pattern. Each layer has 3, 0 to 2\.$"):
        check_site(site, sizes)
    with pytest.raises(BadConfiguration, match=r"^'L7\.K3\.pattern' is not a site"):
        parse_site("L7.K3.pattern")
