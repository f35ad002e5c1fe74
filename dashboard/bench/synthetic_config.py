"""What a synthetic run holds: a frozen configuration, checked when it is made. No files."""

import math
from dataclasses import dataclass
from functools import cached_property

from compute import schema
from compute.errors import UsageError, unknown_value
from compute.schema import CONDITIONS, Condition

PAPER = ("unaltered", "same", "different", "cell_free", "masked")
"""The paper's conditions."""

PROTEINS = 4049
"""Proteins of the paper's collection."""

PROTOCOLS = tuple(str(protocol) for protocol in schema.FITTED)
"""Those that every model has; no model of a synthetic run has a head."""

LOST = {
    "unaltered": 0.0,
    "same": 0.01,
    "different": 0.15,
    "cell_free": 0.06,
    "masked": 0.05,
    "sham": 0.005,
    "alone": 0.04,
    "same_protein": 0.008,
    "conflicting": 0.22,
    "background_only": 0.30,
}
"""By how much each condition lowers the share of right answers. Chosen, no result."""

LEFT_LOSES = 0.04
"""How much more `different` loses where the donor's own cell is left in."""

OTHERS_LOSE = 0.1
"""The same for conditions that `LOST` does not name."""

FOLDS = 5
"""Folds of a run, where every class has as many proteins."""

FROZEN_LOSES = 1.6
"""How much more a probe loses that was not refitted."""

SKILL = {"pifia": 0.92, "paired_cell": 0.88, "deeploc": 0.76}
OTHER_SKILL = 0.8
"""Shares of right answers in pair tests on unaltered crops, by model."""

MULTICLASS_LESS = 0.1
"""By how much the share is lower when all classes are asked about at once."""


@dataclass(frozen=True)
class SyntheticConfig:
    """What a synthetic run holds; by default a small run with everything that a run can have.

    Parameters
    ----------
    proteins
        Proteins with one localization: at least one for each of `localizations`.
    mixed
        Further proteins, with two localizations each.
    cells
        Cells of each protein that have trials; one more touches the border and has none.
    repeats
        Trials of a cell under each condition that has donors; the other conditions have one.
    examples
        Cells of each protein with stored images, at most `cells`; 0 for a run without `examples`.
    models
        Names, in the order in which they were run.
    baselines
        Those of `models` that count as baselines.
    conditions
        Names, of `compute.schema.Condition`.
    localizations
        Names of the classes.
    labels
        Whether proteins have labels; without, tables about right answers are empty.
    drops
        Whether accuracy depends on the condition.
    donor_seen
        Share of donors whose protein is of another fold than the cell's, 0 to 1; those under
        `same_protein` never are.
    simulated
        Whether the cells count as simulated; only then does the run have a `truth`.
    complete
        Whether the run was finished; otherwise only its cells and trials are there.
    odd_names
        Whether the last two proteins have names that are hard to show.
    without
        Summary tables, and tables that are added later, that are left out.
    name
        Of the run.
    seed
        Of everything drawn.

    Raises
    ------
    UsageError
        Such a run cannot be made; says what was allowed.
    """

    proteins: int = 30
    mixed: int = 4
    cells: int = 6
    repeats: int = 2
    examples: int = 1
    models: tuple[str, ...] = ("pifia", "paired_cell", "deeploc")
    baselines: tuple[str, ...] = ()
    conditions: tuple[str, ...] = tuple(str(condition) for condition in Condition)
    localizations: tuple[str, ...] = schema.LOCALIZATIONS
    labels: bool = True
    drops: bool = True
    donor_seen: float = 0.0
    simulated: bool = True
    complete: bool = True
    odd_names: bool = False
    without: tuple[str, ...] = ()
    name: str = "synthetic"
    seed: int = 0

    def __post_init__(self) -> None:
        least = len(self.localizations)
        if not 1 <= least <= self.proteins:
            raise UsageError(
                f"{self.proteins} proteins of {least} localizations cannot be drawn.",
                f"Ask for at least {max(least, 1)} proteins and one localization.",
            )
        if self.mixed < 0 or (self.mixed and least == 1):
            raise UsageError(
                f"{self.mixed} proteins with two of {least} localizations cannot be drawn.",
                "Ask for none, or for two localizations or more.",
            )
        if self.cells < 1 or self.repeats < 1 or not 0 <= self.examples <= self.cells:
            raise UsageError(
                f"{self.cells} cells of a protein, {self.examples} of them examples, with "
                f"{self.repeats} repeats cannot be drawn.",
                "Ask for at least one cell and repeat, and for no more examples than cells.",
            )
        if not 0 <= self.donor_seen <= (1 if self.folds > 1 else 0):
            raise UsageError(
                f"A share of {self.donor_seen} donors of another fold cannot be drawn: a class "
                f"has {self.proteins // least} proteins in {self.folds} folds.",
                "Ask for a share from 0 to 1, and for two proteins of each localization or more.",
            )
        for name in self.conditions:
            if name not in set(Condition):
                raise unknown_value("condition", name, CONDITIONS)
        for name in self.without:
            known = (*schema.SUMMARY_TABLES, *schema.ADDED_TABLES)
            if name not in known:
                raise unknown_value("table", name, known)

    @property
    def folds(self) -> int:
        """Folds that proteins are dealt out to, so that each has some of every class."""
        return min(FOLDS, self.proteins // len(self.localizations))

    @cached_property
    def composed(self) -> tuple[str, ...]:
        """Conditions that have trials of their own."""
        return tuple(name for name in self.conditions if CONDITIONS[Condition(name)].composed)

    @cached_property
    def altered(self) -> tuple[str, ...]:
        """Conditions that are compared with unaltered; none where unaltered is not there."""
        known = self.conditions if "unaltered" in self.conditions else ()
        return tuple(name for name in known if name != "unaltered")

    @cached_property
    def slots(self) -> tuple[tuple[str, int], ...]:
        """Condition and repeat of each trial of a cell."""
        return tuple(
            (name, repeat)
            for name in self.composed
            for repeat in range(self.repeats if has_donors(name) else 1)
        )

    @property
    def all_proteins(self) -> int:
        """Proteins with one localization or two."""
        return self.proteins + self.mixed

    @property
    def all_cells(self) -> int:
        """Cells, those without trials included."""
        return self.all_proteins * (self.cells + 1)

    @property
    def trials(self) -> int:
        """Rows of `trials`."""
        return self.all_proteins * self.cells * len(self.slots)

    @property
    def predictions(self) -> int:
        """Rows of `predictions`."""
        return self.trials * len(self.models) * len(PROTOCOLS)

    def right(self, model: str, condition: str, protocol: str, probe: str) -> float:
        """Return the share of right answers that are drawn, from 0 to 1."""
        lost = LOST.get(condition, OTHERS_LOSE) * (FROZEN_LOSES if protocol == "frozen" else 1.0)
        level = SKILL.get(model, OTHER_SKILL) - (MULTICLASS_LESS if probe == "multiclass" else 0.0)
        return level - (lost if self.drops else 0.0)


def sized(
    predictions: int = 45_000_000, *, proteins: int = PROTEINS, examples: int = 4, seed: int = 0
) -> SyntheticConfig:
    """Return the configuration of a run of the paper's conditions that is large enough.

    Parameters
    ----------
    predictions
        At least so many rows of `predictions`: cells are added until there are.
    proteins
        How many, each with one localization.
    examples
        Cells of each protein with stored images (`bystander run --examples`).
    seed
        Of everything drawn.

    Raises
    ------
    UsageError
        There are fewer proteins than localizations, or no predictions.
    """
    if predictions < 1:
        raise UsageError(
            f"A run of {predictions} predictions cannot be drawn.", "Ask for at least one."
        )
    one = SyntheticConfig(
        proteins=proteins, mixed=0, cells=1, repeats=1, examples=0, conditions=PAPER
    )
    cells = max(2, examples, math.ceil(predictions / one.predictions))
    return SyntheticConfig(
        proteins=proteins,
        mixed=0,
        cells=cells,
        repeats=1,
        examples=examples,
        conditions=PAPER,
        name=f"bench-{cells * one.predictions}",
        seed=seed,
    )


def has_donors(condition: str) -> bool:
    """Whether a cell's background under a condition comes from elsewhere, so that it is drawn."""
    return CONDITIONS[Condition(condition)].donors != "none"
