"""Trials of a synthetic run: donors, flags and doses, as Arrow tables. Pure arrays.

Everything of a trial follows from its number alone, so every table says the same of it.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.schema import CONDITIONS, Condition
from dashboard.bench.columns import take
from dashboard.bench.synthetic_cells import Drawn, Ints, chance, neighbours

WINDOWS = 40
"""Cell-free windows that `donor` names under `cell_free`."""

SHARE_OF_SEAMS = 0.08

FARTHEST = 20
"""Pixels from the pasted cell to the nearest neighbour of its donor, at most."""

NO_NEIGHBOUR = 0.05
"""Share of a donor's crop below which it has no neighbour."""


@dataclass(frozen=True)
class Trials:
    """Trials by their numbers: cells that have trials, times slots.

    Parameters
    ----------
    protein, cell, slot
        Numbers, shape (trials,).
    behind
        Class of the background, -1 where it is the cell's own or empty.
    donor
        The cell, or the window under `cell_free`, that the background is from; -1 for none.
    seen
        1 where the donor's protein is of another fold than the cell's, else 0; -1 without a donor,
        and for cells in no fold.
    flags
        Of `compute.schema.TrialFlag`.
    """

    protein: Ints
    cell: Ints
    slot: Ints
    behind: Ints
    donor: Ints
    seen: Ints
    flags: NDArray[np.int32]


def look_up(drawn: Drawn, trials: Ints) -> Trials:
    """Return what the trials of some numbers are."""
    config, places = drawn.config, len(drawn.config.localizations)
    index, slot = np.divmod(trials, len(config.slots))
    protein, number = np.divmod(index, config.cells)
    home = drawn.classes[protein, number % 2]
    specs = [CONDITIONS[Condition(name)] for name, _ in config.slots]
    relation = np.array([spec.relation for spec in specs])[slot]
    other = 1 + (chance(config.seed, trials, 1) * (places - 1)).astype(np.int64)
    behind = np.where((relation != "other") | (places == 1), home, (home + other) % places)
    among = chance(config.seed, trials, 3)
    donor, seen = _donors(drawn, trials, protein, behind)
    own = relation == "protein"
    donor, seen = np.where(own, protein, donor), np.where(own, 0, seen)
    which = np.where(own, number + 1 + among * (config.cells - 1), among * config.cells)
    donor = donor * (config.cells + 1) + which.astype(np.int64) % config.cells
    donors = np.array([spec.donors for spec in specs])[slot]
    donor = np.where(donors == "window", (among * WINDOWS).astype(np.int64), donor)
    has = donors != "none"
    seam = has & (chance(config.seed, trials, 4) < SHARE_OF_SEAMS)
    return Trials(
        protein,
        protein * (config.cells + 1) + number,
        slot,
        np.where(has, behind, -1),
        np.where(has, donor, -1),
        np.where(has & (drawn.fold[protein] >= 0), seen, -1),
        np.where(seam, int(schema.TrialFlag.SEAM), 0).astype(np.int32),
    )


def _donors(drawn: Drawn, trials: Ints, protein: Ints, behind: Ints) -> tuple[Ints, Ints]:
    """Draw a protein of each background's class from the centre's own fold, or from another.

    Another fold has the share `SyntheticConfig.donor_seen`.

    Returns
    -------
    tuple
        Numbers of the proteins, and 1 where one is of another fold than the centre's, else 0.
    """
    seed, folds = drawn.config.seed, drawn.config.folds
    own = np.where(drawn.fold[protein] < 0, trials % folds, drawn.fold[protein])
    away = chance(seed, trials, 7) < drawn.config.donor_seen
    fold = (own + away * (1 + chance(seed, trials, 8) * (folds - 1)).astype(np.int64)) % folds
    of = np.maximum(drawn.fold[: drawn.config.proteins], 0)  # no folds without labels
    key = drawn.home * folds + of
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], np.arange(len(drawn.config.localizations) * folds + 1))
    wanted = behind * folds + (fold if drawn.config.labels else 0)
    there = np.diff(starts)[wanted]
    donor = order[starts[wanted] + (chance(seed, trials, 2) * there).astype(np.int64)]
    return donor, (fold != own).astype(np.int64)


def trials(drawn: Drawn, start: int, stop: int) -> pa.Table:
    """Return the table of the trials of numbers from `start` to below `stop`."""
    config, number = drawn.config, np.arange(start, stop)
    found = look_up(drawn, number)
    columns = {
        "trial": pa.array(number),
        "cell": pa.array(found.cell),
        "condition": take([name for name, _ in config.slots], found.slot),
        "donor": pa.array(found.donor, mask=found.donor < 0),
        "donor_localization": behind_names(drawn, found),
        "repeat": pa.array(np.array([r for _, r in config.slots], np.int16)[found.slot]),
        "seed": pa.array((chance(config.seed, number, 5) * 2**62).astype(np.int64)),
        "flags": pa.array(found.flags),
        "donor_seen": pa.array(found.seen == 1, mask=found.seen < 0),
        **_doses(drawn, found, number),
    }
    return pa.table(columns, schema=schema.trials_schema())


def behind_names(drawn: Drawn, found: Trials) -> pa.Array:
    """Return the classes of the backgrounds; null where there is none, or no labels."""
    known = found.behind if drawn.config.labels else np.full(len(found.behind), -1)
    return take(drawn.config.localizations, known)


def _doses(drawn: Drawn, found: Trials, number: Ints) -> dict[str, pa.Array]:
    """Return how much of the donors' neighbours composites show, and how near: by column."""
    seed = drawn.config.seed
    of_cell = [CONDITIONS[Condition(name)].donors == "cell" for name, _ in drawn.config.slots]
    has = np.array(of_cell, bool)[found.slot]
    share = neighbours(seed, found.donor)
    distance = np.ceil(FARTHEST * (1 - share) * chance(seed, number, 9)).astype(np.float32)
    return {
        "neighbour_fraction": pa.array(share, mask=~has),
        "neighbour_distance": pa.array(distance, mask=~has | (share < NO_NEIGHBOUR)),
    }
