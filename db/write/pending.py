"""How an experiment ended, in a file beside the tracker for as long as the tracker cannot be written.

A measurement may have taken hours. Where another process holds the tracker's lock for longer than a write waits, what
was found is kept here at once, so that nothing which happens to this process loses it. It is written into the tracker
when the lock is gone: by this process, or by the next one that opens the tracker for writing.
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


@dataclass(frozen=True)
class Ended:
    """How an experiment ended: with a result (`Result.model_dump()`), or with an error and its type.

    `started` is what its row says, so that the file of another tracker is not taken for this one's; `artifacts` maps a
    name to its media type and bytes.
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
    tracker = tracker.resolve()
    return tracker.with_name(f"{tracker.name}-{id}.pending")


def files(tracker: Path) -> list[Path]:
    """What waits to be written into this tracker."""
    tracker = tracker.resolve()
    before, after = f"{tracker.name}-E", ".pending"
    return sorted(p for p in tracker.parent.glob("*.pending") if p.name.startswith(before) and p.name.endswith(after))


def keep(tracker: Path, ended: Ended) -> Path:
    """Writes the file, whole or not at all. Raises OSError."""
    import zipfile

    file = file_of(tracker, ended.id)
    names = list(ended.artifacts)
    told = {
        name: getattr(ended, name) for name in ("experiment", "started", "seconds", "result", "error_type", "error")
    }
    told["artifacts"] = [[name, ended.artifacts[name][0]] for name in names]
    text = json.dumps(told).encode()
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
    """What `keep` wrote; None where another process has just taken it in. Raises TrackerError where it is damaged."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as packed:
            text = packed.read("ended.json")
            if hashlib.sha256(text).hexdigest().encode() != packed.read("sha256"):
                raise ValueError("its text was changed")
            told: dict[str, Any] = json.loads(text)
            artifacts = {
                name: (media_type, packed.read(f"artifacts/{place}"))
                for place, (name, media_type) in enumerate(told.pop("artifacts"))
            }
            return Ended(**told, artifacts=artifacts)
    except FileNotFoundError:
        return None
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as fault:
        raise TrackerError(
            f"{file} holds the result of an experiment that is still to be written, and is damaged ({fault}). "
            "Move it away: that experiment has to be run again."
        ) from fault
