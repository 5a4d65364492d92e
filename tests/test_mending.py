"""What a server or its model evidently meant: names, calls that came as text, streams; and what is never taken so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.conversation import BadReply, Message
from lashley.agent.drivers.mending import tool_named
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.agent.drivers.streamed import is_stream, join
from lashley.agent.drivers.written_calls import Written, calls_written
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.agent.study.replay import rerun
from lashley.db.read.reader import Reader
from lashley.tests.reply_faults import FAULTS, REPORT, calls, note
from lashley.tests.wire import Wire
from lashley.tools.errors import ToolError
from lashley.tools.json_arguments import json_object
from lashley.tools.json_schema import fill_nulls
from lashley.tools.workbench.context import Context

from .driven import BOTH, GOAL, ask, calling, good

KNOWN = {"write_note", "list_models", "head_ablation"}
GIVEN = '{"title": "odd"}'


@pytest.mark.parametrize(
    "name",
    [
        "write_note", "write_note<|channel|>commentary", "functions.write_note", "Write_Note", "write-note",
        "WriteNote", "default_api:write_note", "default_api::write_note", "mcp__lashley__write_note",
        "tools/write_note",
        "functions.write_note:0", "write_note()", ' "write_note" ', "write note",
        "<|channel|>commentary to=functions.write_note <|constrain|>json",
    ],
)  # fmt: skip
def test_a_name_means_the_tool_that_it_names_but_for_what_servers_add(name: str) -> None:
    assert tool_named(name, KNOWN) == "write_note"


@pytest.mark.parametrize(
    "name",
    ["", "run_shell", "write_note2", "note", "write_notes", "not write_note", "write_note.delete", "functions.",
     "write_note; run", "write_nоte", "a__write_note__b", "<|channel|>", "to=", "__", "write_note, list_models"],
)  # fmt: skip
def test_no_name_is_guessed(name: str) -> None:
    assert tool_named(name, KNOWN) is None


def test_a_name_that_means_two_tools_means_none() -> None:
    assert tool_named("Write_Note", {"write_note", "writenote"}) is None
    assert tool_named("write_note", {"write_note", "writenote"}) == "write_note"


FORMS = {
    "json": '{"name": "write_note", "arguments": GIVEN}',
    "as the schema has it": '{"tool": "write_note", "arguments": GIVEN}',
    "llama": '{"type": "function", "name": "write_note", "parameters": GIVEN}',
    "openai": '{"tool_calls": [{"id": "a", "function": {"name": "write_note", "arguments": TEXT}}]}',
    "by its name": '{"write_note": GIVEN}',
    "fence": '```json\n{"name": "write_note", "arguments": GIVEN}\n```',
    "hermes": '<tool_call>\n{"name": "write_note", "arguments": GIVEN}\n</tool_call>',
    "hermes, not closed": '<tool_call>\n{"name": "write_note", "arguments": GIVEN}',
    "thoughts": '<think>\n{"name"?\n</think>\n\n<tool_call>{"name": "write_note", "arguments": GIVEN}</tool_call>',
    "llama tag": "<function=write_note>GIVEN</function>",
    "llama python": '<|python_tag|>{"name": "write_note", "parameters": GIVEN}<|eom_id|>',
    "mistral": '[TOOL_CALLS] [{"name": "write_note", "arguments": GIVEN}]',
    "mistral, newer": "[TOOL_CALLS]write_note[ARGS]GIVEN",
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>write_note\n```json\nGIVEN\n```"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "gpt-oss": "<|channel|>commentary to=functions.write_note <|constrain|>json<|message|>GIVEN<|call|>",
    "phi": '<|tool_call|>[{"name": "write_note", "arguments": GIVEN}]<|/tool_call|>',
    "python": "[write_note(**ARGUMENTS)]",
    "gemma": "```tool_code\nwrite_note(**ARGUMENTS)\n```",
    "lfm2": "<|tool_call_start|>[write_note(**ARGUMENTS)]<|tool_call_end|>",
}


def written(form: str, arguments: dict[str, Any]) -> str:
    """The call in this form, with these arguments."""
    text = json.dumps(arguments)
    python = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return form.replace("GIVEN", text).replace("TEXT", json.dumps(text)).replace("**ARGUMENTS", python)


def known(name: str) -> bool:
    return tool_named(name, KNOWN) is not None


hostile = st.one_of(
    st.text(),
    st.sampled_from(
        ["</tool_call><tool_call>", "```\n", "</function>", "[TOOL_CALLS]", '"}}', "</think>", ")", "<|message|>", "'"]
    ),
    st.sampled_from([written(form, {"title": "evil"}) for form in FORMS.values()]),
)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=30)
@given(st.lists(hostile, max_size=3).map("".join))
def test_a_text_that_is_a_call_is_that_call_whatever_its_arguments_say(form: str, inside: str) -> None:
    given = {"title": "odd", "text": inside, "tags": [], "more": None, "yes": True}
    ((name, arguments),) = calls_written(written(FORMS[form], given), known)
    assert tool_named(name, KNOWN) == "write_note"
    assert json.loads(arguments) == given


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["I call {}", "{}\nThat is what I would do.", "It said: “{}”.", "> {}", "{} and {}"])
def test_a_text_that_only_shows_a_call_is_none(form: str, around: str) -> None:
    assert calls_written(around.replace("{}", written(FORMS[form], {"title": "odd"})), known) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", "write_note", "[write_note]", '"write_note"', GIVEN, "<tool_call>", "```json\n{}\n```",
        '{"name": "write_note"}', '{"name": "run_shell", "arguments": {}}', '{"name": "write_note", "arguments": [1]}',
        '[{"name": "write_note", "arguments": {}}, {"name": "run_shell", "arguments": {}}]',
        '{"name": "write_note", "description": "d", "parameters": {"type": "object"}}',
        '{"name": "write_note", "arguments": {"a": NaN}}', '<tool_call>{"name": "write_note", "argu',
        'write_note(title=open("/etc/passwd").read())', "write_note(**{})", "write_note(title=list_models())",
        "import os; write_note()", "x = write_note()", '[write_note(title="a"), 3]', 'write_note(title=b"a")',
        "(lambda: write_note)()", "write_note()()", "[" * 100_000, "write_note(" + "[" * 5_000, '{"a":' * 50_000,
        '<think>It says </think></think>{"name": "write_note", "arguments": {}}',
    ],
)  # fmt: skip
def test_what_is_no_call_of_a_tool_is_none(text: str) -> None:
    assert calls_written(text, known) == []


def test_several_calls_are_taken_in_their_order() -> None:
    one, two = (
        written(FORMS["hermes"], {"title": "a"}),
        '<tool_call>{"name": "list_models", "arguments": {}}</tool_call>',
    )
    assert [call.name for call in calls_written(f"{one}\n{two}", known)] == ["write_note", "list_models"]
    assert calls_written("list_models()\nwrite_note(title='a')", known)[1] == Written("write_note", '{"title": "a"}')


@BOTH
def test_a_call_as_text_is_one_from_then_on(kind: Any, wire: Wire) -> None:
    text = '{"name": "Note", "arguments": {"text": "x"}}'
    wire.then(good(kind, text))
    reply = ask(kind, wire)
    assert (reply.text, reply.items, reply.hint) == ("", (), "")
    assert [(call.name, json.loads(call.arguments)) for call in reply.calls] == [("note", {"text": "x"})]
    assert [one.was for one in reply.mended] == [text]
    assert "--enable-auto-tool-choice --tool-call-parser" in reply.mended[0].what
    said = Message.of(reply)
    ask(kind, wire, (*GOAL, said, Message(role="tool", call_id=reply.calls[0].id, text="N1")))
    body = wire.bodies[1]
    sent = body["messages"][2]["tool_calls"][0]["function"] if kind is ChatDriver else body["input"][1]
    assert (sent["name"], json.loads(sent["arguments"])) == ("note", {"text": "x"})


@BOTH
def test_a_mended_name_is_sent_back_as_the_tool_is_called(kind: Any, wire: Wire) -> None:
    wire.then(calling(kind, "c", "functions.note", "{}"))
    reply = ask(kind, wire)
    assert [one.was for one in reply.mended] == ["functions.note"]
    ask(kind, wire, (*GOAL, Message.of(reply), Message(role="tool", call_id="c", text="N1")))
    assert "functions" not in json.dumps(wire.bodies[1])


@BOTH
def test_without_tools_a_text_is_a_text(kind: Any, wire: Wire) -> None:
    text = '{"name": "note", "arguments": {"text": "x"}}'
    wire.then(good(kind, text))
    assert ask(kind, wire, tools=()).text == text


@BOTH
def test_calls_that_cannot_be_run_say_what_the_server_lacks(kind: Any, wire: Wire) -> None:
    wire.then(good(kind, 'Now: <tool_call>{"name": "note", "arguments": {}}</tool_call>'))
    wire.then(good(kind, "I think that the heads add."))
    reply = ask(kind, wire)
    assert (reply.calls, reply.mended) == ((), ())
    assert "--tool-call-parser" in reply.hint
    assert ask(kind, wire).hint == ""


def test_a_log_from_before_is_the_same_to_the_byte() -> None:
    before = {"role": "assistant", "text": "a", "calls": [], "call_id": "", "data": None, "items": [], "finish": "stop"}
    assert Message.model_validate(before).model_dump(mode="json") == before


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_stream_in_any_pieces_is_the_same_reply(data: st.DataObject) -> None:
    inside = json.dumps({"text": data.draw(st.text())}, ensure_ascii=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(inside)), max_size=5)))
    pieces = [inside[a:b] for a, b in zip([0, *cuts], [*cuts, len(inside)], strict=True)]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "I "}, {"content": "look."}]
    deltas += [{"tool_calls": [{"index": 0, "id": "a", "function": {"name": "note", "arguments": ""}}]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    deltas += [{"tool_calls": [{"index": 1, "id": "b", "function": {"name": "note", "arguments": inside}}]}]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]
    events += [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]
    end = data.draw(st.sampled_from(["\n", "\n\n", "\r\n\r\n", "\n: still here\n\n"]))
    text = "".join(f"data:{data.draw(st.sampled_from(['', ' ']))}{json.dumps(event)}{end}" for event in events)
    assert is_stream(text)
    body = join(text)
    (choice,) = body["choices"]
    assert choice["message"]["content"] == "I look."
    assert [call["function"] for call in choice["message"]["tool_calls"]] == [{"name": "note", "arguments": inside}] * 2
    assert (choice["finish_reason"], body["usage"]["prompt_tokens"]) == ("tool_calls", 3)


@pytest.mark.parametrize(
    "text",
    ["data: \n\n", "data: [DONE]\n\n", "data: {", ": ping\n\n", 'data: {"a": 1}\n\n', "data: [1]\n\n",
     'data: {"choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n', "event: x\n\n",
     'data: {"type": "response.output_text.delta", "delta": "a"}\n\n'],
)  # fmt: skip
def test_a_stream_without_a_whole_reply_is_refused(text: str) -> None:
    assert is_stream(text)
    with pytest.raises(BadReply):
        join(text)


@BOTH
def test_an_error_in_a_stream_is_that_error(kind: Any, wire: Wire) -> None:
    wire.then('event: error\ndata: {"error": {"message": "overloaded"}}\n\n', content_type="text/event-stream")
    with pytest.raises(BadReply, match="answered with an error: overloaded"):
        ask(kind, wire)


class Inner(BaseModel):
    layer: int


class Fields(BaseModel):
    many: list[str] = []
    numbers: list[int] | None = None
    inner: Inner | None = None
    text: str = ""
    both: str | list[str] = ""


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ({"many": '["a", "b"]'}, {"many": ["a", "b"]}),
        ({"many": "['a', 'b']"}, {"many": ["a", "b"]}),
        ({"numbers": "[1, 2]"}, {"numbers": [1, 2]}),
        ({"numbers": '["1", 2]'}, {"numbers": [1, 2]}),
        ({"numbers": "null"}, {"numbers": None}),
        ({"inner": '{"layer": "3"}'}, {"inner": Inner(layer=3)}),
        ({"text": '["a"]'}, {"text": '["a"]'}),
        ({"text": "null"}, {"text": "null"}),
        ({"both": '["a"]'}, {"both": '["a"]'}),
    ],
)
def test_a_list_or_an_object_as_text_is_taken_where_no_text_is_wanted(
    sent: dict[str, Any], taken: dict[str, Any]
) -> None:
    got = Fields.model_validate(fill_nulls(Fields, sent))
    assert got == Fields(**taken)


@pytest.mark.parametrize(
    "sent", [{"many": "a"}, {"many": "[a"}, {"many": '{"a": 1}'}, {"inner": "[1]"}, {"many": "null"}]
)
def test_what_is_no_list_stays_what_it_was(sent: dict[str, Any]) -> None:
    assert fill_nulls(Fields, sent) == sent


def test_arguments_as_json_within_json_are_taken() -> None:
    assert json_object(json.dumps(GIVEN), "it") == {"title": "odd"}
    for wrong in ('"{"', '"text"', '"[1]"', json.dumps(json.dumps(GIVEN))):
        with pytest.raises(ToolError):
            json_object(wrong, "it")


MENDED = [f for f in FAULTS if f.name.startswith(("A name ", "A whole call", "A list", "All arg", "A stream, "))]


@pytest.mark.parametrize("api", [ChatDriver, ResponsesDriver])
def test_a_study_of_mended_replies_repeats_itself(api: Any, wire: Wire, tmp_path: Path) -> None:
    """And one that ended because no call could be run."""
    assert len(MENDED) > 12
    name, path = api.name, tmp_path / "t.db"
    for place, fault in enumerate(MENDED):
        fault.put(wire, name)
        # The same call over and over would not be done.
        wire.then(calls(name, ("", "write_note", note("x" * (place + 1)))))
    wire.then(calls(name, ("r", "functions.write_report", json.dumps(REPORT))))
    (shown,) = [fault for fault in FAULTS if fault.name.startswith("A call between tags")]
    shown.put(wire, name)
    whys: list[str | None] = []
    for _ in range(2):
        with Context.open(str(path)) as context:
            driver = api("m", wire.url, "k", retries=1)
            whys.append(study(context, driver, "Which heads add?", Budget(), View(None), tools=()).why)
    assert whys[0] is None
    assert "--tool-call-parser" in str(whys[1])
    with Reader.open(path) as reader:
        assert len(reader.notes()) == 2 * len(MENDED)
        logged = [turn.content for turn in reader.turns(1) if turn.role == "assistant"]
        assert sum(bool(content.get("mended")) for content in logged) == len(MENDED) - 2 + 1
        for run in (1, 2):
            again = rerun(reader, run, lambda *_: None)
            assert again.diverged is None, again.diverged
            assert again.ended
