"""A study in the tracker, in Python: its report, hypotheses and experiments as objects."""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from ...db import records
from ...db.ids import parse_id, show_id
from ...db.read.reader import Reader
from ...experiments.result import Frozen
from .found import Logged

if TYPE_CHECKING:
    from ..report.render import Report


class Prediction(Frozen):
    """A result that was predicted before the experiment ran: its `config`, a `quantity`, and a `comparison` with `low`
    and `high`. After the test: the `experiment` that tested it, and the measured `value`."""

    kind: str
    config: dict[str, Any]
    quantity: str
    comparison: str
    low: float | None
    high: float | None
    experiment: str | None = None
    value: float | None = None


class Hypothesis(Frozen):
    """An expectation and its verdict. `status` is open, supported, refuted or inconclusive; the program decides it from
    the predictions."""

    id: str
    statement: str
    rationale: str
    refuted_if: str
    status: str
    predictions: tuple[Prediction, ...]


class Study:
    """A study: `status` says how it ended (finished, budget, interrupted, failed or stopped), and `why` gives the
    reason, if any. A notebook shows its report."""

    def __init__(self, reader: Reader, number: int) -> None:
        self._reader, self._number = reader, number
        self._run = reader.run(number)

    def __repr__(self) -> str:
        return f"<{self.id} {self.goal!r}: {self.status}>"

    @property
    def id(self) -> str:
        return show_id("run", self._number)

    @property
    def goal(self) -> str:
        return self._run.goal

    @property
    def status(self) -> str:
        return self._run.status

    @property
    def why(self) -> str | None:
        return self._run.error

    @property
    def model(self) -> str | None:
        return self._run.model

    @property
    def task(self) -> str | None:
        return self._run.task

    @cached_property
    def report(self) -> Report:
        """The report as the command writes it: `markdown`, `html` and `figures` (SVG by name)."""
        from ..report.render import render_run

        return render_run(self._reader, self._number)

    @property
    def experiments(self) -> list[Logged]:
        """Its own experiments, and those of other studies that it reused."""
        rows = self._reader.experiments(run=self._number)
        return [Logged(self._reader, parse_id(row.id)[1]) for row in rows]

    @property
    def hypotheses(self) -> list[Hypothesis]:
        return [hypothesis(row) for row in self._run.hypotheses]

    def _repr_html_(self) -> str:
        """The report in a sandboxed frame, in which no script runs."""
        return f'<iframe sandbox srcdoc="{escape(self.report.html)}" width="100%" height="640"></iframe>'


def hypothesis(row: records.Hypothesis) -> Hypothesis:
    """The hypothesis of a row of the tracker."""
    predictions: list[Prediction] = []
    for one in row.predictions:
        came = one.judged
        predictions.append(
            Prediction(
                kind=one.kind, config=dict(one.config), quantity=one.quantity, comparison=one.comparison, low=one.low,
                high=one.high, experiment=came and came.experiment, value=came and came.value,
            )
        )  # fmt: skip
    return Hypothesis(
        id=row.id, statement=row.statement, rationale=row.rationale, refuted_if=row.refuted_if, status=row.status,
        predictions=tuple(predictions),
    )  # fmt: skip
