"""Defaults of the importers: names, sizes, how fields are cut. No arrays."""

from dataclasses import dataclass
from math import inf

from compute.errors import UsageError
from compute.images.cell_quality import FAR

MARKER = "RFP"
"""Channel that shows whole cells."""

FIELD_CHANNELS = ("GFP", "nuclear", "RFP")
"""Names of a whole field's ch1, ch2 and ch3."""

MANIFEST_CHANNELS = ("GFP", "RFP")
"""Channels of crops that are listed in a table."""

PARTS = 5
"""Parts into which each class of one of DeepLoc's files is divided, to stand for proteins."""

ENOUGH_JUDGED = 20
"""Crops from which a source is judged by shares of them that are near 1."""

ENOUGH_LABELS = 10
"""Labels of a field from which it is judged by itself."""

CENTRES = "centres"
"""Touching cells are separated by a watershed from the middles of what is thick."""

JUDGED_EARLY = 256
"""Crops after which a source that must be refused is refused at once, not at its end."""

FIELD_CELLS = 50
"""Cells of a protein with consecutive numbers that count as one field in PIFiA's layout."""


@dataclass(frozen=True)
class CuttingConfig:
    """How a field is cut.

    Parameters
    ----------
    size
        Side of a crop, pixels, 8 to 1024.
    windows
        Windows without cells per field, at most, 0 to 1000.
    margin
        Least distance of a window from any cell, pixels, 0 to 100. At the default, 5, under 2% of
        a cell's light is left (`compute.images.cell_quality.FAR`).
    cell
        Least brightness of the marker in a cell without a label, between that of the medium (0)
        and the median of labelled cells (1), 0.02 to 1.
    trace
        Least height of a spot of any channel above the medium around it, multiples of the noise,
        1 to 100, for windows to keep away from it: it may be a cell out of focus, or debris.
    smallest
        Area of the smallest cell without a label, pixels, at least 1.
    seed
        Decides where windows lie; at least 0.

    Raises
    ------
    UsageError
        A value is out of its range.

    Examples
    --------
    >>> from compute import CuttingConfig
    >>> CuttingConfig(size=80).windows
    8
    """

    size: int = 64
    windows: int = 8
    margin: int = FAR
    cell: float = 0.1
    trace: float = 5.0
    smallest: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        ranges = {
            "size": (8, 1024),
            "windows": (0, 1000),
            "margin": (0, 100),
            "cell": (0.02, 1),
            "trace": (1, 100),
            "smallest": (1, inf),
            "seed": (0, inf),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"Cutting fields: {name} = {value} is out of range.",
                    f"Allowed: {low:g} to {high:g}.",
                )
