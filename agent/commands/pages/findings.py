"""How the findings of a study are shown in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ....tools.report.escape import one_line

STYLES = {"confirmed": "green", "supported": "green", "refuted": "red", "undecided": "yellow"}


def show_findings(console: Console, data: dict[str, Any]) -> None:
    """Print the answer as sentences, then each finding after its verdict."""
    for one in data["answers"]:
        console.print(Text(one_line(one["question"]), style="bold"))
        for sentence in one["sentences"]:
            console.print(Text(f"  {one_line(sentence)}"))
        console.print()
    for one in data["findings"]:
        verdict = Text(one["verdict"], style=STYLES.get(one["verdict"], "dim"))
        console.print(verdict.append(f"  {one_line(one['text'])}", style="default"))
        where = ", ".join(one["experiments"])
        if where:
            console.print(Text(f"  from {where}", style="dim"))
