"""The shape of a budding yeast cell, its nuclei and its vacuoles. Pure arrays, no files.

A cell has its own frame: origin at the mother's centre, first axis along her length, pixels.
Proportions are of the mother's radius. Sources: nucleus 7% of the cell's volume, so 0.41 of its
radius (Jorgensen et al. 2007, Mol Biol Cell 18:3523); the nucleus at the neck before mitosis and
the spindle through it afterwards, the vacuole on the other side (textbook cell cycle of
*Saccharomyces cerevisiae*).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compute.simulation.config import SimulationConfig

Image = NDArray[np.float32]

DIAMETER_SPREAD = 0.18
"""Standard deviation of the natural logarithm of diameter; the Paired Cell Inpainting crops have
5th and 95th percentiles of area of 455 and 1611 pixels."""

SMALL_BUD, LARGE_BUD = 0.28, 0.66
"""Radius of the bud when it first shows and at division, share of the mother's."""

ANAPHASE, DIVIDED = 0.72, 0.82
"""Shares of the budded period after which the nucleus stretches through the neck, and there are
two."""

NUCLEUS = 0.4
"""Radius of the nucleus, share of the mother's."""


@dataclass(frozen=True)
class Circle:
    """A round body in the cell's frame: centre (u, v) and radius, pixels."""

    u: float
    v: float
    radius: float


@dataclass(frozen=True)
class Cell:
    """A cell: mother, bud, nuclei and vacuoles, in the cell's own frame.

    Parameters
    ----------
    long, short
        Semi-axes of the mother, pixels.
    angle
        Direction of the long axis in the image, radians.
    stage
        Share of the budded period that has passed, 0 to 1; negative before a bud shows.
    pole
        Unit vector from the mother's centre to the bud or the place of the next one.
    bud
        The bud; radius 0 where there is none.
    neck
        Half the width of the neck, pixels.
    nuclei, vacuoles
        One or two nuclei, and at least one vacuole.
    """

    long: float
    short: float
    angle: float
    stage: float
    pole: tuple[float, float]
    bud: Circle
    neck: float
    nuclei: tuple[Circle, ...]
    vacuoles: tuple[Circle, ...]

    @property
    def radius(self) -> float:
        """Mean radius of the mother, pixels."""
        return float(np.sqrt(self.long * self.short))

    @property
    def area(self) -> float:
        """Area of mother and bud, square pixels."""
        return float(np.pi * (self.long * self.short + self.bud.radius**2))

    @property
    def reach(self) -> float:
        """Distance from the mother's centre to the mother's edge along the pole, pixels."""
        u, v = self.pole
        return float(1 / np.hypot(u / self.long, v / self.short))

    @property
    def centroid(self) -> tuple[float, float]:
        """Centre of mother and bud as one, (row, column) from the mother's centre."""
        share = self.bud.radius**2 / (self.bud.radius**2 + self.long * self.short)
        return self.to_image(share * self.bud.u, share * self.bud.v)

    @property
    def extent(self) -> float:
        """Largest distance of the cell's edge from the mother's centre, pixels."""
        return max(self.long, float(np.hypot(self.bud.u, self.bud.v)) + self.bud.radius)

    def to_image(self, u: float, v: float) -> tuple[float, float]:
        """Convert a place in the cell's frame to (row, column) from the mother's centre."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return float(u * sin + v * cos), float(u * cos - v * sin)


def draw_cell(config: SimulationConfig, rng: np.random.Generator) -> Cell:
    """Draw a cell of random size, shape and stage.

    Parameters
    ----------
    config
        Its cell diameter, size of crops and share of budded cells.
    rng
        Source of randomness.
    """
    radius = config.cell_diameter / 2 * float(np.exp(rng.normal(0, DIAMETER_SPREAD)))
    radius = float(np.clip(radius, 0.3 * config.cell_diameter, 0.33 * config.size))
    stretch = float(np.exp(np.abs(rng.normal(0.12, 0.07))))
    long, short = radius * np.sqrt(stretch), radius / np.sqrt(stretch)
    stage = float(rng.uniform()) if rng.uniform() < config.budded else -float(rng.uniform(0.01, 1))
    tilt = float(rng.normal(0, 0.35))
    pole = (float(np.cos(tilt)), float(np.sin(tilt)))
    reach = 1 / np.hypot(pole[0] / long, pole[1] / short)
    bud = Circle(0.0, 0.0, 0.0)
    neck = 0.0
    if stage > 0:
        size = radius * (SMALL_BUD + (LARGE_BUD - SMALL_BUD) * stage**0.7)
        neck = float(min(0.55 * size, 0.2 * radius + 0.5))
        away = reach + np.sqrt(size**2 - neck**2) - 0.3
        bud = Circle(float(away * pole[0]), float(away * pole[1]), float(size))
    nuclei = _nuclei(radius, stage, pole, reach, bud, rng)
    vacuoles = _vacuoles(radius, short, stage, pole, bud, nuclei, rng)
    angle = float(rng.uniform(0, 2 * np.pi))
    return Cell(float(long), float(short), angle, stage, pole, bud, neck, nuclei, vacuoles)


def _nuclei(
    radius: float,
    stage: float,
    pole: tuple[float, float],
    reach: float,
    bud: Circle,
    rng: np.random.Generator,
) -> tuple[Circle, ...]:
    """Return one nucleus, nearer the neck as the bud grows, or two from anaphase on."""
    size = NUCLEUS * radius * float(rng.uniform(0.93, 1.07))
    if stage < ANAPHASE:
        near = (
            min(reach - size - 1.0, radius * (0.3 + 0.3 * stage))
            if stage > 0
            else radius * float(rng.uniform(0.25, 0.5))
        )
        turn = float(rng.normal(0, 0.25 if stage > 0 else 0.9))
        u = near * (pole[0] * np.cos(turn) - pole[1] * np.sin(turn))
        v = near * (pole[0] * np.sin(turn) + pole[1] * np.cos(turn))
        return (Circle(float(u), float(v), size),)
    progress = min(1.0, (stage - ANAPHASE) / (1 - ANAPHASE))
    back = radius * (0.35 - 0.6 * progress)
    small = min(0.8 * size, 0.6 * bud.radius)
    on = 0.9 + 0.2 * progress
    return (
        Circle(float(back * pole[0]), float(back * pole[1]), 0.85 * size),
        Circle(bud.u * on, bud.v * on, small),
    )


def _vacuoles(
    radius: float,
    short: float,
    stage: float,
    pole: tuple[float, float],
    bud: Circle,
    nuclei: tuple[Circle, ...],
    rng: np.random.Generator,
) -> tuple[Circle, ...]:
    """Return one to three vacuoles where nuclei leave room, and a small one in a large bud."""
    placed: list[Circle] = []
    wanted = int(rng.choice([1, 2, 3], p=[0.6, 0.27, 0.13]))
    largest = {1: 0.6, 2: 0.46, 3: 0.38}[wanted] * radius
    for _ in range(wanted):
        size = largest * float(rng.uniform(0.72, 1.0))
        distance = short * np.sqrt(rng.uniform(0.02, 0.55, 40))
        direction = np.arctan2(-pole[1], -pole[0]) + rng.normal(0, 1.2, 40)
        u, v = distance * np.cos(direction), distance * np.sin(direction)
        room = short - distance - 1.2
        for other in (*nuclei, *placed):
            room = np.minimum(room, np.hypot(u - other.u, v - other.v) - other.radius - 0.6)
        # The first place with room, else the roomiest: every cell has a vacuole.
        best = int(np.argmax(np.minimum(room, size)))
        size = min(size, float(room[best]))
        if not placed or size > 0.2 * radius:
            placed.append(Circle(float(u[best]), float(v[best]), max(size, 0.2 * radius)))
    if stage > 0.5:
        small = bud.radius * float(rng.uniform(0.25, 0.4))
        aside, turn = bud.radius - small - 1.2, float(rng.uniform(0, 2 * np.pi))
        u0, v0 = bud.u + aside * np.cos(turn), bud.v + aside * np.sin(turn)
        placed.append(Circle(float(u0), float(v0), small))
    return tuple(placed)


@dataclass(frozen=True)
class Anatomy:
    """A cell on its own small pixel grid, as signed distances in pixels, positive inside.

    Parameters
    ----------
    cell
        The cell.
    row, column
        The mother's centre in the field, pixels.
    """

    cell: Cell
    row: float
    column: float

    @cached_property
    def corner(self) -> tuple[int, int]:
        """First row and column of the grid in the field."""
        half = self.cell.extent + 5
        return int(np.floor(self.row - half)), int(np.floor(self.column - half))

    @cached_property
    def grid(self) -> tuple[Image, Image]:
        """Coordinates (u, v) of the pixel centres in the cell's frame, each shape (n, n)."""
        n = 2 * int(np.ceil(self.cell.extent + 5)) + 2
        top, left = self.corner
        y = (np.arange(n, dtype=np.float32) + np.float32(top - self.row))[:, None]
        x = (np.arange(n, dtype=np.float32) + np.float32(left - self.column))[None, :]
        cos, sin = np.float32(np.cos(self.cell.angle)), np.float32(np.sin(self.cell.angle))
        return x * cos + y * sin, y * cos - x * sin

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the grid, pixels."""
        return self.grid[0].shape[0], self.grid[0].shape[1]

    def disc(self, circle: Circle) -> Image:
        """Return the signed distance to the edge of a round body, pixels."""
        u, v = self.grid
        return np.asarray(circle.radius - np.hypot(u - circle.u, v - circle.v), dtype=np.float32)

    @cached_property
    def mother(self) -> Image:
        """Signed distance to the mother's edge (first order in the ellipse's level sets)."""
        u, v = self.grid
        scaled = np.hypot(u / self.cell.long, v / self.cell.short) + np.float32(1e-6)
        slope = np.hypot(u / self.cell.long**2, v / self.cell.short**2) / scaled
        return np.asarray((1 - scaled) / np.maximum(slope, 1e-3), dtype=np.float32)

    @cached_property
    def depth(self) -> Image:
        """Signed distance to the edge of mother and bud together."""
        if self.cell.stage < 0:
            return self.mother
        return np.maximum(self.mother, self.disc(self.cell.bud))

    @cached_property
    def in_bud(self) -> NDArray[np.bool_]:
        """Pixels of the grid on the bud's side of the neck."""
        u, v = self.grid
        along = u * self.cell.pole[0] + v * self.cell.pole[1]
        return np.asarray((along > self.cell.reach) & (self.cell.stage > 0))

    @cached_property
    def body(self) -> Image:
        """Thickness of the cell at each pixel within an optical section, share of the section's.

        The section is 1.6 radii thick, so the cell is thinner in its outer 40%: the marker of the
        Paired Cell Inpainting crops rises from 20% to 80% over 5 pixels, more than blur explains.
        """
        radius = np.where(self.in_bud, max(self.cell.bud.radius, 1), self.cell.radius)
        inside = np.clip(self.depth + 0.5, 0, None)
        column = np.sqrt(inside * np.maximum(2 * radius - inside, 1)) / (0.8 * radius)
        return np.asarray(np.clip(column, 0, 1) * (inside > 0), dtype=np.float32)

    @cached_property
    def nuclear(self) -> Image:
        """Signed distance to the nearest nucleus's edge."""
        return np.maximum.reduce([self.disc(one) for one in self.cell.nuclei])

    @cached_property
    def vacuolar(self) -> Image:
        """Signed distance to the nearest vacuole's edge; far outside where there is none."""
        bodies = [self.disc(one) for one in self.cell.vacuoles]
        return np.maximum.reduce([*bodies, np.full(self.shape, -99, np.float32)])

    @cached_property
    def cytoplasm(self) -> Image:
        """The cell without its vacuoles and with little in the nucleus, 0 to 1."""
        return np.asarray(
            self.body * (1 - 0.92 * cover(self.vacuolar)) * (1 - 0.3 * cover(self.nuclear)),
            dtype=np.float32,
        )

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """The cell's pixels, mother and bud as one."""
        return np.asarray(self.depth > 0)


def cover(depth: Image) -> Image:
    """Convert signed distance, pixels, to the covered share of each pixel, 0 to 1."""
    return np.clip(depth + np.float32(0.5), 0, 1)
