"""What the numbers depend on besides the configuration: versions, machine, threads; and a hash of our code."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...experiments.statistics import VERSION

PACKAGES = ("lashley", "torch", "transformers", "tokenizers", "numpy", "scipy", "openai", "pydantic", "sqlite-utils")


# Our own code and these packages make a report.
_DRAWN_BY = ("jinja2", "markdown-it-py", "matplotlib")


@cache
def code_version() -> str:
    """The version of Lashley and a hash over the code that measures: the same hash means the same numbers."""
    return f"{version('lashley')}+{_hash('experiments')}"


@cache
def report_version() -> str:
    """The same over everything but the tracker that a report depends on: the same hash means the same report."""
    drawn = "\n".join(version(name) for name in _DRAWN_BY)
    return f"{version('lashley')}+{_hash('experiments', 'tools/report', more=drawn)}"


def _hash(*folders: str, more: str = "") -> str:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256(more.encode())
    for folder in folders:
        for file in sorted(one for one in (root / folder).rglob("*") if one.suffix in (".py", ".j2", ".css")):
            digest.update(file.relative_to(root / folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def environment() -> dict[str, Any]:
    """The environment as plain data, without host name, user or path, because people share trackers."""
    import torch

    from ...experiments.model.device import chosen_device, device_name

    return {
        "statistics": VERSION,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device_name(chosen_device()),
        "dtype": "float32",
        "packages": {name: version(name) for name in PACKAGES},
    }
