"""Memory that is freed stays with the process.

A sweep frees and allocates blocks of a few megabytes all the time. The C library of Linux returns each to the system,
which zeroes and maps it again, page by page, at its next use: this takes a fifth of a sweep's time. So blocks up to
64 MB come from the heap, of which up to 512 MB may be unused.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """For the whole process; without glibc, nothing."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 26)
        mallopt(M_TRIM_THRESHOLD, 1 << 29)
