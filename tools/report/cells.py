"""A report as a Jupyter notebook: its text, and cells that draw and tabulate each experiment from the tracker."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .render import Report

Cell = dict[str, Any]


def notebook(report: Report, tracker: Path, folder: Path) -> str:
    """The notebook (nbformat 4.5) for `folder`; it finds the tracker by a relative path."""
    there = Path(os.path.relpath(tracker.resolve(), folder.resolve())).as_posix()
    parts: list[tuple[str, str]] = [
        ("markdown", report.front),
        ("markdown", "## Each experiment\n\nThese cells read the tracker and draw each experiment."),
        ("code", f"import lashley\n\ntracker = lashley.open({there!r})"),
    ]
    for id, has_effects in report.finished.items():
        parts.append(("code", f'tracker["{id}"]'))
        if has_effects:
            parts.append(("code", f'tracker["{id}"].effects()'))
    cells = [_cell(place, kind, text) for place, (kind, text) in enumerate(parts)]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    page = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def _cell(place: int, kind: str, text: str) -> Cell:
    ran: Cell = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": f"cell-{place}", "metadata": {}, "source": text.splitlines(keepends=True), **ran}
