"""Simulates light and camera: blur, uneven light, noise, 16-bit counts. Pure arrays, no files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.simulation.config import SimulationConfig
from compute.simulation.geometry import Image

CHANNELS = ("GFP", "RFP")

HALO_SIGMA = 6.0
"""Width of the halo, multiples of the width of the point-spread function's core: light that is
scattered, or comes from cells above and below the focus."""

MEDIUM_SHARE = (1.0, 3.0)
"""Light of the medium in GFP and RFP, multiples of `SimulationConfig.medium`."""

RESAMPLED = (0.6, 1.0)
"""Resampling of GFP and RFP, multiples of `SimulationConfig.resampling`. Images are resampled
where channels are laid over each other: in the Paired Cell Inpainting crops the marker's only, in
CycleNET's fields those of both."""


@dataclass(frozen=True)
class BatchEffect:
    """How the images of one replicate (a plate on one day) differ from those of others.

    Parameters
    ----------
    gain
        Exposure and excitation per channel, multiples of the nominal one.
    medium
        Background light per channel, photons per pixel.
    focus
        Factor on the width of the point-spread function.
    light_centre
        Brightest place of the field, (row, column) in field sides from its middle.
    light_fall
        Share of the light that is lost at a distance of one field side from there.
    """

    gain: tuple[float, float]
    medium: tuple[float, float]
    focus: float
    light_centre: tuple[float, float]
    light_fall: float


def draw_batch_effect(config: SimulationConfig, rng: np.random.Generator) -> BatchEffect:
    """Draw the batch effect of one replicate, of the strength `config.batch`."""
    strength = config.batch
    gain = np.exp(strength * rng.normal(0, 0.18, 2))
    medium = config.medium * np.array(MEDIUM_SHARE) * np.exp(strength * rng.normal(0, 0.25, 2))
    focus = float(np.exp(strength * np.clip(rng.normal(0, 0.08), -0.2, 0.2)))
    centre = strength * rng.uniform(-0.3, 0.3, 2)
    fall = min(0.5, 0.1 + strength * float(rng.uniform(0, 0.15)))
    return BatchEffect(
        (float(gain[0]), float(gain[1])),
        (float(medium[0]), float(medium[1])),
        focus,
        (float(centre[0]), float(centre[1])),
        fall,
    )


def defocus(image: Image, sigma: float) -> Image:
    """Blur a cell above or below the focus by a Gaussian of `sigma` pixels; no light is lost."""
    if sigma < 0.3:
        return image
    return np.asarray(ndimage.gaussian_filter(image, sigma, mode="constant"), dtype=np.float32)


def expose(
    light: NDArray[np.float32],
    config: SimulationConfig,
    effect: BatchEffect,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Convert the light of a field's cells to camera counts.

    Parameters
    ----------
    light
        Photons from cells before the blur of the microscope, float32, shape (2, H, W).
    config
        Its point-spread function and camera.
    effect
        The replicate's batch effect.
    rng
        Source of photon noise and read noise.

    Returns
    -------
    ndarray
        Counts, uint16, shape (2, H, W).
    """
    height, width = light.shape[1:]
    sigma = config.psf_sigma * effect.focus
    rows = (np.arange(height, dtype=np.float32) / height - 0.5 - effect.light_centre[0])[:, None]
    columns = (np.arange(width, dtype=np.float32) / width - 0.5 - effect.light_centre[1])[None, :]
    profile = 1 - effect.light_fall * (rows**2 + columns**2)
    counts = np.empty(light.shape, np.uint16)
    for channel in range(len(CHANNELS)):
        core = ndimage.gaussian_filter(light[channel], sigma, mode="nearest")
        if config.halo:
            # A wide Gaussian of a halved image: the same light at a quarter of the work.
            wide = ndimage.uniform_filter(light[channel], 2, mode="nearest")[::2, ::2]
            wide = ndimage.gaussian_filter(wide, HALO_SIGMA * sigma / 2, truncate=3, mode="nearest")
            wide = np.repeat(np.repeat(wide, 2, 0), 2, 1)[:height, :width]
            core = (1 - config.halo) * core + config.halo * wide
        photons = rng.poisson(effect.gain[channel] * profile * (core + effect.medium[channel]))
        noise = rng.standard_normal((height, width), np.float32) * np.float32(config.read_noise)
        values = _resample(config.gain * photons + noise, config.resampling * RESAMPLED[channel])
        values += config.offset
        counts[channel] = np.clip(np.rint(values), 0, np.iinfo(np.uint16).max)
    return counts


def _resample(image: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Mix `share` of each neighbour along both axes into every pixel, as interpolation does."""
    if share == 0:
        return image
    for axis in (0, 1):
        kernel = [share, 1 - 2 * share, share]
        image = ndimage.correlate1d(image, kernel, axis, mode="nearest")
    return image
