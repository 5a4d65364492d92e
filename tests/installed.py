"""Installs a package for real as far as Python can tell: modules in a folder, and the metadata that names its entry
points. A process that has the folder on its path finds both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, modules: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> None:
    """`modules` by name, `points` by group as a pyproject has them; the package is called my-package, version 1."""
    info = folder / "my_package-1.dist-info"
    info.mkdir(parents=True)
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n", encoding="utf-8")
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for group, named in points.items()
    )
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


def agent(folder: Path, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """`agent WORDS` in that folder by a process of its own, which finds what is installed there."""
    return python(folder, "from lashley.agent.main import main; main()", *words, code=code)


def python(folder: Path, script: str, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "LASHLEY_DB": str(folder / "lashley.db")},
    )  # fmt: skip
    assert code is None or done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done
