"""Ctrl-C: once, and the study finishes its step and is written up; twice, and it stops at once, to be gone on with."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SAID = "\nStopping: this step is finished, then the report is written. Ctrl-C again stops at once, {how}.\n"


@dataclass
class Stop:
    """Whether the user wants the study to end."""

    asked: bool = False


@contextmanager
def ctrl_c(stop: Stop, run: str) -> Generator[None, None, None]:
    """Within it the first Ctrl-C sets `stop.asked`, and the second raises KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread is told of signals; a program in the background may have been started to ignore them.
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return

    def told(_signal: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        # Not by print, which may be in the middle of a line of its own.
        os.write(2, SAID.format(how=f"and `agent resume {run}` goes on").encode())

    signal.signal(signal.SIGINT, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
