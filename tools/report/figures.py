"""The drawings of a report, from the data that an experiment left: SVG for pages, PNG for everything else.

The same data give the same drawing, byte for byte. Its background is transparent, and its ink is a grey
that is readable on white and on black; an SVG adapts the grey to the reader's colour scheme. Text stays
text, so readers can search and copy it, and it uses the fonts of the page.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

from ...db import records
from ...experiments.result import Figure
from .escape import one_line
from .ink import INK, BadFigure
from .tips import Box, Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from .plots.page import Plot


# A figure of a result, one of the tracker, or its fields.
Data = Figure | records.Figure | Mapping[str, Any]


_FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.6,
    "hatch.color": INK,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class Drawing(NamedTuple):
    """An SVG and the positions of its marks: boxes (x, y, width, height) in the units of its viewBox, y downwards, by
    the mark's place in the data."""

    svg: str
    places: dict[Place, list[Box]]


def draw(figure: Data, place: str = "") -> str:
    """The figure as one SVG element without XML declaration: it can be a file or part of a page.

    Each drawing of the same data on one page needs its own `place`; otherwise they would share the ids inside them.
    Raises BadFigure when the data do not fit the kind.
    """
    return drawing(figure, place).svg


def drawing(figure: Data, place: str = "") -> Drawing:
    """The same, with the places of its marks."""
    data = _data(figure)
    out = io.BytesIO()
    salt = hashlib.sha256(json.dumps([place, data], sort_keys=True, default=str).encode()).hexdigest()
    plot = _plot(data)
    _save(plot.canvas, out, "svg", salt)
    return Drawing(_slim(out.getvalue().decode(), one_line(data["title"])), _places(plot))


def _places(plot: Plot) -> dict[Place, list[Box]]:
    """Measured after the drawing, which moves axes of a fixed shape."""
    to_page: Any = plot.axes.transData - plot.canvas.transFigure
    wide, tall = (72 * float(side) for side in plot.canvas.get_size_inches())

    def on_page(box: Box) -> Box:
        (x0, y0), (x1, y1) = to_page.transform([box[:2], box[2:]]).tolist()
        left, top = min(x0, x1) * wide, (1 - max(y0, y1)) * tall
        return round(left, 1), round(top, 1), round(abs(x1 - x0) * wide, 1), round(abs(y1 - y0) * tall, 1)

    return {place: [on_page(box) for box in boxes] for place, boxes in plot.spots.items()}


def draw_png(figure: Data, dpi: int = 150) -> bytes:
    """The figure as a PNG with transparent background. Raises BadFigure when the data do not fit the kind."""
    out = io.BytesIO()
    _save(_plot(_data(figure)).canvas, out, "png", "", dpi)
    return out.getvalue()


def _data(figure: Data) -> dict[str, Any]:
    if isinstance(figure, Figure):
        return figure.model_dump(mode="json")
    return figure._asdict() if isinstance(figure, records.Figure) else dict(figure)


def _plot(data: dict[str, Any]) -> Plot:
    import matplotlib as mpl

    from .plots import PLOTS

    plot = PLOTS.get(data["kind"])
    if plot is None:
        raise BadFigure(f"There is no figure of kind '{data['kind']}'. Known: {', '.join(PLOTS)}.")
    with mpl.rc_context(_RC):  # pyright: ignore[reportUnknownMemberType]
        try:
            return plot(data)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise BadFigure(f"The {data['kind']} '{data['name']}' cannot be drawn: {one_line(reason)}.") from error


def _save(canvas: Canvas, out: io.BytesIO, kind: str, salt: str, dpi: int = 72) -> None:
    import matplotlib as mpl

    metadata = _NO_METADATA if kind == "svg" else {"Software": None}
    options = mpl.rc_context({**_RC, "svg.hashsalt": salt or None})  # pyright: ignore[reportUnknownMemberType]
    with options, warnings.catch_warnings():
        # Matplotlib's own font only measures the layout; in an SVG, the reader's fonts have the glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        untyped: Any = canvas
        untyped.savefig(out, format=kind, dpi=dpi, transparent=True, metadata=metadata)


def _slim(svg: str, title: str) -> str:
    """Matplotlib's SVG without what a page does not need, and with a title for readers who cannot see it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = re.sub(r"font: (?:(\d+) )?([\d.]+px)[^;\"]*", _font, svg)
    svg = re.sub(r" font-family: [^;\"]*;|(?<= )transform=\"rotate\(-0 [^\"]*\"", "", svg)
    svg = re.sub(r'<path d="[^"]*" style="fill: none(?:; opacity: 0)?"/>', "", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    # A hundredth of a point is finer than any eye; the digits after it are half of the file.
    svg = re.sub(r'(?<= )(?:d|x|y|x1|x2|y1|y2|transform|points)="[^"]*"', _rounded, svg)
    for group in (r"<g/>\n?()", r"<g>\s*(<text[^>]*>[^<]*</text>\n|)</g>\n?") * 3:
        svg = re.sub(group, r"\1", svg)
    head_end = svg.index(">")
    head = re.sub(r'\s(?:width|height)="[^"]*"|\sxmlns:\w+="[^"]*"', "", svg[:head_end])
    links = ' xmlns:xlink="http://www.w3.org/1999/xlink"' if "xlink:" in svg else ""
    width = re.search(r'viewBox="0 0 ([\d.]+) ', head)
    size = f' width="{float(width[1]) * 4 / 3:.0f}"' if width else ""
    return (
        f'{head}{links}{size} role="img" style="font-family:{_FONTS};max-width:100%;height:auto">'
        f"<title>{escape(title)}</title>{_SCHEMES}{svg[head_end + 1 :].rstrip()}\n"
    )


def _rounded(match: re.Match[str]) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", match[0])


def _font(match: re.Match[str]) -> str:
    weight = f"; font-weight: {match[1]}" if match[1] and match[1] != "400" else ""
    return f"font-size: {match[2]}{weight}"


def _scheme(scheme: str, ink: str) -> str:
    rules = "".join(f'[style*="{what}: {INK}"]{{{what}:{ink}!important}}' for what in ("fill", "stroke"))
    return f"@media screen and (prefers-color-scheme:{scheme}){{{rules}}}"


# The grey in the drawing is for viewers without colour schemes, and for print.
_SCHEMES = f"<style>{_scheme('light', '#424a53')}{_scheme('dark', '#c9d1d9')}</style>"
