"""Levels, thresholds and sizes with which statistics are computed and judged. No arrays."""

import math
from dataclasses import dataclass

from compute.errors import UsageError

LEVEL = 0.95
"""Share of intervals that are to hold the true value."""

ALPHA = 0.05
"""A p-value that is adjusted for many tests, or a q-value, supports a claim up to this."""

SUBSTANTIAL = 0.2
"""Total variation from which a shift that is called at `ALPHA` counts as substantial."""


@dataclass(frozen=True)
class BootstrapConfig:
    """How uncertainty is computed.

    Parameters
    ----------
    draws
        Bootstrap draws, at least 100; by default 2,000.
    flips
        Random sign patterns of the sign-flip test, at least 100; by default 10,000.
    seed
        Any integer ≥ 0; by default 0.
    margin
        Drops and gaps within ± this count as none in the equivalence test, above 0 and below 1; by
        default 0.02, which is two points of accuracy.
    exchanges
        Random exchanges of conditions among the cells that refitted multi-class probes are fitted
        on, from which p-values of shifts take these probes' uncertainty: at least 8, by default
        24, or 0 for no such p-values.
    margin_odds
        The odds of a right answer may change by this factor, up or down, in a second equivalence
        test; above 1, such as 1.25. By default None: that test is not made.

    Raises
    ------
    UsageError
        A value is out of range.

    Examples
    --------
    >>> from compute import BootstrapConfig
    >>> BootstrapConfig(margin=0.05).draws
    2000
    """

    draws: int = 2000
    flips: int = 10_000
    seed: int = 0
    margin: float = 0.02
    exchanges: int = 24
    margin_odds: float | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        for what in ("draws", "flips"):
            if getattr(self, what) < 100:
                raise UsageError(
                    f"{what} is {getattr(self, what)}; it must be at least 100.",
                    f"Give --{what} 100 or more; intervals and tests need that many.",
                )
        if self.exchanges != 0 and self.exchanges < 8:
            raise UsageError(
                f"exchanges is {self.exchanges}; it must be 0 or at least 8.",
                "From fewer the uncertainty of probes cannot be told; 0 leaves p-values of shifts "
                "under refit out.",
            )
        if not 0 < self.margin < 1:
            raise UsageError(
                f"margin is {self.margin}; it must be above 0 and below 1.",
                "It is a difference of accuracies: 0.02 is two points.",
            )
        if self.margin_odds is not None and not 1 < self.margin_odds < math.inf:
            raise UsageError(
                f"margin_odds is {self.margin_odds}; it must be above 1.",
                "It is a ratio of the odds of a right answer: 1.25 allows them to change by a "
                "quarter.",
            )
