"""Timing: after a warm-up, medians of several rounds in which all that is compared takes turns.

Layer: clocks; no files.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compute.errors import UsageError

COMMAND = (sys.executable, "-P", "-c", "from compute.cli.main import main; main()")
"""The command line as a process of its own, which takes no code from the current folder."""


@dataclass(frozen=True)
class Timing:
    """Medians over several repeats.

    Parameters
    ----------
    wall
        Seconds by the clock.
    cpu
        Seconds of this process on all cores, on which other processes have no influence.
    """

    wall: float
    cpu: float


def alternate(
    calls: Sequence[Callable[[], Any]], repeats: int, device: torch.device | None = None
) -> list[Timing]:
    """Time calls in turn, each once in a round, after one round that does not count.

    Parameters
    ----------
    calls
        What to time. Ratios between them are fair, since each round has all of them.
    repeats
        Rounds, at least 1.
    device
        Device that is waited for before the clock is read, where it works on its own (CUDA, MPS);
        none by default.

    Returns
    -------
    list of Timing
        One for each call.

    Raises
    ------
    UsageError
        `repeats` is below 1.
    """
    if repeats < 1:
        raise UsageError(f"repeats is {repeats}; it must be at least 1.")
    wall: list[list[float]] = [[] for _ in calls]
    cpu: list[list[float]] = [[] for _ in calls]
    for number in range(repeats + 1):
        for place, call in enumerate(calls):
            settle(device)
            started, worked = time.perf_counter(), time.process_time()
            call()
            settle(device)
            if number:
                wall[place].append(time.perf_counter() - started)
                cpu[place].append(time.process_time() - worked)
    return [
        Timing(statistics.median(w), statistics.median(c)) for w, c in zip(wall, cpu, strict=True)
    ]


def settle(device: torch.device | None) -> None:
    """Wait until a device has done all that it was given; None and the CPU have always."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()
