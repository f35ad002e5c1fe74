"""The words of the design as enums and registries: conditions, protocols, flags. No torch.

A *trial* is one synthetic crop (a cell, a condition, a donor, a repeat); a *condition* is what
stands behind the centre cell; a *protocol* is how a probe is fitted, or that none is.
"""

from dataclasses import dataclass
from enum import IntFlag, StrEnum

STORE_VERSION = 1
"""Written to `store.json`; stores of another version are refused."""

RUN_VERSION = 3
"""Written to `run.json`; runs of another version are refused. In runs of version 1 `sham` left the
donor's way out and donors could be of any fold; in those of version 2 p-values of shifts under
`refit` left out that two probes differ, so their numbers mean something else."""

LOCALIZATIONS: tuple[str, ...] = (
    "actin",
    "bud neck",
    "cell periphery",
    "cytoplasm",
    "endosome",
    "ER",
    "Golgi",
    "mitochondrion",
    "nucleus",
    "nuclear periphery",
    "nucleolus",
    "spindle pole",
    "peroxisome",
    "vacuolar membrane",
    "vacuole",
)
"""The 15 localizations of Gupta, Moses and Lu (2025), in the order of the published results."""


class Condition(StrEnum):
    """The background behind the centre cell."""

    UNALTERED = "unaltered"
    SAME = "same"
    DIFFERENT = "different"
    CELL_FREE = "cell_free"
    MASKED = "masked"
    SHAM = "sham"
    ALONE = "alone"
    SAME_PROTEIN = "same_protein"
    CONFLICTING = "conflicting"
    BACKGROUND_ONLY = "background_only"


@dataclass(frozen=True)
class ConditionSpec:
    """Properties of a condition, for the plan and for people.

    Parameters
    ----------
    title
        Name as shown.
    definition
        One sentence for captions: the background behind the centre cell.
    phrase
        The words that follow “accuracy falls”.
    paper_key
        Key in the file names of the published results, where the paper has the condition.
    donors
        What the background is taken from: ``"none"``, ``"cell"`` (a donor's crop) or ``"window"``
        (a window without cells).
    relation
        Of what the donor is: ``"protein"`` (another cell of the same protein), ``"class"`` (a cell
        of another protein of the same class) or ``"other"`` (a cell or window of another class);
        empty, as it is by default, without donors.
    grid
        Whether pair tests are made once per background class; False by default.
    composed
        Whether it has trials of its own, as it has by default; ``conflicting`` reads those of
        ``different``.
    keeps_cell
        Whether the centre cell is in the crop, as it is by default: only then is a drop about the
        background alone.
    headline
        Whether the worst drop is looked for here: the cell is kept, and its background does not
        argue for another answer. False by default.
    rescaled
        Whether its crops are read a second time, scaled the other way, as they are by default.
        Those that have the range of the cell's unaltered crop are not: a second reading would be
        the same.
    own_background
        Whether the background is the cell's own, so that no drop here is about other neighbours.
        False by default.
    """

    title: str
    definition: str
    phrase: str
    paper_key: str | None = None
    donors: str = "none"
    relation: str = ""
    grid: bool = False
    composed: bool = True
    keeps_cell: bool = True
    headline: bool = False
    rescaled: bool = True
    own_background: bool = False

    @property
    def claimed(self) -> bool:
        """Whether a drop here is a claim about neighbours, tested in a family with the others.

        A kept cell then stands on a foreign background or on none. What pasting alone does
        (``sham``) and what is seen without the cell (``background_only``) are controls.
        """
        return self.keeps_cell and not self.own_background


CONDITIONS: dict[Condition, ConditionSpec] = {
    Condition.UNALTERED: ConditionSpec(
        "Unaltered",
        "the cell on its own background, as imaged",
        "unaltered",
        paper_key="base",
        rescaled=False,
        own_background=True,
    ),
    Condition.SAME: ConditionSpec(
        "Same class",
        "the cell on the background of another protein's cell of the same localization",
        "on the background of another cell of the same class",
        paper_key="same",
        donors="cell",
        relation="class",
        headline=True,
    ),
    Condition.DIFFERENT: ConditionSpec(
        "Different class",
        "the cell on the background of a cell of another localization",
        "on the background of another class",
        paper_key="diff",
        donors="cell",
        relation="other",
        grid=True,
        headline=True,
    ),
    Condition.CELL_FREE: ConditionSpec(
        "Cell-free",
        "the cell on medium without any cell, from an image of another localization",
        "on medium without cells",
        paper_key="batch",
        donors="window",
        relation="other",
        grid=True,
        headline=True,
    ),
    Condition.MASKED: ConditionSpec(
        "Masked",
        "the cell with everything around it set to zero",
        "with everything around the cell set to zero",
        paper_key="mask",
        headline=True,
    ),
    Condition.SHAM: ConditionSpec(
        "Sham swap",
        "the cell on its own background, by the very way a donor's crop goes: cut out with its "
        "halo, the hole filled, the cell pasted back",
        "when the cell is cut out and pasted back on its own background",
        own_background=True,
    ),
    Condition.ALONE: ConditionSpec(
        "Alone",
        "the cell on medium of its own image, without any neighbour",
        "with the cell's neighbours replaced by medium of its own image",
    ),
    Condition.SAME_PROTEIN: ConditionSpec(
        "Same protein",
        "the cell on the background of another cell of the same protein, from another field where "
        "there is one",
        "on the background of another cell of the same protein",
        donors="cell",
        relation="protein",
    ),
    Condition.CONFLICTING: ConditionSpec(
        "Conflicting",
        "in a pair test, each class on the other's background: the cue points the wrong way",
        "on the background of the class it must be told from",
        donors="cell",
        relation="other",
        composed=False,
    ),
    Condition.BACKGROUND_ONLY: ConditionSpec(
        "Background only",
        "the centre cell removed and filled with medium: what the neighbours alone give away",
        "with the centre cell removed",
        keeps_cell=False,
        own_background=True,
    ),
}
"""In the order of tables and charts: the paper's five, then the controls."""

COMPOSED = tuple(c for c, spec in CONDITIONS.items() if spec.composed)
"""The conditions that have trials of their own."""

CLAIMED = tuple(c for c, spec in CONDITIONS.items() if spec.claimed)
"""The conditions over which tests are adjusted for one another."""


class Protocol(StrEnum):
    """How a probe is fitted; under `own` none is, and the model's own head answers."""

    REFIT = "refit"
    FROZEN = "frozen"
    OWN = "own"


PROTOCOLS: dict[Protocol, str] = {
    Protocol.REFIT: "fitted and tested inside each condition, as in the paper",
    Protocol.FROZEN: "fitted once on unaltered crops, tested on every condition: a model in use",
    Protocol.OWN: "none: the model's own head answers, as it was fitted elsewhere",
}

FITTED = (Protocol.REFIT, Protocol.FROZEN)
"""The protocols under which a probe is fitted: every model has them."""


class Effect(StrEnum):
    """Differences of accuracies."""

    DROP = "drop"
    NET = "net"
    GAP = "gap"


EFFECTS_IN_WORDS: dict[Effect, str] = {
    Effect.DROP: "accuracy on unaltered crops minus accuracy under the condition",
    Effect.NET: "accuracy under sham minus accuracy under the condition: the drop without what "
    "pasting alone does",
    Effect.GAP: "accuracy under same minus accuracy under different: what the neighbours' class "
    "does",
}


class Population(StrEnum):
    """Proteins with mixed localization, and the two kinds of them."""

    SEVERAL = "several_labels"
    VARYING = "varying"
    MIXED = "mixed"


POPULATIONS: dict[Population, str] = {
    Population.SEVERAL: "proteins with several labels",
    Population.VARYING: "proteins with one label or none, of whose cells no one class fits all",
    Population.MIXED: "proteins with mixed localization: both kinds together",
}


class Quantity(StrEnum):
    """What two models are compared in."""

    ACCURACY = "accuracy"
    DROP = "drop"
    GAP = "gap"


QUANTITIES: dict[Quantity, str] = {
    Quantity.ACCURACY: "accuracy under the condition",
    Quantity.DROP: EFFECTS_IN_WORDS[Effect.DROP],
    Quantity.GAP: EFFECTS_IN_WORDS[Effect.GAP],
}


class Aggregation(StrEnum):
    """How pair tests are averaged into one number."""

    ALL = "all"
    PUBLISHED = "published"


class Flip(StrEnum):
    """How an answer changes from a cell's unaltered crop to a trial."""

    LOST = "lost"
    GAINED = "gained"
    MOVED = "moved"


FLIP_DIRECTIONS: dict[Flip, str] = {
    Flip.LOST: "right on the unaltered crop, wrong on the new background",
    Flip.GAINED: "wrong on the unaltered crop, right on the new background",
    Flip.MOVED: "wrong on both, with another answer",
}


class Calibration(StrEnum):
    """Measures of how far probabilities are from the shares of right answers."""

    ECE = "ece"
    BRIER = "brier"


CALIBRATION_MEASURES: dict[Calibration, str] = {
    Calibration.ECE: "expected calibration error: mean distance between the highest probability "
    "and the share of right answers, over bins",
    Calibration.BRIER: "Brier score: mean squared distance between the probabilities and the "
    "right answer, summed over classes",
}


class DropPart(StrEnum):
    """The parts of a drop, and their sum."""

    TOTAL = "total"
    RESCALING = "rescaling"
    CONTEXT = "context"


DROP_PARTS: dict[DropPart, str] = {
    DropPart.TOTAL: "the whole drop",
    DropPart.RESCALING: "because the new background changes how the crop is scaled",
    DropPart.CONTEXT: "because the model reads the new background, the scale being locked",
}


class Step(StrEnum):
    """The steps from unaltered crops to composites as the paper makes them, and their sum."""

    PASTING = "pasting"
    STRANGE_IMAGE = "strange_image"
    NEIGHBOURS = "neighbours"
    SECOND_CELL = "second_cell"
    TOTAL = "total"


@dataclass(frozen=True)
class StepSpec:
    """A step of the way from unaltered crops to the paper's composites.

    Parameters
    ----------
    title
        Name as shown.
    definition
        One sentence: what changes in it.
    before, after
        The conditions that it leads from and to.
    left_before, left_after
        Whether the donor's own centre cell is left in them; False by default.
    """

    title: str
    definition: str
    before: Condition
    after: Condition
    left_before: bool = False
    left_after: bool = False


STEPS: dict[Step, StepSpec] = {
    Step.PASTING: StepSpec(
        "Pasting",
        "the cell is cut out and pasted back on its own background",
        Condition.UNALTERED,
        Condition.SHAM,
    ),
    Step.STRANGE_IMAGE: StepSpec(
        "A strange image",
        "its background comes from another image, with neighbours of its own class",
        Condition.SHAM,
        Condition.SAME,
    ),
    Step.NEIGHBOURS: StepSpec(
        "The neighbours' class",
        "the neighbours are of another class: the background gap",
        Condition.SAME,
        Condition.DIFFERENT,
    ),
    Step.SECOND_CELL: StepSpec(
        "A second cell",
        "the donor's own centre cell is left behind the pasted one, as the paper does",
        Condition.DIFFERENT,
        Condition.DIFFERENT,
        left_after=True,
    ),
    Step.TOTAL: StepSpec(
        "In all",
        "from the unaltered crop to the paper's composite",
        Condition.UNALTERED,
        Condition.DIFFERENT,
        left_after=True,
    ),
}
"""In their order; the steps before the last add up to it."""

STEP_CONDITIONS = tuple(
    c for c in CONDITIONS if any(c in (step.before, step.after) for step in STEPS.values())
)
"""The conditions that steps lead from and to."""


class Reading(StrEnum):
    """How a trial is read again: scaled the other way, its donor's cell treated the other way."""

    SCALED = "scaled"
    CENTRE = "centre"
    BOTH = "both"


class Dose(StrEnum):
    """What a drop is drawn against: how much of a donor's neighbours a composite shows."""

    SHARE = "neighbour_fraction"
    DISTANCE = "neighbour_distance"


DOSES: dict[Dose, str] = {
    Dose.SHARE: "share of the crop that the donor's neighbours cover",
    Dose.DISTANCE: "distance from the pasted cell to the nearest of the donor's neighbours, pixels",
}


class Choice(StrEnum):
    """What an analyst chooses, and a finding should not hang on."""

    MASK = "mask"
    LAYER = "layer"
    POOLING = "pooling"
    HARMONISE = "harmonise"
    PASTE = "paste"


CHOICES: dict[Choice, str] = {
    Choice.MASK: "pixels by which cells' masks are grown, or shrunk (below 0)",
    Choice.LAYER: "the layer that embeddings are taken from",
    Choice.POOLING: "how a layer's map becomes one vector",
    Choice.HARMONISE: "which crops share a scale when a donor is brought to the cell's intensities",
    Choice.PASTE: "whether cells take their glow along or are cut off at the mask",
}


class CellFlag(IntFlag):
    """Quality of a cell's mask and image; any flag in `UNUSABLE` keeps it out of trials."""

    NONE = 0
    EMPTY_MASK = 1
    OFF_CENTRE = 2
    TOUCHES_BORDER = 4
    LITTLE_MEDIUM = 8
    NOT_A_CELL = 16
    OFF_CELL = 32


CELL_FLAGS: dict[CellFlag, str] = {
    CellFlag.EMPTY_MASK: "no cell found at the centre",
    CellFlag.OFF_CENTRE: "the cell is not at the centre of its crop",
    CellFlag.TOUCHES_BORDER: "the cell is cut by the border of its crop",
    CellFlag.LITTLE_MEDIUM: "hardly any medium in the crop, so holes are filled from little",
    CellFlag.NOT_A_CELL: "dead, a ghost or no cell at all, as its source says",
    CellFlag.OFF_CELL: "the mask does not lie on a cell: it looks like what is around it",
}
WORST_FIRST: dict[CellFlag, str] = {
    CellFlag.EMPTY_MASK: "the smallest masks",
    CellFlag.OFF_CENTRE: "those farthest from the centre",
    CellFlag.TOUCHES_BORDER: "those with most pixels on the border",
    CellFlag.LITTLE_MEDIUM: "those with least medium",
    CellFlag.NOT_A_CELL: "drawn by lot",
    CellFlag.OFF_CELL: "those that stand out least from the ring around them",
}
"""Which cells of a flag are its most extreme ones (`compute.images.worst_cells` measures them)."""
UNUSABLE = (
    CellFlag.EMPTY_MASK
    | CellFlag.OFF_CENTRE
    | CellFlag.TOUCHES_BORDER
    | CellFlag.NOT_A_CELL
    | CellFlag.OFF_CELL
)


class TrialFlag(IntFlag):
    """Quality of one synthetic crop."""

    NONE = 0
    DONOR_VISIBLE = 1
    TOUCHES_BORDER = 2
    EMPTY_MASK = 4
    SEAM = 8
    LITTLE_MEDIUM = 16


TRIAL_FLAGS: dict[TrialFlag, str] = {
    TrialFlag.DONOR_VISIBLE: "part of the donor's own centre cell shows beside the pasted one",
    TrialFlag.TOUCHES_BORDER: "the mask touches the border of the crop",
    TrialFlag.EMPTY_MASK: "the mask is empty",
    TrialFlag.SEAM: "the background at the seam is much brighter or darker than the cell's own",
    TrialFlag.LITTLE_MEDIUM: "a hole was filled from very few medium pixels",
}
