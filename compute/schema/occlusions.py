"""Where models look: an enum of what is taken out of a crop, and two tables. No torch."""

from enum import StrEnum

import pyarrow as pa


class Piece(StrEnum):
    """What is taken out of an unaltered crop and filled with medium."""

    NOTHING = "nothing"
    MEDIUM = "medium"
    NEIGHBOUR = "neighbour"
    CENTRE = "centre"


class LookingQuantity(StrEnum):
    """What `occlusion_summary` says of a model."""

    CHANGE = "change"
    ANSWERS_CHANGED = "answers_changed"
    NEIGHBOUR_SHARE = "neighbour_share"
    BY_DISTANCE = "by_distance"
    BY_AREA = "by_area"


def piece_title(kind: str, number: int) -> str:
    """Return the name of a piece as shown, such as ``neighbour 2``."""
    return f"{kind} {number}" if kind == Piece.NEIGHBOUR else kind


OCCLUSIONS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("cell", pa.int64(), nullable=False),
        pa.field("protein", pa.string(), nullable=False),
        ("localization", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("piece", pa.int32(), nullable=False),
        pa.field("area", pa.int32(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        ("distance", pa.int32()),
        ("centroid_distance", pa.int32()),
        pa.field("little_medium", pa.bool_(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("fall", pa.float64(), nullable=False),
        ("true_fall", pa.float64()),
        pa.field("answer_after", pa.string(), nullable=False),
        pa.field("changed", pa.bool_(), nullable=False),
    ]
)
"""What taking one piece out of a cell's unaltered crop does to a model's answer.

`kind` is a `Piece`: `nothing` (a control: the crop goes the very way and nothing is taken out),
`medium` (a patch of medium as large as the largest neighbour, or as the cell where there is none,
which tells what filling itself does), one of the `neighbour`s, numbered by `piece` from 1, or the
`centre` cell. `area` is in pixels, `share` that of the crop; `distance` and `centroid_distance` are
steps to one of the four next pixels from the cell's mask to the piece's nearest pixel and to its
centroid, null from 255 and for `nothing`. `little_medium` says that it was filled with the crop's
dimmest pixels for want of medium. `answer` and `probability` are the frozen multi-class probe's to
the crop as it is, from the fold that holds the cell out; `fall` is by how much the probability of
that answer falls, `true_fall` that of the cell's own class (null where it has none), `answer_after`
the answer without the piece.
"""

OCCLUSION_SUMMARY = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("quantity", pa.string(), nullable=False),
        ("kind", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("estimate", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("n_cells", pa.int64(), nullable=False),
        pa.field("n_proteins", pa.int64(), nullable=False),
        pa.field("n_pieces", pa.int64(), nullable=False),
    ]
)
"""Where a model looks, over all cells of `OCCLUSIONS`; means over classes, with intervals.

A change is the size of `fall`, whichever its sign. `quantity` is a `LookingQuantity`: `change` of a
`kind` (of `neighbour` summed over a cell's pieces), `answers_changed` (the share of cells whose
answer changes; of `neighbour` by any one piece), `neighbour_share` (the neighbours' part of the
change that neighbours and centre make together), and the mean change of one neighbour,
`by_distance` (steps) and `by_area` (pixels) from `low` to below `high`, which is null where a bin
has no end.
"""
