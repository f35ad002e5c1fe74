"""Writes the drawn plate in Zarr, HDF5 and arrays: OME-Zarr, SpatialData, scPortrait, cytoself."""

import warnings
from functools import wraps

import anndata
import h5py
import numpy as np
import pandas as pd
import zarr

from compute.importers.crop_arrays import import_crop_arrays
from tests.compute.importers.drawn_layouts import CONFIG, Written, new, write_cells, write_wells
from tests.compute.importers.drawn_plate import CHANNELS, NAMES, SIZE


def _with_plain_strings(write):
    """anndata does not write the strings of pandas 3 yet."""

    @wraps(write)
    def written(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context = pd.option_context("future.infer_string", False)
            with context:
                return write(*args, **kwargs)

    return written


def _array(group, name, values, version):
    sides = tuple(min(side, 64) for side in values.shape[-2:])
    chunks = (1,) * (values.ndim - 2) + sides
    separators = {"dimension_separator": "/"} if version == 2 else {}
    options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if separators else {}
    # Chunks that hold the fill value only are not written, as usual.
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks, fill_value=0, **options
    )
    array[...] = values


def _multiscale(group, values, axes, version, channels=()):
    said = {
        "multiscales": [
            {
                "version": version,
                "axes": [
                    {"name": name, "type": "channel"}
                    if name == "c"
                    else {"name": name, "type": "space", "unit": "micrometer"}
                    for name in axes
                ],
                "datasets": [
                    {
                        "path": f"s{level}",
                        "coordinateTransformations": [
                            {
                                "type": "scale",
                                "scale": [1.0 if name == "c" else 0.2 * 2**level for name in axes],
                            }
                        ],
                    }
                    for level in range(2)
                ],
            }
        ]
    }
    if channels:
        said["omero"] = {"channels": [{"label": name, "color": "FFFFFF"} for name in channels]}
    if version == "0.4":
        group.attrs.update(said)
    else:
        group.attrs["ome"] = {"version": version, **said}
    form = 2 if version == "0.4" else 3
    _array(group, "s0", values, form)
    _array(group, "s1", values[..., ::2, ::2], form)


def ome_zarr(root, fields, *, version="0.5", more=()):
    """An image with its labels (and further ones, called by `more`) per field."""
    images = new(root / "images")
    form = 2 if version == "0.4" else 3
    for one in fields:
        path = images / f"{one.well}_{one.site}.ome.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=form)
        _multiscale(group, one.image, "cyx", version, CHANNELS)
        labels = group.create_group("labels")
        names = ["cells", *more]
        labels.attrs.update({"labels": names} if form == 2 else {"ome": {"labels": names}})
        _multiscale(labels.create_group("cells"), one.labels.astype(np.int32), "yx", version)
        for name in more:
            _multiscale(labels.create_group(name), one.nuclei.astype(np.int32), "yx", version)
    options = {
        "preset": "ome-zarr", "config": CONFIG, "table": write_wells(root),
        "cells": write_cells(root, fields, lambda one: f"{one.well}_{one.site}", "label",
                             "localization"),
    }  # fmt: skip
    return Written(root, images, options)


@_with_plain_strings
def spatialdata(root, fields):
    """All fields in one object; the table's rows are in another order than the labels."""
    root.mkdir(parents=True)
    path = root / "plate.sdata.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    images, labels = group.create_group("images"), group.create_group("labels")
    rows = []
    for one in fields:
        name = f"{one.well}_{one.site}"
        _multiscale(images.create_group(name), one.image, "cyx", "0.5-dev-spatialdata", CHANNELS)
        _multiscale(labels.create_group(f"{name}_cells"), one.labels.astype(np.int32), "yx",
                    "0.5-dev-spatialdata")  # fmt: skip
        rows += [
            {"region": f"{name}_cells", "cell_id": number, "protein": one.protein,
             "localization": one.class_of(number) if number % 7 else None}
            for number in one.numbers
        ]  # fmt: skip
    obs = pd.DataFrame(rows).sample(frac=1, random_state=3)
    obs.index = [str(n) for n in range(len(obs))]
    for name in ("region", "protein", "localization"):
        obs[name] = pd.Categorical(obs[name])
    said = {"region": sorted(set(obs["region"])), "region_key": "region",
            "instance_key": "cell_id"}  # fmt: skip
    table = anndata.AnnData(
        np.zeros((len(obs), 1), np.float32), obs=obs, uns={"spatialdata_attrs": said}
    )
    tables = group.create_group("tables")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.io.write_elem(tables, "table", table)
    options = {"preset": "spatialdata", "config": CONFIG, "marker": "RFP"}
    return Written(root, path, options)


def stretched(image):
    """A crop as scPortrait stretches it: between its own percentiles, float16."""
    low, high = (np.percentile(image, q, axis=(1, 2), keepdims=True) for q in (0.1, 99.9))
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float16)


def whole_crops(fields):
    """Field, number, image, mask of every cell around which a crop fits, in a shuffled order."""
    every = [(one, n, *one.crop(n)[:2]) for one in fields for n in one.whole]
    return [every[i] for i in np.random.default_rng(5).permutation(len(every))]


@_with_plain_strings
def scportrait(root, fields, *, masked=False, masks=("seg_all_cytosol",)):
    """A file of crops, their mask first; multiplied by it if `masked`."""
    root.mkdir(parents=True)
    crops = whole_crops(fields)
    planes = [
        np.concatenate([mask[None].astype(np.float16)] * len(masks)
                       + [stretched(image) * (mask if masked else 1)])
        for _, _, image, mask in crops
    ]  # fmt: skip
    ids = [1000 * NAMES.index((one.well, one.site)) + n for one, n, _, _ in crops]
    obs = pd.DataFrame(
        {
            "scportrait_cell_id": np.array(ids, np.uint64),
            "protein": [one.protein for one, *_ in crops],
            "localization": [one.class_of(n) for one, n, *_ in crops],
            "field": [f"{one.well}_{one.site}" for one, *_ in crops],
        },
        index=[str(n) for n in range(len(crops))],
    )
    names = [*masks, *CHANNELS]
    kinds = pd.Categorical(["mask"] * len(masks) + ["image_channel"] * len(CHANNELS))
    var = pd.DataFrame({"channels": names, "channel_mapping": kinds}, index=names)
    table = anndata.AnnData(obs=obs, var=var)
    path = root / "single_cells.h5sc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.write_h5ad(path)
    with h5py.File(path, "a") as file:
        if "X" in file:
            del file["X"]
        file.require_group("obsm").create_dataset(
            "single_cell_images", data=np.stack(planes).astype(np.float16),
            chunks=(1, 1, SIZE, SIZE), compression="lzf",
        )  # fmt: skip
    return Written(root, path, {"layout": "scportrait", "marker": "RFP"}, read=import_crop_arrays,
                   seen=lambda image: stretched(image).astype(np.float32))  # fmt: skip


def cytoself(root, fields, *, numbered=True):
    """Arrays of protein and nucleus: numbered, with tables, or two for each protein."""
    root.mkdir(parents=True)
    crops = whole_crops(fields)
    if numbered:
        half = len(crops) // 2
        for part, some in enumerate((crops[:half], crops[half:])):
            np.save(root / f"Image_data{part:02}.npy", np.stack([_four(*c) for c in some]))
            pd.DataFrame(
                {
                    "ensg": ["ENSG0"] * len(some),
                    "name": [one.protein for one, *_ in some],
                    "loc_grade1": [one.class_of(n) for one, n, *_ in some],
                    "loc_grade2": ["" for _ in some],
                    "FOV_id": [f"{one.well}_{one.site}" for one, *_ in some],
                }
            ).to_csv(root / f"Label_data{part:02}.csv", index=False)
    else:
        for protein in sorted({one.protein for one, *_ in crops}):
            own = [image for one, _, image, _ in crops if one.protein == protein]
            np.save(root / f"{protein}_pro.npy", np.stack([i[1] for i in own]).astype("f4"))
            np.save(root / f"{protein}_nuc.npy", np.stack([i[0] for i in own]).astype("f4"))
            np.save(root / f"{protein}_label.npy", np.array([{"pickled": True}], object))
    return Written(root, root, {"layout": "cytoself"}, planes=(1, 0), masks="inside",
                   classes=numbered, read=import_crop_arrays,
                   seen=lambda image: image.astype(np.float32))  # fmt: skip


def _four(one, number, image, mask):
    top, left = one.corner(number)
    nuclei = one.nuclei[top : top + SIZE, left : left + SIZE] > 0
    return np.stack([image[1], image[0], image[0] * 0, nuclei], -1).astype(np.float32)
