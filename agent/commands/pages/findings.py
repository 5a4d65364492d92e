"""How the findings of a study are shown in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ....tools.report.escape import one_line

STYLES = {"confirmed": "green", "supported": "green", "refuted": "red", "undecided": "yellow"}


def show_findings(console: Console, data: dict[str, Any]) -> None:
    """The answer as sentences, then each finding after its verdict."""
    for one in data["answers"]:
        console.print(Text(one_line(one["question"]), style="bold"))
        for sentence in one["sentences"]:
            console.print(Text(f"  {one_line(sentence)}"))
        console.print()
    for one in data["findings"]:
        question = Text(one_line(one["question"]), style="bold")
        style = "dim" if one["explored"] else STYLES.get(one["verdict"], "dim")
        console.print(question.append(f"  {one['answer']}", style=style))
        console.print(Text(f"  {one_line(one['text'])}"))
        where = ", ".join(one["experiments"])
        if where:
            console.print(Text(f"  from {where}", style="dim"))
