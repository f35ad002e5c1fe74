"""What a crop store holds, topic by topic, for whoever has just imported it.

Layer: reads a store's tables and a few hundred of its crops; returns sentences.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.store.part import CELL
from compute.store.reader import CropStore
from compute.store.some_rows import from_few_blocks, read_rows

LISTED = 20
"""Classes that are listed with their counts; of more the largest."""

EXAMPLES = 3
"""Places that are named of what was left out for one reason."""

LOOKED_AT = 256
"""Cells whose pixels are looked at for the range of values, in as few blocks as hold them."""

LOOKED_AT_BYTES = 1 << 28
"""Bytes of pixels of these, at most."""


@dataclass(frozen=True)
class Fact:
    """One thing that a person should know of a store.

    Parameters
    ----------
    topic
        What it is about, in a word or two; the same for several facts about one thing.
    text
        The fact.
    """

    topic: str
    text: str

    def line(self) -> str:
        """Return it as a line of text."""
        return f"  {self.topic}: {self.text}"


@dataclass
class _Cells:
    """What is counted while `cells` is read."""

    proteins: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    labelled: set[str] = field(default_factory=set)
    classes: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    several: int = 0


def summarise_store(path: Path | str) -> list[Fact]:
    """Say what a crop store holds, how its masks came about, what was left out and why.

    Parameters
    ----------
    path
        Its folder.

    Returns
    -------
    list of Fact
        In the order in which they should be read.
    """
    store = CropStore(path)
    return list(_facts(store, _count(store)))


def _count(store: CropStore) -> _Cells:
    """Count names and classes, some rows at a time."""
    found = _Cells()
    columns = ["protein", "labels", "field", "split"]
    for rows in pq.ParquetFile(store.whole(store.paths.cells)).iter_batches(columns=columns):
        found.proteins.update(rows["protein"].unique().to_pylist())
        found.fields.update(rows["field"].unique().to_pylist())
        has = rows.filter(rows["labels"].is_valid())
        found.labelled.update(has["protein"].unique().to_pylist())
        found.unlabelled += rows["labels"].null_count
        found.classes.update(has["labels"].flatten().to_pylist())
        lengths = pc.list_value_length(has["labels"]).to_numpy(zero_copy_only=False)
        found.several += int((lengths > 1).sum())
        found.splits.update(rows["split"].drop_null().to_pylist())
    return found


def _facts(store: CropStore, cells: _Cells) -> Iterator[Fact]:
    meta = store.meta
    counts, source, left = meta["counts"], meta["source"], meta["rejections"]
    rejected = sum(item["count"] for item in left if item.get("what", CELL) == CELL)
    uncut = sum(item["count"] for item in left) - rejected
    yield Fact(
        "cells",
        f"{counts['cells'] + rejected:,} found, {counts['cells']:,} stored, "
        f"{counts['usable']:,} usable{', simulated' if store.simulated else ''}",
    )
    yield Fact("proteins", f"{len(cells.proteins):,}")
    more = f"; {uncut:,} more field(s) or file(s) could not be taken" if uncut else ""
    yield Fact("fields", f"{len(cells.fields):,} (images that cells were cut from){more}")
    yield from _of_classes(cells)
    if cells.splits:
        yield Fact("splits", _listed(cells.splits))
    yield Fact("crops", f"{store.size} × {store.size} pixels, {store.dtype}")
    yield from _of_channels(store)
    if origin := schema.mask_origin(source):
        yield Fact("masks", origin)
    for name, count in counts["flags"].items():
        if count:
            flag = schema.CellFlag[name]
            kept = "" if flag & schema.UNUSABLE else " (stays in trials)"
            yield Fact("flags", f"{count:,} × {schema.CELL_FLAGS[flag]}{kept}")
    yield Fact("windows", f"{counts['windows']:,} without cells")
    for item in left:
        places = item["examples"][:EXAMPLES]
        more = ", …" if item["count"] > len(places) else ""
        yield Fact("left out", f"{item['count']:,} × {item['reason']} ({'; '.join(places)}{more})")
    for note in source.get("notes", []):
        yield Fact("note", note)


def _of_classes(cells: _Cells) -> Iterator[Fact]:
    """Say how many cells are of which class, and how many of none."""
    if cells.classes:
        several = f"; {cells.several:,} cells are in several" if cells.several else ""
        yield Fact("classes", f"{len(cells.classes)}: {_listed(cells.classes)}{several}")
    if cells.unlabelled:
        without = len(cells.proteins - cells.labelled)
        yield Fact(
            "no class",
            f"{cells.unlabelled:,} cells, {without:,} protein(s) without any class: no swap by "
            "class, not in pair tests",
        )


def _listed(counts: Counter[str]) -> str:
    """List names with their counts in the order of names; of many the largest, and the rest."""
    most = [name for name, _ in counts.most_common(LISTED)] if len(counts) > LISTED else counts
    said = ", ".join(f"{name} {counts[name]:,}" for name in sorted(most, key=str.casefold))
    rest = len(counts) - len(most)
    if not rest:
        return said
    others = sum(counts.values()) - sum(counts[name] for name in most)
    return f"{said}, and {rest:,} smaller ones with {others:,} cells"


def _of_channels(store: CropStore) -> Iterator[Fact]:
    """Say which values the pixels of some cells have, channel by channel."""
    cells = store.meta["counts"]["cells"]
    each = len(store.channels) * store.size**2 * store.dtype.itemsize
    most = max(1, min(LOOKED_AT, LOOKED_AT_BYTES // each))
    rows = from_few_blocks(store, np.arange(cells), most, seed=0)
    some: list[NDArray[Any]] = []
    for _, arrays in read_rows(store, rows):
        pixels = np.asarray(arrays.images)
        flat = pixels.reshape(len(pixels), len(store.channels), -1)
        some.append(np.stack([flat.min(2), np.median(flat, 2), flat.max(2)]).astype(np.float64))
    low, middle, high = np.concatenate(some, axis=1)
    marker = store.meta["source"].get("marker")
    looked = "" if len(rows) == cells else f" in {len(rows):,} cells"
    for number, name in enumerate(store.channels):
        least, largest = float(low[:, number].min()), float(high[:, number].max())
        shows = ", shows whole cells" if name == marker else ""
        yield Fact(
            "channel",
            f"{name}{shows}: values {_number(least, largest)} to {_number(largest, largest)}, "
            f"typically {_number(float(np.median(middle[:, number])), largest)}{looked}",
        )


def _number(value: float, largest: float) -> str:
    """Write a pixel's value; beside far larger ones, rounding errors pass for 0."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    return "0" if abs(value) < 1e-6 * abs(largest) else f"{value:,.4g}"
