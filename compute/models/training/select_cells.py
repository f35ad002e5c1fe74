"""Which cells of a store a network is trained on, and which tell it when to stop.

Layer: tables in, rows out; no torch, no files. Cells that are left out are counted, with a reason.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import InputError, unknown_value
from compute.hashing import Stream
from compute.schema import UNUSABLE

HELD_OUT = 0.15
"""Share of the fields that serves as validation where the store has no such split."""

Rows = NDArray[np.int64]
"""Numbers of rows of the store's `cells` table."""


@dataclass(frozen=True)
class Selection:
    """The cells of one training.

    Parameters
    ----------
    training, validation
        Rows of the store that are learnt from, and that are validated on.
    target
        Number of the class of every row of the store, −1 where it has none; shape (N,).
    field
        Number of the field of every row of the store, shape (N,).
    classes
        Names of the classes, in order; empty where the objective has none.
    left_out
        Number of cells that were left out, by reason.
    notes
        What else a reader of the card should know, in sentences.
    """

    training: Rows
    validation: Rows
    target: Rows
    field: Rows
    classes: tuple[str, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]


class Labelling(Protocol):
    """The side of an objective that says which class a cell has, and so which cells are used."""

    def labels(self, cells: pd.DataFrame) -> tuple["pd.Series[str]", str]:
        """Return each cell's class, empty where it cannot be used, and the reason why not."""

    def class_names(self, present: Collection[str], localizations: list[str]) -> tuple[str, ...]:
        """Put the classes that are present in order; none where the objective has no classes."""

    def group_again(self, selection: Selection) -> Selection:
        """Leave out cells of which only the finished split shows that they are of no use."""


def select_cells(
    cells: pd.DataFrame,
    localizations: list[str],
    labelling: Labelling,
    seed: int,
    fields: Collection[str] | None = None,
) -> Selection:
    """Choose the cells to train on and to stop by, counting the others.

    Where the table's `split` names `train`, only those cells are learnt from; where it names
    `validation`, those are validated on. Else about 15% of the fields are held out, so that each
    class has some, and cells of one field are on one side only. A class that fields cannot be
    spared for has cells held out instead, and the notes say so.

    Parameters
    ----------
    cells
        The store's `cells` table; columns `protein`, `localization`, `labels`, `field`, `split`
        and `flags` are read.
    localizations
        The store's localizations, in order.
    labelling
        Decides the classes; an entry of `compute.models.training.objectives.OBJECTIVES`.
    seed
        Decides which fields are held out.
    fields
        Names of the fields whose cells may be used; None, the default, takes all.

    Returns
    -------
    Selection
        The cells to use, and how many were left out for which reason.

    Raises
    ------
    UsageError
        A field in `fields` does not exist.
    InputError
        Fewer than two cells are left to train on or to validate on, or there are too few classes.
    """
    cells = cells.reset_index(drop=True)
    left_out: Counter[str] = Counter()
    keep = np.ones(len(cells), bool)

    def leave_out(reason: str, condition: "pd.Series[bool] | NDArray[np.bool_]") -> None:
        gone = keep & np.asarray(condition, bool)
        keep[gone] = False
        if gone.any():
            left_out[reason] += int(gone.sum())

    if fields is not None:
        known = set(cells["field"])
        for name in fields:
            if name not in known:
                raise unknown_value("field", name, sorted(known)[:20])
        leave_out("another field", ~cells["field"].isin(list(fields)))
    leave_out("flagged as unusable", (cells["flags"] & int(UNUSABLE)) != 0)
    labels, lacking = labelling.labels(cells)
    leave_out(lacking, labels == "")

    split = cells["split"].astype(object).fillna("").to_numpy(str)
    given = bool((keep & (split == "validation")).any())
    validation = keep & (split == "validation")
    learnable = split == ("train" if (split == "train").any() else "")
    leave_out("of another split", ~learnable & ~validation)

    field = pd.factorize(cells["field"], sort=True)[0].astype(np.int64)
    notes: tuple[str, ...] = ()
    if given:
        leave_out(
            "validation cells of a class without training cells",
            validation & ~labels.isin(labels[keep & ~validation]).to_numpy(),
        )
        validation &= keep
    else:
        sizes = labels.map(labels[keep].value_counts()).fillna(0)
        leave_out("only cell of its class", sizes == 1)
        rows = np.flatnonzero(keep)
        validation = np.zeros(len(cells), bool)
        chosen, within = hold_out(
            pd.factorize(labels[rows])[0].astype(np.int64),
            field[rows],
            HELD_OUT,
            np.random.default_rng([seed, Stream.VALIDATION_FIELDS]),
        )
        validation[rows[chosen]] = True
        if within:
            notes = (
                f"{within} class(es) had no field to spare for validation: single cells of "
                "theirs were held out instead, so their validation is optimistic.",
            )
    present = set(labels[keep])
    try:
        classes = labelling.class_names(present, localizations)
    except InputError as error:
        gone = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
        if not gone:
            raise
        raise InputError(f"{error.problem} Left out were {gone}.", error.remedy) from None
    numbers = {name: number for number, name in enumerate(classes)}
    target: Rows = np.asarray(labels.map(numbers).fillna(-1), np.int64)
    selection = labelling.group_again(
        Selection(
            np.flatnonzero(keep & ~validation).astype(np.int64),
            np.flatnonzero(keep & validation).astype(np.int64),
            target,
            field,
            classes,
            dict(left_out),
            notes,
        )
    )
    for purpose, rows in (("train", selection.training), ("validate", selection.validation)):
        if len(rows) < 2:
            raise InputError(
                f"{len(rows)} cell(s) are left to {purpose} on. Left out: "
                + (", ".join(f"{n} {why}" for why, n in selection.left_out.items()) or "none")
                + ".",
                "Use a store with more usable cells, in two or more fields.",
            )
    return selection


def hold_out(
    labels: Rows, field: Rows, fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], int]:
    """Choose validation cells: whole fields, so that every class is on both sides.

    Parameters
    ----------
    labels
        Number of each cell's class, shape (n,); each class has at least two cells.
    field
        Number of each cell's field, shape (n,).
    fraction
        Share of each class's fields to hold out; at least one field is.
    rng
        Makes the choice.

    Returns
    -------
    out : ndarray
        Which cells are held out, booleans, shape (n,).
    within : int
        Number of classes that had no field to spare, so that single cells are held out.
    """
    pairs = pd.DataFrame({"label": labels, "field": field}).drop_duplicates()
    fields_of = _grouped(pairs["label"], pairs["field"])
    labels_in = _grouped(pairs["field"], pairs["label"])
    spare = {label: len(own) - 1 for label, own in fields_of.items()}
    held: set[int] = set()
    for label in rng.permutation(sorted(fields_of)):
        own = fields_of[int(label)]
        wanted = max(1, round(fraction * len(own))) - sum(int(f) in held for f in own)
        for candidate in map(int, rng.permutation(own)):
            if wanted <= 0:
                break
            if candidate not in held and all(spare[int(k)] > 0 for k in labels_in[candidate]):
                held.add(candidate)
                wanted -= 1
                for k in labels_in[candidate]:
                    spare[int(k)] -= 1
    out = np.isin(field, list(held))
    within = 0
    for label in sorted(fields_of):
        own_cells = np.flatnonzero(labels == label)
        if not out[own_cells].any():
            count = max(1, round(fraction * len(own_cells)))
            out[rng.permutation(own_cells)[:count]] = True
            within += 1
    return out, within


def _grouped(key: "pd.Series[int]", value: "pd.Series[int]") -> dict[int, Rows]:
    """Return the values of every key."""
    keys, values = key.to_numpy(np.int64), value.to_numpy(np.int64)
    return {int(k): values[keys == k] for k in np.unique(keys)}
