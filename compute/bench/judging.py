"""How simulated data sets are judged: what is counted, and between which bounds it must lie.

Layer: pure arrays, no files.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compute.bench.simulated_answers import AnswersConfig
from compute.errors import UsageError
from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.statistics.effect_rows import effect_rows
from compute.statistics.effects import Tallies

HELD = (0.93, 0.97)
"""Share of data sets whose 95% interval must hold the truth."""

LEVEL = 0.05
"""Level of tests, and share of false discoveries, that are allowed."""

Bounds = tuple[float | None, float | None]
"""Least and most that a share may be; None where there is no bound."""

MANY = AnswersConfig()
FEW = AnswersConfig(proteins=6, cells=(5, 15))
SETTINGS = {"20 proteins a class": MANY, "6 proteins a class": FEW}
"""Answers with as many proteins as a screen (20 or more) and as the shipped demo (6) have, in 15
localizations."""


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
class Finding:
    """What came out for one estimator in one setting.

    Parameters
    ----------
    estimator
        Name of the interval or test.
    setting
        The data sets, in words.
    counted
        What was counted, in words.
    share
        Share that was counted, mean over data sets.
    error
        Monte Carlo standard error of `share`.
    data_sets
        Number of data sets.
    least, most
        Bounds of `share`; None where nothing is promised.
    """

    estimator: str
    setting: str
    counted: str
    share: float
    error: float
    data_sets: int
    least: float | None
    most: float | None

    @property
    def met(self) -> bool:
        """Whether the bounds are kept; an upper bound alone, within two standard errors."""
        slack = 2 * self.error if self.least is None else 0.0
        return (self.least is None or self.share >= self.least) and (
            self.most is None or self.share <= self.most + slack
        )


class Counter:
    """Collects what was counted in each data set, by estimator.

    Parameters
    ----------
    setting, counted
        The data sets and what is counted, in words.
    bounds
        Between which the shares must lie.
    """

    def __init__(self, setting: str, counted: str, bounds: Bounds) -> None:
        self.setting, self.counted, self.bounds = setting, counted, bounds
        self.shares: dict[str, list[float]] = defaultdict(list)

    def add(self, estimator: str, outcome: Any) -> None:
        """Add one data set's outcome: booleans, of which the mean counts, or a share."""
        self.shares[estimator].append(float(np.mean(outcome)))

    def add_all(self, outcomes: Mapping[str, Sequence[bool]]) -> None:
        """Add one data set's outcomes for several estimators."""
        for estimator, outcome in outcomes.items():
            self.add(estimator, outcome)

    def findings(self) -> Iterator[Finding]:
        """Yield what came out for each estimator."""
        for estimator, shares in self.shares.items():
            error = float(np.std(shares, ddof=1) / np.sqrt(len(shares)))
            yield Finding(
                estimator, self.setting, self.counted, float(np.mean(shares)), error, len(shares),
                *self.bounds,
            )  # fmt: skip


def summary(
    tallies: Tallies, answers: AnswersConfig, config: SimulationConfig, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows that a run writes to `accuracy` and `effects`."""
    resampling = Resampling(tallies.classes, answers.classes, config.draws, seed)
    flips = BootstrapConfig(flips=100)  # `false_claims` judges the test
    return effect_rows(tallies, answers.conditions, answers.names, resampling, flips)
