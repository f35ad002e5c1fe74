"""Random choices that depend on their names alone: counter-based hashing. Pure arrays."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
"""SplitMix64's increment and factors (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195)."""


class Stream(IntEnum):
    """Purposes of random choices: the number that separates them from others with the same seed.

    A result depends on these numbers as it does on its seed, so none is ever changed or used again.
    """

    SIMULATED_BATCH = 0
    """Light, gain and focus of a replicate's simulated fields."""
    SIMULATED_FIELD = 1
    """Cells and noise of one simulated field."""
    PAIR_TEST_CELLS = 101
    """Which cells of a class are in pair tests."""
    BACKGROUND_CLASSES = 102
    """Which classes are backgrounds of pair tests."""
    CELL_BACKGROUNDS = 103
    """In which order a cell takes the background classes."""
    TRIAL_SEED = 104
    """The seed of a trial, from which holes are filled."""
    DONOR = 105
    """Which cell or window is behind a cell."""
    MULTILABEL_CELLS = 106
    """Which cells with several labels the multi-label probe takes."""
    AVERAGED_BACKGROUNDS = 107
    """On which backgrounds a cell stands whose embeddings are averaged."""
    SCALE_CROPS = 201
    """Which crops of a group its intensity scale is measured on."""
    FOLDS = 301
    """Which proteins, or cells, are in which fold."""
    SHIFT_NULL = 401
    """The exchanges of labels that give a protein's shift its p-value."""
    NOISE_FLOOR = 402
    """The halves of a protein's unaltered cells that give its noise floor."""
    CALIBRATION_CELLS = 403
    """Which cells the temperature of a probe's probabilities is fitted on."""
    DOSE_TRIALS = 404
    """Which trials the bins of a dose are found from."""
    EXCHANGES = 405
    """Among which training cells of a probe conditions are exchanged."""
    DONOR_PAIRS = 441
    """Bucket and sign of a pair of a centre unit and a donor unit in a sketch."""
    EXAMPLE_CELLS = 501
    """Which cells' crops are kept to look at, beside those that moved most."""
    MOSAIC_CELLS = 502
    """Which cells a mosaic of a store shows."""
    SAMPLED_BLOCKS = 503
    """Which blocks of a store are looked at where not all can be."""
    OCCLUDED_CELLS = 504
    """From which cells' crops pieces are taken out."""
    OCCLUSION_FILL = 505
    """The seeds of the medium that fills these pieces."""
    TRAIN_FIELDS = 601
    """Which fields of a protein are for training where a store's split is drawn."""
    TRAINING_FILL = 602
    """The seeds of the medium that training fills holes with."""
    VALIDATION_BACKGROUNDS = 603
    """On which background, and of which donor, a validation cell stands in training."""
    VALIDATION_FIELDS = 0x5711
    """Which fields are held out in training; far from the epochs, whose numbers are used too."""


def mix(*integers: Any) -> NDArray[np.uint64]:
    """Hash integers, elementwise, to evenly spread 64-bit numbers.

    The same integers give the same number on any machine, in any order of calls. Each is mixed in
    by the finaliser of SplitMix64.

    Parameters
    ----------
    *integers
        Integers or arrays of integers, of shapes that broadcast together; their order matters.

    Returns
    -------
    ndarray
        uint64, of the common shape.
    """
    state = np.zeros(np.broadcast_shapes(*(np.shape(one) for one in integers)), np.uint64)
    with np.errstate(over="ignore"):
        for one in integers:
            state = state + np.asarray(one).astype(np.uint64) + GOLDEN
            state = (state ^ (state >> np.uint64(30))) * FIRST
            state = (state ^ (state >> np.uint64(27))) * SECOND
            state = state ^ (state >> np.uint64(31))
    return state
