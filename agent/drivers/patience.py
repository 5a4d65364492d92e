"""Limits on the time and size of a server's answer, which hold whatever the server does.

The SDK limits the time of each read, so a server that sends a byte now and then is never late, and it reads a body of
any size. Here the whole answer, with all attempts, has one time limit and one size limit.
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

# Bytes. The longest real answers, lists of all models, have two million.
MOST = 8 * 2**20
# The deadline of the work in this thread, by time.monotonic().
_ends: ContextVar[float] = ContextVar("_ends")


class Late(Unreachable):
    """The whole answer took longer than the time limit."""

    code = "late"


def within(ends: float, work: Callable[[], T]) -> T:
    """The result of `work`, if it returns before `ends`. Raises Late, and what `work` raises.

    The work runs in a thread, because a slow name lookup or a trickling header cannot be interrupted. Late work is
    abandoned: it stops at its next read and makes no further attempt.
    """
    future: Future[T] = Future()

    def run() -> None:
        _ends.set(ends)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  (raised again in the waiting thread)
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(timeout=max(0.0, ends - time.monotonic()))
    except TimeoutError:
        raise Late from None


def check_in_time(_: Request | None = None) -> None:
    """Called before each attempt. Raises Late."""
    if time.monotonic() > _ends.get(float("inf")):
        raise Late


def limit_answer(response: Response) -> None:
    """Called before the body is read. Raises BadReply if its size cannot be limited."""
    # A few kilobytes can decompress to any size; the request asked for an uncompressed answer.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BadReply("The server compresses its answers although the request forbids it.")
    assert isinstance(response.stream, SyncByteStream)
    response.stream = Limited(response.stream)


class Limited(SyncByteStream):
    """A body that is read up to MOST bytes. Raises BadReply, and Late."""

    def __init__(self, body: SyncByteStream) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self.body:
            check_in_time()
            read += len(part)
            if read > MOST:
                raise BadReply(f"The answer is longer than {MOST // 2**20} MB, which is too long for a reply.")
            yield part

    def close(self) -> None:
        self.body.close()
