"""Raw tensors through the engine are those that plain hooks on the transformers model see.

To the bit where attention runs step by step ("eager"); else the engine adds the few terms of a short prompt in another
order than torch, and the last bits differ.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import lashley
from lashley.errors import BadConfiguration, BadTask
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import Site, parse_site
from lashley.tests.slow_way import clean_values, slow_logits
from lashley.tests.tiny import tiny_model, tiny_subject, tiny_tokenizer
from lashley.tools.python_api.model import Model

KINDS = ["gpt2", "llama", "gemma2"]
TEXT = "w3 w14 w15 w9 w26 w5"
WHOLE = ["resid_pre", "attn", "mlp", "resid_post"]


def model_of(kind: str) -> Model:
    return Model(tiny_subject(kind))


@functools.cache
def eager(kind: str) -> tuple[PreTrainedModel, Model]:
    """A transformers model whose attention runs step by step, and what `lashley.load` makes of it."""
    own = tiny_model(kind).eval()
    own.set_attn_implementation("eager")
    return own, lashley.load(own, tiny_tokenizer())


def ids_of(kind: str, text: str) -> Tensor:
    return torch.tensor([tiny_subject(kind).tokenizer(text)["input_ids"]])


@torch.no_grad()
def hooked_plainly(model: PreTrainedModel, text: str) -> tuple[dict[str, Tensor], Tensor]:
    """What every layer and its parts are given and give, by hooks at places that stand here; and the logits."""
    kind, kept, handles = model.config.model_type, dict[str, Tensor](), []

    def keep(name: str, module: Any, before: bool = False) -> None:
        def seen(_: Any, given: Any, kwargs: Any, out: Any = None) -> None:
            value = (given[0] if given else kwargs["hidden_states"]) if before else out
            kept[name] = (value[0] if isinstance(value, tuple) else value).clone()

        register = module.register_forward_pre_hook if before else module.register_forward_hook
        handles.append(register(seen, with_kwargs=True))

    for i, layer in enumerate(model.transformer.h if kind == "gpt2" else model.model.layers):
        normed = kind == "gemma2"
        attn = layer.attn if kind == "gpt2" else layer.self_attn
        keep(f"L{i}.resid_pre", layer, before=True)
        keep(f"L{i}.z", attn.c_proj if kind == "gpt2" else attn.o_proj, before=True)
        keep(f"L{i}.attn", layer.post_attention_layernorm if normed else attn)
        keep(f"L{i}.neurons", layer.mlp.c_proj if kind == "gpt2" else layer.mlp.down_proj, before=True)
        keep(f"L{i}.mlp", layer.post_feedforward_layernorm if normed else layer.mlp)
        keep(f"L{i}.resid_post", layer)
    try:
        logits = model(
            input_ids=(ids := ids_of(kind, text)), attention_mask=torch.ones_like(ids), use_cache=False
        ).logits
    finally:
        for handle in handles:
            handle.remove()
    return kept, logits


@pytest.mark.parametrize("kind", KINDS)
def test_activations_are_those_of_plain_hooks(kind: str) -> None:
    own, model = eager(kind)
    seen, logits = hooked_plainly(model.subject.model, TEXT)
    sites = [f"L{i}.{part}" for i in range(3) for part in (*WHOLE, "z")]
    found = model.activations(TEXT, [*sites, "L1.H2.z", "L1.H2", "L2.mlp.n7"])
    assert torch.equal(found.logits, logits)
    d_head = model.sizes["d_head"]
    for name in sites:
        shaped = seen[name].unflatten(-1, (-1, d_head)) if name.endswith(".z") else seen[name]
        assert torch.equal(found[name], shaped), name
    one = seen["L1.z"][..., 2 * d_head : 3 * d_head]
    assert torch.equal(found["L1.H2.z"], one)
    assert torch.equal(found["L1.H2"], one)
    assert torch.equal(found["L2.mlp.n7"].flatten(), seen["L2.neurons"][..., 7].flatten())
    # The user's own modules multiply by whatever torch takes, and ours by what is fastest here.
    seen, logits = hooked_plainly(own, TEXT)
    usual = model_of(kind).activations(TEXT, sites)
    for close in (found, usual):
        assert torch.allclose(close.logits, logits, atol=1e-5)
        assert all(torch.allclose(close[name].flatten(), seen[name].flatten(), atol=2e-5) for name in sites)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_values_and_patterns_are_those_of_the_attention(kind: str) -> None:
    subject, model = tiny_subject(kind), model_of(kind)
    seen = clean_values(subject.model, ids_of(kind, TEXT))
    n, d_head = len(TEXT.split()), model.sizes["d_head"]
    found = model.activations(TEXT, ["L1.K1", "L1.V0", "L2.H3.pattern", "L2.pattern"])
    key, value, pattern = (seen[Site(layer=i, part=p)] for i, p in ((1, "k"), (1, "v"), (2, "pattern")))  # type: ignore[arg-type]
    assert torch.allclose(found["L1.K1"][0], key[:, d_head : 2 * d_head], atol=1e-6)
    assert torch.allclose(found["L1.V0"][0], value[:, :d_head], atol=1e-6)
    by_head = pattern.unflatten(1, (-1, n)).transpose(0, 1)
    assert torch.allclose(found["L2.pattern"][0], by_head, atol=1e-6)
    assert torch.allclose(found["L2.H3.pattern"][0], by_head[3], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_of_different_lengths_have_what_they_have_alone(kind: str) -> None:
    model, texts = model_of(kind), [TEXT, "w7 w8 w11"]
    sites = ["L0.resid_pre", "L1.H3", "L2.attn", "L2.resid_post"]
    both = model.activations(texts, sites)
    assert both.mask.tolist() == [[True] * 6, [False] * 3 + [True] * 3]
    for row, text in enumerate(texts):
        alone = model.activations(text, sites)
        for name in sites:
            assert torch.allclose(both[name][row][both.mask[row]], alone[name][0], atol=1e-5), name
        assert torch.allclose(both.logits[row][both.mask[row]], alone.logits[0], atol=1e-5)
    rows = model.activations(both.tokens[:1], sites)
    assert torch.allclose(rows["L1.H3"], both["L1.H3"][:1], atol=1e-6)


VECTOR = torch.linspace(-1, 1, 200)


@pytest.mark.parametrize("kind", KINDS)
def test_interventions_are_those_of_plain_hooks(kind: str) -> None:
    subject, model = tiny_subject(kind), model_of(kind)
    d_head, d_model, n = model.sizes["d_head"], model.sizes["d_model"], len(TEXT.split())
    whole = VECTOR[: n * d_head].view(1, n, d_head)
    edits = [
        lashley.Edit("L0.H1"),
        lashley.Edit("L0.attn", "scale", factor=0.5),
        lashley.Edit("L1.H2", "replace", value=whole),
        lashley.Edit("L1.resid_pre", "add", value=VECTOR[:d_model], factor=2.0, positions="last"),
        lashley.Edit("L2.mlp", "project_out", value=VECTOR[:d_model]),
        lashley.Edit("L2.K1", "zero"),
        lashley.Edit("L1.mlp.n3", "replace", value=torch.tensor([4.0])),
    ]
    plain = [Edit(site=parse_site(e.site), op=e.op, source="x", factor=e.factor, positions=e.positions) for e in edits]
    values = dict(zip(plain, (e.value for e in edits), strict=True))

    def source(edit: Edit, position: int) -> Tensor | None:
        value = values[edit]
        if value is None:
            return None
        at = value if value.dim() == 1 else value[0, position]
        if edit.site.index is None:
            return at
        width = {"z": d_head, "neurons": 1}[edit.site.part]
        return torch.cat([torch.zeros(edit.site.index * width), at, torch.zeros(1000)])

    def touched(edit: Edit, position: int) -> bool:
        return edit.positions == "all" or position == n - 1

    slow = slow_logits(
        subject.model, ids_of(kind, TEXT), Intervention(name="x", edits=tuple(plain)), touched, source, d_head
    )
    found = model.intervene(TEXT, edits, read=["L1.H2", "L0.H1", "L2.K1"])
    assert torch.allclose(found.logits[0], slow, atol=1e-5)
    assert torch.equal(found["L1.H2"], whole)
    assert not found["L0.H1"].any()
    assert not found["L2.K1"].any()
    assert not torch.allclose(found.logits, model.activations(TEXT, []).logits, atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_is_taken_out_is_a_plain_pre_hook(kind: str) -> None:
    """To the bit, with the hook that a user would write."""
    _, model = eager(kind)
    module, d_head = model.subject.model, model.sizes["d_head"]

    def without(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        z = given[0].clone()
        z[..., 2 * d_head : 3 * d_head] = 0
        return z, *given[1:]

    project = module.transformer.h[1].attn.c_proj if kind == "gpt2" else module.model.layers[1].self_attn.o_proj
    handle = project.register_forward_pre_hook(without)
    with torch.no_grad():
        plain = module(input_ids=ids_of(kind, TEXT), use_cache=False).logits
    handle.remove()
    assert torch.equal(model.intervene(TEXT, ["L1.H2"]).logits, plain)


def test_what_comes_back_can_be_learned_from_and_is_shown_by_its_shapes() -> None:
    found = model_of("llama").activations([TEXT, "w3 w4"], ["L1.resid_post"])
    probe = torch.nn.Linear(32, 1)
    probe(found["L1.resid_post"]).sum().backward()
    assert probe.weight.grad is not None
    assert repr(found) == "<activations L1.resid_post [2, 6, 32], logits [2, 6, 96]>"
    assert (list(found), len(found), found.tokens.shape) == (["L1.resid_post"], 1, (2, 6))


def test_a_span_of_a_prompt_is_a_position() -> None:
    model = model_of("llama")
    prompt = lashley.Prompt("w3 w4 w5 w6", " w7", spans={"second": (3, 5)})
    found = model.intervene(prompt, [lashley.Edit("L0.resid_post", positions="second")], ["L0.resid_post"])
    assert [not row.any() for row in found["L0.resid_post"][0]] == [False, True, False, False]


NEED = "must be a list of names"


@pytest.mark.parametrize(
    ("prompts", "edits", "read", "error", "says"),
    [
        (TEXT, [], ["L9.H0"], BadConfiguration, "no layer 9"),
        (TEXT, [], ["L1.H9"], BadConfiguration, "no head 9"),
        (TEXT, [], ["heads"], BadConfiguration, "is not a site"),
        (TEXT, [], [5], BadConfiguration, NEED),
        (TEXT, 5, [], BadConfiguration, NEED),
        (TEXT, [lashley.Edit("L0.K7")], [], BadConfiguration, "no KV head 7"),
        (TEXT, [lashley.Edit("L0.H1", "swap")], [], BadConfiguration, "no edit 'swap'"),  # type: ignore[arg-type]
        (TEXT, [lashley.Edit("L0.H1", "add")], [], BadConfiguration, "needs a value"),
        (TEXT, [lashley.Edit("L0.H1", value=VECTOR)], [], BadConfiguration, "takes no value"),
        (TEXT, [lashley.Edit("L0.H1", "add", value=VECTOR)], [], BadConfiguration, r"must be \[8\]"),
        (TEXT, [lashley.Edit("L0.H1", "add", value=VECTOR[:8] / 0)], [], BadConfiguration, "not finite"),
        (TEXT, [lashley.Edit("L0.H1", "add", value="x")], [], BadConfiguration, "tensor of numbers"),  # type: ignore[arg-type]
        (TEXT, [lashley.Edit("L0.H1", "scale", factor=float("nan"))], [], BadConfiguration, "finite number"),
        (TEXT, [lashley.Edit("L0.H1", positions="third")], [], BadConfiguration, "no positions 'third'"),
        (TEXT, [lashley.Edit("L0.H1", "scale", factor="2")], [], BadConfiguration, "finite number"),  # type: ignore[arg-type]
        (TEXT, [lashley.Edit("L0.H1", positions=0)], [], BadConfiguration, "'last' or the name"),  # type: ignore[arg-type]
        (5, [], [], BadTask, "must be a text"),
        ({"text": "w3"}, [], [], BadTask, "must be a text"),
        ("", [], [], BadTask, "has no tokens"),
        ([], [], [], BadTask, "must be a text"),
        ([3], [], [], BadTask, "must be a text"),
        (None, [], [], BadTask, "must be a text"),
        (torch.tensor([[96]]), [], [], BadTask, "from 0 to 95"),
        (torch.tensor([[0.5]]), [], [], BadTask, "whole numbers"),
        (" ".join(["w3"] * 70), [], [], BadTask, "64"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    prompts: Any, edits: Any, read: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        model_of("llama").intervene(prompts, edits, read)
    assert "\n" not in str(raised.value)
