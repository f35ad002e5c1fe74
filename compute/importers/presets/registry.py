"""The layouts of whole fields that can be imported, by name; a module is loaded when it is used."""

from pathlib import Path

from compute.errors import unknown_value
from compute.importers.field_record import FieldListing
from compute.importers.layout import COLUMNS, Layout, LayoutOptions

FIELDS = "fields"
"""The plain layout: names of files, or a table of them."""


_ALL = (
    Layout(
        FIELDS,
        "Folder of <field>-ch1….tiff and so on, or a table of fields.",
        "Cut whole fields with label images into crops and windows without cells.",
        "images store --table fields.csv",
        ("images", "labels", *COLUMNS),
    ),
    Layout(
        "cellprofiler",
        "Folder of Image.csv and Cells.csv or Nuclei.csv, or CytoTable's Parquet.",
        "Cut the fields of a CellProfiler analysis, by its label images, outlines or centres.",
        "analysis store --images images --marker cellbody",
        ("images", "labels", "objects", *COLUMNS),
    ),
    Layout(
        "deepprofiler",
        "Folder of a DeepProfiler project (with inputs/).",
        "Cut the fields of a DeepProfiler project around its nuclei.",
        "project store --marker RFP",
        ("images", "labels", "objects", *COLUMNS),
    ),
    Layout(
        "spatialdata",
        "Folder (or ZIP) of a SpatialData object.",
        "Cut the images of a SpatialData object by its labels, with its table of cells.",
        "field.sdata.zarr store",
        ("objects", *COLUMNS),
    ),
    Layout(
        "ome-zarr",
        "Folder (or ZIP) of an OME-Zarr image, or a folder of several.",
        "Cut OME-Zarr images (0.4, 0.5) by their labels.",
        "field.ome.zarr store --table fields.csv",
        ("objects",),
    ),
    Layout(
        "ome-tiff",
        "An OME-TIFF, ImageJ hyperstack or TIFF of several pages, or a folder of them.",
        "Cut images whose channels are in one file, by label images beside them.",
        "images store --labels labels",
        ("labels", "objects"),
    ),
    Layout(
        "cellpose",
        "Folder of images with <image>_cp_masks.png or .tif.",
        "Cut images by the masks that Cellpose saved beside them.",
        "images store --channels GFP,nuclear,RFP",
        ("labels",),
    ),
    Layout(
        "hpa",
        "Folder of <field>_blue.png, _green.png, _red.png, _yellow.png.",
        "Cut fields in the style of the Human Protein Atlas by cell masks.",
        "images store --table fields.csv --channels blue,green",
        ("labels",),
    ),
    Layout(
        "imagexpress",
        "Folder of a plate of ImageXpress (<plate>_B02_s1_w1….TIF).",
        "Cut a plate of MetaXpress by label images.",
        "plate store --labels labels --table wells.csv",
        ("labels", "objects"),
    ),
    Layout(
        "operetta",
        "Folder of a measurement of Operetta or Opera Phenix (r01c01f01p01-ch1….tiff).",
        "Cut a measurement of Harmony by label images or outlines.",
        "measurement store --labels labels --table wells.csv",
        ("labels", "objects"),
    ),
)

PRESETS: dict[str, Layout] = {one.name: one for one in _ALL}
"""Name → layout."""


def list_fields(preset: str, source: Path, options: LayoutOptions) -> FieldListing:
    """List a source's fields by a layout's name.

    Raises
    ------
    UsageError
        There is no such layout, or an option does not concern it.
    InputError
        The source is not of this layout.
    """
    if preset not in PRESETS:
        raise unknown_value("preset", preset, PRESETS)
    module = PRESETS[preset].load("compute.importers.presets", options)
    listing: FieldListing = module.list_fields(source, options)
    return listing
