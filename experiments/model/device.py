"""Where a subject runs: the requested device, or the first GPU that torch finds, or the CPU."""

from __future__ import annotations

import os

import torch

from ..errors import BadConfiguration

VARIABLE = "LASHLEY_DEVICE"


def chosen_device(asked: str | None = None) -> str:
    """`asked`, or else what LASHLEY_DEVICE says: cpu, cuda, cuda:1, mps, or "auto" for a model that is larger than one
    device. Raises BadConfiguration for a device that is not here."""
    name = asked or os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "auto":
        return name
    try:
        device = torch.device(name)
        there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
        found = (device.index or 0) < there.get(device.type, 0)
    except RuntimeError:
        found = False
    if not found:
        raise BadConfiguration(f"There is no device '{name}' here. Set {VARIABLE} to cpu, cuda, cuda:1, mps or auto.")
    return name


def device_name(name: str) -> str:
    """What kind of device that is, for the record."""
    return torch.cuda.get_device_name(name) if name.startswith("cuda") else name
