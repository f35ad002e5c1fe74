"""A remedy's settings, chosen by grouped cross-validation among training proteins. Pure arrays.

For each fold that is held out, the settings are judged on the other folds alone: each of these is
held out in turn, the probe is fitted on the rest, and judged on it. Folds are of whole proteins and
donors of the cell's own fold, so that neither proteins nor donors are judged that were learned. The
criterion is the mean of two accuracies (each the mean over classes): on unaltered crops, and on
backgrounds of other classes. So a setting that buys one at the price of the other wins nothing.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from compute.probes.multiclass import Softmax
from compute.remedies.learned import Learned

MOST_CELLS = 6000
"""Cells that settings are chosen on at most, evenly taken; probes are fitted on all."""

Fit = Callable[[Learned], Sequence[Softmax]]
"""Fits a probe with every setting."""


def choose(learned: Learned, fold: NDArray[np.int64], folds: int, fit: Fit) -> list[int] | None:
    """Choose a setting for each fold that is held out.

    Parameters
    ----------
    learned
        What is learned from, n cells.
    fold
        Fold of each cell of the store, shape (N,).
    folds
        How many there are, F.
    fit
        Fits on some cells with each of S settings.

    Returns
    -------
    list of int or None
        Place of the best setting for each fold, of several the first; None with fewer than three
        folds, where none is left to judge by.
    """
    if folds < 3:
        return None
    if len(learned.cell) > MOST_CELLS:
        some = np.zeros(len(learned.cell), bool)
        some[np.linspace(0, len(some) - 1, MOST_CELLS).astype(int)] = True
        learned = learned.take(some)
    of = fold[learned.cell]
    scores: list[list[NDArray[np.float64]]] = [[] for _ in range(folds)]
    for one, other in combinations(range(folds), 2):
        probes = fit(learned.take((of != one) & (of != other)))
        for held, judged in ((one, other), (other, one)):
            cells = learned.take(of == judged)
            scores[held].append(np.array([criterion(probe, cells) for probe in probes]))
    return [int(np.argmax(np.nanmean(found, 0))) for found in scores]


def criterion(probe: Softmax, learned: Learned) -> float:
    """Return the mean of the accuracies on unaltered crops and on backgrounds of other classes.

    NaN where there are no cells; of unaltered crops alone where no cell has another background.
    """
    swapped = learned.swapped.take(learned.swapped.different)
    parts = [
        _accuracy(probe, learned.unaltered, learned.classes),
        _accuracy(probe, swapped.features, learned.classes[swapped.place]),
    ]
    known = [part for part in parts if np.isfinite(part)]
    return float(np.mean(known)) if known else float("nan")


def _accuracy(probe: Softmax, features: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """Return the share of right answers, mean over classes; NaN without crops."""
    if len(classes) == 0:
        return float("nan")
    right = probe.known[probe(features).argmax(1)] == classes
    many = np.bincount(classes)
    share = np.bincount(classes, right)[many > 0] / many[many > 0]
    return float(share.mean())
