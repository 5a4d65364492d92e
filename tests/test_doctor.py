"""`agent doctor` against real servers on loopback: what it says of them is what they do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lashley import prompts
from lashley.agent.doctor import Health, examine
from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import ToolSpec
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.agent.main import cli
from lashley.tests.wire import Answer, Wire, chat, function_call, response
from lashley.tools.registry import all_tools
from lashley.tools.toolset import core, offered

NOTE = {"title": "a", "text": "b.", "tags": [], "experiments": []}
KEY = "sk-a-key-that-nobody-may-print"
Script = Callable[[dict[str, Any]], object]


def refusal(message: str, status: int = 400) -> Answer:
    return Answer(status, json.dumps({"error": {"message": message}}).encode(), {"x-should-retry": "false"}, 0)


def listing(script: Script, **about: Any) -> Script:
    """The script, by a server that lists its one model."""
    return lambda body: script(body) if body else {"data": [{"id": "m", **about}]}


def calling(per_token: int = 4) -> Script:
    """Calls what it is asked to, and counts a token in so many characters."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if "input" in body:
            return response(function_call(f"c{len(body['input'])}", "write_note", json.dumps(NOTE)))
        reply = chat(None, ("c", "write_note", json.dumps(NOTE)))
        reply["usage"]["prompt_tokens"] = len(json.dumps(body)) // per_token
        return reply

    return answer


def talking(body: dict[str, Any]) -> dict[str, Any]:
    """Reads the tools, and answers in words."""
    reply = chat("I will write the note.")
    reply["usage"]["prompt_tokens"] = len(json.dumps(body)) // 4
    return reply


def dropping(body: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the tools without a word, and knows schemas."""
    if "response_format" in body:
        return chat(json.dumps({"tool": "write_note", "arguments": NOTE}))
    reply = chat("I will write the note.")
    reply["usage"]["prompt_tokens"] = len(json.dumps(body["messages"])) // 4
    return reply


def shy(body: dict[str, Any]) -> dict[str, Any]:
    """Takes tools and only talks; fills in a schema."""
    if "response_format" in body:
        return chat(json.dumps({"tool": "write_note", "arguments": NOTE}))
    return chat("I will write the note.")


def deaf(body: dict[str, Any]) -> object:
    return refusal("m does not support tools") if "tools" in body else chat("I will write the note.")


def lax(body: dict[str, Any]) -> object:
    """Does not know `strict`."""
    if "strict" in json.dumps(body.get("tools", ())):
        return refusal("Unknown parameter: strict")
    return calling()(body)


def health(wire: Wire, script: Script, api: type[ChatDriver | ResponsesDriver] = ChatDriver, **about: Any) -> Health:
    driver = api("m", wire.by(listing(script, **about)).url, KEY, retries=0)
    return examine(driver, driver.server)


def found(of: Health) -> dict[str, str]:
    return {check.name: check.found for check in of.checks}


def text(of: Health, name: str) -> str:
    return next(check.text for check in of.checks if check.name == name)


GOOD = {"reachable": "yes", "model": "yes", "key": "yes", "tools": "yes", "strict": "yes", "context": "yes"}


@pytest.mark.parametrize("api", [ChatDriver, ResponsesDriver])
def test_a_server_that_has_everything(api: type[ChatDriver | ResponsesDriver], wire: Wire) -> None:
    of = health(wire, calling(), api, max_model_len=200_000)
    assert found(of) == GOOD
    assert of.tools == "all"
    # The second turn carried the result of the first, as a study's does.
    assert "N1: written." in wire.received[-1].raw.decode()


def test_one_that_drops_tools_is_driven_by_a_schema(wire: Wire) -> None:
    of = health(wire, dropping, context_length=200_000)
    assert found(of) == {**GOOD, "strict": "no"}
    assert "JSON schema" in text(of, "tools")


@pytest.mark.parametrize(("script", "why"), [(deaf, "neither tools nor JSON schemas"), (talking, "calls none")])
def test_one_that_calls_nothing_drives_no_study(script: Script, why: str, wire: Wire) -> None:
    of = health(wire, script, context_length=200_000)
    assert why in text(of, "tools")
    assert (found(of)["tools"], of.tools) == ("no", None)


def test_one_that_only_talks_is_driven_by_a_schema(wire: Wire) -> None:
    of = health(wire, shy, context_length=200_000)
    assert found(of) == {**GOOD, "strict": "no"}
    assert "calls no tools" in text(of, "tools")


def test_one_that_refuses_strict_works(wire: Wire) -> None:
    assert found(health(wire, lax, context_length=200_000)) == {**GOOD, "strict": "no"}


def test_a_call_that_cannot_be_read_is_none(wire: Wire) -> None:
    of = health(wire, lambda _: chat(None, ("c", "write_note", '{"title": ')))
    assert (found(of)["tools"], of.tools) == ("no", None)


@pytest.mark.parametrize(
    ("answer", "where", "why"),
    [
        (refusal(f"Incorrect API key provided: {KEY}", 401), "key", "does not accept the key"),
        (refusal("The model `m` does not exist", 404), "model", "has no model m"),
        (refusal("maximum context length is 512 tokens"), "context", "longer than m"),
        (refusal("crash", 500), "tools", "failed (500)"),
    ],
)
def test_a_refusal_is_shown_where_it_belongs(answer: Answer, where: str, why: str, wire: Wire) -> None:
    of = health(wire, lambda _: answer)
    last = of.checks[-1]
    assert (last.name, last.found, last.fatal, of.tools) == (where, "no", True, None)
    assert why in last.text
    assert KEY not in of.model_dump_json()


def test_nobody_there() -> None:
    driver = ChatDriver("m", "http://127.0.0.1:9/v1", retries=0)
    of = examine(driver, driver.server)
    assert (found(of), of.tools) == ({"reachable": "no"}, None)


@pytest.mark.parametrize("per_token", [2, 4])
def test_what_the_tools_take_is_what_a_study_sends(per_token: int, wire: Wire) -> None:
    """Reckoned from two short turns; here the request of a study itself is counted."""
    of = health(wire, calling(per_token), context_length=10**6)
    said = [int(number.replace(",", "")) for number in re.findall(r"[\d,]{4,}", text(of, "context"))][1:]
    driver, every = ChatDriver("m", wire.url), all_tools()
    for number, names in zip(said, (None, core()), strict=True):
        specs = [ToolSpec.of(tool) for tool in offered(every, names).values()]
        sent = driver.request(prompts.read("system"), (), specs)
        assert number == pytest.approx(len(json.dumps(sent)) / per_token, rel=0.15)


def test_the_widest_choice_that_fits_is_taken(wire: Wire) -> None:
    need = text(health(wire, calling(), context_length=10**6), "context")
    everything, few = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{4,}", need)[1:])
    for reads, tools in [(2 * everything, "all"), (everything, "core"), (few, None)]:
        of = health(wire, calling(), context_length=reads)
        assert of.tools == tools
        assert found(of)["context"] == ("yes" if tools == "all" else "no")
    unknown = health(wire, calling())
    assert (found(unknown)["context"], unknown.tools) == ("unknown", "all")


def doctor(*words: str, **environment: str) -> Result:
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LASHLEY_PROFILE", "LASHLEY_TIMEOUT")
    clean: dict[str, str | None] = dict.fromkeys(names)
    return CliRunner().invoke(cli, ["doctor", *words], env={**clean, "COLUMNS": "80", **environment})


def test_the_command_says_what_will_work(wire: Wire) -> None:
    wire.by(listing(calling(), context_length=200_000))
    done = doctor("--base-url", wire.url)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].split() == (
        ["agent", "run", "--goal", "...", "--driver", "chat", "--llm", "m", "--base-url", wire.url]
    )
    assert all(len(line) <= 80 for line in done.stdout.splitlines()[:-1])
    assert "\x1b" not in done.stdout
    told = json.loads(doctor("--base-url", wire.url, "--json").stdout)
    assert (told["tools"], told["profile"], len(told["checks"])) == ("all", "compatible", 6)


def test_the_command_fails_where_no_study_can_be_driven(wire: Wire) -> None:
    wire.by(listing(deaf))
    done = doctor("--base-url", wire.url)
    assert done.exit_code == 1
    assert "agent run --driver autopilot" in done.stdout


def test_without_a_server_the_autopilot_works() -> None:
    done = doctor()
    assert done.exit_code == 0
    assert "autopilot" in done.stdout
    assert json.loads(doctor("--json").stdout)["works"] is True
