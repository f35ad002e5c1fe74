"""Settings of explanations.

Layer: a frozen dataclass, checked when made; no arrays.
"""

from dataclasses import dataclass

from compute.errors import UsageError

MOST_CELLS = 100_000
"""Most cells that are looked at."""


@dataclass(frozen=True)
class ExplainConfig:
    """What an explanation looks at.

    Parameters
    ----------
    cells
        Cells of pair tests at most, 1 to `MOST_CELLS`, evenly over classes.

    Raises
    ------
    UsageError
        A value is out of range.

    Examples
    --------
    >>> from compute import ExplainConfig
    >>> ExplainConfig().cells
    200
    """

    cells: int = 200

    def __post_init__(self) -> None:
        """Check the value."""
        if not 1 <= self.cells <= MOST_CELLS:
            raise UsageError(
                f"cells is {self.cells}; it must lie between 1 and {MOST_CELLS}.",
                "Give --cells a number within these.",
            )
