"""The fingerprint of a model's files, without loading the model.

A fingerprint is a hash over tensors, so to make one the weights must be loaded. What it came to is kept in the user
cache, under a hash over every byte that decides it: all files of the model, and the versions of the packages that read
them. A file that changed in one bit has another hash, so what is found is never the fingerprint of other weights. Sizes
and times of files are not trusted for that: they only say whether a file changed while the model was loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .bundled import cache_folder

if TYPE_CHECKING:
    from .places import Place

# Raised when a fingerprint is made in another way.
FORM = 1
# What turns files into tensors, configuration and vocabulary.
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate")
# Pickled weights are never read, and may be as large as those that are.
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
FINGERPRINT = re.compile(r"[0-9a-f]{16}")

Stamps = dict[Path, tuple[int, int, int]]


@dataclass(frozen=True)
class Seen:
    """The files of a model at one moment.

    key     the hash over all of them
    stamps  of each its size and times, which change when it is written to
    """

    place: Place
    key: str
    stamps: Stamps

    @property
    def _record(self) -> Path:
        return cache_folder() / "fingerprints" / self.key

    def fingerprint(self) -> str | None:
        """The fingerprint of the model that was loaded from exactly these files; None if none was loaded yet."""
        try:
            found = self._record.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return found if FINGERPRINT.fullmatch(found) else None

    def keep(self, fingerprint: str) -> None:
        """Remember the fingerprint of the model that was loaded since, unless a file has changed meanwhile."""
        if stamps_of(self.place) != self.stamps or self.fingerprint() == fingerprint:
            return
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            descriptor, part = tempfile.mkstemp(dir=self._record.parent)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(fingerprint)
            Path(part).replace(self._record)
        except OSError:
            # A cache that cannot be written to costs the next process the time to load, and nothing else.
            return


def seen(place: Place) -> Seen | None:
    """The files of a model as they are now; None if its weights are not on this machine yet."""
    if (stamps := stamps_of(place)) is None or not any(file.suffix == ".safetensors" for file in stamps):
        return None
    digest = hashlib.sha256(f"lashley fingerprint {FORM}".encode())
    digest.update(repr([(name, version(name)) for name in PACKAGES]).encode())
    digest.update(f"adapter {place.adapter is not None}".encode())
    try:
        for file in stamps:
            with file.open("rb") as stream:
                digest.update(f"\0{file.name}\0".encode() + hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        return None
    return Seen(place, digest.hexdigest()[:32], stamps)


def stamps_of(place: Place) -> Stamps | None:
    """Every file that a model is loaded from, in order, with its size and times; None if there is no folder yet."""
    folder = folder_of(place)
    if folder is None:
        return None
    found: Stamps = {}
    try:
        for file in [*files_in(folder), *([] if place.adapter is None else files_in(place.adapter))]:
            about = file.stat()
            found[file] = about.st_size, about.st_mtime_ns, about.st_ctime_ns
    except OSError:
        return None  # loading the model says what is wrong with it
    return found


def files_in(folder: Path) -> list[Path]:
    """The files in a folder, and those in other folders that its index of weights names."""
    files = {file for file in folder.iterdir() if file.is_file() and file.suffix not in PICKLED}
    for index in folder.glob("*.safetensors.index.json"):
        try:
            named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            files |= {file for name in named if (file := folder / name).is_file()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue  # what is wrong with it is said when the model is loaded
    return sorted(files)


def folder_of(place: Place) -> Path | None:
    """The folder that a model is read from; for one on the Hub, the cached copy of the commit that the revision means
    now, if there is one."""
    folder = Path(place.where)
    if folder.is_dir():
        return folder
    from huggingface_hub import hf_hub_download

    try:
        config = hf_hub_download(place.where, "config.json", revision=place.revision, local_files_only=place.local)
    except Exception:  # noqa: BLE001
        # Loading the model reports whatever is wrong.
        return None
    return Path(config).parent
