"""Drawings: the right marks at the right places, the same bytes each time, and nothing that breaks on odd text."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lashley.experiments.methods.circuit_drawing import circuit_figure
from lashley.experiments.result import Circuit, CircuitEdge, Figure
from lashley.tools.report.figures import draw, draw_png
from lashley.tools.report.ink import BadFigure

SVG = "{http://www.w3.org/2000/svg}"


def heatmap(values: Sequence[Sequence[float | None]], **data: Any) -> dict[str, Any]:
    data = {"values": values, **data}
    return {"name": "heads", "kind": "head_heatmap", "title": "Heads", "unit": "nats", "n": 32, "data": data}


def bars(labels: list[str], values: list[float | None], **data: Any) -> dict[str, Any]:
    data = {"labels": labels, "values": values, **data}
    return {"name": "layers", "kind": "layer_bars", "title": "Layers", "unit": "nats", "n": 32, "data": data}


def pie(labels: list[str], counts: list[int]) -> dict[str, Any]:
    data = {"labels": labels, "counts": counts}
    return {"name": "failures", "kind": "pie", "title": "Failures", "unit": "answers", "n": 32, "data": data}


def stacked(bars: list[str], labels: list[str], counts: list[list[int]]) -> dict[str, Any]:
    data = {"bars": bars, "labels": labels, "counts": counts}
    return {"name": "failures", "kind": "stacked_bars", "title": "Answers", "unit": "answers", "n": 32, "data": data}


def lines(x: list[Any], *series: dict[str, Any]) -> dict[str, Any]:
    data = {"x": x, "x_label": "layers kept", "series": list(series)}
    return {"name": "curve", "kind": "lines", "title": "Curve", "unit": "accuracy", "n": 32, "data": data}


def matrix(values: Sequence[Sequence[float | None]], **data: Any) -> dict[str, Any]:
    wide = max(map(len, values), default=0)
    named = {"rows": [f"L{i}" for i in range(len(values))], "columns": [f"t{i}" for i in range(wide)]}
    data = {"values": values, **named, "row_label": "layer", "column_label": "token", "scale": "diverging", **data}
    return {"name": "lens", "kind": "matrix", "title": "Lens", "unit": "nats", "n": 32, "data": data}


def scatter(x: list[Any], y: list[Any], **data: Any) -> dict[str, Any]:
    named = {"labels": [f"L{i}.H0" for i in range(len(x))], "x_label": "estimated", "y_label": "exact"}
    data = {"x": x, "y": y, **named, **data}
    return {"name": "agreement", "kind": "scatter", "title": "Agreement", "unit": "share", "n": 32, "data": data}


def drawn_circuit(*edges: tuple[str, str, float], size: int | None = None) -> dict[str, Any]:
    made = tuple(CircuitEdge(sender=s, receiver=r, share=x, measured=x < 0) for s, r, x in edges)
    found = Circuit(method="eap", ranking="absolute", replacement="mean", metric="loss", size=size or len(made),
                    possible=99, members=("embed",), edges=made)  # fmt: skip
    return circuit_figure(found, "Circuit", "share", 32, (1, 2)).model_dump(mode="json")


EXAMPLES = [
    heatmap([[0.1, None], [-0.3, 0.2]], significant=[[True, False], [True, False]]),
    bars(["L0", "L1"], [0.5, None], low=[0.4, None], high=[0.7, None]),
    pie(["off_by_one", "incomplete"], [3, 1]),
    stacked(["intact", "without L7.H3"], ["correct", "off_by_one"], [[30, 2], [11, 21]]),
    lines([1, 2, 3], {"name": "zero", "y": [0.1, None, 0.4], "low": [0, None, 0.3], "high": [0.2, None, 0.5]}),
    matrix([[0.1, None], [-0.3, 0.2]], texts=[["␣a", "b"], ["", None]], significant=[[True, False], [False, True]]),
    scatter([0.1, None, -0.4], [0.2, 0.3, -0.5], groups=["strongest", "strongest", "drawn at random"]),
    drawn_circuit(("embed", "L0.H1.q", -0.5), ("L0.H1", "L1.K0", 0.25), ("L1.H1", "logits", -0.1)),
]
KINDS = [example["kind"] for example in EXAMPLES]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("figure", EXAMPLES, ids=KINDS)
def test_a_drawing_says_its_title_unit_and_n(figure: dict[str, Any]) -> None:
    said = texts(draw(figure))
    assert figure["title"] in said
    assert figure["unit"] in said
    assert any(text.startswith("n = 32") for text in said)


@pytest.mark.parametrize("figure", EXAMPLES, ids=KINDS)
def test_the_same_data_give_the_same_bytes(figure: dict[str, Any]) -> None:
    svg, png = draw(figure), draw_png(figure)
    assert draw(Figure(**figure)) == svg
    assert draw_png(figure) == png
    assert "<metadata" not in svg
    program = (
        f"from lashley.tools.report.figures import draw; import sys; sys.stdout.buffer.write(draw({figure!r}).encode())"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == svg.encode()


@pytest.mark.parametrize("figure", EXAMPLES, ids=KINDS)
def test_the_background_is_clear(figure: dict[str, Any]) -> None:
    with Image.open(io.BytesIO(draw_png(figure))) as image:
        alpha = image.convert("RGBA").getchannel("A")
        assert [alpha.getpixel(at) for at in ((0, 0), (image.width - 1, 0), (0, image.height - 1))] == [0, 0, 0]


def picture(svg: str) -> np.ndarray:
    """The cells of a map as pixels, [row][column][rgba]; those of a heat map are 12 to a head."""
    import base64

    data = re.search(r'href="data:image/png;base64,([^"]+)"', svg)
    assert data is not None
    return np.array(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGBA"))


def test_a_heat_map_is_red_above_zero_blue_below_and_white_at_zero_with_layer_0_on_top() -> None:
    cells = picture(draw(heatmap([[1.0, 0.0, -1.0], [None, 0.5, 0.0]])))
    middle = cells[6::12, 6::12].astype(int)
    red, white, blue = middle[0]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert min(white[:3]) > 240
    assert middle[1, 0, 3] == 0
    assert middle[1, 1, 0] > middle[1, 1, 2]


def test_the_scale_is_the_same_on_both_sides() -> None:
    assert {"0.8", "−0.8", "0"} <= set(texts(draw(heatmap([[0.8, -0.1]]))))


def test_a_heat_map_has_one_dot_for_each_significant_head() -> None:
    marks = [[True, False, True], [False, True, False]]
    values: list[list[float | None]] = [[1.0, 0.1, 0.2], [0.0, None, 0.1]]
    plain, marked = draw(heatmap(values)), draw(heatmap(values, significant=marks))
    # Two of them: the third belongs to a head that was not measured.
    assert marked.count("<use") - plain.count("<use") == 2
    assert "hatched" in plain
    assert "q &lt; 0.05" in marked
    assert "q &lt; 0.05" not in plain


def test_layers_without_a_measured_head_are_left_out() -> None:
    values: list[list[float | None]] = [[None, None] for _ in range(30)]
    values[4], values[20] = [0.5, -1.0], [0.1, 0.0]
    full: list[list[float | None]] = [[0.5, -1.0] for _ in range(30)]
    few = draw(heatmap(values, significant=[[v == 0.5 for v in row] for row in values]))
    assert {"4", "20", "layers that are not shown: not measured"} <= {
        t for part in texts(few) for t in part.split(" · ")
    }
    assert "hatched" not in few
    assert "12" not in texts(few)
    assert few.count("\n") < draw(heatmap(full)).count("\n")


def middles(svg: str, rows: int, columns: int) -> np.ndarray:
    """The colour in the middle of each cell, [row][column][rgba]."""
    pixels = picture(svg).astype(int)
    tall, wide = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels[tall // 2 :: tall, wide // 2 :: wide]


def test_a_diverging_matrix_is_white_at_zero_and_a_sequential_one_darkens() -> None:
    values: list[list[float | None]] = [[1.0, 0.0, -1.0], [None, 0.5, 0.0]]
    red, white, blue = middles(draw(matrix(values)), 2, 3)[0]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert min(white[:3]) > 240
    assert middles(draw(matrix(values)), 2, 3)[1, 0, 3] == 0
    rising: list[list[float | None]] = [[0.0, 0.3, 0.6, 0.9]]
    dark = middles(draw(matrix(rising, scale="sequential")), 1, 4)[0, :, :3].sum(-1)
    assert (np.diff(dark) < 0).all()
    assert {"0", "0.9"} <= set(texts(draw(matrix(rising, scale="sequential"))))
    assert {"0.9", "−0.9"} <= set(texts(draw(matrix(rising))))


def test_a_matrix_names_its_rows_columns_and_cells_and_cuts_what_is_long() -> None:
    values = [[0.1, 0.9], [0.2, 0.3]]
    inside = [["␣the", "<b>internationalisation</b>"], [None, "x"]]
    svg = draw(matrix(values, texts=inside, columns=["␣When", "<script>" * 9], scale="sequential"))
    said = texts(svg)
    assert {"layer", "token", "L0", "L1", "␣When", "␣the", "x"} <= set(said)
    assert max(map(len, said)) < 20
    assert "<script" not in svg
    assert "hatched" not in svg
    marked = draw(matrix(values, texts=inside, significant=[[True, False], [False, True]]))
    assert "q &lt; 0.05" in marked
    half = [[0.1, None], [0.2, 0.3]]
    assert "hatched: not measured" in draw(matrix(half))
    assert "hatched" not in draw(matrix(half, missing="blank"))


@pytest.mark.parametrize("shape", [(30, 12), (30, 40), (60, 100), (1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("inside", [True, False])
def test_a_matrix_of_any_shape_keeps_its_labels_inside(shape: tuple[int, int], inside: bool) -> None:
    values = np.linspace(-1, 1, shape[0] * shape[1]).reshape(shape).tolist()
    names = ["␣internationalisation" * 2] * shape[1]
    drawn = matrix(values, columns=names, texts=[names] * shape[0] if inside else None)
    with Image.open(io.BytesIO(draw_png(drawn))) as image:
        alpha = np.array(image.convert("RGBA"))[:, :, 3]
    for edge in (alpha[:, :2], alpha[:, -2:], alpha[:2], alpha[-2:]):
        assert not edge.any()


def test_whiskers_reach_from_low_to_high() -> None:
    svg = draw(bars(["0", "1"], [1.0, 1.0], low=[0.5, 0.9], high=[1.5, 1.1]))
    whisker = re.compile(r'd="M ([\d.]+) ([\d.]+)\s+L \1 ([\d.]+)\s*" clip')
    wide, narrow = (abs(float(m[2]) - float(m[3])) for m in list(whisker.finditer(svg))[-2:])
    assert math.isclose(wide / narrow, 5, rel_tol=0.02)


def test_a_ring_lists_counts_and_shares() -> None:
    said = texts(draw(pie(["off_by_one", "incomplete", "hallucination"], [3, 1, 0])))
    assert {"off by one (75%)", "incomplete (25%)", "hallucination (0%)", "3", "1", "0", "4"} <= set(said)


def test_a_class_of_failure_keeps_its_colour() -> None:
    def colour(svg: str, place: int) -> str:
        return re.findall(r'<use [^>]*style="fill: (#\w+)', svg)[place]

    assert colour(draw(pie(["off_by_one", "incomplete"], [1, 2])), 0) == colour(
        draw(pie(["incomplete", "off by one"], [5, 1])), 1
    )
    assert len(set(re.findall(r"fill: (#\w+)", draw(pie([f"class {i}" for i in range(5)], [1] * 5))))) >= 6


@pytest.mark.parametrize("shape", [(30, 9), (12, 12), (48, 25), (1, 1)])
def test_long_titles_stay_inside_whatever_the_shape(shape: tuple[int, int]) -> None:
    values = np.linspace(-1, 1, shape[0] * shape[1]).reshape(shape).tolist()
    figure = heatmap(values, significant=np.ones(shape, bool).tolist())
    figure["title"] = (
        "Change of the mean loss over all answer tokens when one attention head is replaced by its mean " * 2
    )
    png = draw_png(figure)
    with Image.open(io.BytesIO(png)) as image:
        alpha = np.array(image.convert("RGBA"))[:, :, 3]
    assert not alpha[:, -2:].any()
    assert not alpha[:2].any()
    assert " ".join(figure["title"].split()) in " ".join(texts(draw(figure)))
    assert len(draw(figure)) < 60_000 * (1 + shape[0] * shape[1] / 600)


ODD = st.text(st.one_of(st.sampled_from("<>&\"'$\\_^{}\n\x00\x1b\ud800\uffff漢😀"), st.characters()), max_size=30)


@settings(max_examples=40, deadline=None)
@given(figure=st.sampled_from(EXAMPLES), title=ODD, unit=ODD)
def test_any_text_gives_well_formed_xml(figure: dict[str, Any], title: str, unit: str) -> None:
    svg = draw({**figure, "title": title, "unit": unit})
    ET.fromstring(svg.encode())
    assert "<script" not in svg


@settings(max_examples=25, deadline=None)
@given(labels=st.lists(ODD, min_size=1, max_size=12), data=st.data())
def test_any_labels_and_values_can_be_drawn(labels: list[str], data: st.DataObject) -> None:
    count = len(labels)
    values = data.draw(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=count, max_size=count))
    counts = data.draw(st.lists(st.integers(0, 1000), min_size=count, max_size=count))
    for figure in (
        bars(labels, values),
        pie(labels, counts),
        lines(labels, *[{"name": one, "y": values} for one in labels]),
        matrix([values], columns=labels, texts=[labels], row_label=labels[0], column_label=labels[-1]),
    ):
        ET.fromstring(draw(figure).encode())


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        ({**EXAMPLES[0], "kind": "violin"}, "no figure of kind 'violin'. Known: head_heatmap"),
        (heatmap([]), "[layer][head]"),
        (heatmap([[1.0], [1.0, 2.0]]), "heads"),
        (heatmap([[1.0]], significant=[[True, False]]), "significant"),
        (bars(["a"], [1.0, 2.0]), "lengths differ: labels 1, values 2"),
        (bars([], []), "no bars"),
        (pie(["a"], [-1]), "from 0 up"),
        (stacked(["a"], ["x"], [[-1]]), "from 0 up"),
        (stacked(["a", "b"], ["x"], [[1]]), "counts must be [2][1]"),
        (stacked([], [], []), "not empty"),
        (lines([1, 2], {"name": "a", "y": [1]}), "lengths differ"),
        (lines([]), "no points"),
        ({**EXAMPLES[2], "data": {}}, "no 'labels'"),
        (matrix([]), "[row][column]"),
        (matrix([[1.0]], rows=["a", "b"]), "there are 2 rows, but values for 1"),
        (matrix([[1.0]], texts=[["a", "b"]]), "texts must be [1][1]"),
        (matrix([[1.0]], significant=[[True], [False]]), "significant must be [1][1]"),
        (matrix([[1.0]], scale="rainbow"), "diverging or sequential, not 'rainbow'"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_line(figure: dict[str, Any], says: str) -> None:
    with pytest.raises(BadFigure) as caught:
        draw(figure)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_matplotlib_is_imported_only_to_draw() -> None:
    program = (
        "import sys; import lashley.tools.report.render, lashley.tools.report.check; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'torch', 'sqlite_utils')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """The outlines of the parts of a drawn circuit: left, top, right, bottom."""
    found: list[tuple[float, float, float, float]] = []
    for path in ET.fromstring(svg).iter(f"{SVG}path"):
        if "fill: #eef1f4" in path.get("style", ""):
            at = np.array(re.findall(r"-?[\d.]+", path.get("d", "")), dtype=float).reshape(-1, 2)
            found.append((*at.min(0).tolist(), *at.max(0).tolist()))
    return found


def test_the_parts_of_a_circuit_lie_by_layer_and_do_not_overlap() -> None:
    heads = [f"L{layer}.H{h}" for layer in range(4) for h in range(7)]
    edges = [("embed", f"{head}.q", -0.01 * i) for i, head in enumerate(heads)]
    edges += [(head, "logits", 0.01 * i) for i, head in enumerate(heads)]
    figure = drawn_circuit(*edges, size=70)
    svg = draw(figure)
    found = boxes(svg)
    assert len(found) == len(heads) + 2
    for i, (left, top, right, bottom) in enumerate(found):
        for left_2, top_2, right_2, bottom_2 in found[i + 1 :]:
            assert right < left_2 or right_2 < left or bottom < top_2 or bottom_2 < top
    # embed at the bottom, then the layers, then the logits.
    tops = [top for _, top, _, _ in found]
    named = [node["name"] for node in figure["data"]["nodes"]]
    assert named == ["embed", *heads, "logits"]
    assert tops == sorted(tops, reverse=True)
    assert any("56 strongest of 70 edges" in text for text in texts(svg))


def test_a_circuit_that_leads_back_is_refused() -> None:
    figure = drawn_circuit(("L1.H1", "L0.H1.q", -0.5))
    with pytest.raises(BadFigure, match="an edge must lead to a later row"):
        draw(figure)


def test_a_head_is_joined_to_the_keys_that_it_shares() -> None:
    data = drawn_circuit(("L0.H1", "L1.K1", -0.5), ("L1.H2", "logits", -0.4), ("L1.H1", "logits", -0.3))["data"]
    named = [node["name"] for node in data["nodes"]]
    assert [(named[a], named[b]) for a, b in data["shared"]] == [("L1.KV1", "L1.H2")]
