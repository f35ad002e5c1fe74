"""Fields in the style of the Human Protein Atlas: a file per colour, masks of cells beside them.

What is in it
    ``<field>_blue``, ``_green``, ``_red``, ``_yellow`` (PNG, TIFF or JPEG; in JPEG data of any
    name too): nuclei, the protein, microtubules, the endoplasmic reticulum. Grey, or in colours as
    the atlas serves them, where the plane of the colour is taken. Masks as HPA's segmentation
    writes them: ``<field>_cellmask`` (or ``_mask``, ``_cell_mask``) and ``_nucleimask``. Proteins
    and localizations come from a table of fields.
Publication
    Thul and others, "A subcellular map of the human proteome", Science 356: eaal3321, 2017,
    doi:10.1126/science.aal3321.
Licence
    Images: CC BY-SA.
Address
    https://www.proteinatlas.org
"""

import re
from pathlib import Path

from compute.errors import InputError
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import image_files
from compute.importers.wording import printable, short_list

COLOURS = {"blue": 2, "green": 1, "red": 0, "yellow": 0}
"""Channel → the plane that shows it in an image in pseudo-colour (yellow is red and green)."""

_IMAGE = re.compile(rf"(?i)(?P<field>.+)_(?P<colour>{'|'.join(COLOURS)})")
_CELLS = re.compile(r"(?i)(?P<field>.+?)_(?:cell_?)?(?:mask|labels?)")
_NUCLEI = re.compile(r"(?i)(?P<field>.+?)_(?:nuc\w*?)_?(?:mask|labels?)")


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the fields of a folder.

    Parameters
    ----------
    source
        Folder of the images, or one with folders of them.
    options
        Its `labels` (folder of the masks, if another) and `channels`.

    Raises
    ------
    InputError
        There is no image of a colour, or no mask.
    """
    images: dict[str, dict[str, Path]] = {}
    masks: dict[str, list[Path]] = {}
    nuclei: dict[str, list[Path]] = {}
    nested = not any(_IMAGE.fullmatch(path.stem) for path in image_files(source))
    paths = image_files(source, nested=nested)
    if options.labels is not None:
        paths += image_files(options.labels, nested=True)
    spare, twice = [], set()
    for path in dict.fromkeys(paths):
        if match := _IMAGE.fullmatch(path.stem):
            colours = images.setdefault(match["field"], {})
            if match["colour"].lower() in colours:
                twice.add(match["field"])
            colours.setdefault(match["colour"].lower(), path)
        elif match := _NUCLEI.fullmatch(path.stem):
            nuclei.setdefault(match["field"], []).append(path)
        elif match := _CELLS.fullmatch(path.stem):
            masks.setdefault(match["field"], []).append(path)
        else:
            spare.append(printable(path.name))
    if not images:
        raise InputError(
            f"{printable(source)}: no image called <field>_green and so on.",
            f"Expected {', '.join(COLOURS)} behind the field's name.",
        )
    if not masks:
        raise InputError(
            f"{printable(source)}: no mask called <field>_cellmask.png or <field>_mask.png.",
            "Segment the fields with HPA-Cell-Segmentation, or give their folder (--labels).",
        )
    found = [colour for colour in COLOURS if any(colour in own for own in images.values())]
    fields = []
    for name, own in sorted(images.items()):
        refs = tuple(
            ImageRef(own[colour], colour=COLOURS[colour]) if colour in own else None
            for colour in found
        )
        problem = "a second file for the same field and colour" if name in twice else None
        several = [some[name] for some in (masks, nuclei) if len(some.get(name, ())) > 1]
        if several:
            shown = ", ".join(printable(path.name) for path in several[0])
            problem = problem or f"several masks for one field ({shown})"
        if name not in masks:
            problem = problem or "a field without a mask of its cells"
        fields.append(
            FieldRecord(
                name,
                refs,
                ImageRef(masks[name][0]) if name in masks else None,
                ImageRef(nuclei[name][0]) if name in nuclei else None,
                problem=problem,
            )
        )
    alone = sorted(set(masks) - set(images))
    fields += [FieldRecord(name, problem="a mask without an image") for name in alone]
    notes = []
    if spare:
        notes.append(f"{len(spare)} file(s) are neither image nor mask: {short_list(spare)}.")
    return FieldListing(fields, tuple(found), notes=tuple(notes))
