"""Every layout in which the drawn plate is written, by name."""

from functools import partial

from tests.compute.importers import drawn_arrays, drawn_layouts

LAYOUTS = {
    "fields folder": drawn_layouts.fields_folder,
    "fields table": drawn_layouts.fields_table,
    "fields table, centres": partial(drawn_layouts.fields_table, by="centre"),
    "cellprofiler": drawn_layouts.cellprofiler,
    "cellprofiler, outlines": partial(drawn_layouts.cellprofiler, outlines=True),
    "cellprofiler, centres": partial(drawn_layouts.cellprofiler, labels=False),
    "cytotable": drawn_layouts.cytotable,
    "deepprofiler": drawn_layouts.deepprofiler,
    "hpa": drawn_layouts.hpa,
    "ome-tiff": drawn_layouts.ome_tiff,
    "cellpose": drawn_layouts.cellpose,
    "imagexpress": drawn_layouts.imagexpress,
    "operetta": drawn_layouts.operetta,
    "ome-zarr 0.4": partial(drawn_arrays.ome_zarr, version="0.4"),
    "ome-zarr 0.5": drawn_arrays.ome_zarr,
    "spatialdata": drawn_arrays.spatialdata,
    "manifest": drawn_layouts.manifest,
    "scportrait": drawn_arrays.scportrait,
    "cytoself": drawn_arrays.cytoself,
    "cytoself, per protein": partial(drawn_arrays.cytoself, numbered=False),
}
"""Name → a function of an empty folder and the plate's fields, that returns `Written`."""

CROPS = ("manifest", "scportrait", "cytoself", "cytoself, per protein")
"""Layouts that hold crops already, so none near an edge."""
