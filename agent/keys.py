"""The keys that the user presses while an experiment runs in a terminal: c stops the experiment."""

from __future__ import annotations

import os
import sys
import termios
import tty
from select import select
from typing import Any

SKIP = b"c"


class Keys:
    """Reads single keys without waiting, from `open` to `close`; Ctrl-C keeps its meaning. Does nothing if stdin is not
    a terminal, or belongs to another program in the foreground."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._input = 0

    def open(self) -> bool:
        """Whether keys can be read."""
        if self._before is not None:
            return True
        try:
            self._input = sys.stdin.fileno()
            # The system stops a background program that changes the terminal.
            if not os.isatty(self._input) or os.tcgetpgrp(self._input) != os.getpgrp():
                return False
            self._before = termios.tcgetattr(self._input)
            tty.setcbreak(self._input)
        except (OSError, ValueError, termios.error):
            self._before = None
            return False
        return True

    def close(self) -> None:
        if self._before is not None:
            # Keys that are still waiting must not answer the next question.
            termios.tcsetattr(self._input, termios.TCSAFLUSH, self._before)
            self._before = None

    def pressed(self, key: bytes) -> bool:
        """Whether this key is among those pressed since the last call."""
        if self._before is None or not select([self._input], [], [], 0)[0]:
            return False
        return key in os.read(self._input, 1024)
