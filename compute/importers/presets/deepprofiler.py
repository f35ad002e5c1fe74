"""A DeepProfiler project: a table of fields, and a table of nuclei for each.

What is in it
    ``inputs/metadata/index.csv`` with `Metadata_Plate`, `Metadata_Well`, `Metadata_Site` and a path
    per channel, relative to ``inputs/images``;
    ``inputs/locations/<Plate>/<Well>-<Site>-Nuclei.csv`` with `Nuclei_Location_Center_X` and `_Y`;
    ``inputs/config/config.json`` with the channels and the column of labels (`label_field`), which
    become the classes, and of the split. A column `Outlines` names label images, as DeepProfiler's
    own masking wants them.
Publication
    Moshkov and others, "Learning representations for image-based profiling of perturbations",
    Nature Communications 15: 1594, 2024, doi:10.1038/s41467-024-45999-1.
Address
    https://github.com/cytomining/DeepProfiler
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from compute.errors import InputError
from compute.importers.cell_rows import attribute_columns
from compute.importers.field_record import CellRows, FieldListing, FieldRecord, ImageRef
from compute.importers.find_files import find_file, is_file
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import Place, find_labels
from compute.importers.presets.table import looks_like_paths
from compute.importers.tiff import CropRejected
from compute.importers.wide_table import column_names, numbers, read_columns
from compute.importers.wording import printable, short_list

_PLATE, _WELL, _SITE = "Metadata_Plate", "Metadata_Well", "Metadata_Site"

SPLITS = {"training": "train", "validation": "validation", "test": "test", "testing": "test"}
"""What splits are usually called there → what they are called here."""

OUTLINES = "Outlines"
"""Column of label images."""


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of a project.

    Parameters
    ----------
    source
        Folder of the project, or its ``inputs``.
    options
        Its `images`, `labels`, `channels` and columns; the class is ``label_field`` by default.

    Raises
    ------
    InputError
        A file or a column of the project is missing.
    """
    root = source / "inputs" if (source / "inputs").is_dir() else source
    index = root / "metadata" / "index.csv"
    columns = column_names(index)
    missing = [name for name in (_PLATE, _WELL, _SITE) if name not in columns]
    if missing:
        raise InputError(
            f"{index}: missing column(s) {', '.join(missing)}.",
            "DeepProfiler's index has Metadata_Plate, Metadata_Well and Metadata_Site.",
        )
    said = _config(root / "config" / "config.json")
    frame = read_columns(index, columns)
    channels = said.get("channels") or [
        name for name in columns if name != OUTLINES and looks_like_paths(frame[name])
    ]
    if not channels:
        raise InputError(
            f"{index}: no column of paths of images; it has {short_list(columns)}.",
            "DeepProfiler's index has a column per channel, named in config.json.",
        )
    absent = [name for name in channels if name not in columns]
    if absent:
        raise InputError(
            f"{index}: no column of paths for {', '.join(absent)} (channels of config.json); it "
            f"has {short_list(columns)}.",
            "Correct the channels of config.json, or the index.",
        )
    rest = [name for name in columns if name not in (*channels, _PLATE, _SITE, OUTLINES)]
    class_column = options.class_column or (said["label"] if said.get("label") in rest else None)
    names, notes = attribute_columns(rest, options.protein_column, class_column, index)
    # A well is no protein unless somebody says so; it names fields of which nothing else is known.
    if names.get("field") == _WELL:
        del names["field"]
    if said.get("split") in rest and "split" not in names:
        names["split"] = said["split"]
    fields, places = [], []
    for number, row in zip(frame.index, frame.to_dict("records"), strict=True):
        fields.append(_record(root, row, channels, names, options, f"{index}, row {number}"))
        stems = tuple(Path(str(row[name]).replace("\\", "/")).stem for name in channels)
        places.append(Place(stems, str(row[_PLATE]), str(row[_WELL]), str(row[_SITE])))
    name, times = Counter(one.name for one in fields).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{index}: {printable(name)} is there {times} times.", "Keep one row of each field."
        )
    if options.labels is not None:
        fields, more = find_labels(fields, places, options.labels, options.objects)
        notes += more
    return FieldListing(fields, tuple(channels), notes=tuple(notes))


def _config(path: Path) -> dict[str, Any]:
    """Return the channels, the column of labels and of the split, as far as they are said."""
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        dataset = said.get("dataset", {})
        partition = said.get("train", {}).get("partition", {})
        channels = dataset.get("images", {}).get("channels")
        if channels is not None and not (
            isinstance(channels, list) and all(isinstance(name, str) for name in channels)
        ):
            raise ValueError(f"channels are {channels!r}, not a list of names")
        return {
            "channels": channels,
            "label": dataset.get("metadata", {}).get("label_field"),
            "split": partition.get("split_field"),
        }
    except (ValueError, AttributeError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Check the project.") from error


def _record(
    root: Path,
    row: dict[Any, Any],
    channels: list[str],
    names: dict[str, str],
    options: LayoutOptions,
    where: str,
) -> FieldRecord:
    plate, well, site = (row[name] for name in (_PLATE, _WELL, _SITE))
    if not (plate and well and site):
        raise InputError(f"{where}: no plate, well or site.", "Fill the row.")
    problem: str | None = None
    images: list[ImageRef | None] = []
    folder = options.images or root / "images"
    for channel in channels:
        try:
            images.append(ImageRef(find_file(folder, str(row[channel] or ""))[0]))
        except CropRejected as rejected:
            images.append(None)
            problem = problem or f"{channel}: {rejected.reason}"
    labels = None
    if row.get(OUTLINES):
        try:
            labels = ImageRef(find_file(folder, str(row[OUTLINES]))[0])
        except CropRejected as rejected:
            problem = problem or f"{OUTLINES}: {rejected.reason}"
    cells = None
    table = root / "locations" / str(plate) / f"{well}-{site}-{options.objects or 'Nuclei'}.csv"
    if is_file(table):
        cells = _locations(table)
    elif labels is None and options.labels is None:
        # DeepProfiler takes such a field as one without cells.
        problem = problem or f"no table of locations ({printable(table.name)})"
    known = {name: row[column] for name, column in names.items()}
    split = known.get("split")
    if split is not None:
        known["split"] = SPLITS.get(split.casefold(), split)
    name = f"{plate}_{well}_s{site}"
    return FieldRecord(name, tuple(images), labels, None, cells, known, str(well), problem)


def _locations(table: Path) -> CellRows:
    columns = column_names(table)
    pairs = [
        (column, f"{column[:-1]}Y")
        for column in columns
        if column.endswith("Location_Center_X") and f"{column[:-1]}Y" in columns
    ]
    if not pairs:
        raise InputError(
            f"{table}: no columns Nuclei_Location_Center_X and _Y.", "DeepProfiler needs them too."
        )
    try:
        frame = read_columns(table, pairs[0])
    except InputError as error:
        if "no rows" in error.problem:
            return CellRows(np.zeros((0, 2)))
        raise
    centres = np.stack([numbers(frame, column, table) for column in pairs[0]], 1)
    return CellRows(centres)
