"""Scatters debris over a field: specks of light that are no cells. Pure arrays, no files."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.simulation.config import SimulationConfig

SHINING = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Share of its light that a particle sends in GFP and RFP; each of these is as likely."""

SIZE = 0.8
"""Median width of a particle, pixels (standard deviation of a Gaussian)."""

SIZE_SPREAD, LIGHT_SPREAD = 0.4, 1.2
"""Standard deviation of the natural logarithm of a particle's width and of its light."""


def scatter(
    side: int, config: SimulationConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw particles at random places.

    Parameters
    ----------
    side
        Side of the field, pixels.
    config
        Its debris; a particle's light is a share of a median cell's in the same channel.
    rng
        Source of randomness.

    Returns
    -------
    light
        Photons before the blur of the microscope, float32, shape (2, side, side).
    traces
        Where windows without cells may not lie: pixels at which a particle's blurred light is
        more than the shot noise of the medium, booleans of shape (side, side).
    """
    light = np.zeros((2, side, side), np.float32)
    traces = np.zeros((side, side), bool)
    area = np.pi * (config.cell_diameter / 2) ** 2
    cell = area * np.array([config.brightness, config.marker])
    for _ in range(rng.poisson(config.debris * side**2 / 1e4)):
        width = SIZE * float(np.exp(rng.normal(0, SIZE_SPREAD)))
        share = config.debris_light * float(np.exp(rng.normal(0, LIGHT_SPREAD)))
        photons = share * cell * np.array(SHINING[rng.integers(len(SHINING))])
        row, column = rng.uniform(0, side - 1, 2)
        reach = int(np.ceil(4 * (width + config.psf_sigma)))
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        rows = np.arange(top, min(int(row) + reach + 1, side))
        columns = np.arange(left, min(int(column) + reach + 1, side))
        away = (rows[:, None] - row) ** 2 + (columns[None] - column) ** 2
        spot = np.exp(-away / (2 * width**2))
        spot /= max(float(spot.sum()), 1e-9)
        here = slice(top, top + len(rows)), slice(left, left + len(columns))
        light[:, *here] += (photons[:, None, None] * spot).astype(np.float32)
        seen = ndimage.gaussian_filter(spot, config.psf_sigma) * photons.max()
        traces[here] |= seen > np.sqrt(config.medium + 1)
    return light, traces
