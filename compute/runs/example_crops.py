"""Crops to look at: some cells of every protein under each condition, with every model's answer.

Layer: composes a few trials again, reads their predictions, writes the table `examples`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from imagecodecs import PNG, png_encode
from numpy.typing import NDArray
from skimage.measure import find_contours

from compute import schema
from compute.backgrounds.compose import compose
from compute.backgrounds.harmonise import Scales
from compute.hashing import Stream, mix
from compute.images.dilation import to_masks
from compute.schema import Condition, Protocol
from compute.storage.atomic_files import Progress, silent, write_stream
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropArrays

FILTER, STRATEGY = PNG.FILTER.AVG, PNG.STRATEGY.FILTERED
"""How PNGs are written: of all ways the smallest for crops, whose noise does not compress."""

TRIALS_TOGETHER = 30_000
"""Trials (of about 4,000 cells) whose predictions are looked at together."""

ROWS_TOGETHER = 1000
"""Examples in a Parquet row group, about 13 MB."""

KEEP_THE_CELL = {"unaltered", "same", "different", "cell_free"}
"""Conditions that change the background alone, and not to zero."""


def write_examples(
    run: RunDirectory,
    table: pd.DataFrame,
    windows: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str,
    paste: str,
    per_protein: int,
    models: Sequence[str],
    seed: int,
    progress: Progress = silent,
    bits: int = 16,
) -> None:
    """Write the `examples` table if it is not there.

    Of every protein, half of the cells are those whose probabilities move most on another class's
    background (frozen protocol, all models), half are drawn by hash.

    Parameters
    ----------
    run
        A run directory with all predictions.
    table, windows
        The store's tables of cells and windows.
    arrays, scales, donor_centre, paste
        What crops are composed from, as in the embedding stage.
    per_protein
        Cells of each protein; 0 writes an empty table.
    models
        Names of the models whose predictions are added.
    seed
        Decides which cells are drawn by hash.
    progress
        Called with ``"examples"``, shards of trials done and shards in all; silent by default.
    bits
        Bits of a pixel, 4 to 16; by default 16, with which integers are exact.
    """
    path = run.summary("examples")
    if path.is_file():
        return
    composed = [c for c in schema.COMPOSED if c in run.meta["conditions"]]

    def tables() -> Iterator[pa.Table]:
        for trials in _by_protein(run, table["protein"], progress):
            chosen = _chosen(run, trials, models, composed, per_protein, seed)
            if chosen.empty:
                continue
            found = _predictions(run, models, chosen)
            for _, some in chosen.groupby("protein", sort=True):
                yield _rows(some.reset_index(drop=True), found, table, windows, arrays, scales,
                            donor_centre, paste, bits)  # fmt: skip

    write_stream(path, tables(), schema.EXAMPLES, ROWS_TOGETHER)


def _by_protein(
    run: RunDirectory, protein: "pd.Series[str]", progress: Progress
) -> Iterator[pd.DataFrame]:
    """Yield every cell's first trial under each condition, some whole proteins at a time.

    Trials lie in the plan's order, which is by protein.
    """
    files = run.parts("trials")
    waiting: list[pd.DataFrame] = []
    for done, file in enumerate(files):
        progress("examples", done, len(files))
        first = pc.field("repeat") == 0
        frame = pq.read_table(file, filters=first, partitioning=None, pre_buffer=False).to_pandas()
        frame["donor"] = frame["donor"].fillna(-1).astype(np.int64)
        frame["protein"] = protein.iloc[frame["cell"]].to_numpy()
        waiting.append(frame)
        if sum(map(len, waiting)) >= TRIALS_TOGETHER:
            several = pd.concat(waiting, ignore_index=True)
            unfinished = several["protein"] == several["protein"].iloc[-1]
            waiting = [several[unfinished]]
            if not unfinished.all():
                yield several[~unfinished].reset_index(drop=True)
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
    progress("examples", len(files), len(files))


def _chosen(
    run: RunDirectory,
    trials: pd.DataFrame,
    models: Sequence[str],
    conditions: Sequence[str],
    per_protein: int,
    seed: int,
) -> pd.DataFrame:
    """Keep the trials of the cells that become examples."""
    if per_protein == 0:
        return trials.iloc[:0]
    span = trials["protein"].iloc[0], trials["protein"].iloc[-1]
    moved = trials.merge(_movement(run, models, conditions, span), on="cell", how="left")
    return trials[trials["cell"].isin(_choose(moved, per_protein, seed))]


def _rows(
    trials: pd.DataFrame,
    predictions: dict[int, list[dict[str, Any]]],
    table: pd.DataFrame,
    windows: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str,
    paste: str,
    bits: int,
) -> pa.Table:
    """Compose one protein's trials again; return them as rows of `examples`."""
    crops = compose(trials, arrays, scales, donor_centre, paste)
    words, _ = arrays.outlines(trials["cell"].to_numpy())
    masks = to_masks(words, arrays.images.shape[-1])
    rows: list[dict[str, Any]] = []
    trial: Any
    for i, trial in enumerate(trials.itertuples()):
        rows.append(
            {
                "protein": trial.protein,
                **_row(trial, table, windows),
                **pixels_as_png(crops.images[i], arrays.images.dtype, bits),
                "outline": outline(masks[i]),
                "predictions": predictions.get(trial.trial, []),
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.EXAMPLES)


def _movement(
    run: RunDirectory, models: Sequence[str], conditions: Sequence[str], span: tuple[str, str]
) -> pd.DataFrame:
    """Measure how far each cell's probabilities move when only its background changes.

    Parameters
    ----------
    run, models
        The run directory and the models whose predictions are read.
    conditions
        The conditions that have trials of their own, in order.
    span
        First and last name of the proteins to read.

    Returns
    -------
    DataFrame
        `cell`, and `moved`: total variation distance between unaltered and another class's
        background (where that condition was not chosen: the largest of those that keep the cell),
        summed over models.
    """
    total: pd.Series[Any] | None = None
    for model in models:
        means = {}
        for number, condition in enumerate(conditions):
            path = run.part("predictions", number, model)
            if condition in KEEP_THE_CELL and path.is_file():
                means[condition] = _mean_probabilities(path, span)
        before = means.pop(str(Condition.UNALTERED), None)
        if before is None:
            continue
        chosen = {str(Condition.DIFFERENT)} & set(means) or set(means)
        moves = [(means[c] - before).abs().sum(axis=1) / 2 for c in sorted(chosen)]
        if moves:
            farthest = pd.concat(moves, axis=1).max(axis=1)
            total = farthest if total is None else total.add(farthest, fill_value=0)
    if total is None:
        return pd.DataFrame({"cell": pd.Series(dtype=np.int64), "moved": pd.Series(dtype=float)})
    return total.rename("moved").rename_axis("cell").reset_index()


def _mean_probabilities(path: Path, span: tuple[str, str]) -> pd.DataFrame:
    """Average each cell's probabilities over its trials (frozen protocol)."""
    wanted = _between(span) & (pc.field("protocol") == str(Protocol.FROZEN))
    found = pq.read_table(
        path, columns=["cell", "probabilities"], filters=wanted, partitioning=None
    )
    column = found.column("probabilities")
    flat, size = column.combine_chunks().flatten(), column.type.list_size
    frame = pd.DataFrame(np.asarray(flat, np.float64).reshape(len(found), size))
    return frame.groupby(found.column("cell").to_numpy()).mean()


def _between(span: tuple[str, str]) -> pc.Expression:
    """Match the rows of a range of proteins; files are sorted by protein, so little is read."""
    return (pc.field("protein") >= span[0]) & (pc.field("protein") <= span[1])


def _choose(trials: pd.DataFrame, per_protein: int, seed: int) -> NDArray[np.int64]:
    """Choose cells: of every protein the most moved, then some by hash.

    Parameters
    ----------
    trials
        Columns `cell`, `protein` and `moved` are read.
    per_protein
        Number of cells of each protein.
    seed
        Decides the draw by hash.

    Returns
    -------
    ndarray
        Rows of the store, ascending.
    """
    cells = trials.drop_duplicates("cell")[["cell", "protein", "moved"]].copy()
    cells["lot"] = mix(seed, Stream.EXAMPLE_CELLS, cells["cell"].to_numpy())
    cells["moved"] = cells["moved"].fillna(0)
    moved = cells.sort_values(["protein", "moved", "cell"], ascending=[True, False, True])
    first = moved.groupby("protein").head((per_protein + 1) // 2)
    rest = cells[~cells["cell"].isin(first["cell"])].sort_values(["protein", "lot"])
    return np.union1d(first["cell"], rest.groupby("protein").head(per_protein // 2)["cell"])


def _predictions(
    run: RunDirectory, models: Sequence[str], trials: pd.DataFrame
) -> dict[int, list[dict[str, Any]]]:
    """Return the answers of every model and protocol to some trials, by the trial's number."""
    found: dict[int, list[dict[str, Any]]] = {}
    span = trials["protein"].min(), trials["protein"].max()
    wanted = _between(span) & pc.field("trial").isin(pa.array(trials["trial"].to_numpy()))
    for model in models:
        for file in run.parts("predictions", model):
            for row in pq.read_table(
                file, filters=wanted, partitioning=None, pre_buffer=False
            ).to_pylist():
                found.setdefault(row["trial"], []).append(
                    {
                        "model": model,
                        "protocol": row["protocol"],
                        "predicted": row["predicted"],
                        "probability": max(row["probabilities"]),
                    }
                )
    return found


def _row(trial: Any, table: pd.DataFrame, windows: pd.DataFrame) -> dict[str, Any]:
    """Return what `examples` says of a trial, but for pixels and predictions."""
    cell = table.iloc[trial.cell]
    donor_protein = None
    if trial.donor >= 0:
        source = windows if trial.condition == Condition.CELL_FREE else table
        donor_protein = str(source["protein"].iloc[trial.donor])
    localization, labels = cell["localization"], cell["labels"]
    background = trial.donor_localization
    return {
        "cell": trial.cell,
        "condition": trial.condition,
        "trial": trial.trial,
        "localization": localization if isinstance(localization, str) else None,
        "labels": None if labels is None else list(labels),
        "donor": trial.donor if trial.donor >= 0 else None,
        "donor_localization": background if isinstance(background, str) else None,
        "donor_protein": donor_protein,
        "flags": trial.flags,
    }


def pixels_as_png(
    image: NDArray[np.float32], dtype: np.dtype[Any], bits: int = 16
) -> dict[str, Any]:
    """Encode each channel of a crop, shape (C, H, W), as a PNG, by default with 16 bits a pixel.

    Pixels of integer stores are kept exactly where there are bits enough. A channel's values are
    `gain` times the PNG's plus `offset`.
    """
    images, offsets, gains, levels = [], [], [], 2**bits - 1
    for channel in image.astype(np.float64):
        low, high = float(channel.min()), float(channel.max())
        offset, gain = low, (high - low) / levels or 1.0
        whole = min(0.0, float(np.floor(low)))
        if dtype.kind == "u" and high - whole <= levels:
            offset, gain = whole, 1.0
        stored = np.rint((channel - offset) / gain).astype(np.uint8 if bits <= 8 else np.uint16)
        images.append(bytes(png_encode(stored, level=9, filter=FILTER, strategy=STRATEGY)))
        offsets.append(offset)
        gains.append(gain)
    return {"images": images, "offset": offsets, "gain": gains}


def outline(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Trace the edge of a mask, shape (H, W).

    Returns
    -------
    list of list of float
        Closed contours, each x0, y0, x1, y1, … in pixels.
    """
    padded = np.pad(mask.astype(float), 1)
    return [
        (np.flip(contour, 1) - 1).ravel().round(2).tolist()
        for contour in find_contours(padded, 0.5)
    ]
