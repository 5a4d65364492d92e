"""Which files the site has: the pages of the repository, each under its own path.

So a link that works in the repository works on the site, and the strict build fails for one that does not.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "benchmarks/*.md", "prompts/system.md")
TOUR = ROOT / "docs" / "tour.ipynb"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A folder in the navigation stands for its pages."""
    config.nav = [expanded(entry) for entry in config.nav or ()]
    return config


def expanded(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: expanded(below) for title, below in entry.items()}
    if isinstance(entry, list):
        return [expanded(one) for one in entry]
    if not entry.endswith("/"):
        return entry
    found = sorted((ROOT / entry).glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
    return [path.relative_to(ROOT).as_posix() for path in found]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the theme, and the pages with what they link to in place of the files below docs/."""
    theme = [one for one in files if one.src_dir != config.docs_dir]
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    shown = {*pages, *(path for page in pages for path in linked(page)), ROOT / "docs" / "site" / "site.css"}
    ours = [File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)) for path in sorted(shown)]
    tour = json.loads(TOUR.read_text(encoding="utf-8"))
    page = File.generated(config, "docs/tour.md", content="\n\n".join(as_markdown(tour)))
    return Files([*theme, *ours, page])


def linked(page: Path) -> Iterator[Path]:
    """The pictures and the code that a page links to."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        if path.is_file() and path.is_relative_to(ROOT):
            yield path


def as_markdown(notebook: dict[str, Any]) -> Iterator[str]:
    """The cells of a notebook with their outputs, as parts of a Markdown page."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else fenced(source, "python")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                drawn = base64.b64encode("".join(data["image/svg+xml"]).encode()).decode()
                yield f"![Output of the cell](data:image/svg+xml;base64,{drawn})"
            else:
                yield fenced("".join(output.get("text") or data.get("text/plain", "")), "text")


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
