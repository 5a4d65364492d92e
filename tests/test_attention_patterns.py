"""Where heads look: against plain hooks, by the law that all shares sum to 1, and where the answer is known."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.attention_patterns import SHOWN, AttentionPatterns
from lashley.experiments.lab import Lab
from lashley.experiments.methods import attention
from lashley.experiments.model.loading import load
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.sites import Site, head
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.registry import task
from lashley.tests.slow_way import clean_values, tokens_of
from lashley.tests.test_controls import counting_lab
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED, VOCABULARY, batch_of, tiny_subject
from lashley.tools.report.figures import draw

ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]
SPANS = [{"pair": (1, 3)}, {"pair": (0, 2)}, {"pair": (2, 4)}]


def value(result: Result, site: str, metric: str) -> float:
    return next(e.value for e in result.effects if (e.site, e.metric) == (site, metric))


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize("reads", [1, 2])
def test_weights_and_their_shares_equal_a_plain_loop(kind: str, reads: int) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS, reads, SPANS)
    spans = attention.places(batch)
    assert set(spans) == {"pair", "last", "first"}
    for query in ("last", "pair"):
        own = attention.weights_from(subject, batch, spans[query])
        assert own.sum(-1) == pytest.approx(np.ones((12, 3)), abs=1e-5)
        share = attention.share_of(own, spans["pair"])
        for prompt, row in enumerate(ROWS):
            values = clean_values(subject.model, tokens_of(batch, prompt))
            a, b = SPANS[prompt]["pair"]
            at = slice(a, b) if query == "pair" else slice(len(row) - reads, len(row) - reads + 1)
            for layer in range(3):
                pattern = values[Site(layer=layer, part="pattern")].unflatten(1, (4, -1))
                expected = pattern[at, :, a:b].sum(-1).mean(0)
                assert share[layer * 4 : layer * 4 + 4, prompt] == pytest.approx(expected.numpy(), abs=1e-4)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_shares_of_what_divides_a_prompt_sum_to_1(lengths: list[int], data: st.DataObject) -> None:
    """Of equal weights, whatever is looked from, and as a count of tokens by hand."""
    batch = batch_of([[3] * n for n in lengths])
    columns = [(batch.length - n, batch.length) for n in lengths]
    cuts = [data.draw(st.integers(a, b)) for a, b in columns]
    queries = [(q, data.draw(st.integers(q + 1, b))) for a, b in columns for q in [data.draw(st.integers(a, b - 1))]]
    even = attention.even_weights(batch, queries)
    first = attention.share_of(even, [(a, cut) for (a, _), cut in zip(columns, cuts, strict=True)])
    rest = attention.share_of(even, [(cut, b) for (_, b), cut in zip(columns, cuts, strict=True)])
    assert first + rest == pytest.approx(np.ones((1, len(lengths))))
    for row, ((a, _), cut, (q, end)) in enumerate(zip(columns, cuts, queries, strict=True)):
        by_hand = [sum(key < cut for key in range(a, query + 1)) / (query + 1 - a) for query in range(q, end)]
        assert first[0, row] == pytest.approx(np.mean(by_hand))


def test_the_mean_pattern_is_that_of_the_prompts_that_share_a_length() -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    heads = [head(2, 1), head(0, 3)]
    found = attention.mean_patterns(subject, batch, [0, 2], heads)
    assert found.shape == (2, 6, 6)
    for i, site in enumerate(heads):
        own = [
            clean_values(subject.model, tokens_of(batch, row))[Site(layer=site.layer, part="pattern")]
            .unflatten(1, (4, -1))[:, site.index or 0]
            .numpy()
            for row in (0, 2)
        ]
        assert found[i] == pytest.approx(np.mean(own, axis=0), abs=1e-5)


@pytest.mark.parametrize("name", ["planted:induction", "planted:backup", "planted:dead-layer"])
def test_the_planted_heads_look_where_it_was_planted(name: str) -> None:
    truth = TRUTHS[name]
    result = AttentionPatterns(model=name, task="induction", n=6).run(planted_lab(name))
    for site in {e.site for e in result.effects}:
        expected = {"to_answer": site in truth.induction_heads, "to_last": False}
        expected["to_first"] = site not in (*truth.induction_heads, *truth.previous_token_heads)
        for metric, there in expected.items():
            assert value(result, site, metric) == pytest.approx(float(there), abs=1e-3), (site, metric)
    percentile = {e.site: e.percentile for e in result.effects if e.metric == "to_answer"}
    assert {percentile[site] for site in truth.induction_heads} == {100.0}
    assert truth.induction_heads[0] in {f.name for f in result.figures}
    # Where the second time begins, the head that looks back sees what stood there the first time.
    (pattern,) = [f for f in result.figures if f.name == truth.induction_heads[0]]
    values, rows = pattern.data["values"], pattern.data["rows"]
    assert all(sum(v for v in row if v is not None) == pytest.approx(1.0, abs=1e-5) for row in values)
    assert [[v is None for v in row] for row in values] == [[k > q for k in range(len(rows))] for q in range(len(rows))]
    before = AttentionPatterns(model=name, task="induction", n=6, query="answer").run(planted_lab(name))
    for site in truth.previous_token_heads:
        assert value(before, site, "to_before") == pytest.approx(1.0, abs=1e-3)


def test_a_task_without_spans_and_a_prompt_without_room() -> None:
    result = AttentionPatterns(task="counting", n=4).run(counting_lab("gpt2"))
    assert {e.metric for e in result.effects} == {"to_first", "to_last"}
    assert value(result, "L0.H0", "to_first") + value(result, "L0.H0", "to_last") == pytest.approx(1.0, abs=1e-5)
    assert result.model_dump() == AttentionPatterns(task="counting", n=4).run(counting_lab("gpt2")).model_dump()
    words = [f"w{3 + i % (VOCABULARY - 3)}" for i in range(58)]
    lines = [{"text": " ".join(words[i:]), "answer": " w5", "template": "long"} for i in range(4)]
    long = Lab(tiny_subject("gpt2"), from_jsonl("long", "\n".join(map(json.dumps, lines))))
    n = long.task.capacity("explore")
    told = AttentionPatterns(task="long", n=n, heads=["L1.H2"]).run(long)
    (figure,) = [f for f in told.figures if f.name == "L1.H2"]
    assert len(figure.data["rows"]) == SHOWN < 55
    assert f"the last {SHOWN} of" in figure.title


def test_what_is_not_there_is_one_clear_line() -> None:
    bench = counting_lab("gpt2")
    for wrong, says in (
        ({"heads": ["L0.H9"]}, "There is no head 9"),
        ({"heads": ["L0.mlp"]}, "is not a head"),
        ({"heads": ["L0.H0", "L0.H1", "L0.H2", "L1.H0", "L1.H1"]}, "at most 4"),
    ):
        with pytest.raises(BadConfiguration, match=says):
            AttentionPatterns.model_validate({"task": "counting", "n": 4, **wrong}).check(
                bench.subject.sizes, bench.task
            )
    with pytest.raises(BadConfiguration, match=r"the span 'subject' to attend from. Use one of: last, first"):
        AttentionPatterns(task="counting", n=4, query="subject").run(bench)


@functools.cache
def ioi() -> Lab:
    subject = load("smollm2-135m", "cpu")
    return Lab(subject, task("ioi").for_tokenizer(subject.tokenizer))


def test_smollm_has_heads_that_look_at_the_receiver_and_at_the_second_giver() -> None:
    given: dict[str, Any] = {"task": "ioi", "n": 4, "heads": ["L24.H4"]}
    result = AttentionPatterns(**given).run(ioi())
    assert value(result, "L24.H4", "to_io") > 0.4 > 0.2 > value(result, "L24.H4", "to_s2")
    assert value(result, "L20.H0", "to_s2") > 0.5
    assert result["to_io_shuffled"].value < 0.6
    assert len(result.found) < 1500
    for figure in result.figures:
        assert "␣" in draw(figure) or figure.name == "spans"
