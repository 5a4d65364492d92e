"""Ctrl-C once: the study finishes its step and writes its report. Twice: it stops at once and can be resumed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SAID = "\nStopping after this step; then the report is written. Press Ctrl-C again to stop at once, {how}.\n"


@dataclass
class Stop:
    """Whether the user asked to end the study or to stop at once, and whether a question to the user is open."""

    asked: bool = False
    at_once: bool = False
    waits: bool = False

    def answers(self, ask: Callable[[str], bool]) -> Callable[[str], bool]:
        """A function that asks a question and takes Ctrl-C for no. It raises KeyboardInterrupt if the study must stop
        at once, or the terminal is closed."""

        def asked(question: str) -> bool:
            try:
                self.waits = True
                answer = ask(question)
            except KeyboardInterrupt:
                answer = False
            except OSError as gone:
                raise KeyboardInterrupt from gone
            finally:
                self.waits = False
            if self.at_once:
                raise KeyboardInterrupt
            return answer

        return asked


@contextmanager
def ctrl_c(stop: Stop, run: str) -> Generator[None, None, None]:
    """While active, the first Ctrl-C sets `stop.asked` and ends a question; the second raises KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread can handle signals; a background program may have been started to ignore them.
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return

    def on_interrupt(_signal: int, _frame: FrameType | None) -> None:
        stop.at_once = stop.asked
        if stop.at_once:
            raise KeyboardInterrupt
        stop.asked = True
        # Not print: the signal may have interrupted a print in progress.
        os.write(2, SAID.format(how=f"and `agent resume {run}` resumes it").encode())
        if stop.waits:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
