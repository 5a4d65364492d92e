"""What all drawings share without importing matplotlib: the grey of their ink, and the error for unfit data."""

from __future__ import annotations

INK = "#6e7681"


class BadFigure(ValueError):
    """The data of a figure do not fit its kind. One line that says what is wrong."""

    code = "bad_figure"
