"""Writes the drawn plate (`drawn_plate`) as other programs do, by small writers of its own.

Every writer makes a folder and returns how it is imported: `Written`. Writers of Zarr, HDF5 and
arrays are in `drawn_arrays`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import tifffile

from compute.importers.config import CuttingConfig
from compute.importers.fields import import_fields
from compute.importers.manifest import import_manifest
from tests.compute.importers.drawn_plate import (
    CHANNELS,
    PLATE,
    SIZE,
    Drawn,
    audit,
    cell_table,
    field_table,
)

CONFIG = CuttingConfig(size=SIZE, windows=2)

ELSEWHERE = "/home/somebody/screens/run 3/images"
"""A folder of the computer that a program ran on."""


@dataclass
class Written:
    """A source: its folder, what is imported, options, and what a store can say of it.

    `masks` is as for `drawn_plate.audit`; `classes` says whether cells have theirs.
    """

    root: Path
    source: Path
    options: dict
    planes: tuple = (0, 1, 2)
    masks: str = "equal"
    classes: bool = True
    read: object = None
    seen: object = None
    class_of: object = Drawn.class_of

    def audit(self, path, fields, **more):
        return audit(
            path,
            fields,
            planes=self.planes,
            masks=self.masks,
            seen=self.seen,
            class_of=self.class_of,
            **more,
        )

    def run(self, out, **more):
        options = {"jobs": 1, **self.options, **more}
        return (self.read or import_fields)(self.source, out, **options)


def png(path, image):
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))


def tiff(path, image, **options):
    tifffile.imwrite(path, image, compression="zlib", **options)


def new(folder):
    folder.mkdir(parents=True)
    return folder


def write_cells(root, fields, name, *columns):
    path = root / "cells.csv"
    cell_table(fields, name, *columns).to_csv(path, index=False)
    return path


def write_wells(root):
    path = root / "wells.csv"
    field_table().to_csv(path, index=False)
    return path


def fields_folder(root, fields):
    images = new(root / "images")
    for one in fields:
        for number, channel in enumerate(one.image, 1):
            tiff(images / f"{one.harmony}-ch{number}sk1fk1fl1.tiff", channel)
        tiff(images / f"{one.harmony}_labeled.tiff", one.labels)
    options = {
        "channels": CHANNELS, "config": CONFIG, "table": write_wells(root), "class_names": "keep",
        "cells": write_cells(root, fields, lambda one: one.harmony, "label", "localization"),
    }  # fmt: skip
    return Written(root, images, options)


def fields_table(root, fields, *, by="label"):
    """A row per cell; `by` its label, or its centre without a label image."""
    new(root)
    places = ("label",) if by == "label" else ("x", "y")
    frame = cell_table(fields, lambda one: f"{one.well}_s{one.site}", *places, "localization",
                       "protein")  # fmt: skip
    for number, channel in enumerate(CHANNELS):
        frame[channel] = frame["field"] + f"_{channel}.tif"
        for one in fields:
            tiff(root / f"{one.well}_s{one.site}_{channel}.tif", one.image[number])
    if by == "label":
        frame["labels"] = frame["field"] + "_labels.png"
        for one in fields:
            png(root / f"{one.well}_s{one.site}_labels.png", one.labels)
    frame.to_csv(root / "fields.csv", index=False)
    masks = "equal" if by == "label" else "like"
    return Written(root, root / "fields.csv", {"config": CONFIG, "marker": "RFP",
                   "class_names": "keep"}, masks=masks)  # fmt: skip


def cellprofiler(root, fields, *, labels=True, outlines=False):
    """Tables by object; label images (or outlines), or only centres of nuclei."""
    analysis, images = new(root / "analysis"), new(root / "images")
    if labels:
        new(root / "labels")
    rows, cells = [], []
    for at, one in enumerate(fields, 1):
        row = {"ImageNumber": at, "Metadata_Plate": PLATE, "Metadata_Well": one.well,
               "Metadata_Site": one.site, "Metadata_Gene": one.protein,
               "Count_Nuclei": len(one.numbers)}  # fmt: skip
        for number, channel in enumerate(CHANNELS):
            name = f"{PLATE}_{one.well}_{one.site}_{channel}.tif"
            tiff(images / name, one.image[number])
            row |= {f"FileName_Orig{channel}": name, f"PathName_Orig{channel}": ELSEWHERE,
                    f"FileName_Illum{channel}": f"illum_{channel}.npy",
                    f"PathName_Illum{channel}": ELSEWHERE}  # fmt: skip
        row |= {"FileName_OrigOverlay": "overlay.png", "PathName_OrigOverlay": ELSEWHERE}
        rows.append(row)
        if labels:
            name = f"{PLATE}_{one.well}_{one.site}_RFP"
            if outlines:
                tiff(root / "labels" / f"CellsOutlines_{PLATE}_{one.well}_{one.site}.tiff",
                     _outlines(one.labels), photometric="rgb")  # fmt: skip
            else:
                tiff(root / "labels" / f"{name}_Cells.tiff", one.labels)
        for number, (x, y) in zip(one.numbers, one.centres, strict=True):
            cells.append({"ImageNumber": at, "ObjectNumber": number, "AreaShape_Area": 25.0,
                          "Location_Center_X": x, "Location_Center_Y": y,
                          "Metadata_Class": one.class_of(number)})  # fmt: skip
    pd.DataFrame(rows).to_csv(analysis / "MyExpt_Image.csv", index=False)
    pd.DataFrame(cells).to_csv(analysis / "MyExpt_Nuclei.csv", index=False)
    options = {"preset": "cellprofiler", "images": images, "config": CONFIG, "marker": "RFP"}
    if labels:
        options["labels"] = root / "labels"
    return Written(root, analysis, options, masks="equal" if labels else "like")


def _outlines(labels):
    """Lines inside of objects, in one colour, as CellProfiler draws them."""
    edge = np.zeros(labels.shape, bool)
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        edge |= np.roll(labels, (dy, dx), (0, 1)) != labels
    image = np.zeros((*labels.shape, 3), np.uint16)
    image[edge & (labels > 0), 1] = 32896
    return image


def cytotable(root, fields):
    """One Parquet with columns of images, cells and nuclei."""
    written = cellprofiler(root, fields)
    image = pd.read_csv(root / "analysis" / "MyExpt_Image.csv")
    nuclei = pd.read_csv(root / "analysis" / "MyExpt_Nuclei.csv")
    image = image.rename(columns={c: f"Image_{c}" for c in image if c != "ImageNumber"})
    renamed = {c: f"Nuclei_{c}" for c in nuclei if c.startswith(("Loc", "Area", "Obj"))}
    frame = image.merge(nuclei.rename(columns=renamed), on="ImageNumber")
    frame.to_parquet(root / "plate.parquet")
    return Written(root, root / "plate.parquet", written.options)


def deepprofiler(root, fields):
    """A project with centres; images are PNG of the plate's own type."""
    inputs = root / "inputs"
    images = new(inputs / "images" / PLATE)
    new(inputs / "metadata")
    new(inputs / "config")
    places = new(inputs / "locations" / PLATE)
    rows = []
    for one in fields:
        row = {"Metadata_Plate": PLATE, "Metadata_Well": one.well, "Metadata_Site": one.site}
        for number, channel in enumerate(CHANNELS):
            name = f"{one.well}_{one.site}_{channel}.png"
            png(images / name, one.image[number])
            row[channel] = f"{PLATE}/{name}"
        rows.append(row | {"Gene": one.protein, "Treatment": f"of {one.protein}", "Split": "0"})
        frame = pd.DataFrame(one.centres, columns=["X", "Y"]).add_prefix("Nuclei_Location_Center_")
        frame.to_csv(places / f"{one.well}-{one.site}-Nuclei.csv", index=False)
    pd.DataFrame(rows).to_csv(inputs / "metadata" / "index.csv", index=False)
    said = {
        "dataset": {
            "metadata": {"label_field": "Treatment"},
            "images": {"channels": list(CHANNELS)},
        },
        "train": {"partition": {"split_field": "Split"}},
    }
    (inputs / "config" / "config.json").write_text(json.dumps(said))
    return Written(root, root, {"preset": "deepprofiler", "config": CONFIG, "marker": "RFP"},
                   masks="like", class_of=lambda one, number: f"of {one.protein}")  # fmt: skip


def hpa(root, fields):
    images = new(root / "images")
    for one in fields:
        name = f"{one.well}_{one.site}"
        for number, colour in enumerate(("blue", "green", "red")):
            png(images / f"{name}_{colour}.png", one.image[number])
        png(images / f"{name}_cellmask.png", one.labels)
        png(images / f"{name}_nucleimask.png", one.nuclei)
    options = {
        "preset": "hpa", "config": CONFIG, "marker": "red", "table": write_wells(root),
        "cells": write_cells(root, fields, lambda one: f"{one.well}_{one.site}", "label",
                             "localization"),
    }  # fmt: skip
    return Written(root, images, options)


def ome_tiff(root, fields):
    images = new(root / "images")
    for one in fields:
        name = f"{one.well}_{one.site}"
        said = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)},
                "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm"}  # fmt: skip
        tiff(images / f"{name}.ome.tif", one.image, metadata=said, ome=True)
        tiff(images / f"{name}_labels.tif", one.labels)
    options = {
        "preset": "ome-tiff", "config": CONFIG, "table": write_wells(root),
        "cells": write_cells(root, fields, lambda one: f"{one.well}_{one.site}", "label",
                             "localization"),
    }  # fmt: skip
    return Written(root, images, options)


def cellpose(root, fields):
    images = new(root / "images")
    for one in fields:
        name = f"{one.well}_{one.site}"
        tiff(images / f"{name}.tif", one.image, photometric="minisblack")
        png(images / f"{name}_cp_masks.png", one.labels)
        tiff(images / f"{name}_cp_masks.tif", one.labels)
        np.save(images / f"{name}_seg.npy", np.array({"masks": one.labels}, object))
    options = {
        "preset": "cellpose", "config": CONFIG, "channels": CHANNELS, "table": write_wells(root),
        "cells": write_cells(root, fields, lambda one: f"{one.well}_{one.site}", "label",
                             "localization"),
    }  # fmt: skip
    return Written(root, images, options)


def imagexpress(root, fields):
    plate, labels = new(root / PLATE / "TimePoint_1"), new(root / "labels")
    for one in fields:
        stem = f"{PLATE}_{one.well}_s{one.site}"
        for number, channel in enumerate(one.image, 1):
            tail = f"_w{number}{'1A2B3C4D-0000-1111-2222-3333' + '44445555666' + str(number)}"
            tiff(plate / f"{stem}{tail[:39]}.TIF", channel)
            tiff(plate / f"{stem}_w{number}_thumb{tail[3:39]}.TIF", channel[::4, ::4])
        tiff(labels / f"{PLATE}_{one.well}_s{one.site}_cells.tif", one.labels)
    names = "".join(f'"WaveName{n}", "{c}"\r\n' for n, c in enumerate(CHANNELS, 1))
    (root / PLATE / f"{PLATE}.HTD").write_text('"HTSInfoFile", Version 1.0\r\n' + names)
    options = {
        "preset": "imagexpress", "labels": labels, "config": CONFIG, "table": write_wells(root),
        "cells": write_cells(root, fields, lambda one: f"{one.well}_s{one.site}", "label",
                             "localization"),
    }  # fmt: skip
    return Written(root, root / PLATE, options)


def operetta(root, fields):
    images = new(root / "Images")
    labels = new(root / "labels")
    entries = []
    for one in fields:
        for number, channel in enumerate(one.image, 1):
            tiff(images / f"{one.harmony}-ch{number}sk1fk1fl1.tiff", channel)
            entries.append(
                f"<Image><ChannelID>{number}</ChannelID><ChannelName>{CHANNELS[number - 1]}"
                '</ChannelName><ImageResolutionX Unit="m">2.0E-07</ImageResolutionX></Image>'
            )
        tiff(labels / f"{one.harmony}_cells.tiff", one.labels)
    text = (
        f'<EvaluationInputData xmlns="x"><Images>{"".join(entries)}</Images></EvaluationInputData>'
    )
    (images / "Index.idx.xml").write_text(text)
    options = {
        "preset": "operetta", "labels": labels, "config": CONFIG, "table": write_wells(root),
        "cells": write_cells(root, fields, lambda one: one.harmony, "label", "localization"),
    }  # fmt: skip
    return Written(root, root, options)


def manifest(root, fields):
    """A row per crop, cut around its cell, with a mask that numbers every cell in it."""
    new(root)
    rows = []
    for one in fields:
        for number in one.whole:
            image, _, labels = one.crop(number)
            row = {"field": f"{one.well}_{one.site}", "protein": one.protein,
                   "localization": one.class_of(number)}  # fmt: skip
            for channel, pixels in zip(CHANNELS, image, strict=True):
                name = f"{one.well}_{one.site}_{number}_{channel}.tif"
                tiff(root / name, pixels)
                row[channel] = name
            png(root / f"{one.well}_{one.site}_{number}_mask.png", labels)
            rows.append(row | {"mask": f"{one.well}_{one.site}_{number}_mask.png"})
    pd.DataFrame(rows).to_csv(root / "crops.csv", index=False)
    options = {"channels": CHANNELS, "marker": "RFP"}
    return Written(root, root / "crops.csv", options, read=import_manifest)
