"""The last lines of a study in the terminal: how it ended, where its report is, and what to look at next."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ...tools.workbench.context import Context
    from ..study.loop import Ending


def finish(context: Context, ending: Ending, reports: str) -> None:
    from ...tools.claims.in_short import in_short
    from ...tools.report.beside import found_in
    from ...tools.report.escape import one_line
    from ...tools.report.study import read_study
    from .report import write_files

    assert context.run is not None
    if ending.status == "stopped":
        click.echo(f"\nStopped. Resume with: agent resume R{context.run}", err=True)
        return
    path = write_files(context.reader, context.run, reports)
    words = {"finished": "The study is finished.", "budget": "The budget is spent.",
             "interrupted": "Stopped.", "failed": "The study ended early."}  # fmt: skip
    said, why = words[ending.status], ending.why or ""
    # "The budget is spent" and "Stopped by the user" already say how it ended.
    says_how = why and ending.status in ("budget", "interrupted")
    click.echo("\n" + (why if says_how else f"{said} {why}".rstrip()), err=True)
    click.echo(f"Report: {path}", err=True)
    study = read_study(context.reader, context.run)
    if answer := in_short(study, found_in(study)):
        click.echo(f"\n{fill(one_line(answer), 100)}\n", err=True)
    done = [e.id for e in context.reader.experiments(run=context.run) if e.status == "done"]
    again = f"    agent replay {done[-1]}" if done else ""
    click.echo(f"Next: agent findings R{context.run}    agent show R{context.run}{again}", err=True)
    if (parent := context.reader.run(context.run).parent) is not None:
        click.echo(f"Compare: agent diff {parent} R{context.run}", err=True)
