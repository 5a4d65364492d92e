"""A model in memory is measured as a loaded one is, and left as it was, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

import lashley
from lashley.errors import UnsupportedModel
from lashley.tests.saved_models import saved
from lashley.tests.tiny import tiny_model, tiny_tokenizer

PROMPTS = [lashley.Prompt(f"w{n} w{n + 1} w{n + 2}", f" w{n + 3}", distractor=" w9") for n in range(10, 40)]


def state(model: PreTrainedModel) -> dict[str, Any]:
    """All of a model that anybody could see changed."""
    tensors = {**dict(model.named_parameters()), **{f"buffer {k}": v for k, v in model.named_buffers()}}
    found: dict[str, Any] = {
        name: (id(t), t.data_ptr(), t.dtype, t.device, t.requires_grad, t._version, t.detach().clone(),
               None if t.grad is None else t.grad.clone())
        for name, t in tensors.items()
    }  # fmt: skip
    for name, module in model.named_modules():
        hooks = [(k, list(v.items())) for k, v in sorted(vars(module).items()) if "hooks" in k and v]
        found[f"module {name}"] = (type(module), module.training, sorted(vars(module)), hooks)
    found["config"] = (model.config.to_dict(), model.config._attn_implementation, id(model.config))
    return found


def same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name, values in before.items():
        for old, new in zip(values, after[name], strict=True):
            if isinstance(old, torch.Tensor):
                assert torch.equal(old, new), name
            else:
                assert old == new, name


def lived_with(kind: str) -> tuple[PreTrainedModel, list[str]]:
    """A model that somebody works with: in train mode, with a gradient, frozen parts, and hooks that tell."""
    model, called = tiny_model(kind).train(), list[str]()
    model.set_attn_implementation("eager")
    model(torch.tensor([[3, 4, 5]]), labels=torch.tensor([[3, 4, 5]])).loss.backward()
    next(model.parameters()).requires_grad_(False)
    layer = next(m for m in model.modules() if isinstance(m, nn.ModuleList))[0]
    layer.register_forward_hook(lambda *_: called.append("after"))
    layer.register_forward_pre_hook(lambda *_: called.append("before"))
    layer.register_full_backward_hook(lambda *_: called.append("back"))
    model.config.use_cache = True
    return model, called


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_a_model_in_memory_is_left_as_it_was(kind: str, tmp_path: Path) -> None:
    model, called = lived_with(kind)
    before, task = state(model), lashley.Task(PROMPTS)
    subject = lashley.load(model, tiny_tokenizer(), name="mine")
    same(before, state(model))
    lashley.run(lashley.HeadAblation(n=4), task, subject)
    lashley.run(lashley.HeadAblation(n=4, sweep="attribution", verify=2), task, subject)
    lashley.run(lashley.HeadAblation(n=4, sweep="screen", verify=2), task, subject)
    lashley.run(lashley.Baseline(n=4), task, subject, db=tmp_path / "t.db")
    subject.activations(["w3 w4 w5", "w6"], ["L0.H1", "L1.H0.pattern", "L2.resid_post"])
    subject.intervene("w3 w4 w5", ["L1.mlp"])
    same(before, state(model))
    assert not called
    model(torch.tensor([[3, 4, 5]]), labels=torch.tensor([[3, 4, 5]])).loss.backward()
    assert {"before", "after", "back"} <= set(called), "it is still to be trained, hooks and all"


def test_it_costs_no_second_set_of_weights_and_measures_what_loading_measures(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    here, there = lashley.load(model, tiny_tokenizer()), lashley.load(str(folder))
    assert (here.name, here.fingerprint, here.sizes) == ("memory:tiny", there.fingerprint, there.sizes)
    own = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in here.subject.model.parameters()} == own
    experiment, task = lashley.HeadAblation(n=8), lashley.Task(PROMPTS)
    found = [lashley.run(experiment, task, one).result.effects for one in (here, there)]
    assert found[0] == found[1]


def test_weights_that_change_afterwards_are_never_measured_under_the_old_fingerprint(tmp_path: Path) -> None:
    model, task, db = tiny_model("llama"), lashley.Task(PROMPTS), tmp_path / "t.db"
    subject = lashley.load(model, tiny_tokenizer())
    first = lashley.run(lashley.Baseline(n=4), task, subject, db=db)
    with torch.no_grad():
        next(model.parameters())[3] += 1e-3
    for ask in (
        lambda: lashley.run(lashley.Baseline(n=4), task, subject),
        lambda: lashley.run(lashley.Baseline(n=4), task, subject, db=db),
        lambda: subject.activations("w3 w4", ["L0.H0"]),
    ):
        with pytest.raises(UnsupportedModel, match=r"have changed since lashley\.load"):
            ask()
    now = lashley.load(model, tiny_tokenizer())
    assert now.fingerprint != subject.fingerprint
    second = lashley.run(lashley.Baseline(n=4), task, now, db=db)
    assert (first.id, second.id) == ("E1", "E2"), "no earlier result answers for other weights"


def meta() -> PreTrainedModel:
    return tiny_model("llama").to("meta")


def eight() -> PreTrainedModel:
    model = tiny_model("llama")
    model.lm_head.to(torch.float8_e4m3fn)
    return model


def patched() -> PreTrainedModel:
    model = tiny_model("llama")
    model.model.layers[1].mlp.forward = lambda x: x
    return model


def infinite() -> PreTrainedModel:
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.norm.weight[0] = torch.inf
    return model


def hung_on() -> PreTrainedModel:
    model = tiny_model("llama")
    model.generator = (one for one in ())
    return model


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: 5, "Not a model: int"),
        (lambda: nn.Linear(2, 2), "Not a model: Linear"),
        (lambda: tiny_model("llama").half(), r"Load it with from_pretrained\(\.\.\., dtype=\.\.\.\)"),
        (lambda: tiny_model("llama").double(), "has weights in float64"),
        (eight, "has weights in float8_e4m3fn"),
        (meta, "spread over several devices"),
        (patched, r"a replaced forward in model\.layers\.1\.mlp"),
        (infinite, "NaN or infinite"),
        (hung_on, "cannot be copied"),
        (lambda: tiny_model("llama", vocab_size=60), "The tokenizer has a token 95"),
    ],
)
def test_what_loading_would_refuse_is_refused_in_one_line(model: Any, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as raised:
        lashley.load(model(), tiny_tokenizer())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_measured_in_fp32_as_a_file_in_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny")
    half = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    half.save_pretrained(folder)
    before, task = state(half), lashley.Task(PROMPTS)
    here, there = lashley.load(half, tiny_tokenizer()), lashley.load(str(folder))
    assert (here.fingerprint, here.subject.dtype) == (there.fingerprint, torch.float32)
    found = [lashley.run(lashley.HeadAblation(n=8), task, one).result.effects for one in (here, there)]
    assert found[0] == found[1]
    same(before, state(half))


def test_what_was_logged_of_it_says_why_it_cannot_be_replayed(tmp_path: Path) -> None:
    from lashley.tools.replay.experiment import replay
    from lashley.tools.workbench.context import Context

    subject = lashley.load(tiny_model("llama"), tiny_tokenizer(), name="mine")
    lashley.run(lashley.Baseline(n=4), lashley.Task(PROMPTS), subject, db=tmp_path / "t.db")
    with (
        Context.open(str(tmp_path / "t.db")) as context,
        pytest.raises(UnsupportedModel, match="'memory:mine' was only"),
    ):
        replay(context, 1)
