"""Crops of cytoself: arrays of NumPy with a table of labels.

What is in it
    Either ``<protein>_pro.npy`` and ``<protein>_nuc.npy``, shape (cells, H, W), for each protein
    (its ``_label.npy`` holds Python objects and is never opened: localizations come from a table);
    or ``Image_data00.npy`` and so on, shape (cells, H, W, 4), channels last: the protein, the
    nucleus, the distance from it (no image) and its segmentation, with ``Label_data00.csv``, a row
    per cell. There are no masks of cells: they are found around the nuclei, where protein or
    nucleus are brighter than the rest, and counted as found.
Publication
    Kobayashi and others, "Self-supervised deep learning encodes high-resolution features of protein
    subcellular localization", Nature Methods 19: 995, 2022, doi:10.1038/s41592-022-01541-z.
Address
    https://github.com/royerlab/cytoself
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.array_record import ArrayListing, ArrayRecord, CropArrays
from compute.importers.cell_rows import attribute_columns, cell_rows
from compute.importers.cut_fields import find_nuclei
from compute.importers.field_record import CellRows
from compute.importers.layout import LayoutOptions
from compute.importers.wide_table import column_names, read_columns
from compute.importers.wording import printable, short_list

CHANNELS = ("pro", "nuc")

PROTEIN, NUCLEUS, SEGMENTATION = 0, 1, 3
"""Planes of the numbered files; plane 2 is a distance."""

_NUMBERED = re.compile(r"Image_data(\d+)", re.I)

FIELD = "FOV_id"
"""Column of the image that a crop is from."""


def list_crops(source: Path, options: LayoutOptions) -> ArrayListing:
    """List the crops of a folder.

    Parameters
    ----------
    source
        The folder.
    options
        Columns of its tables; the protein is `name`, the localization `loc_grade1` by default.

    Raises
    ------
    InputError
        There is no such file, a table is missing or has another number of rows, or crops differ in
        size.
    """
    if not source.is_dir():
        raise InputError(f"{printable(source)}: no such folder.", "Check the path.")
    files = sorted(path for path in source.iterdir() if path.suffix == ".npy")
    numbered = [path for path in files if _NUMBERED.fullmatch(path.stem)]
    proteins = [path for path in files if path.stem.endswith("_pro")]
    if numbered:
        records, notes = _numbered(numbered, options)
    elif proteins:
        records, notes = _per_protein(proteins)
    else:
        raise InputError(
            f"{printable(source)}: neither <protein>_pro.npy nor Image_data00.npy; it holds "
            f"{short_list([printable(path.name) for path in files], 5) or 'no .npy file'}.",
            "Give the folder of cytoself's arrays.",
        )
    sizes = {_open(record.files[0]).shape[1:3] for record in records}
    if len(sizes) > 1 or len(set(next(iter(sizes)))) > 1:
        shown = ", ".join(f"{h}×{w}" for h, w in sorted(sizes))
        raise InputError(f"{printable(source)}: crops of {shown}.", "Give squares of one size.")
    return ArrayListing(
        tuple(records), CHANNELS, int(next(iter(sizes))[0]), read_crops, tuple(notes)
    )


def read_crops(record: ArrayRecord, start: int, stop: int) -> CropArrays:
    """Read the crops from `start` to `stop`, with their nuclei."""
    if len(record.files) == 2:
        values = np.stack([_open(path)[start:stop] for path in record.files], 1)
        images = np.ascontiguousarray(values)
        nuclei = np.stack([_nucleus(crop[NUCLEUS]) for crop in images])
    else:
        whole = _open(record.files[0])[start:stop]
        images = np.ascontiguousarray(np.moveaxis(whole[..., [PROTEIN, NUCLEUS]], -1, 1))
        nuclei = np.asarray(whole[..., SEGMENTATION] > 0)
    return CropArrays(images, None, nuclei)


def _nucleus(channel: NDArray[Any]) -> NDArray[np.bool_]:
    if not np.isfinite(channel).all() or channel.min() == channel.max():
        return np.zeros(channel.shape, bool)
    return find_nuclei(channel)


def _open(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged header fails in every way there is.
    except Exception as error:
        raise InputError(f"{path} cannot be read: {error}.", "Give an array of numbers.") from error
    if array.ndim not in (3, 4) or array.dtype.kind not in "uif" or array.size == 0:
        raise InputError(
            f"{path} is {'×'.join(map(str, array.shape))} of {array.dtype}.",
            "Expected cells, rows and columns (and 4 channels).",
        )
    return np.asarray(array)


def _per_protein(paths: list[Path]) -> tuple[list[ArrayRecord], list[str]]:
    records = []
    for path in paths:
        protein = path.stem.removesuffix("_pro")
        partner = path.with_name(f"{protein}_nuc.npy")
        if not partner.is_file():
            raise InputError(f"{path} has no {partner.name} beside it.", "Give both channels.")
        shape, other = _open(path).shape, _open(partner).shape
        if shape != other or len(shape) != 3:
            raise InputError(f"{path} is {shape}, {partner.name} {other}.", "They must be alike.")
        numbers = np.arange(shape[0])
        fields = np.full(shape[0], protein, object)
        records.append(
            ArrayRecord(
                protein,
                (path, partner),
                shape[0],
                (PROTEIN, NUCLEUS),
                CellRows(numbers=numbers),
                fields,
                {"protein": protein},
            )
        )
    return records, [
        "The files do not say which image a crop is from: all of a protein count as one field, and "
        "_label.npy, which holds Python objects, is not opened."
    ]


def _numbered(paths: list[Path], options: LayoutOptions) -> tuple[list[ArrayRecord], list[str]]:
    records: list[ArrayRecord] = []
    notes: list[str] = []
    before: list[str] | None = None
    for path in paths:
        table = path.with_name(re.sub("(?i)^Image", "Label", path.stem) + ".csv")
        columns = column_names(table)
        if before is not None and set(columns) != set(before):
            raise InputError(
                f"{printable(table)} has the columns {short_list(columns, 10)}; another table of "
                f"labels has {short_list(before, 10)}.",
                "Give all tables of labels the same columns.",
            )
        before = columns
        frame = read_columns(table, columns)
        shape = _open(path).shape
        if len(shape) != 4 or shape[3] <= SEGMENTATION or len(frame) != shape[0]:
            raise InputError(
                f"{path} is {'×'.join(map(str, shape))}, {table.name} has {len(frame)} rows.",
                "Expected cells, rows, columns and 4 channels, and a row per cell.",
            )
        protein = options.protein_column or ("name" if "name" in columns else None)
        place = options.class_column or ("loc_grade1" if "loc_grade1" in columns else None)
        names, said = attribute_columns(columns, protein, place, table)
        notes += [note for note in said if note not in notes]
        rows, known = cell_rows(frame, names, None, np.arange(shape[0]))
        fields = (
            frame[FIELD].fillna(path.stem).to_numpy(object)
            if FIELD in frame
            else np.full(shape[0], path.stem, object)
        )
        records.append(
            ArrayRecord(path.stem, (path,), shape[0], (PROTEIN, NUCLEUS), rows, fields, known)
        )
    return records, notes
