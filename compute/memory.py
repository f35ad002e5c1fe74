"""Memory that was freed goes back to the system, so that a run's size is what it holds."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Return what is free to the system (glibc keeps it for later; others do so by themselves)."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
