"""The remedies that need no new network: an enum, what each is and costs, their table. No torch."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from compute.schema.words import Condition


class Remedy(StrEnum):
    """What is done so that an answer depends less on the background."""

    NONE = "none"
    CLEANED = "cleaned"
    BALANCED = "balanced"
    POOLED = "pooled"
    CENTRED = "centred"
    PROJECTED = "projected"
    AVERAGED = "averaged"


@dataclass(frozen=True)
class RemedySpec:
    """Properties of a remedy, for runs and for people.

    Parameters
    ----------
    title
        Name as shown.
    definition
        What is done, in a sentence.
    needs_mask
        Whether the cell's mask is needed in use, not only where the remedy is fitted.
    averages
        Whether a crop takes as many passes through the network as there are backgrounds; else it
        takes one, as without a remedy. False by default.
    replaces
        Conditions of which the remedy takes the background away before the network sees the crop,
        so that the answer is that to the unaltered crop; none by default.
    unknown
        Conditions under which it leaves nothing to ask about; none by default.
    fits
        Whether something is chosen by cross-validation among the training proteins. False by
        default.
    """

    title: str
    definition: str
    needs_mask: bool = False
    averages: bool = False
    replaces: tuple[Condition, ...] = ()
    unknown: tuple[Condition, ...] = ()
    fits: bool = False


_SWAPPED = (Condition.SAME, Condition.DIFFERENT)

REMEDIES_IN_WORDS: dict[Remedy, RemedySpec] = {
    Remedy.NONE: RemedySpec(
        "No remedy",
        "the probe is fitted on unaltered crops and answers whatever crop it gets",
    ),
    Remedy.CLEANED: RemedySpec(
        "Cleaned crop",
        "everything around the cell is replaced by medium of its image, in fitting and in use",
        needs_mask=True,
        replaces=_SWAPPED,
        unknown=(Condition.BACKGROUND_ONLY,),
    ),
    Remedy.BALANCED: RemedySpec(
        "Balanced probe",
        "the probe is fitted on unaltered crops and on the same cells on backgrounds of other "
        "classes",
        fits=True,
    ),
    Remedy.POOLED: RemedySpec(
        "Pooling inside the mask",
        "the layer's map is pooled over the cell alone, in fitting and in use",
        needs_mask=True,
    ),
    Remedy.CENTRED: RemedySpec(
        "Pooling over the middle",
        "the maximum and the mean of the layer's map over its middle, where the cell is, are "
        "joined, in fitting and in use",
    ),
    Remedy.PROJECTED: RemedySpec(
        "Projecting out",
        "the directions in which backgrounds move embeddings of other proteins are taken out of "
        "embeddings before the probe is fitted",
        fits=True,
    ),
    Remedy.AVERAGED: RemedySpec(
        "Averaging over backgrounds",
        "the cell is put on several random backgrounds and its embeddings are averaged, in fitting "
        "and in use",
        needs_mask=True,
        averages=True,
        replaces=(*_SWAPPED, Condition.CELL_FREE, Condition.MASKED),
        unknown=(Condition.BACKGROUND_ONLY,),
    ),
}
"""In the order of tables; the first is what the others are compared with."""

REMEDIES = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("remedy", pa.string(), nullable=False),
        pa.field("applies", pa.bool_(), nullable=False),
        ("reason", pa.string()),
        ("quantity", pa.string()),
        ("condition", pa.string()),
        ("estimate", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("difference", pa.float64()),
        ("difference_low", pa.float64()),
        ("difference_high", pa.float64()),
        ("by_construction", pa.bool_()),
        pa.field("needs_mask", pa.bool_(), nullable=False),
        pa.field("passes", pa.int32(), nullable=False),
        ("chosen", pa.string()),
        ("donor_seen", pa.float64()),
        ("unit", pa.string()),
        ("n_cells", pa.int64()),
        ("n_proteins", pa.int64()),
    ]
)
"""What remedies that need no new network (`Remedy`) do to the multi-class probe's overall findings.

`quantity` is `accuracy`, `drop`, `gap` or `worst_case` (the share of cells that are right on every
background class); `difference` is from no remedy, over the same cells on the same donors, and null
in rows of `none`, which are those of the frozen probe. `by_construction` says that the remedy takes
the background away before the network sees the crop, so that the answer is that to the unaltered
crop and was not asked again. `needs_mask` and `passes` are what a crop costs in use: whether its
mask must be known, and how often it goes through the network. `chosen` is what cross-validation
chose, fold by fold. `donor_seen` is as in `accuracy`. A remedy that does not apply to a model has
one row, with a `reason` and no numbers.
"""


def cured_schema(width: int, classes: int) -> pa.Schema:
    """Return the columns of what a remedy makes of cells: a row a cell.

    `predicted` and `probabilities`, over `classes` classes in the order of `localizations` in
    `run.json`, are the answer of the probe of the fold that holds the cell out; null and NaN for a
    cell in no fold. `embedding` is what that probe gets, `width` numbers.
    """
    return pa.schema(
        [
            pa.field("cell", pa.int64(), nullable=False),
            pa.field("protein", pa.string(), nullable=False),
            ("orf", pa.string()),
            ("localization", pa.string()),
            pa.field("field", pa.string(), nullable=False),
            ("fold", pa.int16()),
            ("predicted", pa.string()),
            pa.field("probabilities", pa.list_(pa.float32(), classes), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), width), nullable=False),
        ]
    )
