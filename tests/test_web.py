"""`agent web`, asked as a browser asks: the pages, what they may not do, and Datasette's own pages beside them."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urldefrag, urljoin

import click
import psutil
import pytest
from click.testing import CliRunner

from lashley.agent.commands.experiment import tasks_given
from lashley.agent.commands.web import web
from lashley.agent.main import cli
from lashley.agent.web.figures import drawn, without_styles
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.kinds.registry import kinds
from lashley.tools.workbench.catalog import command_of, configuration
from lashley.tools.workbench.run_experiment import experiment_from

from .recorded import RUN
from .webbed import EVIL, SITES, Answer, Site, begin, sweep

PAGES = (
    "/", "/experiments", "/experiments?kind=head_ablation&status=done", "/hypotheses", "/hypotheses?status=refuted",
    "/notes", "/notes?q=moves", "/notes?q=zebra", f"/notes?tag={quote(EVIL)}", "/R1", "/R2", "/R3", "/R4", "/E1", "/E2",
    "/E3", "/E4", "/E6", "/E7", "/E8", "/N1", "/N3", "/H1", "/H2", "/H3", "/R3/conversation",
    "/compare?one=E6&other=E7", "/compare?one=E6&other=E8", "/compare?one=E1&other=E6", "/compare?one=E6&other=E6",
)  # fmt: skip
FAULTS = (
    "/R99",
    "/E99",
    "/N99",
    "/H99",
    "/R99/conversation",
    "/notes?q=E99",
    "/notes?tag=zebra",
    "/experiments?kind=x",
    "/compare",
    "/compare?one=E6&other=R1",
    "/compare?one=E6&other=E99",
)


class Tag(NamedTuple):
    name: str
    attributes: dict[str, str]


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and its text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> set[str]:
        return {tag.attributes["href"] for tag in self.tags if tag.name == "a" and "href" in tag.attributes}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_text_and_runs_nothing(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"https?:|\*", policy) == []
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    scripts = [tag.attributes for tag in page.tags if tag.name == "script"]
    assert scripts == [{"src": "/script.js", "defer": ""}]
    assert [t for t in page.tags if t.name in ("style", "iframe", "object", "base", "img")] == []
    for tag in page.tags:
        assert not [name for name in tag.attributes if name.startswith("on") or name == "style"], tag
        for name in ("href", "src", "action", "xlink:href"):
            assert re.match(r"/(?!/)|#|data:image/png;base64,|$", tag.attributes.get(name, "")), tag
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text


@pytest.mark.parametrize("path", ["/", "/R3", "/R3/conversation", "/E6", "/N3", "/H3", "/notes", "/hypotheses"])
def test_what_looks_like_markup_is_shown_as_it_was_written(site: Site, path: str) -> None:
    assert (
        "</script><script>alert(1)</script><img src=x onerror=alert(1)> \"'&lt; {{7*7}}"
        in Page(site.get(path).text).text
    )


def test_every_link_leads_somewhere(site: Site) -> None:
    seen: set[str] = set()
    left = ["/"]
    while left:
        path = left.pop()
        answer = site.get(path)
        assert answer.status == 200, path
        # Of Datasette's pages only those that ours lead to.
        if path.startswith("/lashley"):
            continue
        page = Page(answer.text)
        names = {tag.attributes["id"] for tag in page.tags if "id" in tag.attributes}
        for href in page.links():
            leads, at = urldefrag(urljoin(path, href))
            if leads == path and at:
                assert at in names, (path, href)
            elif leads not in seen:
                assert leads.startswith("/"), (path, href)
                seen.add(leads)
                left.append(leads)
    assert {"/R3", "/E6", "/N3", "/H3", "/R3/report.html", "/R3/conversation", "/lashley"} <= seen


@pytest.mark.parametrize("path", FAULTS)
def test_what_is_not_there_is_said_in_words(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status == 404
    assert "This cannot be shown" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def rows(html: str, caption: str) -> list[list[tuple[str, str]]]:
    """The rows of the table whose caption holds these words, each cell as (what it sorts by, what it shows)."""
    table = next(one for one in re.findall(r"<table.*?</table>", html, re.DOTALL) if caption in one)
    body = table.split("<tbody>")[1]
    cells = re.compile(r'<td(?:[^>]*?data-sort="([^"]*)")?[^>]*>(.*?)</td>', re.DOTALL)
    return [cells.findall(row) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]


def test_an_experiment_shows_every_number_that_was_measured(site: Site, db: Path) -> None:
    html = site.get("/E6").text
    with Reader.open(db) as reader:
        row = reader.experiment(6)
    shown = rows(html, "effects on logit_diff")
    kept = {effect.site: effect for effect in row.effects}
    assert [cells[0][1] for cells in shown] == sorted(SITES, key=lambda s: (-abs(kept[s].value), SITES.index(s)))
    for site_, value, low, n, p, q in (cells[:6] for cells in shown):
        effect = kept[site_[1]]
        sorts = [float(cell[0]) for cell in (value, low, n, p, q)]
        assert sorts == [effect.value, effect.low, effect.n, effect.p, effect.q]
        seen = float(value[1].replace("−", "-"))
        assert abs(seen - effect.value) <= 0.01
        assert [float(end.replace("−", "-")) for end in re.findall(r"[−\d.]+", low[1])] == pytest.approx(
            [effect.low, effect.high], abs=0.01
        )
    (measured,) = rows(html, "measured")
    assert [cell[0] for cell in measured[1:]] == ["5.25", "3.0", "16"]


def test_a_cell_says_the_number_that_it_is_coloured_by(site: Site, db: Path) -> None:
    with Reader.open(db) as reader:
        row = reader.experiment(6)
    heads = json.loads(drawn(row.figures[0], row.id, row.effects)["tips"])
    kept = {effect.site: effect for effect in row.effects}
    assert [mark[0] for mark in heads] == SITES
    for site_, text, *_ in heads:
        said = [float(one.replace("−", "-")) for one in re.findall(r"−?\d[\d.]*", text)]
        effect = kept[site_]
        assert said[:3] == pytest.approx([effect.value, effect.low, effect.high], abs=0.01)
        assert said[-1] == effect.q
    lens = json.loads(drawn(row.figures[1], row.id, row.effects)["tips"])
    assert [mark[0].endswith(" · ␣the") for mark in lens] == [True, False]
    assert [mark[1].replace("\u00a0", " ") for mark in lens] == ["0.25 probability, n = 1", "not measured"]
    (intact, edited) = json.loads(drawn(row.figures[2], row.id, row.effects)["tips"])
    assert [one[0] for one in (intact, edited)] == ["L0", "L1"]
    # Both are in the page, and a figure that cannot be drawn says why.
    html = site.get("/E6").text
    assert [json.loads(tag.attributes["data-tips"]) for tag in Page(html).tags if "data-tips" in tag.attributes] == [
        heads,
        lens,
        [intact, edited],
    ]
    assert "The layer_bars &#39;broken&#39; cannot be drawn" in html


def test_a_drawing_keeps_its_looks_without_a_style() -> None:
    svg = '<svg style="max-width:100%"><style>x</style><path d="M 0 0" style="fill: #b2182b; stroke: none"/></svg>'
    assert without_styles(svg) == '<svg><path d="M 0 0" fill="#b2182b" stroke="none"/></svg>'


@pytest.mark.parametrize("kind", kinds())
def test_a_command_gives_the_configuration_that_it_was_made_of(kind: str) -> None:
    """Read back as a shell and the command line would."""
    needed = {
        "layer_program": {"program": "0-3, 2"},
        "intervene": {"edit": ["A: zero L0.H0, L1.mlp", "layers 0, 1"]},
        "interchange": {"variable": "s = a + b", "output": "s + c"},
        "causal_scrubbing": {"hypothesis": ["L0.H1 depends on a, b", "embed depends on nothing"]},
        "component_roles": {"parts": ["L0.H0", "L1.mlp"]},
    }
    plain = kinds()[kind].model_validate(needed.get(kind, {})).config()
    for change in ({}, {"n": 7, "seed": 3, "task": "it's <mine>", "model": "a b"}):
        config = {**plain, **change}
        assert parsed(kind, command_of(kind, config) or "") == config


def test_a_list_reaches_the_command_and_what_it_cannot_say_it_does_not() -> None:
    kind = kinds()["head_ablation"]
    config = kind(heads=["L1.H2", "L0.H0"], together=True, method="mean").config()  # pyright: ignore[reportCallIssue]
    assert parsed("head_ablation", command_of("head_ablation", config) or "") == config
    assert command_of("head_ablation", {**config, "heads": ["a,b"]}) is None
    assert command_of("gone", config) is None


def parsed(kind: str, line: str) -> dict[str, Any]:
    words = shlex.split(line)
    assert words[:3] == ["agent", "experiment", kind]
    group = cli.get_command(click.Context(cli), "experiment")
    assert isinstance(group, click.Group)
    command = group.get_command(click.Context(group), kind)
    assert command is not None
    given = command.make_context(kind, words[3:]).params
    given["task"] = next(iter(tasks_given(given["task"])), None)
    return experiment_from(kind, configuration(kind, given)).config()


def test_a_run_links_its_numbers_to_their_experiments(site: Site) -> None:
    html = site.get("/R3").text
    assert re.search(r'<a class="value" href="/E6"[^>]*>−4\.0<', html)
    assert 'class="status refuted"' in html
    # A drawing refers to its own parts.
    assert not re.findall(r'xlink:href="/', html)
    told = Page(html).text
    assert "L3.H2 is <needed>" in told
    assert "agent replay R3" in told


def test_notes_are_found_by_words_and_by_tags(site: Site) -> None:
    def found(path: str) -> list[str]:
        return re.findall(r'<article class="note" id="(N\d+)"', site.get(path).text)

    assert found("/notes") == ["N3", "N2", "N1"]
    assert found("/notes?q=adds") == ["N1"]
    assert found("/notes?q=mov") == ["N3"]
    assert found("/notes?tag=heads") == ["N3", "N1"]
    assert found("/notes?q=adds&tag=heads") == ["N1"]
    assert found("/notes?q=%22+AND+(") in ([], ["N3"])
    facets = dict(re.findall(r'<a href="[^"]*">([^<]*) <span class="quiet">(\d+)</span>', site.get("/notes").text))
    assert facets["heads"] == "2"
    moved = site.get("/notes?q=e6")
    assert (moved.status, moved.headers["location"]) == (302, "/E6")


def test_hypotheses_of_all_runs_by_their_verdict(site: Site) -> None:
    def found(path: str) -> list[str]:
        return re.findall(r'<section class="hypothesis" id="(H\d+)"', site.get(path).text)

    assert found("/hypotheses") == ["H3", "H2", "H1"]
    assert found("/hypotheses?status=supported") == ["H2", "H1"]
    assert found("/hypotheses?before=H3") == ["H2", "H1"]
    tested = site.get("/H2").text
    assert re.search(
        r'class="status supported">supported under zero alone</span>.*accuracy_drop above 0\.1', tested, re.DOTALL
    )
    assert re.search(r'href="/E5">0\.31</a>', tested)


def test_datasette_is_whole(site: Site) -> None:
    assert site.get("/lashley.json?sql=select+count(*)+as+n+from+effects&_shape=array").json == [{"n": 2 * 2 + 2 + 144}]
    faceted = site.get("/lashley/experiments.json?_facet=kind&_size=0").json
    assert faceted["facet_results"]["kind"]["results"][0]["count"] == 8
    for path in ("/lashley", "/lashley?sql=select+1", "/lashley/notes", "/lashley/notes/1", "/lashley/effects.csv"):
        assert site.get(path).status == 200, path
    html = site.get("/lashley/notes?_search=adds").text
    assert "L7.H3 adds." in html
    table = site.get("/lashley/experiment_summary").text
    assert '<a href="/E6">E6</a>' in table
    assert "<script>alert(1)" not in table


def test_nothing_can_be_written(site: Site, db: Path) -> None:
    before = hashlib.sha256(db.read_bytes()).digest()
    for sql in ("delete from notes", "pragma user_version = 1", "vacuum", "attach '/x' as y", "drop table notes"):
        answer: Answer = site.get(f"/lashley.json?sql={quote(sql)}")
        assert answer.status in (400, 403), (sql, answer)
    for path in ("/", "/R1", "/notes", "/lashley", "/lashley/notes"):
        assert site.get(path, method="POST").status == 405, path
    assert site.get("/lashley.db").status in (403, 404)
    assert hashlib.sha256(db.read_bytes()).digest() == before


def test_it_listens_to_this_machine_alone_and_under_its_own_name(site: Site) -> None:
    ears = {c.laddr[0] for c in psutil.Process(site.process.pid).net_connections() if c.status == psutil.CONN_LISTEN}
    assert ears == {"127.0.0.1"}
    for path in ("/", "/lashley", "/R1/live.json", "/style.css"):
        assert site.get(path, host="evil.example").status == 421
        assert site.get(path, host="localhost:8765").status == 200
    for path in ("/", "/lashley", "/style.css", "/R1/live.json", "/nothing"):
        headers = site.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert not re.search(r"https?:|\*", headers["content-security-policy"])


def test_a_study_that_goes_on_is_followed(site: Site, db: Path) -> None:
    with Store.open(db) as store:
        run = store.begin_run(**RUN)
        page = site.get(f"/R{run}").text
        assert f'data-live="/R{run}/live.json" data-status="running"' in page
        first = site.get(f"/R{run}/live.json").json
        assert first["status"] == "running"
        assert "Nothing was done yet." in first["parts"]["steps"]
        number = begin(store, run, "zero", sweep("zero"))
        later = site.get(f"/R{run}/live.json").json
        assert f"/E{number}" in later["parts"]["steps"]
        assert all(html.strip() in site.get(f"/R{run}").text for html in later["parts"].values())
        store.finish_run(run, status="finished", spent={})
    assert site.get(f"/R{run}/live.json").json["status"] == "finished"
    assert "data-live" not in site.get(f"/R{run}").text
    missing = site.get("/R99/live.json")
    assert (missing.status, list(missing.json)) == (404, ["error"])


def test_what_is_wrong_is_one_line(db: Path, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(web, words)
        assert done.exit_code == 2, done.output
        return done.output.strip().splitlines()[-1]

    assert "There is no tracker" in said("--db", str(tmp_path / "none.db"))
    with socket.socket() as ear:
        ear.bind(("127.0.0.1", 0))
        ear.listen()
        port = str(ear.getsockname()[1])
        assert "agent web --port 0" in said("--db", str(db), "--port", port)
    program = "import sys; sys.modules['datasette'] = None; from lashley.agent.commands.web import web; web()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "lashley[web]"' in done.stderr


def test_the_server_loads_no_model_and_no_client() -> None:
    program = "import sys, lashley.agent.web.serve; print([m for m in ('torch', 'openai') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
