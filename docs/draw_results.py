"""Figures of `docs/method.md` that show results: folds, drops, shifts, calibration, coverage.

Numbers are those of the shipped demo run (`data/demo`) and of `docs/coverage.csv`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from drawing import ACCENT, FLOOR, grid, ink, new, note
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from compute.bench.intervals import HOLDS
from compute.bench.judging import HELD, MOST
from compute.schema import Condition
from compute.statistics.calibration import CalibrationSums, reliability_rows
from compute.statistics.config import LEVEL, BootstrapConfig
from compute.statistics.shifts import noise_floor, total_variation
from compute.storage.paths import RunPaths
from compute.storage.run_directory import RunDirectory
from dashboard.theme import MUTED, condition_title, model_title

MODEL = "deeploc"
"""Whose results the figures show."""

PROTEIN = "SIM1-110"
"""Whose shift the figure shows: a protein of the cytoplasm that reads as actin."""

EXCHANGES = 4000


def folds() -> Figure:
    """Draw the two ways to deal cells out to folds."""
    figure = new(3.3)
    axes = figure.subplots(1, 2)
    proteins, cells, wanted = 5, 10, 5
    rng = np.random.default_rng(3)
    paper = rng.permuted(np.arange(proteins * cells)).reshape(proteins, cells) % wanted
    grouped = np.repeat(np.array([3, 0, 4, 1, 2])[:, None], cells, axis=1)
    for place, fold, title, below in (
        (axes[0], paper, "paper: cells are dealt out",
         "each protein is in the training and in the held-out half:\n"
         "the probe can pass by knowing the protein"),
        (axes[1], grouped, "grouped: whole proteins are dealt out",
         "a held-out cell's protein was never seen:\n"
         "the probe must know the localization"),
    ):  # fmt: skip
        for row in range(proteins):
            for column in range(cells):
                held = fold[row, column] == 0
                place.add_patch(
                    Rectangle((column, row), 0.86, 0.8, facecolor=ACCENT if held else "#d5dae2")
                )
        place.set_xlim(-0.2, cells)
        place.set_ylim(proteins, -0.2)
        place.set_yticks(np.arange(proteins) + 0.4, [f"protein {i + 1}" for i in range(proteins)])
        place.set_xticks([])
        place.set_xlabel(below, size=9.5)
        place.set_title(title, loc="left", weight="bold", size=11)
        place.tick_params(length=0)
        for spine in place.spines.values():
            spine.set_visible(False)
    note(figure, "One localization, a square a cell. Dark: held out in the first of five folds; "
         "the probe learns from the others.")  # fmt: skip
    return figure


def drop_and_gap(demo: Path) -> Figure:
    """Show how a drop and a gap are read off accuracies."""
    figure = new(3.9)
    axes = figure.subplots(1, 2, width_ratios=(1, 1.15))
    rows = _overall(demo, "accuracy")
    names = ["unaltered", "same", "cell_free", "different"]
    spots = {name: place for place, name in enumerate(names)}
    left = axes[0]
    for name, place in spots.items():
        row = rows[rows["condition"] == name].iloc[0]
        _bar(left, place, row, name)
        left.text(place, row["ci_low"] - 0.06, f"{row['estimate']:.0%}", ha="center", size=9.5)
    high, low, swapped = (
        float(rows.loc[rows["condition"] == name, "estimate"].iloc[0])
        for name in ("unaltered", "same", "different")
    )
    for place, top, text, side in ((3.6, high, "drop", -1), (4.1, low, "gap", 1)):
        left.annotate(
            "", (place, swapped), (place, top),
            arrowprops={"arrowstyle": "<->", "color": MUTED.light, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        left.text(
            place + 0.06 * side, (top + swapped) / 2, text, size=10, va="center", weight="bold",
            ha="left" if side > 0 else "right",
        )  # fmt: skip
    left.hlines(high, 0.1, 3.6, color=ink("unaltered"), linewidth=0.8, linestyle=":")
    left.hlines(low, 1.1, 4.1, color=ink("same"), linewidth=0.8, linestyle=":")
    left.hlines(swapped, 3.1, 4.1, color=ink("different"), linewidth=0.8, linestyle=":")
    left.set_xlim(-0.4, 4.7)
    left.set_xticks(range(4), ["un-\naltered", "same\nclass", "cell-\nfree", "different\nclass"])
    left.set_ylim(0, 1)
    left.set_ylabel("accuracy")
    left.yaxis.set_major_formatter(PercentFormatter(1, 0))
    grid(left, "y")
    left.set_title("Accuracies", loc="left", weight="bold", size=11)
    right = axes[1]
    effects = _overall(demo, "effects")
    shown = [("drop", c) for c in ("sham", "same", "cell_free", "different")]
    shown.append(("gap", "different"))
    for place, (effect, name) in enumerate(reversed(shown)):
        row = effects[(effects["effect"] == effect) & (effects["condition"] == name)].iloc[0]
        _bar(right, place, row, name, along_x=True)
        right.text(
            row["ci_high"] + 0.012, place, f"{100 * row['estimate']:+.1f}", va="center", size=9.5
        )
    titles = [
        "background gap" if e == "gap" else f"drop, {condition_title(n).lower()}" for e, n in shown
    ]
    right.set_yticks(range(len(shown)), titles[::-1])
    right.axvline(0, color=MUTED.light, linewidth=1)
    margin = BootstrapConfig().margin
    right.axvspan(-margin, margin, color="#eef1f6", zorder=0)
    right.text(
        margin,
        len(shown) - 0.42,
        f" ± margin of {100 * margin:g} points",
        size=9,
        color=MUTED.light,
    )
    right.set_ylim(-0.6, len(shown) - 0.2)
    right.set_xlim(-0.05, 0.4)
    right.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    right.set_xlabel("points of accuracy")
    grid(right, "x")
    right.set_title("Their differences", loc="left", weight="bold", size=11)
    n = rows.iloc[0]
    note(figure, f"{model_title(MODEL)}, multi-class probe, frozen; {n['n_cells']:,} simulated "
         f"cells of {n['n_proteins']} proteins. Lines: {LEVEL:.0%} intervals.")  # fmt: skip
    return figure


def shift(demo: Path) -> Figure:
    """Show a protein before and after, and what chance gives."""
    figure = new(4.1)
    axes = figure.subplots(1, 2, width_ratios=(1.15, 1))
    names, before, after = _probabilities(demo)
    p, q = before.mean(0), after.mean(0)
    order = np.argsort(-(p + q))[:8]
    place = np.arange(len(order))
    left = axes[0]
    for values, condition, offset in ((p, "unaltered", -0.19), (q, "different", 0.19)):
        left.barh(
            place + offset, values[order], 0.36, color=ink(condition),
            label=condition_title(condition),
        )  # fmt: skip
    left.set_yticks(place, [names[k] for k in order])
    left.invert_yaxis()
    left.xaxis.set_major_formatter(PercentFormatter(1, 0))
    left.set_xlabel("mean probability over the cells")
    left.legend(frameon=False, loc="lower right")
    grid(left, "x")
    left.set_title(f"{PROTEIN} (cytoplasm)", loc="left", weight="bold", size=11)
    right = axes[1]
    tv = float(total_variation(p, q))
    signs = np.random.default_rng(0).integers(0, 2, (EXCHANGES, len(before))) * 2 - 1
    null = np.abs(signs @ (after - before)).sum(1) / (2 * len(before))
    right.hist(null, np.linspace(0, 0.8, 41), color="#c3cad5")
    floor = noise_floor(before, 0)
    right.set_ylim(0, right.get_ylim()[1] * 1.3)
    top = right.get_ylim()[1]
    for x, colour, text, side in (
        (floor, MUTED.light, f"noise floor\n{floor:.2f}", "right"),
        (tv, ink("different"), f"this shift\n{tv:.2f}", "left"),
    ):
        right.axvline(x, color=colour, linewidth=2)
        step = -0.012 if side == "right" else 0.012
        right.text(x + step, top * 0.98, text, ha=side, va="top", color=colour, size=9.5)
    right.set_xlabel("total variation")
    right.set_yticks([])
    right.spines["left"].set_visible(False)
    right.set_xlim(0, 0.8)
    right.set_title("Against chance", loc="left", weight="bold", size=11)
    note(figure, f"{model_title(MODEL)}, frozen, {len(before)} simulated cells. Grey: "
         f"each cell's two answers exchanged at random, {EXCHANGES:,} times.")  # fmt: skip
    return figure


def calibration(demo: Path) -> Figure:
    """Draw reliability diagrams: what the probe promises and what it keeps."""
    figure = new(4.2)
    axes = figure.subplots(1, 2, sharey=True)
    for place, condition in zip(axes, (Condition.UNALTERED, Condition.DIFFERENT), strict=True):
        sums = _reliability(demo, condition)
        rows = [row for row in reliability_rows(sums) if row["n"]]
        confidence, accuracy, n = (
            np.array([row[key] for row in rows]) for key in ("confidence", "accuracy", "n")
        )
        place.plot([0, 1], [0, 1], color=MUTED.light, linewidth=1, linestyle="--")
        place.vlines(confidence, accuracy, confidence, color=FLOOR, linewidth=1.5)
        place.scatter(
            confidence, accuracy, s=12 + 160 * n / n.sum(), color=ink(condition), zorder=3
        )
        weight = sums.weight[sums.n > 0]
        error = float((weight * np.abs(confidence - accuracy)).sum() / weight.sum())
        place.text(
            0.97, 0.05, f"calibration error {error:.2f}\n{sums.n.sum():,} trials",
            ha="right", size=9.5,
        )  # fmt: skip
        place.set_title(
            condition_title(condition), loc="left", weight="bold", size=11, color=ink(condition)
        )
        place.set_xlabel("highest probability: “I am this sure”")
        place.set_xlim(0, 1.02)
        place.set_ylim(0, 1.02)
        place.xaxis.set_major_formatter(PercentFormatter(1, 0))
        grid(place, "both")
    axes[0].set_ylabel("right answers: “so often I was right”")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes[0].text(0.55, 0.62, "as sure as right", rotation=40, size=9, color=MUTED.light)
    note(figure, f"{model_title(MODEL)}, frozen. A dot is a bin of trials, larger with more of "
         "them; below the dashed line the probe is surer than it is right.")  # fmt: skip
    return figure


def coverage(table: Path) -> Figure:
    """Show how many simulated intervals hold the truth, where one model is looked at."""
    rows = pd.read_csv(table)
    rows = rows[(rows["counted"] == HOLDS) & rows["least"].notna()]
    rows = rows[~rows["setting"].str.contains("very proteins|models|seeds")]
    rows = rows[rows["data_sets"] == rows["data_sets"].max()]
    shared, most = (rows["setting"].str.contains(words) for words in ("donors", MOST))
    rows.loc[most, "estimator"] += ", unlike donors"
    rows = rows[most | ~shared]
    names = list(dict.fromkeys(rows["estimator"]))
    spots = {name: place for place, name in enumerate(names)}
    figure = new(0.215 * len(names) + 1.5)
    axes = figure.subplots()
    axes.axvspan(*HELD, color="#eef1f6", zorder=0)
    axes.axvline(LEVEL, color=MUTED.light, linewidth=1)
    for mark, filled, offset, many in (("o", True, -0.17, 20), ("s", False, 0.17, 6)):
        some = rows[rows["setting"].str.startswith(f"{many} ")]
        places = some["estimator"].map(spots) + offset
        axes.errorbar(
            some["share"], places, xerr=2 * some["error"], fmt=mark, markersize=5, color=ACCENT,
            markerfacecolor=ACCENT if filled else "white", elinewidth=1,
            label=f"{many} proteins a class",
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names, size=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0.90, 1.0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.set_xlabel(f"intervals that hold the truth; promised: {LEVEL:.0%}")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
    grid(axes, "both")
    note(figure, f"{int(rows['data_sets'].iloc[0]):,} simulated data sets each; lines: two "
         "standard errors of the simulation. Band: 93 to 97%.")  # fmt: skip
    return figure


def _overall(demo: Path, table: str) -> pd.DataFrame:
    """Read the overall rows of the model, frozen multi-class probe."""
    rows = pd.read_parquet(RunPaths(demo).summary(table))
    wanted = {
        "model": MODEL, "protocol": "frozen", "probe": "multiclass", "scope": "overall",
        "aggregation": "all",
    }  # fmt: skip
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def _bar(
    axes: Axes, place: float, row: "pd.Series[float]", name: str, along_x: bool = False
) -> None:
    """Draw an estimate with its interval."""
    line, point = ([row["ci_low"], row["ci_high"]], [place, place]), (row["estimate"], place)
    if not along_x:
        line, point = line[::-1], point[::-1]
    axes.plot(*line, color=ink(name), linewidth=2)
    axes.plot(*point, "o", color=ink(name), markersize=7)


def _trials(demo: Path, condition: Condition) -> pd.DataFrame:
    """Read one condition's predictions: model, frozen."""
    chosen = [("condition", "=", str(condition)), ("protocol", "=", "frozen")]
    files = RunPaths(demo).parts("predictions", MODEL)
    parts = [pq.read_table(file, partitioning=None, filters=chosen) for file in files]
    return pa.concat_tables(parts).to_pandas()


def _reliability(demo: Path, condition: Condition) -> CalibrationSums:
    """Sum one condition's trials of cells with one localization, as a run does."""
    names = _names(demo)
    cells = pd.read_parquet(RunPaths(demo).summary("cells")).set_index("cell")["localization"]
    rows = _trials(demo, condition)
    rows = rows.assign(localization=rows["cell"].map(cells)).dropna(subset="localization")
    sums = CalibrationSums.empty(1, 1)
    many = rows.groupby("cell")["trial"].transform("size").to_numpy()
    sums.add(
        np.stack(rows["probabilities"]).astype(float),
        rows["localization"].map({name: i for i, name in enumerate(names)}).to_numpy(np.int64),
        rows["cell"].to_numpy(np.int64),
        1 / many,
        np.zeros(len(rows), np.int32),
    )
    return sums


def _names(demo: Path) -> list[str]:
    return RunDirectory(demo).localizations


def _probabilities(demo: Path) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Read one protein's probabilities before and after, a row a cell."""
    found = []
    for condition in (Condition.UNALTERED, Condition.DIFFERENT):
        rows = _trials(demo, condition)
        rows = rows[rows["protein"] == PROTEIN]
        frame = pd.DataFrame(np.stack(rows["probabilities"]), index=rows["cell"])
        found.append(frame.groupby(level=0).mean())
    cells = found[0].index.intersection(found[1].index)
    return _names(demo), found[0].loc[cells].to_numpy(), found[1].loc[cells].to_numpy()
