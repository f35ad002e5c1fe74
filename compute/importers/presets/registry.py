"""The layouts of whole fields that can be imported, by name; a module is loaded when it is used."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from compute.errors import UsageError, unknown_value
from compute.importers.field_record import FieldListing
from compute.importers.presets.options import PresetOptions

FIELDS = "fields"
"""The plain layout: names of files, or a table of them."""


@dataclass(frozen=True)
class Preset:
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
    uses
        Fields of `PresetOptions` that it reads, beside `channels` and `cells`.
    """

    name: str
    source: str
    about: str
    example: str
    uses: tuple[str, ...]

    def list_fields(self, source: Path, options: PresetOptions) -> FieldListing:
        """List a source's fields.

        Parameters
        ----------
        source
            What the reader gave.
        options
            What is said of it.

        Raises
        ------
        UsageError
            An option is given that this layout has no use for.
        InputError
            The source is not of this layout.
        """
        for name in ("images", "labels", "objects", "protein_column", "class_column"):
            if getattr(options, name) is not None and name not in self.uses:
                columns = name.endswith("column") and options.cells is not None
                if not columns:
                    raise UsageError(
                        f"--{name.replace('_', '-')} does not concern {self.name}.",
                        f"See `bystander import {self.name} --help`.",
                    )
        module = import_module(f"compute.importers.presets.{self.name.replace('-', '_')}")
        listing: FieldListing = module.list_fields(source, options)
        return listing


_COLUMNS = ("protein_column", "class_column")

_ALL = (
    Preset(
        FIELDS,
        "Folder of <field>-ch1….tiff and so on, or a table of fields.",
        "Cut whole fields with label images into crops and windows without cells.",
        "images store --table fields.csv",
        ("images", "labels", *_COLUMNS),
    ),
    Preset(
        "cellprofiler",
        "Folder of Image.csv and Cells.csv or Nuclei.csv, or CytoTable's Parquet.",
        "Cut the fields of a CellProfiler analysis, by its label images, outlines or centres.",
        "analysis store --images images --marker cellbody",
        ("images", "labels", "objects", *_COLUMNS),
    ),
    Preset(
        "deepprofiler",
        "Folder of a DeepProfiler project (with inputs/).",
        "Cut the fields of a DeepProfiler project around its nuclei.",
        "project store --marker RFP",
        ("images", "labels", "objects", *_COLUMNS),
    ),
    Preset(
        "spatialdata",
        "Folder (or ZIP) of a SpatialData object.",
        "Cut the images of a SpatialData object by its labels, with its table of cells.",
        "field.sdata.zarr store",
        ("objects", *_COLUMNS),
    ),
    Preset(
        "ome-zarr",
        "Folder (or ZIP) of an OME-Zarr image, or a folder of several.",
        "Cut OME-Zarr images (0.4, 0.5) by their labels.",
        "field.ome.zarr store --table fields.csv",
        ("objects",),
    ),
    Preset(
        "ome-tiff",
        "An OME-TIFF, ImageJ hyperstack or TIFF of several pages, or a folder of them.",
        "Cut images whose channels are in one file, by label images beside them.",
        "images store --labels labels",
        ("labels", "objects"),
    ),
    Preset(
        "cellpose",
        "Folder of images with <image>_cp_masks.png or .tif.",
        "Cut images by the masks that Cellpose saved beside them.",
        "images store --channels GFP,nuclear,RFP",
        ("labels",),
    ),
    Preset(
        "hpa",
        "Folder of <field>_blue.png, _green.png, _red.png, _yellow.png.",
        "Cut fields in the style of the Human Protein Atlas by cell masks.",
        "images store --table fields.csv --channels blue,green",
        ("labels",),
    ),
    Preset(
        "imagexpress",
        "Folder of a plate of ImageXpress (<plate>_B02_s1_w1….TIF).",
        "Cut a plate of MetaXpress by label images.",
        "plate store --labels labels --table wells.csv",
        ("labels", "objects"),
    ),
    Preset(
        "operetta",
        "Folder of a measurement of Operetta or Opera Phenix (r01c01f01p01-ch1….tiff).",
        "Cut a measurement of Harmony by label images or outlines.",
        "measurement store --labels labels --table wells.csv",
        ("labels", "objects"),
    ),
)

PRESETS: dict[str, Preset] = {one.name: one for one in _ALL}
"""Name → layout."""


def list_fields(preset: str, source: Path, options: PresetOptions) -> FieldListing:
    """List a source's fields by a layout's name.

    Raises
    ------
    UsageError
        There is no such layout.
    InputError
        The source is not of this layout.
    """
    if preset not in PRESETS:
        raise unknown_value("preset", preset, PRESETS)
    return PRESETS[preset].list_fields(source, options)
