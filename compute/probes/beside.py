"""Probes beside the pair tests and the multi-class probe: similarity, labels, a network.

Layer: reads `trials` and `embeddings`, writes sums of scores below the run's `work` folder, a file
per probe, model and condition, and another of how donors move them. Every cell is asked of the
crops of the other folds: under `refit` of those of the same condition, one a cell (repeat 0), under
`frozen` of unaltered ones. The grid is gathered; its size does not grow with the store.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compute import schema
from compute.backgrounds.plan import Plan
from compute.probes.cells import Cells
from compute.probes.gather import gather_grid, groups, has_donors
from compute.probes.multilabel import YesOrNo, fit_yes_or_no
from compute.probes.network import Network, fit_network, one_thread
from compute.probes.pair_tests import Crops
from compute.probes.similarity import References
from compute.probes.tables import influence_table
from compute.schema import BESIDE, FITTED, Condition, Probe, Protocol
from compute.statistics.donors import DonorInfluence, DonorSums
from compute.statistics.f1 import label_influence
from compute.storage.run_directory import RunDirectory

SIMILARITY = {Probe.KNN, Probe.RETRIEVAL}
"""Probes that are answered by one comparison of cells with references."""


def files_beside(
    run: RunDirectory, probe: Probe, model: str, condition: Condition
) -> dict[str, Path]:
    """Return where one probe's ``"scores"`` under a condition lie, and its ``"donors"`` if any."""
    kinds = ("scores", "donors") if has_donors(condition) else ("scores",)
    return {kind: run.pairs(f"{probe}_{kind}", model, condition) for kind in kinds}


def _missing(
    run: RunDirectory, probes: Sequence[Probe], model: str, condition: Condition
) -> dict[Probe, dict[str, Path]]:
    """Return the files of the probes that lack one."""
    files = {probe: files_beside(run, probe, model, condition) for probe in probes}
    return {
        probe: paths
        for probe, paths in files.items()
        if not all(path.is_file() for path in paths.values())
    }


def probe_beside(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    model: str,
    dimension: int,
    probes: Sequence[Probe],
    jobs: int = 1,
) -> None:
    """Ask one model's embeddings, where the results are not there yet, and write the scores.

    Parameters
    ----------
    run
        The run; all `trials` and `embeddings` are there.
    plan, cells
        Conditions, and labels and folds of the store's cells.
    model, dimension
        Name of the model, and the length of its embeddings.
    probes
        Those of `BESIDE` among them are asked.
    jobs
        Threads, by default 1. No result depends on it.
    """
    mine = [probe for probe in BESIDE if probe in probes]
    left = {c: _missing(run, mine, model, c) for c in plan.config.composed}
    if len(cells.folds.testable()) < 2 or not any(left.values()):
        return
    chosen = cells.tested
    if any(Probe.MULTILABEL in some for some in left.values()):
        chosen[cells.mixed.cell] = True
    wanted = [c for c in left if left[c] or c is Condition.UNALTERED]
    frozen: _Learned | None = None
    with (
        threadpool_limits(1),
        one_thread(),
        ThreadPoolExecutor(max(jobs, 1), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        for group in groups(plan, int(chosen.sum()), dimension, wanted):
            gathered = gather_grid(run, cells, model, group, chosen=chosen)
            for condition in group:
                crops, first = gathered.pop(condition)
                refit = _Learned.of(crops, first, cells)
                frozen = frozen or refit
                found = _Asked(crops, cells, set(left[condition]), refit, frozen)
                list(pool.map(found.ask, range(cells.folds.number)))
                for probe, files in left[condition].items():
                    tables = found.tables(probe)
                    for kind, path in files.items():
                        expected = schema.SCORES if kind == "scores" else schema.PAIR_DONORS
                        run.write(path, tables[kind], expected)


@dataclass
class _Learned:
    """What probes learn from, one crop a cell, and what was fitted on it.

    Parameters
    ----------
    features, classes, labels, fold
        Embeddings of n crops, shape (n, D), class of each (−1 for several), its labels, shape
        (n, K), and its fold, shape (n,).
    fitted
        Of each fold the classifiers that were fitted on the others.
    """

    features: NDArray[np.float32]
    classes: NDArray[np.int64]
    labels: NDArray[np.bool_]
    fold: NDArray[np.int64]
    references: dict[int, References] = field(default_factory=dict)
    classifiers: dict[int, YesOrNo] = field(default_factory=dict)
    networks: dict[int, Network] = field(default_factory=dict)

    @classmethod
    def of(cls, crops: Crops, first: NDArray[np.bool_], cells: Cells) -> "_Learned":
        """Take the crops of a condition that are of repeat 0, which is `first`, shape (n,)."""
        cell = crops.cell[first]
        return cls(
            crops.features[first], crops.classes[first], cells.labels_of(cell),
            cells.folds.fold[cell],
        )  # fmt: skip

    def _single(self, held: int) -> NDArray[np.bool_]:
        return (self.fold != held) & (self.classes >= 0)

    def compared(self, held: int) -> References:
        """Return the cells of the other folds, to compare a fold's with."""
        if held not in self.references:
            rows = self._single(held)
            self.references[held] = References.of(self.features[rows], self.classes[rows])
        return self.references[held]

    def yes_or_no(self, held: int, start: YesOrNo | None) -> YesOrNo:
        """Return the multi-label probe of the other folds."""
        if held not in self.classifiers:
            rows = self.fold != held
            self.classifiers[held] = fit_yes_or_no(self.features[rows], self.labels[rows], start)
        return self.classifiers[held]

    def network(self, held: int) -> Network:
        """Return the network of the other folds."""
        if held not in self.networks:
            rows = self._single(held)
            self.networks[held] = fit_network(self.features[rows], self.classes[rows], held)
        return self.networks[held]


class _Asked:
    """What one condition's crops were asked, n of them.

    Parameters
    ----------
    crops
        All crops of the condition.
    cells
        Labels and folds of the store's cells.
    probes
        What is asked.
    refit, frozen
        What is learned from under each protocol.
    """

    def __init__(
        self, crops: Crops, cells: Cells, probes: set[Probe], refit: _Learned, frozen: _Learned
    ) -> None:
        self.crops, self.cells, self.probes = crops, cells, probes
        self.fold = cells.folds.fold[crops.cell]
        # The frozen probe first, since the other's fit begins where it ends.
        self.learned: Mapping[Protocol, _Learned] = {
            Protocol.FROZEN: frozen,
            Protocol.REFIT: refit,
        }
        n, k = len(crops.cell), len(cells.names)
        self.scores = {key: np.zeros(n) for key in self._keys() if key[0] is not Probe.MULTILABEL}
        self.said = {key: np.zeros((n, k), bool) for key in self._keys()
                     if key[0] is Probe.MULTILABEL}  # fmt: skip

    def _keys(self) -> list[tuple[Probe, Protocol]]:
        return [(probe, protocol) for probe in self.probes for protocol in FITTED]

    def ask(self, held: int) -> None:
        """Ask the cells of a fold."""
        every = np.flatnonzero(self.fold == held)
        single = every[self.crops.classes[every] >= 0]
        features, classes = self.crops.features, self.crops.classes
        for protocol, learned in self.learned.items():
            if self.probes & SIMILARITY and len(single):
                found = learned.compared(held).compare(features[single], classes[single])
                for probe, score in (
                    (Probe.KNN, found.right), (Probe.RETRIEVAL, found.precision)
                ):  # fmt: skip
                    if probe in self.probes:
                        self.scores[probe, protocol][single] = score
            if Probe.NETWORK in self.probes and len(single):
                right = learned.network(held).answer(features[single]) == classes[single]
                self.scores[Probe.NETWORK, protocol][single] = right
            if Probe.MULTILABEL in self.probes and len(every):
                start = self.learned[Protocol.FROZEN].classifiers.get(held)
                said = learned.yes_or_no(held, start)(features[every])
                self.said[Probe.MULTILABEL, protocol][every] = said

    def tables(self, probe: Probe) -> dict[str, pa.Table]:
        """Return one probe's ``"scores"`` and ``"donors"``, of both protocols."""
        scores, donors = [], []
        for protocol in FITTED:
            if probe is Probe.MULTILABEL:
                rows, moved = self._labels(protocol)
            else:
                rows, moved = self._single(self.scores[probe, protocol])
            size = len(rows["unit"])
            columns = {"label": pa.nulls(size, pa.int32()), **rows}
            columns["protocol"] = pa.array([str(protocol)] * size, pa.string())
            names = schema.SCORES.names
            scores.append(pa.table([columns[n] for n in names], names=names).cast(schema.SCORES))
            if moved is not None:
                number = np.arange(len(moved.classes), dtype=np.int32)
                donors.append(influence_table(protocol, number, moved, self.cells.names))
        empty = schema.PAIR_DONORS.empty_table()
        return {
            "scores": pa.concat_tables(scores),
            "donors": pa.concat_tables(donors) if donors else empty,
        }

    def _weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return each crop's weight, so that a cell's crops weigh 1 together."""
        cell, count = np.unique(self.crops.cell[rows], return_counts=True)
        return np.asarray(1 / count[np.searchsorted(cell, self.crops.cell[rows])])

    def _single(self, score: NDArray[np.float64]) -> tuple[dict[str, Any], DonorInfluence | None]:
        """Sum scores of cells with one class by resampling unit."""
        rows = np.flatnonzero(self.crops.classes >= 0)
        unit = self.cells.units.of[self.crops.cell[rows]]
        weight = self._weights(rows)
        n = np.bincount(unit, weight, self.cells.units.count)
        there = np.flatnonzero(n > 0)
        columns = {
            "unit": there,
            "score": np.bincount(unit, weight * score[rows], len(n))[there],
            "n": n[there],
            "n_cells": n[there].round().astype(np.int64),
        }
        if self.crops.donor is None:
            return columns, None
        sums = DonorSums.empty(self.cells.donor_units.classes, len(self.cells.names), 1)
        sums.add(unit, self.crops.classes[rows], self.crops.donor[rows], weight, score[rows, None])
        return columns, sums.influence()

    def _labels(self, protocol: Protocol) -> tuple[dict[str, Any], DonorInfluence | None]:
        """Sum what is needed for F1 by resampling unit and label."""
        units, cell = self.cells.labelled, self.crops.cell
        unit, weight = units.of[cell], self._weights(np.arange(len(cell)))
        has, said = self.cells.labels_of(cell), self.said[Probe.MULTILABEL, protocol]
        by_label = [
            np.stack([np.bincount(unit, weight * column, units.count) for column in values.T], 1)
            for values in (2.0 * (has & said), has.astype(float) + said, has.astype(float))
        ]
        u, label = np.nonzero(by_label[1])
        n = np.bincount(unit, weight, units.count)
        there = np.flatnonzero(n > 0)
        labels = pa.array([*[None] * len(there), *label], pa.int32())
        columns = {
            "unit": np.append(there, u),
            "label": labels,
            "score": np.append(np.zeros(len(there)), by_label[0][u, label]),
            "n": np.append(n[there], by_label[1][u, label]),
            "n_cells": np.append(n[there], by_label[2][u, label]).round().astype(np.int64),
        }
        if self.crops.donor is None:
            return columns, None
        moved = label_influence(
            unit, units.classes[unit], self.crops.donor, weight, has, said,
            self.cells.donor_units.classes,
        )  # fmt: skip
        return columns, moved
