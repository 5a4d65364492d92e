"""`agent diff`: two runs or two experiments beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .browse import Read, browses

if TYPE_CHECKING:
    from ...db.read.reader import Reader


@click.command()
@click.argument("one", metavar="ID")
@click.argument("other", metavar="ID")
@click.option("--all", "everything", is_flag=True, help="Every effect, and not the largest differences only.")
@browses
def diff(reader: Reader, one: str, other: str, everything: bool) -> Read:
    """Compare two runs (R3 R4) or two experiments (E12 E19).

    Of runs: settings, steps until they part, experiments, verdicts and claims. Of experiments: settings, and every
    number with its interval; prompt by prompt where both asked the same ones.
    """
    from ...db.errors import TrackerError
    from ...db.ids import parse_id
    from ...tools.workbench.difference import experiment_difference, run_difference

    (what, first), (what_too, second) = parse_id(one), parse_id(other)
    if what != what_too or what not in ("run", "experiment"):
        raise TrackerError(f"Two runs or two experiments can be compared, such as R3 R4 or E12 E19, not {one} {other}.")
    if what == "run":
        return Read(run_difference(reader, first, second), ("pages.diff", "print_run_difference"), everything)
    return Read(experiment_difference(reader, first, second), ("pages.diff", "print_experiment_difference"), everything)
