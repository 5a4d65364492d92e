"""The circuits that experiments found, with an id each: C1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep, refuse

if TYPE_CHECKING:
    from sqlite_utils import Database


def circuits(db: Database) -> None:
    """A circuit of a subject, and its edges. `size` counts its edges, of which the strongest have rows; `possible`
    counts all edges of the subject's graph. `share` is the change without an edge, as a share of the whole."""
    db.executescript("""
        CREATE TABLE circuits (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            subject INTEGER NOT NULL REFERENCES subjects (id),
            task TEXT,
            method TEXT NOT NULL,
            ranking TEXT NOT NULL,
            replacement TEXT NOT NULL,
            metric TEXT NOT NULL,
            size INTEGER NOT NULL,
            possible INTEGER NOT NULL,
            members TEXT NOT NULL CHECK (json_valid(members)),
            faithfulness REAL,
            low REAL,
            high REAL,
            n INTEGER,
            created TEXT NOT NULL,
            CHECK (size BETWEEN 1 AND possible)
        ) STRICT;
        CREATE INDEX circuits_of_experiment ON circuits (experiment);

        CREATE TABLE circuit_edges (
            circuit INTEGER NOT NULL REFERENCES circuits (id),
            sender TEXT NOT NULL,
            receiver TEXT NOT NULL,
            share REAL NOT NULL,
            measured INTEGER NOT NULL CHECK (measured IN (0, 1)),
            PRIMARY KEY (circuit, sender, receiver)
        ) STRICT;
    """)
    final = "an experiment that has ended is final: run another"
    keep(db, "circuits", final)
    keep(db, "circuit_edges", final, key="(circuit, sender, receiver)")
    ended = "(SELECT status FROM experiments WHERE id = {}) != 'running'"
    refuse(db, "circuits_ended", "INSERT ON circuits", final, ended.format("new.experiment"))
    found_by = "(SELECT experiment FROM circuits WHERE id = new.circuit)"
    refuse(db, "circuit_edges_ended", "INSERT ON circuit_edges", final, ended.format(found_by))
