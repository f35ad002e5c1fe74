"""Images with the masks that Cellpose saved beside them.

What is in it
    ``<image>.tif`` (or another format, with all channels in one file) and ``<image>_cp_masks.png``
    or ``.tif``: 0 for background, a number per cell. ``_seg.npy`` is a pickle and never opened:
    save the masks as PNG or TIFF (in the program: "Save masks as PNG/tif"; on the command line
    ``--save_png`` or ``--save_tif``).
Publication
    Stringer and others, "Cellpose", Nature Methods 18: 100, 2021, doi:10.1038/s41592-020-01018-x.
Address
    https://github.com/MouseLand/cellpose
"""

import re
from pathlib import Path

from compute.errors import InputError
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets.find_labels import image_files
from compute.importers.presets.ome_tiff import channels_of
from compute.importers.wording import printable

_MASKS = re.compile(r"(?P<image>.+(?<!_outlines))_cp_masks(?:_.+)?")
_OTHERS = re.compile(r".+_(?:cp_outlines|outlines_cp_masks|flows|dP|cellprob|seg)(?:_.+)?", re.I)


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the images of a folder that have masks.

    Parameters
    ----------
    source
        The folder.
    options
        Its `labels`: folder of the masks, if another.

    Raises
    ------
    InputError
        There is no mask, or only ``_seg.npy``.
    """
    files = [path for path in image_files(source) if not path.name.endswith("_seg.npy")]
    there = files if options.labels is None else files + image_files(options.labels)
    masks: dict[str, list[Path]] = {}
    for path in there:
        if match := _MASKS.fullmatch(path.stem):
            masks.setdefault(match["image"], []).append(path)
    if not masks:
        pickled = sorted(source.glob("*_seg.npy"))
        if pickled:
            raise InputError(
                f"{printable(source)}: {len(pickled)} file(s) such as "
                f"{printable(pickled[0].name)}, "
                "which are pickles and can run code when they are opened, but no _cp_masks.",
                "Save the masks as PNG or TIFF: in Cellpose's window File, Save masks; on its "
                "command line --save_png or --save_tif.",
            )
        raise InputError(
            f"{printable(source)}: no file called <image>_cp_masks.png or .tif.",
            "Give the folder in which Cellpose has saved masks, or that of the masks (--labels).",
        )
    images: dict[str, list[Path]] = {}
    for path in files:
        if not _MASKS.fullmatch(path.stem) and not _OTHERS.fullmatch(path.stem):
            images.setdefault(path.stem, []).append(path)
    fields = []
    for name in sorted(set(images) | set(masks)):
        own, labels = images.get(name, []), masks.get(name, [])
        # The same masks as PNG and TIFF are one; TIFF holds more than 65,535 cells.
        labels = sorted(labels, key=lambda path: path.suffix.lower() == ".png")
        problem = None
        if not own:
            problem = "masks without an image"
        elif len(own) > 1:
            problem = f"several images of one name ({', '.join(printable(p.name) for p in own)})"
        elif not labels:
            problem = "an image without masks (_cp_masks)"
        fields.append(
            FieldRecord(
                name,
                (ImageRef(own[0], planes=()),) if own else (),
                ImageRef(labels[0]) if labels else None,
                problem=problem,
            )
        )
    first = next((one.images[0] for one in fields if one.images), None)
    said = channels_of(first.path) if first is not None else None
    return FieldListing(
        fields,
        said.names if said else None,
        count=said.count if said else 0,
        pixel_size=said.pixel_size if said else None,
    )
