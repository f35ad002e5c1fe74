"""Settings of training a network.

Layer: frozen dataclasses, checked when made; needs no torch.
"""

from dataclasses import dataclass

from compute.errors import UsageError, unknown_value
from compute.models.precision import PRECISIONS


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Parameters
    ----------
    width
        Network width, above 0; 1 as published.
    epochs
        Epochs at most, 1 or more.
    patience
        Epochs without a lower validation loss after which training stops, 1 or more.
    batch_size
        Cells per step, 2 or more (batch normalisation needs two).
    learning_rate
        Learning rate of Adam, above 0.
    seed
        Decides first weights, held-out fields, order and augmentation; 0 or more.
    precision
        One of `PRECISIONS`: numbers that convolutions compute with; weights and losses stay
        float32.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    width: float = 0.25
    epochs: int = 30
    patience: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_value("precision", self.precision, PRECISIONS)
        limits: dict[str, tuple[float, float]] = {
            "width": (0.01, 16),
            "epochs": (1, 100_000),
            "patience": (1, 100_000),
            "batch_size": (2, 65_536),
            "learning_rate": (1e-9, 1),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"{name.replace('_', ' ')} = {value} is out of range.",
                    f"Give a value from {low:g} to {high:g}.",
                )
