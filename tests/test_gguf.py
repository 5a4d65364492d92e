"""GGUF files: all that a file holds is in the model, and a copy is kept for these very bytes, if they are a model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from lashley.experiments.errors import UnsupportedModel
from lashley.experiments.model.bundled import cache_folder, gguf_folder
from lashley.experiments.model.loading import load
from lashley.tests.saved_models import gguf

UP = "blk.1.ffn_up.weight"
# Of a head of 8 numbers with base 500,000: Llama 3.2 divides the low two of its four frequencies.
THETA = 500_000.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LASHLEY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def odd() -> np.ndarray:
    held = np.ones((48, 32), np.float32)
    held[3, 3] = np.nan
    return held


BROKEN = {
    "dropped": ({"without": [UP]}, r"missing \(1\): model\.layers\.1\.mlp\.up_proj\.weight"),
    "renamed": ({"without": [UP], "more": {"blk.1.ffn_upp.weight": np.ones((48, 32), np.float32)}}, "up_proj"),
    "no norm": ({"without": ["output_norm.weight"]}, r"model\.norm\.weight"),
    "a layer more": ({"more": {"blk.3.ffn_up.weight": np.ones((48, 32), np.float32)}}, r"blk\.3\.ffn_up\.weight"),
    "a bias that the configuration has not": (
        {"more": {"blk.0.attn_q.bias": np.ones(32, np.float32)}},
        r"attn_q\.bias",
    ),
    "another shape": ({"without": [UP], "more": {UP: np.ones((40, 32), np.float32)}}, r"\(40, 32\) for \(48, 32\)"),
    "NaN": ({"without": [UP], "more": {UP: odd()}}, "NaN or infinite, in 1 tensor"),
    "rotary factors of another sort": (
        {"more": {"rope_freqs.weight": np.arange(1, 5, dtype=np.float32)}},
        "rope_freqs",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_is_not_its_model_is_refused_and_never_kept(tmp_path: Path, cache: Path, what: str) -> None:
    how, says = BROKEN[what]
    file = gguf(tmp_path / "m.gguf", **how)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(UnsupportedModel, match=says) as refused:
            load(str(file))
        assert "\n" not in str(refused.value)
    assert list(cache.rglob("*.safetensors")) == []


def test_the_tensors_are_those_of_the_file(tmp_path: Path) -> None:
    file = gguf(tmp_path / "m.gguf")
    state = load(str(file)).model.state_dict()
    held = {tensor.name: torch.tensor(tensor.data) for tensor in GGUFReader(file).tensors}
    names = {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight",
             "blk.2.ffn_down.weight": "model.layers.2.mlp.down_proj.weight",
             "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight"}  # fmt: skip
    assert all(torch.equal(state[ours], held[theirs]) for theirs, ours in names.items())
    assert sum(v.numel() for v in held.values()) == sum(v.numel() for v in state.values())


def test_a_file_without_an_unembedding_has_it_tied(tmp_path: Path) -> None:
    model = load(str(gguf(tmp_path / "m.gguf", without=["output.weight"]))).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_another_file_of_the_same_name_and_size_is_another_model(tmp_path: Path) -> None:
    """They differ in the last tensors only: the tokenizer comes first, and may take more than a MiB."""
    file = gguf(tmp_path / "m.gguf")
    first, size = load(str(file)), file.stat().st_size
    held = bytearray(file.read_bytes())
    held[-4:] = np.float32(0.5).tobytes()
    file.write_bytes(held)
    second = load(str(file))
    assert (file.stat().st_size, second.fingerprint != first.fingerprint) == (size, True)
    assert gguf_folder(file).parent == gguf_folder(gguf(tmp_path / "n.gguf")).parent


def test_a_copy_that_an_older_program_kept_is_not_believed(tmp_path: Path) -> None:
    import hashlib
    import shutil

    file, other = gguf(tmp_path / "m.gguf"), gguf(tmp_path / "o.gguf", seed=1)
    start = file.read_bytes()[: 1 << 20] + str(file.stat().st_size).encode()
    shutil.copytree(gguf_folder(other), cache_folder() / f"m-{hashlib.sha256(start).hexdigest()[:12]}")
    assert load(str(file)).fingerprint != load(str(other)).fingerprint


def test_the_rotary_factors_of_llama_3_are_applied(tmp_path: Path) -> None:
    factors = []
    for i in range(4):
        wavelength = 2 * math.pi * THETA ** (2 * i / 8)
        smooth = min(max((8192 / wavelength - 1) / 3, 0), 1)
        factors.append(1 / ((1 - smooth) / 32 + smooth))
    assert factors[0] == 1 < factors[2] < factors[3] == 32
    more = {"rope_freqs.weight": np.array(factors, np.float32)}
    scaled = load(str(gguf(tmp_path / "scaled.gguf", theta=THETA, more=more))).model
    plain = load(str(gguf(tmp_path / "plain.gguf", theta=THETA))).model
    ones = load(
        str(gguf(tmp_path / "ones.gguf", theta=THETA, more={"rope_freqs.weight": np.ones(4, np.float32)}))
    ).model
    own, divided = (m.get_submodule("model.rotary_emb").inv_freq for m in (plain, scaled))
    assert torch.allclose(own / divided, torch.tensor(factors), rtol=1e-4)
    ids = torch.arange(5, 25)[None]
    assert torch.equal(ones(ids).logits, plain(ids).logits)
    assert not torch.equal(scaled(ids).logits, plain(ids).logits)


def test_a_part_of_a_file_and_half_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"one of 2 parts .*llama-gguf-split --merge"):
        load(str(gguf(tmp_path / "m-00001-of-00002.gguf")))
    file = gguf(tmp_path / "m.gguf")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UnsupportedModel, match=r"cannot be read as a GGUF model: .* Download or convert it again"):
        load(str(file))
