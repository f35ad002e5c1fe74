"""Answers of a made-up probe whose true accuracies are known.

Layer: pure arrays, no files. As in real data, answers are nested and paired: a localization has its
difficulty, a protein is easier or harder than its localization, and differently so under each
condition, a cell is easier or harder under all of them. All of this adds up to a logit z, and the
answer is right with probability 1 / (1 + exp(−z)). The truth is the mean of that over all proteins
and cells there could be: an integral over normal distributions, taken on a grid, never from a
sample.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from compute.errors import UsageError
from compute.schema import CONDITIONS
from compute.statistics.effects import Tallies

_SPREADS = ("protein_sd", "condition_sd", "cell_sd", "pair_sd", "image_sd", "donor_sd")


def _normal(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a grid from −8 to 8 and the standard normal distribution's probabilities on it."""
    grid = np.linspace(-8, 8, points)
    density = np.exp(-(grid**2) / 2)
    return grid, density / density.sum()


_GRID, _DENSITY = _normal(401)
"""Grid for smooth functions, whose sums over it are exact to about 1e-12."""

_FINE, _FINE_DENSITY = _normal(20_001)
"""Grid for functions with steps."""


@dataclass(frozen=True)
class AnswersConfig:
    """How answers come about. All spreads are standard deviations of logits.

    Parameters
    ----------
    classes
        Number of localizations, at least 3.
    proteins
        Number of proteins of each localization, at least 1.
    cells
        Fewest and most cells of a protein.
    logits
        Mean logits of the hardest and of the easiest localization; the others lie evenly between.
    conditions
        Names of conditions.
    shifts
        What each condition adds to every logit.
    protein_sd, condition_sd, cell_sd
        Between a localization's proteins; between a protein's conditions; between its cells.
    pair_sd
        Between the pair tests of a protein.
    confidence
        Slope of the probability that the probe reports against the logit; 1 is nearly calibrated,
        above 1 boasts.
    pull
        Share of wrong answers that name the background's localization.
    folds
        Folds in which proteins lie, as many of each localization in each; donors come from the
        cell's own. At least 2 proteins of a localization in each, or 0, the default: no answer
        depends on a donor.
    image_sd, donor_sd
        Between donors of one protein; between donors' proteins; 0 by default. Neither is taken
        into account without folds.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    classes: int = 15
    proteins: int = 20
    cells: tuple[int, int] = (5, 25)
    logits: tuple[float, float] = (0.4, 3.5)
    conditions: tuple[str, ...] = ("unaltered", "same", "different")
    shifts: tuple[float, ...] = (0.0, -0.1, -0.7)
    protein_sd: float = 0.8
    condition_sd: float = 0.3
    cell_sd: float = 0.5
    pair_sd: float = 0.4
    confidence: float = 1.3
    pull: float = 0.3
    folds: int = 0
    image_sd: float = 0.0
    donor_sd: float = 0.0

    def __post_init__(self) -> None:
        """Check every value."""
        fewest, most = self.cells
        if self.classes < 3 or self.proteins < 1 or not 1 <= fewest <= most:
            raise UsageError(
                f"classes is {self.classes}, proteins {self.proteins}, cells {self.cells}; at "
                "least 3, 1, and 1 ≤ fewest ≤ most are needed."
            )
        if len(self.shifts) != len(self.conditions):
            raise UsageError(
                f"{len(self.shifts)} shifts for {len(self.conditions)} conditions; give one each."
            )
        for what in _SPREADS:
            if getattr(self, what) < 0:
                raise UsageError(f"{what} is {getattr(self, what)}; it must be at least 0.")
        if self.folds < 0 or self.folds > self.proteins // 2:
            raise UsageError(
                f"folds is {self.folds} with {self.proteins} proteins a localization; a fold has "
                "at least 2 of them."
            )
        if not 0 <= self.pull <= 1:
            raise UsageError(f"pull is {self.pull}; it must lie between 0 and 1.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the localizations, in order."""
        return tuple(f"class {k}" for k in range(self.classes))

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean logit of every condition and localization, shape (M, K)."""
        own = np.linspace(*self.logits, self.classes)
        return own[None] + np.asarray(self.shifts)[:, None]

    @property
    def spread(self) -> float:
        """Standard deviation of a multi-class answer's logit around its mean, without donors."""
        return float(np.hypot(np.hypot(self.protein_sd, self.condition_sd), self.cell_sd))

    @property
    def spreads(self) -> NDArray[np.float64]:
        """Standard deviation under each condition, donors included, shape (M, 1)."""
        behind = float(np.hypot(self.image_sd, self.donor_sd)) if self.folds else 0.0
        with_donors = {str(c) for c, spec in CONDITIONS.items() if spec.donors != "none"}
        add = [behind * (name in with_donors) for name in self.conditions]
        return np.hypot(self.spread, add)[:, None]


@dataclass(frozen=True)
class Sample:
    """One data set; N cells of U proteins, M conditions.

    Parameters
    ----------
    logit
        Logit of each cell under each condition, shape (M, N).
    of_protein
        Mean of the logits of each protein's cells, shape (M, U).
    protein
        Protein of each cell, ascending, shape (N,).
    classes
        Localization of each protein, shape (U,).
    """

    logit: NDArray[np.float64]
    of_protein: NDArray[np.float64]
    protein: NDArray[np.int64]
    classes: NDArray[np.int64]

    @property
    def of_cell(self) -> NDArray[np.int64]:
        """Localization of each cell."""
        return self.classes[self.protein]


@dataclass(frozen=True)
class TrueAccuracies:
    """True accuracies, which intervals are to hold; M conditions, K localizations.

    Parameters
    ----------
    overall
        Mean over localizations, shape (M,).
    by_class
        Accuracy of each localization, shape (M, K).
    """

    overall: NDArray[np.float64]
    by_class: NDArray[np.float64]


def draw(config: AnswersConfig, rng: np.random.Generator) -> Sample:
    """Draw proteins and cells with their logits."""
    classes = np.repeat(np.arange(config.classes), config.proteins)
    many = rng.integers(config.cells[0], config.cells[1] + 1, len(classes))
    return _logits(config, classes, np.repeat(np.arange(len(classes)), many), rng)


def draw_another(
    config: AnswersConfig,
    sample: Sample,
    like: AnswersConfig,
    share: float,
    rng: np.random.Generator,
) -> Sample:
    """Draw another model's logits of the same cells.

    Parameters
    ----------
    config
        How its answers come about.
    sample, like
        The first model's logits, and how they came about.
    share
        Share of every variance that both models have in common, 0 to 1.
    rng
        Draws the rest.
    """
    own = _logits(config, sample.classes, sample.protein, rng)

    def both(
        mine: NDArray[np.float64], theirs: NDArray[np.float64], of: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        off = np.sqrt(share) * (theirs - like.means[:, of])
        return config.means[:, of] + off + np.sqrt(1 - share) * (mine - config.means[:, of])

    return Sample(
        both(own.logit, sample.logit, sample.of_cell),
        both(own.of_protein, sample.of_protein, sample.classes),
        sample.protein,
        sample.classes,
    )


def _logits(
    config: AnswersConfig,
    classes: NDArray[np.int64],
    protein: NDArray[np.int64],
    rng: np.random.Generator,
) -> Sample:
    """Draw the logits of cells, given their proteins and these proteins' localizations."""
    m = len(config.conditions)
    mean = (
        config.means[:, classes]
        + config.protein_sd * rng.standard_normal(len(classes))
        + config.condition_sd * rng.standard_normal((m, len(classes)))
    )
    logit = mean[:, protein] + config.cell_sd * rng.standard_normal(len(protein))
    return Sample(logit, mean, protein, classes)


def pair_tallies(config: AnswersConfig, sample: Sample, rng: np.random.Generator) -> Tallies:
    """Have every cell answered once in the pair test against each other localization, and count.

    Returns
    -------
    Tallies
        Right answers and answers by condition, protein and other localization.
    """
    units, k = len(sample.classes), config.classes
    of_pair = config.pair_sd * rng.standard_normal((units, k))
    logit = sample.logit[..., None] + of_pair[sample.protein]
    right = rng.random(logit.shape) < expit(logit)
    starts = np.searchsorted(sample.protein, np.arange(units))
    correct = np.add.reduceat(right, starts, axis=1, dtype=np.float64)
    cells = np.bincount(sample.protein, minlength=units)
    n = np.broadcast_to(cells[None, :, None].astype(float), correct.shape).copy()
    for answers in (correct, n):
        answers[:, np.arange(units), sample.classes] = 0
    every = np.broadcast_to(cells, correct.shape[:2])
    return Tallies(correct, n, sample.classes, every, np.arange(units).astype(str))


@dataclass(frozen=True)
class CellAnswers:
    """The multi-class probe's answers, one for each cell and condition; M conditions, N cells.

    Parameters
    ----------
    named
        Localization that is named, shape (M, N).
    probabilities
        Probability of each localization, that of the named one being the highest; shape (M, N, K).
    background
        Localization of each cell's background, never its own, the same under every condition,
        shape (N,).
    """

    named: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    background: NDArray[np.int64]


def answers(config: AnswersConfig, sample: Sample, rng: np.random.Generator) -> CellAnswers:
    """Have the multi-class probe answer every cell once under each condition.

    Wrong answers name the background's localization with probability `pull`, otherwise any other
    evenly. The named class has the probability of `reported`, the others share the rest evenly.
    """
    own, k, shape = sample.of_cell, config.classes, sample.logit.shape
    background = (own + rng.integers(1, k, shape[1])) % k
    right = rng.random(shape) < expit(sample.logit)
    other = (own + rng.integers(1, k, shape)) % k
    wrong = np.where(rng.random(shape) < config.pull, background, other)
    named = np.where(right, own, wrong)
    top = reported(config, sample.logit)
    probabilities = np.repeat(((1 - top) / (k - 1))[..., None], k, axis=-1)
    np.put_along_axis(probabilities, named[..., None], top[..., None], -1)
    return CellAnswers(named, probabilities, background)


def multiclass_tallies(config: AnswersConfig, sample: Sample, rng: np.random.Generator) -> Tallies:
    """Have the multi-class probe answer, and count right answers by protein."""
    right = rng.random(sample.logit.shape) < expit(sample.logit)
    units = len(sample.classes)
    starts = np.searchsorted(sample.protein, np.arange(units))
    correct = np.add.reduceat(right, starts, axis=1, dtype=np.float64)[..., None]
    cells = np.broadcast_to(np.bincount(sample.protein, minlength=units), correct.shape[:2])
    return Tallies(
        correct, cells[..., None].astype(float), sample.classes, cells,
        np.arange(units).astype(str),
    )  # fmt: skip


def reported(config: AnswersConfig, logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that the probe reports for its answer, from 1 / classes to 1."""
    least = 1 / config.classes
    return np.asarray(least + (1 - least) * expit(config.confidence * logit))


def cell_tallies(config: AnswersConfig, sample: Sample, rng: np.random.Generator) -> Tallies:
    """Have the multi-class probe answer, and count right answers with cells as resampling units."""
    right = (rng.random(sample.logit.shape) < expit(sample.logit)).astype(float)[..., None]
    ones = np.ones(right.shape)
    return Tallies(
        right, ones, sample.of_cell, ones[..., 0].astype(np.int64), sample.protein.astype(str)
    )


def accuracies_of(config: AnswersConfig, sample: Sample) -> TrueAccuracies:
    """Integrate multi-class accuracies of a sample's own proteins over all their possible cells."""
    by_protein = mean_over(sample.of_protein, config.cell_sd)
    weight = np.bincount(sample.protein, minlength=len(sample.classes)).astype(float)
    of_class = np.eye(config.classes)[sample.classes] * weight[:, None]
    by_class = by_protein @ (of_class / of_class.sum(0))
    return TrueAccuracies(by_class.mean(1), by_class)


def true_accuracies(config: AnswersConfig, pair: bool) -> TrueAccuracies:
    """Integrate accuracies over proteins and cells, in pair tests or of the multi-class probe."""
    if not pair:
        by_class = mean_over(config.means, config.spreads)
        return TrueAccuracies(by_class.mean(1), by_class)
    side = mean_over(config.means, np.hypot(config.spreads, config.pair_sd))
    tests = (side[:, :, None] + side[:, None]) / 2
    own = np.eye(config.classes, dtype=bool)
    by_class = np.where(own, 0, tests).sum(2) / (config.classes - 1)
    # Every pair counts once, so the mean over pairs is that over classes.
    return TrueAccuracies(by_class.mean(1), by_class)


def mean_over(
    mean: NDArray[np.float64], spread: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of 1 / (1 + exp(−z)) over normal z, for every mean of z; shape of `mean`."""
    return np.asarray(expit(mean[..., None] + np.asarray(spread)[..., None] * _GRID) @ _DENSITY)


def true_flips(config: AnswersConfig, condition: int) -> dict[str, NDArray[np.float64]]:
    """Integrate how often answers change from condition 0 to another.

    Returns
    -------
    dict
        `lost`, `gained` and `moved` (wrong on both, with another answer), each by localization,
        shape (K,).
    """
    shared = float(np.hypot(config.protein_sd, config.cell_sd))
    level = config.means[[0, condition]][..., None] + shared * _GRID
    behind = np.sqrt(config.spreads[[0, condition], :, None] ** 2 - config.spread**2)
    before, after = mean_over(level, np.hypot(config.condition_sd, behind))
    k, pull = config.classes, config.pull
    # Two wrong answers agree when both name the background, or one of them and by chance.
    likely = pull + (1 - pull) / (k - 1)
    agree = likely**2 + (k - 2) * ((1 - pull) / (k - 1)) ** 2
    return {
        "lost": (before * (1 - after)) @ _DENSITY,
        "gained": ((1 - before) * after) @ _DENSITY,
        "moved": (1 - agree) * ((1 - before) * (1 - after)) @ _DENSITY,
    }


def true_brier(config: AnswersConfig) -> NDArray[np.float64]:
    """Integrate the Brier score (a sum over classes), shape (M, K)."""
    logit = config.means[..., None] + config.spread * _GRID
    right, top = expit(logit), reported(config, logit)
    rest = (1 - top) / (config.classes - 1)
    if_right = (1 - top) ** 2 + (config.classes - 1) * rest**2
    if_wrong = top**2 + (1 - rest) ** 2 + (config.classes - 2) * rest**2
    return np.asarray((right * if_right + (1 - right) * if_wrong) @ _DENSITY)


def true_calibration_error(
    config: AnswersConfig, condition: int, edges: NDArray[np.float64]
) -> float:
    """Integrate the expected calibration error under a condition, over all localizations.

    Parameters
    ----------
    config
        How answers come about.
    condition
        Number of the condition.
    edges
        Inner edges of the bins; a confidence on an edge is in the bin below.
    """
    logit = config.means[condition][:, None] + config.spread * _FINE
    top = reported(config, logit)
    gap = (expit(logit) - top) * _FINE_DENSITY / config.classes
    here = np.searchsorted(edges, top.ravel(), "left")
    return float(np.abs(np.bincount(here, gap.ravel())).sum())


def true_attraction(config: AnswersConfig, condition: int) -> NDArray[np.float64]:
    """Integrate how much more often the background is named than under condition 0, shape (K,)."""
    likely = config.pull + (1 - config.pull) / (config.classes - 1)
    accuracy = true_accuracies(config, pair=False).by_class
    return np.asarray(likely * (accuracy[0] - accuracy[condition]))
