"""A driver is one row: what it needs decides how it is made, whoever wrote it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from lashley.agent.drivers import registry
from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.choose import choose
from lashley.agent.drivers.conversation import BadRequest, Message, NoKey, Reply, ToolSpec
from lashley.agent.drivers.registry import Asked, DriverRow
from lashley.agent.main import cli
from lashley.tests.wire import Wire


class Elsewhere:
    """Reaches its model in a way of its own."""

    name = "elsewhere"

    def __init__(self, asked: Asked) -> None:
        self.llm, self.asked = asked.llm, asked

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        return Reply(text="Nothing.")


def relay(asked: Asked) -> ChatDriver:
    made = ChatDriver(asked.llm, asked.base_url, asked.key, asked.timeout, asked.max_output_tokens, asked.retries,
                      asked.profile)  # fmt: skip
    made.name = "relay"
    return made


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        DriverRow("elsewhere", "a model of its own", "model", Elsewhere),
        DriverRow("relay", "a relay", "server", relay),
    )
    monkeypatch.setattr(registry, "OURS", (*registry.OURS, *rows))


def test_one_with_its_own_way_to_a_model_is_given_its_name_and_no_key(more: None) -> None:
    environ = {"OPENAI_API_KEY": "sk-secret-secret-secret", "LASHLEY_TIMEOUT": "7"}
    chosen = choose("elsewhere", "big", max_output_tokens=100, environ=environ)
    assert isinstance(chosen.driver, Elsewhere)
    assert chosen.driver.asked == Asked("big", timeout=7, max_output_tokens=100)
    assert chosen.why == "big chooses the experiments, through the driver elsewhere, as you asked."
    assert chosen.server is None
    with pytest.raises(BadRequest, match="needs a language model\\. Name one with --llm"):
        choose("elsewhere", environ={})


def test_one_that_asks_a_server_is_given_what_ours_are_given(more: None, wire: Wire) -> None:
    wire.then({"data": [{"id": "tiny"}]})
    chosen = choose("relay", base_url=wire.url, environ={}, retries=0)
    assert (chosen.driver.name, chosen.driver.llm) == ("relay", "tiny")
    assert chosen.server is not None
    assert chosen.server.url == wire.url
    with pytest.raises(NoKey, match="--driver relay needs a key or a server"):
        choose("relay", environ={})


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(BadRequest, match=r"There is no driver 'chatt'.*There is chat"):
        choose("chatt", environ={})


@pytest.mark.parametrize("command", ["run", "review", "fork", "doctor"])
def test_each_command_offers_the_same_drivers(command: str) -> None:
    told = " ".join(CliRunner().invoke(cli, [command, "--help"], terminal_width=200).stdout.split())
    assert "--driver [auto|responses|chat|autopilot]" in told
    assert "autopilot: a fixed protocol that needs no key." in told


def test_looking_at_the_rows_imports_no_driver(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from lashley.agent.drivers import registry\n"
        "assert registry.names()[:4] == ['auto', 'responses', 'chat', 'autopilot'] and registry.help_text()\n"
        "assert registry.driver_named('chat').needs == 'server'\n"
        "found = {'openai', 'lashley.agent.drivers.chat', 'lashley.agent.autopilot.driver'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
