"""Fields that a table lists: a row per field, or per cell with its place.

What is in it
    CSV, Parquet or Excel with a column of paths per channel (a grey image each), or one column
    `path` (files with every channel), relative to the table's folder. Optional columns: `labels`
    (label image, mask or outlines of the cells), `nuclei` (of their nuclei, which separate cells
    that touch), `x` and `y` (the centre of a cell, pixels: then a row is a cell) or `label` (its
    number in the label image), `field`, `plate`, `well`, `site`, `protein`, `localization`, `orf`,
    `replicate`, `split`. Columns are known by any case and by common other names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from compute.errors import InputError
from compute.importers.cell_rows import LABEL, X, Y, attribute_columns, table_rows
from compute.importers.columns import match_columns, nearest
from compute.importers.field_record import ATTRIBUTES, FieldListing, FieldRecord, ImageRef
from compute.importers.find_files import find_file
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import ENDINGS
from compute.importers.presets.ome_tiff import Said, channels_of
from compute.importers.text_table import read_rows
from compute.importers.tiff import CropRejected
from compute.importers.wording import printable, short_list

PATH, LABELS, NUCLEI = "path", "labels", "nuclei"

PLACES = ("plate", "well", "site")

_FILE_WORDS = ("path", "file", "filename", "name", "image", "url")
"""Words around a channel's name in the name of a column of its images."""


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of a table.

    Parameters
    ----------
    source
        The table.
    options
        Its `images` (folder in which relative paths start), `channels` and columns.

    Raises
    ------
    InputError
        No column holds paths of images, or a row names none.
    """
    notes: list[str] = []
    named = [column for column in (options.protein_column, options.class_column) if column]
    known = ("field", LABELS, NUCLEI, X, Y, LABEL, *PLACES, *ATTRIBUTES, *named)
    frame = read_rows(source, (), known, notes)
    notes = [note for note in notes if "not used" not in note]
    channels, columns = _channel_columns(source, frame, known, options)
    left = [c for c in frame.columns if c not in (*columns, LABELS, NUCLEI, X, Y, LABEL, "field")]
    names, said = attribute_columns(left, options.protein_column, options.class_column, source)
    notes += [note for note in said if not any(note in other for other in notes)]
    root = options.images or source.parent
    per_cell = {X, Y} <= set(frame.columns) or LABEL in frame.columns
    fields = []
    keys = [*columns, *(c for c in (LABELS,) if c in frame.columns)]
    for _, rows in frame.groupby(keys, sort=False, dropna=False):
        fields += [
            _record(some, root, columns, names, source, whole=channels is None, per_cell=per_cell)
            for some in ([rows] if per_cell else [rows.iloc[[n]] for n in range(len(rows))])
        ]
    # Two rows about the same images are two fields only where they are called otherwise.
    seen: set[str] = set()
    for record in fields:
        if record.name in seen:
            raise InputError(
                f"{source}: two fields are called {printable(record.name)}.",
                "Give every field its own name in a column `field`.",
            )
        seen.add(record.name)
    own: Said | None = None
    if channels is None:
        first = next((one.images[0] for one in fields if one.images[0] is not None), None)
        own = None if first is None else channels_of(first.path)
    return FieldListing(
        fields,
        channels if own is None else own.names,
        count=len(channels or ()) if own is None else own.count,
        pixel_size=None if own is None else own.pixel_size,
        notes=tuple(notes),
    )


def _channel_columns(
    source: Path, frame: pd.DataFrame, known: tuple[str, ...], options: LayoutOptions
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the channels' names, None where one file has all, and the columns of their paths."""
    columns = list(frame.columns)
    asked = [entry.partition("=")[2] or entry for entry in options.channels or ()]
    found, _ = match_columns([c for c in columns if c not in known], [PATH], asked)
    by_name = {name: column for column, name in found.items()}
    if asked and all(name in by_name for name in asked):
        return tuple(asked), [by_name[name] for name in asked]
    if PATH in by_name:
        return None, [by_name[PATH]]
    free = [column for column in columns if column not in known]
    paths = [column for column in free if looks_like_paths(frame[column])]
    if asked or not paths:
        raise InputError(
            f"{source}: no column of paths for {', '.join(asked) or 'any channel'}; it has "
            f"{short_list([printable(c) for c in columns], 20)}.{nearest(asked, columns)}",
            "Give a column of paths per channel, or one called `path` for files with every channel "
            "(and --channels for their names).",
        )
    return tuple(_channel_name(column) for column in paths), paths


def looks_like_paths(values: "pd.Series[Any]") -> bool:
    """Whether every value of a column of texts is called like an image file."""
    there = values.dropna()
    return len(there) > 0 and bool(there.str.casefold().str.endswith(ENDINGS).all())


def _channel_name(column: str) -> str:
    """Return a channel's name from that of its column: ``path_DNA`` and ``DNA file`` are DNA."""
    words = column.replace("_", " ").replace("-", " ").split()
    left = [word for word in words if word.casefold() not in _FILE_WORDS]
    return "_".join(left) if left and len(left) < len(words) else column


def _record(
    rows: pd.DataFrame,
    root: Path,
    columns: list[str],
    names: Mapping[str, str],
    source: Path,
    *,
    whole: bool,
    per_cell: bool,
) -> FieldRecord:
    """Return a field from its rows; what is wrong with its files becomes its problem.

    `whole` is for a file with every channel, `per_cell` for rows that are cells.
    """
    if "field" in rows and rows["field"].nunique(dropna=False) > 1:
        called = short_list([printable(name) for name in rows["field"].unique()], 3)
        raise InputError(
            f"{source}, row {rows.index[0]} on: rows with the same images are of several fields, "
            f"{called}.",
            "Call a field by one name in all rows.",
        )
    first = rows.iloc[0]
    texts = {name: first[name] for name in rows.columns}
    name = _name(texts, columns)
    problem = None
    images: list[ImageRef | None] = []
    for column in columns:
        ref, why = _find(root, texts[column], column)
        if ref is not None and whole:
            ref = ImageRef(ref.path, planes=())
        images.append(ref)
        problem = problem or why
    labels = nuclei = None
    if texts.get(LABELS):
        labels, why = _find(root, texts[LABELS], LABELS)
        problem = problem or why
    if texts.get(NUCLEI):
        nuclei, why = _find(root, texts[NUCLEI], NUCLEI)
        problem = problem or why
    cells = None
    known = {name: first[column] for name, column in names.items()}
    if per_cell:
        cells, known = table_rows(rows, names, source)
    elif labels is None and problem is None:
        problem = "a field without a label image or centres of cells"
    well = texts.get("well")
    return FieldRecord(name, tuple(images), labels, nuclei, cells, known, well, problem)


def _name(texts: Mapping[str, str | None], columns: list[str]) -> str:
    if texts.get("field"):
        return str(texts["field"])
    places = [str(texts[place]) for place in PLACES if texts.get(place)]
    if texts.get("well") and texts.get("site"):
        return "_".join(places)
    return Path(str(texts[columns[0]]).replace("\\", "/")).stem


def _find(root: Path, text: str | None, column: str) -> tuple[ImageRef | None, str | None]:
    if not text:
        return None, f"a field without a path in column {column}"
    try:
        return ImageRef(find_file(root, text)[0]), None
    except CropRejected as rejected:
        return None, f"{column}: {rejected.reason}"
