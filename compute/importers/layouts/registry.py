"""The layouts of crops in arrays that can be imported, by name; a module is loaded when used."""

from pathlib import Path

from compute.errors import unknown_value
from compute.importers.array_record import ArrayListing
from compute.importers.layout import COLUMNS, Layout, LayoutOptions

_ALL = (
    Layout(
        "scportrait",
        "File single_cells.h5sc, or a folder with one.",
        "Import single-cell crops of scPortrait.",
        "single_cells.h5sc store",
        ("objects", *COLUMNS),
    ),
    Layout(
        "cytoself",
        "Folder of <protein>_pro.npy, or of Image_data00.npy.",
        "Import crops of cytoself.",
        "crops store --localizations localizations.csv",
        COLUMNS,
    ),
)

LAYOUTS: dict[str, Layout] = {one.name: one for one in _ALL}
"""Name → layout."""


def list_crops(layout: str, source: Path, options: LayoutOptions) -> ArrayListing:
    """List a source's crops by a layout's name.

    Raises
    ------
    UsageError
        There is no such layout, or an option does not concern it.
    InputError
        The source is not of this layout.
    """
    if layout not in LAYOUTS:
        raise unknown_value("layout", layout, LAYOUTS)
    module = LAYOUTS[layout].load("compute.importers.layouts", options)
    listing: ArrayListing = module.list_crops(source, options)
    return listing
