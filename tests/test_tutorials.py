"""The tutorials: what a reader types, typed in an empty folder, one after the other."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lashley.agent.main import cli

DOCS = Path(__file__).parent.parent / "docs"


def followed(page: str) -> list[tuple[str, Result]]:
    """Each command of the page in its order, with what came of it; the files that it shows lie there."""
    text, done = (DOCS / page).read_text(encoding="utf-8"), list[tuple[str, Result]]()
    for content in re.findall(r"```jsonl\n(.*?)```", text, re.DOTALL):
        Path("opposites.jsonl").write_text(content, encoding="utf-8")
    for line in re.findall(r"^    agent (.*)$", text, re.MULTILINE):
        result = CliRunner().invoke(cli, shlex.split(line), env={"COLUMNS": "100"})
        assert result.exit_code == 0, f"agent {line}: {result.output}"
        done.append((line, result))
    return done


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("LASHLEY_DB", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_from_a_claim_back_to_its_numbers(empty: Path) -> None:
    said = {line.split()[0] + " " + line.split()[1]: result.stdout for line, result in followed("first_study.md")}
    assert "H2 confirmed" in said["show H2"], "the page says that H2 is the claim"
    assert "identity" in said["show E9"]
    assert "random sets" in said["show E9"]
    assert "the same" in said["replay E9"]
    assert "supported" in said["experiment head_ablation"]
    assert (empty / "reports/R1/report.html").is_file()


def test_a_task_of_your_own(empty: Path) -> None:
    said = followed("own_task.md")
    listed = CliRunner().invoke(cli, ["experiments", "--json"]).stdout
    assert [(row["kind"], row["task"]) for row in json.loads(listed)] == [
        ("baseline", "opposites"), ("layer_program", "opposites"),
    ]  # fmt: skip
    assert "' small'" in said[1][1].stdout
