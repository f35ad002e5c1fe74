"""Every word and column that files carry: enums, flags, Arrow schemas, table checks. No torch.

Column names live here and nowhere else. Words are those of the design: a *trial* is one
synthetic crop (a cell, a condition, a donor, a repeat); a *condition* is what stands behind the
centre cell; a *protocol* is how a probe is fitted.
"""

from dataclasses import dataclass
from enum import IntFlag, StrEnum

import pyarrow as pa

from compute.errors import InputError

SCHEMA_VERSION = 1
"""Written to `store.json` and `run.json`; files of another version are refused."""

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
    """Which background stands behind the centre cell."""

    UNALTERED = "unaltered"
    SAME = "same"
    DIFFERENT = "different"
    CELL_FREE = "cell_free"
    MASKED = "masked"
    SHAM = "sham"
    CONFLICTING = "conflicting"
    BACKGROUND_ONLY = "background_only"


@dataclass(frozen=True)
class ConditionSpec:
    """What a condition is, for the plan and for people.

    Parameters
    ----------
    title
        Name as shown.
    definition
        One sentence for captions: the background behind the centre cell.
    paper_key
        Key in the file names of the published results, where the paper has the condition.
    donors
        What is put behind: ``"none"``, ``"cell"`` (a donor's crop) or ``"window"`` (a window
        without cells).
    grid
        Whether pair tests take it once per background class.
    composed
        Whether it has trials of its own; ``conflicting`` reads those of ``different``.
    """

    title: str
    definition: str
    paper_key: str | None
    donors: str
    grid: bool = False
    composed: bool = True


CONDITIONS: dict[Condition, ConditionSpec] = {
    Condition.UNALTERED: ConditionSpec(
        "Unaltered", "the cell on its own background, as imaged", "base", "none"
    ),
    Condition.SAME: ConditionSpec(
        "Same class",
        "the cell on the background of another protein's cell of the same localization",
        "same",
        "cell",
    ),
    Condition.DIFFERENT: ConditionSpec(
        "Different class",
        "the cell on the background of a cell of another localization",
        "diff",
        "cell",
        grid=True,
    ),
    Condition.CELL_FREE: ConditionSpec(
        "Cell-free",
        "the cell on medium without any cell, from an image of another localization",
        "batch",
        "window",
        grid=True,
    ),
    Condition.MASKED: ConditionSpec(
        "Masked", "the cell with everything around it set to zero", "mask", "none"
    ),
    Condition.SHAM: ConditionSpec(
        "Sham swap",
        "the cell cut out and pasted back on its own background: must equal unaltered",
        None,
        "none",
    ),
    Condition.CONFLICTING: ConditionSpec(
        "Conflicting",
        "in a pair test, each class on the other's background: the cue points the wrong way",
        None,
        "cell",
        composed=False,
    ),
    Condition.BACKGROUND_ONLY: ConditionSpec(
        "Background only",
        "the centre cell removed and filled with medium: what the neighbours alone give away",
        None,
        "none",
    ),
}

COMPOSED = tuple(c for c, spec in CONDITIONS.items() if spec.composed)
"""The conditions that have trials of their own."""


class Protocol(StrEnum):
    """How a probe is fitted."""

    REFIT = "refit"
    FROZEN = "frozen"


PROTOCOLS: dict[Protocol, str] = {
    Protocol.REFIT: "fitted and tested inside each condition, as in the paper",
    Protocol.FROZEN: "fitted once on unaltered crops, tested on every condition: a model in use",
}


class Probe(StrEnum):
    """What a linear probe is asked."""

    PAIR = "pair"
    MULTICLASS = "multiclass"


class Effect(StrEnum):
    """Differences of accuracies."""

    DROP = "drop"
    GAP = "gap"


class Aggregation(StrEnum):
    """How pair tests are averaged into one number."""

    ALL = "all"
    PUBLISHED = "published"


class CellFlag(IntFlag):
    """Quality of a cell's mask and image; any flag in `UNUSABLE` keeps it out of trials."""

    NONE = 0
    EMPTY_MASK = 1
    OFF_CENTRE = 2
    TOUCHES_BORDER = 4
    LITTLE_MEDIUM = 8
    NOT_A_CELL = 16


CELL_FLAGS: dict[CellFlag, str] = {
    CellFlag.EMPTY_MASK: "no cell found at the centre",
    CellFlag.OFF_CENTRE: "the cell is not at the centre of its crop",
    CellFlag.TOUCHES_BORDER: "the cell is cut by the border of its crop",
    CellFlag.LITTLE_MEDIUM: "hardly any medium in the crop, so holes are filled from little",
    CellFlag.NOT_A_CELL: "dead, a ghost or no cell at all, as its source says",
}
UNUSABLE = CellFlag.EMPTY_MASK | CellFlag.OFF_CENTRE | CellFlag.TOUCHES_BORDER | CellFlag.NOT_A_CELL


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

_string, _int64, _int32, _int16, _f32, _f64 = (
    pa.string(),
    pa.int64(),
    pa.int32(),
    pa.int16(),
    pa.float32(),
    pa.float64(),
)


def cells_schema() -> pa.Schema:
    """One row per cell; `labels` holds every localization of its protein."""
    return pa.schema(
        [
            pa.field("cell", _int64, nullable=False),
            pa.field("protein", _string, nullable=False),
            ("orf", _string),
            ("localization", _string),
            ("labels", pa.list_(_string)),
            pa.field("field", _string, nullable=False),
            ("replicate", _string),
            ("split", _string),
            ("mask_area", _int32),
            ("neighbour_fraction", _f32),
            pa.field("flags", _int32, nullable=False),
        ]
    )


def crops_schema(channels: int, size: int, itemsize: int) -> pa.Schema:
    """One row per cell: raw pixels C×H×W in the store's dtype, packed masks (H×W bits each).

    `mask` is the centre cell, `foreground` every cell in the crop.
    """
    return pa.schema(
        [
            pa.field("cell", _int64, nullable=False),
            pa.field("image", pa.binary(channels * size * size * itemsize), nullable=False),
            pa.field("mask", pa.binary((size * size + 7) // 8), nullable=False),
            pa.field("foreground", pa.binary((size * size + 7) // 8), nullable=False),
        ]
    )


def windows_schema(channels: int, size: int, itemsize: int) -> pa.Schema:
    """One row per window without cells; `filled` where cells were replaced by medium."""
    return pa.schema(
        [
            pa.field("window", _int64, nullable=False),
            pa.field("field", _string, nullable=False),
            pa.field("protein", _string, nullable=False),
            ("localization", _string),
            ("replicate", _string),
            pa.field("filled", pa.bool_(), nullable=False),
            pa.field("image", pa.binary(channels * size * size * itemsize), nullable=False),
        ]
    )


def truth_schema() -> pa.Schema:
    """One row per cell and localization that holds some of its protein; simulated cells only."""
    return pa.schema([("cell", _int64), ("localization", _string), ("proportion", _f32)])


def trials_schema() -> pa.Schema:
    """One row per synthetic crop; `donor` is a cell, or a window under `cell_free`."""
    return pa.schema(
        [
            pa.field("trial", _int64, nullable=False),
            pa.field("cell", _int64, nullable=False),
            pa.field("condition", _string, nullable=False),
            ("donor", _int64),
            ("donor_localization", _string),
            pa.field("repeat", _int16, nullable=False),
            pa.field("seed", _int64, nullable=False),
            pa.field("flags", _int32, nullable=False),
        ]
    )


def embeddings_schema(dimension: int) -> pa.Schema:
    """One row per trial and model."""
    return pa.schema(
        [
            pa.field("trial", _int64, nullable=False),
            pa.field("cell", _int64, nullable=False),
            pa.field("condition", _string, nullable=False),
            pa.field("embedding", pa.list_(_f32, dimension), nullable=False),
        ]
    )


def predictions_schema(classes: int) -> pa.Schema:
    """One row per trial and protocol, sorted by protein; classes in `run.json` order."""
    return pa.schema(
        [
            pa.field("protein", _string, nullable=False),
            pa.field("cell", _int64, nullable=False),
            pa.field("trial", _int64, nullable=False),
            pa.field("condition", _string, nullable=False),
            pa.field("protocol", _string, nullable=False),
            pa.field("predicted", _string, nullable=False),
            pa.field("probabilities", pa.list_(_f32, classes), nullable=False),
        ]
    )


PAIRWISE = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("localization_a", _string),
        ("localization_b", _string),
        ("background", _string),
        ("accuracy", _f64),
        ("std", _f64),
        ("n", _int64),
    ]
)
"""Class pair × background class (null where none applies): mean and std over folds, n cells."""

PAIR_TALLIES = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("cell", _int64),
        ("localization", _string),
        ("other", _string),
        ("correct", _int64),
        ("n", _int64),
        ("n_cells", _int64),
    ]
)
"""What the bootstrap resamples: held-out answers in pair tests against `other`.

One row per protein (`cell` is null), or per cell where a class has fewer than 5 proteins.
"""

ACCURACY = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("probe", _string),
        ("aggregation", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""`scope` is overall or localization (pairs are in `pairwise`); `unit` is what was resampled.

With `unit` localization (aggregation `published`) the interval is no bootstrap: it is the estimate
∓ three standard errors over localizations, the paper's ±. It is null where there is none.
"""

EFFECTS = pa.schema(
    [
        ("model", _string),
        ("effect", _string),
        ("condition", _string),
        ("protocol", _string),
        ("probe", _string),
        ("aggregation", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("p_value", _f64),
        ("p_holm", _f64),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""Drops (per condition) and background gaps, paired within protein.

With `unit` localization (aggregation `published`) the interval is the estimate ∓ three standard
errors of the differences within localizations. It is null, and `unit` too, where the two accuracies
are means over different localizations, as are unaltered and swapped ones.
"""

SHIFTS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("orf", _string),
        ("labels", pa.list_(_string)),
        ("jsd", _f64),
        ("tv", _f64),
        ("kl", _f64),
        ("noise_floor", _f64),
        ("p_value", _f64),
        ("q_value", _f64),
        ("top_before", _string),
        ("top_after", _string),
        ("flipped_fraction", _f64),
        ("n_cells", _int64),
    ]
)

DISTRIBUTIONS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("localization", _string),
        ("proportion", _f64),
        ("mean_probability", _f64),
        ("n_cells", _int64),
    ]
)

EXAMPLES = pa.schema(
    [
        ("protein", _string),
        ("cell", _int64),
        ("condition", _string),
        ("trial", _int64),
        ("localization", _string),
        ("labels", pa.list_(_string)),
        ("donor", _int64),
        ("donor_localization", _string),
        ("donor_protein", _string),
        ("flags", _int32),
        ("images", pa.list_(pa.binary())),
        ("offset", pa.list_(_f64)),
        ("gain", pa.list_(_f64)),
        ("outline", pa.list_(pa.list_(_f32))),
        (
            "predictions",
            pa.list_(
                pa.struct(
                    [
                        ("model", _string),
                        ("protocol", _string),
                        ("predicted", _string),
                        ("probability", _f32),
                    ]
                )
            ),
        ),
    ]
)
"""Cell × condition: one 16-bit PNG per channel (value = offset + gain × stored).

Each item of `outline` is one closed contour as x0, y0, x1, y1, … in pixels.
"""

SUMMARY_TABLES: dict[str, pa.Schema] = {
    "pairwise": PAIRWISE,
    "pair_tallies": PAIR_TALLIES,
    "accuracy": ACCURACY,
    "effects": EFFECTS,
    "shifts": SHIFTS,
    "distributions": DISTRIBUTIONS,
    "examples": EXAMPLES,
}
"""Run tables that are one Parquet file each, with their schemas."""

RUN_TABLES: dict[str, str] = {
    "cells": "cells.parquet",
    "trials": "trials/*.parquet",
    "embeddings": "embeddings/model=*/*.parquet",
    "predictions": "predictions/model=*/*.parquet",
    **{name: f"{name}.parquet" for name in SUMMARY_TABLES},
}
"""Where each table of a run directory lies, as a glob below it."""


def check_table(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Return the table in the schema's column order and types, or say what is off.

    Parameters
    ----------
    table
        What was read or is about to be written.
    schema
        What it must hold; further columns are refused.
    what
        Name for the error message: a table or a file.

    Raises
    ------
    InputError
        A column is missing, unknown, of another type, or null where it may not be.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in schema.names]
    if missing or extra:
        problem = f"{what}: " + "; ".join(
            part
            for part in (
                f"missing column(s) {', '.join(missing)}" if missing else "",
                f"unknown column(s) {', '.join(extra)}" if extra else "",
            )
            if part
        )
        raise InputError(f"{problem}.", f"Expected: {', '.join(schema.names)}.")
    try:
        checked = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(f"{what}: {error}.", f"Expected: {schema.to_string()}.") from error
    for field in schema:
        nulls = checked.column(field.name).null_count
        if not field.nullable and nulls:
            raise InputError(
                f"{what}: column {field.name!r} has {nulls} empty value(s).", "Fill or remove them."
            )
    return checked
