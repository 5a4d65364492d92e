"""A tracker with a row of everything in it, and the hand of somebody who changes the file behind the program's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlite_utils import Database

from lashley.db import migrations, schema
from lashley.db.errors import TrackerError
from lashley.db.seals import linked
from lashley.db.write.store import Store
from lashley.experiments.prediction import Prediction, judge
from lashley.experiments.result import Circuit, CircuitEdge, Effect, Figure, Measurement, Note, Result, Sample

T = TypeVar("T")
SOURCE = """# Which heads add

Without {{E1.top}} the loss rises by {{E1.effect[L7.H3]}}, and accuracy falls by {{E1.accuracy_drop}}.

{{E1.figure}}

{{E1.table}}
"""
ENVIRONMENT = {"python": "3.11", "threads": 2}
EXPERIMENT: dict[str, Any] = {
    "kind": "head_ablation",
    "model": "tiny",
    "task": "arithmetic",
    "split": "explore",
    "n": 8,
    "config": {"kind": "head_ablation", "task": "arithmetic", "method": "zero", "n": 8},
    "config_hash": "c1",
    "subject": {"name": "tiny", "fingerprint": "f1" * 8, "architecture": "llama", "anatomy": {"n_layers": 8}},
    "task_fingerprint": "t1",
    "code_version": "0.1.0",
    "environment": ENVIRONMENT,
}
RUN: dict[str, Any] = {
    "goal": "Which heads add?",
    "driver": "autopilot",
    "llm": None,
    "model": "tiny",
    "task": "arithmetic",
    "seed": 0,
    "budget": {"experiments": 40},
    "environment": ENVIRONMENT,
}


def found() -> Result:
    return Result(
        measurements=(Measurement(name="accuracy_drop", value=0.31, low=0.22, high=0.4, n=8),),
        effects=(
            Effect(site="L7.H3", metric="loss", value=0.3125, low=0.22, high=0.4, n=8, p=1e-4, q=2e-4),
            Effect(site="L0.H1", metric="loss", value=0.1, low=-0.1, high=0.3, n=8, p=0.4, q=0.4),
        ),
        samples=(Sample(prompt="2 + 3 =", expected=" 5", said=" 5", changed=" 7", condition="L7.H3 zero"),),
        figures=(
            Figure(
                name="layers",
                kind="layer_bars",
                title="Each layer",
                unit="nats",
                n=8,
                data={"labels": ["L0", "L7"], "values": [0.1, 0.3]},
            ),
        ),
        circuits=(
            Circuit(
                method="eap_ig",
                ranking="absolute",
                replacement="corrupted",
                metric="logit_diff",
                size=3,
                possible=40,
                members=("embed", "L7.H3"),
                faithfulness=0.9,
                low=0.8,
                high=1.0,
                n=8,
                edges=(
                    CircuitEdge(sender="L7.H3", receiver="logits", share=-0.8, measured=True),
                    CircuitEdge(sender="embed", receiver="L7.H3.v", share=-0.7, measured=True),
                    CircuitEdge(sender="embed", receiver="logits", share=0.1, measured=False),
                ),
            ),
        ),
        found="L7.H3 is the strongest site.",
        notes=(Note(code="zero", text="Zero ablation leaves the distribution that the model was trained on."),),
    )


def recorded(path: Path, source: str = SOURCE) -> Path:
    """R1 with E1 (done), E2 (failed) and E3 (killed), H1, a note and a report; E4 by hand; R2
    reuses E1, predicts in H2 what E5 then shows, was stopped, and taken up again."""
    with Store.open(path) as store:
        run = store.begin_run(**RUN)
        turn = store.add_turn(run, 0, "user", {"text": "begin"})
        asked = {"type": "needed", "task": EXPERIMENT["task"], "among": "heads"}
        store.add_questions(run, [(asked, "Which heads does it need?", "goal")])
        one = store.begin_experiment(run=run, turn=turn, reason="to see", **EXPERIMENT)
        store.finish_experiment(one, found().model_dump(), 2.5, {"loss.npy": ("application/octet-stream", b"\x01\x02")})
        store.fail_experiment(store.begin_experiment(run=run, **EXPERIMENT), "BadTask", "There is none.", 0.1)
        store.begin_experiment(run=run, **EXPERIMENT)
        store.add_turn(run, 1, "assistant", {"text": "what next"}, tokens_in=10, tokens_out=3, seconds=0.5)
        store.add_turn(run, 2, "tool", {"text": "an answer"})
        store.add_note(run, "Heads", "L7.H3 adds.", ["heads"], [one])
        hypothesis = store.add_hypothesis(run, "One head adds.", "It is strong.", "Its effect is below 0.1.")
        store.set_hypothesis_status(hypothesis, "supported", "It does.", [one])
        store.add_report(run, source)
        store.finish_run(run, status="finished", spent={"experiments": 3})
        by_hand = store.begin_experiment(run=None, **EXPERIMENT)
        store.finish_experiment(by_hand, found().model_dump(), 1.0)
        store.save_task_file("mine", "t2", '{"text": "a", "answer": " b"}')
        other = store.begin_run(**RUN)
        store.reuse_experiment(other, one, "to know")
        config = {**EXPERIMENT["config"], "split": "confirm", "seed": 2}
        expected = Prediction(
            kind=EXPERIMENT["kind"], config=config, quantity="accuracy_drop", comparison="above", low=0.1
        )
        predicted = store.add_hypothesis(other, "It adds.", "", "", [expected.model_dump()], hypothesis)
        test = store.begin_experiment(run=other, **{**EXPERIMENT, "split": "confirm", "config": config})
        store.finish_experiment(test, found().model_dump(), 1.0)
        judged = judge(expected, 0.31, (0.22, 0.4), 8, EXPERIMENT["n"])
        store.add_judgement(1, test, judged.model_dump())
        store.set_hypothesis_status(predicted, "supported", "It does.", [test])
        store.add_note(other, "Seen", "It was known.", [], [one])
        store.tell(other, "Look at layer 0, too.")
    with Store.open(path) as store:
        store.resume_run(other, ENVIRONMENT)
    return path


def made(record: type[T], **given: Any) -> T:
    """A record with these fields; the others are None."""
    return record(**{**dict.fromkeys(record._fields), **given})  # pyright: ignore[reportAttributeAccessIssue]


def older(path: Path, beside: Path) -> Path:
    """The same rows at `beside`, in a file that was made before there were seals."""
    with closing(sqlite3.connect(beside, isolation_level=None)) as connection:
        migrations.step("001_first_tables")(Database(connection))
        connection.execute("ATTACH ? AS new", [str(path)])
        tables = (
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND NOT (name GLOB '*_fts*' OR name GLOB 'sqlite_*')"
        )
        for (table,) in connection.execute(tables).fetchall():
            named = connection.execute("SELECT group_concat(name) FROM pragma_table_info(?)", [table]).fetchone()[0]
            connection.execute(f"INSERT INTO {table} ({named}) SELECT {named} FROM new.{table}")
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
    return beside


def tamper(path: Path, *statements: str | tuple[str, Sequence[Any]]) -> None:
    """Changes the file with every trigger taken away, and puts them back, as somebody would who wants to hide it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))
        for _, sql in triggers:
            connection.execute(sql)


def chain_anew(path: Path, run: int) -> None:
    """Computes the whole chain of a run again from the digests that stand in its seals."""
    with closing(sqlite3.connect(path)) as connection:
        seals = connection.execute("SELECT id, sha256 FROM seals WHERE run = ? ORDER BY id", [run]).fetchall()
    chain, updates = "", list[tuple[str, Sequence[Any]]]()
    for id, sha256 in seals:
        chain = linked(chain, sha256)
        updates.append(("UPDATE seals SET chain = ? WHERE id = ?", [chain, id]))
    tamper(path, *updates)


def rows(path: Path, sql: str) -> list[Any]:
    """What the file itself holds, or a change behind the tracker's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def one_line(error: pytest.ExceptionInfo[TrackerError], *needed: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in needed:
        assert part in text
