"""A real HTTP server on loopback that answers what a test has queued, and keeps what it was sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket as Socket
from threading import Thread
from time import sleep
from typing import Any, NamedTuple


class Received(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


# What is sent in place of an answer, byte by byte, before the connection is cut.
Act = Callable[[Socket], None]


class Answer(NamedTuple):
    status: int
    content: bytes
    headers: dict[str, str]
    delay: float
    act: Act | None = None


class Wire:
    """`then(...)` queues an answer; the last one is given again when the queue is empty."""

    def __init__(self) -> None:
        self.url, self.server_header = "", "a test"
        self.received: list[Received] = []
        self._answers: list[Answer] = []
        self._script: Callable[[dict[str, Any]], object] | None = None

    def then(self, body: object, status: int = 200, delay: float = 0.0, **headers: str) -> Wire:
        """`body` is sent as JSON, or as it is when it is text or bytes. Underscores in header names become dashes."""
        if isinstance(body, bytes):
            content = body
        else:
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/html" if isinstance(body, str) and body.startswith("<") else "application/json"
        named = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self._answers.append(Answer(status, content, named, delay))
        return self

    def then_badly(self, act: Act) -> Wire:
        """Queues what is no answer: `act` writes to the socket, which is then cut."""
        self._answers.append(Answer(0, b"", {}, 0, act))
        return self

    def by(self, script: Callable[[dict[str, Any]], object]) -> Wire:
        """From now on every answer is what `script` makes of the request: JSON, or an Answer as it is."""
        self._script = script
        return self

    def answer(self, body: bytes) -> Answer:
        if self._script is not None:
            made = self._script(json.loads(body or b"{}"))
            if isinstance(made, Answer):
                return made
            content = json.dumps(made).encode()
            return Answer(200, content, {"content-type": "application/json"}, 0)
        if not self._answers:
            return Answer(
                500, b'{"error": {"message": "the test has queued no answer"}}', {"x-should-retry": "false"}, 0
            )
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [received.body for received in self.received]


@contextmanager
def serving() -> Iterator[Wire]:
    """A server for the length of a `with` block. Its `url` ends in /v1."""
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two would wait for each other for 40 ms

        def version_string(self) -> str:
            return wire.server_header

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def take(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            wire.received.append(Received(self.command, self.path, headers, raw))
            answer = wire.answer(raw)
            sleep(answer.delay)
            try:
                if answer.act is not None:
                    self.close_connection = True
                    answer.act(self.connection)
                    return
                self.send_response(answer.status)
                for name, value in {**answer.headers, "content-length": str(len(answer.content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.content)
            except (BrokenPipeError, ConnectionResetError):  # the client did not wait
                self.close_connection = True

        do_GET = do_POST = take

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that breaks off is what some tests are about."""
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    server = Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    wire.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chat(text: str | None = None, *calls: tuple[str, str, Any], finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion; each call is (id, name, arguments)."""
    said: dict[str, Any] = {"role": "assistant", "content": text, **message}
    if calls:
        said["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def response(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A response of the Responses API with these output items."""
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None}
    return {**head, "output": list(output), "usage": usage, **fields}


def output_text(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def function_call(id: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": id, "name": name, "arguments": arguments}


def reasoning(secret: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": secret}
