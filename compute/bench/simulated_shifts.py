"""Probabilities of made-up proteins of which it is known which ones shift.

Layer: pure arrays, no files. A protein has its mix of localizations, a cell its own deviation from
it under every condition, and each reading of a crop its own noise; probabilities are the softmax of
their sum. A protein that shifts has something added to one localization under the second condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from compute.errors import UsageError


@dataclass(frozen=True)
class ShiftsConfig:
    """How probabilities come about. Spreads are standard deviations of logits.

    Parameters
    ----------
    classes
        Number of localizations, at least 2.
    proteins
        Number of proteins, at least 1.
    cells
        Fewest and most cells of a protein.
    shifted
        Share of the proteins that shift, 0 to 1.
    move
        What is added to one localization's logit where a protein shifts.
    cell_sd, noise_sd
        Spread between the cells of a protein, and between readings of a cell.
    trials
        Readings of a cell under the second condition, of which the mean is taken, at least 1;
        under the first condition there is one.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    classes: int = 15
    proteins: int = 50
    cells: tuple[int, int] = (8, 20)
    shifted: float = 0.0
    move: float = 2.0
    cell_sd: float = 1.0
    noise_sd: float = 1.0
    trials: int = 1

    def __post_init__(self) -> None:
        """Check every value."""
        fewest, most = self.cells
        if self.classes < 2 or self.proteins < 1 or not 1 <= fewest <= most or self.trials < 1:
            raise UsageError(
                f"classes is {self.classes}, proteins {self.proteins}, cells {self.cells}, trials "
                f"{self.trials}; at least 2, 1, 1 ≤ fewest ≤ most, and 1 are needed."
            )
        if not 0 <= self.shifted <= 1:
            raise UsageError(f"shifted is {self.shifted}; it must lie between 0 and 1.")


@dataclass(frozen=True)
class Protein:
    """One protein's cells; n cells, K classes.

    Parameters
    ----------
    before, after
        Probabilities under the first and under the second condition, shape (n, K).
    shifted
        Whether the two come from different distributions.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    shifted: bool


def draw_proteins(config: ShiftsConfig, rng: np.random.Generator) -> Iterator[Protein]:
    """Draw one data set, a protein at a time; those that shift come first."""
    moved = round(config.shifted * config.proteins)
    for number in range(config.proteins):
        n, k = int(rng.integers(config.cells[0], config.cells[1] + 1)), config.classes
        own = rng.standard_normal(k)
        own[rng.integers(k)] += 3
        cell = own + config.cell_sd * rng.standard_normal((n, k))
        noise = config.noise_sd * rng.standard_normal((1 + config.trials, n, k))
        change = np.zeros(k)
        change[rng.integers(k)] = config.move if number < moved else 0
        after = softmax(cell + change + noise[1:], axis=-1).mean(0)
        yield Protein(softmax(cell + noise[0], axis=-1), after, number < moved)
