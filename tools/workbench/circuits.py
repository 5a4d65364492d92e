"""Stored circuits: as what an experiment found."""

from __future__ import annotations

from ...db import records
from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import as_json
from ...experiments.result import Circuit

# What the tracker adds to a circuit.
_ADDED = ("id", "experiment", "model", "fingerprint", "task", "created")


def circuits_of(reader: Reader, row: records.Experiment) -> list[records.Circuit]:
    """The circuits of an experiment with their edges."""
    return [reader.circuit(parse_id(one.id)[1]) for one in row.circuits]


def as_found(circuit: records.Circuit) -> Circuit:
    """The circuit as the experiment found it."""
    return Circuit.model_validate({name: value for name, value in as_json(circuit).items() if name not in _ADDED})
