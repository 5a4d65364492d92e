"""The two drivers against a real server that behaves as real servers do: well, oddly, and badly."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.agent.drivers.chat import ChatDriver, chat_messages
from lashley.agent.drivers.choose import DEFAULT_LLM, choose
from lashley.agent.drivers.conversation import (
    BadReply,
    BadRequest,
    Call,
    ContextOverflow,
    DriverError,
    Message,
    NoKey,
    QuotaSpent,
    Reply,
    ToolSpec,
    Unreachable,
    WrongKey,
)
from lashley.agent.drivers.history import UNANSWERED
from lashley.agent.drivers.responses import ResponsesDriver, response_input
from lashley.tests.wire import Wire, chat, function_call, output_text, reasoning, response, serving

KEY = "k3y-1234567890-secret"  # not of the form that is struck out anyway
TOOL = ToolSpec(
    name="note",
    description="Write a note.",
    parameters={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
GOAL = (Message(role="user", text="Which heads add?"),)
BOTH = pytest.mark.parametrize("kind", [ChatDriver, ResponsesDriver], ids=["chat", "responses"])


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


def driver(kind: Any, wire: Wire, **settings: Any) -> Any:
    return kind("m", wire.url, KEY, **{"timeout": 10.0, "max_output_tokens": 500, "retries": 2, **settings})


def ask(kind: Any, wire: Wire, messages: tuple[Message, ...] = GOAL, tools: tuple[ToolSpec, ...] = (TOOL,)) -> Reply:
    return driver(kind, wire).reply("Be careful.", messages, tools)


def good(kind: Any, text: str = "ok") -> dict[str, Any]:
    return chat(text) if kind is ChatDriver else response(output_text(text))


def calling(kind: Any, id: Any, name: str, arguments: Any) -> dict[str, Any]:
    return chat(None, (id, name, arguments)) if kind is ChatDriver else response(function_call(id, name, arguments))


# What is sent


def test_chat_sends_what_the_api_asks_for(wire: Wire) -> None:
    wire.then(chat("ok"))
    ask(ChatDriver, wire)
    sent = wire.received[0]
    assert (sent.method, sent.path, sent.headers["authorization"]) == ("POST", "/v1/chat/completions", f"Bearer {KEY}")
    function = {"name": "note", "description": "Write a note.", "parameters": TOOL.parameters, "strict": True}
    assert sent.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be careful."}, {"role": "user", "content": "Which heads add?"}],
        "tools": [{"type": "function", "function": function}],
        "parallel_tool_calls": False,
        "max_tokens": 500,
    }


def test_responses_sends_what_the_api_asks_for(wire: Wire) -> None:
    wire.then(response(output_text("ok")))
    ask(ResponsesDriver, wire)
    sent = wire.received[0]
    tool = {"name": "note", "description": "Write a note.", "parameters": TOOL.parameters, "strict": True}
    assert sent.path == "/v1/responses"
    assert sent.body == {
        "model": "m",
        "instructions": "Be careful.",
        "input": [{"role": "user", "content": "Which heads add?"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", **tool}],
        "parallel_tool_calls": False,
        "max_output_tokens": 500,
    }


@BOTH
def test_parallel_tool_calls_is_sent_only_with_tools(kind: Any, wire: Wire) -> None:
    wire.then(good(kind))
    ask(kind, wire, tools=())
    assert not {"tools", "parallel_tool_calls"} & set(wire.bodies[0])


def test_openai_is_asked_with_the_newer_name_of_the_limit() -> None:
    assert ChatDriver("m", None, KEY, max_output_tokens=5).request("", GOAL, ())["max_completion_tokens"] == 5


# What comes back


@BOTH
def test_a_text_is_a_reply(kind: Any, wire: Wire) -> None:
    wire.then(good(kind, "Done."))
    reply = ask(kind, wire)
    assert (reply.text, reply.calls, reply.finish, reply.tokens_in, reply.tokens_out) == ("Done.", (), "stop", 11, 7)


@BOTH
def test_calls_count_even_if_the_finish_says_stop(kind: Any, wire: Wire) -> None:
    wire.then(calling(kind, "call_a", "note", '{"text": "x"}'))
    reply = ask(kind, wire)
    assert (reply.finish, reply.calls) == ("stop", (Call(id="call_a", name="note", arguments='{"text": "x"}'),))


@BOTH
def test_half_an_argument_is_never_carried_out(kind: Any, wire: Wire) -> None:
    body = calling(kind, "call_a", "note", '{"text": "x')
    if kind is ChatDriver:
        body["choices"][0]["finish_reason"] = "length"
    else:
        body |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    wire.then(body)
    reply = ask(kind, wire)
    assert (reply.finish, reply.calls, reply.items) == ("length", (), ())


@BOTH
@pytest.mark.parametrize("filtered", [False, True])
def test_a_refusal_is_one(kind: Any, filtered: bool, wire: Wire) -> None:
    part = {"type": "refusal", "refusal": "I will not."}
    if kind is ChatDriver:
        body = chat("I will not.", finish="content_filter") if filtered else chat(None, refusal="I will not.")
    elif filtered:
        body = response(
            output_text("I will not."), status="incomplete", incomplete_details={"reason": "content_filter"}
        )
    else:
        body = response({**output_text(""), "content": [part]})
    wire.then(body)
    reply = ask(kind, wire)
    assert (reply.finish, reply.text, reply.calls) == ("refusal", "I will not.", ())


@BOTH
@pytest.mark.parametrize("bad", ["", None])
def test_a_missing_call_id_is_made(kind: Any, bad: Any, wire: Wire) -> None:
    history = (
        *GOAL,
        Message(role="assistant", calls=(Call(id="call_1", name="note", arguments="{}"),)),
        Message(role="tool", call_id="call_1", text="N1"),
    )
    wire.then(calling(kind, bad, "note", "{}"))
    first, again = (ask(kind, wire, history).calls[0].id for _ in range(2))
    assert first == again
    assert first.startswith("call_")
    assert first != "call_1"


@BOTH
def test_an_id_that_was_used_before_is_replaced(kind: Any, wire: Wire) -> None:
    call = Call(id="same", name="note", arguments="{}")
    history = (*GOAL, Message(role="assistant", calls=(call,)), Message(role="tool", call_id="same", text="N1"))
    wire.then(calling(kind, "same", "note", "{}"))
    reply = ask(kind, wire, history)
    assert reply.calls[0].id != "same"
    assert all(item["call_id"] == reply.calls[0].id for item in reply.items)


@BOTH
@pytest.mark.parametrize(("arguments", "text"), [({"text": "x"}, '{"text": "x"}'), (None, "{}"), ("", "{}")])
def test_arguments_become_json_text(kind: Any, arguments: Any, text: str, wire: Wire) -> None:
    wire.then(calling(kind, "call_a", "note", arguments))
    assert ask(kind, wire).calls[0].arguments == text


@BOTH
def test_malformed_arguments_are_shown_as_they_are_but_never_sent_again(kind: Any, wire: Wire) -> None:
    wire.then(calling(kind, "call_a", "my note!", '{"text": ')).then(good(kind))
    reply = ask(kind, wire)
    assert reply.calls[0].arguments == '{"text":'
    said = Message(role="assistant", text=reply.text, calls=reply.calls, items=reply.items)
    ask(kind, wire, (*GOAL, said, Message(role="tool", call_id="call_a", text="not JSON")))
    body = wire.bodies[1]
    sent = body["messages"][2]["tool_calls"][0]["function"] if kind is ChatDriver else body["input"][1]
    assert (sent["name"], sent["arguments"]) == ("my_note_", "{}")


@BOTH
def test_a_missing_usage_is_none(kind: Any, wire: Wire) -> None:
    body = good(kind)
    del body["usage"]
    wire.then(body)
    reply = ask(kind, wire)
    assert (reply.tokens_in, reply.tokens_out) == (None, None)


@BOTH
@pytest.mark.parametrize(
    ("count", "read"), [(8, 8), (0, 0), (11, 11), (None, None), ("8", None), (True, None), (-1, None), (12, None)]
)
def test_what_the_server_had_read_before_is_counted(kind: Any, count: object, read: int | None, wire: Wire) -> None:
    body = good(kind)
    body["usage"]["prompt_tokens_details" if kind is ChatDriver else "input_tokens_details"] = {"cached_tokens": count}
    wire.then(body)
    assert (ask(kind, wire).tokens_cached, ask(kind, wire).tokens_in) == (read, 11)


@BOTH
def test_half_a_surrogate_pair_can_be_stored_and_sent(kind: Any, wire: Wire) -> None:
    wire.then(json.dumps(good(kind, "cut \ud83d")))
    assert ask(kind, wire).text.encode("utf-8").startswith(b"cut ")


EMPTY = [
    {"choices": []},
    {"choices": None},
    {"choices": [{"finish_reason": "error", "error": {"message": "upstream died"}, "message": None}]},
    {"output": []},
    {"status": "failed", "output": [], "error": None},
    {"object": "error", "message": "no such thing", "code": 40400},
    {"error": {"message": "overloaded", "code": 503}},
    {"error": "overloaded"},
    [],
    "null",
    "",
    "<html><body>Welcome to nginx</body></html>",
    '{"choices": [',
    "[" * 100_000,
]


@BOTH
@pytest.mark.parametrize("body", EMPTY, ids=lambda body: str(body)[:30])
def test_what_is_no_reply_is_said_in_one_line(kind: Any, body: object, wire: Wire) -> None:
    wire.then(body)
    with pytest.raises(BadReply) as raised:
        ask(kind, wire)
    assert "\n" not in str(raised.value)
    assert wire.url in str(raised.value)
    assert len(wire.received) == 1


def test_content_in_parts_is_text(wire: Wire) -> None:
    parts: Any = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "Yes"}, {"type": "text", "text": "."}]
    wire.then(chat(parts))
    assert ask(ChatDriver, wire).text == "Yes."


def test_items_are_handed_back_unchanged(wire: Wire) -> None:
    items = [
        reasoning("gAAAA"),
        {**output_text("I look."), "phase": "commentary", "new_field": [1]},
        function_call("c1", "note", "{}"),
    ]
    wire.then(response(*items))
    reply = ask(ResponsesDriver, wire)
    said = Message(role="assistant", text=reply.text, calls=reply.calls, items=reply.items)
    ask(ResponsesDriver, wire, (*GOAL, said, Message(role="tool", call_id="c1", text="N1")))
    result = {"type": "function_call_output", "call_id": "c1", "output": "N1"}
    assert wire.bodies[1]["input"][1:] == [*items, result]


def test_reasoning_that_led_to_nothing_is_not_handed_back(wire: Wire) -> None:
    wire.then(response(reasoning("gAAAA")))
    reply = ask(ResponsesDriver, wire)
    assert (reply.text, reply.items, reply.finish) == ("", (), "stop")


# The history


@BOTH
def test_the_beginning_stays_the_same_to_the_byte(kind: Any, wire: Wire) -> None:
    wire.then(calling(kind, "call_a", "note", '{"text":  "é"}')).then(good(kind))
    taking = driver(kind, wire)
    messages = [*GOAL]
    reply = taking.reply("Be careful.", messages, (TOOL,))
    messages += [
        Message(role="assistant", text=reply.text, calls=reply.calls, items=reply.items),
        Message(role="tool", call_id="call_a", text="N1"),
    ]
    taking.reply("Be careful.", messages, (TOOL,))
    first, second = wire.bodies
    key = "messages" if kind is ChatDriver else "input"
    before = json.dumps(first.pop(key))[:-1]
    assert json.dumps(second.pop(key)).startswith(before)
    assert json.dumps(first) == json.dumps(second)


identifiers = st.integers(0, 9).map("call_{}".format)


@given(
    st.lists(st.tuples(st.lists(identifiers, max_size=3, unique=True), st.integers(0, 3), st.booleans()), max_size=5)
)
def test_every_call_is_answered_exactly_once_and_at_once(turns: list[tuple[list[str], int, bool]]) -> None:
    messages: list[Message] = [*GOAL]
    for ids, carried_out, spoke in turns:
        messages.append(Message(role="assistant", calls=tuple(Call(id=i, name="note", arguments="{}") for i in ids)))
        messages += [Message(role="user", text="Also look at L0.")] * spoke
        messages += [Message(role="tool", call_id=i, text=f"answer {i}") for i in ids[:carried_out]]
    wire = chat_messages("", messages)
    for i, sent in enumerate(wire):
        ids = [call["id"] for call in sent.get("tool_calls", ())]
        assert [answer.get("tool_call_id") for answer in wire[i + 1 : i + 1 + len(ids)]] == ids
        assert sent["role"] != "assistant" or ids or sent["content"]
    answers = [sent["content"] for sent in wire if sent["role"] == "tool"]
    assert answers == [f"answer {i}" if n < done else UNANSWERED for ids, done, _ in turns for n, i in enumerate(ids)]
    calls = [item["call_id"] for item in response_input(messages) if item.get("type") == "function_call"]
    assert len(calls) == len(answers)


def test_a_result_of_no_call_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="answers no call"):
        chat_messages("", [*GOAL, Message(role="tool", call_id="call_9", text="?")])


# Options that a server refuses


def refusing(message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


def test_a_refused_name_of_the_limit_is_changed_and_remembered(wire: Wire) -> None:
    wire.then(refusing("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"), 400)
    wire.then(chat("ok"))
    taking = driver(ChatDriver, wire)
    for _ in range(2):
        assert taking.reply("", GOAL, ()).text == "ok"
    names = [sorted(set(body) & {"max_tokens", "max_completion_tokens"}) for body in wire.bodies]
    assert names == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]


def test_a_limit_that_does_not_fit_the_context_is_left_out(wire: Wire) -> None:
    too_large = (
        "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is 256 tokens"
    )
    wire.then(refusing(too_large), 400).then(refusing(too_large), 400).then(chat("ok"))
    assert ask(ChatDriver, wire).text == "ok"
    assert not {"max_tokens", "max_completion_tokens"} & set(wire.bodies[2])


@BOTH
@pytest.mark.parametrize("option", ["strict", "parallel_tool_calls"])
def test_a_refused_option_is_left_out_and_remembered(kind: Any, option: str, wire: Wire) -> None:
    detail = [{"type": "extra_forbidden", "loc": ["body", option], "msg": "Extra inputs are not permitted"}]
    wire.then({"detail": detail}, 422).then(good(kind))
    taking = driver(kind, wire)
    for _ in range(2):
        taking.reply("", GOAL, (TOOL,))
    assert [f'"{option}"' in json.dumps(body) for body in wire.bodies] == [True, False, False]


def test_a_model_without_reasoning_is_asked_without_it(wire: Wire) -> None:
    wire.then(refusing("Encrypted content is not supported with this model.", "include"), 400)
    wire.then(response(output_text("ok")))
    assert ask(ResponsesDriver, wire).text == "ok"
    assert "include" not in wire.bodies[1]


def test_the_reasoning_of_another_account_is_told_as_text(wire: Wire) -> None:
    error = {"message": "The encrypted content gAAA could not be verified.", "code": "invalid_encrypted_content"}
    wire.then({"error": error}, 400).then(response(output_text("ok")))
    items = (reasoning("gAAA"), output_text("I looked."))
    assert ask(ResponsesDriver, wire, (*GOAL, Message(role="assistant", text="I looked.", items=items))).text == "ok"
    assert wire.bodies[1]["input"][1] == {"role": "assistant", "content": "I looked."}


@BOTH
def test_a_server_that_refuses_everything_is_not_asked_for_ever(kind: Any, wire: Wire) -> None:
    wire.then(refusing("strict, parallel_tool_calls, include, max_tokens, max_output_tokens: all wrong"), 400)
    with pytest.raises(BadRequest, match="all wrong"):
        ask(kind, wire)
    assert len(wire.received) <= 6


# Errors

ERRORS: list[tuple[int, object, type[DriverError], str]] = [
    (401, refusing(f"Incorrect API key provided: {KEY}."), WrongKey, "OPENAI_API_KEY"),
    (403, refusing(f"The key {KEY} may not use this."), WrongKey, "403"),
    (402, refusing("Insufficient credits"), QuotaSpent, "credit"),
    (400, {"error": {"message": "Too long.", "code": "context_length_exceeded"}}, ContextOverflow, "longer than m"),
    (
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens. You requested 5000."},
        ContextOverflow,
        "4096",
    ),
    (
        400,
        {"error": {"code": 400, "message": "request (9 tokens)", "type": "exceed_context_size_error", "n_ctx": 8}},
        ContextOverflow,
        "9 tokens",
    ),
    (404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}, BadRequest, "--llm"),
    (404, {"detail": "Not Found"}, BadRequest, "/v1"),
    (404, "<html>404</html>", BadRequest, "/v1"),
    (400, refusing("Function tools are not supported; use /v1/responses instead."), BadRequest, "--driver responses"),
    (400, refusing('"auto" tool choice requires --enable-auto-tool-choice'), BadRequest, "calls no tools"),
    (400, refusing(f"bad\nrequest {KEY}"), BadRequest, "bad request"),
    (418, "teapot", BadRequest, "418"),
    (500, refusing(f"crash {KEY}"), Unreachable, "500"),
    (503, "<html>Bad gateway</html>", Unreachable, "503"),
    (429, refusing("Rate limit reached"), Unreachable, "Rate limit"),
]


@BOTH
@pytest.mark.parametrize(("status", "body", "error", "words"), ERRORS, ids=[f"{e[0]}-{e[2].__name__}" for e in ERRORS])
def test_errors_are_ours_in_one_line_without_the_key(
    kind: Any, status: int, body: object, error: type[DriverError], words: str, wire: Wire
) -> None:
    wire.then(body, status, retry_after_ms="1")
    with pytest.raises(DriverError, match=words) as raised:
        ask(kind, wire)
    assert type(raised.value) is error
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)
    assert raised.value.__suppress_context__


@BOTH
def test_a_spent_quota_is_not_tried_again(kind: Any, wire: Wire) -> None:
    error = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
    wire.then({"error": error}, 429, retry_after_ms="1")
    with pytest.raises(QuotaSpent):
        ask(kind, wire)
    assert len(wire.received) == 1


@BOTH
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_passing_failures_are_waited_out_as_the_server_asks(kind: Any, status: int, wire: Wire) -> None:
    wire.then(refusing("busy"), status, retry_after="0.02").then(refusing("busy"), status, retry_after_ms="20")
    wire.then(good(kind))
    assert ask(kind, wire).text == "ok"
    assert len(wire.received) == 3


@BOTH
def test_nobody_there(kind: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match="is the server running"):
        kind("m", f"http://user:{KEY}@127.0.0.1:{port}/v1", KEY, retries=0).reply("", GOAL, ())
    with pytest.raises(Unreachable) as raised:
        kind("m", f"http://user:{KEY}@127.0.0.1:{port}/v1", KEY, retries=0).reply("", GOAL, ())
    assert KEY not in str(raised.value)


@BOTH
def test_a_server_that_does_not_answer_in_time(kind: Any, wire: Wire) -> None:
    wire.then(good(kind), delay=0.5)
    with pytest.raises(Unreachable, match=r"within 0\.05 s"):
        driver(kind, wire, timeout=0.05, retries=0).reply("", GOAL, ())


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://", "ftp://x/v1", "http://[::1/v1", "http://h:port/v1"])
def test_a_base_url_that_is_none(url: str) -> None:
    with pytest.raises(BadRequest, match="http://host:port/v1"):
        ChatDriver("m", url, KEY)


@pytest.mark.parametrize("key", ["sk-a\nsk-b", "sk-é", "sk a"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(WrongKey) as raised:
        ResponsesDriver("m", None, key)
    assert key not in str(raised.value)


def test_a_server_that_wants_a_key_gets_none(wire: Wire) -> None:
    wire.then(refusing("no key"), 401)
    with pytest.raises(NoKey, match="OPENAI_API_KEY"):
        ChatDriver("m", wire.url).reply("", GOAL, ())


def test_a_silently_cut_conversation_is_noticed(wire: Wire) -> None:
    body = chat("ok")
    body["usage"]["prompt_tokens"] = 2048
    wire.then(body)
    assert ask(ChatDriver, wire, (Message(role="user", text="word " * 3_000),)).text == "ok"
    with pytest.raises(ContextOverflow, match="2,048"):
        ask(ChatDriver, wire, (Message(role="user", text="word " * 10_000),))


# Choosing


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
    assert "no language model" in choice.why


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
    with pytest.raises(NoKey, match="set OPENAI_API_KEY"):
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
