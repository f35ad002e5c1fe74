"""Finds the label images, masks and outlines of fields in a folder, by their names. No pixels.

A label image is called after an image of its field, or after the field's plate, well and site, and
has something before or behind: ``B7_01_3_3_RFP_001_MaskCells``, ``CellsOutlines_BR001_C03_3``.
What is behind says what it shows: nuclei, cytoplasm (which is left aside), else cells.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compute.errors import InputError
from compute.importers.field_record import FieldRecord, ImageRef
from compute.importers.field_table import plate_well
from compute.importers.wording import printable, short_list

ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy")
"""Endings of image files."""

LABELS, NUCLEI, NEITHER = "labels", "nuclei", "cytoplasm"


@dataclass(frozen=True)
class Place:
    """By what the label images of a field may be called.

    Parameters
    ----------
    stems
        Names of its images without ending.
    plate, well, site
        As its source has them; empty by default.
    """

    stems: tuple[str, ...]
    plate: str = ""
    well: str = ""
    site: str = ""


def image_files(folder: Path, *, nested: bool = False) -> list[Path]:
    """Return the image files of a folder, sorted; with those of folders in it if `nested`.

    Raises
    ------
    InputError
        There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{printable(folder)}: no such folder.", "Check the path.")
    paths = folder.rglob("*") if nested else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    )


def find_labels(
    fields: Sequence[FieldRecord],
    places: Sequence[Place],
    folder: Path,
    objects: str | None = None,
) -> tuple[list[FieldRecord], list[str]]:
    """Give every field its label image, and that of its nuclei, from a folder.

    Parameters
    ----------
    fields, places
        The fields, and by what their label images may be called.
    folder
        Folder of the label images; those in folders in it count too. Or the label image, of a
        source with one field.
    objects
        Which objects are the cells, such as ``Nuclei``; None, the default, for cells.

    Returns
    -------
    fields, notes
        The fields, and sentences about what was left aside.

    Raises
    ------
    InputError
        Not one label image goes with a field.
    """
    if folder.is_file():
        if len(fields) != 1:
            raise InputError(
                f"{printable(folder)} is one label image for {len(fields)} fields.",
                "Give a folder of label images.",
            )
        return [replace(fields[0], labels=ImageRef(folder))], []
    own = {ref.path for one in fields for ref in one.images if ref is not None}
    owners: dict[str, set[int]] = {}
    for n, place in enumerate(places):
        for stem in place.stems:
            owners.setdefault(stem.casefold(), set()).add(n)
    # Images of two fields may be called alike, in folders of their own: a name that tells nothing.
    by_stem = {stem: min(of) for stem, of in owners.items() if len(of) == 1}
    by_place: dict[tuple[tuple[int, int], int], list[int]] = {}
    for n, place in enumerate(places):
        at = plate_well(place.well, whole=True) if place.well else None
        site = re.search(r"\d+", place.site)
        if at is not None and site is not None:
            by_place.setdefault((at, int(site[0])), []).append(n)
    found: dict[int, dict[str, list[Path]]] = {}
    spare = []
    paths = [path for path in image_files(folder, nested=True) if path not in own]
    for path in paths:
        hit = _by_stem(path.stem, by_stem) or _by_place(path.stem, by_place, places)
        if hit is None:
            spare.append(path.name)
            continue
        number, rest = hit
        found.setdefault(number, {}).setdefault(_kind(rest, objects), []).append(path)
    if not any(LABELS in kinds or NUCLEI in kinds for kinds in found.values()):
        wanted = places[0].stems[0] if places and places[0].stems else "IMAGE"
        raise InputError(
            f"{printable(folder)}: no label image goes with a field; it has "
            f"{short_list([printable(path.name) for path in paths], 5) or 'no image'}.",
            f"Call them after an image of the field ({printable(wanted)}_cells.tif), or after its "
            "plate, well and site.",
        )
    only_nuclei = not any(LABELS in kinds for kinds in found.values())
    new, notes = [], []
    for number, record in enumerate(fields):
        kinds = found.get(number, {})
        labels = kinds.get(NUCLEI if only_nuclei else LABELS, [])
        nuclei = [] if only_nuclei else kinds.get(NUCLEI, [])
        several = next((some for some in (labels, nuclei) if len(some) > 1), None)
        if several and record.problem is None:
            names = ", ".join(printable(path.name) for path in several[:3])
            record = replace(record, problem=f"several label images for one field ({names})")
        new.append(
            replace(
                record,
                labels=ImageRef(labels[0]) if labels else record.labels,
                nuclei=ImageRef(nuclei[0]) if nuclei else record.nuclei,
            )
        )
    if only_nuclei:
        notes.append("The label images show nuclei: they are taken as the cells.")
    if spare:
        notes.append(
            f"{len(spare)} image(s) beside the labels go with no field: {short_list(spare)}."
        )
    return new, notes


def _by_stem(stem: str, by_stem: dict[str, int]) -> tuple[int, str] | None:
    """Find the field one of whose images' names a label image's name begins or ends with."""
    name = stem.casefold()
    cuts = [len(name), *(match.start() for match in re.finditer(r"[_\-. ]", name))]
    for cut in sorted(cuts, reverse=True):
        if name[:cut] in by_stem:
            return by_stem[name[:cut]], stem[cut:]
    starts = [match.end() for match in re.finditer(r"[_\-. ]", name)]
    for start in starts:
        if name[start:] in by_stem:
            return by_stem[name[start:]], stem[:start]
    return None


def _by_place(
    stem: str,
    by_place: dict[tuple[tuple[int, int], int], list[int]],
    places: Sequence[Place],
) -> tuple[int, str] | None:
    """Find the one field whose well and site (and plate, if several fit) are in a name."""
    for at, site, rest in _wells_and_sites(stem):
        fitting = by_place.get((at, site), [])
        named = [n for n in fitting if places[n].plate and places[n].plate in stem]
        if len(named or fitting) == 1:
            return (named or fitting)[0], rest
    return None


def _wells_and_sites(stem: str) -> Iterator[tuple[tuple[int, int], int, str]]:
    parts = re.split(r"[_\-. ]", stem)
    for place, part in enumerate(parts):
        harmony = re.match(r"(r\d+c\d+)f(\d+)", part, re.I)
        at = plate_well(harmony[1] if harmony else part, whole=True)
        if at is None:
            continue
        rest = "_".join(parts[:place] + parts[place + 1 :])
        if harmony:
            yield at, int(harmony[2]), rest
            continue
        for other in parts[place + 1 :]:
            site = re.fullmatch(r"(?:s|f|site|field)?0*(\d+)", other, re.I)
            if site is not None:
                yield at, int(site[1]), rest
                break


def _kind(rest: str, objects: str | None) -> str:
    """Return what a label image shows, from the part of its name that is not its field's."""
    words = rest.casefold()
    nuclei = "nuc" in words
    if objects is not None and objects.casefold()[:3] in words:
        return LABELS
    if objects is not None and objects.casefold().startswith("nuc"):
        return NEITHER
    if nuclei:
        return NUCLEI
    return NEITHER if "cyto" in words else LABELS
