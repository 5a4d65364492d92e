"""The figures of a study, drawn, each with its file name and the texts of its marks."""

from __future__ import annotations

import re
from typing import NamedTuple

from .escape import one_line
from .figures import drawing
from .ink import BadFigure
from .study import Study
from .tips import marks


class Drawn(NamedTuple):
    """A figure of an experiment: its file, its SVG and the texts of its marks, or why it cannot be drawn."""

    of: str
    name: str
    stem: str
    title: str
    caption: str
    svg: str = ""
    fault: str = ""
    tips: str = ""


def draw_figures(study: Study) -> list[Drawn]:
    """Every figure of the finished experiments."""
    figures: list[Drawn] = []
    files: set[str] = set()
    for one in study.finished:
        row = study.experiments[one]
        for figure in row.figures:
            stem = f"{one}-{re.sub(r'[^A-Za-z0-9_-]+', '-', figure.name)[:60]}"
            while stem.lower() in files:
                stem += "-2"
            files.add(stem.lower())
            caption = " · ".join(part for part in (row.kind, row.task, row.split) if part)
            entry = Drawn(one, figure.name, stem, one_line(figure.title), caption)
            try:
                svg, places = drawing(figure, stem)
                figures.append(entry._replace(svg=svg, tips=marks(figure, row.effects, places)))
            except BadFigure as error:
                figures.append(entry._replace(fault=str(error)))
    return figures
