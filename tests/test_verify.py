"""`agent verify`: an untouched report holds; one that was edited, or whose tracker was, does not, line by line."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lashley.agent.commands.verify import verify
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.tools.report.default import source_of
from lashley.tools.report.render import render, write
from lashley.tools.workbench.catalog import kind_texts
from lashley.tools.workbench.verify import cited

from .recorded import EXPERIMENT, RUN, SOURCE, chain_anew, found, older, recorded, tamper


def write_report(path: Path, folder: Path) -> None:
    with Reader.open(path) as reader:
        write(render(source_of(reader, 1), reader, 1, kind_texts()), folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_report(recorded(folder / "lashley.db", SOURCE + "\nSo **{{H1.status}}** is H1."), folder / "reports/R1")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    done = CliRunner().invoke(verify, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


@pytest.mark.parametrize("what", ["R1", "E1", "E4", "R2", "reports/R1/report.html", "reports/R1/report.md"])
def test_what_was_not_touched_holds(here: Path, what: str) -> None:
    done = run(what)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"{what}: holds.")


def test_a_report_says_its_study_code_and_seal(here: Path) -> None:
    with Reader.open(here / "lashley.db") as reader:
        seal = reader.run(1).seal
    for name in ("report.html", "report.md"):
        text = (here / "reports/R1" / name).read_text()
        assert seal in text
        assert "agent verify R1" in text


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("report.html", "0.312", "0.412"),
        ("report.html", "the loss rises by", "the loss falls by"),
        ("report.html", "<td>L0.H1</td>", "<td>L0.H2</td>"),
        ("report.html", "supported", "refuted"),
        ("report.md", "| 0.1 ", "| 0.2 "),
        ("report.md", "It does.", "It does not."),
        ("report.md", "\n", "\r\n"),
        ("report.md", "**supported**", "**refuted**"),
    ],
)
def test_one_edit_of_a_report_is_shown(here: Path, name: str, old: str, new: str) -> None:
    file = here / "reports/R1" / name
    text = file.read_bytes().decode()
    assert old in text, f"nothing to edit in {name}"
    file.write_bytes(text.replace(old, new, 1).encode())
    done = run("R1")
    assert done.exit_code == 1
    (line, last) = done.stdout.splitlines()
    assert re.match(rf"reports/R1/{name}, line \d+: it says .* and should say ", line)
    assert last == "R1: does not hold, 1 difference."


@pytest.mark.parametrize("name", ["report.html", "figures/E1-layers.svg"])
def test_a_bar_that_was_made_taller_is_shown(here: Path, name: str) -> None:
    file = here / "reports/R1" / name
    text = file.read_text()
    bar = re.search(r'<path d="M [\d.]+ ([\d.]+)', text)
    assert bar is not None
    file.write_text(text[: bar.start(1)] + "9" + text[bar.start(1) :])
    done = run("R1")
    assert done.exit_code == 1
    assert f"reports/R1/{name}, line" in done.stdout


def test_lines_put_in_or_taken_out_are_shown(here: Path) -> None:
    file = here / "reports/R1/report.md"
    lines = file.read_text().split("\n")
    file.write_text("\n".join([*lines[:4], "Every head adds.", *lines[4:]]))
    assert "line 5: 'Every head adds.' should not be there" in run("reports/R1/report.md").stdout
    at = next(i for i, line in enumerate(lines) if "Refuted if" in line)
    file.write_text("\n".join(lines[:at] + lines[at + 1 :]))
    assert f"line {at + 1}: '- Refuted if" in run("reports/R1/report.md").stdout


def test_a_figure_that_is_gone_is_shown(here: Path) -> None:
    (here / "reports/R1/figures/E1-layers.svg").unlink()
    done = run("R1")
    assert (done.exit_code, "E1-layers.svg is missing" in done.stdout) == (1, True)


def test_a_number_changed_in_the_tracker_breaks_the_seal_and_the_report(here: Path) -> None:
    tamper(here / "lashley.db", "UPDATE effects SET value = 0.4 WHERE site = 'L7.H3' AND experiment = 1")
    told = run("R1").stdout
    assert "E1 has been changed since it was sealed" in told
    assert "report.html, line" in told
    assert run("E1").exit_code == 1
    # R2 rests on E1, which it used.
    assert "E1 has been changed since it was sealed" in run("R2").stdout


def test_a_chain_computed_anew_is_caught_by_the_report(here: Path) -> None:
    path = here / "lashley.db"
    tamper(path, "UPDATE seals SET sha256 = upper(sha256) WHERE what = 'turn' AND row = 1")
    chain_anew(path, 1)
    done = run("reports/R1/report.html")
    assert done.exit_code == 1
    assert "is not in the chain of R1" in done.stdout


def test_a_trigger_that_was_taken_away_is_shown(here: Path) -> None:
    with closing(sqlite3.connect(here / "lashley.db")) as connection:
        connection.execute("DROP TRIGGER notes_kept_delete")
    done = run("R1")
    assert (done.exit_code, "the trigger notes_kept_delete is missing" in done.stdout) == (1, True)


def test_a_study_that_was_taken_out_is_missed(here: Path) -> None:
    tamper(here / "lashley.db", "DELETE FROM runs WHERE id = 1")
    done = run("R1")
    assert (done.exit_code, "R1 was sealed and is missing" in done.stdout) == (1, True)


def test_what_is_written_after_the_end_leaves_the_report_as_it_was(here: Path) -> None:
    with Store.open(here / "lashley.db") as store:
        store.set_hypothesis_status(1, "supported", "It does.", [1])
        number = store.begin_experiment(run=None, **EXPERIMENT)
        store.finish_experiment(number, found().model_dump(), 1.0)
    with Reader.open(here / "lashley.db") as reader:
        seal = reader.run(1).seal
    assert seal in (here / "reports/R1/report.html").read_text()


def test_a_report_by_other_code_is_said_to_be_and_its_values_are_compared(here: Path) -> None:
    file = here / "reports/R1/report.md"
    text = re.sub(r"code `[^`]+`, seal", "code `0.0.1+abc`, seal", file.read_text())
    file.write_text(text)
    assert run(str(file)).exit_code == 0, "only the code is another"
    file.write_text(text.replace("How to read this", "Words").replace("0.312", "0.512"))
    done = run(str(file))
    assert done.exit_code == 1
    assert "was written by code 0.0.1+abc" in done.stderr
    said = done.stdout.replace("\xa0", " ")
    assert "{{E1.effect[L7.H3]}} is 0.312 [0.220, 0.400], n = 8, which the file does not contain" in said


def test_a_tracker_older_than_seals_is_verified_with_a_remark(here: Path) -> None:
    path = older(here / "lashley.db", here / "older.db")
    done = run("R1", "--db", str(path), "--report", "reports/R1/report.md")
    assert "is not in the chain of R1" in done.stdout
    write_report(path, here / "old")
    done = run("R1", "--db", str(path), "--report", "old/report.md")
    assert (done.exit_code, "14 records are older than seals" in done.stdout) == (0, True), done.output


def test_the_answer_as_json(here: Path) -> None:
    assert json.loads(run("R1", "--json").stdout)["holds"] is True
    file = here / "reports/R1/report.html"
    file.write_text(file.read_text().replace("0.312", "0.912"))
    told = json.loads(run("R1", "--json").stdout)
    assert told["holds"] is False
    assert all("0.912" in line or "0.312" in line for line in told["differences"])


@pytest.mark.parametrize(
    "words", [["N1"], ["R9"], ["X"], ["nothing.html"], ["E1", "--report", "reports/R1/report.md"], ["lashley.md"]]
)
def test_what_cannot_be_verified_is_one_line_and_exit_code_2(here: Path, words: list[str]) -> None:
    (here / "lashley.md").write_text("# No report\n")
    done = run(*words)
    assert done.exit_code == 2
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1


def test_the_experiments_behind_a_report_are_those_that_it_names_and_its_hypotheses_rest_on(here: Path) -> None:
    with Reader.open(here / "lashley.db") as reader:
        assert cited(reader, 1) == [1]


def test_verifying_waits_for_no_model(here: Path) -> None:
    program = (
        "import sys; from lashley.agent.commands.verify import verify\n"
        "try: verify(['R1'])\n"
        "except SystemExit as done: print(done.code, {'torch', 'openai', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 set()"


def test_verdicts_that_do_not_follow_from_the_experiment_that_was_predicted_of_are_shown(here: Path) -> None:
    """Written by the program's own means, so that every seal holds."""
    expected = {"kind": "baseline", "config": {"n": 8}, "quantity": "accuracy", "comparison": "above"}
    judged = {"value": 0.9, "low": 0.6, "high": 1.0, "n": 8, "p": 0.01, "side": "for"}
    with Store.open(here / "lashley.db") as store:
        run_3 = store.begin_run(**RUN)
        wanted = [{**expected, "low": 0.5, "high": None}]
        number = store.add_hypothesis(run_3, "It adds.", "", "", wanted)
        config = {**EXPERIMENT["config"], "split": "confirm", "seed": number}
        same = {"kind": EXPERIMENT["kind"], "config": config, "quantity": "accuracy_drop", "comparison": "above"}
        other = store.add_hypothesis(run_3, "It does.", "", "", [{**same, "low": 0.1, "high": None}])
        test = store.begin_experiment(run=run_3, **{**EXPERIMENT, "config": {**config, "seed": other}})
        store.finish_experiment(test, found().model_dump(), 1.0)
        store.add_judgement(2, test, judged)
        store.add_judgement(3, test, judged)
    done = run("R3")
    assert done.exit_code == 1
    assert f"H{number}, 'accuracy above 0.5': E{test} is not the experiment that it predicted" in done.stdout
    assert (
        f"H{other}, 'accuracy_drop above 0.1': judged again from E{test}, these differ: value, low, high" in done.stdout
    )
