"""The server's memory: given back after use."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # malloc.h of glibc
ARENAS = 2


def share_arenas() -> bool:
    """Let all threads share `ARENAS` pools of memory; True where the C library takes it.

    glibc gives a new thread a pool of its own, and every rerun of a page is a new thread: twenty
    reruns of a patient's page kept 5 MB more, and with two pools none
    (``tests/benchmarks/bench_viewer.py``). Other C libraries do it otherwise, and are left alone.
    """
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, ARENAS))
    except (OSError, AttributeError):
        return False
