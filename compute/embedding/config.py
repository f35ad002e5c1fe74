"""Settings of the embedding stage, what another process needs to join it, and its error.

Layer: frozen dataclasses, which may cross from one process to another; no files.
"""

from dataclasses import dataclass
from pathlib import Path

from compute.backgrounds.config import DONOR_CENTRE, HARMONISE, PASTE, PlanConfig
from compute.errors import BystanderError, UsageError, unknown_value
from compute.models.precision import PRECISIONS
from compute.storage.paths import RunPaths

NORMALISATION = ("crop", "locked")
"""Where a model's scaling takes its range: from each crop itself, or from the unaltered crop of the
same cell."""


@dataclass(frozen=True)
class EmbedConfig:
    """How crops are composed and embedded.

    Parameters
    ----------
    harmonise
        One of `compute.backgrounds.config.HARMONISE`.
    donor_centre
        One of `compute.backgrounds.config.DONOR_CENTRE`.
    paste
        One of `compute.backgrounds.config.PASTE`.
    normalisation
        One of `NORMALISATION`.
    batch_size
        Crops per forward pass, 1 to 65536; 0 leaves it to the device: as many as fit on a GPU,
        as many as stay in the caches of a CPU.
    precision
        One of `compute.models.precision.PRECISIONS`.
    rescaling
        Whether one trial (repeat 0) of each cell and condition is read a second time with the
        other normalisation, which tells how much of a drop is rescaling.
    compiled
        Whether PyTorch compiles the networks first, which pays on GPUs.

    Raises
    ------
    UsageError
        A value is not allowed.

    Examples
    --------
    >>> from compute import EmbedConfig
    >>> EmbedConfig(harmonise="field").normalisation
    'crop'
    """

    harmonise: str = "protein"
    donor_centre: str = "remove"
    paste: str = "glow"
    normalisation: str = "crop"
    batch_size: int = 0
    precision: str = "float32"
    rescaling: bool = True
    compiled: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        for kind, value, allowed in (
            ("harmonisation", self.harmonise, HARMONISE),
            ("donor centre", self.donor_centre, DONOR_CENTRE),
            ("paste", self.paste, PASTE),
            ("normalisation", self.normalisation, NORMALISATION),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in allowed:
                raise unknown_value(kind, value, allowed)
        if not 0 <= self.batch_size <= 65536:
            raise UsageError(
                f"batch_size is {self.batch_size}; it must be 1 to 65536, or 0 to have it found."
            )


class ShardError(BystanderError):
    """A shard could not be embedded.

    Parameters
    ----------
    number
        The shard's number.
    first, last
        Numbers of its first and last trial.
    cause
        The error that stopped it.
    """

    def __init__(self, number: int, first: int, last: int, cause: BaseException) -> None:
        self.number = number
        what, remedy = f"{type(cause).__name__}: {cause}", ""
        if isinstance(cause, BystanderError):
            what, remedy = cause.problem, cause.remedy
        super().__init__(f"Shard {number} (trials {first} to {last}): {what}", remedy)
        self.__cause__ = cause


@dataclass(frozen=True)
class EmbedJob:
    """All that another process needs to embed shards: paths and settings.

    Parameters
    ----------
    run
        The run directory.
    store
        The crop store.
    models
        Paths of the model cards.
    plan, config
        Settings of the run's plan and of embedding.
    device
        Where to compute: a name that PyTorch knows.
    cache
        Folder for the uncompressed pixels, shared by the processes that see it; by default it is
        in the run directory.
    """

    run: Path
    store: Path
    models: tuple[Path, ...]
    plan: PlanConfig
    config: EmbedConfig
    device: str
    cache: Path | None = None

    @property
    def pixels(self) -> Path:
        """The folder for the uncompressed pixels."""
        return RunPaths(self.run).pixels if self.cache is None else self.cache
