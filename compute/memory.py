"""Memory of this machine: how much is free, and freed memory given back to the system."""

import ctypes
import gc
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what is free, and what this process's container may have."""

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Numbers of two settings of glibc's allocator (`malloc.h`)."""

LARGE, SPARE = 1 << 20, 1 << 22
"""Values of those settings, bytes: an allocation of this size, and free memory of this size at the
end of the heap, go back at once."""


def free_bytes() -> int | None:
    """Return the memory that this process could still take, bytes; None where that is not said.

    On Linux what the kernel calls available, or what is left to the container if that is less;
    elsewhere all that the machine has.
    """
    found = [value for value in (_available(), _left_to_container()) if value is not None]
    if found:
        return min(found)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _available() -> int | None:
    """Return `MemAvailable` of Linux, bytes; None elsewhere."""
    try:
        lines = MEMINFO.read_text("ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * 1024 if values else None


def _left_to_container() -> int | None:
    """Return what a container with a limit has left, bytes; None without one."""
    try:
        most = (CGROUP / "memory.max").read_text("ascii").strip()
        taken = (CGROUP / "memory.current").read_text("ascii").strip()
    except OSError:
        return None
    return max(0, int(most) - int(taken)) if most.isdigit() and taken.isdigit() else None


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
