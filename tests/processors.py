"""Processors that are not here, as what was measured on them: it lies in a cache of its own, as if measured before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lashley.experiments.model import processor
from lashley.experiments.model.processor import Speeds

CPU = torch.device("cpu")
# Seconds of a product as they were measured: on a Xeon with units for bf16, and on the same one kept to AVX2.
WITH_BF16 = {"torch_fp32": 0.00499, "onednn_fp32": 0.00503, "bf16": 0.00115}
WITHOUT_BF16 = {"torch_fp32": 0.00857, "onednn_fp32": 0.00913, "bf16": 0.05688}
# One that is a little faster in bf16, where MKL is half as fast as oneDNN.
HARDLY = {"torch_fp32": 0.0040, "onednn_fp32": 0.0019, "bf16": 0.0017}

OnProcessor = Callable[[dict[str, float]], Speeds]


@pytest.fixture
def on_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnProcessor]:
    """Given what was measured on a processor: this is the one, to the end of the test. Load bundled subjects before."""

    def put(seconds: dict[str, float]) -> Speeds:
        monkeypatch.setenv("LASHLEY_CACHE", str(tmp_path))
        where = processor.here(CPU)
        found = Speeds.model_validate({"where": where, **seconds})
        processor.place(where).unlink(missing_ok=True)
        assert processor.keep(processor.place(where), found) == found
        processor._speeds.cache_clear()
        assert processor.speeds(CPU) == found
        return found

    yield put
    processor._speeds.cache_clear()


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a process that has measured nothing."""
    monkeypatch.setenv("LASHLEY_CACHE", str(tmp_path))
    processor._speeds.cache_clear()
    yield tmp_path
    processor._speeds.cache_clear()
