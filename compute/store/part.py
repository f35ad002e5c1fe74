"""A part of a store as tables: crops and windows, checked, flagged and packed. No files.

A `Part` has the tables of some cells, numbered from 0, and what was rejected on the way. Any
process can make one; `compute.store.writer` renumbers their cells and writes them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError, UsageError
from compute.images.cell_quality import flag_cells

DTYPES = ("uint8", "uint16", "float32")

CELL, FIELD = "cell", "field"
"""What can be rejected: one cell, or a whole field, in which nobody has counted cells."""

EXAMPLES = 20
"""Places that are kept, at most, of what was rejected for one reason."""

_TEXTS = ("protein", "orf", "localization", "labels", "field", "replicate", "split")


@dataclass(frozen=True)
class StoreFormat:
    """What all crops of a store have in common.

    Parameters
    ----------
    channels
        Their names in order, such as ``("GFP", "RFP")``; all different.
    size
        Side of a crop, pixels, at least 8.
    dtype
        ``"uint8"``, ``"uint16"`` or ``"float32"``.
    localizations
        All class names, in the order that every table uses; the 15 of the paper by default.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    channels: tuple[str, ...]
    size: int
    dtype: str
    localizations: tuple[str, ...] = tuple(schema.LOCALIZATIONS)

    def __post_init__(self) -> None:
        """Check the values."""
        if self.dtype not in DTYPES:
            raise UsageError(f"Unknown dtype {self.dtype!r}.", f"Allowed: {', '.join(DTYPES)}.")
        if self.size < 8 or not self.channels or len(set(self.channels)) != len(self.channels):
            raise UsageError(
                f"A store needs crops of at least 8 pixels (got {self.size}) and distinct channel "
                f"names (got {list(self.channels)}).",
            )

    @property
    def crops(self) -> pa.Schema:
        """Columns of the store's `crops` table."""
        return schema.crops_schema(len(self.channels), self.size, np.dtype(self.dtype).itemsize)

    @property
    def windows(self) -> pa.Schema:
        """Columns of the store's `windows` table."""
        return schema.windows_schema(len(self.channels), self.size, np.dtype(self.dtype).itemsize)


class Rejections:
    """Counts what could not be taken, by reason, and keeps the first `EXAMPLES` places of each.

    Parameters
    ----------
    listed
        What `listed` of another one returned, to begin with; nothing by default.
    """

    def __init__(self, listed: Iterable[Mapping[str, Any]] = ()) -> None:
        self._count: Counter[tuple[str, str]] = Counter()
        self._where: dict[tuple[str, str], list[str]] = {}
        self.extend(listed)

    def add(self, reason: str, where: str, what: str = CELL) -> None:
        """Count one rejection, of a cell or of what it says, with its place in words."""
        self.extend([{"reason": reason, "count": 1, "examples": [where], "what": what}])

    def extend(self, listed: Iterable[Mapping[str, Any]]) -> None:
        """Add what `listed` of another one returned."""
        for item in listed:
            key = item["reason"], item.get("what", CELL)
            self._count[key] += item["count"]
            places = self._where.setdefault(key, [])
            places.extend(item["examples"][: EXAMPLES - len(places)])

    def listed(self) -> list[dict[str, Any]]:
        """Return a dictionary per reason, sorted: `reason`, `count`, and `examples` of places.

        What is no cell, but a whole field, also has `what`.
        """
        return [
            {"reason": reason, "count": count, "examples": list(self._where[reason, what])}
            | ({} if what == CELL else {"what": what})
            for (reason, what), count in sorted(self._count.items())
        ]

    def __str__(self) -> str:
        """Return the counts and reasons in one line."""
        return "; ".join(f"{item['count']} × {item['reason']}" for item in self.listed())


class Part:
    """Tables of some cells and windows, numbered from 0, and what was rejected among them.

    Parameters
    ----------
    format
        What all crops of the store have in common.

    Attributes
    ----------
    tables
        Name of a table (``cells``, ``crops``, ``windows``, ``truth``, ``digests``) → tables to be
        joined.
    rows
        Numbers of ``cells`` and ``windows`` so far.
    rejections
        What could not be taken.
    found
        Number of crops that the source has here, taken or not.
    counts
        What else the source's importer has counted, for its notes.
    """

    def __init__(self, format: StoreFormat) -> None:
        self.format = format
        self.tables: dict[str, list[pa.Table]] = {}
        self.rows = {"cells": 0, "windows": 0}
        self.rejections = Rejections()
        self.found = 0
        self.counts: Counter[str] = Counter()

    def add(
        self,
        images: NDArray[Any],
        masks: NDArray[np.bool_],
        foregrounds: NDArray[np.bool_],
        cells: pd.DataFrame,
        truth: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Add cells; area, neighbour fraction and quality flags are computed here.

        Parameters
        ----------
        images
            Pixels, shape (n, C, H, W), finite; they are cast to the store's dtype.
        masks, foregrounds
            The centre cell and every cell, booleans of shape (n, H, W).
        cells
            n rows with `protein` and `field`; optional `orf`, `localization`, `labels` (list),
            `replicate`, `split`. A `localization` given without `labels` is the only label.
            Optional `flags`: `compute.schema.CellFlag` bits that the source knows of (0 for
            none), added to those found here.
        truth
            Proportion of the protein at each of the store's localizations, shape
            (n, len(localizations)), for simulated cells; None, the default, for others.

        Raises
        ------
        InputError
            Shapes do not go together, a value is not finite, or a localization is not among the
            store's.
        """
        n = len(cells)
        self._check(images, masks, foregrounds, n)
        if n == 0:
            return
        foregrounds = foregrounds | masks
        frame = pd.DataFrame(index=range(n))
        frame["cell"] = np.arange(n) + self.rows["cells"]
        for name in _TEXTS:
            given = cells[name].to_numpy() if name in cells else np.full(n, None, object)
            frame[name] = pd.Series(list(given), dtype=object)
        frame = frame.astype(object).where(frame.notna(), None)
        labels = [
            list(several) if several is not None else ([one] if one is not None else None)
            for several, one in zip(frame["labels"], frame["localization"], strict=True)
        ]
        frame["labels"] = pd.Series(labels, dtype=object)
        self._check_labels(frame)
        frame["mask_area"] = masks.sum((1, 2))
        frame["neighbour_fraction"] = (foregrounds & ~masks).mean((1, 2))
        given_flags = cells["flags"].to_numpy(np.int32) if "flags" in cells else np.int32(0)
        frame["flags"] = flag_cells(masks, foregrounds) | given_flags
        table = pa.table({name: list(frame[name]) for name in frame}, schema=schema.cells_schema())
        self._push("cells", table)
        crops = self.format.crops
        values = images.astype(self.format.dtype, copy=False)
        self._push(
            "crops",
            pa.table(
                [
                    table.column("cell"),
                    _binary(values, crops.field("image").type),
                    _binary(np.packbits(masks.reshape(n, -1), axis=1), crops.field("mask").type),
                    _binary(
                        np.packbits(foregrounds.reshape(n, -1), axis=1),
                        crops.field("foreground").type,
                    ),
                ],
                schema=crops,
            ),
        )
        if truth is not None:
            row, column = np.nonzero(truth)
            self._push(
                "truth",
                pa.table(
                    {
                        "cell": row + self.rows["cells"],
                        "localization": [self.format.localizations[c] for c in column],
                        "proportion": np.asarray(truth)[row, column],
                    },
                    schema=schema.truth_schema(),
                ),
            )
        self.rows["cells"] += n

    def add_windows(
        self,
        images: NDArray[Any],
        *,
        field: str,
        protein: str,
        localization: str | None,
        replicate: str | None = None,
        filled: bool = False,
    ) -> None:
        """Add windows without cells of one field.

        Parameters
        ----------
        images
            Pixels, shape (n, C, H, W); they are cast to the store's dtype.
        field, protein, localization, replicate
            The field that they are from, as in the `cells` table; `replicate` is None by default.
        filled
            Whether cells were replaced by medium, because the field has no free window; False by
            default.
        """
        n = len(images)
        if n == 0:
            return
        windows = self.format.windows
        values = images.astype(self.format.dtype, copy=False)
        self._push(
            "windows",
            pa.table(
                [
                    pa.array(np.arange(n) + self.rows["windows"]),
                    pa.array([field] * n, pa.string()),
                    pa.array([protein] * n, pa.string()),
                    pa.array([localization] * n, pa.string()),
                    pa.array([replicate] * n, pa.string()),
                    pa.array([filled] * n),
                    _binary(values, windows.field("image").type),
                ],
                schema=windows,
            ),
        )
        self.rows["windows"] += n

    def add_digests(self, digests: NDArray[np.uint64]) -> None:
        """Add hashes by which duplicates are found (`compute.importers.duplicates`), shape (n,)."""
        self._push("digests", pa.table({"digest": digests}, schema=DIGESTS))

    def reject(self, reason: str, where: str, what: str = CELL) -> None:
        """Count a cell that could not be taken, or a field (`FIELD`), with its place."""
        self.rejections.add(reason, where, what)

    def _push(self, kind: str, table: pa.Table) -> None:
        self.tables.setdefault(kind, []).append(table)

    def _check(
        self,
        images: NDArray[Any],
        masks: NDArray[np.bool_],
        foregrounds: NDArray[np.bool_],
        n: int,
    ) -> None:
        pixels = (n, len(self.format.channels), self.format.size, self.format.size)
        if (
            images.shape != pixels
            or masks.shape != (n, *pixels[2:])
            or masks.shape != foregrounds.shape
        ):
            raise InputError(
                f"Crops of shape {images.shape} with masks {masks.shape} and foregrounds "
                f"{foregrounds.shape}; expected {pixels} and {(n, *pixels[2:])}."
            )
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise InputError("An image holds values that are not finite.", "Reject it before.")

    def _check_labels(self, frame: pd.DataFrame) -> None:
        known = set(self.format.localizations)
        for labels, one, protein in zip(
            frame["labels"], frame["localization"], frame["protein"], strict=True
        ):
            for label in {*(labels or ()), *([one] if one is not None else ())} - known:
                raise InputError(
                    f"Protein {protein}: unknown localization {label!r}.",
                    f"This store's are: {', '.join(self.format.localizations)}.",
                )


DIGESTS = pa.schema([pa.field("digest", pa.uint64(), nullable=False)])
"""Columns of the table of hashes that an import keeps while it is not finished."""


def _binary(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """View rows of an array as fixed-size binary without copying per row."""
    contiguous = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(contiguous)])
