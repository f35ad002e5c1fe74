"""How crops look, in numbers: noise, blur, contrast, debris, focus; stores side by side.

Layer: `look` is pure arrays; `measure_appearance` reads stores. No number needs the truth about the
cells, so simulated crops can be compared with real ones.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from compute.bench.table import table_lines
from compute.errors import UsageError
from compute.simulation.config import REAL
from compute.simulation.simulate import simulate
from compute.store.reader import CropStore

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

AWAY = 6
"""Pixels from any cell beyond which a crop shows medium: under 4% of a cell's light reaches there,
simulated or real."""

LEAST_MEDIUM = 150
"""Pixels of medium without which a crop is not measured."""

SMOOTH = 4.0
"""Width of the Gaussian that stands for the smooth part of the medium, pixels."""

SPECK = 6.0
"""A speck is a peak of the medium that stands out by so many times the noise, both after a
Gaussian of 1 pixel."""

GLOW_AT = (1, 2, 3, 4, 6, 8)
"""Distances from the mask at which the glow is measured, pixels."""

CLEAR = 4
"""Pixels by which a place must be farther from other cells than from the centre cell for its light
to count as the centre cell's glow."""

BLURRED = 1.2
"""A crop counts as blurred where its edge is wider than so many times the store's median."""

CROPS = 600
"""Most crops of a store that are measured, spread evenly over its usable ones."""

SIMULATED: dict[str, Any] = {
    "proteins_per_class": 4, "mixed_proteins": 0, "cells_per_protein": 10, "fields_per_protein": 1,
}  # fmt: skip
"""`simulate`'s arguments for the store that is measured where none is given: 600 crops."""

CHANNEL_NAMES = {
    "range over noise": "99.5th less 1st percentile of the crop, over the medium's robust SD",
    "light over noise": "mean in the cell less medium, over the medium's robust SD",
    "cell over medium": "mean in the cell over the medium's median, camera offset included",
    "variation in cells": "SD over mean in the cell, medium taken off",
    "variation in cells, smoothed": "the same after a Gaussian of 1 pixel, without most noise",
    "correlation of noise": "of the medium's neighbouring pixels, smooth part taken off",
    "fine over coarse": "power above half the Nyquist frequency over power below",
    "edge": "pixels over which light falls from 80 to 20% across the mask's edge",
    **{f"glow at {at}": f"light {at} px outside the mask over that just inside" for at in GLOW_AT},
    "specks": "mean number of bright peaks per crop's area of medium",
    "blurred": f"share of crops with an edge {BLURRED} times as wide as the median's",
}
"""What is measured in each channel, and how; medians over crops where nothing else is said."""

CELL_NAMES = {
    "area": "pixels of the centre cell",
    "neighbours": "share of the crop that other cells cover",
}
"""What is measured of the masks."""


def look(image: Image, mask: Mask, foreground: Mask) -> dict[str, float]:
    """Measure how one channel of one crop looks.

    Parameters
    ----------
    image
        Intensities, shape (H, W).
    mask, foreground
        The centre cell, and every cell, shape (H, W).

    Returns
    -------
    dict
        By the names in `CHANNEL_NAMES` without `blurred`, which takes many crops; what the crop
        does not show is left out: all where it has hardly any medium, shape and blur where the
        cell is hardly brighter than the noise.
    """
    image = np.asarray(image, dtype=np.float32)
    outside = ndimage.distance_transform_edt(~mask)
    others = foreground & ~mask
    far = ndimage.distance_transform_edt(~others) if others.any() else np.full(mask.shape, np.inf)
    medium = np.minimum(outside, far) > AWAY
    if medium.sum() < LEAST_MEDIUM:
        return {}
    level = float(np.median(image[medium]))
    residual, noise, correlation = _noise(image, medium)
    mean = float(image[mask].mean()) - level
    low, high = np.percentile(image, (1, 99.5))
    found = {
        "range over noise": float(high - low) / noise,
        "light over noise": mean / noise,
        "cell over medium": (mean + level) / level,
        "correlation of noise": correlation,
        "specks": _specks(residual, medium),
    }
    if mean < 2 * noise:
        return found
    smooth = ndimage.gaussian_filter(image, 1.0)
    found["variation in cells"] = float(image[mask].std()) / mean
    found["variation in cells, smoothed"] = float(smooth[mask].std()) / mean
    found["fine over coarse"] = _fine_over_coarse(image)
    depth = ndimage.distance_transform_edt(mask)
    own = far > outside + CLEAR
    rim = _mean(image, (depth > 0) & (depth <= 2)) - level
    for at in GLOW_AT:
        found[f"glow at {at}"] = (_mean(image, own & (np.abs(outside - at) <= 0.5)) - level) / rim
    found["edge"] = _edge(image - level, np.where(mask, depth - 0.5, 0.5 - outside), own | mask)
    return found


def _noise(image: Image, medium: Mask) -> tuple[Image, float, float]:
    """Return the medium without its smooth part, its robust SD, and its neighbours' correlation."""
    start = np.median(image[medium])
    weight = ndimage.gaussian_filter(medium.astype(np.float32), SMOOTH)
    smooth = ndimage.gaussian_filter(np.where(medium, image - start, 0), SMOOTH)
    residual = np.where(medium, image - start - smooth / np.maximum(weight, 1e-6), 0)
    noise = max(1.4826 * float(np.median(np.abs(residual[medium]))), 1e-6)
    clipped = np.clip(residual, -3 * noise, 3 * noise)  # specks are not noise
    together = power = 0.0
    for axis in (0, 1):
        values, inside = np.moveaxis(clipped, axis, 0), np.moveaxis(medium, axis, 0)
        both = inside[1:] & inside[:-1]
        first, second = values[1:][both], values[:-1][both]
        together += float((first * second).sum())
        power += float((first**2 + second**2).sum()) / 2
    return np.asarray(residual, dtype=np.float32), noise, together / max(power, 1e-12)


def _specks(residual: Image, medium: Mask) -> float:
    """Count the peaks that stand out of the medium, as many as a crop's area would hold."""
    blurred = ndimage.gaussian_filter(residual, 1.0)
    spread = 1.4826 * float(np.median(np.abs(blurred[medium])))
    seen = np.zeros_like(medium)  # near the crop's border, light of cells beyond is no speck
    seen[AWAY:-AWAY, AWAY:-AWAY] = medium[AWAY:-AWAY, AWAY:-AWAY]
    if seen.sum() < LEAST_MEDIUM:
        return np.nan
    peak = (blurred == ndimage.maximum_filter(blurred, 5)) & (blurred > SPECK * spread)
    return float((peak & seen).sum()) * seen.size / float(seen.sum())


def _fine_over_coarse(image: Image) -> float:
    """Return power above half the Nyquist frequency over power below."""
    taper = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(np.fft.fft2((image - image.mean()) * taper)) ** 2
    rows, columns = (np.fft.fftfreq(side) for side in image.shape)
    frequency = np.hypot(rows[:, None], columns[None])
    fine = (frequency >= 0.25) & (frequency <= 0.5)
    return float(power[fine].sum() / power[(frequency > 0) & (frequency < 0.25)].sum())


def _edge(image: Image, depth: NDArray[np.float64], where: Mask) -> float:
    """Return the distance over which light falls from 80 to 20% of its most, pixels."""
    steps = np.arange(-7, 7)
    profile = np.array([_mean(image, where & (np.abs(depth - at) <= 0.5)) for at in steps])
    if np.isnan(profile).any():
        return np.nan
    rising = np.maximum.accumulate(profile / max(float(profile.max()), 1e-9))
    low, high = np.interp((0.2, 0.8), rising + 1e-9 * np.arange(len(steps)), steps)
    return float(high - low)


def _mean(image: Image, where: Mask) -> float:
    """Return the mean over some pixels, NaN where there are fewer than 5."""
    return float(image[where].mean()) if where.sum() >= 5 else np.nan


def measure_appearance(stores: Sequence[Path | str] = ()) -> pd.DataFrame:
    """Measure how the crops of several stores look.

    Parameters
    ----------
    stores
        Folders of crop stores; where none is given, a small one is simulated by the defaults.

    Returns
    -------
    DataFrame
        Columns `store` (the folder's name, or its path where two have the same), `channel` (empty
        for what is measured of masks), `what` (of `CHANNEL_NAMES` or `CELL_NAMES`), `value` (the
        median over crops; a mean or a share for specks and blurred), `low` and `high` (quartiles,
        NaN for those two), `crops` (how many show it).

    Raises
    ------
    UsageError
        No crop of a store is usable.
    InputError
        There is no store.

    Examples
    --------
    >>> from compute import measure_appearance
    >>> table = measure_appearance(["store", "real"])  # doctest: +SKIP
    """
    if not stores:
        with tempfile.TemporaryDirectory(prefix="bystander-bench-") as folder:
            return measure_appearance([simulate(Path(folder) / "simulated", **SIMULATED)])
    paths = [Path(store) for store in stores]
    names = [path.resolve().name for path in paths]
    tables = []
    for path, name in zip(paths, names, strict=True):
        table = _measure_store(path)
        table.insert(0, "store", name if names.count(name) == 1 else str(path))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _measure_store(path: Path) -> pd.DataFrame:
    """Return one store's rows of `measure_appearance`, without the store's name."""
    store = CropStore(path)
    rows = np.flatnonzero(store.usable)
    if len(rows) == 0:
        raise UsageError(f"No crop of {path} is usable.", "Give a store with usable cells.")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, CROPS).astype(int))]
    arrays = store.arrays()
    images = arrays.images[rows]
    masks, foregrounds = (arrays.unpack(bits[rows]) for bits in (arrays.masks, arrays.foregrounds))
    of_masks = {
        "area": masks.sum((1, 2)),
        "neighbours": (foregrounds & ~masks).mean((1, 2)),
    }
    found = [_summary("", what, pd.Series(of_masks[what])) for what in CELL_NAMES]
    for channel, planes in zip(store.channels, np.moveaxis(images, 1, 0), strict=True):
        looks = [look(*crop) for crop in zip(planes, masks, foregrounds, strict=True)]
        table = pd.DataFrame(looks, columns=[*CHANNEL_NAMES], dtype=float)
        edge = table["edge"]
        table["blurred"] = (edge > BLURRED * edge.median()).where(edge.notna()).astype(float)
        found += [_summary(channel, what, table[what]) for what in CHANNEL_NAMES]
    return pd.DataFrame(found)


def _summary(channel: str, what: str, values: "pd.Series[float]") -> dict[str, Any]:
    """Return one row of `measure_appearance`, without the store's name."""
    row = {"channel": channel, "what": what, "crops": int(values.notna().sum())}
    if what in ("specks", "blurred"):
        return {**row, "value": float(values.mean()), "low": np.nan, "high": np.nan}
    low, value, high = (float(values.quantile(share)) for share in (0.25, 0.5, 0.75))
    return {**row, "value": value, "low": low, "high": high}


def side_by_side(table: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of a Markdown table: a column a store, and one of real crops (`REAL`).

    Parameters
    ----------
    table
        From `measure_appearance`.
    """
    stores = list(dict.fromkeys(table["store"]))
    found = {(row.store, row.channel, row.what): row for row in table.itertuples()}
    channels = list(dict.fromkeys(table["channel"]))
    lines = []
    for channel in channels:
        for what, how in (CHANNEL_NAMES if channel else CELL_NAMES).items():
            cells = [_cell(found.get((store, channel, what))) for store in stores]
            real = REAL.get((channel, what))
            cells.append("–" if real is None else f"{real[0]:.3g}, {real[1]:.3g}")
            lines.append((f"{channel} {what}".strip(), *cells, how))
    yield from table_lines(("what", *stores, "Paired Cell, CycleNET", "how"), lines)


def _cell(row: Any) -> str:
    """Return a value with its quartiles as text."""
    if row is None or np.isnan(row.value):
        return "–"
    value = f"{row.value:.3g}"
    return value if np.isnan(row.low) else f"{value} ({row.low:.3g} to {row.high:.3g})"
