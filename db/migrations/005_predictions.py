"""Predictions, recorded before their experiments, and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep, refuse

if TYPE_CHECKING:
    from sqlite_utils import Database


def predictions(db: Database) -> None:
    """Predictions about experiments, recorded before they run, and their results. Neither can be changed."""
    db.executescript("""
        ALTER TABLE hypotheses ADD COLUMN revises INTEGER REFERENCES hypotheses (id);
        ALTER TABLE runs ADD COLUMN reviews INTEGER REFERENCES runs (id);
        ALTER TABLE reports ADD COLUMN claims TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(claims));

        CREATE TABLE predictions (
            id INTEGER PRIMARY KEY,
            hypothesis INTEGER NOT NULL REFERENCES hypotheses (id),
            kind TEXT NOT NULL,
            config TEXT NOT NULL CHECK (json_valid(config)),
            quantity TEXT NOT NULL,
            comparison TEXT NOT NULL CHECK (comparison IN ('above', 'below', 'between', 'beyond_control')),
            low REAL,
            high REAL,
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX predictions_of_hypothesis ON predictions (hypothesis);

        CREATE TABLE judgements (
            prediction INTEGER PRIMARY KEY REFERENCES predictions (id),
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            value REAL NOT NULL,
            low REAL,
            high REAL,
            n INTEGER,
            p REAL NOT NULL,
            side TEXT NOT NULL CHECK (side IN ('for', 'against', 'neither')),
            created TEXT NOT NULL
        ) STRICT;

        -- Every comparison of an edited model with the intact one that is in the file, by what it was made for.
        CREATE VIEW ledger AS
        SELECT s.name AS model, s.fingerprint, e.task, e.kind, count(DISTINCT e.id) AS experiments,
            count(f.id) AS comparisons, sum(f.q < 0.05) AS significant
        FROM experiments AS e JOIN subjects AS s ON s.id = e.subject JOIN effects AS f ON f.experiment = e.id
        WHERE e.status = 'done' GROUP BY s.id, e.task, e.kind;

        CREATE TRIGGER predictions_precede BEFORE INSERT ON predictions
        WHEN EXISTS (SELECT 1 FROM judgements AS j JOIN predictions AS p ON p.id = j.prediction
                     WHERE p.hypothesis = new.hypothesis) BEGIN
            SELECT RAISE (ABORT, 'a hypothesis that has been tested takes no more predictions');
        END;
        CREATE TRIGGER judgements_follow BEFORE INSERT ON judgements
        WHEN (SELECT started FROM experiments WHERE id = new.experiment)
             < (SELECT created FROM predictions WHERE id = new.prediction) BEGIN
            SELECT RAISE (ABORT, 'the experiment is older than the prediction, so it cannot test it');
        END;
    """)
    refuse(db, "hypotheses_revises", "UPDATE OF revises ON hypotheses", "a hypothesis stays as it was stated")
    refuse(db, "runs_reviews", "UPDATE OF reviews ON runs", "what a run began with cannot be changed")
    keep(db, "predictions", "a prediction is frozen once it is recorded")
    keep(db, "judgements", "what came of a prediction cannot be changed", key="prediction")
