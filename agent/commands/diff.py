"""`agent diff`: compare two runs, two experiments or two circuits side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .browse import Read, browses

if TYPE_CHECKING:
    from ...db.read.reader import Reader


@click.command()
@click.argument("one", metavar="ID")
@click.argument("other", metavar="ID")
@click.option("--all", "everything", is_flag=True, help="Show every effect or edge, not only the largest.")
@browses
def diff(reader: Reader, one: str, other: str, everything: bool) -> Read:
    """Compare two runs (R3 R4), two experiments (E12 E19) or two circuits (C1 C2).

    For runs: settings, steps up to the first difference, experiments, verdicts and claims. For experiments: settings,
    and every number with its interval, compared prompt by prompt if both used the same prompts. For circuits: the edges
    that they share, those of only one, and how likely it is to share so many by chance.
    """
    from ...db.errors import TrackerError
    from ...db.ids import parse_id
    from ...tools.workbench.difference import experiment_difference, run_difference

    (what, first), (what_too, second) = parse_id(one), parse_id(other)
    if what != what_too or what not in ("run", "experiment", "circuit"):
        raise TrackerError(
            f"Give two runs, two experiments or two circuits, such as R3 R4, E12 E19 or C1 C2, not {one} {other}."
        )
    if what == "circuit":
        from ...tools.workbench.circuit_difference import circuit_difference

        return Read(
            circuit_difference(reader, first, second), ("pages.circuits", "print_circuit_difference"), everything
        )
    if what == "run":
        return Read(run_difference(reader, first, second), ("pages.diff", "print_run_difference"), everything)
    return Read(experiment_difference(reader, first, second), ("pages.diff", "print_experiment_difference"), everything)
