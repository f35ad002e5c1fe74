"""Crops to look at: for some cells of every protein, each condition with every model's answer.

Layer: composes a few trials again, reads their predictions, writes `examples`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from imagecodecs import png_encode
from numpy.typing import NDArray
from skimage.measure import find_contours

from compute import schema
from compute.composite import compose
from compute.files import Progress, silent
from compute.harmonise import Scales
from compute.hashing import mix
from compute.rundir import RunDirectory
from compute.schema import Condition, Protocol
from compute.store import CropArrays

LEVELS = 2**16 - 1

KEEP_THE_CELL = {"unaltered", "same", "different", "cell_free"}
"""Conditions that change the background alone, and not to zero."""


def write_examples(
    run: RunDirectory,
    table: pd.DataFrame,
    windows: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str,
    per_protein: int,
    models: Sequence[str],
    seed: int,
    progress: Progress = silent,
) -> None:
    """Write the `examples` table if it is not there.

    Of every protein, half of the cells are those whose probabilities move most on another class's
    background (frozen protocol, all models), half are drawn by hash.

    Parameters
    ----------
    run
        With all predictions.
    table, windows
        The store's tables.
    arrays, scales, donor_centre
        As in the embedding stage.
    per_protein
        Cells per protein; 0 writes an empty table.
    models
        Whose predictions to add.
    seed
        For the cells drawn by hash.
    progress
        Called with proteins done.
    """
    path = run.summary("examples")
    if path.is_file():
        return
    trials = _first_trials(run)
    composed = [c for c in schema.COMPOSED if c in run.meta["conditions"]]
    trials = trials.merge(_movement(run, models, composed), on="cell", how="left")
    chosen = _choose(trials, table["protein"].to_numpy(dtype=str), per_protein, seed)
    trials = trials[trials["cell"].isin(chosen)].reset_index(drop=True)
    predictions = _predictions(run, models, trials["trial"].to_numpy())
    rows: list[dict[str, Any]] = []
    groups = list(trials.groupby(table["protein"].to_numpy()[trials["cell"]], sort=True))
    for done, (protein, some) in enumerate(groups):
        progress("examples", done, len(groups))
        some = some.reset_index(drop=True)
        crops = compose(some, arrays, scales, donor_centre)
        trial: Any
        for i, trial in enumerate(some.itertuples()):
            rows.append(
                {
                    "protein": protein,
                    **_row(trial, table, windows),
                    **_pixels(crops.images[i], arrays.images.dtype),
                    "outline": outline(arrays.unpack(arrays.masks[[trial.cell]])[0]),
                    "predictions": predictions.get(trial.trial, []),
                }
            )
    progress("examples", len(groups), len(groups))
    expected = schema.EXAMPLES
    run.write(path, pa.Table.from_pylist(rows, schema=expected), expected)


def _first_trials(run: RunDirectory) -> pd.DataFrame:
    """Read every cell's first trial under each condition."""
    parts = [
        pq.read_table(file, filters=pc.field("repeat") == 0, partitioning=None)
        for file in run.parts("trials")
    ]
    frame = pa.concat_tables(parts).to_pandas()
    frame["donor"] = frame["donor"].fillna(-1).astype(np.int64)
    return frame


def _movement(run: RunDirectory, models: Sequence[str], conditions: Sequence[str]) -> pd.DataFrame:
    """Measure how far each cell's probabilities move when only its background changes.

    Returns
    -------
    DataFrame
        `cell` and `moved`: total variation between unaltered and another class's background
        (without that condition: the farthest that keeps the cell), summed over models.
    """
    total: pd.Series[Any] | None = None
    for model in models:
        means = {}
        for number, condition in enumerate(conditions):
            path = run.part("predictions", number, model)
            if condition in KEEP_THE_CELL and path.is_file():
                means[condition] = _mean_probabilities(path)
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


def _mean_probabilities(path: Path) -> pd.DataFrame:
    """Average each cell's probabilities over its trials (frozen protocol)."""
    found = pq.read_table(
        path, columns=["cell", "probabilities"],
        filters=pc.field("protocol") == str(Protocol.FROZEN), partitioning=None,
    )  # fmt: skip
    column = found.column("probabilities")
    flat, size = column.combine_chunks().flatten(), column.type.list_size
    frame = pd.DataFrame(np.asarray(flat, np.float64).reshape(len(found), size))
    return frame.groupby(found.column("cell").to_numpy()).mean()


def _choose(
    trials: pd.DataFrame, protein: NDArray[np.str_], per_protein: int, seed: int
) -> NDArray[np.int64]:
    """Choose cells: of every protein the most moved, then some by hash."""
    cells = trials.drop_duplicates("cell")[["cell", "moved"]].copy()
    cells["protein"] = protein[cells["cell"]]
    cells["lot"] = mix(seed, 501, cells["cell"].to_numpy())
    cells["moved"] = cells["moved"].fillna(0)
    moved = cells.sort_values(["protein", "moved", "cell"], ascending=[True, False, True])
    first = moved.groupby("protein").head((per_protein + 1) // 2)
    rest = cells[~cells["cell"].isin(first["cell"])].sort_values(["protein", "lot"])
    return np.union1d(first["cell"], rest.groupby("protein").head(per_protein // 2)["cell"])


def _predictions(
    run: RunDirectory, models: Sequence[str], trials: NDArray[np.int64]
) -> dict[int, list[dict[str, Any]]]:
    """Collect every model's and protocol's answer to some trials."""
    found: dict[int, list[dict[str, Any]]] = {}
    wanted = pc.field("trial").isin(pa.array(trials))
    for model in models:
        for file in run.parts("predictions", model):
            for row in pq.read_table(file, filters=wanted, partitioning=None).to_pylist():
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
    """Describe one trial."""
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


def _pixels(image: NDArray[np.float32], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Encode each channel as a 16-bit PNG; integer stores keep their very values."""
    images, offsets, gains = [], [], []
    for channel in image.astype(np.float64):
        low, high = float(channel.min()), float(channel.max())
        offset, gain = low, (high - low) / LEVELS or 1.0
        whole = min(0.0, float(np.floor(low)))
        if dtype.kind == "u" and high - whole <= LEVELS:
            offset, gain = whole, 1.0
        stored = np.rint((channel - offset) / gain).astype(np.uint16)
        images.append(bytes(png_encode(stored, level=9)))
        offsets.append(offset)
        gains.append(gain)
    return {"images": images, "offset": offsets, "gain": gains}


def outline(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Trace a mask's edge: closed contours as x0, y0, x1, y1, … in pixels."""
    padded = np.pad(mask.astype(float), 1)
    return [
        (np.flip(contour, 1) - 1).ravel().round(2).tolist()
        for contour in find_contours(padded, 0.5)
    ]
