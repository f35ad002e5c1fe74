"""Gives freed memory back to the system, so that a process is as large as what it holds."""

import ctypes
import gc
import sys
from functools import cache
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Numbers of two settings of glibc's allocator (`malloc.h`)."""

LARGE, SPARE = 1 << 20, 1 << 22
"""Values of those settings, bytes: an allocation of this size, and free memory of this size at the
end of the heap, go back at once."""


def give_back() -> None:
    """Return memory that is free now to the system."""
    gc.collect()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def give_back_at_once() -> None:
    """From now on return large allocations to the system as soon as they are freed.

    By default glibc keeps ever larger ones for later. That is faster where the same sizes are asked
    for again and again, as by networks, but tables of all sizes leave gaps.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(MMAP_THRESHOLD, LARGE)
        libc.mallopt(TRIM_THRESHOLD, SPARE)


@cache
def _glibc() -> Any:
    """Return the C library if it is glibc, whose allocator keeps what is freed, else None."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
