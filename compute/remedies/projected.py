"""Projecting out the directions in which backgrounds move embeddings. Pure arrays, no files.

Embeddings are standardised by the training cells' unaltered crops, as the probe does. How they
differ between a cell's crops on several backgrounds has directions of largest variance (principal
components within cells); the first few are taken out, and the probe is fitted on what is left of
unaltered crops. The idea is that of nuisance attribute projection (Solomonoff, Campbell and
Boardman 2005, ICASSP).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.preprocessing import StandardScaler

from compute.backgrounds.folds import Folds
from compute.probes.multiclass import Multiclass, Softmax, fit_softmax
from compute.remedies.choose import choose
from compute.remedies.config import RemedyConfig
from compute.remedies.learned import Learned, Swapped


def background_directions(
    features: NDArray[np.float64], place: NDArray[np.int64], most: int
) -> NDArray[np.float64]:
    """Find the directions in which embeddings vary most between crops of the same cell.

    Parameters
    ----------
    features
        Standardised embeddings, shape (m, D).
    place
        Number of each crop's cell, shape (m,).
    most
        How many at most.

    Returns
    -------
    ndarray
        Orthonormal columns, the largest variance first, shape (D, r); fewer than `most` where
        there is no variance left.
    """
    width = features.shape[1]
    most = min(most, width)
    if most == 0 or len(place) == 0:
        return np.zeros((width, 0))
    _, cell, many = np.unique(place, return_inverse=True, return_counts=True)
    sums = np.zeros((len(many), width))
    np.add.at(sums, cell, features)
    off = features - (sums / many[:, None])[cell]
    variance, directions = eigh(off.T @ off, subset_by_index=[width - most, width - 1])
    real = variance > 1e-9 * max(float(np.abs(variance).max(initial=0)), 1e-300)
    return np.asarray(directions[:, real][:, ::-1])


def fit_each(learned: Learned, numbers: Sequence[int]) -> list[Softmax]:
    """Fit a probe on unaltered crops with each of some numbers of directions taken out.

    Parameters
    ----------
    learned
        The cells.
    numbers
        How many directions; there can be no more than backgrounds make.
    """
    scaler = StandardScaler().fit(learned.unaltered)
    mean, scale = scaler.mean_, scaler.scale_
    unaltered = (learned.unaltered - mean) / scale
    swapped: Swapped = learned.swapped
    moved = (swapped.features - mean) / scale
    found = background_directions(moved, swapped.place, max(numbers, default=0))
    probes = []
    for number in numbers:
        taken = found[:, :number]
        left = unaltered - (unaltered @ taken) @ taken.T
        fitted = fit_softmax(left, learned.classes, scaled=False)
        weight = (fitted.weight - taken @ (taken.T @ fitted.weight)) / scale[:, None]
        probes.append(Softmax(weight, fitted.bias - mean @ weight, fitted.known))
    return probes


def fit_projected(
    learned: Learned, folds: Folds, n_classes: int, config: RemedyConfig
) -> tuple[Multiclass, str]:
    """Fit the probe for every fold, with directions, and a number of them, of its own.

    Parameters
    ----------
    learned
        The cells.
    folds
        Which cells of the store are held out together.
    n_classes
        Number of classes in the store.
    config
        The numbers of directions to choose from.

    Returns
    -------
    probe : Multiclass
        Answers each cell by the fold that holds it out.
    chosen : str
        How many directions were taken out, fold by fold.
    """
    numbers, fold = config.directions, folds.fold
    places = None
    if len(numbers) > 1:
        places = choose(learned, fold, folds.number, lambda some: fit_each(some, numbers))
    usual = numbers[0] if len(numbers) == 1 else config.few
    of = [usual] * folds.number if places is None else [numbers[place] for place in places]
    held = fold[learned.cell]
    probes = [fit_each(learned.take(held != number), [many])[0] for number, many in enumerate(of)]
    return Multiclass(probes, n_classes, folds), f"directions {', '.join(map(str, of))}"
