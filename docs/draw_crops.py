"""Figures of `docs/method.md` that show crops: conditions, composing, rescaling.

The crops are the demo's own: its store is simulated again, its trials are planned and composed
again by the code that made the shipped run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from drawing import ACCENT, ink, new, note
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compute.backgrounds.compose import compose, gather
from compute.backgrounds.harmonise import Scales, measure
from compute.runs.demo import CONFIG, EVALUATION
from compute.runs.example_crops import outline
from compute.runs.prepare import prepare
from compute.schema import Condition
from compute.simulation.simulate import simulate
from compute.storage.paths import StorePaths
from compute.store.reader import CropArrays, CropStore
from dashboard.render.images import ranges
from dashboard.theme import condition_ink, condition_title

CELL = 257
"""The cell that the strip of conditions and the composite show: its neighbours are easy to see."""

ON, RIVAL = "Golgi", "actin"
"""Localizations of the backgrounds shown under `different` and `conflicting`."""

PEAK = 99
"""Percentile of the pixels inside the outline that stands for the cell's brightness."""

Box = tuple[float, float]


@dataclass(frozen=True)
class Demo:
    """The demo's cells and trials, ready to be composed."""

    store: CropStore
    arrays: CropArrays
    scales: Scales
    trials: pd.DataFrame

    def mask(self, cell: int) -> NDArray[np.bool_]:
        """Return a cell's mask, H×W."""
        return self.arrays.unpack(self.arrays.masks[[cell]])[0]

    def crop(self, trial: Any) -> NDArray[np.float32]:
        """Compose one trial, C×H×W."""
        rows = self.trials[self.trials["trial"] == trial.trial]
        return compose(
            rows, self.arrays, self.scales, CONFIG.embed.donor_centre, CONFIG.embed.paste
        ).images[0]

    def trial(self, cell: int, condition: Condition, background: str | None = None) -> Any:
        """Find a cell's first trial under a condition, or that on a localization's background."""
        rows = self.trials[
            (self.trials["cell"] == cell) & (self.trials["condition"] == str(condition))
        ]
        if background is not None:
            rows = rows[rows["donor_localization"] == background]
        return next(rows.itertuples())


def open_demo(work: Path) -> Demo:
    """Simulate the demo's store below a folder, if it is not there, and plan its trials."""
    if not StorePaths(work / "store").header.is_file():
        simulate(work / "store", **EVALUATION)
    store = CropStore(work / "store")
    plan, _ = prepare(store, CONFIG)
    arrays = store.arrays()
    scales = measure(CONFIG.embed.harmonise, store.cells, store.windows, arrays, CONFIG.plan.seed)
    return Demo(store, arrays, scales, plan.trials(0, len(plan.rows)))


def conditions(demo: Demo) -> Figure:
    """Show one cell under every condition."""
    figure = new(4.9)
    own = demo.store.cells.iloc[CELL]
    shown = {
        Condition.UNALTERED: ("its own neighbours", None),
        Condition.SAME: ("same class", None),
        Condition.DIFFERENT: ("another class", ON),
        Condition.CELL_FREE: ("medium near", None),
        Condition.MASKED: ("zero", None),
        Condition.SHAM: ("own, pasted back", None),
        Condition.ALONE: ("own medium", None),
        Condition.SAME_PROTEIN: ("same protein", None),
        Condition.CONFLICTING: ("rival in a pair test", RIVAL),
        Condition.BACKGROUND_ONLY: ("own, cell removed", None),
    }
    contrast = ranges([demo.crop(demo.trial(CELL, Condition.UNALTERED))])[0]
    axes = figure.subplots(2, 5).ravel()
    for place, (condition, (what, background)) in zip(axes, shown.items(), strict=True):
        source = Condition.DIFFERENT if condition is Condition.CONFLICTING else condition
        trial = demo.trial(CELL, source, background)
        donor = trial.donor_localization
        show(place, demo.crop(trial)[0], contrast)
        trace(place, demo.mask(CELL), dashed=condition is Condition.BACKGROUND_ONLY)
        place.set_title(
            condition_title(condition), color=condition_ink(condition).light, weight="bold", size=11
        )
        named = f":\n{donor}" if isinstance(donor, str) else "\n"
        place.set_xlabel(what + named, size=9.5)
    note(
        figure,
        f"Cell {CELL} of {own['protein']} ({own['localization']}), simulated; "
        "protein channel, one contrast for all ten. Yellow: the cell's outline.",
    )
    return figure


def composing(demo: Demo) -> Figure:
    """Show step by step how one composite is made."""
    figure = new(5.3)
    trial = demo.trial(CELL, Condition.DIFFERENT, ON)
    arrays, donor = demo.arrays, int(trial.donor)
    centre, image = arrays.images[CELL].astype(np.float32), arrays.images[donor]
    mask, donor_mask = demo.mask(CELL), demo.mask(donor)
    rows = demo.trials[demo.trials["trial"] == trial.trial]
    inputs = gather(rows, arrays, demo.scales, CONFIG.embed.donor_centre, CONFIG.embed.paste)
    layer = inputs.layers[0].reshape(mask.shape).numpy().astype(int)
    steep = np.maximum(layer - 1, 0)
    filled = inputs.pixels[inputs.background_row[0]].numpy().view(np.uint16).astype(np.float32)
    moved = filled * inputs.factor[0].numpy()[:, steep] + inputs.offset[0].numpy()[:, steep]
    glow = inputs.glow[inputs.glow_row[0]].numpy().reshape(centre.shape)
    result = demo.crop(trial)
    if not np.allclose(result, np.where(layer == 0, centre, moved + glow), rtol=1e-5):
        raise RuntimeError("the steps drawn here are not those of compute.backgrounds.compose")
    own, others = demo.store.cells.iloc[CELL], demo.store.cells.iloc[donor]
    axes = figure.subplots(2, 3).ravel()
    contrast, of_donors = ranges([centre])[0], ranges([image])[0]
    for number, (place, title, what) in enumerate(
        zip(
            axes,
            (
                "1  The centre cell",
                "2  Its mask",
                "3  The donor",
                "4  Donor's cell removed",
                "5  What the cell takes along",
                "6  The composite",
            ),
            (
                f"{own['protein']}, {own['localization']}",
                "what never changes",
                f"{others['protein']}, {others['localization']}",
                "the hole filled with medium,\nthe rest on the cell's scale",
                "its own pixels and, outside\nthe outline, its glow",
                "inside the outline:\nthe cell's very pixels",
            ),
            strict=True,
        )
    ):
        place.set_title(title, loc="left", weight="bold", size=11)
        place.set_xlabel(what, size=9.5)
        if number == 0:
            show(place, centre[0], contrast)
            trace(place, mask)
        elif number == 1:
            show(place, np.where(mask, 1.0, 0.0), (0, 1))
        elif number == 2:
            show(place, image[0], of_donors)
            trace(place, donor_mask)
        elif number == 3:
            show(place, moved[0], contrast)
            trace(place, donor_mask, dashed=True)
        elif number == 4:
            show(place, np.where(layer == 0, centre, glow + contrast[0])[0], contrast)
            trace(place, mask)
        else:
            show(place, result[0], contrast)
            trace(place, mask)
    note(figure, "Panel 3 in the donor's contrast, all others in the cell's. Simulated.")
    return figure


def rescaling(demo: Demo) -> Figure:
    """Show how a bright neighbour dims the cell, and how locking the scale prevents it."""
    figure = new(3.15)
    trial = _dimmed(demo)
    cell = int(trial.cell)
    before = demo.crop(demo.trial(cell, Condition.UNALTERED))[0]
    after = demo.crop(trial)[0]
    mask = demo.mask(cell)
    pictures = (_unit(before, before), _unit(after, after), _unit(after, before))
    peaks = [float(np.percentile(picture[mask], PEAK)) for picture in pictures]
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.1))
    titles = ("Unaltered", "New background,\nscaled by the crop", "New background,\nscale locked")
    below = ("by its own range", "by the new crop's range", "by the unaltered crop's")
    for place, picture, title, what in zip(axes[:3], pictures, titles, below, strict=True):
        show(place, picture, (0, 1))
        trace(place, mask)
        place.set_title(title, size=10.5, weight="bold")
        place.set_xlabel(what, size=9.5)
    bars = axes[3]
    colours = (ink("unaltered"), ink("different"), ACCENT)
    bars.bar(range(3), peaks, width=0.62, color=colours)
    bars.set_xticks(range(3), ["unaltered", "by crop", "locked"])
    bars.set_ylim(0, 1.2)
    bars.set_yticks([0, 0.5, 1])
    bars.set_title("What the model reads:\nthe cell's brightest pixels", size=10.5, weight="bold")
    bars.bar_label(bars.containers[0], fmt="%.2f", padding=2, size=9.5)
    bars.set_box_aspect(0.95)
    own = demo.store.cells.iloc[cell]
    note(
        figure,
        f"Cell {cell} ({own['localization']}) on a background of {trial.donor_localization}; the "
        "raw pixels inside the outline are the same in all three. Simulated.",
    )
    return figure


def _unit(picture: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a channel by a crop's least and greatest value, as `scale_min_max` does."""
    low, high = float(reference.min()), float(reference.max())
    return (picture - low) / (high - low)


def _dimmed(demo: Demo) -> Any:
    """Find a trial whose neighbour dims the cell to half, the medium being as dark as before."""
    rows = demo.trials[
        (demo.trials["condition"] == str(Condition.DIFFERENT)) & (demo.trials["repeat"] == 0)
    ].reset_index(drop=True)
    made = compose(rows, demo.arrays, demo.scales, CONFIG.embed.donor_centre)
    before, after = made.unaltered[made.reference, 0], made.images[:, 0]
    stretch = np.ptp(after, axis=(1, 2)) / np.ptp(before, axis=(1, 2))
    darker = np.percentile(after, 30, axis=(1, 2)) - np.percentile(before, 30, axis=(1, 2))
    worse = np.abs(np.log(stretch / 2)) + 8 * np.abs(darker) / np.ptp(before, axis=(1, 2))
    worse[made.flags != 0] = np.inf
    return list(rows.itertuples())[int(np.argmin(worse))]


def show(axes: Axes, picture: NDArray[Any], contrast: Box) -> None:
    """Draw one channel in grey, pixels as squares."""
    axes.imshow(picture, cmap="gray", vmin=contrast[0], vmax=contrast[1], interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def trace(axes: Axes, mask: NDArray[np.bool_], dashed: bool = False) -> None:
    """Draw a mask's outline."""
    for contour in outline(mask):
        points = np.reshape(contour, (-1, 2))
        axes.plot(*points.T, color="#ffe14d", linewidth=1.3, linestyle="--" if dashed else "-")
    height, width = mask.shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
