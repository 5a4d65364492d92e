"""Two trackers that differ in what is hidden from a study alone: no query tells them apart."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.db import query
from lashley.db.errors import QueryRefused
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.result import Circuit, CircuitEdge, Effect, Figure, Measurement, Note, Result, Sample

from .recorded import EXPERIMENT, RUN, tamper

SECRET, OTHER = 0.73219841, 0.11886633


def hidden(path: Path) -> Path:
    """R1, with all that can be hidden (a test on held-out prompts, what was said of it), R2 with an experiment."""
    number = {"value": SECRET, "low": SECRET, "high": SECRET, "n": 8}
    with Store.open(path) as store:
        run = store.begin_run(**RUN)
        row = {"kind": "baseline", "config": {"n": 8}, "quantity": "accuracy", "comparison": "above"}
        hypothesis = store.add_hypothesis(run, "a", "b", "c", [{**row, "low": 0.5, "high": None}])
        store.add_turn(run, 0, "tool", {"text": f"secret {SECRET}"})
        result = Result(
            measurements=(Measurement(name="accuracy", **number),),
            effects=(Effect(site="L7.H3", metric="loss", p=SECRET, q=SECRET, **number),),
            samples=(Sample(prompt="secret", expected="secret", said="secret", condition="secret"),),
            figures=(Figure(name="f", kind="layer_bars", title="secret", unit="", n=8, data={"x": "secret"}),),
            circuits=(Circuit(method="eap", ranking="absolute", replacement="mean", metric="loss", size=1, possible=9,
                              members=("secret",), faithfulness=SECRET, low=SECRET, high=SECRET, n=8,
                              edges=(CircuitEdge(sender="secret", receiver="secret", share=SECRET, measured=True),)),),
            found=f"secret {SECRET}", notes=(Note(code="secret", text="secret"),),
        )  # fmt: skip
        test = store.begin_experiment(run=run, **{**EXPERIMENT, "split": "confirm"})
        store.finish_experiment(test, result.model_dump(), 1.0, {"x.npy": ("text/plain", b"secret")})
        store.add_judgement(1, test, {**number, "p": SECRET, "side": "for"})
        store.set_hypothesis_status(hypothesis, "supported", "Judged.", [test])
        own = store.begin_experiment(run=store.begin_run(**RUN), **EXPERIMENT)
        store.finish_experiment(own, Result(found="seen", effects=(), measurements=()).model_dump(), 1.0)
    return path


@pytest.fixture(scope="module")
def two_trackers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What is hidden has other values, and more rows, in the second."""
    folder = tmp_path_factory.mktemp("twins")
    one = hidden(folder / "one.db")
    with closing(sqlite3.connect(one)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    two = Path(shutil.copy(one, folder / "two.db"))
    tamper(one)
    tamper(
        two, f"UPDATE measurements SET value = {OTHER}, low = {OTHER}, high = {OTHER}",
        f"UPDATE effects SET value = {OTHER}, low = {OTHER}, high = {OTHER}, p = {OTHER}, q = {OTHER}",
        "UPDATE samples SET prompt = 'x', expected = 'x', said = 'x', condition = 'x'",
        "UPDATE figures SET title = 'x', data = '{}'", "UPDATE artifacts SET data = x'00', size = 1, sha256 = 'x'",
        f"UPDATE judgements SET value = {OTHER}, low = {OTHER}, high = {OTHER}, p = {OTHER}, side = 'against'",
        "UPDATE experiments SET found = 'x', notes = '[]', seconds = 9 WHERE split = 'confirm'",
        f"UPDATE circuits SET faithfulness = {OTHER}, low = {OTHER}, high = {OTHER}, members = '[]'",
        f"UPDATE circuit_edges SET sender = 'x', receiver = 'x', share = {OTHER}, measured = 0",
        """UPDATE turns SET content = '{"text": "x"}'""",
        "INSERT INTO measurements (experiment, name, value, unit) VALUES (1, 'more', 1, '')",
        "INSERT INTO effects (experiment, site, metric, value, low, high, n) VALUES (1, 'L0', 'loss', 1, 1, 1, 1)",
        "INSERT INTO circuit_edges (circuit, sender, receiver, share, measured) VALUES (1, 'more', 'x', 1, 1)",
        "INSERT INTO turns (run, step, role, content, created) VALUES (1, 1, 'tool', '{}', 'x')",
    )  # fmt: skip
    return one, two


def same(two_trackers: tuple[Path, Path], sql: str) -> str:
    """What the query gives R2 (rows, or why it is refused), where it is the same in both trackers."""
    got: list[str] = []
    for path in two_trackers:
        with Reader.open(path) as reader:
            try:
                got.append(str(reader.query(sql, limit=1000, runs=[2])))
            except QueryRefused as refused:
                got.append(str(refused))
    # Each query has a secret of its own in the names of its views.
    one, two = (re.sub(r"held_[0-9a-f]{32}", "held", text) for text in got)
    assert one == two, sql
    assert "secret" not in one.replace(sql, "")
    assert str(SECRET)[:5] not in one
    return one


CLOSED = ["experiments", "measurements", "effects", "samples", "figures", "artifacts", "judgements", "turns", "told",
          "circuits", "circuit_edges"]  # fmt: skip
VIEWS = ["experiment_summary", "top_effects", "run_timeline", "ledger"]
FORMS = [
    "SELECT * FROM {t}", "SELECT count(*) FROM {t}", "SELECT rowid, * FROM {t}", "SELECT 1 FROM {t}",
    "SELECT json_group_array(json_array({t0}.rowid)) FROM {t} AS {t0}", "SELECT 5 IN {t}", "EXPLAIN SELECT * FROM {t}",
    "WITH {t0} AS (SELECT * FROM {t}) SELECT * FROM {t0}", "SELECT (SELECT count(*) FROM {t} AS a JOIN {t} AS b)",
    "WITH RECURSIVE x AS (SELECT * FROM {t} UNION SELECT * FROM x) SELECT * FROM x",
    "SELECT * FROM (SELECT * FROM {t}) AS {t0}", "SELECT * FROM runs UNION ALL SELECT * FROM {t}",
    "SELECT id FROM runs ORDER BY (SELECT count(*) FROM {t})", "SELECT * FROM runs, {t}",
    "VALUES ((SELECT count(*) FROM {t}))",
    "SELECT * FROM runs WHERE EXISTS (SELECT 1 FROM {t} LIMIT 1 OFFSET 1)", "SELECT sum(1) OVER () FROM {t}",
    "SELECT hex(CAST(json_group_array(a.rowid) AS BLOB)) FROM {t} AS a", "SELECT * FROM runs LEFT JOIN {t} AS z ON 1",
    "SELECT group_concat(x) FROM (SELECT count(*) AS x FROM {t})", "SELECT * FROM {t} NOT INDEXED",
]  # fmt: skip
NAMES = ["{n}", "main.{n}", 'main."{n}"', "MAIN.{N}", '"Main".[{N}]', "`main`.`{n}`", "temp.{n}", "'main'.'{n}'"]


@pytest.mark.parametrize("form", FORMS)
def test_no_query_of_any_form_tells_what_is_hidden(two_trackers: tuple[Path, Path], form: str) -> None:
    for name in (*CLOSED, *VIEWS):
        for written in NAMES:
            same(two_trackers, form.format(t=written.format(n=name, N=name.upper()), t0=name))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM sqlite_schema", "SELECT * FROM sqlite_temp_schema", "SELECT * FROM main.sqlite_master",
        "SELECT * FROM sqlite_sequence", "SELECT * FROM dbstat", "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM sqlite_stmt",
        "SELECT * FROM notes_fts", "SELECT * FROM notes_fts_data", "SELECT hex(block) FROM notes_fts_data",
        "SELECT * FROM notes_fts_docsize", "SELECT * FROM notes_fts_idx", "SELECT * FROM notes_fts_config",
        "SELECT * FROM seals", "SELECT * FROM hypotheses", "SELECT * FROM hypothesis_events",
        "SELECT * FROM predictions",
        "SELECT * FROM pragma_table_info('measurements')", "SELECT * FROM pragma_database_list",
        "SELECT * FROM subjects",
        "SELECT * FROM json_each((SELECT json_group_array(value) FROM main.effects))", "SELECT * FROM environments",
        "SELECT * FROM json_tree((SELECT content FROM main.turns))", "SELECT * FROM runs", "SELECT * FROM reuses",
        "SELECT readfile('one.db')", "SELECT load_extension('x')", "ATTACH 'one.db' AS two", "PRAGMA database_list",
        "SELECT * FROM measurements WHERE value > (SELECT min(value) FROM main.measurements)",
        "CREATE TEMP VIEW x AS SELECT * FROM main.effects", "DROP VIEW measurements", "VACUUM INTO 'x.db'",
        "SELECT config_hash FROM main.experiments INDEXED BY experiments_done WHERE status = 'done'",
        "WITH held AS (SELECT * FROM sqlite_temp_schema) SELECT replace(sql, 'WHERE', '') FROM held",
        "SELECT * FROM fts5vocab", "SELECT * FROM fts3tokenize('simple')", "SELECT fts5(1)", "SELECT * FROM older_rows",
    ],
)  # fmt: skip
def test_no_back_door_tells_what_is_hidden(two_trackers: tuple[Path, Path], sql: str) -> None:
    same(two_trackers, sql)


COLUMNS = [
    "value",
    "low",
    "p",
    "found",
    "content",
    "said",
    "data",
    "side",
    "rowid",
    "id",
    "count(*)",
    "*",
    "max(value)",
]
sources = st.recursive(
    st.builds(lambda n, w: w.format(n=n, N=n.upper()), st.sampled_from([*CLOSED, *VIEWS]), st.sampled_from(NAMES)),
    lambda inner: st.one_of(
        st.builds(lambda c, s: f"(SELECT {c} FROM {s})", st.sampled_from(COLUMNS), inner),
        st.builds(lambda a, b: f"{a} JOIN {b}", inner, inner),
        st.builds(lambda c, s, n: f"(WITH {n} AS (SELECT {c} FROM {s}) SELECT * FROM {n})",
                  st.sampled_from(COLUMNS), inner, st.sampled_from(CLOSED)),
        st.builds(lambda c, s, d, u: f"(SELECT {c} FROM {s} UNION ALL SELECT {d} FROM {u})",
                  st.sampled_from(COLUMNS), inner, st.sampled_from(COLUMNS), inner),
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(COLUMNS), sources)
def test_no_query_that_can_be_put_together_tells_what_is_hidden(
    two_trackers: tuple[Path, Path], column: str, source: str
) -> None:
    same(two_trackers, f"SELECT {column} FROM {source}")


def test_what_is_open_can_be_read(two_trackers: tuple[Path, Path]) -> None:
    assert "seen" in same(two_trackers, "SELECT found FROM experiments")
    assert "[[1]]" in same(two_trackers, "SELECT count(*) FROM experiments")
    assert "supported" in same(two_trackers, "SELECT status FROM hypotheses")
    for path in two_trackers:
        with Reader.open(path) as reader:
            assert reader.query("SELECT count(*) FROM experiments")[1] == [[2]], "a person sees everything"


def test_a_study_is_told_of_each_table_by_name_and_a_new_one_is_closed(tmp_path: Path) -> None:
    """`told` was once open, because nobody had thought of it when it was added."""
    path = hidden(tmp_path / "one.db")
    with closing(sqlite3.connect(path)) as connection:
        there = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
        }
        assert there == {*query.WHOLE, *query.PART, *query.VIEWS}
        assert len(there) == len(query.WHOLE) + len(query.PART) + len(query.VIEWS)
        connection.execute("CREATE TABLE plans (id INTEGER PRIMARY KEY, run INTEGER, text TEXT) STRICT")
        connection.execute("INSERT INTO plans (run, text) VALUES (1, 'secret')")
        connection.execute("CREATE VIEW told_plans AS SELECT run, text FROM plans")
        connection.execute("CREATE VIEW goals AS SELECT goal FROM runs")
        connection.commit()
    with Reader.open(path) as reader:
        for name in ("plans", "told_plans", "goals"):
            for written in (*NAMES, "(SELECT * FROM {n})", "(WITH x AS (SELECT * FROM {n}) SELECT * FROM x)"):
                for form in (
                    "SELECT * FROM {t}",
                    "SELECT count(*) FROM {t}",
                    "SELECT * FROM runs LEFT JOIN {t} AS z ON 1",
                ):
                    sql = form.format(t=written.format(n=name, N=name.upper()))
                    for alone in (None, 2):
                        with pytest.raises(QueryRefused):
                            reader.query(sql, runs=[2], alone=alone)
            with pytest.raises(QueryRefused, match=f"A study cannot read (plans|{name})"):
                reader.query(f"SELECT * FROM main.{name}", runs=[2])
        assert reader.query("SELECT text FROM told_plans")[1] == [["secret"]], "a person sees everything"
        assert reader.query("SELECT goal FROM runs", runs=[2])[1] == [[RUN["goal"]]] * 2


def test_what_a_study_sees_whole_names_no_result(tmp_path: Path) -> None:
    """A table that belongs to an experiment is seen in part; the seals tell nothing that can be read."""
    with Store.open(tmp_path / "t.db"):
        pass
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        belong = {
            table
            for table in query.WHOLE
            for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table])
            if column in ("experiment", "judgement", "value", "said", "found")
        }
    # That a run used an earlier experiment is no result.
    assert belong == {"reuses"}
