"""A SpatialData object: images, labels and a table of cells, in Zarr.

What is in it
    ``images/<name>`` and ``labels/<name>`` as OME-Zarr, ``tables/<name>`` as AnnData, whose `uns`
    say which labels its rows are about (`region`) and which column has a row's label
    (`instance_key`). Columns of `obs` say what a cell shows. A ZIP archive of it is read too. Needs
    the extras ``zarr`` and ``anndata``.
Publication
    Marconato and others, "SpatialData", Nature Methods 22: 58, 2025,
    doi:10.1038/s41592-024-02212-x.
Address
    https://spatialdata.scverse.org
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compute.errors import InputError
from compute.importers.cell_rows import SHARED, attribute_columns, cell_rows, whole_numbers
from compute.importers.field_record import CellRows, FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.presets.ome_zarr import Multiscale, choose_labels, multiscale
from compute.importers.read_refs import open_zarr
from compute.importers.wide_table import as_texts
from compute.importers.wording import printable, short_list


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the images of an object.

    Parameters
    ----------
    source
        Its folder or ZIP archive.
    options
        Its `objects` (which labels are the cells) and columns.

    Raises
    ------
    InputError
        It has no images or labels, images and labels do not go together, or a table's columns are
        missing.
    """
    if not source.exists():
        raise InputError(f"{printable(source)}: no such file or folder.", "Check the path.")
    notes: list[str] = []
    with open_zarr(source) as group:
        missing = [name for name in ("images", "labels") if name not in group]
        if missing:
            raise InputError(
                f"{printable(source)}: no {' and no '.join(missing)} in it.",
                "Give a SpatialData object, or use `bystander import ome-zarr` for one image.",
            )
        images = {name: multiscale(group, f"images/{name}") for name in sorted(group["images"])}
        labels = {name: multiscale(group, f"labels/{name}") for name in sorted(group["labels"])}
        pairs = _pairs(images, labels, source, options.objects)
        tables, said = _tables(group, source, options)
        notes += said
    fields, first = [], None
    for name, label in pairs:
        image, marked = images[name], labels[label]
        if image is None or marked is None:
            raise InputError(
                f"{printable(source)}: images/{name} or labels/{label} is no OME-Zarr image.",
                "Write the object again with spatialdata.",
            )
        problem = None
        if first is None:
            first = image
        elif image.names != first.names:
            problem = "other channels than the first image"
        rows, known = tables.get(label, (None, {}))
        fields.append(
            FieldRecord(
                name,
                (ImageRef(source, image.array, tuple(range(image.channels)), axes=image.axes),),
                ImageRef(source, marked.array, axes=marked.axes),
                cells=rows,
                known=known,
                problem=problem,
            )
        )
    return FieldListing(
        fields,
        first.names if first else None,
        first.channels if first else 0,
        first.pixel_size if first else None,
        notes=tuple(notes),
    )


def _pairs(
    images: Mapping[str, Multiscale | None],
    labels: Mapping[str, Multiscale | None],
    source: Path,
    objects: str | None,
) -> list[tuple[str, str]]:
    """Return each image with the labels of the same size whose name fits best."""
    if len(images) == 1:
        return [(next(iter(images)), choose_labels(list(labels), source, objects))]
    pairs = []
    for name, image in images.items():
        size = image.shape[-2:] if image else None
        fitting = [
            label
            for label, own in labels.items()
            if own is not None and own.shape[-2:] == size and _common(name, label)
        ]
        if len(fitting) > 1 and objects is not None:
            fitting = [label for label in fitting if objects in label]
        if len(fitting) != 1:
            raise InputError(
                f"{printable(source)}: the labels of the image {name} are not plain: "
                f"{short_list(fitting) or 'none'} of {short_list(list(labels))}.",
                "Labels are called after their image (field1, field1_cells); --objects chooses.",
            )
        pairs.append((name, fitting[0]))
    return pairs


def _common(image: str, label: str) -> bool:
    def plain(name: str) -> str:
        return re.sub(r"(?i)_?(image|labels?|cells?|masks?|segmentation|nuclei)_?", "", name)

    # As a word of its own: field1 is in field1_cells, and not in field10_cells.
    word = rf"(?<![^\W_]){re.escape(image)}(?![^\W_])"
    return plain(image) == plain(label) or re.search(word, label) is not None


def _tables(
    group: Any, source: Path, options: LayoutOptions
) -> tuple[dict[str, tuple[CellRows, dict[str, str | None]]], list[str]]:
    """Return the rows about the cells of every labels element that a table is about."""
    found: dict[str, tuple[CellRows, dict[str, str | None]]] = {}
    notes: list[str] = []
    if "tables" not in group:
        return found, notes
    try:
        from anndata.io import read_elem
    except ImportError as error:
        raise InputError(
            f"{printable(source)}: its table needs a further package.",
            'pip install "bystander[anndata]"',
        ) from error
    for name in sorted(group["tables"]):
        table = group[f"tables/{name}"]
        try:
            attributes = read_elem(table["uns"]).get("spatialdata_attrs", {})
            obs = read_elem(table["obs"])
        except Exception as error:
            raise InputError(
                f"{printable(source)}: tables/{name} cannot be read as AnnData: "
                f"{str(error).splitlines()[0][:200]}.",
                "Write the object again with spatialdata.",
            ) from error
        key, where = attributes.get("instance_key"), attributes.get("region_key")
        if key not in obs.columns or where not in obs.columns:
            notes.append(f"The table {printable(name)} does not say which cell its rows are about.")
            continue
        texts = pd.DataFrame(
            {str(column): as_texts(obs[column]) for column in obs.columns if column != key}
        )
        rest = [column for column in texts.columns if column != where]
        names, said = attribute_columns(
            rest, options.protein_column, options.class_column, f"{source}, tables/{name}"
        )
        notes += [note for note in said if note not in notes]
        ids = pd.to_numeric(pd.Series(obs[key].astype(object).to_numpy()), errors="coerce")
        numbers = whole_numbers(ids.to_numpy(np.float64), f"{source}, tables/{name}, {key}")
        for region, rows in texts.groupby(where, sort=False):
            numbered = numbers[rows.index.to_numpy() - 1]
            found.setdefault(str(region), cell_rows(rows, names, None, numbered, SHARED))
    return found, notes
