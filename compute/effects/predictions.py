"""One model's predictions under all conditions together, some whole proteins at a time.

Layer: reads `predictions`, `trials` and the second readings' predictions below `work`. Predictions
lie in the plan's order, which is by protein. So every file is read once from its beginning to its
end, and memory does not grow with the number of cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.embedding.config import View
from compute.errors import InputError
from compute.hashing import Stream, mix
from compute.schema import CONDITIONS, Condition, Dose, Protocol
from compute.statistics.donors import DonorUnits
from compute.statistics.dose import edges
from compute.storage.paths import SECOND_PREDICTIONS
from compute.storage.run_directory import RunDirectory

BATCH = 8192
"""Rows that are decoded at a time."""

BLOCK = 8192
"""Rows of unaltered predictions, of all protocols, after which a block ends where its last protein
does."""

DOSE_TRIALS = 500_000
"""Most trials, on average, from which the bins of a dose are found."""

_PROTOCOLS = list(Protocol)
_NONE = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Answers:
    """A probe's answers under one condition and protocol; T trials of n cells, K classes.

    The trials of a cell lie together.

    Parameters
    ----------
    trial, predicted
        Number and answered class of each trial, shape (T,).
    probabilities
        Probability of each class, shape (T, K).
    cell
        Row of each cell in the store's `cells`, in the plan's order (by protein), shape (n,).
    starts
        Place of each cell's first trial, shape (n,).
    """

    trial: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    cell: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        cell: NDArray[np.int64],
        trial: NDArray[np.int64],
        predicted: NDArray[np.int64],
        probabilities: NDArray[np.float64],
    ) -> "Answers":
        """Make answers from four arrays with an entry per trial; trials of a cell lie together.

        Parameters
        ----------
        cell, trial, predicted
            Shape (T,).
        probabilities
            Shape (T, K).
        """
        starts = np.flatnonzero(np.diff(cell, prepend=_NONE))
        return cls(trial, predicted, probabilities, cell[starts], starts)

    @property
    def many(self) -> NDArray[np.int64]:
        """Number of trials of each cell, shape (n,)."""
        return np.diff(np.append(self.starts, len(self.trial)))

    @property
    def position(self) -> NDArray[np.int64]:
        """Place in `cell` of each trial's cell, shape (T,)."""
        return np.repeat(np.arange(len(self.cell)), self.many)

    def mean(self) -> NDArray[np.float64]:
        """Average each cell's probabilities over its trials, shape (n, K)."""
        if len(self.starts) == 0:
            return self.probabilities
        return np.add.reduceat(self.probabilities, self.starts) / self.many[:, None]

    def share(self) -> NDArray[np.float64]:
        """Return the share of each cell's trials with each answer, shape (n, K)."""
        shape = (len(self.cell), self.probabilities.shape[1])
        place = self.position * shape[1] + self.predicted
        counts = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
        return counts / self.many[:, None]

    def trials(self, rows: NDArray[Any]) -> "Answers":
        """Choose trials, by place or by a mask of shape (T,); cells without any are left out."""
        cell = self.cell[self.position[rows]]
        return Answers.of(cell, self.trial[rows], self.predicted[rows], self.probabilities[rows])

    def cells(self, chosen: NDArray[np.bool_]) -> "Answers":
        """Choose cells by a mask, shape (n,)."""
        return self.trials(chosen[self.position])


@dataclass(frozen=True)
class Block:
    """Answers to all trials of some whole proteins.

    Parameters
    ----------
    answers
        By protocol and condition; only those with trials.
    second
        By protocol and view, the answers to trials that were read again.
    background
        Class of the background, and unit of the donor, of every trial in the block that has one.
    """

    answers: Mapping[tuple[Protocol, Condition], Answers]
    second: Mapping[tuple[Protocol, View], Answers]
    background: "Backgrounds"


@dataclass(frozen=True)
class Backgrounds:
    """Backgrounds of T trials.

    Parameters
    ----------
    trial
        Number of each trial, ascending, shape (T,).
    background, donor
        Class of its background and unit of its donor, −1 for none, shape (T,).
    doses
        How much of the donor's neighbours it shows, NaN where nothing is known, each of shape (T,).
    """

    trial: NDArray[np.int64]
    background: NDArray[np.int64]
    donor: NDArray[np.int32]
    doses: Mapping[Dose, NDArray[np.float32]]

    def places(self, trial: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of trials among these.

        Raises
        ------
        InputError
            A trial is not in the table.
        """
        place = np.searchsorted(self.trial, trial)
        known = place < len(self.trial)
        known[known] = self.trial[place[known]] == trial[known]
        if not known.all():
            raise InputError(
                f"Trial {trial[~known][0]} is in `predictions` but not in `trials`.",
                "Run again with --fresh.",
            )
        return place


class Predictions:
    """One predictions file, whole proteins at a time.

    Parameters
    ----------
    path
        A Parquet file in the predictions schema.
    names
        Class names.
    protein
        Number of each cell's protein, by name, shape (N,).
    """

    def __init__(self, path: Path, names: Sequence[str], protein: NDArray[np.int32]) -> None:
        self._path = path
        self._reader = _Reader(_decoded(path, names, protein), path)
        self._names = names

    def block(self) -> int | None:
        """Return the number of the protein with which the next block ends; None at the end."""
        return self._reader.boundary(BLOCK)

    def until(self, protein: int | None) -> dict[Protocol, Answers]:
        """Return the answers of the following proteins up to this one (all with None), by protocol.

        Raises
        ------
        InputError
            The file is not sorted by protein.
        """
        columns = self._reader.until(protein)
        found = {}
        for code, protocol in enumerate(_PROTOCOLS):
            rows = np.flatnonzero(columns["protocol"] == code)
            if len(rows):
                found[protocol] = Answers.of(
                    columns["cell"][rows],
                    columns["trial"][rows],
                    columns["predicted"][rows],
                    columns["probabilities"][rows].astype(np.float64),
                )
        return found


class _Reader:
    """Batches of columns, sorted by `protein`, cut where a protein ends.

    Parameters
    ----------
    batches
        Arrays of equal length by name; one is called `protein`.
    path
        Where they are from, for the error.
    """

    def __init__(self, batches: Iterator[dict[str, NDArray[Any]]], path: Path) -> None:
        self._batches = batches
        self._path = path
        self._waiting: list[dict[str, NDArray[Any]]] = []
        self._last = -1
        self._empty: dict[str, NDArray[Any]] | None = None

    def _next(self) -> bool:
        """Read the next batch that has rows; return whether there was one."""
        for batch in self._batches:
            protein = batch["protein"]
            self._empty = {name: values[:0] for name, values in batch.items()}
            if len(protein) == 0:
                continue
            if protein[0] < self._last or (np.diff(protein) < 0).any():
                raise InputError(
                    f"{self._path} is not sorted by protein.", "Run again with --fresh."
                )
            self._last = int(protein[-1])
            self._waiting.append(batch)
            return True
        return False

    def boundary(self, rows: int) -> int | None:
        """Read at least so many rows, and on to the end of a protein; return its number.

        None where no rows are left.
        """
        held = sum(len(batch["protein"]) for batch in self._waiting)
        while held < rows and self._next():
            held += len(self._waiting[-1]["protein"])
        if not self._waiting:
            return None
        last = self._last
        while self._last == last and self._next():
            pass
        return last

    def until(self, protein: int | None) -> dict[str, NDArray[Any]]:
        """Return the rows of the following proteins up to this one, or with None all, by column."""
        while (protein is None or self._last <= protein) and self._next():
            pass
        taken, kept = [], []
        for batch in self._waiting:
            many = len(batch["protein"])
            if protein is not None:
                many = int(np.searchsorted(batch["protein"], protein, "right"))
            taken.append({name: values[:many] for name, values in batch.items()})
            if many < len(batch["protein"]):
                kept.append({name: values[many:] for name, values in batch.items()})
        self._waiting = kept
        if not taken:
            return self._empty or {"protocol": np.zeros(0, np.int64)}
        return {name: np.concatenate([part[name] for part in taken]) for name in taken[0]}


def _decoded(
    path: Path, names: Sequence[str], protein: NDArray[np.int32]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Read a predictions file in batches of arrays, with numbers in place of names.

    Yields
    ------
    dict
        `protein`, `cell`, `trial`, `protocol` and `predicted`, shape (rows,), and `probabilities`,
        shape (rows, classes).
    """
    columns = ["cell", "trial", "protocol", "predicted", "probabilities"]
    protocols = [str(protocol) for protocol in _PROTOCOLS]
    # Without `pre_buffer=False` the whole file would be held in memory.
    with pq.ParquetFile(path, read_dictionary=["protocol", "predicted"], pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH, columns=columns):
            cell = batch.column("cell").to_numpy()
            flat = batch.column("probabilities").flatten().to_numpy()
            yield {
                "protein": protein[cell],
                "cell": cell,
                "trial": batch.column("trial").to_numpy(),
                "protocol": _codes(batch.column("protocol"), protocols),
                "predicted": _codes(batch.column("predicted"), names),
                "probabilities": flat.reshape(len(cell), -1),
            }


def _codes(column: pa.DictionaryArray, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the place in `names` of each value of a column, shape (rows,)."""
    place = pc.index_in(column.dictionary, pa.array(list(names), pa.string()))
    return np.asarray(place.to_numpy(zero_copy_only=False)[column.indices.to_numpy()], np.int64)


def _trials(
    run: RunDirectory, names: Sequence[str], protein: NDArray[np.int32], units: DonorUnits
) -> Iterator[dict[str, NDArray[Any]]]:
    """Read the trials that have a donor, a shard at a time.

    Yields
    ------
    dict
        `protein`, `trial`, `background`, the class behind the cell, and `donor`, the donor's unit,
        or −1; and every `Dose`, NaN where it is null; shape (trials,).
    """
    kinds = {str(c): spec.donors for c, spec in CONDITIONS.items() if spec.donors != "none"}
    windows = pa.array([name for name, kind in kinds.items() if kind == "window"], pa.string())
    with_donor = pc.is_in(pc.field("condition"), pa.array(list(kinds)))
    for path in run.parts("trials"):
        table = pq.read_table(
            path,
            columns=["trial", "cell", "condition", "donor", "donor_localization", *map(str, Dose)],
            filters=with_donor, partitioning=None,
        )  # fmt: skip
        cell = table.column("cell").to_numpy()
        order = np.argsort(protein[cell], kind="stable")
        code = pc.fill_null(pc.index_in(table.column("donor_localization"), pa.array(names)), -1)
        number = pc.fill_null(table.column("donor"), -1).to_numpy()
        window = pc.is_in(table.column("condition"), windows).to_numpy()
        donor = np.where(
            window,
            units.of("window", np.where(window, number, -1)),
            units.of("cell", np.where(window, -1, number)),
        )
        yield {
            "protein": protein[cell[order]],
            "trial": table.column("trial").to_numpy()[order],
            "background": np.asarray(code.to_numpy(), np.int64)[order],
            "donor": donor[order],
            **{str(d): pc.fill_null(table.column(str(d)), np.nan).to_numpy()[order] for d in Dose},
        }


def dose_edges(
    run: RunDirectory, tested: NDArray[np.bool_], seed: int
) -> dict[tuple[Condition, Dose], NDArray[np.float64]]:
    """Return the ends of the bins of each dose (`compute.statistics.dose.edges`), by condition.

    Parameters
    ----------
    run
        The run; all `trials` are there.
    tested
        Which cells of the store are tested, shape (N,).
    seed
        Chooses the trials that are looked at where there are more than `DOSE_TRIALS`.
    """
    files = run.parts("trials")
    total = sum(pq.read_metadata(path).num_rows for path in files)
    kept: dict[tuple[Condition, Dose], list[NDArray[np.float32]]] = {}
    for path in files:
        table = pq.read_table(
            path, columns=["trial", "cell", "condition", *map(str, Dose)],
            filters=pc.field(str(Dose.SHARE)).is_valid(), partitioning=None,
        )  # fmt: skip
        drawn = mix(seed, Stream.DOSE_TRIALS, table["trial"].to_numpy()) % np.uint64(max(total, 1))
        some = tested[table["cell"].to_numpy()] & (drawn < DOSE_TRIALS)
        names = np.asarray(table["condition"].to_pylist(), dtype=object)
        for name in np.unique(names[some].astype(str)):
            for dose in Dose:
                values = pc.fill_null(table[str(dose)], np.nan).to_numpy()
                kept.setdefault((Condition(name), dose), []).append(values[some & (names == name)])
    found = {key: edges(np.concatenate(values)) for key, values in kept.items()}
    return {key: ends for key, ends in found.items() if np.isfinite(ends).all()}


def blocks(
    run: RunDirectory,
    model: str,
    conditions: Sequence[Condition],
    names: Sequence[str],
    protein: NDArray[np.int32],
    donors: DonorUnits,
) -> Iterator[Block]:
    """Go through one model's predictions, some whole proteins at a time, all conditions together.

    Parameters
    ----------
    run
        The run; its probe stage is finished.
    model
        Name of the model.
    conditions
        The conditions with trials of their own, in the order of their files.
    names
        Class names.
    protein
        Number of each cell's protein, in the order of the proteins' names, shape (N,).
    donors
        The unit of every cell and window as a donor.

    Yields
    ------
    Block
        Blocks of whole proteins, which together have all.

    Raises
    ------
    InputError
        A file is not sorted by protein.
    """
    paths = {c: run.part("predictions", n, model) for n, c in enumerate(conditions)}
    files = {c: Predictions(p, names, protein) for c, p in paths.items() if p.is_file()}
    again = {
        View(c, reading): Predictions(path, names, protein)
        for n, c in enumerate(conditions)
        for reading, table in SECOND_PREDICTIONS.items()
        if (path := run.part(table, n, model)).is_file()
    }
    if Condition.UNALTERED not in files:
        return
    trials = _Reader(_trials(run, list(names), protein, donors), run.folder("trials"))
    lead = files[Condition.UNALTERED]
    while (protein_end := lead.block()) is not None:
        found = {c: file.until(protein_end) for c, file in files.items()}
        known = trials.until(protein_end)
        none = np.zeros(0, np.int64)
        yield Block(
            {(p, c): answers for c, some in found.items() for p, answers in some.items()},
            {
                (p, view): answers
                for view, file in again.items()
                for p, answers in file.until(protein_end).items()
            },
            Backgrounds(
                known.get("trial", none),
                known.get("background", none),
                known.get("donor", none.astype(np.int32)),
                {dose: known.get(str(dose), none.astype(np.float32)) for dose in Dose},
            ),
        )
