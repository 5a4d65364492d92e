"""What pays on a processor is measured, kept under what it depends on, and followed by kernels and screens."""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.lab import Lab
from lashley.experiments.model import processor
from lashley.experiments.model.kernels import BOTH, can_be_laid_out, speed_up, usable
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.processor import Speeds, Where, speeds
from lashley.experiments.result import Result
from lashley.experiments.sites import head
from lashley.experiments.statistics.screening import look
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.tests.processors import CPU, HARDLY, WITH_BF16, WITHOUT_BF16, OnProcessor, forgetful, on_processor
from lashley.tests.tiny import VOCABULARY, tiny_model, tiny_tokenizer

__all__ = ["forgetful", "on_processor"]
X86 = pytest.mark.skipif(not BOTH, reason="this torch has no oneDNN beside MKL")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


@functools.cache
def deep_lab() -> Lab:
    """Eight layers of four heads, and questions with answers that nobody knows."""
    rng = random.Random(3)
    lines = [
        json.dumps({"text": " ".join(f"w{i}" for i in words[2:]), "answer": f" w{words[0]}",
                    "distractor": f" w{words[1]}"})
        for words in (rng.sample(range(3, VOCABULARY), 11) for _ in range(60))
    ]  # fmt: skip
    subject = prepare("tiny-deep", tiny_model("llama", num_hidden_layers=8), tiny_tokenizer(), "cpu")
    return Lab(subject, from_jsonl("words", "\n".join(lines)))


def screened(**more: object) -> Result:
    return HeadAblation.model_validate({"n": 8, "sweep": "screen", "verify": 6, **more}).run(deep_lab())


# --- the measurement -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "bf16", "onednn", "fp32"),
    [(WITH_BF16, True, True, 0.00503), (WITHOUT_BF16, False, False, 0.00857), (HARDLY, False, True, 0.0019),
     ({"torch_fp32": 0.004, "bf16": 0.001}, True, False, 0.004)],
)  # fmt: skip
def test_the_choice_follows_the_measurement(
    seconds: dict[str, float], bf16: bool, onednn: bool, fp32: float, on_processor: OnProcessor
) -> None:
    found = on_processor(seconds)
    assert (found.bf16_pays, found.onednn, found.fp32) == (bf16, onednn, fp32)
    assert speeds(CPU).bf16_pays == bf16


def test_it_is_measured_once_and_kept(forgetful: Path) -> None:
    threads = torch.get_num_threads()
    found = speeds(CPU)
    assert torch.get_num_threads() == threads
    (file,) = forgetful.iterdir()
    assert Speeds.model_validate_json(file.read_bytes()) == found
    assert found.where == processor.here(CPU)
    processor._speeds.cache_clear()
    # Another process finds what lies there, and nothing else.
    changed = found.model_copy(update={"bf16": found.bf16 * 3})
    file.write_text(changed.model_dump_json())
    assert speeds(CPU) == changed


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", b"\xff\xfe", '{"bf16": 1}', "other processor", "older", "nan", "negative", "more"],
)
def test_what_was_kept_and_cannot_be_believed_is_measured_again(content: str | bytes, forgetful: Path) -> None:
    where = processor.here(CPU)
    good = Speeds.model_validate({"where": where, **WITH_BF16})
    written = {
        "other processor": good.model_copy(update={"where": where.model_copy(update={"processor": "x"})}),
        "older": good.model_copy(update={"where": where.model_copy(update={"version": 0})}),
        "negative": good.model_copy(update={"bf16": -1.0}),
    }
    file = processor.place(where)
    if content in written:
        content = written[str(content)].model_dump_json()
    elif content == "nan":
        content = good.model_dump_json().replace("0.00115", "NaN")
    elif content == "more":
        content = json.dumps({**good.model_dump(), "int8": 1.0})
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert processor.known(file, where) is None
    found = speeds(CPU)
    assert found.bf16 != good.bf16
    assert processor.known(file, where) == found


def test_of_two_that_measured_at_once_both_go_by_the_first(forgetful: Path) -> None:
    """Near a limit they may have found different choices."""
    where = processor.here(CPU)
    one, other = (Speeds.model_validate({"where": where, **found}) for found in (WITH_BF16, WITHOUT_BF16))
    file = processor.place(where)
    assert processor.keep(file, one) == one
    assert processor.keep(file, other) == one
    assert processor.known(file, where) == one
    assert [p.name for p in forgetful.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_read_or_written_stops_nothing(forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor.place(processor.here(CPU)).mkdir()
    assert speeds(CPU).bf16 > 0
    (forgetful / "file").touch()
    monkeypatch.setenv("LASHLEY_CACHE", str(forgetful / "file"))
    processor._speeds.cache_clear()
    assert speeds(CPU).bf16 > 0
    # Nothing half-written is left behind.
    assert [p.name for p in forgetful.iterdir() if p.is_file()] == ["file"]


def test_it_is_kept_by_all_that_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    where = Where(processor="a", torch="2", limits={})
    changed = [{"processor": "b"}, {"torch": "3"}, {"limits": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}, {"version": 0}]
    places = {processor.place(where), *(processor.place(where.model_copy(update=one)) for one in changed)}
    assert len(places) == 5
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert processor.here(CPU).limits["ONEDNN_MAX_CPU_ISA"] == "AVX2"


# --- who follows it ------------------------------------------------------------------------------------------


@X86
@pytest.mark.parametrize(("seconds", "onednn"), [(WITH_BF16, True), (WITHOUT_BF16, False)])
def test_projections_are_multiplied_by_what_is_faster(
    seconds: dict[str, float], onednn: bool, on_processor: OnProcessor
) -> None:
    on_processor(seconds)
    torch.manual_seed(0)
    module, x = nn.Linear(20, 30), torch.randn(7, 20)
    wanted = module(x)
    speed_up(module)
    with torch.no_grad():
        assert usable(x, module.weight) == onednn
        assert can_be_laid_out(module) == onednn
        assert torch.allclose(module(x), wanted, atol=1e-6)


def test_a_screen_looks_in_what_pays_says_so_and_measures_the_same(on_processor: OnProcessor) -> None:
    exact = {e.site: e for e in HeadAblation(n=8).run(deep_lab()).effects}
    ranks, fp32 = {}, "screened in fp32 (this processor is not faster in bf16) and partly to first order;"
    for seconds, said, not_said in (
        (WITH_BF16, "screened in bf16 and partly to first order;", "fp32 (this"),
        (WITHOUT_BF16, fp32, "in bf16 "),
        (HARDLY, fp32, "in bf16 "),
    ):
        on_processor(seconds)
        result = screened()
        assert said in result.found
        assert not_said not in result.found
        assert len(result.effects) == 6 + 8
        assert result["screen_agreement"].value > 0.9
        for effect in result.effects:
            assert effect.value == pytest.approx(exact[effect.site].value, abs=1e-4)
        (figure,) = result.figures
        assert "screened in " in figure.title
        values = [v for row in figure.data["values"] for v in row]
        measured = [exact[f"L{layer}.H{h}"].value for layer in range(8) for h in range(4)]
        assert spearmanr(values, measured).statistic > 0.9
        ranks[said] = values
    rounded, whole = ranks.values()
    assert spearmanr(rounded, whole).statistic > 0.95


def test_where_nothing_pays_all_is_measured_and_it_is_said(on_processor: OnProcessor) -> None:
    exact = HeadAblation(n=4, metric="kl").run(deep_lab())
    on_processor(WITHOUT_BF16)
    # kl has no slope at the intact model, so its runs cannot be narrowed; runs of one layer cannot be shorter.
    for more in ({"n": 4, "metric": "kl"}, {"n": 4, "layers": [7], "verify": 2}):
        result = screened(**more)
        assert "screen_no_faster" in [note.code for note in result.notes]
        assert "screened" not in result.found
        assert len(result.effects) == (32 if "metric" in more else 4)
    assert [e.value for e in screened(n=4, metric="kl").effects] == pytest.approx(
        [e.value for e in exact.effects], 1e-3
    )
    on_processor(WITH_BF16)
    assert "screened in bf16;" in screened(n=4, metric="kl").found


def test_a_look_in_fp32_is_at_the_subject_itself(on_processor: OnProcessor) -> None:
    lab = deep_lab()
    _, batch = lab.prompts(8, "explore", 0)
    layers = [layer for layer in range(8) for _ in range(4)]
    on_processor(WITHOUT_BF16)
    found = look(lab.subject, batch, "logit_diff", layers)
    assert found is not None
    assert found.subject is lab.subject
    # What it is expected to take goes by the very model that is run, and by what narrowing leaves of it.
    removals = [Intervention(name=str(i), edits=(Edit(site=head(layer, 0)),)) for i, layer in enumerate(layers)]
    readout = lab.readout("logit_diff", batch)
    whole, less = (lab.expected(batch, removals, readout, found.subject, narrowed) for narrowed in (False, True))
    assert 0 < less < whole
    assert len(lab._speeds) == 1
    on_processor(WITH_BF16)
    found = look(lab.subject, batch, "logit_diff", layers)
    assert found is not None
    assert found.subject is not lab.subject
    assert {p.dtype for p in found.subject.model.parameters()} == {torch.float32, torch.bfloat16}


WITHOUT = """
import torch
from lashley.experiments.model.processor import speeds
from lashley.tests.test_processor import deep_lab, screened
found = speeds(torch.device("cpu"))
print(found.bf16_pays, torch.ops.mkldnn._is_mkldnn_bf16_supported())
print(screened().found)
"""


@X86
def test_on_a_processor_without_bf16_a_screen_looks_in_fp32(tmp_path: Path) -> None:
    """Imitated by what keeps the libraries to AVX2; the measurement is a real one."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, **AVX2, "LASHLEY_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pays, found = done.stdout.strip().split("\n", 1)
    assert pays == "False False"
    assert "screened in fp32 (this processor is not faster in bf16) and partly to first order" in found
    (kept,) = tmp_path.glob("speeds-*.json")
    assert Speeds.model_validate_json(kept.read_bytes()).where.limits.items() >= AVX2.items()
