"""Draws the pictures of the README from a study that was run.

    .venv/bin/python docs/make_images.py reports/R1 --db lashley.db
    .venv/bin/python docs/make_images.py --web E4 --db lashley.db

The run is drawn by the live view itself, fed with the logged turns; the report is photographed by chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from lashley.agent.drivers.choose import choose
from lashley.agent.drivers.conversation import Message
from lashley.agent.live import Moving, View
from lashley.agent.study.begin import settle
from lashley.agent.study.budget import Budget, Spent
from lashley.db.read.reader import Reader
from lashley.db.records import Run
from lashley.tools.registry import Answer
from lashley.tools.workbench.context import Context

IMAGES = Path(__file__).resolve().parent / "images"
WIDTH, LINES = 92, 50
# Dark and quiet; readable on a page of either colour.
THEME = TerminalTheme(
    (22, 25, 32), (214, 218, 226),
    [(22, 25, 32), (240, 113, 120), (145, 200, 120), (230, 190, 110), (110, 165, 240), (190, 145, 230), (95, 195, 205),
     (214, 218, 226)],
)  # fmt: skip
# rich's own frame, without fonts from somebody's server and without buttons that do nothing.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="10" fill="#161920"/>
<g transform="translate({terminal_x}, 16)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw_run(reader: Reader, run: int, target: Path) -> None:
    """The first lines of a run as they were shown."""
    row = reader.run(run)
    page = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    page.print(f'[dim]$[/] [bold]agent run --goal "{row.goal}"[/]', highlight=False)
    for line in introduction(row):
        page.print(escape(line), highlight=False)
    view, budget = Moving(page), Budget.model_validate({k: row.budget.get(k) for k in Budget.model_fields})
    who: Any = SimpleNamespace(name=row.driver, llm=row.llm or "")
    what: Any = SimpleNamespace(model=row.model)
    view.began(row.id, row.goal, who, what, budget)
    replay(reader, run, row, view)
    text = page.export_text(clear=False).splitlines()
    kept = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    lines = page.export_text(styles=True).splitlines()
    for line in lines[: LINES if len(text) > LINES else None]:
        kept.print(Text.from_ansi(line), soft_wrap=True)
    if len(text) > LINES:
        kept.print("[dim]   …[/]")
    target.write_text(kept.export_svg(theme=THEME, code_format=FRAME, unique_id="run"), encoding="utf-8", newline="\n")


def introduction(row: Run) -> list[str]:
    """The lines of `agent run` before it begins. They are not logged, so they are computed from the goal."""
    said = io.StringIO()
    context: Any = SimpleNamespace(model=Context.model, task=Context.task, own_tasks={})
    with contextlib.redirect_stderr(said):
        settle(context, row.goal, None, None, autopilot=True)
    if row.driver != "autopilot" or (context.model, context.task) != (row.model, row.task):
        sys.exit("The pictures are of a study by the autopilot, whose goal named model and task.")
    return [choose("auto", environ={}).why, *said.getvalue().splitlines(), f"Loading {context.model}"]


def replay(reader: Reader, run: int, row: Run, view: View) -> None:
    """Give the view what was logged: texts, calls, answers, and what had been spent."""
    began = datetime.fromisoformat(row.started)
    spent, experiments = Spent(), {e.id: e for e in reader.experiments(run=run)}
    calls: dict[str, Any] = {}
    for turn in reader.turns(run):
        message = Message.model_validate(turn.content)
        passed = (datetime.fromisoformat(turn.created) - began).total_seconds()
        now = Spent(spent.experiments)
        now.began -= passed
        if message.role == "assistant":
            if message.text:
                view.said(message.text)
            for call in message.calls:
                calls[call.id] = call
                view.called(turn.step, call, now)
        elif message.role == "tool":
            label = re.match(r"[ENH]\d+", message.text)
            data: dict[str, Any] = {"id": label[0]} if label else {}
            if label and label[0] in experiments:
                spent.experiments += 1
                data["found"] = experiments[label[0]].found
            view.answered(calls[message.call_id], Answer(message.text, data))


def photograph(address: str, target: Path, height: int = 1290) -> None:
    """The top of a page, in the width of a laptop."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("No chromium is installed, so there is no picture of a page.")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}",
             f"--window-size=1000,{height}", f"--screenshot={shot}", address],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        from PIL import Image

        # A palette is enough for a page of text and a few colours, and a third of the size.
        Image.open(shot).convert("RGB").quantize(128).save(target, optimize=True)


def served(db: str, id: str, target: Path) -> None:
    """The page of an experiment or a run in `agent web`."""
    agent = [sys.executable, "-m", "lashley.agent.main", "web", "--port", "0", "--db", db]
    with subprocess.Popen(agent, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://[^/ ]+/", process.stdout.readline())
            assert address is not None
            photograph(f"{address[0]}{id}", target)
        finally:
            process.terminate()


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    given.add_argument("report", nargs="?", type=Path, help="the folder of a report, such as reports/R1")
    given.add_argument("--web", metavar="ID", help="the page of an experiment in the browser")
    given.add_argument("--db", default="lashley.db")
    given = given.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if given.report is not None:
        with Reader.open(given.db) as reader:
            draw_run(reader, int(given.report.name.removeprefix("R")), IMAGES / "run.svg")
        photograph((given.report / "report.html").resolve().as_uri(), IMAGES / "report.png")
    if given.web is not None:
        served(given.db, given.web, IMAGES / "web.png")
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(IMAGES.parent.parent)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
