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

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.live import View
from lashley.agent.main import cli
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.agent.study.replay import rerun
from lashley.agent.web.pages import anything
from lashley.agent.web.templates import fill as fill_page
from lashley.db import records
from lashley.db.read.reader import Reader
from lashley.db.seals import Seals
from lashley.db.write.store import Store
from lashley.experiments.edge_names import canonical
from lashley.experiments.engine.graph import graph_of
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.circuit_faithfulness import CircuitFaithfulness
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Circuit, CircuitEdge
from lashley.experiments.result import Result as Found
from lashley.experiments.tasks.registry import task
from lashley.tests.studies import Scripted
from lashley.tests.tiny import tiny_subject
from lashley.tools.evidence.conditions import parse_condition
from lashley.tools.registry import all_tools, answer
from lashley.tools.report.claims import Claim, check_claim, claim_faults
from lashley.tools.report.render import render_run
from lashley.tools.report.slots import SlotError, fill, parse
from lashley.tools.report.study import Study, read_study
from lashley.tools.workbench.catalog import command_of
from lashley.tools.workbench.circuit_difference import by_chance
from lashley.tools.workbench.circuit_text import with_parts
from lashley.tools.workbench.circuits import changed
from lashley.tools.workbench.context import Context, silent
from lashley.tools.workbench.verify import verify_tracker

from .recorded import EXPERIMENT, made, recorded, tamper

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


# --- use


def test_a_stored_circuit_is_tested_on_other_prompts(discovered: Path) -> None:
    tested = as_json(discovered, "experiment", "circuit_faithfulness", *PLANTED, "--circuit", "c1", "--seed", "1")
    assert tested["config"]["circuit"] == "C1"
    assert set(tested["config"]["edges"]) == set(TRUTHS["planted:induction"].edges)
    faithful = next(one for one in tested["measurements"] if one["name"] == "faithfulness")
    assert faithful["value"] == pytest.approx(1, abs=0.02)
    by_name = as_json(discovered, "experiment", "circuit_faithfulness", *PLANTED, "--seed", "1", "--edges",
                      ",".join(tested["config"]["edges"]))  # fmt: skip
    assert by_name["measurements"] == tested["measurements"]
    assert "circuit" not in by_name["config"]
    said = agent(discovered, "experiment", "circuit_faithfulness", *PLANTED, "--circuit", "C1", "--seed", "1")
    assert "Edges of C1" in said.stdout
    assert "L0.H1 -> L1.H2.k" not in said.stdout.splitlines()[0]


def test_the_logged_configuration_needs_no_circuit_to_be_repeated(discovered: Path, tmp_path: Path) -> None:
    tested = as_json(discovered, "experiment", "circuit_faithfulness", *PLANTED, "--circuit", "C1", "--seed", "1")
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(discovered)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    tamper(copy, "DELETE FROM circuit_edges", "DELETE FROM circuits")
    done = agent(copy, "replay", tested["id"])
    assert done.exit_code == 0, done.output
    assert "the same" in done.output


def test_the_command_that_runs_it_again_names_the_circuit() -> None:
    config = {"model": "planted:induction", "task": "induction", "circuit": "C1", "edges": ["embed -> logits"]}
    said = command_of("circuit_faithfulness", config)
    assert said is not None
    assert said.endswith("--circuit C1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--circuit", "C1"), "C1 was found on 16 of these 16 prompts, which it therefore fits. Use other"),
        (("--circuit", "C9", "--seed", "1"), "There is no circuit C9"),
        (("--circuit", "E1", "--seed", "1"), "E1 is an id of type experiment; give one of type circuit."),
        (("--circuit", "x"), "'x' is not an id"),
        (("--circuit", "C1", "--seed", "1", "--model", "planted:backup"),
         "C1 is a circuit of planted:induction, not of planted:backup. Use model planted:induction"),
        (("--circuit", "C1", "--seed", "1", "--edges", "embed -> logits"), "edges has other edges than C1. Leave out"),
    ],
)  # fmt: skip
def test_a_circuit_that_does_not_fit_is_refused_in_one_line(
    discovered: Path, words: tuple[str, ...], says: str
) -> None:
    done = agent(discovered, "experiment", "circuit_faithfulness", *PLANTED, *words)
    assert done.exit_code == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_circuit_that_is_not_stored_whole_cannot_be_run(discovered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(discovered)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    tamper(copy, "UPDATE circuits SET size = 99")
    done = agent(copy, "experiment", "circuit_faithfulness", *PLANTED, "--circuit", "C1", "--seed", "1")
    assert "the strongest 4 of 99 edges are stored, so it cannot be run" in done.stderr


def test_a_circuit_of_other_weights_is_refused(discovered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(discovered)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    tamper(copy, "UPDATE subjects SET fingerprint = 'another'")
    done = agent(copy, "experiment", "circuit_faithfulness", *PLANTED, "--circuit", "C1", "--seed", "1")
    assert done.exit_code == 2
    assert "C1 was found in planted:induction with fingerprint another" in done.stderr


def test_without_a_tracker_a_circuit_needs_its_edges() -> None:
    wanted = CircuitFaithfulness(model="planted:induction", task="induction", n=16, circuit="C1")
    with pytest.raises(BadConfiguration, match="Only a tracker knows circuit C1"):
        wanted.check({}, task("induction"))


def test_a_circuit_is_tested_by_a_prediction_on_held_out_prompts(discovered: Path) -> None:
    done = agent(discovered, "experiment", "circuit_faithfulness", *PLANTED, "--circuit", "C1", "--predict",
                 "faithfulness > 0.5")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "supported" in done.stdout
    with Reader.open(discovered) as reader:
        predicted = reader.latest_hypotheses(1)[0].predictions[0]
        assert predicted.judged is not None
        tested = reader.experiment(int(predicted.judged.experiment[1:]))
    assert predicted.config["edges"] == tested.config["edges"]
    assert len(predicted.config["edges"]) == 4
    assert tested.split == "confirm"


def test_a_new_circuit_replaces_the_edges_of_the_old_one() -> None:
    logged = {"n": 8, "circuit": "C1", "edges": ["embed -> logits"]}
    assert changed(logged, {"circuit": "C2"}) == {"n": 8, "circuit": "C2"}
    assert changed(logged, {"edges": ["a -> b"]}) == {"n": 8, "edges": ["a -> b"]}
    assert changed(logged, {"n": 9}) == {**logged, "n": 9}


def test_the_answer_of_the_tool_names_the_circuit_and_is_short(tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "lashley.db"), model="planted:induction", task="induction", n=16) as context:
        said = answer(all_tools(), context, "circuit_discovery", json.dumps({"method": "eap_ig", "reason": "to see"}))
        assert "Stored as C1, which circuit_faithfulness takes as circuit." in said.text
        assert "L0.H1: reads v embed" in said.text
        assert len(said.text) <= 3000
        again = answer(all_tools(), context, "circuit_discovery", json.dumps({"method": "eap_ig", "reason": "again"}))
        assert again.text.startswith("This repeats E1")
        assert "Stored as C1" in again.text
        tested = answer(all_tools(), context, "circuit_faithfulness",
                        json.dumps({"circuit": "C1", "seed": 1, "reason": "to test it"}))  # fmt: skip
        assert not tested.refused, tested.text
        wrong = answer(all_tools(), context, "circuit_faithfulness", json.dumps({"circuit": "C4", "reason": "to see"}))
        assert wrong.refused
        assert "There is no circuit C4. Nearest: C1." in wrong.text


def test_an_answer_with_many_parts_stays_within_its_size() -> None:
    edges = [CircuitEdge(sender=f"L{i}.H{h}", receiver=f"L{i + 1}.H{h}.q", share=-0.1, measured=False)
             for i in range(20) for h in range(9)]  # fmt: skip
    record = made(records.Circuit, id="C1", size=len(edges), possible=9000, members=(), edges=[
        records.CircuitEdge(one.sender, one.receiver, one.share, one.measured) for one in edges])  # fmt: skip
    for before in (100, 1500, 2300, 2700, 2990):
        text = with_parts("x" * before, [record], 2800)
        assert len(text) <= max(before, 2800)
        assert ("query_tracker" in text) == (before < 2500)


# --- slots and conditions


@pytest.fixture(name="reported")
def _reported(tmp_path: Path) -> Study:
    with Reader.open(recorded(tmp_path / "lashley.db")) as reader:
        return read_study(reader, 1)


@pytest.mark.parametrize(
    ("source", "says"),
    [("{{C1.faithfulness}}", "0.9 [0.8, 1.0], n = 8"), ("{{C1.edges}}", "3"), ("{{C1.parts}}", "2")],
)
def test_a_slot_gives_a_number_of_a_circuit(reported: Study, source: str, says: str) -> None:
    filled = fill(parse(source)[0], reported)
    assert filled.text.replace("\xa0", " ").replace("\u202f", " ") == says
    assert filled.of == "E1"
    assert "C1 of E1" in filled.tip


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{C1.sparsity}}", "a circuit has only C1.faithfulness, C1.edges and C1.parts"),
        ("{{C2.edges}}", "C2 is not a circuit of R1, which has C1."),
    ],
)
def test_a_wrong_slot_of_a_circuit_says_what_there_is(reported: Study, source: str, says: str) -> None:
    with pytest.raises(SlotError, match=says):
        fill(parse(source)[0], reported)


@pytest.mark.parametrize(
    ("condition", "holds", "found"),
    [
        ("C1 contains embed -> L7.H3.v", True, "C1 contains embed -> L7.H3.v, whose share is -0.700 (measured)"),
        ("C1 contains embed->logits", True, "whose share is +0.100 (estimated)"),
        ("C1 contains embed -> L7.H3.q", False, "C1 does not contain embed -> L7.H3.q"),
    ],
)
def test_a_claim_may_rest_on_an_edge(reported: Study, condition: str, holds: bool, found: str) -> None:
    claim = Claim(sentence="The head reads the embeddings.", conditions=(condition,))
    checked = check_claim(claim, reported)[0]
    assert checked.holds is holds
    assert found in checked.found
    assert checked.split == "explore"
    assert parse_condition(checked.condition.text) == checked.condition
    assert bool(claim_faults((claim,), reported)) is not holds


def test_a_condition_on_a_circuit_of_another_study_is_refused(reported: Study) -> None:
    wrong = Claim(sentence="It reads.", conditions=("C3 contains embed -> logits",))
    assert "C3 is not a circuit of R1; it has: C1" in claim_faults((wrong,), reported)[0]


@pytest.mark.parametrize(("name", "shared", "own"), [
    ("L3.H5.k", 3, "L3.K1"), ("L3.H5.q", 3, "L3.H5.q"), ("L3.H5.k", 1, "L3.H5.k"), ("L3.K1", 1, "L3.H1.k"),
    ("L3.V1", 3, "L3.V1"), ("logits", 3, "logits"), ("L3.mlp", 1, "L3.mlp"),
])  # fmt: skip
def test_a_receiver_has_one_name(name: str, shared: int, own: str) -> None:
    assert canonical(name, shared) == own


def test_the_names_of_receivers_are_those_of_the_graph() -> None:
    for kind in ("gpt2", "llama"):
        graph = graph_of(tiny_subject(kind).anatomy)
        for layer, shared in enumerate(graph.shared):
            for head in range(4):
                for by in "qkv":
                    name = f"L{layer}.H{head}.{by}"
                    assert canonical(name, shared) == graph.canonical(name)


# --- a whole study


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that finds C2 (C1 was found by hand before), tests it, and reports it."""
    path = tmp_path_factory.mktemp("study") / "lashley.db"
    assert agent(path, "experiment", "circuit_discovery", *PLANTED, "--method", "eap", "--verify", "0").exit_code == 0

    def protocol(data: Data) -> Protocol:
        found = yield "", "circuit_discovery", {"method": "acdc", "verify": 4, "reason": "Find it."}
        assert "Stored as C2" in found["text"]
        tested = yield "", "circuit_faithfulness", {"circuit": "C2", "seed": 1, "reason": "Test it."}
        text = "It has {{C2.edges}} edges, and carries {{C2.faithfulness}}; on other prompts {{E3.faithfulness}}."
        assert tested["text"].startswith("E3 circuit_faithfulness")
        claim = {"sentence": "L1.H2 reads L0.H1.", "conditions": ["C2 contains L0.H1 -> L1.H2.k"]}
        refused = yield "", "write_report", {"title": "A circuit", "claims": [claim], "interpretation": text}
        pytest.fail(refused["text"])

    driver = Scripted(protocol)
    driver.llm = "writer"
    with Context.open(str(path), model="planted:induction", task="induction") as context:
        assert study(context, driver, "Which edges matter?", Budget(), View(None), n=16).status == "finished"
    return path


def test_a_report_has_the_circuit_its_numbers_and_its_drawing(studied: Path) -> None:
    with Reader.open(studied) as reader:
        written = render_run(reader, 1)
    assert "It has 4 edges" in written.markdown
    assert "L1.H2 reads L0.H1." in written.markdown
    assert "Circuit (acdc): planted:induction, induction" in written.html
    assert "reads embed by v" in written.html


@pytest.mark.parametrize("fast", [True, False])
def test_a_study_with_a_circuit_can_be_repeated(studied: Path, fast: bool) -> None:
    with Reader.open(studied) as reader:
        found = rerun(reader, 1, silent, fast=fast)
    assert found.diverged is None, found.diverged


def test_the_records_of_a_study_with_a_circuit_verify(studied: Path) -> None:
    assert verify_tracker(studied, [1]).differences == ()


def test_the_page_of_a_circuit_shows_its_drawing_and_its_edges(studied: Path) -> None:
    with Reader.open(studied) as reader:
        template, rows = anything(reader, {"id": "C2"})
        page = fill_page(template, rows, reader)
    assert "<svg" in page
    assert "L0.H1 -&gt; L1.H2.k" in page
    assert 'href="/E2"' in page
