"""What the marks of a drawing say, and that they stand where the drawing shows them."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lashley.db.records import Effect, Figure
from lashley.tools.report.figures import draw, draw_png, drawing
from lashley.tools.report.numbers import NBSP
from lashley.tools.report.tips import Place, marks, tips

from .recorded import made
from .test_figures import EXAMPLES, KINDS, bars, drawn_circuit, heatmap, matrix, pie, scatter, stacked

DPI = 144
EFFECT = {"site": "L0.H1", "value": 0.5, "low": 0.25, "high": 0.75, "n": 8, "q": 0.01}
SAID = "0.50 nats [0.25, 0.75], n = 8, q = 0.01"


def said(figure: dict[str, Any], *effects: dict[str, Any]) -> dict[Place, tuple[str, str]]:
    told = tips(Figure(**figure), [made(Effect, **one) for one in effects])
    return {place: (name, text.replace(NBSP, " ")) for place, (name, text) in told.items()}


def test_a_head_of_an_effect_says_its_interval() -> None:
    figure = heatmap([[None, 0.5], [None, None]])
    assert said(figure, EFFECT) == {(0, 0): ("L0.H0", "not measured"), (0, 1): ("L0.H1", SAID)}
    assert said(figure, {**EFFECT, "value": 0.4})[0, 1] == ("L0.H1", "0.5 nats, n = 32")


def test_a_bar_of_one_effect_has_its_name() -> None:
    figure = bars(["0", "1", "2"], [0.5, -0.1, None], low=[0.25, -0.2, None], high=[0.75, 0.0, None])
    own = {**EFFECT, "site": "L0"}
    alone = {(1,): ("layer 1", "−0.1 nats [−0.2, 0.0], n = 32"), (2,): ("layer 2", "not measured")}
    assert said(figure, own) == {(0,): ("L0", SAID), **alone}
    # Of two that are the same it is neither.
    assert said(figure, own, {**own, "site": "L7"}) == {(0,): ("layer 0", "0.50 nats [0.25, 0.75], n = 32"), **alone}


def test_a_cell_of_one_effect_has_its_name() -> None:
    """By its exact value and both of its names: what shares only some of these is another one."""
    figure = matrix([[0.5, 0.5], [0.5, -0.1]], rows=["1", "18"], columns=["s1", "s2"])
    own = {**EFFECT, "site": "L18.resid_pre@s1"}
    found = said(figure, own, {**EFFECT, "site": "L8.resid_pre@s2"})
    assert found[1, 0] == ("L18.resid_pre@s1", SAID)
    alone = ("layer 1 · s1", "0.5 nats, n = 32")
    assert found[0, 0] == alone
    assert [name for name, _ in found.values()] == [alone[0], "layer 1 · s2", own["site"], "layer 18 · s2"]
    assert said(figure, own, {**own, "q": 0.5})[1, 0] == ("layer 18 · s1", "0.5 nats, n = 32")
    heads = matrix([[0.5]], rows=["0"], columns=["1"], column_label="head")
    assert said(heads, EFFECT) == {(0, 0): ("L0.H1", SAID)}


def test_a_curve_a_point_a_part_and_a_cell_say_their_numbers() -> None:
    curve, cell, point = EXAMPLES[4], EXAMPLES[5], EXAMPLES[6]
    assert said(curve)[0, 0] == ("layers kept 1", "0.1 accuracy [0.0, 0.2], n = 32")
    two = {**curve, "data": {**curve["data"], "series": [*curve["data"]["series"], {"name": "mean", "y": [1, 2, 3]}]}}
    assert said(two)[1, 2] == ("mean · layers kept 3", "3 accuracy, n = 32")
    assert said(cell)[0, 0] == ("L0 · t0 · ␣a", "0.1 nats, n = 32")
    assert said(matrix([[0.25]], rows=["3"], columns=["5"]))[0, 0] == ("layer 3 · token 5", "0.25 nats, n = 32")
    assert said(point)[0,] == ("L0.H0", "estimated 0.1, exact 0.2 share, n = 32 (strongest)")
    assert said(stacked(["intact"], ["off_by_one", "correct"], [[8, 24]])) == {
        (0, 0): ("intact · off by one", "8 of 32 answers (25%)"),
        (0, 1): ("intact · correct", "24 of 32 answers (75%)"),
    }
    assert said(pie(["off_by_one", "refusal"], [3, 0])) == {(0,): ("off by one", "3 of 3 answers (100%)")}


def test_what_cannot_be_says_nothing_and_what_hides_is_seen() -> None:
    blank = matrix([[0.1, None]], columns=["\u202eevil", "\x1b[31m"], missing="blank")
    assert list(said(blank)) == [(0, 0)]
    assert said(blank)[0, 0][0] == "L0 · ⟨U+202E⟩evil"


@pytest.mark.parametrize("figure", EXAMPLES, ids=KINDS)
def test_every_number_has_a_place_and_every_place_says_something(figure: dict[str, Any]) -> None:
    told, there = said(figure), drawing(figure).places
    measured = {place for place, (_, text) in told.items() if text != "not measured"}
    assert measured <= set(there) <= set(told)
    assert drawing(figure).svg == draw(figure)
    assert [one[:2] for one in json.loads(marks(Figure(**figure), [], there).replace(NBSP, " "))] == [
        list(told[place]) for place in told if place in there
    ]


def colours(figure: dict[str, Any]) -> dict[Place, set[tuple[int, ...]]]:
    """The colours in the picture of a figure in the middle of each box of a mark."""
    with Image.open(io.BytesIO(draw_png(figure, DPI))) as image:
        pixels = np.array(image.convert("RGBA"))
    return {
        place: {
            tuple(pixels[int((y + tall / 2) * DPI / 72), int((x + wide / 2) * DPI / 72), :3].tolist())
            for x, y, wide, tall in boxes
        }
        for place, boxes in drawing(figure).places.items()
    }


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_a_share_stands_where_its_colour_is() -> None:
    """The picture is another drawing of the same data; in it the colour of a class is looked for at its place."""
    from lashley.tools.report.plots.shares import class_colours

    names = ["correct", "off_by_one", "hallucination", "format"]
    of = dict(zip(range(4), map(rgb, class_colours([name.replace("_", " ") for name in names])), strict=True))
    ring = colours(pie(names, [50, 30, 15, 5]))
    assert ring == {(i,): {of[i]} for i in range(4)}
    stack = colours(stacked(["intact", "without L7.H3"], names, [[20, 6, 4, 2], [3, 9, 0, 20]]))
    assert stack == {(i, j): {of[j]} for i in range(2) for j in range(4) if (i, j) != (1, 2)}


def test_a_cell_stands_where_its_colour_is() -> None:
    values: list[list[float | None]] = [[1.0, 0.5, -0.5], [None, None, None], [-0.25, -1.0, 0.75]]
    for figure in (heatmap(values), matrix(values)):
        found = colours(figure)
        kept = [(i, j) for i, j in said(figure) if values[i][j] is not None]
        # Blue below zero, red above.
        warmth = {place: (lambda c: c[0] - c[2])(next(iter(found[place]))) for place in kept}
        order = sorted(kept, key=lambda at: values[at[0]][at[1]] or 0.0)
        assert [warmth[place] > 0 for place in order] == [False, False, False, True, True, True]
        assert len(found) == len(said(figure))


def test_a_point_stands_where_its_colour_is() -> None:
    from lashley.tools.report.plots.scatter import _GROUPS  # pyright: ignore[reportPrivateUsage]

    figure = scatter([0.1, None, -0.4, 0.9], [0.2, 0.3, 0.5, -0.9])
    found = colours(figure)
    assert set(found) == {(0,), (2,), (3,)}
    ink = np.array(rgb(_GROUPS[0][0]))
    assert all(np.abs(np.array(next(iter(seen))) - ink).max() < 12 for seen in found.values())


@pytest.mark.parametrize("names", ["{}", "a long name of bar {}"])
def test_a_bar_stands_in_its_column(names: str) -> None:
    figure = bars([names.format(i) for i in range(4)], [1.0, -1.0, 0.5, 0.25])
    with Image.open(io.BytesIO(draw_png(figure, DPI))) as image:
        pixels = np.array(image.convert("RGBA"))
    red, blue = rgb("#d6604d"), rgb("#4393c3")
    areas: list[int] = []
    for (i,), [(x, y, wide, tall)] in drawing(figure).places.items():
        part = pixels[int(y * 2) : int((y + tall) * 2), int(x * 2) : int((x + wide) * 2), :3]
        areas.append(int((part == (blue if i == 1 else red)).all(-1).sum()))
        assert not (part == (red if i == 1 else blue)).all(-1).any()
    assert np.allclose(np.array(areas) / areas[0], [1, 1, 0.5, 0.25], atol=0.06)


def test_a_part_of_a_circuit_says_what_it_reads_and_writes() -> None:
    figure = drawn_circuit(("embed", "L0.H1.q", -0.5), ("embed", "L0.H1.v", 0.3), ("L0.H1", "logits", -0.1))
    assert said(figure) == {
        (0,): ("embed", "writes L0.H1.q -0.50, L0.H1.v ~+0.30"),
        (1,): ("L0.H1", "reads embed by q -0.50, embed by v ~+0.30; writes logits -0.10"),
        (2,): ("logits", "reads L0.H1 -0.10"),
    }
