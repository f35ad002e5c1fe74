"""Memory that was freed goes back to the system, so that a run's size is what it holds."""

import ctypes
import gc
import sys
from functools import cache
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Names of glibc's settings (`malloc.h`)."""

LARGE, SPARE = 1 << 20, 1 << 22
"""Bytes of a block, and of free memory at the end of the heap, that go back at once."""


def give_back() -> None:
    """Return what is free to the system."""
    gc.collect()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def give_back_at_once() -> None:
    """From now on return large blocks as soon as they are freed.

    glibc would keep ever larger ones for later, which is faster where blocks of the same size are
    asked for again and again, as by networks; tables of all sizes leave gaps.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(MMAP_THRESHOLD, LARGE)
        libc.mallopt(TRIM_THRESHOLD, SPARE)


@cache
def _glibc() -> Any:
    """Find glibc, the allocator that keeps what is freed; other systems' do not need to be told."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
