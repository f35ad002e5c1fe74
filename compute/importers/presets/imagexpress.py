"""A plate of ImageXpress, as MetaXpress exports it.

What is in it
    ``<plate>_B02_s1_w1<ID>.TIF`` (site and wavelength may be absent where there is one), in one
    folder or in folders by time (``TimePoint_1``) or Z step (``ZStep_1``); thumbnails
    (``_thumb``) are left aside. ``<plate>.HTD`` names the wavelengths. Label images are in a folder
    of their own, called after an image or after well and site.
Address
    https://www.moleculardevices.com (MetaXpress)
"""

import re
from collections.abc import Iterable
from pathlib import Path

from compute.errors import InputError
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import Place, find_labels, image_files
from compute.importers.wording import printable, short_list

_IMAGE = re.compile(
    r"(?i)(?P<plate>.+)_(?P<well>[A-P]\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d))?(?P<id>[0-9A-F-]{36}|)"
)
_THUMB = re.compile(r"(?i)_thumb")


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of a plate.

    Parameters
    ----------
    source
        Its folder.
    options
        Its `labels`, which must be there, and `objects`.

    Raises
    ------
    InputError
        No image is called like those of MetaXpress, several points in time or Z steps are there, or
        no label image goes with a field.
    """
    found: dict[tuple[str, str, str], dict[str, list[Path]]] = {}
    spare = []
    paths = image_files(source, nested=True)
    labels = options.labels.resolve() if options.labels is not None else None
    for path in paths:
        if _THUMB.search(path.stem) or (labels and labels in path.resolve().parents):
            continue
        match = _IMAGE.fullmatch(path.stem)
        if match is None:
            spare.append(printable(path.name))
            continue
        field = (match["plate"], match["well"].upper(), match["site"] or "1")
        found.setdefault(field, {}).setdefault(match["wave"] or "1", []).append(path)
    if not found:
        raise InputError(
            f"{printable(source)}: no image called <plate>_B02_s1_w1….TIF.",
            "Give the folder of a plate that MetaXpress has exported.",
        )
    many = next((some for own in found.values() for some in own.values() if len(some) > 1), None)
    if many is not None:
        folders = sorted({printable(path.parent.name) for path in many})
        raise InputError(
            f"{printable(source)}: {printable(many[0].name)} and others are there in several "
            f"folders ({short_list(folders, 5)}): points in time, or Z steps.",
            "Give one folder of them.",
        )
    waves = sorted({wave for own in found.values() for wave in own})
    named = _wave_names(source, waves)
    several_plates = len({plate for plate, _, _ in found}) > 1
    fields, places = [], []
    for (plate, well, site), own in sorted(found.items()):
        images = tuple(ImageRef(own[wave][0]) if wave in own else None for wave in waves)
        name = f"{plate}_{well}_s{site}" if several_plates else f"{well}_s{site}"
        fields.append(FieldRecord(name, images, well=well))
        stems = [path.stem for some in own.values() for path in some]
        stems += [re.sub(r"(?i)[0-9A-F-]{36}$", "", stem) for stem in stems]
        places.append(Place(tuple(dict.fromkeys(stems)), plate, well, site))
    return _with_labels(fields, places, options, named, waves, spare)


def _with_labels(
    fields: list[FieldRecord],
    places: list[Place],
    options: LayoutOptions,
    named: tuple[str, ...] | None,
    waves: Iterable[str],
    spare: list[str],
) -> FieldListing:
    if options.labels is None and options.cells is None:
        raise InputError(
            "MetaXpress exports images without label images.",
            "Give a folder of label images (--labels), or a table of cells (--cells).",
        )
    notes: list[str] = []
    if options.labels is not None:
        fields, notes = find_labels(fields, places, options.labels, options.objects)
    if spare:
        notes.append(f"{len(spare)} file(s) are no images of a field: {short_list(spare)}.")
    return FieldListing(fields, named or tuple(f"w{wave}" for wave in waves), notes=tuple(notes))


def _wave_names(source: Path, waves: list[str]) -> tuple[str, ...] | None:
    """Return the names of the wavelengths, as the plate's HTD file says them."""
    for folder in (source, source.parent):
        for path in sorted(folder.glob("*.[Hh][Tt][Dd]")):
            text = path.read_text(encoding="utf-8", errors="replace")
            said = dict(re.findall(r'"WaveName(\d+)",\s*"([^"]*)"', text))
            names = tuple(said.get(wave, "").strip() for wave in waves)
            if all(names) and len(set(names)) == len(names):
                return names
    return None
