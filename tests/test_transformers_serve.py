"""A server that nobody here wrote: `transformers serve` on loopback.

It answers with text whatever it is sent: tools and JSON schemas it leaves out, without a refusal. A study that is asked
of it must end in one clear line.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from lashley.agent.doctor import examine
from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import Message
from lashley.agent.main import cli
from lashley.experiments.model.bundled import bundled_folder

from .tiny import tiny_model

WORDS = 24
NEITHER = "supports neither tools nor JSON schemas"


def subject_folder(which: str, at: Path) -> Path:
    """SmolLM2, or a small model of random weights behind its tokenizer and chat template."""
    smollm2 = bundled_folder("smollm2-135m")
    if which == "smollm2":
        return smollm2
    for file in smollm2.iterdir():
        if "tokenizer" in file.name or "template" in file.name:
            shutil.copy(file, at)
    ends = {"eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 2}
    tiny_model("llama", vocab_size=49152, max_position_embeddings=8192, **ends).save_pretrained(at)
    return at


@pytest.fixture(scope="module", params=["tiny", pytest.param("smollm2", marks=pytest.mark.slow)])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of the server and the name of its model."""
    folder = subject_folder(request.param, tmp_path_factory.mktemp("served"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", folder, "--host", "127.0.0.1", "--port", port]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(1200):
                try:
                    httpx2.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                    break
                except httpx2.HTTPError:
                    assert server.poll() is None, "the server ended"
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1", str(folder)
        finally:
            server.kill()


def test_it_answers_the_driver(served: tuple[str, str]) -> None:
    url, model = served
    driver = ChatDriver(model, url, max_output_tokens=WORDS, retries=0)
    asked = (Message(role="user", text="Where is Paris?"),)
    reply = driver.reply("Answer in a word.", asked, ())
    assert reply.text
    assert not reply.calls
    assert reply.tokens_out is not None
    assert 0 < reply.tokens_out <= WORDS
    longer = (*asked, Message(role="assistant", text=reply.text), Message(role="user", text="And Rome?"))
    counted = driver.reply("Answer in a word.", longer, ()).tokens_in
    assert counted is not None
    assert reply.tokens_in is not None
    assert counted > reply.tokens_in


def test_the_doctor_says_that_it_drives_no_study(served: tuple[str, str]) -> None:
    url, model = served
    driver = ChatDriver(model, url, max_output_tokens=WORDS, retries=0)
    of = examine(driver, driver.server)
    assert not of.works
    assert {check.name: check.found for check in of.checks}["reachable"] == "yes"
    assert NEITHER in of.checks[-1].text


def test_a_study_ends_in_one_line(served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, model = served
    monkeypatch.chdir(tmp_path)
    study = ["run", "--goal", "Which heads?", "--model", "planted-induction", "--tools", "baseline"]
    # So little is left to each answer that SmolLM2, which seldom stops, is soon done.
    said = CliRunner().invoke(cli, [*study, "--driver", "chat", "--base-url", url, "--llm", model, "--context", "7000"])
    assert said.exit_code == 1
    assert said.output.count(NEITHER) == 1
    assert "Traceback" not in said.output
    report = (tmp_path / "reports" / "R1" / "report.html").read_text()
    assert NEITHER in report
    with sqlite3.connect(tmp_path / "lashley.db") as tracker:
        assert tracker.execute("pragma integrity_check").fetchone() == ("ok",)
        assert tracker.execute("select status from runs").fetchall() == [("failed",)]
