"""Keep the result of an experiment in a file next to the tracker while the tracker is locked.

A measurement may take hours. If another process holds the tracker's lock for longer than a write waits, the result is
saved here at once, so that it survives whatever happens to this process. When the lock is gone, this process, or the
next one that opens the tracker for writing, adds it to the tracker.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import TrackerError
from ..ids import show_id
from ..location import beside


@dataclass(frozen=True)
class Ended:
    """How an experiment ended: with a result (`Result.model_dump()`), or with an error and its type.

    `started` must equal that in its row, so that the file of another tracker is not mistaken for this one's;
    `artifacts` maps a name to its media type and bytes.
    """

    experiment: int
    started: str
    seconds: float
    result: Mapping[str, Any] | None = None
    error_type: str | None = None
    error: str | None = None
    artifacts: Mapping[str, tuple[str, bytes]] = field(default_factory=dict[str, tuple[str, bytes]])

    @property
    def id(self) -> str:
        return show_id("experiment", self.experiment)


def file_of(tracker: Path, id: str) -> Path:
    return beside(tracker, id, "pending")


def files(tracker: Path) -> list[Path]:
    """The files of results that wait to be added to this tracker."""
    tracker = tracker.resolve()
    before, after = f"{tracker.name}-E", ".pending"
    return sorted(p for p in tracker.parent.glob("*.pending") if p.name.startswith(before) and p.name.endswith(after))


def keep(tracker: Path, ended: Ended) -> Path:
    """Write the file, completely or not at all. Raises OSError."""
    import zipfile

    file = file_of(tracker, ended.id)
    names = list(ended.artifacts)
    content = {
        name: getattr(ended, name) for name in ("experiment", "started", "seconds", "result", "error_type", "error")
    }
    content["artifacts"] = [[name, ended.artifacts[name][0]] for name in names]
    text = json.dumps(content).encode()
    half = file.with_suffix(".half")
    with half.open("wb") as out:
        with zipfile.ZipFile(out, "w") as packed:
            packed.writestr("ended.json", text)
            packed.writestr("sha256", hashlib.sha256(text).hexdigest())
            for place, name in enumerate(names):
                packed.writestr(f"artifacts/{place}", ended.artifacts[name][1])
        out.flush()
        os.fsync(out.fileno())
    half.replace(file)
    return file


def read(file: Path) -> Ended | None:
    """What `keep` wrote; None if another process has just added it. Raises TrackerError if it is damaged."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as packed:
            text = packed.read("ended.json")
            if hashlib.sha256(text).hexdigest().encode() != packed.read("sha256"):
                raise ValueError("its text was changed")
            content: dict[str, Any] = json.loads(text)
            artifacts = {
                name: (media_type, packed.read(f"artifacts/{place}"))
                for place, (name, media_type) in enumerate(content.pop("artifacts"))
            }
            return Ended(**content, artifacts=artifacts)
    except FileNotFoundError:
        return None
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as fault:
        raise TrackerError(
            f"{file}, which contains the unsaved result of an experiment, is damaged ({fault}). Move it away and rerun "
            "that experiment."
        ) from fault
