"""Runs the notebook `docs/tour.ipynb` and keeps the outputs of its cells.

Run `make tour` after a change of a cell, or of its output. A test runs the notebook, too, and compares. So the outputs
hold nothing that differs between machines: no times, no paths, no versions.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

TOUR = Path(__file__).resolve().parent / "tour.ipynb"
KERNEL = "python3"


def executed(notebook: NotebookNode, folder: Path, seconds: int = 600) -> NotebookNode:
    """The notebook with the outputs of its cells, run in `folder` with its own tracker. Raises
    nbclient.exceptions.CellExecutionError where a cell fails."""
    made = nbformat.from_dict(notebook)
    with surroundings(folder):
        NotebookClient(
            made,
            timeout=seconds,
            kernel_name=KERNEL,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    # nbclient writes the version of Python there.
    made.metadata = notebook.metadata
    return made


@contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """A kernel of this Python, without the user's settings of IPython, tracker or key."""
    own = folder / ".jupyter"
    write_kernel_spec(path=str(own / "kernels" / KERNEL))
    before = dict(os.environ)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LASHLEY_BASE_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "JUPYTER_PATH": str(own),
        "JUPYTER_DATA_DIR": str(own),
        "JUPYTER_RUNTIME_DIR": str(own),
        "JUPYTER_CONFIG_DIR": str(own),
        "IPYTHONDIR": str(own / "ipython"),
        "LASHLEY_DB": str(folder / "tour.db"),
        # tqdm warns that it has no widget, with a path of this machine.
        "PYTHONWARNINGS": "ignore:IProgress",
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(nbformat.read(TOUR, as_version=4), Path(folder)), TOUR)


if __name__ == "__main__":
    sys.exit(main())
