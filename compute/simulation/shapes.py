"""Draws the shapes that organelles consist of: shells, spots and tubes. Pure arrays, no files."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.simulation.geometry import Anatomy, Image

Points = NDArray[np.float64]


def shell(depth: Image, width: float, inward: float = 0.0) -> Image:
    """Draw a thin layer along an edge.

    Parameters
    ----------
    depth
        Signed distance to the edge, pixels, positive inside.
    width
        Standard deviation of the layer's Gaussian profile, pixels.
    inward
        Distance of the layer from the edge, pixels; 0 by default.

    Returns
    -------
    ndarray
        Float32 of the same shape, 1 in the middle of the layer.
    """
    return np.asarray(np.exp(-(((depth - inward) / width) ** 2) / 2), dtype=np.float32)


def texture(
    shape: tuple[int, int], grain: float, strength: float, rng: np.random.Generator
) -> Image:
    """Draw smooth factors, of mean 1 and at least 0, that make a drawing uneven.

    Parameters
    ----------
    shape
        Shape of the grid.
    grain
        Size of a patch, pixels (standard deviation of the smoothing).
    strength
        Standard deviation of the factors.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Float32, of that shape.
    """
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), grain, mode="wrap")
    # Smoothing white noise leaves a standard deviation of 1 / (2 √π grain).
    scaled = 1 + strength * noise * np.float32(2 * np.sqrt(np.pi) * grain)
    return np.asarray(np.maximum(scaled, 0), dtype=np.float32)


def pick(
    anatomy: Anatomy, density: Image, count: int, spacing: float, rng: np.random.Generator
) -> Points:
    """Draw places by density, seldom nearer than `spacing` to each other.

    Parameters
    ----------
    anatomy
        The cell.
    density
        Relative chance of each pixel, not negative, shape of the grid.
    count
        Places to draw; there are fewer where the density runs out.
    spacing
        Distance below which two places are unlikely, pixels.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Places (u, v) in the cell's frame, pixels, shape (n, 2).
    """
    u, v = anatomy.grid
    left = density.astype(np.float64)
    places: list[tuple[float, float]] = []
    for _ in range(count):
        chances = np.cumsum(left.ravel())
        if chances[-1] <= 1e-9:
            break
        index = int(np.searchsorted(chances, rng.uniform() * chances[-1], side="right"))
        index = min(index, left.size - 1)
        jitter = rng.uniform(-0.5, 0.5, 2)
        place = (float(u.flat[index] + jitter[0]), float(v.flat[index] + jitter[1]))
        places.append(place)
        near = (u - place[0]) ** 2 + (v - place[1]) ** 2
        left *= 1 - np.exp(-near / (2 * (0.7 * spacing) ** 2))
    return np.array(places).reshape(-1, 2)


def spots(
    anatomy: Anatomy,
    places: Points | Iterable[tuple[float, float]],
    radius: float,
    weights: NDArray[np.float64] | None = None,
) -> Image:
    """Draw Gaussian spots of equal width.

    Parameters
    ----------
    anatomy
        The cell.
    places
        Their centres (u, v) in the cell's frame, pixels, shape (n, 2).
    radius
        Standard deviation, pixels.
    weights
        Height of each spot, shape (n,); 1 by default.

    Returns
    -------
    ndarray
        Float32, the grid's shape.
    """
    u, v = anatomy.grid
    image = np.zeros(anatomy.shape, np.float32)
    for number, (at_u, at_v) in enumerate(places):
        weight = 1.0 if weights is None else float(weights[number])
        away = (u - np.float32(at_u)) ** 2 + (v - np.float32(at_v)) ** 2
        image += np.float32(weight) * np.exp(-away / np.float32(2 * radius**2))
    return image


def trace(anatomy: Anatomy, path: Points, width: float) -> Image:
    """Draw a line through densely spaced points, with bilinear weights, then widened.

    Parameters
    ----------
    anatomy
        The cell.
    path
        (u, v) in the cell's frame, shape (n, 2), less than a pixel apart.
    width
        Standard deviation of the smoothing that widens it, pixels.

    Returns
    -------
    ndarray
        Float32, the grid's shape.
    """
    image = np.zeros(anatomy.shape, np.float32)
    if len(path) == 0:
        return image
    cos, sin = np.cos(anatomy.cell.angle), np.sin(anatomy.cell.angle)
    top, left = anatomy.corner
    rows = path[:, 0] * sin + path[:, 1] * cos + anatomy.row - top
    columns = path[:, 0] * cos - path[:, 1] * sin + anatomy.column - left
    height, breadth = anatomy.shape
    rows, columns = np.clip(rows, 0, height - 2.001), np.clip(columns, 0, breadth - 2.001)
    i, j = rows.astype(int), columns.astype(int)
    a, b = rows - i, columns - j
    for down, right, share in (
        (0, 0, (1 - a) * (1 - b)),
        (0, 1, (1 - a) * b),
        (1, 0, a * (1 - b)),
        (1, 1, a * b),
    ):
        np.add.at(image, (i + down, j + right), share.astype(np.float32))
    return np.asarray(ndimage.gaussian_filter(image, width), dtype=np.float32)


def wander(
    anatomy: Anatomy,
    start: tuple[float, float],
    length: float,
    inward: float,
    rng: np.random.Generator,
) -> Points:
    """Walk along the cell's edge at about `inward` pixels from it, turning a little.

    Parameters
    ----------
    anatomy
        The cell.
    start
        Where the walk begins, (u, v) in the cell's frame, pixels.
    length
        Length of the walk, pixels.
    inward
        Distance from the edge, pixels, that the walk tends to.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Places (u, v) every half pixel, shape (n, 2).
    """
    slope_row, slope_column = np.gradient(anatomy.depth, axis=0), np.gradient(anatomy.depth, axis=1)
    cos, sin = np.cos(anatomy.cell.angle), np.sin(anatomy.cell.angle)
    top, left = anatomy.corner
    height, breadth = anatomy.shape
    row = start[0] * sin + start[1] * cos + anatomy.row - top
    column = start[0] * cos - start[1] * sin + anatomy.column - left
    side = 1.0 if rng.uniform() < 0.5 else -1.0
    swing = rng.normal(0, 0.35, int(2 * length) + 2)
    turn, path = 0.0, []
    for step in range(int(2 * length)):
        i, j = min(max(int(row), 0), height - 1), min(max(int(column), 0), breadth - 1)
        down, right = float(slope_row[i, j]), float(slope_column[i, j])
        pull = 0.25 * (inward - float(anatomy.depth[i, j]))
        turn = 0.85 * turn + float(swing[step])
        # Tangent to the edge, drawn back to the wanted depth, with a swing to either side.
        along_row = side * right + (pull + turn) * down
        along_column = -side * down + (pull + turn) * right
        norm = 2 * max(float(np.hypot(along_row, along_column)), 1e-6)
        row, column = row + along_row / norm, column + along_column / norm
        path.append((row, column))
    walked = np.array(path).reshape(-1, 2) + np.array([top - anatomy.row, left - anatomy.column])
    return np.stack(
        [walked[:, 1] * cos + walked[:, 0] * sin, walked[:, 0] * cos - walked[:, 1] * sin], axis=1
    )
