"""How long, and how much, a server may answer: limits that hold whatever it does.

The SDK's time limit is one for each read, so that a server which sends a byte now and then is never late, and it
reads a body of any size. Here an answer has one limit of time for all of it, every attempt included, and one of size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from threading import Thread
from typing import TypeVar

from httpx2 import Request, Response, SyncByteStream

from .conversation import BadReply, Unreachable

T = TypeVar("T")

# Bytes. The longest true answers, lists of every model that there is, have two million.
MOST = 8 * 2**20
# Until when the work of this thread is waited for, by time.monotonic().
_ends: ContextVar[float] = ContextVar("_ends")


class Late(Unreachable):
    """The whole answer took longer than it may."""

    code = "late"


def within(ends: float, work: Callable[[], T]) -> T:
    """What `work` gives, if it does before `ends`. Raises Late, and what `work` raises.

    It is done in a thread, since a name that is not resolved or a header that trickles cannot be interrupted. One that
    is late is left alone: it stops at its next read, and asks nobody again.
    """
    future: Future[T] = Future()

    def run() -> None:
        _ends.set(ends)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  (it is raised where the result is waited for)
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(timeout=max(0.0, ends - time.monotonic()))
    except TimeoutError:
        raise Late from None


def check_in_time(_: Request | None = None) -> None:
    """Before each attempt. Raises Late."""
    if time.monotonic() > _ends.get(float("inf")):
        raise Late


def limit_answer(response: Response) -> None:
    """Before the body is read. Raises BadReply where its size could not be limited."""
    # A few kilobytes unpack to any size; it was asked to send the answer as it is.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BadReply("The server sends its answers packed although it is asked not to.")
    assert isinstance(response.stream, SyncByteStream)
    response.stream = Limited(response.stream)


class Limited(SyncByteStream):
    """A body of which no more than MOST bytes are read. Raises BadReply, and Late."""

    def __init__(self, body: SyncByteStream) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self.body:
            check_in_time()
            read += len(part)
            if read > MOST:
                raise BadReply(
                    f"The answer is longer than {MOST // 2**20} MB, which no reply is; the rest is not read."
                )
            yield part

    def close(self) -> None:
        self.body.close()
