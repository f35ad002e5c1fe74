"""Columns and words of exported crops: what another program reads and answers to. No torch."""

from enum import StrEnum

import pyarrow as pa

EXPORT_VERSION = 1
"""Written to `export.json`; exports of another version are refused when answers come back."""

OWN_READING = "trial"
"""Says in column `reading` that a crop is the trial as the run composes it."""


class ExportFormat(StrEnum):
    """The formats that crops are exported in."""

    OME_ZARR = "ome-zarr"
    OME_TIFF = "ome-tiff"
    H5SC = "h5sc"


EXPORT_FORMATS: dict[ExportFormat, str] = {
    ExportFormat.OME_ZARR: "one OME-Zarr 0.5 array of crops × channels × rows × columns",
    ExportFormat.OME_TIFF: "OME-TIFF, a file for every 64 cells, axes TCYX",
    ExportFormat.H5SC: "scPortrait's HDF5 file of single cells, the mask before the channels",
}


def exported_schema() -> pa.Schema:
    """Return the columns of an export's `trials`: a row per crop, in the order of the pixels.

    `row` counts the crops from 0; `file` is the file or folder, beside the table, that holds the
    crop at `place` along its first axis, from 0. `key` is 16 hexadecimal digits that no other crop
    has, nor the same one of another store or of other settings: what comes back with it is known to
    belong here. `reading` is `OWN_READING`, or the `Reading` that needs another crop of the same
    trial, which is ``centre``. `trial`, `cell`, `condition`, `donor`, `donor_localization` (the
    background class) and `repeat` are those of a run's `trials`.
    """
    return pa.schema(
        [
            pa.field("row", pa.int64(), nullable=False),
            pa.field("file", pa.string(), nullable=False),
            pa.field("place", pa.int64(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("reading", pa.string(), nullable=False),
            pa.field("trial", pa.int64(), nullable=False),
            pa.field("cell", pa.int64(), nullable=False),
            pa.field("condition", pa.string(), nullable=False),
            ("donor", pa.int64()),
            ("donor_localization", pa.string()),
            pa.field("repeat", pa.int16(), nullable=False),
        ]
    )
