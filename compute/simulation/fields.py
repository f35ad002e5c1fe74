"""Simulates a field of one strain, and cuts it into crops and windows without cells. No files."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.schema import LOCALIZATIONS
from compute.simulation.config import SimulationConfig
from compute.simulation.debris import scatter
from compute.simulation.geometry import Anatomy, Image, cover
from compute.simulation.layout import field_side, lay_out
from compute.simulation.optics import BatchEffect, defocus, expose
from compute.simulation.organelles import draw
from compute.simulation.proteome import Protein, cell_proportions
from compute.simulation.shapes import texture

CELL_SPREAD = 0.2
"""Standard deviation of the natural logarithm of brightness over cells of a strain, in both
channels."""

MARKER_IN_VACUOLE = 0.45
"""Light of the cytosolic marker over a vacuole, share of that beside it: optical sections are
thick, so cytosol above and below shows, as in the Paired Cell Inpainting crops."""

GLOW = 4
"""Pixels around a cell that its blurred light reaches: not medium."""

ATTEMPTS = 6
"""Layouts, each larger than the one before, that are tried before a field with fewer crops than
asked for is accepted."""


@dataclass(frozen=True)
class Field:
    """A simulated field of S×S pixels with the truth about its n cells.

    Parameters
    ----------
    image
        Camera counts of GFP and RFP, uint16, shape (2, S, S).
    labels
        0 for medium, cells from 1 to n, int32, shape (S, S).
    centres
        Centroid of each cell, row and column in pixels, float64, shape (n, 2).
    truth
        Proportion of each cell's protein at each of `LOCALIZATIONS`, float32, shape (n, 15).
    debris
        Where specks shine that are no cells, booleans of shape (S, S).
    """

    image: NDArray[np.uint16]
    labels: NDArray[np.int32]
    centres: NDArray[np.float64]
    truth: NDArray[np.float32]
    debris: NDArray[np.bool_]


@dataclass(frozen=True)
class FieldCrops:
    """What a store takes from a field: n crops and m windows without cells.

    Parameters
    ----------
    images
        Crops, camera counts, uint16, shape (n, 2, H, W).
    masks, foregrounds
        The centre cell, and every cell, booleans of shape (n, H, W).
    truth
        Proportions at each of `LOCALIZATIONS`, float32, shape (n, 15).
    windows
        Windows, camera counts, uint16, shape (m, 2, H, W).
    """

    images: NDArray[np.uint16]
    masks: NDArray[np.bool_]
    foregrounds: NDArray[np.bool_]
    truth: NDArray[np.float32]
    windows: NDArray[np.uint16]


def simulate_field(
    protein: Protein,
    config: SimulationConfig,
    effect: BatchEffect,
    crops: int,
    rng: np.random.Generator,
) -> Field:
    """Draw and image a field in which every cell carries the same protein.

    Parameters
    ----------
    protein
        The protein.
    config
        How a field looks.
    effect
        The replicate's batch effect.
    crops
        How many cells should have whole crops inside the field.
    rng
        Source of randomness.

    Returns
    -------
    Field
        Its side follows from `crops` and the crowding; seldom it has fewer cells with whole crops.
    """
    for attempt in range(ATTEMPTS):
        side = field_side(config, round(crops * (1 + 0.25 * attempt)))
        placed = lay_out(config, side, rng)
        half = config.size / 2 + 1
        centres = [one.cell.centroid for one in placed]
        places = np.array([(one.row, one.column) for one in placed]).reshape(-1, 2)
        places += np.array(centres).reshape(-1, 2)
        if np.all((places > half) & (places < side - half), axis=1).sum() >= crops:
            break
    truth = cell_proportions(protein, len(placed), rng)
    light, debris = scatter(side, config, rng)
    labels = np.zeros((side, side), np.int32)
    middles, kept = [], []
    for number, one in enumerate(placed):
        anatomy = Anatomy(one.cell, one.row, one.column)
        target, source = _overlap(anatomy, side)
        if target is None:
            continue
        cell_light = _light(anatomy, protein, truth[number], config, rng)
        light[:, *target] += cell_light[:, *source]
        below = labels[target]
        own = anatomy.mask[source] & (below == 0)
        if not own.any():
            continue
        kept.append(number)
        below[own] = len(kept)
        rows, columns = np.nonzero(anatomy.mask)
        middles.append((rows.mean() + anatomy.corner[0], columns.mean() + anatomy.corner[1]))
    image = expose(light, config, effect, rng)
    return Field(image, labels, np.array(middles).reshape(-1, 2), truth[kept], debris)


def _overlap(anatomy: Anatomy, side: int) -> tuple[Any, Any]:
    """Return slices of the field and of the cell's grid that cover each other, None if none do."""
    target, source = [], []
    for start, length in zip(anatomy.corner, anatomy.shape, strict=True):
        low, high = max(start, 0), min(start + length, side)
        if low >= high:
            return None, None
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    return tuple(target), tuple(source)


def _light(
    anatomy: Anatomy,
    protein: Protein,
    proportions: NDArray[np.float32],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> Image:
    """Return photons from one cell in both channels, float32, shape (2, n, n).

    The light from the protein is its brightness times the cell's area, wherever in the cell it is.
    """
    peak = protein.contrast * config.contrast
    level = protein.brightness * config.brightness * float(np.exp(rng.normal(0, CELL_SPREAD)))
    green = np.zeros(anatomy.shape, np.float32)
    for localization, share in zip(LOCALIZATIONS, proportions, strict=True):
        if share > 0:
            green += share * _held(draw(localization, anatomy, rng), anatomy, peak, config)
    green *= np.float32(level * anatomy.mask.sum())
    green += np.float32(config.autofluorescence * np.exp(rng.normal(0, 0.25))) * anatomy.body
    red = anatomy.body * (1 - (1 - MARKER_IN_VACUOLE) * cover(anatomy.vacuolar))
    red = red * texture(anatomy.shape, 2.2, 0.12, rng)
    red *= np.float32(config.marker * np.exp(rng.normal(0, CELL_SPREAD)))
    blur = float(np.abs(rng.normal(0, config.focus_spread)))
    if rng.uniform() < config.defocused:
        blur = float(rng.uniform(2.0, 3.5))
    return np.stack([defocus(green, blur), defocus(red, blur)])


def _held(pattern: Image, anatomy: Anatomy, peak: float, config: SimulationConfig) -> Image:
    """Return a pattern, of sum 1, with the share in the cytoplasm that keeps it below `peak`.

    All classes then have about the same range of intensities, so they differ in the pattern and
    not in how sharply the light is gathered.
    """
    cytoplasm = anatomy.cytoplasm / anatomy.cytoplasm.sum()
    brightest = float(ndimage.gaussian_filter(pattern, config.psf_sigma).max())
    mean = 1 / float(anatomy.mask.sum())
    share = min(1.0, (peak - 1) * mean / max(brightest - mean, 1e-9))
    return np.asarray(share * pattern + (1 - share) * cytoplasm, dtype=np.float32)


def cut_crops(
    field: Field, config: SimulationConfig, limit: int, rng: np.random.Generator
) -> FieldCrops:
    """Cut crops around cells and, at random, windows without cells.

    Parameters
    ----------
    field
        From `simulate_field`.
    config
        Its size of crops and number of windows.
    limit
        Most crops to cut; they are drawn at random where there are more cells.
    rng
        Source of randomness.

    Returns
    -------
    FieldCrops
        Crops are wholly inside the field and centred on the centroid of mother and bud.
    """
    size, side = config.size, field.labels.shape[0]
    corners = np.rint(field.centres - (size - 1) / 2).astype(int)
    inside = np.flatnonzero(np.all((corners >= 0) & (corners + size <= side), axis=1))
    chosen = np.sort(rng.permutation(inside)[:limit])
    images = np.empty((len(chosen), 2, size, size), np.uint16)
    windows_of_labels = np.empty((len(chosen), size, size), np.int32)
    for number, (row, column) in enumerate(corners[chosen]):
        here = slice(row, row + size), slice(column, column + size)
        images[number] = field.image[:, *here]
        windows_of_labels[number] = field.labels[here]
    return FieldCrops(
        images,
        windows_of_labels == (chosen + 1)[:, None, None],
        windows_of_labels > 0,
        field.truth[chosen],
        _free_windows(field, size, config.windows, rng),
    )


def _free_windows(
    field: Field, size: int, count: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Cut up to `count` windows without debris, `GLOW` pixels from any cell, each elsewhere."""
    lit = ndimage.maximum_filter(field.labels > 0, 2 * GLOW + 1) | field.debris
    sums = np.pad(np.cumsum(np.cumsum(lit, 0), 1), ((1, 0), (1, 0)))
    cells = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    free = np.argwhere(cells == 0)
    if len(free) == 0 or count == 0:
        return np.empty((0, 2, size, size), np.uint16)
    taken = [free[rng.integers(len(free))]]
    while len(taken) < min(count, len(free)):
        # The farthest of a few draws: windows that show different medium.
        some = free[rng.integers(len(free), size=8)]
        away = np.abs(some[:, None] - np.array(taken)[None]).max(2).min(1)
        if away.max() == 0:
            break
        taken.append(some[int(away.argmax())])
    return np.stack([field.image[:, r : r + size, c : c + size] for r, c in taken])
