"""The plain layout: a grey image per channel and a label image, named alike; or a table of fields.

What is in it
    A grey image per channel and field, ``<field>-ch1<anything>.tiff`` (Harmony's names, such as
    ``r01c01f01p01-ch1sk1fk1fl1.tiff``: row, column, field, plane), and a label image of the same
    size, ``<field>_labeled.tiff``: 0 for background, one number per cell (or as
    `compute.importers.masks` understands it). PNG files are read too. In CycleNET's example
    (16-bit, 1080×1080): ch1 the GFP-tagged protein, ch2 a nuclear and a septin marker, ch3 a
    marker in the cytosol, called RFP here as in the other sources, so that models that read a
    cytosolic marker find it. Its label images leave out about a sixth of the cells (dim, dead,
    odd ones): see `compute.importers.cut_fields`. Localizations come from a table. A source that
    is a file is a table of fields (`compute.importers.presets.table`).
Publication
    Litsios and others, "Proteome-scale movements and compartment connectivity during the
    eukaryotic cell cycle", Cell 187: 1490, 2024, doi:10.1016/j.cell.2024.02.014.
Licence
    BSD-3-Clause (code and example fields).
Address
    https://github.com/BooneAndrewsLab/CycleNET
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from compute.errors import InputError
from compute.importers.config import FIELD_CHANNELS
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets import table
from compute.importers.text_table import printable

_ENDS = r"\.(?:tiff?|png|jpe?g|bmp|npy)"

_IMAGE = re.compile(rf"(?P<field>.+)-ch(?P<channel>\d+)(?:[a-z].*)?{_ENDS}", re.DOTALL | re.I)
_LABELS = re.compile(rf"(?P<field>.+)_labell?ed{_ENDS}", re.DOTALL | re.I)


@dataclass
class _Files:
    """The files of one field: its images by channel number, from 1, and its label image."""

    channels: dict[int, Path] = field(default_factory=dict)
    labels: Path | None = None


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of a folder, or of a table.

    Parameters
    ----------
    source
        Folder of the fields' images, or a table of fields.
    options
        Its `labels`: folder of the label images, if another.

    Returns
    -------
    FieldListing
        Files that belong to no field come first, with the reason.

    Raises
    ------
    InputError
        There is no such folder, or no field with a label image.
    """
    if source.is_file():
        return table.list_fields(source, options)
    files, unplaced = _find(source, options.labels)
    wanted = len(options.channels or FIELD_CHANNELS)
    fields = [FieldRecord(name, problem=reason) for name, reason in unplaced]
    for name, item in files.items():
        images = tuple(
            ImageRef(item.channels[n]) if n in item.channels else None for n in range(1, wanted + 1)
        )
        missing = [f"ch{n}" for n, ref in enumerate(images, 1) if ref is None]
        problem = f"a field without its image of {', '.join(missing)}" if missing else None
        if item.labels is None and problem is None:
            problem = "a field without a label image"
        labels = None if item.labels is None else ImageRef(item.labels)
        fields.append(FieldRecord(name, images, labels, problem=problem))
    return FieldListing(fields, None, usual=FIELD_CHANNELS)


def _find(source: Path, labels: Path | None) -> tuple[dict[str, _Files], list[tuple[str, str]]]:
    """Return the fields with their files, and the images that belong to none, with reasons."""
    fields: dict[str, _Files] = {}
    unplaced = []
    twice = "a second file for the same field and channel"
    folders = [source] if labels is None or labels == source else [source, labels]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder.", "Give the folder that holds fields.")
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    # TIFFs first: images of other formats beside them are often previews, and left aside.
    for tiff, path in [(True, path) for path in paths] + [(False, path) for path in paths]:
        name = path.name
        if name.startswith(".") or (path.suffix.lower() in (".tif", ".tiff")) != tiff:
            continue
        if match := _LABELS.fullmatch(name):
            item = fields.setdefault(match["field"], _Files())
            if item.labels is not None and tiff:
                unplaced.append((printable(name), twice))
            item.labels = item.labels or path
        elif match := _IMAGE.fullmatch(name):
            item = fields.setdefault(match["field"], _Files())
            if int(match["channel"]) in item.channels and tiff:
                unplaced.append((printable(name), twice))
            item.channels.setdefault(int(match["channel"]), path)
        elif tiff:
            reason = "a name that is neither <field>-ch<n> nor <field>_labeled"
            unplaced.append((printable(name), reason))
    if not any(item.labels for item in fields.values()):
        raise InputError(
            f"{source}: no field with a label image found.",
            "Expected <field>-ch1….tiff, <field>-ch2….tiff and <field>_labeled.tiff (or .png, "
            ".jpg, .bmp, .npy); label images may be in another folder (--labels). Other layouts "
            "have importers of their own: bystander import --help.",
        )
    return dict(sorted(fields.items())), unplaced
