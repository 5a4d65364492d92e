"""The reading commands, as a person and as a program would use them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from lashley.agent.commands import browse
from lashley.db.write.store import Store
from lashley.tools.report.plain_text import printable

AGENT = click.Group(
    commands={one.name or "": one for one in (browse.runs, browse.experiments, browse.show, browse.notes)}
)
PROGRAM = """
from lashley.agent.commands.browse import runs, experiments, show, notes
import click, sys
click.Group(commands={one.name: one for one in (runs, experiments, show, notes)})()
"""
EVIL = "\x1b]0;owned\x07\x1b[31m [bold]7[/bold] [/] :smile: \u202e\x9b2J \r gone"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("study") / "lashley.db"
    heads = [[0.01, -0.5, 0.0], [None, 0.25, -2.0]]
    effects = [
        {"site": f"L{layer}.H{head}", "metric": "logit_diff", "value": value, "low": -2.5, "high": 1.0, "n": 8}
        | {"p": 0.01, "q": None}
        for layer, row in enumerate(heads)
        for head, value in enumerate(row)
        if value is not None
    ]
    result: dict[str, Any] = {
        "measurements": [{"name": "accuracy", "value": 0.5, "low": 0.25, "high": 0.75, "n": 8, "unit": ""}],
        "effects": effects,
        "samples": [
            {
                "prompt": "3 + 4 =",
                "expected": " 7",
                "said": " 7",
                "changed": EVIL,
                "condition": "L1.H2",
                "correct": True,
            }
            | {"changed_correct": False, "failure": "wrong operation"}
        ],
        "figures": [
            {"name": "heads", "kind": "head_heatmap", "title": "Change by head", "unit": "logits", "n": 8}
            | {"data": {"values": heads, "significant": [[False, False, False], [False, False, True]]}},
            {"name": "lens", "kind": "matrix", "title": "Lens", "unit": "probability", "n": 1}
            | {
                "data": {
                    "values": [[0.25, None]],
                    "rows": ["embedding"],
                    "columns": ["␣When", EVIL],
                    "row_label": "layer",
                    "column_label": "token",
                    "texts": [["␣the", EVIL]],
                    "scale": "sequential",
                }
            },
        ],
        "found": "L1.H2 matters most.",
        "notes": ["2 threads"],
    }
    with Store.open(path) as store:
        run = store.begin_run(
            goal=f"Which heads add? {EVIL} {'word ' * 60}",
            driver="autopilot",
            llm=None,
            model="tiny",
            task="arithmetic",
            seed=0,
            budget={"experiments": 40},
            environment={},
        )
        for kind in ("head_ablation", "layer_program"):
            number = store.begin_experiment(
                run=run,
                kind=kind,
                model="a/rather/long/folder/with_a_model_in_it_that_goes_on_and_on",
                task="arithmetic",
                split="explore",
                n=8,
                config={"mode": "mean", "layers": [0, 1]},
                config_hash=kind,
                subject={"name": "tiny", "fingerprint": "abc", "architecture": "llama", "anatomy": {}},
                task_fingerprint="t",
                code_version="1",
                environment={},
                reason=EVIL,
            )
            if kind == "head_ablation":
                store.finish_experiment(number, result, 1.25, {"z.npy": ("application/octet-stream", b"123")})
            else:
                store.fail_experiment(number, "BadConfiguration", f"There is no layer 9.\n{EVIL}", 0.1)
        store.add_note(run, f"L1.H2 adds {EVIL}", f"line one\n{EVIL * 5}", ["addition", EVIL], [1])
        hypothesis = store.add_hypothesis(run, "L1.H2 carries the sum", EVIL, "its interval holds 0")
        store.set_hypothesis_status(hypothesis, "supported", "it fell by 2 logits", [1])
        store.add_turn(run, 1, "assistant", {"text": EVIL})
        store.add_report(run, "# Report")
    return str(path)


def agent(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(AGENT, list(args), env={"COLUMNS": "80", **(env or {})}, catch_exceptions=False)


READS = [
    ("runs",),
    ("experiments",),
    ("notes",),
    ("notes", "adds"),
    *(("show", id) for id in ("R1", "E1", "E2", "N1", "H1")),
]


@pytest.mark.parametrize("args", READS, ids=" ".join)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_is_shown_fits_and_cannot_steer_the_terminal(db: str, args: tuple[str, ...], width: int) -> None:
    done = agent(*args, "--db", db, env={"COLUMNS": str(width)})
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(character == "\n" or character.isprintable() for character in done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= width
    if width == 80 and args not in (("runs",), ("experiments",), ("show", "H1")):
        assert r"\x1b]0;owned\x07" in re.sub(r"\s+", "", done.stdout)
        assert "[bold]7[/bold]" in done.stdout
        assert "[/]:smile:" in re.sub(r"\s+", "", done.stdout)


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_json_is_on_stdout_and_nothing_else(db: str, args: tuple[str, ...]) -> None:
    done = agent(*args, "--db", db, "--json")
    data = json.loads(done.stdout)
    first = data[0] if isinstance(data, list) else data
    assert re.fullmatch(r"[RENH]\d+", first["id"])
    assert done.stderr == ""
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout


def test_an_experiment_is_shown_with_all_that_it_found(db: str) -> None:
    text = agent("show", "e1", "--db", db).stdout
    for part in (
        "E1 head_ablation  done  1.2 s",
        "arithmetic · explore",
        "layers  [0, 1]",
        "L1.H2 matters most.",
        "2 threads",
        "[0.25, 0.75]",
        '" 7" (right)',
        "(wrong)",
        "wrong operation",
        "cited by  N1, H1",
        "z.npy  application/octet-stream, 3 bytes",
    ):
        assert part in text
    sites = re.findall(r"^(L\d\.H\d)", text, re.MULTILINE)
    assert sites == ["L1.H2", "L0.H1", "L1.H1", "L0.H0", "L0.H2"]


def test_the_heat_map_says_in_text_what_it_says_in_colour(db: str) -> None:
    text = agent("show", "E1", "--db", db).stdout
    assert "9 means 2 logits" in text
    assert re.findall(r"^ +L\d .*$", text, re.MULTILINE) == ["  L0  · -2  · ", "  L1     1 -9*"]


def test_a_matrix_shows_its_texts_under_the_names_of_its_columns(db: str) -> None:
    text = agent("show", "E1", "--db", db).stdout
    assert "Down: layer. Across: token. The darkest is 0.25 probability." in text
    named, cells = re.findall(r"^.*(?:␣When|␣the).*$", text, re.MULTILINE)
    assert named.index("␣When") + len("␣When") == cells.index("␣the") + len("␣the")
    assert "embedding" in cells


def test_a_failed_experiment_says_why(db: str) -> None:
    assert "BadConfiguration: There is no layer 9." in agent("show", "E2", "--db", db).stdout
    listed = agent("experiments", "--db", db, "--status", "failed", env={"COLUMNS": "160"}).stdout
    assert "failed: There is no layer 9." in listed
    assert "head_ablation" not in listed


def test_a_run_and_a_hypothesis_tell_their_story(db: str) -> None:
    run = agent("show", "R1", "--db", db).stdout
    for part in (
        "autopilot, no language model, seed 0",
        "budget  40 experiments",
        "spent   1 experiment, 1 turn, 0 minutes",
        "Steps",
        "agent report R1",
        "H1 supported: L1.H2 carries the sum",
        "it fell by 2 logits (E1)",
    ):
        assert part in run
    hypothesis = agent("show", "H1", "--db", db).stdout
    assert hypothesis.index("open") < hypothesis.index("it fell by 2 logits") < hypothesis.index("E1")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("show", "E99"), "There is no experiment E99. Nearest: E1 and E2."),
        (("show", "\x1b[31mX"), "is not an id"),
        (("notes", "--run", "R7"), "There is no run R7. Nearest: R1."),
        (("experiments", "--run", "E1"), "--run needs the id of a run, such as R1, not E1."),
    ],
)
def test_a_wrong_id_is_one_line_and_exit_2(db: str, args: tuple[str, ...], says: str) -> None:
    done = agent(*args, "--db", db)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_a_wrong_database_is_one_line_and_exit_2(tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.db", "There is no tracker"),
        (Path(__file__), "no"),
    ):
        for args in READS:
            done = agent(*args, "--db", str(path))
            assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            assert says in done.stderr


def test_the_variable_names_the_database_and_nothing_found_is_said_aside(db: str) -> None:
    assert "L1.H2 adds" in agent("notes", env={"LASHLEY_DB": db}).stdout
    done = agent("notes", "quantum", "--db", db)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Nothing matches.\n")
    assert agent("notes", "quantum", "--db", db, "--json").stdout == "[]\n"
    assert json.loads(agent("experiments", "--db", db, "--json", "--limit", "1").stdout)[0]["id"] == "E2"


def test_experiments_are_sorted_and_notes_found_by_what_they_cite(db: str) -> None:
    def ids(*args: str) -> list[str]:
        return [row["id"] for row in json.loads(agent(*args, "--db", db, "--json").stdout)]

    assert ids("experiments", "--sort", "seconds") == ["E2", "E1"]
    assert ids("experiments", "--sort", "seconds", "--limit", "1") == ["E1"], "the most is last"
    assert ids("experiments", "--sort", "kind") == ["E1", "E2"]
    assert ids("notes", "--experiment", "E1") == ids("notes", "adds", "--hypothesis", "h1") == ["N1"]
    assert ids("notes", "--experiment", "E2") == []
    wrong = agent("notes", "--hypothesis", "E1", "--db", db)
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert "such as H1" in wrong.stderr
    assert agent("notes", "--experiment", "E9", "--db", db).exit_code == 2


def in_a_terminal(db: str, **env: str) -> str:
    """What `show E1` writes to a real terminal."""
    master, slave = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "show", "E1", "--db", db],
        stdin=slave,
        stdout=slave,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "500"} | env,
    )
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not part:
            break
        text += part
    os.close(master)
    assert process.wait() == 0
    return text.decode()


def test_colour_is_for_terminals_and_no_color_turns_it_off(db: str) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|[34]8;[25])[0-9;]*m")
    shown, plain = in_a_terminal(db), in_a_terminal(db, NO_COLOR="1")
    assert coloured.search(shown)
    assert not coloured.search(plain)
    assert "\x1b" not in agent("show", "E1", "--db", db).stdout
    # Nothing but our own styles steers even a real terminal.
    assert "\x1b" not in ESCAPE.sub("", shown)


def test_what_is_longer_than_the_screen_comes_through_the_pager(db: str) -> None:
    pager = "sed s/^/paged:/"
    assert "paged:" not in in_a_terminal(db, PAGER=pager)
    shown = in_a_terminal(db, PAGER=pager, LINES="10").splitlines()
    assert len(shown) > 10
    assert all(line.startswith("paged:") for line in shown)
    piped = subprocess.run(
        [sys.executable, "-c", PROGRAM, "show", "E1", "--db", db],
        capture_output=True, text=True, env={**os.environ, "PAGER": pager, "LINES": "10"}, check=True,
    )  # fmt: skip
    assert "paged:" not in piped.stdout


def test_a_terminal_that_knows_only_ascii_still_gets_everything(db: str) -> None:
    args = [sys.executable, "-c", PROGRAM, "show", "E1", "--db", db]
    done = subprocess.run(args, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True)
    assert b"arithmetic \\xb7 explore" in done.stdout


@given(st.text())
def test_printable_text_is_printable_and_only_escapes(text: str) -> None:
    shown = printable(text)
    assert not [
        one for one in shown if one != "\n" and re.match(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", one)
    ]
    shown.encode()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_browsing_imports_nothing_heavy(db: str, args: tuple[str, ...]) -> None:
    heavy = {"torch", "transformers", "openai", "pydantic", "sqlite_utils", "matplotlib", "numpy"}
    watch = f"import atexit\natexit.register(lambda: print(sorted({heavy} & set(sys.modules)), file=sys.stderr))\n"
    program = PROGRAM.replace("import click, sys\n", f"import click, sys\n{watch}")
    done = subprocess.run(
        [sys.executable, "-c", program, *args, "--db", db], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


def test_experiments_by_hand_are_no_study_and_not_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lashley.db"
    for count in range(2):
        with Store.open(path) as store:
            store.begin_experiment(
                run=None, kind="baseline", model="m", task="t", split="explore", n=8, config={}, reason="",
                config_hash=str(count), task_fingerprint="t", code_version="1", environment={},
                subject={"name": "m", "fingerprint": "a", "architecture": "llama", "anatomy": {}},
            )  # fmt: skip
    assert agent("runs", "--db", str(path)).stderr == "No study yet; 2 experiments: agent experiments\n"
    assert agent("notes", "--db", str(path)).stderr == "No note yet; 2 experiments: agent experiments\n"
