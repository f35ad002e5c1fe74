"""Freed memory goes back to the system; each test in a process of its own, as it stays set."""

import platform
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other allocators keep nothing"
)

START = """
import os, re
import numpy as np
import compute
from compute.memory import give_back, give_back_at_once
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def blocks(count, size):
    return [np.ones(size, np.uint8) for _ in range(count)]
"""


def printed(code):
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code)], capture_output=True, check=True
    )
    return [float(number) for number in done.stdout.split()]


def test_gaps_are_given_back():
    before, kept, after = printed(
        """
        first = held()
        many = blocks(2000, 60_000)
        last = many.pop()
        many.clear()
        print(first, held())
        give_back()
        print(held())
        """
    )
    assert kept - before > 80  # or the test shows nothing
    assert after - before < 20


@pytest.mark.parametrize("told", [False, True])
def test_large_blocks_are_given_back_at_once(told):
    before, after = printed(
        f"""
        for size in (8, 16, 24):  # glibc keeps blocks of a size that it has seen freed
            del (block := blocks(1, size << 20))[:]
        if {told}:
            give_back_at_once()
        first = held()
        many = blocks(8, 12 << 20)
        small = np.ones(1000)
        last = many.pop()
        many.clear()
        print(first, held())
        """
    )
    assert (after - before < 30) == told


def test_arrow_uses_the_allocator_of_the_system():
    code = "import compute, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "system"
