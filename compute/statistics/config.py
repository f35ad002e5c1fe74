"""Levels, thresholds and sizes that statistics are computed and judged with. No arrays."""

from dataclasses import dataclass

from compute.errors import UsageError

LEVEL = 0.95
"""Of intervals: how often one should hold the true value."""

ALPHA = 0.05
"""At or below it a p-value, corrected for many tests, or a q-value supports a claim."""

SUBSTANTIAL = 0.2
"""Total variation from which on a shift that is called at `ALPHA` counts as substantial."""


@dataclass(frozen=True)
class BootstrapConfig:
    """How uncertainty is computed.

    Parameters
    ----------
    draws
        Bootstrap draws, at least 100 (the design asks for 2,000 in what is reported).
    flips
        Sign flips of the test, at least 100.
    seed
        Any integer ≥ 0.
    margin
        Drops and gaps within ± this count as none in the equivalence test, above 0, below 1.
    """

    draws: int = 2000
    flips: int = 10_000
    seed: int = 0
    margin: float = 0.02

    def __post_init__(self) -> None:
        """Check every value."""
        for what in ("draws", "flips"):
            if getattr(self, what) < 100:
                raise UsageError(f"{what} is {getattr(self, what)}; it must be at least 100.")
        if not 0 < self.margin < 1:
            raise UsageError(
                f"margin is {self.margin}; it must be above 0 and below 1.",
                "It is a difference of accuracies: 0.02 is two points.",
            )
