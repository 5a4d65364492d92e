"""What a server refuses, or does not answer, is one of our errors, in one line and without the key."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import (
    BadRequest,
    ContextOverflow,
    DriverError,
    Message,
    NoKey,
    QuotaSpent,
    Unreachable,
    WrongKey,
)
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.tests.wire import Wire, chat

from .driven import BOTH, GOAL, KEY, ask, driver, good, refusing

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
    (
        400,
        refusing('"auto" tool choice requires --enable-auto-tool-choice'),
        BadRequest,
        "To enable tools: use a model",
    ),
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
    with pytest.raises(Unreachable, match="Is the server running"):
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
