"""Single-cell crops of scPortrait: an AnnData file whose `obsm` holds images.

What is in it
    ``single_cells.h5sc``: ``obsm/single_cell_images``, shape (cells, channels, H, W), float16, 0 to
    1, of which the first channels are masks, blurred at their edge (0.5 is the edge); ``var`` names
    channels and says which are masks; ``obs`` has ``scportrait_cell_id``, the label in the
    segmentation, and what else was added. scPortrait multiplies every crop by its mask, so that no
    background is left, and such a file is refused; crops without that have to be cut by hand. Every
    channel of a crop is stretched between its own percentiles, so that brightness says nothing
    between cells.
Publication
    Mädler and others, "scPortrait integrates single-cell images into multimodal modeling", bioRxiv
    2025.09.22.677590, doi:10.1101/2025.09.22.677590.
Address
    https://github.com/MannLabs/scPortrait
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from compute.errors import InputError
from compute.importers.array_record import ArrayListing, ArrayRecord, CropArrays
from compute.importers.cell_rows import attribute_columns, cell_rows, whole_numbers
from compute.importers.hdf5 import BROKEN, own_dataset, refuse_links
from compute.importers.layout import LayoutOptions
from compute.importers.wide_table import as_texts
from compute.importers.wording import printable, short_list
from compute.storage.regular_files import refuse_special

IMAGES = "obsm/single_cell_images"

CELL = "scportrait_cell_id"

EDGE = 0.5
"""Value at a mask's edge, which is blurred."""

_REMEDY = "Give single_cells.h5sc, from a project's extraction/data."


def list_crops(source: Path, options: LayoutOptions) -> ArrayListing:
    """List the crops of a file.

    Parameters
    ----------
    source
        The file, or a project's folder.
    options
        Its `objects` (which mask is the cell's) and columns of ``obs``.

    Raises
    ------
    InputError
        It is no such file, or has no mask.
    """
    path = _file(source)
    try:
        with h5py.File(path, "r") as file:
            images = own_dataset(path, file, IMAGES, _REMEDY)
            if images.ndim != 4 or images.dtype.kind not in "uif" or 0 in images.shape:
                raise InputError(
                    f"{path}: {IMAGES} is {'×'.join(map(str, images.shape))} of {images.dtype}.",
                    "Expected cells, channels, rows and columns.",
                )
            count, channels, height, width = images.shape
            names, kinds = _channels(path, file, channels)
            obs = _obs(path, file, count)
    except BROKEN as error:
        raise InputError(f"{path} cannot be read as HDF5: {error}.", _REMEDY) from error
    if height != width:
        raise InputError(f"{path}: crops of {height}×{width}; a store needs squares.", _REMEDY)
    mask, notes = _mask(path, names, kinds, options.objects)
    planes = tuple(n for n, kind in enumerate(kinds) if kind != "mask")
    texts = [str(column) for column in obs.columns if column != CELL]
    columns, said = attribute_columns(
        texts, options.protein_column, options.class_column, f"{path}, obs"
    )
    ids = np.arange(count)
    if CELL in obs:
        values = pd.to_numeric(obs[CELL], errors="coerce").to_numpy(np.float64)
        ids = whole_numbers(values, f"{path}, obs/{CELL}")
    rows, known = cell_rows(obs[texts], columns, None, ids)
    field = next((name for name in texts if name.casefold() in ("field", "fov", "image")), None)
    fields = (
        obs[field].fillna(path.stem).to_numpy(object)
        if field is not None
        else np.full(count, path.stem, object)
    )
    record = ArrayRecord(path.stem, (path,), count, planes, rows, fields, known, mask)
    notes += said
    notes.append(
        "Every crop was stretched between its own percentiles, so brightness cannot be compared "
        "between cells."
    )
    return ArrayListing(
        (record,), tuple(names[n] for n in planes), int(height), read_crops, tuple(notes)
    )


def read_crops(record: ArrayRecord, start: int, stop: int) -> CropArrays:
    """Read the crops from `start` to `stop`."""
    path = record.files[0]
    try:
        with h5py.File(path, "r") as file:
            values = own_dataset(path, file, IMAGES, _REMEDY)[start:stop]
    except BROKEN as error:
        raise InputError(f"{path}, cells {start} on: {error}.", "Copy the file anew.") from error
    images = values[:, list(record.planes)].astype(np.float32)
    masks = None if record.mask is None else values[:, record.mask] >= EDGE
    return CropArrays(images, masks)


def _file(source: Path) -> Path:
    if source.is_dir():
        found = sorted(source.rglob("*.h5sc"))
        if len(found) != 1:
            names = short_list([printable(path.relative_to(source)) for path in found], 5)
            raise InputError(
                f"{printable(source)}: {len(found)} files called .h5sc ({names or 'none'}).",
                "Give one of them.",
            )
        refuse_special(found[0])
        return found[0]
    if not source.is_file():
        raise InputError(f"{printable(source)}: no such file.", "Check the path.")
    return source


def _read(path: Path, file: h5py.File, name: str) -> Any:
    try:
        from anndata.io import read_elem
    except ImportError as error:
        raise InputError(
            f"{path}: its tables need a further package.", 'pip install "bystander[anndata]"'
        ) from error
    refuse_links(path, file, name, _REMEDY)
    try:
        return read_elem(file[name])
    except Exception as error:
        raise InputError(
            f"{path}: {name} cannot be read as AnnData: {str(error).splitlines()[0][:200]}.",
            _REMEDY,
        ) from error


def _channels(path: Path, file: h5py.File, count: int) -> tuple[list[str], list[str]]:
    """Return the channels' names, and what kind each is: ``"mask"`` or an image."""
    var = _read(path, file, "var")
    missing = [name for name in ("channels", "channel_mapping") if name not in var.columns]
    if missing or len(var) != count:
        raise InputError(
            f"{path}: var does not say what the {count} channels are.",
            "Write the file again with scPortrait 1.6 or newer.",
        )
    names = [str(name) for name in var["channels"]]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two channels of one name, {short_list(names)}.", _REMEDY)
    return names, [str(kind) for kind in var["channel_mapping"]]


def _obs(path: Path, file: h5py.File, count: int) -> pd.DataFrame:
    obs = _read(path, file, "obs")
    if len(obs) != count:
        raise InputError(f"{path}: obs has {len(obs)} rows for {count} crops.", _REMEDY)
    return pd.DataFrame(
        {str(name): as_texts(obs[name]) for name in obs.columns}, index=range(1, count + 1)
    )


def _mask(
    path: Path, names: list[str], kinds: list[str], objects: str | None
) -> tuple[int, list[str]]:
    """Return which channel is the mask of the whole cell."""
    masks = [n for n, kind in enumerate(kinds) if kind == "mask"]
    if not masks:
        raise InputError(f"{path}: no channel is a mask.", _REMEDY)
    if objects is not None:
        if objects not in [names[n] for n in masks]:
            raise InputError(
                f"{path}: no mask called {objects!r}; it has "
                f"{short_list([names[n] for n in masks])}.",
                "Name one of these (--objects).",
            )
        return names.index(objects), []
    whole = [n for n in masks if "cyto" in names[n] or "cell" in names[n]]
    if len(whole) == 1 or len(masks) == 1:
        chosen = (whole or masks)[0]
        nucleus = "nuc" in names[chosen] and not whole
        return chosen, ["The masks are of nuclei."] if nucleus else []
    raise InputError(
        f"{path}: several masks, {short_list([names[n] for n in masks])}.",
        "Name the whole cell's (--objects).",
    )
