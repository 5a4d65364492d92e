"""Who decides, of what is asked for and what the environment says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from lashley.agent.drivers.choose import DEFAULT_LLM, choose
from lashley.agent.drivers.conversation import (
    BadRequest,
    NoKey,
)
from lashley.tests.wire import Wire

from .driven import KEY


def choose_in(environ: dict[str, str], **asked: Any) -> Any:
    return choose(**asked, environ=environ, retries=0)


def test_a_key_alone_means_openai() -> None:
    choice = choose_in({"OPENAI_API_KEY": KEY})
    assert (choice.driver.name, choice.driver.llm) == ("responses", DEFAULT_LLM)
    assert "OPENAI_API_KEY" in choice.why
    assert KEY not in choice.why


def test_openais_own_address_is_openai() -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://api.openai.com/v1"}
    assert choose_in(environ).driver.name == "responses"


def test_nothing_set_means_the_autopilot() -> None:
    choice = choose_in({})
    assert choice.driver.name == "autopilot"
    assert "No language model" in choice.why


def test_a_base_url_means_chat_with_its_only_model_and_no_key(wire: Wire) -> None:
    wire.then({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
    choice = choose_in({"OPENAI_BASE_URL": wire.url})
    assert (choice.driver.name, choice.driver.llm) == ("chat", "tiny")
    assert "OPENAI_BASE_URL" in choice.why
    assert wire.received[0].path == "/v1/models"
    assert choose_in({"OPENAI_API_KEY": KEY}, base_url=wire.url, driver="responses").driver.name == "responses"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, 200, "a, b"),
        ({"data": []}, 200, "offers no model"),
        ({"detail": "Not Found"}, 404, "does not list"),
    ],
)
def test_a_model_that_must_be_named(body: object, status: int, words: str, wire: Wire) -> None:
    wire.then(body, status)
    with pytest.raises(BadRequest, match=words) as raised:
        choose_in({}, base_url=wire.url)
    assert "--llm" in str(raised.value)
    assert choose_in({}, base_url=wire.url, llm="b").driver.llm == "b"


@pytest.mark.parametrize("asked", [{"driver": "responses"}, {"driver": "chat"}, {"llm": "gpt-x"}])
def test_asking_for_a_language_model_without_a_key(asked: dict[str, Any]) -> None:
    with pytest.raises(NoKey, match="Set OPENAI_API_KEY"):
        choose_in({}, **asked)


def test_the_autopilot_as_asked_minds_no_settings() -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "not a url"}
    assert choose_in(environ, driver="autopilot").driver.name == "autopilot"


def test_the_default_model_is_current_in_the_sdk() -> None:
    from openai.types.shared import chat_model

    assert DEFAULT_LLM in get_args(chat_model.ChatModel)
    deprecated = Path(chat_model.__file__).read_text().partition("Deprecated values")[2]
    assert f'"{DEFAULT_LLM}"' not in deprecated


def test_choosing_waits_for_no_import_of_the_sdk() -> None:
    code = (
        "import sys; from lashley.agent.drivers.choose import choose; choose('chat', 'm', 'http://h/v1', environ={});"
        "assert 'openai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
