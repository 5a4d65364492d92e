"""The completed work of an interrupted experiment, as bytes in the tracker, so that it can resume from there."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ...experiments.engine.sweep import Kept

NAME = "unfinished"


def packed(kept: dict[str, Kept]) -> dict[str, tuple[str, bytes]]:
    """`Lab.kept` as an artifact; empty if no chunk was done."""
    from ...experiments.engine.sweep import chunks_in

    arrays: dict[str, Any] = {
        "\t".join((doing, place, name)): value.numpy()
        for doing, places in kept.items()
        if chunks_in(places)
        for place, values in places.items()
        for name, value in values.items()
    }
    if not arrays:
        return {}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type] - the names are ours
    return {NAME: ("application/x-npz", buffer.getvalue())}


def unpacked(data: bytes) -> dict[str, Kept]:
    from torch import as_tensor

    kept: dict[str, Kept] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            doing, place, name = key.split("\t")
            kept.setdefault(doing, {}).setdefault(place, {})[name] = as_tensor(arrays[key])
    return kept
