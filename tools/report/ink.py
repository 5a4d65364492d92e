"""What all drawings share that is known without drawing: the grey of their ink, and the error of data that fit none."""

from __future__ import annotations

INK = "#6e7681"


class BadFigure(ValueError):
    """The data of a figure do not fit its kind. One line that says what is wrong."""

    code = "bad_figure"
