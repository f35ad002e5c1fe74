"""The simulated proteins: their names, localizations and brightness. Pure arrays, no files.

Names such as ``SIM1-001`` cannot be mistaken for genes. Proteins depend on the proteome's seed
alone, so two stores that differ in the other seed have the same proteins in other cells. Proteomes
of different seeds share no protein, and no name.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compute.schema import LOCALIZATIONS

VARYING_CONCENTRATION = 1.2
"""Concentration of the beta distribution from which cells' proportions are drawn. Half of it is
below 1, so in most cells most of the protein is at one of its two localizations."""


@dataclass(frozen=True)
class Protein:
    """One simulated protein.

    Parameters
    ----------
    name, orf
        ``SIM1-001`` and ``SIM-1-0001``: the first protein of the proteome of seed 1.
    localizations
        One, or two for a mixed protein.
    proportions
        Mean share at each of them; sums to 1.
    varying
        Whether the share differs from cell to cell.
    labels
        Those of the localizations that people gave it, the first at least.
    brightness
        Light, multiples of the median protein's; from the same distribution in every class.
    contrast
        Brightest place, multiples of the median protein's; from the same distribution in every
        class.
    """

    name: str
    orf: str
    localizations: tuple[str, ...]
    proportions: tuple[float, ...]
    varying: bool
    labels: tuple[str, ...]
    brightness: float
    contrast: float

    @property
    def localization(self) -> str | None:
        """The protein's one label; None for a protein with several."""
        return self.labels[0] if len(self.labels) == 1 else None


_Place = tuple[tuple[str, ...], tuple[float, ...], bool, tuple[str, ...], float, float]
"""What `Protein` has after its names."""


def draw_proteome(
    proteins_per_class: int,
    mixed_proteins: int,
    spread: float,
    contrast_spread: float,
    seed: int,
    varying_proteins: int = 0,
) -> list[Protein]:
    """Draw the proteins.

    Parameters
    ----------
    proteins_per_class, mixed_proteins
        Numbers of proteins: with one localization, per localization, and with two, of which half
        vary from cell to cell.
    spread, contrast_spread
        Standard deviation of the natural logarithm of brightness and of contrast.
    seed
        The same arguments give the same proteins.
    varying_proteins
        Number of proteins that vary between two localizations and have the label of the first
        only, as where people look at a few cells; by default none.

    Returns
    -------
    list of Protein
        In the order of their names, which says nothing about their localizations.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    places: list[_Place] = []
    for localization in LOCALIZATIONS:
        light = _spread_out(proteins_per_class, spread, rng)
        peaks = _spread_out(proteins_per_class, contrast_spread, rng)
        places += [
            ((localization,), (1.0,), False, (localization,), *values)
            for values in zip(light, peaks, strict=True)
        ]
    for count, several in ((mixed_proteins, True), (varying_proteins, False)):
        light = _spread_out(count, spread, rng)
        peaks = _spread_out(count, contrast_spread, rng)
        for number, values in enumerate(zip(light, peaks, strict=True)):
            two = rng.choice(len(LOCALIZATIONS), 2, replace=False)
            both = (LOCALIZATIONS[two[0]], LOCALIZATIONS[two[1]])
            share = round(float(rng.uniform(0.35, 0.65)), 3)
            varying = number % 2 == 1 or not several
            labels = both if several else both[:1]
            places.append((both, (share, 1.0 - share), varying, labels, *values))
    order = rng.permutation(len(places))
    return [
        Protein(f"SIM{seed}-{number:03d}", f"SIM-{seed}-{number:04d}", *places[index])
        for number, index in enumerate(order, start=1)
    ]


def _spread_out(count: int, spread: float, rng: np.random.Generator) -> list[float]:
    """Draw log-normal factors, one from each of `count` equal slices of probability.

    Independent draws would leave a small class brighter than another by chance, and brightness
    would then tell the class in every store of the same proteome.
    """
    quantiles = (rng.permutation(count) + rng.uniform(0.02, 0.98, count)) / max(count, 1)
    normal = NormalDist()
    return [float(np.exp(spread * normal.inv_cdf(float(q)))) for q in quantiles]


def cell_proportions(protein: Protein, cells: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the true proportions of a protein at every localization, per cell.

    Parameters
    ----------
    protein
        The protein.
    cells
        Number of cells.
    rng
        Source of randomness, used for varying proteins only.

    Returns
    -------
    ndarray
        Float32, shape (cells, 15), in the order of `LOCALIZATIONS`; every row sums to 1.
    """
    truth = np.zeros((cells, len(LOCALIZATIONS)), np.float32)
    columns = [LOCALIZATIONS.index(name) for name in protein.localizations]
    if protein.varying:
        mean = protein.proportions[0]
        first = rng.beta(
            VARYING_CONCENTRATION * mean, VARYING_CONCENTRATION * (1 - mean), cells
        ).astype(np.float32)
        truth[:, columns[0]] = first
        truth[:, columns[1]] = 1 - first
    else:
        truth[:, columns] = protein.proportions
    return truth
