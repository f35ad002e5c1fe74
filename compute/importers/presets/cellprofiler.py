"""CellProfiler's tables: which image is which channel, and where every object is.

What is in it
    ``Image.csv`` with ``FileName_<channel>`` and ``PathName_<channel>`` (folders of the computer
    that it ran on), and ``Cells.csv`` or ``Nuclei.csv`` with a row per object, joined by
    `ImageNumber`; any word may stand before these names (``MyExpt_Image.csv``). Or one table of
    CytoTable or pycytominer (Parquet or CSV), where these columns begin with ``Image_``, ``Cells_``
    and ``Nuclei_``. Label images, masks or outlines are in a folder of their own; without them
    cells are segmented around the objects' centres.
Publication
    Stirling and others, "CellProfiler 4", BMC Bioinformatics 22: 433, 2021,
    doi:10.1186/s12859-021-04344-9.
Address
    https://cellprofiler.org, https://github.com/cytomining/CytoTable
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.cell_rows import attribute_columns, cell_rows
from compute.importers.field_record import ATTRIBUTES, FieldListing, FieldRecord, ImageRef
from compute.importers.find_files import is_file
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import Place, find_labels, image_files
from compute.importers.wide_table import column_names, numbers, read_columns
from compute.importers.wording import printable, short_list

OBJECTS = ("Nuclei", "Cells")
"""Objects whose centres are taken, the first that are there: the middle of a nucleus lies in it."""

SEARCHED = 4
"""Folders of another computer's path, from its end, that are looked for below the images'."""

_NO_CHANNEL = re.compile(r"(?i)illum|outline|overlay|mask|label|segment")
"""Names of images that are no channels."""

_CENTRES = ("Location_Center_{}", "AreaShape_Center_{}")


@dataclass(frozen=True)
class _Tables:
    """A row per object, its columns by plain names, and the path for messages.

    `files` has a channel's name → its columns of file and folder.
    """

    frame: pd.DataFrame
    path: Path
    files: dict[str, tuple[str, str | None]]
    objects: str | None


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of an analysis.

    Parameters
    ----------
    source
        Folder of the tables, or one table.
    options
        Its `images`, `labels`, `objects`, `channels` and columns.

    Raises
    ------
    InputError
        Tables or columns are missing, no image is found, or there are neither centres nor labels.
    """
    tables = _of_folder(source, options) if source.is_dir() else _of_table(source, options)
    root = options.images or (source if source.is_dir() else source.parent)
    found = _Images(root)
    channels, notes = _channels(tables, found, options)
    metadata = _metadata(tables.frame)
    names, said = attribute_columns(
        metadata, options.protein_column, options.class_column, tables.path
    )
    places = {word: _place_column(metadata, word) for word in ("Plate", "Well", "Site")}
    fields, by = [], []
    # Files of two fields may be called alike, in folders of their own.
    columns = [column for name in channels.values() for column in tables.files[name] if column]
    for _, rows in tables.frame.groupby(columns, sort=False, dropna=False):
        record, place = _record(rows, tables, channels, found, names, places)
        fields.append(record)
        by.append(place)
    _check_names(fields, tables.path)
    notes += said
    if options.labels is not None:
        fields, more = find_labels(fields, by, options.labels, options.objects)
        notes += more
    elif tables.objects is None:
        raise InputError(
            f"{printable(tables.path)}: no centres of objects (Nuclei_Location_Center_X, …), and "
            "no label images.",
            "Give Cells.csv or Nuclei.csv beside Image.csv, or label images (--labels).",
        )
    fields = [
        replace(one, problem=one.problem or "a field without a label image")
        if options.labels is not None and one.labels is None
        else one
        for one in fields
    ]
    return FieldListing(fields, tuple(channels), notes=tuple(notes))


def _of_folder(source: Path, options: LayoutOptions) -> _Tables:
    """Join Image.csv with a table of objects."""
    image = _one_table(source, "Image")
    if image is None:
        names = short_list(sorted(printable(path.name) for path in source.iterdir()), 5)
        raise InputError(
            f"{printable(source)}: no table called Image.csv; it holds {names or 'nothing'}.",
            "Give the folder of CellProfiler's tables, or one table of CytoTable.",
        )
    columns = column_names(image)
    wanted = [name for name in columns if _of_images(name)]
    if "ImageNumber" not in columns:
        raise InputError(f"{image}: no column ImageNumber.", "Export it with CellProfiler.")
    frame = read_columns(image, ["ImageNumber", *wanted])
    objects, path = None, image
    for name in (options.objects,) if options.objects else OBJECTS:
        table = _one_table(source, name)
        if table is None:
            continue
        own = column_names(table)
        taken = ["ImageNumber", *_object_columns(own, ""), *(c for c in own if _is_metadata(c))]
        cells = read_columns(table, [c for c in taken if c in own])
        shared = [c for c in cells.columns if c in frame.columns and c != "ImageNumber"]
        joined = frame.merge(cells.drop(columns=shared), on="ImageNumber", how="left")
        spare = set(cells["ImageNumber"]) - set(frame["ImageNumber"])
        if spare:
            raise InputError(
                f"{table}: {len(spare)} ImageNumber(s) of it are not in {image.name}, such as "
                f"{sorted(map(str, spare))[0]}.",
                "Give the tables of one analysis.",
            )
        frame, objects, path = joined, name, table
        break
    if options.objects and objects is None:
        raise InputError(
            f"{printable(source)}: no table called {options.objects}.csv.",
            "Name objects that CellProfiler has exported (--objects).",
        )
    return _Tables(frame, path, _file_columns(columns, ""), objects)


def _of_table(source: Path, options: LayoutOptions) -> _Tables:
    """Read one table that has images and objects."""
    columns = column_names(source)
    files = _file_columns(columns, "Image_") or _file_columns(columns, "")
    if not files:
        raise InputError(
            f"{printable(source)}: no columns FileName_<channel> or Image_FileName_<channel>; it "
            f"has {short_list([printable(name) for name in columns], 5)}.",
            "Keep the image columns when profiles are made (CytoTable joins them).",
        )
    plain: dict[str, str] = {}
    objects = None
    for name in (options.objects,) if options.objects else OBJECTS:
        own = _object_columns(columns, f"{name}_")
        if any("Center" in column for column in own):
            objects = name
            plain = {column: _without(column, name) for column in own}
            break
    if options.objects and objects is None:
        raise InputError(
            f"{printable(source)}: no column {options.objects}_Location_Center_X.",
            f"Name objects that the table has (--objects), such as {', '.join(OBJECTS)}.",
        )
    metadata = [column for column in columns if _is_metadata(column)]
    taken = [*plain, *metadata, *(column for pair in files.values() for column in pair if column)]
    frame = read_columns(source, taken).rename(columns=plain)
    return _Tables(frame, source, files, objects)


def _one_table(folder: Path, name: str) -> Path | None:
    """Return the table of a name that any word may stand before; None where there is none."""
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in (".csv", ".parquet")
        and re.fullmatch(rf"(?i)(.*_)?{re.escape(name)}", path.stem)
    )
    if len(paths) > 1:
        raise InputError(
            f"{printable(folder)}: several tables of {name}: "
            f"{short_list([printable(path.name) for path in paths], 5)}.",
            "Give a folder with one analysis.",
        )
    return paths[0] if paths else None


def _of_images(column: str) -> bool:
    return bool(re.match(r"(FileName|PathName)_", column)) or _is_metadata(column)


def _is_metadata(column: str) -> bool:
    return bool(re.match(r"(Image_)?Metadata_", column))


def _object_columns(columns: list[str], prefix: str) -> list[str]:
    wanted = [prefix + name.format(axis) for name in _CENTRES for axis in "XY"]
    return [column for column in wanted if column in columns]


def _without(column: str, objects: str) -> str:
    return re.sub(rf"^(Metadata_)?{re.escape(objects)}_", "", column)


def _file_columns(columns: list[str], prefix: str) -> dict[str, tuple[str, str | None]]:
    """Return each image's name → its columns of file and folder."""
    start = f"{prefix}FileName_"
    names = [column.removeprefix(start) for column in columns if column.startswith(start)]
    folder = f"{prefix}PathName_"
    return {
        name: (start + name, folder + name if folder + name in columns else None) for name in names
    }


def _metadata(frame: pd.DataFrame) -> list[str]:
    """Return the columns of metadata, of equal ones that a merge has left the first only."""
    columns = [str(column) for column in frame.columns if _is_metadata(str(column))]
    return [
        column
        for column in columns
        if not (column.endswith("_y") and f"{column[:-2]}_x" in columns)
    ]


def _place_column(metadata: list[str], word: str) -> str | None:
    pattern = re.compile(rf"(?i)(Image_)?Metadata_{word}(_x)?")
    return next((column for column in metadata if pattern.fullmatch(column)), None)


def _channels(
    tables: _Tables, found: "_Images", options: LayoutOptions
) -> tuple[dict[str, str], list[str]]:
    """Return channel → name of its columns, for images that are there and no by-products."""
    asked = [entry.partition("=")[2] or entry for entry in options.channels or ()]
    names = list(tables.files)
    # CellProfiler's usual pipelines call the images as they were taken OrigDNA and so on.
    plain = {name: name if name in asked else name.removeprefix("Orig") for name in names}
    if len(set(plain.values())) < len(names):
        plain = {name: name for name in names}
    there, notes = [], []
    for name in names:
        if (
            plain[name] in asked
            or name in asked
            or (not _NO_CHANNEL.search(name) and _any_there(tables, name, found))
        ):
            there.append(name)
    if not there:
        first = tables.frame[tables.files[names[0]][0]].dropna()
        raise InputError(
            f"{printable(found.root)}: none of the table's images is there, such as "
            f"{printable(first.iloc[0]) if len(first) else 'none'}.",
            "Give the folder that holds them (--images).",
        )
    channels = {plain[name]: name for name in there}
    left = [name for name in names if name not in there]
    if left:
        notes.append(
            f"Not channels, or not there: {short_list(left)} (images that the table names too)."
        )
    return channels, notes


def _any_there(tables: _Tables, name: str, found: "_Images") -> bool:
    """Whether one of the images of this name is there; a few of them are looked for."""
    file, folder = tables.files[name]
    columns = [file, *([folder] if folder else [])]
    rows = tables.frame[columns].drop_duplicates().dropna(subset=[file])
    step = max(1, len(rows) // 50)
    return any(
        found.find(str(row[0]), str(row[1]) if len(row) > 1 and row[1] else None) is not None
        for row in rows.iloc[::step].itertuples(index=False, name=None)
    )


def _record(
    rows: pd.DataFrame,
    tables: _Tables,
    channels: Mapping[str, str],
    found: "_Images",
    names: Mapping[str, str],
    places: Mapping[str, str | None],
) -> tuple[FieldRecord, Place]:
    first = rows.iloc[0]
    images: list[ImageRef | None] = []
    problem = None
    stems = []
    for channel, name in channels.items():
        file, folder = tables.files[name]
        text = first[file]
        path = None if text is None else found.find(str(text), first[folder] if folder else None)
        images.append(None if path is None else ImageRef(path))
        stems += [Path(str(text).replace("\\", "/")).stem] if text else []
        if path is None and problem is None:
            problem = f"no image of {channel} where the table says"
    plate, well, site = (
        str(first[column]) if column and first[column] is not None else ""
        for column in places.values()
    )
    name = "_".join(part for part in (plate, well, f"s{site}" if site else "") if part)
    name = name if well and site else stems[0] if stems else f"row {rows.index[0]}"
    cells, known = None, {name: first[column] for name, column in names.items()}
    if tables.objects is not None:
        centres = _centres(rows, tables.path)
        # Objects are known by their places: nuclei and cells have numbers of their own.
        if np.isfinite(centres).any():
            cells, known = cell_rows(rows, names, centres, None)
        elif problem is None:
            problem = "a field without objects in the table"
    known = {key: value for key, value in known.items() if key in ATTRIBUTES}
    record = FieldRecord(
        name, tuple(images), cells=cells, known=known, well=well or None, problem=problem
    )
    return record, Place(tuple(stems), plate, well, site)


def _centres(rows: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    """Return x and y of a field's objects, NaN where none is, shape (n, 2)."""
    for form in _CENTRES:
        if {form.format("X"), form.format("Y")} <= set(rows.columns):
            return np.stack([numbers(rows, form.format(axis), path) for axis in "XY"], 1)
    raise InputError(f"{path}: no columns Location_Center_X and _Y.", "Export with CellProfiler.")


def _check_names(fields: list[FieldRecord], path: Path) -> None:
    names: dict[str, Any] = {}
    for record in fields:
        if record.name in names:
            raise InputError(
                f"{path}: two fields are called {printable(record.name)} and have other images.",
                "Do plate, well and site name one field? Import the plates one by one.",
            )
        names[record.name] = record


class _Images:
    """Finds images of another computer's paths below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None
        if not root.is_dir():
            raise InputError(f"{printable(root)}: no such folder.", "Give it with --images.")

    def find(self, file: str, folder: str | None) -> Path | None:
        """Return the file below the root, or as the table says; None where there is none."""
        names = [part for part in file.replace("\\", "/").split("/") if part not in ("", ".")]
        if not names or ".." in names:
            return None
        above = [
            p for p in (folder or "").replace("\\", "/").split("/") if p not in ("", ".", "..")
        ]
        for depth in range(min(SEARCHED, len(above)), -1, -1):
            path = self.root.joinpath(*above[len(above) - depth :], *names)
            if is_file(path):
                return path
        if self._by_name is None:
            self._by_name = {}
            for path in image_files(self.root, nested=True):
                self._by_name.setdefault(path.name, []).append(path)
        same = self._by_name.get(names[-1], [])
        return same[0] if len(same) == 1 else None
