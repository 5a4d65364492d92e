"""What a model is, without any task: against its parameters by their names, and with parts set to zero by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.experiments.model.description import describe
from lashley.experiments.model.loading import prepare
from lashley.tests.slow_way import PLACES, layers_of
from lashley.tests.test_weights import by_name
from lashley.tests.tiny import VOCABULARY, tiny_model, tiny_subject, tiny_tokenizer
from lashley.tools.describe_model import DescribeModel, describe_model, description_text
from lashley.tools.errors import ToolError
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.experiment_text import LIMIT


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gptj"])
def test_norms_are_those_of_the_parameters(kind: str) -> None:
    subject = tiny_subject(kind)
    found = describe(subject)
    assert (found.n_layers, found.n_heads, found.d_model, found.vocabulary) == (3, 4, 32, VOCABULARY)
    for one in found.layers:
        w = by_name(subject, kind, one.layer)
        q, k, v, o = (w[name].repeat_interleave(4 // len(w[name]), 0) for name in "QKVO")
        by_hand = {"Q": q, "K": k, "V": v, "O": o, "OV": v @ o, "QK": q @ k.transpose(1, 2)}
        assert one.heads is not None
        for name, matrices in by_hand.items():
            ratios = [getattr(head, name) / m.norm().item() for head, m in zip(one.heads, matrices, strict=True)]
            assert ratios == pytest.approx([ratios[0]] * 4, rel=1e-3), "heads of a layer share their factor"
        down = layers_of(subject.model)[one.layer].get_submodule(PLACES[kind][4])
        assert one.mlp == pytest.approx(down.weight.norm().item(), rel=1e-5)
    assert not found.silent
    assert not found.near_zero


def test_parts_that_write_nothing_are_named() -> None:
    model = copy.deepcopy(tiny_model("gpt2"))
    with torch.no_grad():
        model.transformer.h[1].attn.c_proj.weight[8:16] = 0  # what L1.H1 writes
        model.transformer.h[2].mlp.c_proj.weight *= 1e-5
        model.transformer.h[0].attn.c_attn.weight[:, 24:32] = 0  # the queries of L0.H3
        model.transformer.h[2].attn.c_attn.weight[:, 64:72] = 0  # the values of L2.H0, which has a value bias
        model.transformer.h[1].mlp.c_proj.weight[:] = 0
        model.transformer.h[1].mlp.c_proj.bias[:] = 0
    found = describe(prepare("with zeros", model, tiny_tokenizer(), "cpu"))
    assert found.silent == ("L1.H1", "L1.mlp")
    assert found.constant == ("L2.H0",)
    assert found.near_zero == ("L2.mlp",)
    assert found.blind == ("L0.H3",)
    text = description_text(found)
    for said in (": L1.H1, L1.mlp. Always", "(only a bias): L2.H0.", "largest): L2.mlp.", "tokens (QK 0): L0.H3."):
        assert said in text


def test_the_tokenizer_is_described() -> None:
    found = describe(tiny_subject("llama"), sample=9)
    assert [t.text for t in found.special] == ["<pad>", "<bos>", "<eos>"]
    assert [t.text for t in found.sample] == [f"w{i}" for i in range(3, 93, 10)], "spread over the vocabulary"
    assert (found.starts_with, found.context, found.chat) == ((), 64, False)


def test_the_tool_and_its_text(tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "t.db"), model="planted:induction") as context:
        text, data = describe_model(context, DescribeModel())
        assert len(text) < LIMIT
        assert {"L0.H0", "L1.H0", "L0.mlp"} <= set(data["silent"])
        assert not {"L0.H1", "L1.H2"} & set(data["silent"]), "the two heads of the circuit write"
        assert json.loads(json.dumps(data)) == json.loads(json.dumps(data, default=list))
        one, _ = describe_model(context, DescribeModel(layers=[1]))
        assert [line.split()[0] for line in one.splitlines()] == ["L1", "Q", "K", "V", "O", "OV", "QK", "constant"]
        with pytest.raises(ToolError, match=r"no layer 2\. Its layers are 0 to 1"):
            describe_model(context, DescribeModel(layers=[2]))


def test_the_command() -> None:
    done = CliRunner().invoke(cli, ["models", "describe", "planted:induction", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["layers"][0]["heads"][1]["OV"] > 0
    done = CliRunner().invoke(cli, ["models", "describe", "planted:induction", "--layers", "0"])
    assert done.stdout.startswith("L0 | MLP 0\n  Q        by head: ")
    done = CliRunner().invoke(cli, ["models", "describe", "planted:induction", "--layers", "7"])
    assert done.exit_code == 2
    assert "There is no layer 7" in done.stderr
