"""What is known of each kind of server is used: how it is recognised, and what it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import BadRequest, Call, Message, Reply, ToolSpec
from lashley.agent.drivers.profiles import BY_NAME, by_address, context_length
from lashley.agent.drivers.server import Server
from lashley.tests.wire import Wire, chat

LONG = "Look at every head of every layer, one after the other. " * 20
GOAL = (Message(role="user", text="Which heads add?"),)
TOOLS = tuple(
    ToolSpec(
        name=name,
        description=f"{name} something. " * 80,
        parameters={
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        },
    )
    for name in ("note", "measure", "report")
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://eu.openrouter.ai/api/v1", "openrouter"),
        ("https://notopenrouter.ai/api/v1", "compatible"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:8000/v1", "compatible"),
    ],
)
def test_a_server_is_known_by_its_address(url: str, name: str) -> None:
    assert by_address(url).name == name


@pytest.mark.parametrize(
    ("owner", "headers", "name"),
    [
        ("vllm", {}, "vllm"),
        ("llamacpp", {}, "llama.cpp"),
        ("me", {"openai_processing_ms": "12"}, "llama-cpp-python"),
        ("library", {}, "ollama"),
        ("acme", {"server": "llama.cpp"}, "llama.cpp"),
        ("acme", {"openai_processing_ms": "12"}, "openai"),
        ("acme", {}, "compatible"),
    ],
)
def test_a_server_is_known_by_its_answer(owner: str, headers: dict[str, str], name: str, wire: Wire) -> None:
    headers = dict(headers)
    if "server" in headers:
        wire.server_header = headers.pop("server")
    wire.then({"data": [{"id": "m", "owned_by": owner}]}, **headers)
    server = Server(wire.url, None, 10, 0)
    assert server.knock() == [{"id": "m", "owned_by": owner}]
    assert server.profile.name == name
    told = Server(wire.url, None, 10, 0, "vllm")
    told.knock()
    assert told.profile.name == "vllm", "what the user says counts"


@pytest.mark.parametrize("name", BY_NAME)
def test_each_is_sent_what_it_knows(name: str, wire: Wire) -> None:
    profile = BY_NAME[name]
    wire.then(chat("ok"))
    ChatDriver("m", wire.url, max_output_tokens=50, profile=name).reply("", GOAL, TOOLS)
    sent = wire.bodies[0]
    assert sent[profile.limits[0]] == 50
    assert ("strict" in sent["tools"][0]["function"]) == ("strict" in profile.options)
    for option in ("parallel_tool_calls", "tool_choice"):
        assert (option in sent) == (option in profile.options)
    assert {k: sent[k] for k in profile.extra} == profile.extra


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"max_model_len": 4096}, 4096),
        ({"context_length": 131072}, 131072),
        ({"meta": {"n_ctx_train": 2048}}, 2048),
        ({"meta": None}, None),
        ({"max_model_len": True, "context_length": "8k"}, None),
    ],
)
def test_the_context_length_is_read_where_it_is_told(entry: dict[str, Any], length: int | None) -> None:
    assert context_length(entry) == length


@pytest.mark.parametrize(("name", "text"), [("compatible", None), ("llama-cpp-python", "")])
def test_a_call_without_text_is_sent_as_the_server_takes_it(name: str, text: str | None, wire: Wire) -> None:
    wire.then(chat("ok"))
    said = Message(role="assistant", calls=(Call(id="c", name="note", arguments="{}"),))
    answer = Message(role="tool", call_id="c", text="N1")
    ChatDriver("m", wire.url, profile=name).reply(LONG, (*GOAL, said, answer), TOOLS)
    assert wire.bodies[0]["messages"][2]["content"] == text


def test_few_tools_that_were_dropped_are_noticed(wire: Wire) -> None:
    """All together they are shorter than the instructions, and even so the count shows it."""
    few = TOOLS[:1]
    told = LONG * 2
    assert len(few[0].description) < len(told)
    wire.then(counted(chat("Sure! I will."), (len(told) + 100) // 8)).then(chat(object_of("note")))
    assert ChatDriver("m", wire.url).reply(told, GOAL, few).calls


# Without tools


def counted(body: dict[str, Any], tokens: int) -> dict[str, Any]:
    return {**body, "usage": {"prompt_tokens": tokens, "completion_tokens": 5}}


def object_of(name: str, text: str = "L0.H1") -> str:
    return json.dumps({"tool": name, "arguments": {"text": text}})


def spoken(wire: Wire, *turns: Reply) -> tuple[ChatDriver, Reply]:
    """A driver's next reply, after these."""
    driver, messages = ChatDriver("m", wire.url, retries=0), list(GOAL)
    for i, turn in enumerate(turns):
        messages.append(Message(role="assistant", text=turn.text, calls=turn.calls))
        messages += [Message(role="tool", call_id=call.id, text=f"answer {i}") for call in turn.calls]
    return driver, driver.reply(LONG, messages, TOOLS)


def test_tools_that_were_dropped_are_noticed_and_a_schema_is_sent_instead(wire: Wire) -> None:
    wire.then(counted(chat("Sure! I will."), len(LONG) // 4)).then(chat(object_of("note")))
    driver, reply = spoken(wire)
    assert reply.calls == (Call(id="call_0", name="note", arguments='{"text": "L0.H1"}'),)
    assert (reply.text, driver.by_schema) == ("", True)
    first, second = wire.bodies
    assert "tools" in first
    assert not {"tools", "parallel_tool_calls"} & set(second)
    told = second["messages"][0]["content"]
    assert told.startswith(LONG.strip())
    assert all(f"{tool.name}: {tool.description}" in told for tool in TOOLS)
    schema = second["response_format"]["json_schema"]["schema"]
    names = [one["properties"]["tool"]["enum"] for one in schema["anyOf"]]
    assert names == [["note"], ["measure"], ["report"]]
    assert schema["anyOf"][1]["properties"]["arguments"] == TOOLS[1].parameters


@pytest.mark.parametrize("tokens", [2, len(LONG), None])
def test_tools_that_were_read_are_not_taken_for_dropped(tokens: int | None, wire: Wire) -> None:
    """Neither with as many tokens as they have, nor where the count leaves out what the server had read before."""
    wire.then(chat("Hello.") | ({"usage": None} if tokens is None else counted({}, tokens)))
    driver, reply = spoken(wire)
    assert (reply.text, driver.by_schema) == ("Hello.", False)


TALKED = (
    *GOAL,
    Message(role="assistant", text="I would look at heads."),
    Message(role="user", text="Act."),
    Message(role="assistant", text="Heads are interesting."),
    Message(role="user", text="Act."),
)


def test_a_model_that_only_talks_is_asked_by_a_schema(wire: Wire) -> None:
    wire.then(chat(object_of("note"))).then(chat(object_of("note")))
    driver = ChatDriver("m", wire.url)
    assert driver.reply(LONG, TALKED, TOOLS).calls[0].name == "note"
    assert "tools" not in wire.bodies[0]
    # And it stays so when the last turns are calls.
    assert driver.reply(LONG, GOAL, TOOLS).calls
    assert "response_format" in wire.bodies[1]


@pytest.mark.parametrize("deaf", ["ignores", "refuses"])
def test_a_talker_that_knows_no_schema_is_asked_by_tools_again(deaf: str, wire: Wire) -> None:
    if deaf == "refuses":
        for _ in range(2):
            wire.then({"error": {"message": "response_format?"}}, 400)
    for _ in range(2):
        wire.then(chat("Heads!"))
    driver = ChatDriver("m", wire.url, retries=0)
    said = [driver.reply(LONG, TALKED, TOOLS) for _ in range(2)]
    assert [reply.text for reply in said] == ["Heads!", "Heads!"]
    assert "response_format" in wire.bodies[0]
    assert "tools" in wire.bodies[-1]


def test_a_server_that_then_loses_its_tools_is_refused_in_a_line(wire: Wire) -> None:
    """Once the schema was tried in vain, there is nothing left to go back to."""
    wire.then(chat("Heads!")).then({"error": {"message": "m does not support tools"}}, 400)
    for _ in range(2):
        wire.then({"error": {"message": "response_format?"}}, 400)
    driver = ChatDriver("m", wire.url, retries=0)
    assert driver.reply(LONG, TALKED, TOOLS).text == "Heads!"
    with pytest.raises(BadRequest, match="response_format"):
        driver.reply(LONG, TALKED, TOOLS)


@pytest.mark.parametrize(
    "complaint", ["m does not support tools", '"auto" tool choice requires --enable-auto-tool-choice']
)
def test_a_server_that_refuses_tools_is_sent_a_schema(complaint: str, wire: Wire) -> None:
    wire.then({"error": {"message": complaint}}, 400).then(chat(object_of("note")))
    assert spoken(wire)[1].calls[0].name == "note"


def test_a_server_that_takes_schemas_in_another_shape_is_sent_that(wire: Wire) -> None:
    wire.then({"error": {"message": "m does not support tools"}}, 400)
    wire.then({"error": {"message": "json_schema?"}}, 500).then(chat(object_of("note")))
    driver, reply = spoken(wire)
    assert reply.calls[0].name == "note"
    assert wire.bodies[2]["response_format"]["type"] == "json_object"
    assert wire.bodies[2]["response_format"]["schema"] == wire.bodies[1]["response_format"]["json_schema"]["schema"]
    driver.reply(LONG, GOAL, TOOLS)
    assert wire.bodies[3]["response_format"]["type"] == "json_object", "what was learnt is kept"


@pytest.mark.parametrize("said", ["Sure! I will.", '{"tool": 3}', "[]", '{"thought": "hm"}', ""])
def test_a_server_with_neither_is_refused_in_a_line(said: str, wire: Wire) -> None:
    wire.then(counted(chat("Sure! I will."), len(LONG) // 4)).then(chat(said))
    with pytest.raises(BadRequest, match="neither tools nor JSON schemas") as raised:
        spoken(wire)
    assert "\n" not in str(raised.value)
    assert len(wire.received) == 2


def test_an_object_that_was_cut_is_no_refusal_and_is_not_carried_out(wire: Wire) -> None:
    wire.then({"error": {"message": "m does not support tools"}}, 400)
    wire.then(chat('{"tool": "note", "arguments": {"te', finish="length"))
    reply = spoken(wire)[1]
    assert (reply.finish, reply.calls) == ("length", ())


def test_calls_and_answers_are_told_as_text_in_turns(wire: Wire) -> None:
    wire.then({"error": {"message": "m does not support tools"}}, 400).then(chat(object_of("report")))
    calls = (Call(id="a", name="note", arguments='{"text": "x"}'), Call(id="b", name="measure", arguments='{"te'))
    reply = spoken(wire, Reply(calls=calls), Reply(text="Hm."))[1]
    assert reply.calls[0].id not in ("a", "b")
    roles = [message["role"] for message in wire.bodies[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    history = [message["content"] for message in wire.bodies[1]["messages"][2:]]
    assert history == [
        '{"tool": "note", "arguments": {"text": "x"}}\n{"tool": "measure", "arguments": {}}',
        "note answered: answer 0\n\nmeasure answered: answer 0",
        "Hm.",
    ]
