"""Cells to look at before a store is trusted: some without any flag, and the worst of every flag.

Layer: reads a store, some cells at a time, and returns the table `mosaic`. `choose` is pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from skimage.measure import approximate_polygon

from compute import schema
from compute.errors import InputError
from compute.hashing import Stream, mix
from compute.images.worst_cells import MEASURES, NEEDS_PIXELS
from compute.runs.example_crops import outline, pixels_as_png
from compute.schema import CellFlag
from compute.storage.atomic_files import write_stream
from compute.storage.paths import RunPaths
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore
from compute.store.some_rows import from_few_blocks, read_rows

CELLS = 40
"""Cells in a mosaic, where the store has as many."""

LEAST_GOOD, MOST_OF_A_FLAG = 16, 8
"""Of them, cells without a flag at least, and cells of one flag at most, while there are enough."""

COMPARED = 2_000
"""Cells of a flag among which the worst are looked for, at most."""

COMPARED_BYTES = 1 << 29
"""Bytes of pixels of these, at most."""

LARGEST_PICTURE = 192
"""Side of a picture, pixels, above which crops are reduced by a whole number."""

BITS = 12
"""Bits of a picture's pixel at most: enough for any contrast."""

GOOD = "good"
"""The group of cells without any flag."""

Severity = Callable[[CellFlag, NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.float64]]]
"""Takes a flag and rows of the store; returns those that were looked at, and how bad each is."""


def make_mosaic(store: CropStore | Path | str, *, seed: int = 0, bits: int = BITS) -> pa.Table:
    """Choose cells of a store that show whether its masks can be trusted, with their pictures.

    Memory does not grow with the store's pixels: what is compared is read some rows at a time.

    Parameters
    ----------
    store
        A crop store, or its folder.
    seed
        Decides which cells are drawn; the same seed gives the same table.
    bits
        Bits of a picture's pixel, 4 to 16; `BITS` by default.

    Returns
    -------
    Table
        Columns of `compute.schema.MOSAIC`, a row per cell, at most `CELLS`.

    Examples
    --------
    >>> from compute import make_mosaic
    >>> make_mosaic("store").num_rows
    40
    """
    opened = store if isinstance(store, CropStore) else CropStore(store)
    chosen = choose(opened.cells, _severity_in(opened, seed), seed)
    rows: list[dict[str, Any]] = []
    for found, arrays in read_rows(opened, chosen["cell"].to_numpy()):
        masks = arrays.unpack(np.asarray(arrays.masks))
        foregrounds = arrays.unpack(np.asarray(arrays.foregrounds))
        for cell, image, mask, foreground in zip(
            found.tolist(), np.asarray(arrays.images), masks, foregrounds, strict=True
        ):
            rows.append({"cell": cell, **_picture(image, mask, foreground, bits)})
    pictures = pd.DataFrame(rows, columns=["cell", *_PICTURE]).set_index("cell")
    facts = opened.cells[["protein", "localization", "labels", "field", "flags"]]
    full = chosen.join(facts, on="cell").join(pictures, on="cell")
    full["size"] = opened.size
    records = [
        {name: _plain(value) for name, value in row.items()} for row in full.to_dict("records")
    ]
    return pa.Table.from_pylist(records, schema=schema.MOSAIC)


@dataclass(frozen=True)
class FoundMosaic:
    """A mosaic with what is needed to draw it.

    Parameters
    ----------
    table
        Columns of `compute.schema.MOSAIC`.
    channels
        Names of the store's channels.
    marker
        The one that shows whole cells, or None.
    """

    table: pa.Table
    channels: list[str]
    marker: str | None


def mosaic_of(path: Path | str) -> FoundMosaic:
    """Make the mosaic of a crop store, or read that of a run.

    Parameters
    ----------
    path
        Folder of the store or the run.

    Raises
    ------
    InputError
        The run has none.
    """
    if not RunPaths(path).header.is_file():
        store = CropStore(path)
        table, about = make_mosaic(store), store.meta
    else:
        run = RunDirectory(path)
        about = run.meta.get("store", {})
        there = run.summary("mosaic").is_file()
        table = run.read("mosaic") if there else schema.MOSAIC.empty_table()
        if not len(table):
            raise InputError(
                f"{path} has no pictures of its cells: it is not finished, was made without "
                "examples, or before runs kept them.",
                "Give its crop store instead: bystander check STORE --pictures FOLDER.",
            )
    return FoundMosaic(table, list(about["channels"]), about["source"].get("marker"))


def write_mosaic(run: RunDirectory, store: CropStore, seed: int, wanted: bool, bits: int) -> None:
    """Write a run's `mosaic` table if it is not there.

    Parameters
    ----------
    run, store
        The run and what it is made from.
    seed
        Decides which cells are drawn.
    wanted
        Whether the run keeps crops to look at; without, the table is empty.
    bits
        Bits of a pixel, at most.
    """
    path = run.summary("mosaic")
    if path.is_file():
        return
    table = make_mosaic(store, seed=seed, bits=min(bits, BITS)) if wanted else None
    write_stream(path, iter(() if table is None else (table,)), schema.MOSAIC, CELLS)


def choose(cells: pd.DataFrame, severity: Severity, seed: int = 0) -> pd.DataFrame:
    """Choose the cells of a mosaic.

    Parameters
    ----------
    cells
        A store's `cells`, in order: `protein`, `localization` and `flags` are read.
    severity
        Says how extreme cells are of a flag.
    seed
        Decides which cells are drawn, and which come first of equally bad ones.

    Returns
    -------
    DataFrame
        `cell` (each once), `group`, `rank`, `group_cells`, `looked_at`, as in `schema.MOSAIC`:
        first the cells without a flag, then flag by flag the worst ones.
    """
    flags = cells["flags"].to_numpy()
    lot = mix(seed, Stream.MOSAIC_CELLS, np.arange(len(cells)))
    good = np.flatnonzero(flags == 0)
    of_flag = {flag: np.flatnonzero((flags & int(flag)) != 0) for flag in schema.CELL_FLAGS}
    shares = share_out(len(good), {flag: len(rows) for flag, rows in of_flag.items()})
    worst: list[pd.DataFrame] = []
    taken = np.zeros(0, np.int64)
    for flag, rows in of_flag.items():
        if shares[flag] == 0:
            continue
        looked, bad = severity(flag, rows)
        ordered = looked[np.lexsort((lot[looked], -bad))]
        # What is shown of one flag already is not shown again of the next.
        some = ordered[~np.isin(ordered, taken)][: shares[flag]]
        worst.append(_group(some, str(flag.name), len(rows), len(looked)))
        taken = np.concatenate([taken, some])
    first = spread(cells.iloc[good], lot[good])[: CELLS - len(taken)]
    return pd.concat([_group(first, GOOD, len(good), len(good)), *worst], ignore_index=True)


def share_out(good: int, flagged: Mapping[CellFlag, int]) -> dict[CellFlag, int]:
    """Divide a mosaic among flags; cells without a flag get what is left.

    Parameters
    ----------
    good
        Number of cells without a flag.
    flagged
        Number of cells of each flag.

    Returns
    -------
    dict
        Cells to show of each flag: all get as many, but none more than it has, nor more than
        `MOST_OF_A_FLAG` while there are unflagged ones to show.
    """
    room = CELLS - min(good, LEAST_GOOD)
    # Where there are few cells without a flag, the flags have their room.
    most = MOST_OF_A_FLAG if good >= LEAST_GOOD else CELLS
    shares = dict.fromkeys(flagged, 0)
    while room > 0:
        open_ = [f for f, count in flagged.items() if shares[f] < min(count, most)]
        if not open_:
            break
        for flag in open_[:room]:
            shares[flag] += 1
        room -= len(open_)
    return shares


def spread(cells: pd.DataFrame, lot: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Order cells so that the first ones are of as many classes and proteins as can be.

    Parameters
    ----------
    cells
        Columns `protein` and `localization`; the index is returned.
    lot
        A random number for each.

    Returns
    -------
    ndarray
        The index, reordered: a cell of every class, then a second one of another protein, and so
        on. Cells without a class count as one class.
    """
    frame = pd.DataFrame(
        {
            "cell": cells.index.to_numpy(),
            "place": pd.factorize(cells["localization"])[0],
            "protein": pd.factorize(cells["protein"])[0],
            "lot": lot,
        }
    ).sort_values("lot", kind="stable")
    frame["of_protein"] = frame.groupby(["place", "protein"]).cumcount()
    frame = frame.sort_values(["of_protein", "lot"], kind="stable")
    frame["of_place"] = frame.groupby("place").cumcount()
    return frame.sort_values(["of_place", "lot"], kind="stable")["cell"].to_numpy(np.int64)


def _group(rows: NDArray[np.int64], name: str, cells: int, looked_at: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell": rows,
            "group": name,
            "rank": np.arange(1, len(rows) + 1),
            "group_cells": cells,
            "looked_at": looked_at,
        }
    )


def _severity_in(store: CropStore, seed: int) -> Severity:
    """Return how cells of a store are measured, where many have a flag a sample of them."""
    marker = store.meta["source"].get("marker")
    shown = [store.channels.index(marker)] if marker in store.channels else slice(None)
    row_bytes = len(store.channels) * store.size**2 * store.dtype.itemsize

    def severity(
        flag: CellFlag, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        pixels = flag in NEEDS_PIXELS
        most = min(COMPARED, max(CELLS, COMPARED_BYTES // row_bytes)) if pixels else COMPARED
        drawn = from_few_blocks(store, rows, most, seed)
        found, bad = [np.zeros(0, np.int64)], [np.zeros(0)]
        for some, arrays in read_rows(store, drawn, images=pixels):
            masks, foregrounds = (
                arrays.unpack(np.asarray(packed)) for packed in (arrays.masks, arrays.foregrounds)
            )
            found.append(some)
            bad.append(MEASURES[flag](np.asarray(arrays.images)[:, shown], masks, foregrounds))
        return np.concatenate(found), np.concatenate(bad)

    return severity


_PICTURE = ("reduced", "images", "offset", "gain", "outline", "neighbours")


def _picture(
    image: NDArray[Any], mask: NDArray[np.bool_], foreground: NDArray[np.bool_], bits: int
) -> dict[str, Any]:
    """Return a crop, shape (C, H, W), and its outlines as `schema.MOSAIC` has them."""
    factor = -(-image.shape[-1] // LARGEST_PICTURE)
    side = image.shape[-1] // factor
    inside = image[:, : side * factor, : side * factor].astype(np.float32)
    small = inside.reshape(len(image), side, factor, side, factor).mean((2, 4))
    return {
        "reduced": factor,
        **pixels_as_png(small, image.dtype, bits),
        "outline": _traced(mask, factor),
        "neighbours": _traced(foreground & ~mask, factor),
    }


def _traced(mask: NDArray[np.bool_], factor: int) -> list[list[float]]:
    """Trace a mask in pixels of a picture that is reduced by a factor."""
    if factor == 1:
        return outline(mask)
    traced = []
    for contour in outline(mask):
        points = (np.reshape(contour, (-1, 2)) + 0.5) / factor - 0.5
        # A quarter of a pixel that is shown is not seen, but takes most of a large mask's points.
        traced.append(approximate_polygon(points, 0.25).ravel().round(2).tolist())
    return traced


def _plain(value: Any) -> Any:
    """Return what Arrow takes: None for what is missing, lists for arrays."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if isinstance(value, float) and np.isnan(value) else value
