"""Places cells in a field, with clumps, gaps and room without cells. Pure arrays, no files."""

from dataclasses import dataclass

import numpy as np

from compute.simulation.config import SimulationConfig
from compute.simulation.geometry import Cell, draw_cell

TRIES = 40
"""Places tried for a cell before another cell is tried."""

CLEAR_EDGE = 5.0
"""Pixels between cells and the clearing, the part of a field without cells, so that their light
does not reach it."""

OVERLAP = 1.0
"""Pixels by which neighbours may overlap, as cells do that are pressed flat."""


@dataclass(frozen=True)
class Placed:
    """A cell and where its mother's centre is in the field: row and column, pixels."""

    cell: Cell
    row: float
    column: float


def field_side(config: SimulationConfig, crops: int) -> int:
    """Return the side, pixels, of a field in which about `crops` cells have whole crops."""
    cell_area = 1.25 * np.pi * (config.cell_diameter / 2) ** 2
    room = 1.3 * crops * cell_area / config.crowding + _clearing(config) ** 2
    return int(np.ceil(config.size + max(np.sqrt(room), 1.5 * config.size)))


def _clearing(config: SimulationConfig) -> float:
    """Return the side, pixels, of the square that is kept free of cells, as gaps on a plate are."""
    return 1.5 * config.size if config.windows else 0.0


def lay_out(config: SimulationConfig, side: int, rng: np.random.Generator) -> list[Placed]:
    """Place cells until the field is as crowded as asked for.

    Parameters
    ----------
    config
        Its cells, crowding, clumping and windows.
    side
        Side of the field, pixels; cells also lie across its edges and just outside.
    rng
        Source of randomness.

    Returns
    -------
    list of Placed
        Circles that stand for them overlap by `OVERLAP` at most.
    """
    margin = config.cell_diameter
    clear = _clearing(config)
    inner = (side - clear) / 2
    clear_row, clear_column = rng.uniform(0.15 * inner, 2 * inner - 0.15 * inner, 2) + clear / 2
    wanted = config.crowding * ((side + 2 * margin) ** 2 - clear**2)
    circles = np.empty((0, 3))
    placed: list[Placed] = []
    covered, failures = 0.0, 0
    while covered < wanted and failures < 30:
        cell = draw_cell(config, rng)
        own = _circles(cell)
        for _ in range(TRIES):
            if placed and rng.uniform() < config.clumping:
                centre = _beside(placed, circles, own, rng)
            else:
                centre = rng.uniform(-margin, side + margin, 2)
            here = own + np.array([centre[0], centre[1], 0.0])
            if np.any(here[:, :2] < -margin) or np.any(here[:, :2] > side + margin):
                continue
            square = np.maximum(np.abs(here[:, :2] - (clear_row, clear_column)) - clear / 2, 0)
            if clear and np.any(np.hypot(*square.T) < here[:, 2] + CLEAR_EDGE):
                continue
            apart = np.hypot(
                here[:, None, 0] - circles[None, :, 0], here[:, None, 1] - circles[None, :, 1]
            )
            if np.any(apart < here[:, None, 2] + circles[None, :, 2] - OVERLAP):
                continue
            circles = np.concatenate([circles, here])
            placed.append(Placed(cell, float(centre[0]), float(centre[1])))
            covered += cell.area
            failures = 0
            break
        else:
            failures += 1
    return placed


def _circles(cell: Cell) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return circles that stand for a cell: (row, column, radius) from the mother's centre."""
    # Two circles along the long axis follow an ellipse closer than one.
    radius = (cell.short + cell.radius) / 2
    rows = [
        (*cell.to_image(shift, 0.0), radius) for shift in (cell.long - radius, radius - cell.long)
    ]
    if cell.stage > 0:
        rows.append((*cell.to_image(cell.bud.u, cell.bud.v), cell.bud.radius))
    return np.array(rows)


def _beside(
    placed: list[Placed],
    circles: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    own: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    rng: np.random.Generator,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a centre at which one of the cell's circles touches one that is placed already."""
    other = circles[rng.integers(len(circles))]
    mine = own[rng.integers(len(own))]
    angle = rng.uniform(0, 2 * np.pi)
    distance = other[2] + mine[2] + rng.exponential(1.0) - 0.5
    return np.array(
        [
            other[0] + distance * np.sin(angle) - mine[0],
            other[1] + distance * np.cos(angle) - mine[1],
        ]
    )
