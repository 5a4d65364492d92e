"""Reads circuits: lists, and single ones with their edges."""

from __future__ import annotations

from ..records import Circuit, CircuitEdge, CircuitSummary
from .rows import Reading, every, fields

_OWN = tuple(name for name in fields(Circuit) if name != "edges")
_SUBJECT = {f"{as_}": f"(SELECT {name} FROM subjects WHERE id = circuits.subject)"
            for as_, name in (("model", "name"), ("fingerprint", "fingerprint"))}  # fmt: skip


class CircuitReader(Reading):
    """The circuits that experiments found."""

    def circuits(
        self, task: str | None = None, model: str | None = None, experiment: int | None = None
    ) -> list[CircuitSummary]:
        """Circuits in short: all, or those of a task, a subject (by its name) or an experiment."""
        of_model = "subject IN (SELECT id FROM subjects WHERE name = ?)"
        wanted = {"task = ?": task, of_model: model, "experiment = ?": experiment}
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        source = f"FROM circuits WHERE {every(wanted)} ORDER BY id"
        return self._records(CircuitSummary, source, *wanted.values(), what="circuit", **_SUBJECT)

    def circuits_of(self, experiment: int) -> list[Circuit]:
        """The circuits of an experiment with their edges."""
        return [self.circuit(number) for number in self._values(
            "SELECT id FROM circuits WHERE experiment = ? ORDER BY id", experiment)]  # fmt: skip

    def circuit(self, circuit: int) -> Circuit:
        """One circuit with its edges, the strongest first."""
        row = self._row(Circuit, _OWN, "circuit", circuit, **_SUBJECT)
        of = "FROM circuit_edges WHERE circuit = ? ORDER BY abs(share) DESC, sender, receiver"
        return Circuit(**row, edges=self._records(CircuitEdge, of, circuit))
