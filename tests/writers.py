"""Writers of one tracker who do what chance says, and the laws that hold of the file whatever they did.

Every deed is done to the tracker and to a plain model of it; what the model says cannot be done must be refused, and
change nothing. `python -m lashley.tests.writers FILE SEED DEEDS` is one such writer in a process of its own, which
prints its model.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lashley.db import schema
from lashley.db.errors import TrackerError
from lashley.db.ids import show_id
from lashley.db.read.reader import Reader
from lashley.db.seals import Seals
from lashley.db.write.store import Store
from lashley.experiments.result import Effect
from lashley.tests.recorded import EXPERIMENT, RUN, found

EFFECT = found().effects[0].model_dump()


@dataclass
class Model:
    """What is in the tracker, by numbers: the status of each run, its turns, and so on. An experiment is (run, status,
    how many effects); a hypothesis is the list of its statuses."""

    runs: dict[int, str] = field(default_factory=dict)
    turns: dict[int, list[str]] = field(default_factory=dict)
    reports: dict[int, int] = field(default_factory=dict)
    experiments: dict[int, tuple[int | None, str, int]] = field(default_factory=dict)
    notes: dict[int, tuple[int | None, list[str]]] = field(default_factory=dict)
    hypotheses: dict[int, list[str]] = field(default_factory=dict)

    def new(self, rows: dict[int, Any], number: int, row: Any) -> None:
        assert number not in rows, f"{number} was given out twice"
        rows[number] = row


def one_of(numbers: Sequence[int], pick: int) -> int | None:
    return sorted(numbers)[pick % len(numbers)] if numbers else None


def begin_run(store: Store, model: Model, pick: int) -> None:
    run = store.begin_run(**RUN, opening={"role": "user", "text": "begin"})
    model.new(model.runs, run, "running")
    model.turns[run] = ["begin"]


def add_turn(store: Store, model: Model, pick: int) -> None:
    if (run := one_of([*model.runs], pick)) is not None:
        store.add_turn(run, pick, "assistant", {"text": f"turn {pick}"}, tokens_in=pick, cost=pick / 1e6)
        model.turns[run].append(f"turn {pick}")


def begin_experiment(store: Store, model: Model, pick: int) -> None:
    run = one_of([*model.runs], pick) if pick % 4 else None
    number = store.begin_experiment(run=run, **{**EXPERIMENT, "config_hash": f"c{pick % 5}"})
    model.new(model.experiments, number, (run, "running", 0))


def end_experiment(store: Store, model: Model, pick: int) -> None:
    if (number := one_of([*model.experiments], pick)) is None:
        return
    run, status, _ = model.experiments[number]
    effects = [Effect(**{**EFFECT, "site": f"L{i}.H0"}).model_dump() for i in range(pick % 7)]
    ok, result = bool(pick % 3), {**found().model_dump(), "effects": effects}

    def end() -> None:
        if ok:
            store.finish_experiment(number, result, 1.0, {"a.npy": ("x", b"12")})
        else:
            store.fail_experiment(number, "BadTask", "There is none.", 1.0)

    if status != "running":
        refused(end)
    else:
        end()
        model.experiments[number] = (run, "done" if ok else "failed", len(effects) if ok else 0)


def add_note(store: Store, model: Model, pick: int) -> None:
    cited = [number for number in sorted(model.experiments) if (number + pick) % 3 == 0]
    run = one_of([*model.runs], pick)
    number = store.add_note(run, f"Note {pick}", "Heads.", ["x"], cited)
    model.new(model.notes, number, (run, [show_id("experiment", one) for one in cited]))
    missing = max(model.experiments, default=0) + 10**6
    refused(lambda: store.add_note(run, "Note", "Heads.", [], [missing]))


def add_hypothesis(store: Store, model: Model, pick: int) -> None:
    number = store.add_hypothesis(one_of([*model.runs], pick), f"Statement {pick}", "", "")
    model.new(model.hypotheses, number, ["open"])


def judge(store: Store, model: Model, pick: int) -> None:
    if (number := one_of([*model.hypotheses], pick)) is not None:
        status = schema.HYPOTHESIS_STATUSES[pick % 4]
        store.set_hypothesis_status(number, status, "So it is.")
        model.hypotheses[number].append(status)


def reuse(store: Store, model: Model, pick: int) -> None:
    run, experiment = one_of([*model.runs], pick), one_of([*model.experiments], pick // 7)
    if run is not None and experiment is not None:
        store.reuse_experiment(run, experiment, "Again.")


def report(store: Store, model: Model, pick: int) -> None:
    if (run := one_of([*model.runs], pick)) is not None:
        store.add_report(run, f"# Report {pick}")
        model.reports[run] = model.reports.get(run, 0) + 1


def end_run(store: Store, model: Model, pick: int) -> None:
    if (run := one_of([*model.runs], pick)) is None:
        return
    if model.runs[run] != "running":
        refused(lambda: store.finish_run(run, status="failed", spent={}))
    else:
        model.runs[run] = schema.RUN_STATUSES[1 + pick % 4]
        store.finish_run(run, status=model.runs[run], spent={"steps": pick})


def take_up(store: Store, model: Model, pick: int) -> None:
    """Both writers are alive, so no run of theirs can be taken from them."""
    if (run := one_of([*model.runs], pick)) is not None:
        refused(lambda: store.resume_run(run, {}))


DEEDS: tuple[Callable[[Store, Model, int], None], ...] = (
    begin_run, add_turn, begin_experiment, end_experiment, end_experiment, add_note, add_hypothesis, judge, reuse,
    report, end_run, take_up,
)  # fmt: skip


def refused(deed: Callable[[], object]) -> None:
    with pytest.raises(TrackerError):
        deed()


def check(path: Path, models: Sequence[Model]) -> None:
    """The laws: the file is whole, sealed without a gap, and holds what the models hold, no more and no less."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert schema.altered(connection) == []
        seals = Seals(connection)
        assert seals.check_chains() == []
        for run in seals.runs():
            checked = seals.check(run)
            assert (checked.differences, checked.older) == ((), 0)
        notes = [n for (n,) in connection.execute("SELECT rowid FROM notes_fts WHERE notes_fts MATCH 'note'")]
    with Reader.open(path) as reader:
        there = {int(e.id[1:]): e for e in reader.experiments()}
        numbers = {
            "runs": [int(row.id[1:]) for row in reader.runs()],
            "experiments": list(there),
            "notes": [int(note.id[1:]) for note in reader.notes()],
            "hypotheses": [int(h.id[1:]) for h in reader.hypotheses()],
        }
        for what, held in numbers.items():
            given = [number for model in models for number in getattr(model, what)]
            assert sorted(given) == sorted(held) == list(range(1, len(held) + 1)), what
        assert sorted(notes) == sorted(numbers["notes"])
        for model in models:
            for run, status in model.runs.items():
                row = reader.run(run)
                assert row.status == status if status != "running" else row.status in ("running", "stopped")
                assert [t.content["text"] for t in reader.turns(run)] == model.turns[run]
                wrote = reader.query(f"SELECT count(*) FROM reports WHERE run = {run}")[1]
                assert wrote == [[model.reports.get(run, 0)]]
            for number, (run, status, effects) in model.experiments.items():
                row = reader.experiment(number)
                assert row.run == (None if run is None else show_id("run", run))
                assert row.status == status if status != "running" else row.status in ("running", "interrupted")
                held = len(row.effects), len(row.measurements), len(row.artifacts)
                assert held == ((effects, 1, 1) if status == "done" else (0, 0, 0))
            for number, (run, cited) in model.notes.items():
                note = reader.note(number)
                assert (note.run, note.experiments) == (None if run is None else show_id("run", run), cited)
            for number, statuses in model.hypotheses.items():
                row = reader.hypothesis(number)
                assert [event.status for event in row.events] == statuses
                assert row.status == statuses[-1]


def main() -> None:
    path, seed, deeds = sys.argv[1:]
    chance, model = random.Random(int(seed)), Model()
    with Store.open(path) as store:
        for _ in range(int(deeds)):
            chance.choice(DEEDS)(store, model, chance.randrange(10**6))
        print(json.dumps(asdict(model)))


def read_model(text: str) -> Model:
    """What `main` printed; JSON makes texts of numbers that are keys."""
    return Model(
        **{name: {int(number): row for number, row in rows.items()} for name, rows in json.loads(text).items()}
    )


if __name__ == "__main__":
    main()
