"""`agent` in a process of its own that has a terminal, and somebody who answers what it asks."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from select import select

import psutil

from lashley.tests.killed import FORKED, ran


def in_child(words: list[str], folder: str, terminal: str) -> None:
    import torch

    from lashley.agent.main import cli

    torch.set_num_threads(1)
    os.chdir(folder)
    os.setsid()
    tty = os.open(terminal, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(tty, number)
    sys.stdin = os.fdopen(0)
    os.environ |= {"OPENAI_API_KEY": "", "NO_COLOR": "1", "COLUMNS": "200"}
    cli.main(words, prog_name="agent")


CTRL_C, CTRL_D = "\x03", "\x04"
KILL = signal.SIGKILL
# Seconds without a word after which it hangs.
SILENCE = 180


def at_terminal(
    *words: str, folder: Path, answers: Sequence[str | signal.Signals], when: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """`agent ...` with a terminal of its own, each question answered in turn, or met by a signal; and the keys of
    `when`, each pressed once its words are shown. Returns the exit code, and all that was shown."""
    keys = dict(when or {})
    ours, theirs = pty.openpty()
    program = FORKED.Process(target=in_child, args=([*words], str(folder), os.ttyname(theirs)))
    program.start()
    shown, left, heard = "", list(answers), time.monotonic()
    while program.is_alive():
        if not select([ours], [], [], 0.2)[0]:
            if time.monotonic() - heard > SILENCE:
                program.kill()
                raise AssertionError(f"it hangs: {shown}")
            continue
        heard = time.monotonic()
        shown += os.read(ours, 4096).decode(errors="replace")
        for said in [said for said in keys if said in shown]:
            os.write(ours, keys.pop(said).encode())
        if shown.count("[y/N]:") > len(answers) - len(left) and left:
            answer = left.pop(0)
            # A signal between the question and the read that waits for an answer is not seen until something is typed.
            while program.is_alive() and psutil.Process(program.pid).status() != psutil.STATUS_SLEEPING:
                time.sleep(0.01)
            if isinstance(answer, signal.Signals):
                os.kill(program.pid or 0, answer)
            else:
                os.write(ours, answer.encode())
    while select([ours], [], [], 0)[0]:
        shown += os.read(ours, 4096).decode(errors="replace")
    os.close(ours)
    os.close(theirs)
    return ran(program), " ".join(shown.split())
