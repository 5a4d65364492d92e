"""Errors while loading a model, as one line that names the model and contains the whole message of any library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExperimentError, OutOfMemory, UnsupportedModel
from .kernels import is_refused_memory

if TYPE_CHECKING:
    from .places import Place


def not_loaded(name: str, place: Place | None, fault: Exception) -> ExperimentError:
    """A fault that transformers or a file caused, as one line: all of it, since what is cut off may be the reason."""
    if is_refused_memory(fault):
        return OutOfMemory(f"The model '{name}' does not fit into memory: in fp32 it needs 4 bytes per parameter.")
    folders = [] if place is None else [place.adapter, Path(place.where) if place.local else None]
    for folder in folders:
        if folder is not None and (damage := damaged_file(folder)) is not None:
            return UnsupportedModel(f"The model '{name}' cannot be loaded: {damage}")
    return UnsupportedModel(f"The model '{name}' cannot be loaded: {reason(fault)}")


def reason(fault: BaseException) -> str:
    """The text of an error, on one line, with its class if its words alone say little ('KeyError: 'own'')."""
    said = " ".join(str(fault).split())
    return said if isinstance(fault, (OSError, ValueError)) and said else f"{type(fault).__name__}: {said}"


def damaged_file(folder: Path) -> str | None:
    """What is wrong with the first file of weights in a folder that cannot be read, as a sentence; None if none is."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            if stream.read(40).startswith(b"version https://git-lfs"):
                return f"{file.name} is a Git LFS pointer, not the weights. Run `git lfs pull` in the folder."
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as fault:
            return f"{file.name} is damaged or incomplete ({fault}). Copy or download it again."
    return None
