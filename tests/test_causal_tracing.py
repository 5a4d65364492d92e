"""Causal tracing: against plain hooks, by laws, and on SmolLM2."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.causal_tracing import CausalTracing
from lashley.experiments.methods.causal_tracing import marked, noises, spread
from lashley.experiments.result import Result
from lashley.experiments.sites import Part, Site
from lashley.experiments.tasks.batch import make_batch
from lashley.tests.corrupted_lab import columns, corrupted_lab, difference, ids
from lashley.tests.slow_way import clean_values, hooked
from lashley.tests.test_patching import smollm
from lashley.tests.tiny import KINDS, tiny_subject
from lashley.tools.report.figures import draw

N = 12
FEW = ("gpt2", "gpt_neox", "gemma2")
# On the random opt noise has no steady effect, so that there is nothing to restore, and it is refused.
SOME = [pytest.param(kind, marks=() if kind in FEW else pytest.mark.slow) for kind in KINDS if kind != "opt"]
GIVEN: dict[str, Any] = {"task": "twins", "n": N, "draws": 2, "metric": "logit_diff"}


def values(result: Result) -> dict[str, float]:
    return {e.site: e.value for e in result.effects}


def slow_recovery(kind: str, layers: list[int], part: Part, at: str) -> float:
    """One forward pass of the plain model for each prompt and draw, with hooks."""
    bench, subject = corrupted_lab(kind), tiny_subject(kind)
    prompts = bench.task.prompts(N, "explore", 0)
    batch = make_batch(subject.tokenizer, prompts)
    drawn = noises(subject, marked(batch, "subject", 0), 3.0 * spread(subject, batch), 2, 0)
    frozen = [Site(layer=layer, part=part) for layer in layers]
    took, gave = 0.0, 0.0
    for row, prompt in enumerate(prompts):
        text = ids(kind, prompt.text)
        own, subject_at = clean_values(subject.model, text), columns(kind, prompt, "subject")
        where = range(subject_at.stop, text.shape[1] - 1) if at == "after" else columns(kind, prompt, at)
        with torch.no_grad():
            intact = difference(subject.model(text).logits[0], prompt)
        for source in drawn.values():
            noise = source.at(0, "resid_pre")[row][batch.mask[row].bool()]

            def change(site: Site, value: Tensor, back: bool, own: Any = own, noise: Tensor = noise,
                       drowned: range = subject_at, where: range = where) -> Tensor:  # fmt: skip
                value = value.clone()
                if site == Site(layer=0, part="resid_pre"):
                    value[0, drowned] += noise[drowned]
                if back and site in frozen:
                    value[0, where] = own[site][where]
                return value

            def run(back: bool, change: Any = change, text: Tensor = text, prompt: Any = prompt) -> float:
                with torch.no_grad(), hooked(subject.model, lambda s, v: change(s, v, back)) as cache:
                    return difference(subject.model(text, past_key_values=cache, use_cache=True).logits[0], prompt)

            noised = run(back=False)
            took += intact - noised
            gave += run(back=True) - noised
    return gave / took


@pytest.mark.parametrize("kind", SOME)
def test_a_restored_window_is_what_plain_hooks_make_of_it(kind: str) -> None:
    for part, window, layer, layers, at in (("resid_pre", None, 1, [1], "after"), ("mlp_out", 2, 2, [1, 2], "subject"),
                                            ("attn_out", 3, 0, [0, 1], "last")):  # fmt: skip
        result = CausalTracing(**GIVEN, part=part, window=window, layers=[layer]).run(corrupted_lab(kind))  # type: ignore[arg-type]
        word = "attn" if part == "attn_out" else "mlp" if part == "mlp_out" else part
        found = values(result)[f"L{layer}.{word}@{'end' if at == 'subject' else at}"]
        assert found == pytest.approx(slow_recovery(kind, layers, part, at), abs=2e-3), (part, at)


@pytest.mark.parametrize("kind", SOME)
def test_everything_restored_is_the_intact_run_and_what_the_noise_did_not_reach_restores_nothing(kind: str) -> None:
    result = CausalTracing(**GIVEN).run(corrupted_lab(kind))
    found = values(result)
    assert result["everything"].value == pytest.approx(1.0, abs=1e-4)
    # The span is one token: put back before the first layer it is all that the noise changed.
    assert found["L0.resid_pre@end"] == pytest.approx(1.0, abs=1e-4)
    assert found["L0.resid_pre@after"] == pytest.approx(0.0, abs=1e-5)
    assert found["L0.resid_pre@last"] == pytest.approx(0.0, abs=1e-5)
    assert result["identity"].value < 1e-4
    assert not [note for note in result.notes if note.code.endswith("_failed")]
    again = CausalTracing(**GIVEN).run(corrupted_lab(kind))
    assert again.model_dump() == result.model_dump()


def test_the_control_spans_are_as_long_as_the_span_and_apart_from_it_and_from_the_first_token() -> None:
    bench = smollm("capitals")
    _, batch = bench.prompts(24, "explore", 0)
    more = marked(batch, "subject", 0)
    for mask, named in zip(more.mask, more.spans, strict=True):
        first, last = named["subject"]
        assert (named["first"], named["end"]) == ((first, first + 1), (last - 1, last))
        assert named.get("after", (last, last)) == (last, named["last"][0])
        others = [at for name, at in named.items() if name.startswith("other ")]
        assert others
        assert len(set(others)) == len(others)
        for begin, stop in others:
            assert stop - begin == last - first
            assert stop <= first or begin >= last
            assert int(mask.argmax()) < begin < stop <= named["last"][1]
    names = [frozenset(name for name in named if name.startswith("other ")) for named in more.spans]
    assert len(set(names)) == 1, "each prompt has all controls"


def test_the_unit_of_the_noise_is_what_the_embeddings_say() -> None:
    """Word by word, from the table: of the subjects as ROME has it, of all tokens each once; the result says which."""
    bench = corrupted_lab("llama")
    prompts = bench.task.prompts(N, "explore", 0)
    table: Tensor = bench.subject.model.get_input_embeddings().weight  # type: ignore[union-attr, assignment]
    subjects: list[Tensor] = []
    for prompt in prompts:
        tokens = ids("llama", prompt.text)[0]
        subjects += [table[tokens[i]].detach() for i in columns("llama", prompt, "subject")]
    by_hand = float(torch.stack(subjects).std(correction=0))
    of_subject = CausalTracing(**GIVEN, unit="subject").run(bench)
    assert of_subject["noise_unit"].value == pytest.approx(by_hand, rel=1e-5)
    every = torch.stack([table[i].detach() for i in sorted({int(i) for p in batch_ids(prompts) for i in p})])
    plain = CausalTracing(**GIVEN).run(bench)
    wanted = float((every - every.mean(0)).square().mean().sqrt())
    assert plain["noise_unit"].value == pytest.approx(wanted, rel=1e-5)
    # Noise of as many units is noise of that size.
    scaled = CausalTracing(**GIVEN, unit="subject", noise=3.0 * wanted / by_hand).run(bench)
    assert values(scaled) == pytest.approx(values(plain), abs=1e-3)
    assert of_subject["noise_unit"].value != pytest.approx(plain["noise_unit"].value, rel=1e-3)


def batch_ids(prompts: Any) -> list[list[int]]:
    batch = make_batch(tiny_subject("llama").tokenizer, prompts)
    return [row[mask.bool()].tolist() for row, mask in zip(batch.ids, batch.mask, strict=True)]


def test_noise_that_takes_nothing_and_what_is_not_there_are_one_clear_line() -> None:
    bench = corrupted_lab("gpt2")
    with pytest.raises(BadConfiguration, match=r"^The intact run and the one with noise do not differ"):
        CausalTracing(**GIVEN, noise=0.0).run(bench)
    wrongs: list[dict[str, Any]] = [{"span": "object"}, {"layers": []}, {"layers": [3]}]
    says = ("has the span 'object'. Spans that all have: subject", "layers is empty", "There is no layer 3")
    for wrong, line in zip(wrongs, says, strict=True):
        with pytest.raises(BadConfiguration, match=line):
            CausalTracing(**GIVEN, **wrong).check(bench.subject.sizes, bench.task)


def test_smollm_recalls_a_country_early_at_the_city_and_late_at_the_end() -> None:
    result = CausalTracing(task="cities", n=8, layers=[2, 27], draws=1).run(smollm("cities"))
    found = values(result)
    assert result["total_effect"].value < -0.1
    assert found["L2.resid_pre@end"] > 0.5 > 0.2 > abs(found["L2.resid_pre@last"])
    assert found["L27.resid_pre@last"] > 0.8 > 0.3 > abs(found["L27.resid_pre@end"])
    assert len(result.found) < 3000
    assert draw(result.figures[0])
