"""A measurement of Operetta or Opera Phenix, as Harmony or Columbus exports it.

What is in it
    ``Images/r01c01f01p01-ch1sk1fk1fl1.tiff``: row, column, field, plane, channel, and point in
    time. ``Index.idx.xml`` (or ``Index.xml``, ``Index.ref.xml``) beside them names the channels and
    the pixel size. Several planes of a field are projected by ``--project max``, else refused.
    Label images or outlines are in a folder of their own, called after an image or after plate,
    well and site, or as ``<field>_labeled.tiff`` beside the images.
Address
    https://www.revvity.com (Harmony)
"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from compute.errors import InputError
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import Place, find_labels, image_files
from compute.importers.wording import printable, short_list

_IMAGE = re.compile(
    r"(?i)(?P<well>r(?P<row>\d+)c(?P<column>\d+))f(?P<site>\d+)p(?P<plane>\d+)-ch(?P<channel>\d+)"
    r"(?:sk(?P<time>\d+))?.*"
)

INDEX = ("Index.idx.xml", "Index.xml", "Index.ref.xml")


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of a measurement.

    Parameters
    ----------
    source
        Its folder, or that of its images.
    options
        Its `labels` and `objects`.

    Raises
    ------
    InputError
        No image is called like those of Harmony, a field has several planes or points in time, or
        no label image goes with a field.
    """
    folder = source / "Images" if (source / "Images").is_dir() else source
    paths = image_files(folder)
    fields: dict[tuple[str, int], dict[str, list[Path]]] = {}
    spare = []
    for path in paths:
        match = _IMAGE.fullmatch(path.stem)
        if match is None:
            spare.append(printable(path.name))
            continue
        if re.search(r"(?i)_?labell?ed$", path.stem):
            continue
        own = fields.setdefault((match["well"].lower(), int(match["site"])), {})
        own.setdefault(str(int(match["channel"])), []).append(path)
    if not fields:
        raise InputError(
            f"{printable(folder)}: no image called r01c01f01p01-ch1….tiff.",
            "Give the folder of a measurement that Harmony has exported, or its Images.",
        )
    many = next((some for own in fields.values() for some in own.values() if len(some) > 1), None)
    if many is not None:
        raise InputError(
            f"{printable(folder)}: {len(many)} images of one field and channel, such as "
            f"{printable(many[0].name)} and {printable(many[1].name)}: planes of a Z stack, or "
            "points in time.",
            "Export the maximum projection, or keep the images of one plane and time in a folder.",
        )
    channels = sorted({channel for own in fields.values() for channel in own}, key=int)
    names, pixel_size = _index(source, folder, channels)
    records, places = [], []
    for (well, site), own in sorted(fields.items()):
        refs = tuple(ImageRef(own[c][0]) if c in own else None for c in channels)
        first = next(iter(own.values()))[0].stem
        name = re.sub(r"(?i)-ch\d+.*", "", first)
        records.append(FieldRecord(name, refs, well=well))
        stems = [path.stem for some in own.values() for path in some]
        places.append(Place((name, *stems), source.resolve().name, well, str(site)))
    labels = options.labels or (folder if options.cells is None else None)
    notes: list[str] = []
    if labels is not None:
        records, notes = find_labels(records, places, labels, options.objects)
    if spare and options.labels is not None:
        notes.append(f"{len(spare)} file(s) are no images of a field: {short_list(spare)}.")
    return FieldListing(
        records,
        names or tuple(f"ch{channel}" for channel in channels),
        pixel_size=pixel_size,
        notes=tuple(notes),
    )


def _index(
    source: Path, folder: Path, channels: list[str]
) -> tuple[tuple[str, ...] | None, float | None]:
    """Return the channels' names and the pixel size, µm, as the index says them."""
    path = next(
        (place / name for place in (source, folder) for name in INDEX if (place / name).is_file()),
        None,
    )
    if path is None:
        return None, None
    names: dict[str, str] = {}
    size: float | None = None
    try:
        with path.open("rb") as handle:
            start = handle.read(4096)
            # Entities could expand without end; Harmony declares none.
            if b"<!DOCTYPE" in start or b"<!ENTITY" in start:
                raise InputError(f"{path} declares entities.", "Export the measurement again.")
            handle.seek(0)
            channel = name = None
            for _, node in ElementTree.iterparse(handle, events=("end",)):
                tag = node.tag.rpartition("}")[2]
                text = (node.text or "").strip()
                if tag == "ChannelID":
                    channel = text
                elif tag == "ChannelName":
                    name = text
                elif tag == "ImageResolutionX" and size is None and text:
                    # Metres, as its attribute says.
                    size = float(text) * (1e6 if node.get("Unit", "m") == "m" else 1.0)
                elif tag in ("Image", "Entry"):
                    channel = channel or node.get("ChannelID")
                    if channel and name:
                        names.setdefault(channel, name)
                    channel = name = None
                    node.clear()
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise InputError(
            f"{printable(path)} cannot be read: {error}.", "Leave it out, or export it again."
        ) from error
    found = tuple(names.get(channel, "") for channel in channels)
    good = all(found) and len(set(found)) == len(found)
    return (found if good else None), size
