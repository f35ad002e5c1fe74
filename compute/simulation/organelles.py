"""Draws the 15 localizations from a cell's geometry. Pure arrays, no files.

`PATTERNS` has one drawing function per localization. A drawing says where the protein is, not how
much of it there is: `draw` scales each to a sum of 1, so no class is brighter than another.
Numbers and places of bodies follow the descriptions of the classes in budding yeast by Huh et al.
2003 (Nature 425:686) and Chong et al. 2015 (Cell 161:1413).
"""

from collections.abc import Callable

import numpy as np

from compute.errors import BystanderError, unknown_value
from compute.schema import LOCALIZATIONS
from compute.simulation.geometry import ANAPHASE, DIVIDED, Anatomy, Image, cover
from compute.simulation.shapes import Points, pick, shell, spots, texture, trace, wander

Pattern = Callable[[Anatomy, np.random.Generator], Image]

PATTERNS: dict[str, Pattern] = {}
"""Localization → the function that draws it, as values ≥ 0 on the cell's grid."""


def draws(localization: str) -> Callable[[Pattern], Pattern]:
    """Register a drawing function.

    Raises
    ------
    BystanderError
        The localization has a drawing function already, or is not among the 15.
    """
    if localization not in LOCALIZATIONS:
        raise unknown_value("localization", localization, LOCALIZATIONS)

    def register(pattern: Pattern) -> Pattern:
        if localization in PATTERNS:
            raise BystanderError(
                f"Localization {localization!r} has a drawing function already: "
                f"{PATTERNS[localization].__name__}.",
                "Change that one.",
            )
        PATTERNS[localization] = pattern
        return pattern

    return register


def draw(localization: str, anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw one localization in one cell.

    Parameters
    ----------
    localization
        One of the 15.
    anatomy
        The cell.
    rng
        Decides the number and places of organelles.

    Returns
    -------
    ndarray
        Share of the protein at each pixel of the cell's grid, float32, shape (n, n), of sum 1.

    Raises
    ------
    UsageError
        The localization is unknown.
    """
    if localization not in PATTERNS:
        raise unknown_value("localization", localization, PATTERNS)
    image = np.maximum(PATTERNS[localization](anatomy, rng), 0)
    return np.asarray(image / image.sum(dtype=np.float64), dtype=np.float32)


def _on_axis(anatomy: Anatomy, along: float, across: float = 0.0) -> tuple[float, float]:
    """Return (u, v) for a place given along and across the axis through the neck."""
    u, v = anatomy.cell.pole
    return along * u - across * v, along * v + across * u


def _line(start: tuple[float, float], end: tuple[float, float]) -> Points:
    """Return points every half pixel from start to end, shape (n, 2)."""
    steps = max(int(2 * np.hypot(end[0] - start[0], end[1] - start[1])), 1) + 1
    return np.linspace(start, end, steps)


def _curve(
    start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float]
) -> Points:
    """Return points along a quadratic Bézier curve, less than a pixel apart, shape (n, 2)."""
    first, second = _line(start, bend), _line(bend, end)
    t = np.linspace(0, 1, len(first) + len(second))[:, None]
    a, b, c = np.array(start), np.array(bend), np.array(end)
    return np.asarray((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c)


@draws("actin")
def actin(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw patches at the edge, most of them in the bud or where it will be, and faint cables."""
    cell = anatomy.cell
    u, v = anatomy.grid
    edge = shell(anatomy.depth, 0.9, 1.6) * (anatomy.depth > 0)
    if cell.stage > 0:
        polar = np.where(anatomy.in_bud, np.float32(1), np.float32(0.03))
        patches = int(rng.integers(6, 11))
    else:
        site = _on_axis(anatomy, cell.reach)
        away = (u - site[0]) ** 2 + (v - site[1]) ** 2
        polar = np.asarray(np.exp(-away / (2 * (0.5 * cell.radius) ** 2)) + 0.06, dtype=np.float32)
        patches = int(rng.integers(7, 12))
    places = pick(anatomy, edge * polar, patches, 3.0, rng)
    image = spots(anatomy, places, 0.9, rng.lognormal(0, 0.3, len(places)))
    cables = np.zeros(anatomy.shape, np.float32)
    for across in rng.uniform(-0.8, 0.8, int(rng.integers(2, 5))) * cell.radius:
        start = _on_axis(anatomy, cell.reach - 1, float(np.sign(across)) * cell.neck * 0.6)
        bend = _on_axis(anatomy, float(rng.uniform(0, 0.5)) * cell.radius, float(across) * 1.2)
        back = -cell.radius * float(rng.uniform(0.3, 0.75))
        end = _on_axis(anatomy, back, float(across) * float(rng.uniform(0.4, 0.9)))
        cables += trace(anatomy, _curve(start, bend, end), 0.5)
    cables *= anatomy.depth > 1
    return image / image.sum() + 0.3 * cables / cables.sum()


@draws("bud neck")
def bud_neck(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw a ring around the neck, seen from the side, or two, or a line where the neck will be."""
    cell = anatomy.cell
    if cell.stage < 0:
        half = 0.24 * cell.radius
        across = np.linspace(-half, half, 25)
        # The site bends with the edge: the ellipse is close to a circle here.
        sunk = cell.reach - 0.8 - across**2 / (2 * cell.radius)
        path = np.array([_on_axis(anatomy, s, a) for s, a in zip(sunk, across, strict=True)])
        ends = [tuple(path[0]), tuple(path[-1])]
        return trace(anatomy, path, 0.7) + spots(anatomy, ends, 0.8) * 1.2
    rings = (-1.6, 1.6) if cell.stage > 0.7 else (0.0,)
    image = np.zeros(anatomy.shape, np.float32)
    half = cell.neck + 0.5
    for shift in rings:
        along = cell.reach - 0.3 + shift
        ends = [_on_axis(anatomy, along, -half), _on_axis(anatomy, along, half)]
        image += trace(anatomy, _line(ends[0], ends[1]), 0.6)
        # Edge-on, the sides of a ring hold more light than its front and back.
        image += spots(anatomy, ends, 0.8, rng.uniform(0.8, 1.3, 2))
    return image


@draws("cell periphery")
def cell_periphery(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw a thin, even line along the whole edge, with a haze from above and below."""
    line = shell(anatomy.depth, 0.8, 0.6) * texture(anatomy.shape, 3.0, 0.15, rng)
    return line + 0.06 * anatomy.body


@draws("cytoplasm")
def cytoplasm(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw the whole cell but its vacuoles, with little in the nucleus."""
    return anatomy.cytoplasm * texture(anatomy.shape, 2.5, 0.07, rng)


@draws("endosome")
def endosome(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw two to five large bodies beside the vacuole."""
    near = shell(anatomy.vacuolar, 1.3, -1.8) + 1e-4 * anatomy.body
    density = near * (anatomy.depth > 2.5) * (anatomy.nuclear < 0)
    places = pick(anatomy, density, int(rng.integers(2, 6)), 6.0, rng)
    return spots(anatomy, places, 1.7, rng.lognormal(0, 0.35, len(places)))


@draws("ER")
def endoplasmic_reticulum(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw the nuclear envelope, a broken line under the edge, and strands between."""
    patches = np.clip(texture(anatomy.shape, 3.0, 0.9, rng) * 1.6 - 0.75, 0, 1)
    image = shell(anatomy.nuclear, 0.8, 0.3) * 1.1
    image = image + shell(anatomy.depth, 0.9, 1.8) * patches
    body = anatomy.cell.nuclei[0]
    for direction in rng.uniform(0, 2 * np.pi, int(rng.integers(1, 4))):
        angles = direction + np.array([0, *rng.normal(0, 0.6, 2)])
        reach = np.array([body.radius, body.radius + 3, 0.95 * anatomy.cell.radius])
        us, vs = body.u + reach * np.cos(angles), body.v + reach * np.sin(angles)
        ends = [(float(u), float(v)) for u, v in zip(us, vs, strict=True)]
        strand = trace(anatomy, _curve(*ends), 0.6)
        image = image + 0.6 * strand * (anatomy.depth > 1) * (anatomy.vacuolar < 0)
    return image + 0.07 * anatomy.cytoplasm


@draws("Golgi")
def golgi(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw ten to eighteen short stacks of uneven size throughout mother and bud."""
    density = cover(anatomy.depth - 2.5) * (anatomy.vacuolar < -1) * (anatomy.nuclear < -0.5)
    places = pick(anatomy, density, int(rng.integers(10, 19)), 4.5, rng)
    size = rng.lognormal(0, 0.45, len(places))
    lean = rng.uniform(0, 2 * np.pi, len(places))
    step = 0.8 * np.stack([np.cos(lean), np.sin(lean)], axis=1)
    return spots(anatomy, places - step, 0.7, size) + spots(anatomy, places + step, 0.7, size)


@draws("mitochondrion")
def mitochondrion(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw winding tubes of uneven brightness under the edge, one of which reaches into a bud."""
    cell = anatomy.cell
    density = shell(anatomy.depth, 1.2, 3.0) * (anatomy.nuclear < 0) * (anatomy.vacuolar < 1)
    image = np.zeros(anatomy.shape, np.float32)
    if cell.stage > 0.2:
        end = _on_axis(anatomy, cell.reach + 1.2 * cell.bud.radius, 0.4 * cell.bud.radius)
        side = float(rng.choice([-1.0, 1.0])) * 0.6 * cell.radius
        for a, b in (
            (_on_axis(anatomy, 0.3 * cell.radius, side), _on_axis(anatomy, cell.reach)),
            (_on_axis(anatomy, cell.reach), end),
        ):
            image += trace(anatomy, _line(a, b), 0.8)
    for start in pick(anatomy, density, int(rng.integers(3, 6)), 0.7 * cell.radius, rng):
        length = cell.radius * float(rng.uniform(0.7, 1.7))
        path = wander(anatomy, (float(start[0]), float(start[1])), length, 2.8, rng)
        image += trace(anatomy, path, 0.85)
    return image * (anatomy.depth > 0) * texture(anatomy.shape, 2.5, 0.35, rng) + 1e-6


@draws("nuclear periphery")
def nuclear_periphery(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw a thin ring of pores around each nucleus, grainy."""
    ring = shell(anatomy.nuclear, 0.7, 0.2) * texture(anatomy.shape, 1.2, 0.3, rng)
    return ring + 0.07 * cover(anatomy.nuclear)


@draws("nucleolus")
def nucleolus(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw a crescent against the wall of each nucleus, turned away from the spindle pole."""
    image = np.zeros(anatomy.shape, np.float32)
    pole_u, pole_v = anatomy.cell.pole
    for number, nucleus in enumerate(anatomy.cell.nuclei):
        # The spindle poles of divided nuclei are at the far ends, so crescents face the neck.
        away = 1.0 if len(anatomy.cell.nuclei) > 1 and number == 0 else -1.0
        turn = float(rng.normal(0, 0.5))
        u = away * (pole_u * np.cos(turn) - pole_v * np.sin(turn))
        v = away * (pole_u * np.sin(turn) + pole_v * np.cos(turn))
        inside = anatomy.disc(nucleus)
        grid_u, grid_v = anatomy.grid
        shift = 0.75 * nucleus.radius
        rest = nucleus.radius - np.hypot(
            grid_u - nucleus.u + shift * u, grid_v - nucleus.v + shift * v
        )
        image += cover(inside) * (1 - cover(rest))
    return image + 0.03 * cover(anatomy.nuclear)


@draws("nucleus")
def nucleus(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw the whole nucleus, or both; during anaphase also the bridge through the neck."""
    image = cover(anatomy.nuclear) * np.sqrt(np.clip(anatomy.nuclear + 1.5, 0, 4) / 4)
    cell = anatomy.cell
    if len(cell.nuclei) == 2 and ANAPHASE <= cell.stage < DIVIDED:
        first, second = cell.nuclei
        image = image + 1.2 * trace(anatomy, _line((first.u, first.v), (second.u, second.v)), 1.2)
    return image * texture(anatomy.shape, 2.0, 0.08, rng)


@draws("peroxisome")
def peroxisome(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw four to eight tiny, equal dots near the edge."""
    density = shell(anatomy.depth, 1.0, 3.2) * (anatomy.nuclear < -1) * (anatomy.vacuolar < 0)
    places = pick(anatomy, density, int(rng.integers(4, 9)), 7.0, rng)
    return spots(anatomy, places, 0.6, rng.uniform(0.85, 1.15, len(places)))


@draws("spindle pole")
def spindle_pole(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw one dot on the nuclear envelope, two after it has doubled, one per divided nucleus."""
    cell = anatomy.cell
    if len(cell.nuclei) == 2:
        first, second = cell.nuclei
        near = np.array([first.u, first.v]) - np.array(cell.pole) * first.radius
        far = np.array([second.u, second.v]) + np.array(cell.pole) * second.radius * 0.9
        places = np.array([near, far])
    else:
        body = cell.nuclei[0]
        direction = np.arctan2(cell.pole[1], cell.pole[0]) + float(rng.normal(0, 0.3))
        ray = np.array([np.cos(direction), np.sin(direction)]) * body.radius
        centre = np.array([body.u, body.v])
        places = np.array([centre + ray, centre - ray] if cell.stage > 0.3 else [centre + ray])
    return spots(anatomy, places, 0.7)


@draws("vacuolar membrane")
def vacuolar_membrane(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw a thin ring around each vacuole."""
    ring = shell(anatomy.vacuolar, 0.75) * texture(anatomy.shape, 2.5, 0.2, rng)
    return ring * (anatomy.depth > 0) + 0.06 * cover(anatomy.vacuolar) + 1e-5 * anatomy.body


@draws("vacuole")
def vacuole(anatomy: Anatomy, rng: np.random.Generator) -> Image:
    """Draw the inside of the vacuoles."""
    lumen = cover(anatomy.vacuolar) * np.sqrt(np.clip(anatomy.vacuolar + 1.5, 0, 4) / 4)
    return lumen * texture(anatomy.shape, 2.5, 0.06, rng) + 1e-5 * anatomy.body
