"""The first schema: all records of a study, the views for people, and the search over notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def first_tables(db: Database) -> None:
    """The first schema: all records of a study.

    Public ids use AUTOINCREMENT: an id that a report cites must never be reused for another row.
    """
    db.executescript("""
        CREATE TABLE subjects (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            architecture TEXT NOT NULL,
            anatomy TEXT NOT NULL CHECK (json_valid(anatomy)),
            UNIQUE (name, fingerprint)
        ) STRICT;

        CREATE TABLE environments (
            hash TEXT PRIMARY KEY,
            content TEXT NOT NULL CHECK (json_valid(content))
        ) STRICT;

        CREATE TABLE runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            goal TEXT NOT NULL,
            driver TEXT NOT NULL,
            llm TEXT,
            model TEXT,
            task TEXT,
            seed INTEGER,
            status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed', 'interrupted', 'budget')),
            budget TEXT NOT NULL CHECK (json_valid(budget)),
            spent TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(spent)),
            environment TEXT NOT NULL REFERENCES environments (hash),
            started TEXT NOT NULL,
            ended TEXT,
            error TEXT
        ) STRICT;

        CREATE TABLE turns (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            step INTEGER NOT NULL,
            role TEXT NOT NULL,
            content TEXT NOT NULL CHECK (json_valid(content)),
            tokens_in INTEGER,
            tokens_out INTEGER,
            seconds REAL,
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX turns_of_run ON turns (run, step);

        CREATE TABLE experiments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run INTEGER REFERENCES runs (id),
            turn INTEGER REFERENCES turns (id),
            kind TEXT NOT NULL,
            model TEXT NOT NULL,
            task TEXT,
            split TEXT,
            n INTEGER,
            config TEXT NOT NULL CHECK (json_valid(config)),
            config_hash TEXT NOT NULL,
            subject INTEGER NOT NULL REFERENCES subjects (id),
            task_fingerprint TEXT,
            code_version TEXT NOT NULL,
            environment TEXT NOT NULL REFERENCES environments (hash),
            reason TEXT,
            status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed')),
            error_type TEXT,
            error TEXT,
            found TEXT,
            notes TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(notes)),
            started TEXT NOT NULL,
            ended TEXT,
            seconds REAL,
            CHECK ((status = 'running') = (ended IS NULL)),
            CHECK ((status = 'failed') = (error IS NOT NULL))
        ) STRICT;
        CREATE INDEX experiments_of_run ON experiments (run);
        CREATE INDEX experiments_done ON experiments (config_hash, subject) WHERE status = 'done';

        CREATE TABLE measurements (
            id INTEGER PRIMARY KEY,
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            name TEXT NOT NULL,
            value REAL NOT NULL,
            low REAL,
            high REAL,
            n INTEGER,
            unit TEXT NOT NULL,
            UNIQUE (experiment, name)
        ) STRICT;

        CREATE TABLE effects (
            id INTEGER PRIMARY KEY,
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            site TEXT NOT NULL,
            metric TEXT NOT NULL,
            value REAL NOT NULL,
            low REAL NOT NULL,
            high REAL NOT NULL,
            n INTEGER NOT NULL,
            p REAL,
            q REAL
        ) STRICT;
        CREATE INDEX effects_of_experiment ON effects (experiment);

        CREATE TABLE samples (
            id INTEGER PRIMARY KEY,
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            prompt TEXT NOT NULL,
            expected TEXT NOT NULL,
            said TEXT NOT NULL,
            changed TEXT,
            condition TEXT NOT NULL,
            correct INTEGER CHECK (correct IN (0, 1)),
            changed_correct INTEGER CHECK (changed_correct IN (0, 1)),
            failure TEXT
        ) STRICT;
        CREATE INDEX samples_of_experiment ON samples (experiment);

        CREATE TABLE figures (
            id INTEGER PRIMARY KEY,
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            title TEXT NOT NULL,
            unit TEXT NOT NULL,
            n INTEGER NOT NULL,
            data TEXT NOT NULL CHECK (json_valid(data)),
            UNIQUE (experiment, name)
        ) STRICT;

        CREATE TABLE artifacts (
            id INTEGER PRIMARY KEY,
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            name TEXT NOT NULL,
            media_type TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            data BLOB NOT NULL,
            UNIQUE (experiment, name)
        ) STRICT;

        CREATE TABLE notes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run INTEGER REFERENCES runs (id),
            title TEXT NOT NULL,
            text TEXT NOT NULL,
            tags TEXT NOT NULL CHECK (json_valid(tags)),
            experiments TEXT NOT NULL CHECK (json_valid(experiments)),
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX notes_of_run ON notes (run);

        CREATE VIRTUAL TABLE notes_fts USING fts5 (
            title, text, tags, content='notes', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
        );
        CREATE TRIGGER notes_inserted AFTER INSERT ON notes BEGIN
            INSERT INTO notes_fts (rowid, title, text, tags) VALUES (new.id, new.title, new.text, new.tags);
        END;
        CREATE TRIGGER notes_deleted AFTER DELETE ON notes BEGIN
            INSERT INTO notes_fts (notes_fts, rowid, title, text, tags)
            VALUES ('delete', old.id, old.title, old.text, old.tags);
        END;
        CREATE TRIGGER notes_updated AFTER UPDATE ON notes BEGIN
            INSERT INTO notes_fts (notes_fts, rowid, title, text, tags)
            VALUES ('delete', old.id, old.title, old.text, old.tags);
            INSERT INTO notes_fts (rowid, title, text, tags) VALUES (new.id, new.title, new.text, new.tags);
        END;

        CREATE TABLE hypotheses (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run INTEGER REFERENCES runs (id),
            statement TEXT NOT NULL,
            rationale TEXT NOT NULL,
            refuted_if TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('open', 'supported', 'refuted', 'inconclusive')),
            created TEXT NOT NULL,
            updated TEXT NOT NULL
        ) STRICT;
        CREATE INDEX hypotheses_of_run ON hypotheses (run);

        CREATE TABLE hypothesis_events (
            id INTEGER PRIMARY KEY,
            hypothesis INTEGER NOT NULL REFERENCES hypotheses (id),
            status TEXT NOT NULL CHECK (status IN ('open', 'supported', 'refuted', 'inconclusive')),
            comment TEXT NOT NULL,
            experiments TEXT NOT NULL CHECK (json_valid(experiments)),
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX events_of_hypothesis ON hypothesis_events (hypothesis);
        CREATE TRIGGER hypothesis_events_stay BEFORE UPDATE ON hypothesis_events BEGIN
            SELECT RAISE (ABORT, 'the history of a hypothesis is append-only');
        END;
        CREATE TRIGGER hypothesis_events_remain BEFORE DELETE ON hypothesis_events BEGIN
            SELECT RAISE (ABORT, 'the history of a hypothesis is append-only');
        END;

        CREATE TABLE reports (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            source TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX reports_of_run ON reports (run);

        -- Experiments of other runs that answered a question of this one: citable, but no new evidence.
        CREATE TABLE reuses (
            run INTEGER NOT NULL REFERENCES runs (id),
            experiment INTEGER NOT NULL REFERENCES experiments (id),
            reason TEXT,
            turn INTEGER REFERENCES turns (id),
            created TEXT NOT NULL,
            PRIMARY KEY (run, experiment)
        ) STRICT;

        CREATE TABLE task_files (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            content TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX task_files_by_name ON task_files (name);

        CREATE VIEW experiment_summary AS
        SELECT 'E' || e.id AS experiment, 'R' || e.run AS run, e.kind, e.model, e.task, e.split, e.n, e.status,
            e.reason, e.found, e.error,
            (SELECT group_concat(name || '=' || printf('%.4g', value), ', ') FROM measurements
             WHERE experiment = e.id) AS measured,
            (SELECT count(*) FROM effects WHERE experiment = e.id) AS effects,
            e.config, e.started, e.seconds
        FROM experiments AS e;

        CREATE VIEW top_effects AS
        SELECT 'E' || e.id AS experiment, 'R' || e.run AS run, e.kind, e.model, e.task, e.split,
            row_number() OVER (PARTITION BY f.experiment, f.metric ORDER BY abs(f.value) DESC, f.id) AS place,
            f.site, f.metric, f.value, f.low, f.high, f.n, f.p, f.q
        FROM effects AS f JOIN experiments AS e ON e.id = f.experiment;

        CREATE VIEW run_timeline AS
        SELECT 'R' || id AS run, started AS at, 'run' AS what, 'R' || id AS id, goal AS text FROM runs
        UNION ALL
        SELECT 'R' || run, created, 'turn', 'step ' || step,
            role || coalesce(': ' || nullif(substr(json_extract(content, '$.text'), 1, 300), ''), '')
            || coalesce(' -> ' || json_extract(content, '$.calls[0].name'), '')
        FROM turns
        UNION ALL
        SELECT 'R' || run, started, 'experiment', 'E' || id,
            kind || ' ' || status || coalesce(': ' || nullif(coalesce(error, found), ''), '')
        FROM experiments WHERE run IS NOT NULL
        UNION ALL
        SELECT 'R' || run, created, 'note', 'N' || id, title FROM notes WHERE run IS NOT NULL
        UNION ALL
        SELECT 'R' || h.run, v.created, 'hypothesis', 'H' || h.id,
            v.status || ': ' || coalesce(nullif(v.comment, ''), h.statement)
        FROM hypothesis_events AS v JOIN hypotheses AS h ON h.id = v.hypothesis WHERE h.run IS NOT NULL
        UNION ALL
        SELECT 'R' || run, created, 'report', 'R' || run, length(source) || ' characters' FROM reports
        UNION ALL
        SELECT 'R' || id, ended, 'run', 'R' || id, status || coalesce(': ' || error, '') FROM runs
        WHERE ended IS NOT NULL;
    """)
