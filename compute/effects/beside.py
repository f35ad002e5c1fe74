"""The effects of the probes beside pair tests and multi-class probe: their scores as table rows.

Layer: reads the probe stage's work files; the numbers are computed in `compute.statistics`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.probes.beside import files_beside
from compute.probes.cells import Cells
from compute.probes.tables import read_donor_influence
from compute.schema import BESIDE, COMPOSED, PROBES, Condition, Probe, Protocol
from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.statistics.donors import DonorInfluence, side_by_side
from compute.statistics.effect_rows import effect_rows
from compute.statistics.effects import Tallies
from compute.statistics.f1 import LabelTallies, f1_rows
from compute.statistics.joint_answers import Answered
from compute.statistics.resampling_units import Units
from compute.storage.run_directory import RunDirectory

Rows = list[dict[str, Any]]


def rows_beside(
    run: RunDirectory,
    cells: Cells,
    model: str,
    protocol: Protocol,
    drawn: Callable[[NDArray[np.int64]], Resampling],
    config: BootstrapConfig,
) -> Iterator[tuple[Probe, tuple[Rows, Rows], Answered | None]]:
    """Estimate the accuracies and effects of one model in the probes that were asked.

    Parameters
    ----------
    run
        The run; its probe stage is finished.
    cells
        Classes and resampling units of the store's cells, and the units of donors.
    model, protocol
        The model and the protocol.
    drawn
        Gives the draws of resampling units, by the stratum of each, shape (U,).
    config
        Settings of intervals and tests.

    Yields
    ------
    probe : Probe
        One of `BESIDE`.
    rows : tuple of list of dict
        Accuracies and effects, as from `compute.statistics.effect_rows.effect_rows`.
    answered : Answered or None
        From which models are compared; None for F1, which is no mean over cells.
    """
    for probe in BESIDE:
        frames: dict[Condition, pd.DataFrame] = {}
        influences: list[DonorInfluence | None] = []
        for condition in COMPOSED:
            files = files_beside(run, probe, model, condition)
            if not files["scores"].is_file():
                continue
            found = pq.read_table(files["scores"], partitioning=None).to_pandas()
            found = found[found["protocol"] == str(protocol)]
            if len(found) == 0:
                continue
            frames[condition] = found
            influences.append(_influence(files, protocol, cells))
        if not frames:
            continue
        names, tested = list(cells.names), [str(c) for c in frames]
        donors = side_by_side(influences, len(names))
        several = list(frames.values())
        if probe is Probe.MULTILABEL:
            labels = label_tallies(several, cells.labelled, len(names))
            resampling = drawn(labels.strata)
            yield probe, f1_rows(labels, tested, names, resampling, config, donors), None
        else:
            tallies = score_tallies(several, cells.units)
            resampling = drawn(tallies.classes)
            # Only a share of right answers has odds.
            share = PROBES[probe].measure == "accuracy"
            how = config if share else replace(config, margin_odds=None)
            rows = effect_rows(tallies, tested, names, resampling, how, donors)
            yield probe, rows, Answered(tallies, tested, donors)


def _influence(files: dict[str, Any], protocol: Protocol, cells: Cells) -> DonorInfluence | None:
    """Return how donors move the estimates of one condition; None without donors."""
    if "donors" not in files or not files["donors"].is_file():
        return None
    table = pq.read_table(files["donors"], partitioning=None)
    return read_donor_influence(table, protocol, cells.donor_units.classes, cells.names)


def _answered(frames: Sequence[pd.DataFrame], units: Units) -> NDArray[np.bool_]:
    """Tell which resampling units have cells under some condition, shape (U,)."""
    found = np.zeros(units.count, bool)
    for frame in frames:
        found[frame["unit"].to_numpy()] = True
    return found


def score_tallies(frames: Sequence[pd.DataFrame], units: Units) -> Tallies:
    """Arrange sums of scores, as of a probe that answers once for each cell.

    Parameters
    ----------
    frames
        Rows of `SCORES` of each of M conditions, of one protocol.
    units
        The resampling units that their numbers are of.
    """
    answered = _answered(frames, units)
    kept = units.take(answered)
    sums = np.zeros((3, len(frames), units.count))
    for m, frame in enumerate(frames):
        sums[:, m, frame["unit"].to_numpy()] = frame[["score", "n", "n_cells"]].to_numpy().T
    score, n, n_cells = sums[..., answered]
    return Tallies(
        score[..., None], n[..., None], kept.classes, n_cells.astype(np.int64), kept.protein
    )


def label_tallies(frames: Sequence[pd.DataFrame], units: Units, n_classes: int) -> LabelTallies:
    """Arrange what was said of labels.

    Parameters
    ----------
    frames
        Rows of `SCORES` of each of M conditions, of one protocol.
    units
        The resampling units that their numbers are of, cells of several labels in a stratum of
        their own.
    n_classes
        Number of classes in the store.
    """
    answered = _answered(frames, units)
    kept = units.take(answered)
    n_cells = np.zeros((len(frames), units.count), np.int64)
    sums = np.zeros((3, len(frames), units.count, n_classes))
    for m, frame in enumerate(frames):
        whole = frame["label"].isna().to_numpy()
        unit = frame["unit"].to_numpy()
        n_cells[m, unit[whole]] = frame["n_cells"].to_numpy()[whole]
        label = frame["label"].to_numpy(np.float64)[~whole].astype(np.int64)
        values = frame[["score", "n", "n_cells"]].to_numpy()[~whole].T
        sums[:, m, unit[~whole], label] = values
    both, either, labelled = sums[:, :, answered]
    return LabelTallies(
        both, either, kept.classes, n_cells[:, answered], labelled.astype(np.int64), kept.protein
    )
