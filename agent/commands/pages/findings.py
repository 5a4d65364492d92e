"""How the findings of a study are shown in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ....tools.report.escape import one_line
from .style import indented

STYLES = {"confirmed": "green", "supported": "green", "refuted": "red", "undecided": "yellow"}


def show_findings(console: Console, data: dict[str, Any]) -> None:
    """Print the answer as sentences, then the question of each claim, its answer, and what that rests on."""
    if data["in_short"]:
        console.print(Text(one_line(data["in_short"])))
        console.print()
    for one in data["answers"]:
        console.print(Text(one_line(one["question"]), style="bold"))
        for sentence in one["sentences"]:
            console.print(indented(sentence))
        console.print()
    for one in data["findings"]:
        style = "dim" if one["explored"] else STYLES.get(one["verdict"], "dim")
        console.print(Text(one_line(one["question"]), style="bold").append(f"  {one['answer']}", style=style))
        console.print(indented(one["grounds"]))
        where = ", ".join(one["experiments"])
        if where:
            console.print(indented(f"from {where}", style="dim"))
