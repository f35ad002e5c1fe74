"""Embeddings of made-up proteins, answered by real probes that are fitted on them.

Layer: pure arrays, no files. A cell's embedding is the sum of its class's, its protein's deviation,
its own and that of each reading; under the second condition it is read anew. Mixed proteins, which
probes are not fitted on, lie between two classes, or some of their cells in the one and the rest in
the other. Where a mixed protein shifts, the second condition moves it towards its second class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.backgrounds.folds import Folds, deal
from compute.errors import UsageError
from compute.probes.exchange import fit_exchanged
from compute.probes.multiclass import Multiclass, TrainingCrops, fit_multiclass
from compute.statistics.calibration import fit_temperature, heat
from compute.statistics.config import BootstrapConfig

EXCHANGES = BootstrapConfig.exchanges
"""As many exchanges of training cells as a run makes."""


@dataclass(frozen=True)
class ProbesConfig:
    """How embeddings come about. Spreads are standard deviations of each coordinate.

    Parameters
    ----------
    classes, proteins, cells, features
        Numbers of classes (at least 2), of proteins of each (at least 4), of cells of each protein
        and of coordinates of an embedding (at least 1).
    mixed
        Number of proteins that probes are not fitted on.
    varying
        Whether the cells of a mixed protein lie in one of two classes each; otherwise between both.
    class_sd, protein_sd, cell_sd, reading_sd
        Spread between classes, between the proteins of a class, between the cells of a protein and
        between readings of a cell.
    shifted
        Share of the mixed proteins that shift, 0 to 1.
    move
        How far these move towards their second class, 1 being all the way.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    classes: int = 6
    proteins: int = 10
    cells: int = 9
    features: int = 16
    mixed: int = 20
    varying: bool = False
    class_sd: float = 0.8
    protein_sd: float = 0.5
    cell_sd: float = 0.6
    reading_sd: float = 0.8
    shifted: float = 0.0
    move: float = 0.8

    def __post_init__(self) -> None:
        """Check every value."""
        least = {"classes": 2, "proteins": 4, "cells": 1, "features": 1, "mixed": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UsageError(f"{name} is {getattr(self, name)}; at least {smallest} is needed.")
        if not 0 <= self.shifted <= 1:
            raise UsageError(f"shifted is {self.shifted}; it must lie between 0 and 1.")


@dataclass(frozen=True)
class Answers:
    """What probes say of N cells of P proteins; K classes.

    Parameters
    ----------
    before, refit, frozen
        Probabilities of the unaltered readings, and of the second ones by a probe of their own and
        by the first probe, shape (N, K).
    calibrated
        `before` at the temperature that was fitted on the cells of one class, shape (N, K).
    prior
        Share of each class among those, shape (K,).
    change
        How the mean of both probes changes between a cell's readings, shape (N, K).
    moves
        How each protein moves with exchanges among training cells, shape (P, exchanges, K).
    protein
        Number of each cell's protein, shape (N,).
    mixed, shifted
        Which proteins are mixed, and which of them shift, shape (P,).
    """

    before: NDArray[np.float64]
    refit: NDArray[np.float64]
    frozen: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    prior: NDArray[np.float64]
    change: NDArray[np.float64]
    moves: NDArray[np.float64]
    protein: NDArray[np.int64]
    mixed: NDArray[np.bool_]
    shifted: NDArray[np.bool_]

    def cells(self, protein: int) -> slice:
        """Return the rows of a protein's cells."""
        first, last = np.searchsorted(self.protein, [protein, protein + 1])
        return slice(int(first), int(last))


def draw_answers(config: ProbesConfig, rng: np.random.Generator) -> Answers:
    """Draw one data set, and fit and ask the probes."""
    k, pure = config.classes, config.classes * config.proteins
    first = np.append(np.repeat(np.arange(k), config.proteins), rng.integers(0, k, config.mixed))
    second = (first + rng.integers(1, k, len(first))) % k
    mixed = np.arange(len(first)) >= pure
    shifted = mixed & (np.arange(len(first)) < pure + round(config.shifted * config.mixed))
    protein = np.repeat(np.arange(len(first)), config.cells)
    centres = config.class_sd * rng.standard_normal((k, config.features))

    def spread(rows: int, sd: float) -> NDArray[np.float64]:
        return sd * rng.standard_normal((rows, config.features))

    share = np.zeros(len(protein))
    many = mixed[protein]
    share[many] = rng.integers(0, 2, many.sum()) if config.varying else 0.5
    away = (centres[second] - centres[first])[protein]
    cell = centres[first][protein] + share[:, None] * away
    cell += spread(len(first), config.protein_sd)[protein] + spread(len(protein), config.cell_sd)
    moved = config.move * shifted[protein][:, None] * away
    readings = [
        (cell + change + spread(len(cell), config.reading_sd)).astype(np.float32)
        for change in (0.0, moved)
    ]
    classes = np.where(many, -1, first[protein])
    folds = deal("grouped", 5, classes, protein, ~many, k, int(rng.integers(2**31)))
    return _asked(readings, classes, protein, folds, mixed, shifted, int(rng.integers(2**31)))


def _asked(
    readings: list[NDArray[np.float32]],
    classes: NDArray[np.int64],
    protein: NDArray[np.int64],
    folds: Folds,
    mixed: NDArray[np.bool_],
    shifted: NDArray[np.bool_],
    seed: int,
) -> Answers:
    """Fit the probes of both conditions, and ask them about every cell."""
    every, own = np.arange(len(classes)), np.flatnonzero(classes >= 0)
    k = int(classes.max()) + 1
    crops = [TrainingCrops(x[own], own, classes[own]) for x in readings]
    lead = _fitted(crops[0], folds, k)
    other = _fitted(crops[1], folds, k, lead)
    exchanged = fit_exchanged((crops[0], crops[1]), (lead, other), EXCHANGES, seed)
    if exchanged is None:
        raise RuntimeError("Folds of a made-up data set lack a class.")
    moved = np.add(*(exchanged(x, every) for x in readings)) / 2
    starts = np.flatnonzero(np.diff(protein, prepend=-1))
    many = np.diff(np.append(starts, len(protein)))
    before = lead(readings[0], every).astype(np.float64)
    temperature = fit_temperature(before[own], classes[own])
    return Answers(
        before,
        other(readings[1], every).astype(np.float64),
        lead(readings[1], every).astype(np.float64),
        heat(before, temperature),
        np.bincount(classes[own], minlength=k) / len(own),
        np.subtract(*(exchanged.both(x, every).astype(np.float64) for x in readings[::-1])),
        np.add.reduceat(moved.astype(np.float64), starts) / many[:, None, None],
        protein,
        mixed,
        shifted,
    )


def _fitted(
    crops: TrainingCrops, folds: Folds, classes: int, start: Multiclass | None = None
) -> Multiclass:
    """Fit one condition's probe, of two classes at least."""
    probe = fit_multiclass(crops, folds, classes, start)
    if probe is None:
        raise RuntimeError("A made-up data set has one class.")
    return probe
