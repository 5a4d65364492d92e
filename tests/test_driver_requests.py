"""What the two drivers send to a real server, and how they take its refusals of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.agent.drivers.chat import ChatDriver, chat_messages
from lashley.agent.drivers.conversation import (
    BadRequest,
    Call,
    Message,
)
from lashley.agent.drivers.history import UNANSWERED
from lashley.agent.drivers.responses import ResponsesDriver, response_input
from lashley.tests.wire import Wire, chat, output_text, reasoning, response

from .driven import BOTH, GOAL, KEY, TOOL, ask, calling, driver, good, refusing


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
