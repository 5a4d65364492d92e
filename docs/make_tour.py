"""Runs the notebook `docs/tour.ipynb` and writes down what its cells gave.

`make tour` does it after a change of a cell, or of what a cell shows. A test runs the notebook, too, and compares. So
what is kept has nothing in it that differs from one machine to the next: no times, no paths, no versions.
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
    """The notebook with what its cells give, run in `folder` with a tracker of its own there. Raises
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
    # nbclient notes the version of Python there.
    made.metadata = notebook.metadata
    return made


@contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """A kernel of this very Python, and nothing of the user's own: no settings of IPython, no tracker, no key."""
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
        # tqdm would have a widget, and says so with a path of this machine.
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
