"""How much is measured and simulated by default.

Layer: frozen dataclasses, checked when made.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from compute.errors import UsageError, unknown_value
from compute.schema import CONDITIONS

ROUNDS = 5
"""Rounds of a measurement, of which the median counts."""


@dataclass(frozen=True)
class SimulationConfig:
    """How much is simulated.

    Parameters
    ----------
    data_sets
        Data sets in each setting, at least 2.
    draws
        Bootstrap draws of each interval, at least 100. Runs take 2,000; with 400 an
        interval's length is off by 4% (standard deviation), which the shares include.
    flips
        Sign flips of each test, at least 100.
    seed
        Decides every data set; any integer ≥ 0.

    Raises
    ------
    UsageError
        A value is below its least.
    """

    data_sets: int = 1000
    draws: int = 400
    flips: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        for what, least in (("data_sets", 2), ("draws", 100), ("flips", 100), ("seed", 0)):
            if getattr(self, what) < least:
                raise UsageError(f"{what} is {getattr(self, what)}; it must be at least {least}.")

    def each(self, *stream: int) -> Iterator[tuple[int, np.random.Generator]]:
        """Yield the number of each data set, and a generator of random numbers of its own.

        Parameters
        ----------
        *stream
            Numbers that tell one simulation's random numbers from another's.
        """
        for number in range(self.data_sets):
            yield number, np.random.default_rng([self.seed, *stream, number])


@dataclass(frozen=True)
class FingerprintConfig:
    """How composites are told from unaltered crops.

    Parameters
    ----------
    conditions
        Names from `Condition` that have trials of their own and keep the cell.
    cells
        Cells that are looked at, at most; at least 20.
    epochs
        Passes over the training crops, at least 1.
    folds
        Parts of the proteins, of which each is held out once; at least 2.
    draws
        Bootstrap draws of proteins, at least 100.
    seed
        Any integer ≥ 0.

    Raises
    ------
    UsageError
        A value is not allowed.
    """

    conditions: tuple[str, ...] = ("sham", "same_protein", "same", "different")
    cells: int = 1000
    epochs: int = 10
    folds: int = 2
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        allowed = [str(c) for c, spec in CONDITIONS.items() if spec.composed and spec.keeps_cell]
        for name in self.conditions:
            if name not in allowed:
                raise unknown_value("condition", name, allowed)
        least = {"cells": 20, "epochs": 1, "folds": 2, "draws": 100, "seed": 0}
        for what, smallest in least.items():
            if getattr(self, what) < smallest:
                raise UsageError(f"{what} is {getattr(self, what)}; at least {smallest}.")
