"""Everything odd that a language model's server was seen to answer, on both APIs, and what a study makes of it.

A study writes a note, meets the fault once or from then on, writes another note and its report. `docs/faults.md` is
the table of what happened; a test compares it with what happens. `python -m lashley.tests.reply_faults` writes it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import struct
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from socket import socket as Socket
from time import sleep
from typing import Any, NamedTuple

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.drivers.responses import ResponsesDriver
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.tests.wire import Wire, chat, function_call, output_text, response, serving
from lashley.tools.workbench.context import Context

PAGE = Path(__file__).resolve().parent.parent / "docs" / "faults.md"
APIS: dict[str, Any] = {"chat": ChatDriver, "responses": ResponsesDriver}
# Within which a whole answer must come: long, but where the fault is that it never does.
SECONDS, SLOW = 120.0, 2.0
TOO_LONG = "This model's maximum context length is 100000 tokens."
REPORT = {"title": "Nothing", "claims": [], "interpretation": "Nothing was measured."}


class Fault(NamedTuple):
    """`put` queues it on the wire; `name` says what the server does; an answer is waited for so many `seconds`."""

    name: str
    put: Callable[[Wire, str], object]
    seconds: float = SECONDS


def calls(api: str, *given: tuple[Any, str, Any], **fields: Any) -> dict[str, Any]:
    """A reply that calls tools, each as (id, name, arguments)."""
    return (
        chat(None, *given, **fields) if api == "chat" else response(*[function_call(*one) for one in given], **fields)
    )


def note(title: str) -> str:
    return json.dumps({"title": title, "text": "Seen.", "tags": [], "experiments": []})


def said(api: str, text: str) -> dict[str, Any]:
    return chat(text) if api == "chat" else response(output_text(text))


def body(make: Callable[[str], object], status: int = 200, **headers: str) -> Callable[[Wire, str], object]:
    return lambda wire, api: wire.then(make(api), status, **headers)


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": code or "server_error", "param": None, "code": code}}


def cut_off(api: str) -> dict[str, Any]:
    half = calls(api, ("c", "write_note", '{"title": "ha'))
    if api == "chat":
        half["choices"][0]["finish_reason"] = "length"
        return half
    return {**half, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def refused(api: str) -> dict[str, Any]:
    if api == "chat":
        return chat(None, refusal="I will not.")
    return response({**output_text(""), "content": [{"type": "refusal", "refusal": "I will not."}]})


def without(api: str, field: str) -> dict[str, Any]:
    return {k: v for k, v in calls(api, ("c", "write_note", note("odd"))).items() if k != field}


def empty(api: str) -> dict[str, Any]:
    return {**said(api, ""), ("choices" if api == "chat" else "output"): []}


def named(name: str) -> Callable[[Wire, str], object]:
    """A good call of a tool that the server calls otherwise."""
    return body(lambda api: calls(api, ("c", name, note("odd"))))


def as_text(text: str) -> Callable[[Wire, str], object]:
    """A reply of which NOTE is the arguments of a good call, and which calls nothing."""
    return body(lambda api: said(api, text.replace("NOTE", note("odd"))))


def chunks(api: str) -> list[str]:
    """The events of a stream that makes a good call."""
    if api == "responses":
        whole = calls(api, ("c", "write_note", note("odd")))
        begun = {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
        piece = {"type": "response.function_call_arguments.delta", "delta": note("odd")[:9], "output_index": 0}
        events = [begun, piece, {"type": "response.completed", "response": whole}]
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    given = note("odd")
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "write_note", "arguments": ""}}]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in (given[:9], given[9:])),
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events += [{**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]
    return [*(f"data: {json.dumps(event)}\n\n" for event in events), "data: [DONE]\n\n"]


def stream(wire: Wire, api: str) -> object:
    return wire.then("".join(chunks(api)), content_type="text/event-stream")


def half_a_stream(wire: Wire, api: str) -> object:
    return wire.then("".join(chunks(api)[:-2]), content_type="text/event-stream")


def bad_utf8(api: str) -> bytes:
    return json.dumps(calls(api, ("c", "write_note", note("odd @")))).encode().replace(b"@", b"\xff\xfe")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def reset(socket: Socket) -> None:
    socket.sendall(HEAD % 5000 + b'{"id": "x", ')
    sleep(0.05)
    # Closed so, and by nobody else before, it sends a reset.
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    os.close(socket.detach())


def cut(socket: Socket) -> None:
    socket.sendall(HEAD % 5000 + b'{"id": "x", ')


def silent(socket: Socket) -> None:
    """Closes without a word."""


def trickle(socket: Socket) -> None:
    socket.sendall(HEAD % 5000)
    for _ in range(100):
        socket.sendall(b" ")
        sleep(0.1)


def trickling_head(socket: Socket) -> None:
    socket.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(100):
        socket.sendall(b"s")
        sleep(0.1)


def huge(socket: Socket) -> None:
    socket.sendall(HEAD % (50 * 2**20) + b'{"id": "')
    for _ in range(50):
        socket.sendall(b"x" * 2**20)


def packed(wire: Wire, _: str) -> object:
    return wire.then(gzip.compress(b" " * 50 * 2**20, 1), content_encoding="gzip")


def badly(act: Callable[[Socket], None]) -> Callable[[Wire, str], object]:
    return lambda wire, _: wire.then_badly(act)


FAULTS = (
    Fault("A call, but the finish reason is not a call (`stop`)", body(lambda a: without(a, "no field"))),
    Fault("Half of the arguments, cut at the length limit", body(cut_off)),
    Fault("A refusal", body(refused)),
    Fault("A tool that does not exist", body(lambda a: calls(a, ("c", "run_shell", '{"command": "ls"}')))),
    Fault("A call without an id", body(lambda a: calls(a, ("", "write_note", note("odd"))))),
    Fault(
        "Two calls of one id",
        body(lambda a: calls(a, ("c", "write_note", note("odd")), ("c", "write_note", note("odd, too")))),
    ),
    Fault("An id that an earlier call had", body(lambda a: calls(a, ("c1", "write_note", note("odd"))))),
    Fault(
        "Arguments as an object, not as text", body(lambda a: calls(a, ("c", "write_note", json.loads(note("odd")))))
    ),
    Fault("Arguments that are not JSON", body(lambda a: calls(a, ("c", "write_note", '{"title": ')))),
    Fault("A name with a channel after it (gpt-oss)", named("write_note<|channel|>commentary")),
    Fault("A name with a namespace (`functions.write_note`)", named("functions.write_note")),
    Fault("A name with another namespace (`default_api:write_note`)", named("default_api:write_note")),
    Fault("A name in other letters (`Write_Note`)", named("Write_Note")),
    Fault("A name with other signs (`write-note`)", named("write-note")),
    Fault(
        "A list as a text",
        body(lambda a: calls(a, ("c", "write_note", note("odd").replace('"tags": []', '"tags": "[\\"a\\"]"')))),
    ),
    Fault(
        "All arguments as a text within JSON", body(lambda a: calls(a, ("c", "write_note", json.dumps(note("odd")))))
    ),
    Fault("A call of a tool without a name", body(lambda a: calls(a, ("c", "", "{}")))),
    Fault("Text in place of a call", body(lambda a: said(a, 'I call write_note({"title": "odd"}).'))),
    Fault("A whole call as JSON", as_text('{"name": "write_note", "arguments": NOTE}')),
    Fault("A whole call in a code fence", as_text('```json\n{"name": "write_note", "arguments": NOTE}\n```')),
    Fault(
        "A whole call between tags (`<tool_call>`)",
        as_text('<tool_call>\n{"name": "write_note", "arguments": NOTE}\n</tool_call>'),
    ),
    Fault("A whole call by a tag (`<function=write_note>`)", as_text("<function=write_note>NOTE</function>")),
    Fault(
        "A whole call after a sign (`[TOOL_CALLS]`)",
        as_text('[TOOL_CALLS] [{"name": "write_note", "arguments": NOTE}]'),
    ),
    Fault(
        "A whole call in Python",
        as_text('[write_note(title="odd", text="Seen.", tags=[], experiments=[])]'),
    ),
    Fault(
        "A call between tags, in a text",
        as_text('I note it.\n<tool_call>\n{"name": "write_note", "arguments": NOTE}\n</tool_call>'),
    ),
    Fault("An empty text", body(lambda a: said(a, ""))),
    Fault("No choices, no output", body(empty)),
    Fault("No usage", body(lambda a: without(a, "usage"))),
    Fault("A stream, although none was asked for", stream),
    Fault("A stream that ends too early", half_a_stream),
    Fault("A web page with 200", body(lambda _: "<html>Welcome</html>")),
    Fault("An error with 200", body(lambda _: error("overloaded"))),
    Fault("Brackets ten thousand deep", body(lambda _: '{"choices": ' + "[" * 10_000)),
    Fault("Bytes that are not UTF-8", body(bad_utf8)),
    Fault("Half of an emoji", body(lambda a: calls(a, ("c", "write_note", note("odd \ud83d"))))),
    Fault("429 with Retry-After", body(lambda _: error("slow down"), 429, retry_after="0.1")),
    Fault("429 without Retry-After", body(lambda _: error("slow down"), 429)),
    Fault("429, the quota is spent", body(lambda _: error("no credit", "insufficient_quota"), 429)),
    Fault("500", body(lambda _: error("crash"), 500)),
    Fault("401 in the middle of a study", body(lambda _: error("revoked"), 401)),
    Fault("400, the conversation is too long", body(lambda _: error(TOO_LONG, "context_length_exceeded"), 400)),
    Fault("The connection is reset in the middle of the answer", badly(reset)),
    Fault("The answer ends before its end", badly(cut)),
    Fault("The connection is closed without an answer", badly(silent)),
    Fault("A byte now and then", badly(trickle), SLOW),
    Fault("A byte of a header now and then", badly(trickling_head), SLOW),
    Fault("50 MB", badly(huge)),
    Fault("50 MB, packed into 50 kB", packed),
)


class Happened(NamedTuple):
    """`words` for the table; how the study ended; the notes it has; whether it can be gone on with."""

    words: str
    status: str
    notes: list[str]


def happens(fault: Fault, api: str, for_ever: bool) -> Happened:
    """A study that meets the fault."""
    with serving() as wire, tempfile.TemporaryDirectory() as folder:
        wire.then(calls(api, ("c1", "write_note", note("before"))))
        fault.put(wire, api)
        if not for_ever:
            wire.then(calls(api, ("c3", "write_note", note("after"))))
            wire.then(calls(api, ("c4", "write_report", json.dumps(REPORT))))
        path = Path(folder) / "t.db"
        driver = APIS[api]("m", wire.url, "k3y", timeout=fault.seconds, retries=1)
        # The SDK takes long to be loaded, and no server is to be waited for meanwhile.
        assert driver.server.client
        with Context.open(str(path)) as context:
            budget = Budget(steps=4 if for_ever else 9)
            ending = study(context, driver, "Which heads add?", budget, View(None), tools=())
        with Reader.open(path) as reader:
            row, notes = reader.run(1), [one.title for one in reader.notes()]
            turns = reader.turns(1)
            report = reader.latest_report(1)
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert (report is None) == (ending.status == "stopped"), "a report, or it can be gone on with"
        assert row.status == ending.status
        mended = any(turn.content.get("mended") for turn in turns)
        replies = [turn for turn in turns if turn.role == "assistant"]
        again = len(wire.received) - len(replies)
        told = [
            turns[i + 1].content["text"]
            for i, turn in enumerate(turns[:-1])
            if turn is (replies[1] if len(replies) > 1 else None)
        ]
    words: list[str] = []
    if not for_ever and again and ending.status == "finished":
        words.append("The server is asked again.")
    elif told and (for_ever or ending.status == "finished"):
        words.append(
            f"The model reads: “{brief(told[0])}”"
            if not told[0].startswith("N2")
            else "The mended call is carried out."
            if mended
            else "The call is carried out."
        )
    study_ends = {"finished": "", "budget": "The budget ends the study.", "stopped": "The study stops"}
    by = study_ends.get(ending.status, "The study ends")
    if ending.status in ("stopped", "failed"):
        words.append(f"{by}{' and can be resumed' if ending.status == 'stopped' else ' with a report'}:")
        words.append(brief(ending.why or "", 300).replace(wire.url, "URL"))
    elif by:
        words.append(by)
    return Happened(" ".join(words) or "Nothing.", ending.status, notes)


def brief(text: str, most: int = 160) -> str:
    """The first sentence."""
    return re.split(r"(?<=[.!])\s", " ".join(text.split()), maxsplit=1)[0][:most]


class Row(NamedTuple):
    """One of the table: over which API, and what happened once and from then on."""

    name: str
    over: str
    once: str
    always: str


def rows_of(fault: Fault) -> list[Row]:
    """What happens, in one row where it is the same over both APIs."""
    found = [Row(fault.name, api, *(happens(fault, api, ever).words for ever in (False, True))) for api in APIS]
    same = found[0][2:] == found[1][2:]
    return [found[0]._replace(over="both")] if same else found


def table(page: str) -> dict[tuple[str, str], Row]:
    """The rows of the page, by fault and API."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    rows = [Row(*(cell.strip() for cell in cells)) for cells in lines]
    return {(row.name, api): row for row in rows for api in APIS if row.over in ("both", api)}


INTRODUCTION = """# Odd replies, and what a study makes of them

<!-- Made by `python -m lashley.tests.reply_faults`; `tests/test_reply_faults.py` compares it with what happens. -->

This page lists odd replies that servers of language models were seen to send, over Chat Completions and Responses, and
what a study makes of each. A real server on loopback sends them. Each study writes a note, meets the fault, and
continues to its report. It runs twice: once with a single fault, once with the fault in every later reply. In every
case the tracker is whole, the first note is in it, and there is a report, or `agent resume` continues the study. This
test asks the server once more after a fault; a study asks four times more, and waits up to ten minutes for an answer. A
budget of four steps ends the studies that nothing else ends.

"Mended" means that the program took the reply for what it evidently meant. The log keeps both the reply and the mended
one; `agent show R1 --all` shows them. A text counts as a call only if it contains nothing else. A replay uses the
mended reply, as the study did.

| the server answers | over | once | from then on |
|---|---|---|---|
"""


def main() -> None:
    lines = ["| " + " | ".join(row) + " |" for fault in FAULTS for row in rows_of(fault)]
    PAGE.write_text(INTRODUCTION + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
