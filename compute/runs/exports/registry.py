"""The formats of exported crops: a writer each.

Layer: a dictionary. A further format is a file beside this one, a word in
`compute.schema.ExportFormat` and a line here.
"""

from compute.runs.exports.crop_writer import CropWriter
from compute.runs.exports.h5sc import H5scWriter
from compute.runs.exports.ome_tiff import OmeTiffWriter
from compute.runs.exports.ome_zarr import OmeZarrWriter
from compute.schema import ExportFormat

WRITERS: dict[ExportFormat, type[CropWriter]] = {
    writer.format: writer for writer in (OmeZarrWriter, OmeTiffWriter, H5scWriter)
}
