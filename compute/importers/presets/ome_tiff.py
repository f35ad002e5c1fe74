"""Images with all channels in one file, whose names and pixel size the file may say.

What is in it
    OME-TIFF (names and sizes in its XML), ImageJ hyperstacks (names in its labels), or bare TIFFs
    of several pages, of which the reader must say what the pages are (``--channels``). A label
    image beside each is called after it: ``<image>_labels.tif``.
Publication
    Goldberg and others, "The Open Microscopy Environment (OME) Data Model and XML file", Genome
    Biology 6: R47, 2005, doi:10.1186/gb-2005-6-5-r47.
Address
    https://docs.openmicroscopy.org/ome-model/latest/ome-tiff
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import tifffile

from compute.errors import InputError
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import Place, find_labels, image_files
from compute.importers.read_images import CropRejected, read_planes
from compute.importers.wording import printable

_LABELS = re.compile(r"(?i)\w*labels?|\w*masks?|labell?ed|segmentation")
"""What stands behind the image's name in that of its label image."""

_UNITS = {"µm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}
"""Unit of length → micrometres."""

_MOST_XML = 50_000_000
"""Characters of a description beyond which it is not parsed."""


@dataclass(frozen=True)
class Said:
    """What a file says of its channels: their names (None if it does not), number, pixel size."""

    names: tuple[str, ...] | None
    count: int
    pixel_size: float | None


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the images of a folder, or the one that is given.

    Parameters
    ----------
    source
        A file, or a folder of them.
    options
        Its `labels` (folder of the label images, if another) and `objects`.

    Raises
    ------
    InputError
        There is no image or no label image, or images name other channels than the first one.
    """
    files = [source] if source.is_file() else image_files(source)
    images = [path for path in files if not _is_labels(path, files)]
    if not images:
        raise InputError(f"{printable(source)}: no image.", "Give a TIFF, or a folder of them.")
    fields, places, said = [], [], []
    for path in images:
        name = re.sub(r"(?i)\.ome$", "", path.stem)
        fields.append(FieldRecord(name, (ImageRef(path, planes=()),)))
        places.append(Place((path.stem, name)))
        said.append(channels_of(path))
    first = next((one for one in said if one is not None), None)
    checked = [_checked(record, own, first) for record, own in zip(fields, said, strict=True)]
    folder = options.labels or (source.parent if source.is_file() else source)
    labelled, notes = find_labels(checked, places, folder, options.objects)
    if source.is_file():
        notes = []
    labelled = [
        FieldRecord(one.name, one.images, problem=one.problem or "an image without a label image")
        if one.labels is None
        else one
        for one in labelled
    ]
    return FieldListing(
        labelled,
        first.names if first else None,
        count=first.count if first else 0,
        pixel_size=first.pixel_size if first else None,
        notes=tuple(notes),
    )


def channels_of(path: Path) -> Said | None:
    """Return what a file says of its channels; None where it cannot be read."""
    try:
        if path.suffix.lower() not in (".tif", ".tiff"):
            return Said(None, len(read_planes(path).pixels), None)
        with tifffile.TiffFile(path, is_ome=False) as file:
            description = str(file.pages.first.description)
            if "<OME" in description[:2000] and len(description) < _MOST_XML:
                return _of_ome(description)
            imagej = file.imagej_metadata
        count = len(read_planes(path).pixels)
        if not imagej:
            return Said(None, count, None)
        labels = imagej.get("Labels")
        names = tuple(map(str, labels)) if labels and len(labels) == count else None
        if names is not None and len(set(names)) < len(names):
            names = None
        return Said(names, count, _imagej_size(path, str(imagej.get("unit", ""))))
    except CropRejected:
        return None
    # Decoders of a damaged file fail in every way there is; reading it will say how.
    except Exception:
        return None


def _is_labels(path: Path, files: list[Path]) -> bool:
    stems = {re.sub(r"(?i)\.ome$", "", other.stem) for other in files if other != path}
    return any(
        path.stem[: cut.start()] in stems and _LABELS.fullmatch(path.stem[cut.end() :])
        for cut in re.finditer(r"[_\-. ]", path.stem)
    )


def _checked(record: FieldRecord, own: Said | None, first: Said | None) -> FieldRecord:
    if own is None or first is None or own.names == first.names:
        return record
    names = ", ".join(own.names) if own.names else "without names"
    problem = f"other channels than the first image ({printable(names)})"
    return FieldRecord(record.name, record.images, problem=problem)


def _of_ome(description: str) -> Said | None:
    # Entities could expand without end; OME-XML declares none.
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        return None
    root = ElementTree.fromstring(description.encode("utf-8"))
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    names = [node.get("Name") or "" for node in pixels.iter() if node.tag.endswith("}Channel")]
    count = int(pixels.get("SizeC", "1"))
    good = len(names) == count and all(names) and len(set(names)) == count
    size = pixels.get("PhysicalSizeX")
    unit = _UNITS.get(pixels.get("PhysicalSizeXUnit", "µm"))
    return Said(
        tuple(names) if good else None,
        count,
        float(size) * unit if size and unit else None,
    )


def _imagej_size(path: Path, unit: str) -> float | None:
    """Return the pixel size of an ImageJ file, whose resolution is in pixels per unit."""
    with tifffile.TiffFile(path, is_ome=False) as file:
        tag = file.pages.first.tags.get("XResolution")
        if tag is None or unit not in _UNITS:
            return None
        above, below = tag.value
    return float(below) / float(above) * _UNITS[unit] if above and below else None
