"""The rank of an effect among the effects of matched random sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def effects_beside_controls(db: Database) -> None:
    """The rank of an effect among matched random sites, and its p among all effects of its experiment."""
    db.executescript("""
        ALTER TABLE effects ADD COLUMN percentile REAL;
        ALTER TABLE effects ADD COLUMN p_max REAL;

        DROP VIEW top_effects;
        CREATE VIEW top_effects AS
        SELECT 'E' || e.id AS experiment, 'R' || e.run AS run, e.kind, e.model, e.task, e.split,
            row_number() OVER (PARTITION BY f.experiment, f.metric ORDER BY abs(f.value) DESC, f.id) AS place,
            f.site, f.metric, f.value, f.low, f.high, f.n, f.p, f.q, f.percentile, f.p_max
        FROM effects AS f JOIN experiments AS e ON e.id = f.experiment;
    """)
