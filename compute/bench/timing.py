"""Taking times: warm-up outside, medians of several, alternated so that noise falls on both."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compute.errors import UsageError

COMMAND = (sys.executable, "-P", "-c", "from compute.cli.main import main; main()")
"""The command line as a process of its own, without code from the folder one stands in."""


@dataclass(frozen=True)
class Timing:
    """Medians over several repeats.

    Parameters
    ----------
    wall
        Seconds by the clock.
    cpu
        Seconds of this process on all cores; what others do on the machine does not count.
    """

    wall: float
    cpu: float


def alternate(
    tasks: Sequence[Callable[[], Any]], repeats: int, device: torch.device | None = None
) -> list[Timing]:
    """Time tasks in turn, each once per round, after one round that does not count.

    Parameters
    ----------
    tasks
        What to time. Ratios between them are fair, since each round has all of them.
    repeats
        Rounds, at least 1.
    device
        Waited for before the clock is read, where it works on its own (CUDA, MPS).

    Returns
    -------
    list of Timing
        One per task.

    Raises
    ------
    UsageError
        Fewer than one repeat.
    """
    if repeats < 1:
        raise UsageError(f"repeats is {repeats}; it must be at least 1.")
    wall: list[list[float]] = [[] for _ in tasks]
    cpu: list[list[float]] = [[] for _ in tasks]
    for number in range(repeats + 1):
        for place, task in enumerate(tasks):
            settle(device)
            started, worked = time.perf_counter(), time.process_time()
            task()
            settle(device)
            if number:
                wall[place].append(time.perf_counter() - started)
                cpu[place].append(time.process_time() - worked)
    return [
        Timing(statistics.median(w), statistics.median(c)) for w, c in zip(wall, cpu, strict=True)
    ]


def settle(device: torch.device | None) -> None:
    """Wait until a device has done all it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()
