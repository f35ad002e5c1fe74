"""The paper's numbers, as data. No torch.

Source: Gupta, Moses and Lu (2025), Table 1: mean pair-test accuracy over localizations; the paper's
± is three standard errors over localizations.
"""

from dataclasses import dataclass

from compute.schema import Condition

SOURCE = "Gupta, Moses & Lu 2025, Table 1"
SPREAD = "three standard errors over localizations"


@dataclass(frozen=True)
class Published:
    """One number of Table 1.

    Parameters
    ----------
    model
        Name of the built-in network.
    condition
        Under which condition.
    estimate
        Accuracy, 0 to 1.
    spread
        Three standard errors.
    """

    model: str
    condition: Condition
    estimate: float
    spread: float


_COLUMNS = (
    Condition.UNALTERED,
    Condition.MASKED,
    Condition.CELL_FREE,
    Condition.SAME,
    Condition.DIFFERENT,
)
_TABLE_1: dict[str, tuple[tuple[float, float], ...]] = {
    "pifia": ((0.946, 0.020), (0.883, 0.023), (0.902, 0.017), (0.939, 0.013), (0.843, 0.022)),
    "paired_cell": (
        (0.916, 0.025),
        (0.869, 0.029),
        (0.876, 0.019),
        (0.930, 0.016),
        (0.772, 0.026),
    ),
    "deeploc": ((0.713, 0.029), (0.677, 0.029), (0.689, 0.023), (0.746, 0.030), (0.612, 0.025)),
}

TABLE_1: tuple[Published, ...] = tuple(
    Published(model, condition, estimate, spread)
    for model, row in _TABLE_1.items()
    for condition, (estimate, spread) in zip(_COLUMNS, row, strict=True)
)
"""Every number of Table 1."""
