"""Commands in processes of their own that may not do what a process usually may."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .killed import FORKED, in_child, ran


def limited(folder: Path, command: list[str], setup: Callable[[], None]) -> int:
    """The command in a process that `setup` has limited; its exit code."""
    process = FORKED.Process(target=_limited, args=(setup, command, str(folder)))
    process.start()
    return ran(process)


def _limited(setup: Callable[[], None], command: list[str], folder: str) -> None:
    from lashley.db.write.store import Store

    # A lock is waited for half a minute; here for half a second.
    Store.open.__func__.__kwdefaults__["wait"] = 0.5  # pyright: ignore
    setup()
    in_child([*command, *([] if "--db" in command else ["--db", "s.db"])], folder, 0)


def nothing() -> None: ...


def no_growth() -> None:
    """No file may grow beyond what a lock file and what is said take."""
    _growth(20_000)


def growth_to(size: int) -> Callable[[], None]:
    """No file may grow beyond so many bytes."""
    return partial(_growth, size)


def _growth(size: int) -> None:
    # Without this the process would be killed; as it is, a write fails.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def no_power() -> None:
    """Root may write everything, unless it lays down its capabilities."""
    libc = ctypes.CDLL(None, use_errno=True)
    version, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capset(version, none) == 0, os.strerror(ctypes.get_errno())
