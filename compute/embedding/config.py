"""Settings of the embedding stage, what another process needs to join it, and its error.

Layer: frozen dataclasses, which may cross from one process to another; no files.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from compute.backgrounds.config import (
    DONOR_CENTRE,
    HARMONISE,
    LEFT,
    MOST_SHIFT,
    PASTE,
    WITH_GLOW,
    PlanConfig,
)
from compute.errors import BystanderError, UsageError, unknown_value
from compute.models.card_files import FoundModel
from compute.models.precision import PRECISIONS
from compute.schema import CONDITIONS, STEP_CONDITIONS, STEPS, Condition, Reading
from compute.storage.paths import RunPaths

LOCKED = "locked"

NORMALISATION = ("crop", LOCKED)
"""Where a model's scaling takes its range: from each crop itself, or from the unaltered crop of the
same cell."""


@dataclass(frozen=True)
class View:
    """Trials of a condition, as they are composed and scaled, or read again in another way.

    Parameters
    ----------
    condition
        The condition.
    reading
        How they are read again; None, the default, for the run's own way.
    """

    condition: Condition
    reading: Reading | None = None

    @property
    def name(self) -> str:
        """The condition's name, with the reading's behind it."""
        return f"{self.condition}" + (f"+{self.reading}" if self.reading else "")


StepEnd = tuple[Condition, bool, bool]
"""An end of a step: condition, whether donors' centres are left, whether the scale is locked."""


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
    second_readings
        Whether trials are read again, with the other normalisation and with donors' centres
        treated the other way, which tells what a drop is made of.
    compiled
        Whether PyTorch compiles the networks first, which pays on GPUs.
    mask_shift
        Pixels by which the masks of centre cells and of donors' own cells are grown, −8 to 8; below
        0 they are shrunk. 0, the default, takes them as they are.

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
    paste: str = WITH_GLOW
    normalisation: str = "crop"
    batch_size: int = 0
    precision: str = "float32"
    second_readings: bool = True
    compiled: bool = False
    mask_shift: int = 0

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
        if not -MOST_SHIFT <= self.mask_shift <= MOST_SHIFT:
            raise UsageError(
                f"mask_shift is {self.mask_shift} pixels; it must lie between {-MOST_SHIFT} and "
                f"{MOST_SHIFT}.",
                "Give --mask-shift a number within these, such as -2 or 2.",
            )
        if not 0 <= self.batch_size <= 65536:
            raise UsageError(
                f"batch_size is {self.batch_size}; it must be 1 to 65536, or 0 to have it found."
            )

    def reading(self, *, left: bool, locked: bool) -> Reading | None:
        """Say how a trial must be read again to be seen in a given way.

        Parameters
        ----------
        left
            Whether the donor's own centre cell is left in the crop.
        locked
            Whether the scale is that of the cell's unaltered crop.

        Returns
        -------
        Reading or None
            None where it is how the run composes and scales every trial.
        """
        centre = left != (self.donor_centre == LEFT)
        scaled = locked != (self.normalisation == LOCKED)
        if centre:
            return Reading.BOTH if scaled else Reading.CENTRE
        return Reading.SCALED if scaled else None

    def view(self, condition: Condition, *, left: bool = False, locked: bool = False) -> View:
        """Say where the trials of a condition are found, seen in a given way.

        Parameters
        ----------
        condition
            The condition. Where its backgrounds have no centre cell that could be left, `left`
            means nothing, and where its scale is that of the unaltered crop in any case, `locked`.
        left, locked
            As for `reading`; False by default.
        """
        spec = CONDITIONS[condition]
        if spec.donors != "cell":
            left = self.donor_centre == LEFT
        if not spec.rescaled:
            locked = self.normalisation == LOCKED
        return View(condition, self.reading(left=left, locked=locked))

    def step_views(self, conditions: Collection[Condition]) -> dict[StepEnd, View]:
        """Say where the ends of the steps of a drop (`compute.schema.STEPS`) are found.

        Parameters
        ----------
        conditions
            The conditions of a run.

        Returns
        -------
        dict
            By condition, whether the donor's centre is left, and whether the scale is locked; empty
            where trials are not read again, or a condition that a step needs is not there.
        """
        if not self.second_readings or not set(STEP_CONDITIONS) <= set(conditions):
            return {}
        ends = [
            end
            for step in STEPS.values()
            for end in ((step.before, step.left_before), (step.after, step.left_after))
        ]
        return {
            (condition, left, locked): self.view(condition, left=left, locked=locked)
            for condition, left in dict.fromkeys(ends)
            for locked in (False, True)
        }

    def readings(self, conditions: Sequence[Condition]) -> dict[Reading, tuple[Condition, ...]]:
        """List the conditions, of some, whose trials are read again in each way.

        All are that have a scale of their own; donors' centres are treated the other way where a
        step of a drop needs it.
        """
        if not self.second_readings:
            return {}
        again = {View(c, Reading.SCALED) for c in conditions if CONDITIONS[c].rescaled}
        again |= set(self.step_views(conditions).values())
        found = {r: tuple(c for c in conditions if View(c, r) in again) for r in Reading}
        return {reading: some for reading, some in found.items() if some}


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
        The models, found and bound to the store.
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
    models: tuple[FoundModel, ...]
    plan: PlanConfig
    config: EmbedConfig
    device: str
    cache: Path | None = None

    @property
    def pixels(self) -> Path:
        """The folder for the uncompressed pixels."""
        return RunPaths(self.run).pixels if self.cache is None else self.cache
