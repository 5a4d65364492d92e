"""The kept activations of a pass: in memory, or in files if they do not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BadConfiguration
from .forward import Recording

Key = tuple[int, str]


@dataclass
class Activations:
    """Values by (layer, part), each [batch, position, width]; k and v have their KV heads concatenated.

    A pattern has its heads side by side as well, [batch, query, head * key]; `pattern` gives it head by head.
    Besides the parts that edits can name there is "attn_raw", the attention's output before any post-norm.
    """

    values: dict[Key, Tensor] = field(default_factory=dict)

    def at(self, layer: int, part: str) -> Tensor:
        """The values of a part. Raises BadConfiguration if they were not kept."""
        if (layer, part) not in self.values:
            raise not_kept(layer, part)
        return self.values[layer, part]

    def pattern(self, layer: int) -> Tensor:
        """Where each head attends, [batch, head, query, key]; rows of pads mean nothing."""
        flat = self.at(layer, "pattern")
        return unflat_heads(flat, flat.shape[2] // flat.shape[1])


@dataclass
class CleanRun(Activations):
    """An intact pass. The stream after the last layer is kept as the "resid_pre" of a next layer.

    recording  what the attentions were called with, if all prompts ran at once
    """

    recording: Recording | None = None


@dataclass
class StoredRun(CleanRun):
    """A clean run whose values are in a folder, one file for each layer and part, prompt after prompt.

    `at` returns a private view of a file, on the CPU: values are read only when they are used, and writing to the view
    does not change the file.
    """

    folder: Path = field(default_factory=Path)
    shapes: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    @classmethod
    def create(cls, folder: Path) -> StoredRun:
        """Create one in a new or empty folder. Raises BadConfiguration if the folder is not empty."""
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadConfiguration(f"The folder {folder} is not empty. Name a new one for the activations.")
        return cls(folder=folder)

    def path(self, key: Key) -> Path:
        return self.folder / f"L{key[0]}.{key[1]}.bin"

    def append(self, values: Mapping[Key, Tensor]) -> None:
        """Add the values [prompt, position, width] of the next prompts."""
        for key, value in values.items():
            # Written, not mapped: data on its way to the disk takes no memory of this process.
            with self.path(key).open("ab") as file:
                value.cpu().contiguous().view(torch.uint8).numpy().tofile(file)
            before = self.shapes.get(key, (0,))[0]
            self.shapes[key], self.dtype = (before + len(value), *value.shape[1:]), value.dtype

    def at(self, layer: int, part: str) -> Tensor:
        if (layer, part) not in self.shapes:
            raise not_kept(layer, part)
        shape = self.shapes[layer, part]
        path = str(self.path((layer, part)))
        return torch.from_file(path, shared=False, size=math.prod(shape), dtype=self.dtype).view(shape)


def not_kept(layer: int, part: str) -> BadConfiguration:
    return BadConfiguration(f"{part} of layer {layer} was not kept. Name the part and layer when you read activations.")


def flat_heads(x: Tensor) -> Tensor:
    """[row, head, position, d_head] -> [row, position, head * d_head]."""
    return x.transpose(1, 2).flatten(2)


def unflat_heads(x: Tensor, n: int) -> Tensor:
    """The inverse of `flat_heads`."""
    return x.unflatten(2, (n, -1)).transpose(1, 2)
