"""Deals a store's cells out to the splits train and test, by hashes. Tables in, tables out."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from compute.hashing import Stream, mix

ONE_FIELD = ("cells", "proteins")
"""What can be dealt out instead of fields, of proteins that have one field only."""


@dataclass(frozen=True)
class Splits:
    """The split of every cell that was given none.

    Parameters
    ----------
    fields
        A row per field: `protein`, `field`, `split`.
    cells
        Splits of cells that are not their field's, by number of the cell.
    note
        A sentence about proteins with one field only; empty if there are none.
    """

    fields: pd.DataFrame
    cells: pd.Series
    note: str


def draw_splits(tables: Iterable[pa.Table], share: float, one_field: str | None) -> Splits:
    """Draw by hash which of every protein's fields are ``train``, a share, and which ``test``.

    Parameters
    ----------
    tables
        Of `cells`, with `cell`, `protein`, `localization`, `field` and `split`; gone through once.
    share
        Of fields for training, between 0 and 1.
    one_field
        One of `ONE_FIELD` for proteins with one field: a share of the cells of each, or every
        protein as a whole, spread evenly over localizations. None leaves them as fields.
    """
    names = ["protein", "field"]
    known = pa.schema([pa.field(name, pa.string()) for name in names]).empty_table()
    places: dict[str, str] = {}
    cells: dict[str, list[int]] = {}
    several: set[str] = set()
    first: dict[str, str] = {}
    for table in tables:
        both = pa.concat_tables([known, table.select(names).cast(known.schema)])
        known = both.group_by(names, use_threads=False).aggregate([])
        open_ = table.filter(pc.is_null(table["split"]))
        columns = (open_[name].to_pylist() for name in ("cell", "protein", "localization", "field"))
        for cell, protein, place, field in zip(*columns, strict=True):
            places.setdefault(protein, place or "")
            if first.setdefault(protein, field) != field and protein not in several:
                several.add(protein)
                cells.pop(protein, None)
            if one_field == "cells" and protein not in several:
                cells.setdefault(protein, []).append(cell)
    pairs = known.to_pandas()
    pairs["hash"] = mix(Stream.TRAIN_FIELDS, _hashed(pairs["field"]))
    pairs = pairs.sort_values(["protein", "hash"])
    rank = pairs.groupby("protein").cumcount()
    many = pairs.groupby("protein")["field"].transform("size")
    pairs["split"] = np.where(rank < np.rint(share * many), "train", "test")
    fields = pairs[["protein", "field", "split"]]
    single = sorted(set(pairs["protein"][many == 1]) & set(places))
    own = {}
    if single and one_field == "proteins":
        drawn = _whole(single, places, share)
        split = fields["protein"].map(drawn)
        fields = fields.assign(split=split.where(split.notna(), fields["split"]))
    if one_field == "cells":
        for protein in single:
            own.update(_shared_out(cells[protein], share))
    return Splits(fields, pd.Series(own, dtype=object), _note(single, len(places), one_field))


def fill_splits(tables: Iterable[pa.Table], drawn: Splits) -> Iterator[pa.Table]:
    """Pass on `cells` with their empty splits filled from `draw_splits`."""
    for table in tables:
        frame = table.select(["cell", "protein", "field", "split"]).to_pandas()
        own = frame.merge(drawn.fields, on=["protein", "field"], how="left", suffixes=("", "_d"))
        split = own["split"].where(own["split"].notna(), own["cell"].map(drawn.cells))
        split = split.where(split.notna(), own["split_d"])
        place = table.schema.get_field_index("split")
        yield table.set_column(place, table.schema.field(place), pa.array(split, pa.string()))


def _whole(proteins: list[str], places: dict[str, str], share: float) -> dict[str, str]:
    """Deal out whole proteins, so that those of every localization are shared out evenly."""
    hashes = dict(zip(proteins, mix(Stream.TRAIN_FIELDS, _hashed(proteins)), strict=True))
    order = sorted(proteins, key=lambda name: (places[name], hashes[name]))
    ends = np.floor(np.arange(len(order) + 1) * share + 0.5)
    train = np.diff(ends) > 0
    return {name: "train" if one else "test" for name, one in zip(order, train, strict=True)}


def _shared_out(cells: list[int], share: float) -> dict[int, str]:
    """Deal out the cells of one protein."""
    order = np.argsort(mix(Stream.TRAIN_FIELDS, np.asarray(cells)), kind="stable")
    train = set(order[: int(np.rint(share * len(cells)))].tolist())
    return {cell: "train" if i in train else "test" for i, cell in enumerate(cells)}


def _note(single: list[str], proteins: int, one_field: str | None) -> str:
    if not single:
        return ""
    begin = f"{len(single)} of {proteins} proteins to be split have one field only: "
    if one_field == "cells":
        return begin + "their cells are dealt out, so a field is in both splits."
    if one_field == "proteins":
        return begin + "these are dealt out whole, so what is learned on some is tested on others."
    return begin + (
        "all cells of each are in one split. --one-field cells deals out their cells, --one-field "
        "proteins whole proteins."
    )


def _hashed(names: Iterable[str]) -> np.ndarray:
    return np.asarray([zlib.crc32(name.encode()) for name in names])
