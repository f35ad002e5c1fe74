"""How simulated data sets are judged: what is counted, and between which bounds it must lie.

Layer: pure arrays, no files.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compute.bench.config import SimulationConfig as SimulationConfig
from compute.bench.simulated_answers import AnswersConfig
from compute.statistics.bootstrap import Resampling
from compute.statistics.config import ALPHA as ALPHA
from compute.statistics.config import BootstrapConfig
from compute.statistics.donors import DonorInfluence
from compute.statistics.effect_rows import effect_rows
from compute.statistics.effects import Tallies

FIRST = 40
"""So many data sets are simulated anew in tests: `Finding.first`."""

MANY_SETS = 1000
"""Data sets by which a share is known well enough for its bounds to be taken at their word."""

HELD = (0.93, 0.97)
"""Share of data sets whose 95% interval must hold the truth."""

Bounds = tuple[float | None, float | None]
"""Least and most that a share may be; None where there is no bound."""

MANY = AnswersConfig()
FEW = AnswersConfig(proteins=6, cells=(5, 15))
SETTINGS = {"20 proteins a class": MANY, "6 proteins a class": FEW}
"""Answers with as many proteins as a screen (20 or more) and as the shipped demo (6) have, in 15
localizations."""

SHARED = AnswersConfig(
    classes=6,
    conditions=("unaltered", "sham", "same", "different"),
    shifts=(0.0, -0.05, -0.1, -0.7),
    folds=5,
)
"""Answers on backgrounds that cells share, under `different` one of every other class; in 6
localizations, which makes many data sets affordable."""

SHARED_SETTINGS = {
    "20 proteins a class": SHARED,
    "6 proteins a class": replace(SHARED, proteins=6, cells=(5, 15), folds=3),
}
DONOR_EFFECTS = {
    "donors alike": (0.0, 0.0),
    "donors differ by 0.5": (0.5, 0.0),
    "donors differ by 1.2": (1.2, 0.0),
    "donors differ by 1.2, their proteins by 0.5": (1.2, 0.5),
}
"""Standard deviations of logits between the donors of a protein, and between donors' proteins."""

MOST = "donors differ by 1.2, their proteins by 0.5"
"""The strongest of `DONOR_EFFECTS`."""


def with_donors(
    effects: Iterable[str] = tuple(DONOR_EFFECTS),
) -> Iterator[tuple[str, AnswersConfig]]:
    """Yield settings of answers on shared backgrounds, in words and as configuration.

    Parameters
    ----------
    effects
        Keys of `DONOR_EFFECTS`; all by default.
    """
    for proteins, answers in SHARED_SETTINGS.items():
        for effect in effects:
            image, protein = DONOR_EFFECTS[effect]
            yield f"{proteins}, {effect}", replace(answers, image_sd=image, donor_sd=protein)


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
    first
        The same over the first data sets alone, mostly `FIRST` (over all if they are fewer), by
        which a test sees that a table of many data sets still holds.
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
    first: float
    error: float
    data_sets: int
    least: float | None
    most: float | None

    @property
    def met(self) -> bool:
        """Whether the bounds are kept.

        An upper bound alone, and bounds by fewer than `MANY_SETS` data sets, within two standard
        errors.
        """
        loose = self.least is None or self.data_sets < MANY_SETS
        slack = 2 * self.error if loose else 0.0
        return (self.least is None or self.share >= self.least - slack) and (
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
    first
        How many data sets `Finding.first` is over; by default `FIRST`.
    """

    def __init__(self, setting: str, counted: str, bounds: Bounds, first: int = FIRST) -> None:
        self.setting, self.counted, self.bounds, self.first = setting, counted, bounds, first
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
                estimator, self.setting, self.counted, float(np.mean(shares)),
                float(np.mean(shares[: self.first])), error, len(shares), *self.bounds,
            )  # fmt: skip


def summary(
    tallies: Tallies,
    answers: AnswersConfig,
    config: SimulationConfig,
    seed: int,
    donors: DonorInfluence | None = None,
    flips: int = 100,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows that a run writes to `accuracy` and `effects`.

    Parameters
    ----------
    tallies, answers
        One data set's answers, and how they came about.
    config, seed
        Says how many bootstrap draws there are; their seed.
    donors
        How donors move the accuracies; by default None, without donors.
    flips
        Sign flips of each test; by default few, as only `false_claims` judges the tests.
    """
    resampling = Resampling(tallies.classes, answers.classes, config.draws, seed)
    how = BootstrapConfig(flips=flips)
    return effect_rows(tallies, answers.conditions, answers.names, resampling, how, donors)
