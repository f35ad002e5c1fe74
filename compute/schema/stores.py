"""Columns of the tables of a crop store. No torch."""

import pyarrow as pa

_string, _int64, _int32, _f32 = pa.string(), pa.int64(), pa.int32(), pa.float32()


def cells_schema() -> pa.Schema:
    """Return the columns of `cells`: a row per cell.

    `labels` has every localization of its protein, `localization` the only one, or null.
    `mask_area` is in pixels; `neighbour_fraction` is the share of the crop that other cells cover.
    """
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
    """Return the columns of `crops`: a row per cell, in the order of `cells`.

    `image` has the pixels, C×H×W in the store's dtype; `mask` (the centre cell) and `foreground`
    (every cell) are packed bits, H×W of them.

    Parameters
    ----------
    channels
        Number of channels.
    size
        Side of a crop, pixels.
    itemsize
        Bytes per value.
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
    """Return the columns of `windows`: a row per window without cells.

    `filled` says whether cells were replaced by medium. Parameters are those of `crops_schema`.
    """
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
    """Return the columns of `truth`: a row per simulated cell and localization of its protein."""
    return pa.schema([("cell", _int64), ("localization", _string), ("proportion", _f32)])
