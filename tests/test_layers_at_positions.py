"""Layers left out at some positions, against plain hooks that hand on what the layer was given there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lashley.experiments.engine.edits import columns_of
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.slow_way import layers_of, tokens_of
from lashley.tests.tiny import batch_of, tiny_subject
from lashley.tests.word_tasks import PROMPTS, word_lab

N = 5
GIVEN: dict[str, Any] = {"task": "words", "n": N}
SHAPES = ("gpt2", "llama", "gemma2")


def with_a_span(prompt: Prompt) -> Prompt:
    """The prompt with its second word as a span."""
    first = prompt.text.index(" ") + 1
    return prompt.model_copy(update={"spans": {"second": (first, prompt.text.index(" ", first))}})


SPANNED = tuple(map(with_a_span, PROMPTS))
# Of a prompt of `n` tokens, followed by its answer: which are touched.
PLACES: dict[str, Callable[[int, int], bool]] = {
    "first": lambda at, _n: at == 0,
    "all-first": lambda at, _n: at != 0,
    "last": lambda at, n: at == n - 1,
    "all-last": lambda at, n: at != n - 1,
    "second": lambda at, _n: at == 1,
    "all-second": lambda at, _n: at != 1,
    "all": lambda _at, _n: True,
}


@torch.no_grad()
def loss_by_hand(kind: str, prompt: int, gone: list[int], touched: Callable[[int, int], bool]) -> float:
    """The answer's loss if the layers `gone` add nothing at the touched positions."""
    lab = word_lab(kind, SPANNED)
    prompts, batch = lab.prompts(N, "explore", 0)
    size = len(lab.subject.tokenizer(prompts[prompt].text)["input_ids"])
    targets = batch.targets[prompt][batch.targets[prompt] >= 0]
    ids = tokens_of(batch, prompt)
    where = torch.tensor([touched(at, size) for at in range(ids.shape[1])])

    def hand_on(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        given: Tensor = args[0] if args else kwargs["hidden_states"]
        new = torch.where(where[:, None], given, out[0] if isinstance(out, tuple) else out)
        return (new, *out[1:]) if isinstance(out, tuple) else new

    layers = layers_of(lab.subject.model)
    handles = [layers[i].register_forward_hook(hand_on, with_kwargs=True) for i in gone]
    try:
        logits = lab.subject.model(input_ids=ids, use_cache=False).logits[0, size - 1 : size - 1 + len(targets)]
    finally:
        for handle in handles:
            handle.remove()
    return float(torch.nn.functional.cross_entropy(logits.float(), targets))


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_layer_left_out_at_positions_adds_nothing_there(kind: str, at: str) -> None:
    intact = [loss_by_hand(kind, p, [], PLACES[at]) for p in range(N)]
    swept = LayerProgram.model_validate({**GIVEN, "sweep": "skip_each", "at": at}).run(word_lab(kind, SPANNED))
    for layer, effect in enumerate(swept.effects):
        by_hand = [loss_by_hand(kind, p, [layer], PLACES[at]) for p in range(N)]
        assert effect.site == f"skip L{layer}@{at}"
        assert effect.value == pytest.approx(sum(by_hand) / N - sum(intact) / N, abs=1e-4)
    assert "identity_failed" not in [note.code for note in swept.notes]


@pytest.mark.parametrize("kind", SHAPES)
def test_several_layers_have_controls_at_the_same_positions(kind: str) -> None:
    lab = word_lab(kind, SPANNED)
    one = LayerProgram.model_validate({**GIVEN, "program": "0, 2", "at": "all-first", "control_pool": "anywhere"})
    found = one.run(lab)
    intact = sum(loss_by_hand(kind, p, [], PLACES["all-first"]) for p in range(N)) / N
    changes = [sum(loss_by_hand(kind, p, [layer], PLACES["all-first"]) for p in range(N)) / N - intact
               for layer in range(3)]  # fmt: skip
    assert found.effects[0].site == "0, 2@all-first"
    assert found.effects[0].value == pytest.approx(changes[1], abs=1e-4)
    assert found["control_change"].value == pytest.approx((changes[0] + changes[2]) / 2, abs=1e-4)
    assert found.found.startswith("Leaving out 1 at all-first: loss changes by")


def test_everywhere_is_the_program_itself() -> None:
    for kind in SHAPES:
        lab = word_lab(kind, SPANNED)
        usual = LayerProgram.model_validate({**GIVEN, "program": "0"}).run(lab)
        edited = LayerProgram.model_validate({**GIVEN, "program": "0", "at": "all"}).run(lab)
        assert edited.effects[0].value == pytest.approx(usual.effects[0].value, abs=1e-4)
        assert [s.changed for s in edited.samples] == [s.changed for s in usual.samples]


def test_names_of_positions() -> None:
    rows = [[5, 6, 7, 8], [9, 10]]
    spans = [{"a": (1, 3)}, {"a": (0, 1)}]
    batch = batch_of(rows, spans=spans)
    chosen = {name: [row.nonzero().flatten().tolist() for row in columns_of(batch, name)]
              for name in ("all", "first", "last", "a", "all-first", "all-last", "all-a")}  # fmt: skip
    assert chosen == {
        "all": [[0, 1, 2, 3], [2, 3]], "first": [[0], [2]], "last": [[3], [3]], "a": [[1, 2], [2]],
        "all-first": [[1, 2, 3], [3]], "all-last": [[0, 1, 2], [2]], "all-a": [[0, 3], [3]],
    }  # fmt: skip
    named = batch_of(rows, spans=[{"first": (1, 2), "all-a": (0, 1)}, {"first": (1, 2), "all-a": (0, 1)}])
    assert columns_of(named, "first").nonzero().tolist() == [[0, 1], [1, 3]], "a span of that name counts"
    assert columns_of(named, "all-a").nonzero().tolist() == [[0, 0], [1, 2]], "a span of that name counts"
    for wrong in ("b", "all-b", "all-all", "all-"):
        with pytest.raises(BadConfiguration, match=r"Positions: all, first, last, a, or all-X"):
            columns_of(batch, wrong)


@pytest.mark.parametrize(
    "given",
    [
        {"sweep": "repeat_each"},
        {"sweep": "keep_first"},
        {"program": "0-2"},
        {"program": "0, 0, 1"},
        {"program": "2, 1"},
    ],
)
def test_only_leaving_out_can_be_limited(given: dict[str, Any]) -> None:
    kind = LayerProgram.model_validate({**GIVEN, **given, "at": "first"})
    with pytest.raises(BadConfiguration, match=r"layers can only be left out.* such as \"0, 2\"\.$"):
        kind.check(tiny_subject("llama").sizes, word_lab("llama").task)


def test_a_limited_skip_is_no_removal_and_an_older_configuration_keeps_its_hash() -> None:
    assert LayerProgram(sweep="skip_each").removed("skip L1", 3) == {"L1"}
    assert LayerProgram(sweep="skip_each", at="first").removed("skip L1@first", 3) == frozenset()
    assert "at" not in LayerProgram(sweep="skip_each").config()
    unknown = LayerProgram.model_validate({**GIVEN, "sweep": "skip_each", "at": "third"})
    with pytest.raises(BadConfiguration, match="no positions 'third'"):
        unknown.check(tiny_subject("llama").sizes, word_lab("llama", SPANNED).task)
