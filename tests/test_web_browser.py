"""`agent web` in a real browser, at the width of a phone and of a desk: clicks, sorting, comparing, who is asked, axe.

It takes a Chromium that is installed (Debian's package `chromium`), and is left out where there is none.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.result import Figure, Result
from lashley.tools.report.render import render_run, write

from .recorded import RUN
from .test_figures import EXAMPLES
from .webbed import Site, begin, sweep

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)")
AXE = Path(__file__).parent / "fixtures" / "axe" / "axe.min.js"
WIDTHS = {"phone": 420, "desk": 1280}
LOOKED_AT = ("/", "/experiments", "/hypotheses", "/notes", "/R1", "/R2", "/R3", "/E6", "/N1", "/H2", "/R3/conversation",
             "/E99", "/compare?one=E6&other=E7")  # fmt: skip
QUICK = {("light", "/R3"), ("dark", "/E6")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A container's user is often root, for whom Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def page(browser: Any, site: Site, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of this width; whoever else is asked, and whatever the browser complains of, fails the test."""
    context = browser.new_context(base_url=site.url, viewport={"width": WIDTHS[request.param], "height": 900})
    page, wrong = context.new_page(), []
    page.set_default_timeout(30_000)
    page.on("request", lambda r: None if r.url.startswith((site.url, "data:")) else wrong.append(r.url))
    page.on("console", lambda m: None if m.type not in ("error", "warning") else wrong.append(m.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


def test_from_a_run_to_a_number_to_its_experiment_to_its_cell(page: Any) -> None:
    page.goto("/")
    page.locator("h2 a", has_text=re.compile("^R3")).click()
    page.wait_for_url("**/R3")
    page.locator(".claims .value").first.click()
    page.wait_for_url("**/E6")
    drawing = page.locator(".drawn[data-tips]").first
    drawing.scroll_into_view_if_needed()
    # The cell of L3.H2, of 12 rows and 6 columns.
    box = drawing.locator("image").first.bounding_box()
    x, y = box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 3.5 / 12
    page.mouse.move(x, y)
    tip = page.locator(".tip:visible")
    assert re.match(r"L3\.H2: −4\.0\slogits \[−4\.1,\s−3\.9\], n\s=\s16, q = 0\.02", tip.text_content())
    right = tip.bounding_box()
    assert right["x"] + right["width"] <= page.viewport_size["width"]
    page.mouse.click(x, y)
    assert page.locator("tr.picked").get_attribute("data-site") == "L3.H2"
    # A cell whose row is folded away is found, too.
    drawing.scroll_into_view_if_needed()
    box = drawing.locator("image").first.bounding_box()
    folded = page.locator("tr[data-site]").nth(60).get_attribute("data-site")
    layer, head = map(int, re.findall(r"\d+", folded))
    page.mouse.click(box["x"] + box["width"] * (head + 0.5) / 6, box["y"] + box["height"] * (layer + 0.5) / 12)
    assert page.locator("tr.picked").get_attribute("data-site") == folded
    assert page.locator("tr.picked").is_visible()


def column(table: Any, of: int) -> list[float]:
    cells = table.locator(f"tbody tr td:nth-child({of})").all_text_contents()
    return [float(cell.replace("−", "-")) for cell in cells]


def test_a_table_sorts_by_what_it_shows(page: Any) -> None:
    page.goto("/E6")
    table = page.locator("table.long")
    effects = table.locator("thead button", has_text="effect")
    effects.click()
    assert column(table, 2) == sorted(column(table, 2), reverse=True)
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    effects.focus()
    page.keyboard.press("Enter")
    assert column(table, 2) == sorted(column(table, 2))
    assert table.locator("tbody tr").first.get_attribute("data-site") == "L3.H2"
    sites = table.locator("thead button", has_text="site")
    sites.click()
    sites.click()
    assert table.locator("tbody tr td:first-child").all_text_contents()[:8] == [
        *(f"L0.H{head}" for head in range(6)), "L1.H0", "L1.H1",
    ]  # fmt: skip
    assert table.locator("tbody tr:visible").count() == 25
    page.get_by_role("button", name="Show all 72").click()
    assert table.locator("tbody tr:visible").count() == 72


@contextmanager
def from_disk(browser: Any, db: Path, run: int, folder: Path, width: int) -> Iterator[Any]:
    """The report of a run, opened as a file without a network; at the end it has complained of nothing."""
    with Reader.open(db) as reader:
        (html,) = [path for path in write(render_run(reader, run), folder) if path.suffix == ".html"]
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page, wrong = context.new_page(), []
    page.on("console", lambda m: wrong.append(m.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(html.as_uri())
    yield page
    context.close()
    assert wrong == []


@pytest.mark.parametrize("width", WIDTHS.values())
def test_a_report_from_the_disk_answers_to_the_pointer(browser: Any, db: Path, tmp_path: Path, width: int) -> None:
    with from_disk(browser, db, 3, tmp_path, width) as page:
        page.locator(".claims .value").first.click()
        assert page.url.endswith("#E6")
        table = page.locator("#E6 table[data-of]")
        effects = table.locator("thead button", has_text="effect")
        effects.click()
        assert column(table, 2) == sorted(column(table, 2), reverse=True)
        drawing = page.locator(".drawn[data-tips]").first
        drawing.scroll_into_view_if_needed()
        box = drawing.locator("image").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 3.5 / 12)
        assert page.locator(".tip:visible").text_content().startswith("L3.H2: −4.0")
        page.mouse.click(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 3.5 / 12)
        assert page.locator("tr.picked").get_attribute("data-site") == "L3.H2"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", WIDTHS.values())
def test_every_figure_answers_to_the_pointer_and_to_the_keys(browser: Any, tmp_path: Path, width: int) -> None:
    """One experiment with a figure of each kind; a report from the disk."""
    figures = tuple(Figure(**{**one, "name": f"f{i}"}) for i, one in enumerate(EXAMPLES))
    with Store.open(tmp_path / "lashley.db") as store:
        begin(store, store.begin_run(**RUN), "zero", Result(figures=figures))
    with from_disk(browser, tmp_path / "lashley.db", 1, tmp_path, width) as page:
        tip, drawings = page.locator(".tip"), page.locator(".drawn")
        assert drawings.count() == len(EXAMPLES)
        for at, drawing in enumerate(drawings.all()):
            drawing.scroll_into_view_if_needed()
            marks = json.loads(drawing.get_attribute("data-tips"))
            svg = drawing.locator("svg").bounding_box()
            wide = drawing.locator("svg").evaluate("one => one.viewBox.baseVal.width")
            by = svg["width"] / wide
            # What lies to the right may be scrolled out of a phone's sight.
            name, said, x, y, w, h, *_ = min(marks, key=lambda mark: mark[2])
            page.mouse.move(svg["x"] + by * (x + w / 2), svg["y"] + by * (y + h / 2))
            assert tip.text_content() == f"{name}: {said}"
            assert page.locator(".spot").is_visible()
            page.mouse.move(1, 1)
            assert tip.is_hidden()
            drawing.focus()
            seen: list[str] = []
            for _ in marks:
                page.keyboard.press("ArrowRight")
                seen.append(tip.text_content())
            assert seen == [f"{name}: {said}" for name, said, *_ in marks], EXAMPLES[at]["kind"]
            page.keyboard.press("Home")
            assert tip.text_content() == seen[0]
            page.keyboard.press("Escape")
            assert tip.is_hidden()
            assert EXAMPLES[at]["title"] in drawing.get_attribute("aria-label")


def test_two_experiments_are_compared(page: Any, db: Path) -> None:
    page.goto("/E6")
    page.get_by_label("compare with").select_option("E7")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?one=E6&other=E7")
    assert page.locator("table.config tbody tr").all_text_contents() == ["methodzeromean"]
    table = page.locator("table", has_text="Effects of both")
    strongest = table.locator("tbody tr").first.locator("td").all_text_contents()
    assert [strongest[i] for i in (0, 1, 3, 5)] == ["L3.H2", "−4.0", "−2.0", "2"]
    with Reader.open(db) as reader:
        one, other = ({e.site: e.value for e in reader.experiment(n).effects} for n in (6, 7))
    shown = dict(zip(table.locator("tbody td:first-child").all_text_contents(), column(table, 6), strict=True))
    assert shown == pytest.approx({site: other[site] - one[site] for site in one}, abs=5e-3)
    # With the pointer on a drawing, and beside it that of the other.
    assert page.locator(".pair .drawn").count() >= 4


def test_notes_are_searched_and_an_id_is_gone_to(page: Any) -> None:
    page.goto("/")
    search = page.get_by_label("Search notes, or go to an id such as E12")
    search.fill("adds")
    search.press("Enter")
    page.wait_for_url("**/notes?q=adds")
    assert page.locator("article.note").evaluate_all("all => all.map(one => one.id)") == ["N1"]
    page.locator(".chips a", has_text="heads").click()
    assert page.locator(".chips a[aria-current]").count() == 1
    search.fill("h2")
    search.press("Enter")
    page.wait_for_url("**/H2")
    assert page.locator("h1").inner_text().startswith("H2")


def test_a_command_is_copied(page: Any, site: Site) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    page.goto("/E6")
    page.locator(".copy").first.click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "agent replay E6"


def test_a_page_follows_its_study_to_the_end(page: Any, db: Path) -> None:
    with Store.open(db) as store:
        run = store.begin_run(**{**RUN, "goal": "Which heads, live?"})
        page.goto(f"/R{run}")
        page.get_by_text("the page updates itself").wait_for()
        assert page.get_by_text("Nothing was done yet.").is_visible()
        clock = page.locator("[data-since]")
        before = clock.text_content()
        assert re.fullmatch(r"\d+:\d\d", before)
        page.wait_for_function("before => document.querySelector('[data-since]').textContent !== before", arg=before)
        number = begin(store, run, "zero", sweep("zero"))
        page.locator(f'[data-part="steps"] a[href="/E{number}"]').first.wait_for()
        store.finish_run(run, status="finished", spent={})
    page.locator('[data-status="finished"]').wait_for()
    assert page.get_by_text("the page updates itself").count() == 0


@pytest.mark.parametrize(
    ("scheme", "path"),
    [
        pytest.param(scheme, path, marks=[] if (scheme, path) in QUICK else pytest.mark.slow)
        for scheme in ("light", "dark")
        for path in LOOKED_AT
    ],
)
def test_a_page_fits_and_axe_finds_no_serious_fault(browser: Any, site: Site, path: str, scheme: str) -> None:
    context = browser.new_context(base_url=site.url, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate(AXE.read_text(encoding="utf-8"))
        faults = page.evaluate("axe.run(document).then(found => found.violations)")
        assert [
            (fault["id"], [node["html"][:200] for node in fault["nodes"][:3]])
            for fault in faults
            if fault["impact"] in ("serious", "critical")
        ] == []
    context.close()
