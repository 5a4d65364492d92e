"""How a study looks in a terminal: one line per step, with the decision and the result.

With `everything`, the whole conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ....db.records import Hypothesis, Run, Turn
from ....tools.evidence.verdict import Verdicts, spoken, verdicts
from ....tools.report.plain_text import cut, lasted, minute, since
from ....tools.report.spent import budget_text, spent_text
from ...study.story import on_one_line, steps_of
from .lists import how_to_resume, print_note
from .style import indented, on, one_row, plain, print_facts, print_heading, print_title


def print_run(console: Console, run: Run, everything: bool = False) -> None:
    print_title(console, run.id, run.status, f"{minute(run.started)} {lasted(run.started, run.ended)}")
    seed = "" if run.seed is None else f", seed {run.seed}"
    print_facts(
        console,
        ("goal", run.goal),
        ("asks", "\n".join(one.text for one in run.questions)),
        ("who", f"{run.driver}{' (' + run.llm + ')' if run.llm else ', no language model'}{seed}"),
        ("on", on(run.model, ", ".join(dict.fromkeys(e.task for e in run.experiments if e.task)) or run.task)),
        ("budget", budget_text(run.budget)),
        ("spent", spent_text(run)),
        ("error", run.error),
        ("forked from", run.parent and f"{run.parent} at step {run.forked_at}"),
        ("forks", ", ".join(run.forks)),
        ("reviews", run.reviews),
        ("reviewed", ", ".join(run.reviewed_by)),
        ("unread messages", "\n".join(run.waiting)),
        ("resumed", ", ".join(minute(at) for at in run.resumed)),
    )
    found = verdicts(run.hypotheses)
    if everything:
        print_heading(console, "Conversation")
        for turn in run.turns:
            _print_turn(console, run, turn)
        for hypothesis in run.hypotheses:
            console.print()
            console.print(plain(f"{hypothesis.id} {spoken(hypothesis, found)}", "bold"))
            console.print(indented(f"{on_one_line(hypothesis.statement)} (agent show {hypothesis.id})"))
    else:
        print_heading(console, "Steps")
        if run.parent:
            shared = f"Steps 1 to {run.forked_at} are those of {run.parent}: agent show {run.parent}"
            console.print(indented(shared, "dim"))
        _print_steps(console, run)
        _print_verdicts(console, run.hypotheses, found)
    for note in run.notes:
        console.print()
        print_note(console, note)
    print_heading(console, "Report")
    console.print(indented(_report(run)))
    if run.status == "stopped":
        console.print(indented(how_to_resume(run.id)))
    if not everything:
        console.print(indented(f"agent show {run.id} --all prints the whole conversation.", "dim"))


def _report(run: Run) -> str:
    page = Path("reports") / run.id / "report.html"
    if page.is_file():
        return f"{page}   (agent report {run.id} renders it again)"
    return f"agent report {run.id} writes it" + ("" if run.report is not None else ", from what was found so far")


def _print_steps(console: Console, run: Run) -> None:
    """Time, id, decision and result: one row of the terminal per step."""
    for at, name, decided, found in steps_of(run):
        room = console.width - 14
        words = cut(decided, max(12, room * 9 // 20 if found else room))
        arrow = " → " if words and found else ""
        console.print(one_row(f"{since(run.started, at):>5}  {name:<5}  {words}{arrow}{found}", console.width))


def _print_verdicts(console: Console, hypotheses: Sequence[Hypothesis], found: Verdicts) -> None:
    if hypotheses:
        print_heading(console, "Hypotheses")
    for h in hypotheses:
        console.print(indented(f"{h.id} {spoken(h, found)}: {on_one_line(h.statement)}"))
        for event in h.events[-1:]:
            cited = f" ({', '.join(event.experiments)})" if event.experiments else ""
            if event.comment:
                console.print(indented(f"   {on_one_line(event.comment)}{cited}", "dim"))


def _print_turn(console: Console, run: Run, turn: Turn) -> None:
    content = turn.content
    console.print(plain(f"{since(run.started, turn.created)}  step {turn.step}  {turn.role}", "bold"))
    if content.get("text"):
        console.print(indented(content["text"]))
    for one in content.get("mended", ()):
        console.print(indented(f"repaired: {one['what']}", "dim"))
        if one["was"]:
            console.print(indented(f"original: {one['was']}", "dim"))
    for call in content.get("calls", ()):
        console.print(indented(f"→ {call['name']} {call['arguments']}", "cyan"))
