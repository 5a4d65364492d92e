"""What a study shows in a terminal while it runs: rows that fit and break between words; nothing that stays behind."""

from __future__ import annotations

import io
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lashley.agent.drivers.conversation import Call
from lashley.agent.live import Moving, View
from lashley.agent.study.budget import Budget, Spent
from lashley.tools.registry import Answer

GOAL = (
    "Which heads [bold]add[/bold] two small numbers, and do they read the first operand before the second one? \x1b[2J"
)
WORDS = "of the heads that were removed, one by one, three change the logit difference (q < 0.05): " * 3
CALL = Call(id="c", name="head_ablation", arguments='{"heads": ["L0.H1", "L20.H8", "L1.H4", "L1.H3"], "n": 16}')


def watch(view: View, llm: str = "") -> None:
    driver: Any = SimpleNamespace(name="chat", llm=llm)
    context: Any = SimpleNamespace(model="smollm2-135m")
    with view:
        view.began("R1", GOAL, driver, context, Budget())
        view.thinking(1)
        view.said(WORDS)
        view.called(1, CALL, Spent(experiments=1))
        view.progress("ablation", 1, 10)
        view.answered(CALL, Answer("no", {"id": "E1", "found": WORDS}))
        view.answered(CALL, Answer(f"H1 is recorded\n{WORDS}", {"id": "H1", "predictions": []}))


def shown(width: int, terminal: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    watch(Moving(console) if terminal else View(console))
    return console.file.getvalue().split("\n")  # pyright: ignore[reportAttributeAccessIssue]


def drawn(width: int) -> list[str]:
    """Without what moves and is taken away again."""
    rows = [re.sub(r"\x1b\[[\d?]*[A-Za-z]|\r", "", row) for row in shown(width)]
    return [row for row in rows if "━" not in row]


@pytest.mark.parametrize("width", [80, 120])
def test_rows_fit_and_break_between_words(width: int) -> None:
    rows = drawn(width)
    assert max(map(len, rows)) <= width
    assert max(map(len, rows)) > width - 20
    given = set(f"{GOAL} {WORDS}".split()) - {"\x1b[2J"}
    assert given - set(" ".join(rows).split()) == set()
    assert "\x1b[2J" not in "".join(shown(width))
    # What goes on below a call or a result stands under its first word.
    at = next(i for i, row in enumerate(rows) if row.startswith("   E1 "))
    assert re.match(r" {3}\S", rows[at + 1])


def test_the_budget_stands_whole_beside_a_call_or_below_it() -> None:
    budget = "1/40 experiments · 0.0/30 min"
    for width in (80, 120):
        (row,) = [row for row in drawn(width) if budget in row]
        assert (row.strip() == budget) == (width == 80)


def test_a_pipe_has_one_line_for_each_thing() -> None:
    lines = shown(80, terminal=False)
    assert sum(len(line) > 200 for line in lines) == 3
    assert not any("\x1b" in line for line in lines)


def test_a_language_model_that_thinks_is_seen_to_and_a_protocol_is_not() -> None:
    for llm in ("gpt-9", ""):
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
        view = Moving(console)
        driver: Any = SimpleNamespace(name="chat", llm=llm)
        context: Any = SimpleNamespace(model="smollm2-135m")
        with view:
            view.began("R1", "Which?", driver, context, Budget())
            view.thinking(1)
            time.sleep(0.15)
        said: str = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
        assert ("gpt-9 is thinking" in said) == bool(llm)
        # The cursor that was hidden is there again, and the row is gone.
        assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == bool(llm)
        assert not llm or said.endswith("\x1b[1A\x1b[2K")
