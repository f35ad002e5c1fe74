"""Settings of plans and of composed crops.

Layer: frozen dataclasses, checked when made; no arrays.
"""

from dataclasses import dataclass

from compute.errors import UsageError, unknown_value
from compute.schema import COMPOSED, CONDITIONS, Condition

HARMONISE = ("protein", "field", "none")
"""Which crops share a scale: all of a protein, or all of a field; ``"none"`` changes nothing."""

LEFT = "paper"

DONOR_CENTRE = ("remove", LEFT)
"""What becomes of a donor's own centre cell: filled with medium, or left as in the paper."""

WITH_GLOW, HARD_EDGE = "glow", "hard"

PASTE = (WITH_GLOW, HARD_EDGE)
"""How a cell is put on a background: with the glow and the noise around it, its donor at the level
and the noise of its own medium; or cut off at its mask as in the paper, its donor at the scale of
its protein or field."""

MOST_SHIFT = 8
"""Pixels by which masks can be grown or shrunk at most; yeast cells are 15 to 40 pixels wide."""

SCHEMES = ("grouped", "paper")
"""What is dealt out to folds: whole proteins, or cells as in the paper."""

DONORS = ("fold", "any")
"""Where donors come from: the centre cell's own fold, or anywhere as in the paper."""


@dataclass(frozen=True)
class PlanConfig:
    """What a plan is made from.

    Parameters
    ----------
    conditions
        Names from `Condition`; `unaltered` is always taken, `conflicting` needs `different`.
    seed
        Any integer ≥ 0.
    repeats
        Donors per cell and condition, 1 to 1000.
    grid_cells
        Cells of each localization that stand in pair tests, at least 2. The paper has 1,000.
    backgrounds
        Background classes that the pair tests stand on, at least 1; None takes all.
    split
        Only cells of this split stand in trials and are donors, and windows come from their
        fields; None takes all.
    folds
        Number of folds of the probes, 2 or more; the paper has 5. Where a class has too few
        proteins for two in each there are fewer.
    fold_scheme
        One of `SCHEMES`.
    donors
        One of `DONORS`. From its own fold, no donor is of a protein that the cell's probe was
        fitted on; where a class has no other protein there, it comes from another fold, and
        `donor_seen` counts it.

    Raises
    ------
    UsageError
        A value is not allowed or out of range, or `conflicting` is chosen without `different`.

    Examples
    --------
    >>> from compute import PlanConfig
    >>> PlanConfig(conditions=("unaltered", "same", "different"), backgrounds=6).repeats
    1
    """

    conditions: tuple[str, ...] = tuple(str(c) for c in CONDITIONS)
    seed: int = 0
    repeats: int = 1
    grid_cells: int = 1000
    backgrounds: int | None = None
    split: str | None = None
    folds: int = 5
    fold_scheme: str = SCHEMES[0]
    donors: str = DONORS[0]

    def __post_init__(self) -> None:
        """Check every value."""
        for name in self.conditions:
            if name not in set(CONDITIONS):
                raise unknown_value("condition", name, CONDITIONS)
        for what, value, low, high in (
            ("seed", self.seed, 0, 2**63 - 1),
            ("repeats", self.repeats, 1, 1000),
            ("grid_cells", self.grid_cells, 2, 10**9),
            ("backgrounds", 1 if self.backgrounds is None else self.backgrounds, 1, 10**6),
            ("folds", self.folds, 2, 1000),
        ):
            if not low <= value <= high:
                raise UsageError(f"{what} is {value}; it must lie between {low} and {high}.")
        for kind, scheme, allowed in (
            ("fold scheme", self.fold_scheme, SCHEMES),
            ("origin of donors", self.donors, DONORS),
        ):
            if scheme not in allowed:
                raise unknown_value(kind, scheme, allowed)
        chosen = {Condition.UNALTERED, *map(Condition, self.conditions)}
        if Condition.CONFLICTING in chosen and Condition.DIFFERENT not in chosen:
            raise UsageError(
                "Condition 'conflicting' reads the trials of 'different', which is not chosen.",
                "Add 'different' to --conditions.",
            )
        ordered = tuple(str(c) for c in CONDITIONS if c in chosen)
        object.__setattr__(self, "conditions", ordered)

    @property
    def composed(self) -> tuple[Condition, ...]:
        """The chosen conditions that have trials of their own."""
        return tuple(c for c in COMPOSED if c in self.conditions)
