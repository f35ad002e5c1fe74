"""Settings of the remedies.

Layer: a frozen dataclass, checked when made; no arrays.
"""

from dataclasses import dataclass
from itertools import product

from compute.errors import UsageError
from compute.probes.config import C

MOST_BACKGROUNDS = 64
"""Most donors of a cell, and most backgrounds that are averaged over."""


@dataclass(frozen=True)
class RemedyConfig:
    """How remedies are fitted.

    Parameters
    ----------
    donors
        Donors of other classes behind each cell that the balanced probe learns from, 1 to 64; a
        cell that has fewer gives all.
    backgrounds
        Random backgrounds that are averaged over, 2 to 64.
    mixture
        Shares of a cell's weight that its crops on other backgrounds have together in the balanced
        probe, above 0 and up to 1; of several, one is chosen by cross-validation.
    strengths
        Inverse strengths of the balanced probe's regularisation, above 0, to choose from. The first
        is taken where two do as well, and where there are too few folds to choose.
    directions
        Numbers of directions to project out, at least 0, to choose from. The first is taken where
        two do as well.
    few
        The number of directions where there are too few folds to choose, at least 0.

    Raises
    ------
    UsageError
        A value is out of range, or there is nothing to choose from.

    Examples
    --------
    >>> from compute import RemedyConfig
    >>> RemedyConfig(backgrounds=3).donors
    5
    """

    donors: int = 5
    backgrounds: int = 5
    mixture: tuple[float, ...] = (0.5,)
    strengths: tuple[float, ...] = (C, 0.1, 0.01, 10.0)
    directions: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
    few: int = 4

    def __post_init__(self) -> None:
        """Check every value."""
        for what, value, low, high in (
            ("donors", self.donors, 1, MOST_BACKGROUNDS),
            ("backgrounds", self.backgrounds, 2, MOST_BACKGROUNDS),
            ("few", self.few, 0, 2**31 - 1),
            *(("directions", each, 0, 2**31 - 1) for each in self.directions),
        ):
            if not low <= value <= high:
                raise UsageError(
                    f"{what} is {value}; it must lie between {low} and {high}.",
                    f"Give --{what} a number within these.",
                )
        for what, values, most in (
            ("mixture", self.mixture, 1.0),
            ("strengths", self.strengths, float("inf")),
        ):
            for each in values:
                if not 0 < each <= most:
                    raise UsageError(
                        f"{what} has {each:g}; it must be above 0 and at most {most:g}.",
                        f"Give --{what} other numbers.",
                    )
        for what in ("mixture", "strengths", "directions"):
            if not getattr(self, what):
                raise UsageError(f"{what} is empty.", f"Give --{what} a number at least.")

    @property
    def balances(self) -> list[tuple[float, float]]:
        """The settings that the balanced probe chooses from: share of the weight, and strength."""
        return list(product(self.mixture, self.strengths))
