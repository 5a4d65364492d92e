"""What the two drivers make of the replies of a real server, odd ones among them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import (
    BadReply,
    Call,
    Message,
)
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.tests.wire import Wire, chat, function_call, output_text, reasoning, response

from .driven import BOTH, GOAL, ask, calling, good


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
