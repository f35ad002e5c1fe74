"""The layouts of crops in arrays that can be imported, by name; a module is loaded when used."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from compute.errors import UsageError, unknown_value
from compute.importers.array_record import ArrayListing
from compute.importers.presets.options import PresetOptions


@dataclass(frozen=True)
class Layout:
    """A layout.

    Parameters
    ----------
    name
        As on the command line.
    source
        What a reader gives, in words, for help.
    about
        What it reads, in a sentence.
    example
        Options of an example after ``bystander import NAME``.
    objects
        Whether `PresetOptions.objects` concerns it.
    """

    name: str
    source: str
    about: str
    example: str
    objects: bool


_ALL = (
    Layout(
        "scportrait",
        "File single_cells.h5sc, or a folder with one.",
        "Import single-cell crops of scPortrait.",
        "single_cells.h5sc store",
        True,
    ),
    Layout(
        "cytoself",
        "Folder of <protein>_pro.npy, or of Image_data00.npy.",
        "Import crops of cytoself.",
        "crops store --localizations localizations.csv",
        False,
    ),
)

LAYOUTS: dict[str, Layout] = {one.name: one for one in _ALL}
"""Name → layout."""


def list_crops(layout: str, source: Path, options: PresetOptions) -> ArrayListing:
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
    if options.objects is not None and not LAYOUTS[layout].objects:
        raise UsageError(
            f"--objects does not concern {layout}.", f"See `bystander import {layout} --help`."
        )
    module = import_module(f"compute.importers.layouts.{layout}")
    listing: ArrayListing = module.list_crops(source, options)
    return listing
