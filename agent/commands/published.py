"""`agent check-published`: do our instruments reproduce published results?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .one_line_errors import one_line

if TYPE_CHECKING:
    from ...tools.workbench.published import Held, Trial


@click.command("check-published")
@click.option("--model", default="gpt2", show_default=True, help="GPT-2 small: a Hub id, or its folder.")
@click.option("--json", "as_json", is_flag=True, help="Print every check as JSON.")
def check_published(model: str, as_json: bool) -> None:
    """Repeat published measurements on GPT-2 small with Lashley's experiments, and compare: induction, IOI,
    greater-than, copy suppression.

    Takes some minutes on a CPU, and downloads 550 MB the first time. Logs nothing. Exit code 0 if all agree.
    """
    from ...tools.workbench.published import hold, trials

    with one_line():
        found = list(hold(model, trials(), lambda trial: say(trial)))
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
    else:
        show(found)
    raise click.exceptions.Exit(0 if all(one.state == "agrees" for one in found) else 1)


def say(trial: Trial) -> None:
    click.echo(f"{trial.kind} on {trial.config['task']} ...", err=True)


def show(found: list[Held]) -> None:
    from rich.table import Table

    from .pages.style import console, indented, plain

    out = console()
    for source, about in dict.fromkeys((one.source, one.about) for one in found):
        out.print(plain(source, "bold"))
        out.print(indented(about))
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for one in found:
            if (one.source, one.about) == (source, about):
                value = "-" if one.value is None else f"{one.value:.3g}"
                wanted = f"{one.check.bounds} ({one.check.published})"
                table.add_row(*map(plain, (f"  {one.state}", one.check.quantity, value, wanted)))
        out.print(table)
        for why in dict.fromkeys(one.why for one in found if one.why and (one.source, one.about) == (source, about)):
            out.print(indented(why))
    agree = sum(one.state == "agrees" for one in found)
    click.echo(f"{agree} of {len(found)} agree.")
