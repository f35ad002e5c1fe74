"""Settings of training a network.

Layer: frozen dataclasses, checked when made; needs no torch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from compute.backgrounds.config import PASTE
from compute.errors import UsageError, unknown_value
from compute.models.precision import PRECISIONS


@dataclass(frozen=True)
class TrainingBackground:
    """What cells stand on while a network is trained.

    Parameters
    ----------
    words
        In words, for cards: "trained on crops …".
    changes
        Whether any crop is put on another background.
    mixed
        Whether only a share of the crops is, so that a cell can be seen on two backgrounds.
    donors
        Whether the other background is a donor's; else it is medium of the cell's own image.
    """

    words: str
    changes: bool = True
    mixed: bool = False
    donors: bool = False


TRAINING_BACKGROUNDS: Mapping[str, TrainingBackground] = MappingProxyType(
    {
        "keep": TrainingBackground("as imaged", changes=False),
        "clean": TrainingBackground("with all but the cell replaced by medium"),
        "mask": TrainingBackground(
            "of which a share has all but the cell replaced by medium", mixed=True
        ),
        "swap": TrainingBackground(
            "of which a share stands on the background of another cell", mixed=True, donors=True
        ),
    }
)
"""Every background of training by the name that the command line uses."""

OF_BACKGROUNDS = ("background", "swap_share", "consistency", "consistency_layers", "paste")
"""Options that say nothing where crops stay as imaged."""


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
    background
        Key of `TRAINING_BACKGROUNDS`.
    swap_share
        Share of the crops that stand on another background under ``"mask"`` and ``"swap"``, above
        0, at most 1.
    consistency
        Weight of the term that pulls a cell's embeddings on two backgrounds together, 0 or more;
        above 0 every cell is seen on two in each step.
    consistency_layers
        Layers whose embeddings it compares; none, the default, takes the one of the paper's
        experiment and the last (`compute.models.training.consistency`).
    paste
        One of `compute.backgrounds.config.PASTE`: how cells are put on other backgrounds.

    Raises
    ------
    UsageError
        A value is out of range or unknown, or consistency is asked for where a cell is only ever
        seen on one background.
    """

    width: float = 0.25
    epochs: int = 30
    patience: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0
    precision: str = "float32"
    background: str = "keep"
    swap_share: float = 0.5
    consistency: float = 0.0
    consistency_layers: tuple[str, ...] = ()
    paste: str = PASTE[0]

    def __post_init__(self) -> None:
        if self.background not in TRAINING_BACKGROUNDS:
            raise unknown_value("training background", self.background, TRAINING_BACKGROUNDS)
        if self.paste not in PASTE:
            raise unknown_value("paste", self.paste, PASTE)
        if self.precision not in PRECISIONS:
            raise unknown_value("precision", self.precision, PRECISIONS)
        limits: dict[str, tuple[float, float]] = {
            "width": (0.01, 16),
            "epochs": (1, 100_000),
            "patience": (1, 100_000),
            "batch_size": (2, 65_536),
            "learning_rate": (1e-9, 1),
            "seed": (0, 2**63 - 1),
            "swap_share": (0.001, 1),
            "consistency": (0, 1e6),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"{name.replace('_', ' ')} = {value} is out of range.",
                    f"Give a value from {low:g} to {high:g}.",
                )
        if self.consistency and not self.way.mixed:
            mixed = (name for name, way in TRAINING_BACKGROUNDS.items() if way.mixed)
            raise UsageError(
                f"Consistency compares a cell on two backgrounds; under {self.background!r} it is "
                "seen on one.",
                f"Give --background {' or '.join(mixed)}, or --consistency 0.",
            )
        if self.consistency and self.swap_share == 1 and not self.way.donors:
            raise UsageError(
                f"Consistency compares a cell on two backgrounds; under {self.background!r} with "
                "a swap share of 1 every crop stands on medium.",
                "Give --swap-share 0.5, or --consistency 0.",
            )
        if self.consistency_layers and not self.consistency:
            raise UsageError(
                f"Consistency layers ({', '.join(self.consistency_layers)}) are given, but the "
                "weight of consistency is 0.",
                "Give --consistency 1 as well, or no layers.",
            )

    @property
    def way(self) -> TrainingBackground:
        """What cells stand on."""
        return TRAINING_BACKGROUNDS[self.background]

    def chosen(self) -> dict[str, Any]:
        """Return the options that decide something, by name: as JSON, cards and commands have them.

        Where crops stay as imaged the rest of `OF_BACKGROUNDS` decides nothing, and is left out, so
        that a checkpoint from before there were any goes on.
        """
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if not self.way.changes:
            return {k: v for k, v in values.items() if k not in OF_BACKGROUNDS}
        return values
