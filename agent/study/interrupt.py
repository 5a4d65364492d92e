"""Ctrl-C: once, and the study finishes its step and is written up; twice, and it stops at once, to be gone on with."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SAID = "\nStopping: this step is finished, then the report is written. Ctrl-C again stops at once, {how}.\n"


@dataclass
class Stop:
    """Whether the user wants the study to end, or to stop at once; and whether the user is being asked something."""

    asked: bool = False
    at_once: bool = False
    waits: bool = False

    def answers(self, ask: Callable[[str], bool]) -> Callable[[str], bool]:
        """Asks a question, to which Ctrl-C is a no. Raises KeyboardInterrupt where it stops at once, and where the
        terminal is gone."""

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
    """Within it the first Ctrl-C sets `stop.asked` and ends a question, and the second raises KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread is on_interrupt of signals; a program in the background may have been started to ignore them.
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return

    def on_interrupt(_signal: int, _frame: FrameType | None) -> None:
        stop.at_once = stop.asked
        if stop.at_once:
            raise KeyboardInterrupt
        stop.asked = True
        # Not by print, which may be in the middle of a line of its own.
        os.write(2, SAID.format(how=f"and `agent resume {run}` goes on").encode())
        if stop.waits:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
