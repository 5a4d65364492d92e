"""The notebook `docs/tour.ipynb`: its cells are run in an empty folder, and give what it shows and what it promises."""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

import lashley
from lashley.experiments.planted.truth import TRUTHS

from .test_docs import ROOT, module

TOUR = module("make_tour", ROOT / "docs" / "make_tour.py")
NUMBER = re.compile(r"-?\d+\.\d+")
# What the cells have in hand at the end, as numbers.
ASKED = """
import json
print(json.dumps({
    "accuracy": lashley.run(lashley.Baseline(n=8), task, model).measurements().set_index("name").value["accuracy"],
    "effects": dict(zip(found.effects()["site"], found.effects()["value"])),
    "per_prompt": found.array("logit_diff").tolist(),
    "by_hand": (without - intact).tolist(),
    "kept": [strongest, mean, logged.id, again.id, tracker.experiment(logged.id).row.reason],
    "looks": seen[strongest + ".pattern"][0, -1].tolist(),
    "study": [study.status, study.id, [h.status for h in study.hypotheses], study.report.markdown],
    "quantities": [p.quantity for h in study.hypotheses for p in h.predictions],
    "fingerprints": [planted.fingerprint, mine.fingerprint],
}))
"""


@pytest.fixture(scope="module")
def written() -> NotebookNode:
    return nbformat.read(TOUR.TOUR, as_version=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def run(written: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook as it comes out here, with a last cell that tells what the others have made."""
    asked = nbformat.from_dict(written)
    asked.cells.append(nbformat.v4.new_code_cell(ASKED))
    return TOUR.executed(asked, folder)


@pytest.fixture(scope="module")
def made(run: NotebookNode) -> dict[str, Any]:
    return json.loads(run.cells[-1].outputs[0].text)


def shown(cell: NotebookNode) -> list[tuple[str, str, str]]:
    """What a cell shows: where, as what, and its text."""
    found: list[tuple[str, str, str]] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            found.append((output.name, "text/plain", output.text))
        else:
            found += [(output.output_type, kind, "".join(text)) for kind, text in sorted(output.data.items())]
    return found


def test_the_notebook_is_short_and_every_cell_was_run(written: NotebookNode) -> None:
    assert 12 <= len(written.cells) <= 20
    assert [cell.cell_type for cell in written.cells] == ["markdown", "code"] * (len(written.cells) // 2)
    assert all(shown(cell) for cell in written.cells if cell.cell_type == "code")
    assert not any("metadata" in cell and cell.metadata for cell in written.cells), "no times are kept"


def test_its_cells_give_what_it_shows(written: NotebookNode, run: NotebookNode) -> None:
    """The same words; a number may differ in its last digit, by the processor. `make tour` writes them anew."""
    for old, new in zip(written.cells, run.cells[:-1], strict=True):
        for there, here in zip_longest(shown(old), shown(new)):
            assert there is not None, (old.source, here)
            assert here is not None, (old.source, there)
            assert there[:2] == here[:2], old.source
            if there[1] == "image/svg+xml":
                assert here[2].startswith("<svg")
                continue
            assert words(there[2]) == words(here[2]), old.source
            numbers = [[float(n) for n in NUMBER.findall(text)] for text in (there[2], here[2])]
            assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=0.021), old.source


def words(text: str) -> str:
    return " ".join(NUMBER.sub("#", text).split())


def test_nothing_of_this_machine_is_kept_in_it(written: NotebookNode, run: NotebookNode, folder: Path) -> None:
    for cell in (*written.cells, *run.cells):
        for where, _, text in shown(cell):
            assert where != "stderr"
            for own in (str(folder), str(ROOT), str(Path.home()), "/tmp", ".venv"):
                assert own not in text, cell.source


def test_what_it_measures_is_true(made: dict[str, Any]) -> None:
    """The numbers of its cells, worked out again in this process or known beforehand."""
    values = made["per_prompt"]
    changes = {
        site: sum(map(float.__sub__, row, values[0])) / 8 for site, row in zip(made["effects"], values[1:], strict=True)
    }
    assert made["effects"] == pytest.approx(changes, abs=1e-5)
    strongest, mean, *ids, reason = made["kept"]
    assert strongest == max(made["effects"], key=lambda site: abs(made["effects"][site])) == "L23.H4"
    assert sum(made["by_hand"]) / 8 == pytest.approx(made["effects"][strongest], abs=1e-4)
    row = [b - a for a, b in zip(values[0], values[1 + list(made["effects"]).index(strongest)], strict=True)]
    assert sorted(made["by_hand"]) == pytest.approx(sorted(row), abs=1e-3), "prompt by prompt, in some order"
    assert mean < -1, "needed under the mean, too, as the text says"
    assert (*ids, reason) == ("E1", "E1", "Is zero too harsh?")
    assert max(made["looks"]) == made["looks"][3] > 0.5, "at the country"
    assert made["accuracy"] > 0.2


def test_its_study_finds_what_was_planted_and_lies_in_its_own_tracker(made: dict[str, Any], folder: Path) -> None:
    status, run, verdicts, report = made["study"]
    assert (status, set(verdicts)) == ("finished", {"supported"})
    needed = TRUTHS["planted:induction"].needed
    assert all(head in report for head in needed)
    assert {f"effect[{head}]" for head in needed} <= set(made["quantities"])
    assert made["fingerprints"][0] != made["fingerprints"][1], "a head fewer is another model"
    assert not (folder / "lashley.db").exists()
    with lashley.open(folder / "tour.db") as tracker:
        study = tracker.study(run)
        assert study.report.markdown == report
        assert {one.config["model"] for one in study.experiments} == {"planted:induction"}
        assert tracker.experiment("E1").config["heads"] == ["L23.H4"]


def test_every_error_that_it_shows_is_one_line_of_ours(run: NotebookNode) -> None:
    ((_, _, text),) = shown(run.cells[-2])
    lines = text.splitlines()
    assert len(lines) == 5
    assert all(line.split(":")[0] in lashley.errors.__all__ for line in lines)


def test_it_shows_every_part_of_the_api(written: NotebookNode) -> None:
    code = "\n".join(cell.source for cell in written.cells if cell.cell_type == "code")
    for said in ("load(", "Task(", "Prompt(", "run(", ".top(", ".effects()", ".picture()", "log=True", "lashley.open()",
                 ".activations(", ".intervene(", "Edit(", "lashley.study(", ".report", ".hypotheses", ".experiments",
                 "lashley.errors"):  # fmt: skip
        assert said in code
