"""A circuit is a stored thing with an id: written once, sealed, found again, compared, exported and used."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from math import comb
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from click.testing import CliRunner, Result

from lashley.agent.main import cli
from lashley.db.read.reader import Reader
from lashley.db.seals import Seals
from lashley.db.write.store import Store
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Circuit, CircuitEdge
from lashley.experiments.result import Result as Found
from lashley.tools.workbench.circuit_difference import by_chance

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


# --- commands


def test_circuits_are_listed_by_task_and_model(discovered: Path) -> None:
    assert [row["id"] for row in as_json(discovered, "circuits")] == ["C1", "C2"]
    assert [row["id"] for row in as_json(discovered, "circuits", "--task", "induction")] == ["C1", "C2"]
    assert as_json(discovered, "circuits", "--limit", "1")[0]["id"] == "C2"
    wrong = agent(discovered, "circuits", "--task", "ioi")
    assert wrong.exit_code == 2
    assert "induction" in wrong.output
    said = agent(discovered, "circuits").stdout
    assert "C1   planted:induction · induction · acdc · E1" in said


def test_without_circuits_the_list_says_how_to_find_one(tmp_path: Path) -> None:
    path = stored(tmp_path / "lashley.db")
    assert "Nothing is recorded yet" in agent(path, "circuits").stderr
    with Store.open(path) as store:
        store.begin_experiment(run=None, **EXPERIMENT)
    assert "circuit_discovery" in agent(path, "circuits").stderr


def test_a_circuit_is_shown_by_its_parts_from_the_first_layer_to_the_last(discovered: Path) -> None:
    said = agent(discovered, "show", "C1").stdout.splitlines()
    assert said[0] == "C1: a circuit of planted:induction for induction, from E1"
    assert [line.strip().split(":")[0] for line in said[4:]] == ["embed", "L0.H1", "L1.H2", "logits"]
    assert "reads v embed" in said[5]
    assert "writes to L1.H2.k" in said[5]
    assert as_json(discovered, "show", "C1")["edges"][0]["measured"] is True


def test_a_large_circuit_is_shown_in_less_than_forty_lines_which_count_the_rest(tmp_path: Path) -> None:
    edges = [(f"L{i}.H{h}", f"L{j}.H{h}.{by}", -1.0 / (1 + i + j + h))
             for i in range(12) for j in range(i + 1, 12) for h in range(4) for by in "qkv"]  # fmt: skip
    path = stored(tmp_path / "lashley.db", circuit(*edges, possible=9000))
    lines = agent(path, "show", "C1").stdout.splitlines()
    assert len(lines) < 40
    assert lines[-1].endswith("more edges; all: agent show C1 --all")
    # Every edge that a line names, once, and those that the last line counts, are all edges.
    named = set[str]()
    for line in lines[4:-1]:
        part, _, said = line.strip().partition(": ")
        for half in said.split("; "):
            does, _, rest = half.partition(" to " if half.startswith("writes") else " ")
            for one in rest.split(" and ")[0].split(", "):
                words = one.split()
                named.add(f"{part} -> {words[0]}" if does == "writes" else f"{words[1]} -> {part}.{words[0]}")
    assert named <= {f"{s} -> {r}" for s, r, _ in edges}
    assert int(lines[-1].split()[1].replace(",", "")) == len(edges) - len(named)
    assert len(agent(path, "show", "C1", "--all").stdout.splitlines()) == 4 + len(edges)


def test_two_circuits_are_compared(discovered: Path) -> None:
    found = as_json(discovered, "diff", "C1", "C2")
    with Reader.open(discovered) as reader:
        one, other = ({edge.text for edge in reader.circuit(number).edges} for number in (1, 2))
    assert {row["edge"] for row in found["shared"]} == one & other
    assert [{f"{e['sender']} -> {e['receiver']}" for e in edges} for edges in found["only"]] == [
        one - other,
        other - one,
    ]
    assert found["jaccard"] == pytest.approx(len(one & other) / len(one | other))
    assert [row["name"] for row in found["settings"]] == ["method"]
    assert "Jaccard index" in agent(discovered, "diff", "C1", "C2").stdout


@pytest.mark.parametrize(("shared", "one", "other", "possible"), [(4, 4, 6, 110), (0, 3, 5, 20), (2, 5, 5, 12)])
def test_the_p_of_shared_edges_is_the_share_of_random_sets(shared: int, one: int, other: int, possible: int) -> None:
    """Counted by hand: all sets of `other` edges, of which each shares some with a fixed one."""
    ways = sum(comb(one, k) * comb(possible - one, other - k) for k in range(shared, min(one, other) + 1))
    assert by_chance(shared, one, other, possible) == pytest.approx(ways / comb(possible, other))


def test_circuits_of_models_of_other_shapes_are_not_compared(tmp_path: Path) -> None:
    path = stored(tmp_path / "lashley.db", circuit(("embed", "logits", -1.0)))
    subject = {"name": "other", "fingerprint": "f2" * 8, "architecture": "llama", "anatomy": {"n_layers": 9}}
    stored(path, circuit(("embed", "logits", -1.0)), subject=subject)
    same = {**subject, "name": "same", "fingerprint": "f3" * 8, "anatomy": {"n_layers": 8}}
    stored(path, circuit(("embed", "logits", -1.0)), subject=same)
    refused = agent(path, "diff", "C1", "C2")
    assert refused.exit_code == 2
    assert "C1 is a circuit of tiny, and C2 one of other, which has other edges" in refused.stderr
    assert as_json(path, "diff", "C1", "C3")["jaccard"] == 1


def test_circuits_of_which_not_all_edges_are_stored_have_no_p(tmp_path: Path) -> None:
    path = stored(tmp_path / "lashley.db", circuit(("embed", "logits", -1.0), size=7))
    found = as_json(path, "diff", "C1", "C1")
    assert found["p"] is None
    assert found["jaccard"] is None
    assert "Not all edges are stored" in agent(path, "diff", "C1", "C1").stdout
    assert "only the strongest 1 are stored" in agent(path, "show", "C1").stdout


def test_networkx_reads_a_circuit_and_finds_the_planted_path(discovered: Path) -> None:
    graph = nx.node_link_graph(json.loads(agent(discovered, "export", "C1", "--format", "networkx").stdout))
    assert graph.is_directed()
    assert graph.number_of_edges() == len(TRUTHS["planted:induction"].edges)
    assert nx.has_path(graph, "embed", "logits")
    assert {data["receiver"] for *_, data in graph.in_edges("L1.H2", data=True)} == {"L1.H2.k", "L1.H2.v"}
    assert graph.graph["id"] == "C1"


def test_a_path_leads_through_shared_keys(tmp_path: Path) -> None:
    anatomy = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2}
    subject = {"name": "llama", "fingerprint": "f4" * 8, "architecture": "llama", "anatomy": anatomy}
    edges = [("embed", "L1.K1", -0.5), ("L1.H1", "logits", -0.4), ("L1.H2", "logits", -0.3)]
    path = stored(tmp_path / "lashley.db", circuit(*edges), subject=subject)
    graph = nx.node_link_graph(json.loads(agent(path, "export", "C1", "--format", "networkx").stdout))
    assert nx.has_path(graph, "L1.KV1", "L1.H2")
    assert not nx.has_path(graph, "L1.KV1", "L1.H1")


def test_graphviz_text_has_every_edge(discovered: Path, tmp_path: Path) -> None:
    file = tmp_path / "c1.dot"
    assert agent(discovered, "export", "C1", "--format", "dot", "--to", str(file)).exit_code == 0
    text = file.read_text()
    assert text.startswith("digraph C1 {")
    for edge in TRUTHS["planted:induction"].edges:
        sender, receiver = edge.split(" -> ")
        part, _, by = receiver.rpartition(".") if receiver.endswith((".q", ".k", ".v")) else (receiver, "", "")
        assert f'"{sender}" -> "{part}" [label="{by}"' in text


def test_json_is_the_circuit(discovered: Path) -> None:
    assert json.loads(agent(discovered, "export", "C2").stdout) == as_json(discovered, "show", "C2")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("export", "C1", "--format", "csv"), "A circuit needs json, dot, networkx"),
        (("export", "runs", "--format", "dot"), "is for a circuit"),
        (("export", "runs", "C1"), "Give one circuit alone"), (("export", "C9"), "There is no circuit C9"),
        (("show", "C9"), "There is no circuit C9. Nearest: C1 and C2."), (("diff", "C1", "E1"), "two circuits"),
    ],
)  # fmt: skip
def test_wrong_words_get_one_line(discovered: Path, words: tuple[str, ...], says: str) -> None:
    done = agent(discovered, *words)
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize("table", ["circuits", "circuit_edges"])
def test_the_tables_are_exported(discovered: Path, table: str) -> None:
    lines = agent(discovered, "export", table).stdout.splitlines()
    assert lines[0].startswith("circuit,experiment,run,")
    assert lines[1].startswith("C1,E1,,")
