"""A circuit is a stored thing with an id: written once, sealed, found again, compared, exported and used."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lashley.agent.main import cli
from lashley.db.read.reader import Reader
from lashley.db.seals import Seals
from lashley.db.write.store import Store
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Circuit, CircuitEdge
from lashley.experiments.result import Result as Found

from .recorded import EXPERIMENT, recorded, tamper

PLANTED = ("--model", "planted:induction", "--task", "induction", "--n", "16")


def agent(path: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--db", str(path)])


def as_json(path: Path, *words: str) -> Any:
    done = agent(path, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """C1 by acdc, which finds exactly what is planted, and C2 by eap_ig."""
    path = tmp_path_factory.mktemp("circuits") / "lashley.db"
    for method in ("acdc", "eap_ig"):
        done = agent(path, "experiment", "circuit_discovery", *PLANTED, "--method", method, "--verify", "4")
        assert done.exit_code == 0, done.output
    return path


def circuit(*edges: tuple[str, str, float], possible: int = 100, **given: Any) -> Circuit:
    made = tuple(CircuitEdge(sender=s, receiver=r, share=share, measured=True) for s, r, share in edges)
    own: dict[str, Any] = {"method": "eap_ig", "ranking": "absolute", "replacement": "corrupted", "metric": "loss",
                           "size": len(made), "possible": possible, "members": ("embed",)}  # fmt: skip
    return Circuit(**own | given, edges=made)


def stored(path: Path, *found: Circuit, **given: Any) -> Path:
    with Store.open(path) as store:
        for one in found:
            number = store.begin_experiment(run=None, **{**EXPERIMENT, **given})
            store.finish_experiment(number, Found(circuits=(one,)).model_dump(), 1.0)
    return path


# --- storage


def test_the_planted_circuit_is_stored(discovered: Path) -> None:
    with Reader.open(discovered) as reader:
        one = reader.circuit(1)
        assert {edge.text for edge in one.edges} == set(TRUTHS["planted:induction"].edges)
        assert one.whole
        assert (one.experiment, one.model, one.task, one.method) == ("E1", "planted:induction", "induction", "acdc")
        assert one.faithfulness == pytest.approx(1, abs=0.02)
        assert [summary.id for summary in reader.experiment(1).circuits] == ["C1"]
        assert one.fingerprint == reader.experiment(1).subject.fingerprint


def test_the_edges_that_were_left_out_one_by_one_have_the_measured_share(discovered: Path) -> None:
    with Reader.open(discovered) as reader:
        effects = {row.site: row.value for row in reader.experiment(2).effects if row.metric == "recovery"}
        edges = {edge.text: edge for edge in reader.circuit(2).edges}
    assert effects
    assert all(edges[name].measured and edges[name].share == value for name, value in effects.items() if name in edges)
    assert not all(edge.measured for edge in edges.values())


def test_a_replay_compares_the_edges(discovered: Path, tmp_path: Path) -> None:
    assert agent(discovered, "replay", "E1").exit_code == 0
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(discovered)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    tamper(copy, "DELETE FROM circuit_edges WHERE circuit = 1 AND sender = 'L0.H1'")
    done = agent(copy, "replay", "E1")
    assert done.exit_code == 1
    assert "L0.H1 -> L1.H2.k: in the replay only" in done.output


def test_the_same_configuration_names_the_circuit_that_is_there(discovered: Path) -> None:
    done = agent(discovered, "experiment", "circuit_discovery", *PLANTED, "--method", "acdc", "--verify", "4")
    assert "ran before, as E1" in done.output
    assert "C1" in done.stdout
    with Reader.open(discovered) as reader:
        assert len(reader.circuits()) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE circuits SET size = 9", "DELETE FROM circuits", "UPDATE circuit_edges SET share = 0",
        "DELETE FROM circuit_edges",
        "INSERT INTO circuit_edges (circuit, sender, receiver, share, measured) VALUES (1, 'a', 'b', 1, 1)",
        "INSERT OR REPLACE INTO circuit_edges (circuit, sender, receiver, share, measured) "
        "VALUES (1, 'L7.H3', 'logits', 1, 1)",
        "INSERT INTO circuits (experiment, subject, method, ranking, replacement, metric, size, possible, members, "
        "created) VALUES (1, 1, 'eap', 'absolute', 'mean', 'loss', 1, 9, '[]', 'now')",
    ],
)  # fmt: skip
def test_a_stored_circuit_cannot_be_changed(tmp_path: Path, statement: str) -> None:
    path = recorded(tmp_path / "lashley.db")
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="an experiment that has ended is final"),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE circuit_edges SET share = 0.5 WHERE circuit = 1", "UPDATE circuits SET faithfulness = 1 WHERE id = 1",
        "DELETE FROM circuit_edges WHERE circuit = 1",
        "INSERT INTO circuit_edges (circuit, sender, receiver, share, measured) VALUES (1, 'a', 'b', 1, 1)",
    ],
)  # fmt: skip
def test_a_seal_reveals_a_changed_circuit(tmp_path: Path, statement: str) -> None:
    path = recorded(tmp_path / "lashley.db")
    with closing(sqlite3.connect(path)) as connection:
        assert not Seals(connection).check(1).differences
    tamper(path, statement)
    with closing(sqlite3.connect(path)) as connection:
        assert "E1 has been changed since it was sealed" in Seals(connection).check(1).differences


def test_a_circuit_of_thousands_of_edges_is_kept(tmp_path: Path) -> None:
    edges = [(f"L{i // 100}.H{i % 100}", "logits", -1 / (i + 1)) for i in range(6000)]
    path = stored(tmp_path / "lashley.db", circuit(*edges, possible=70_000, size=12_000))
    with Reader.open(path) as reader:
        one = reader.circuit(1)
    assert len(one.edges) == 6000
    assert [edge.share for edge in one.edges] == [share for _, _, share in edges]
    assert not one.whole
