"""The documentation as a site: it is built as `make site` builds it, and every link on every page leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "docs/site/mkdocs.yml"


class Links(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if "id" in named:
            self.anchors.add(named["id"])
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        elif tag == "link" and named.get("rel") not in ("prev", "next"):
            self.loads.append(named["href"])
        elif tag in ("script", "img", "iframe") and "src" in named:
            self.loads.append(named["src"])


def build(config: Path, to: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(to)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=quiet, cwd=ROOT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("site")
    done = build(ROOT / CONFIG, to)
    assert done.returncode == 0, done.stderr
    return to


def test_every_link_of_the_site_leads_somewhere_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = {page: Links(page) for page in site.rglob("*.html")}
    assert len(pages) > 60
    dead: list[str] = []
    for page, found in pages.items():
        for target in (*found.links, *found.loads):
            parts = urlsplit(target)
            if parts.scheme == "data" or (parts.scheme and target in found.links):
                continue
            assert not parts.scheme, f"{page.name} fetches {target}"
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = there / "index.html" if there.is_dir() else there
            anchored = not parts.fragment or there not in pages or unquote(parts.fragment) in pages[there].anchors
            # The page of a wrong address does not know where it is shown, so its links begin at the root.
            if page.name != "404.html" and not (there.is_file() and anchored):
                dead.append(f"{page.relative_to(site)}: {target}")
    assert not dead


def test_the_site_has_every_page_of_the_repository(site: Path) -> None:
    found = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    paths = [page.relative_to(ROOT).as_posix() for page in [*found, *(ROOT / "benchmarks").glob("*.md")]]
    lacking = [path for path in paths if not (site / re.sub(r"(README)?\.md$", made, path)).is_file()]
    assert not lacking
    assert "0.1.0" in (site / "CHANGELOG.html").read_text(encoding="utf-8")


def made(match: re.Match[str]) -> str:
    return "index.html" if match[1] else ".html"


def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    for name, text in {"index.md": "[gone](gone.md)\n\n# Here", "anchor.md": "[gone](index.md#gone)"}.items():
        (tmp_path / "docs").mkdir(exist_ok=True)
        for old in (tmp_path / "docs").iterdir():
            old.unlink()
        (tmp_path / "docs" / "index.md").write_text("# Here", encoding="utf-8")
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
        rules = re.search(r"^validation:\n(  .*\n)+", (ROOT / CONFIG).read_text(encoding="utf-8"), re.MULTILINE)
        assert rules is not None
        (tmp_path / "mkdocs.yml").write_text(f"site_name: tried\n{rules[0]}", encoding="utf-8")
        done = build(tmp_path / "mkdocs.yml", tmp_path / "built")
        assert done.returncode == 1, name
        assert "gone" in done.stderr
