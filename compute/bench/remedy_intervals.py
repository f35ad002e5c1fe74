"""Whether the 95% intervals of what remedies do hold the truth, over many made-up data sets.

Layer: reads and writes temporary runs, through the functions that write a run's table `remedies`.
The truth is what the very probes that a data set's remedies fitted do on other proteins, cells and
donors, so many that their own chance is small.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from compute.bench.intervals import HOLDS
from compute.bench.judging import FIRST, HELD, Counter, Finding, SimulationConfig
from compute.bench.simulated_embeddings import (
    CONDITIONS,
    MODEL,
    POOLED,
    Elsewhere,
    EmbeddingsConfig,
    make,
)
from compute.probes.cells import Cells
from compute.probes.multiclass import Multiclass
from compute.remedies.config import RemedyConfig
from compute.remedies.judge import Judge
from compute.remedies.of_model import fit_remedies, judged_rows
from compute.remedies.rows import WORST
from compute.schema import REMEDIES_IN_WORDS, Condition, Effect, Remedy
from compute.statistics.bootstrap import BootstrapConfig

SETTINGS = {
    "20 proteins a class": EmbeddingsConfig(),
    "6 proteins a class": EmbeddingsConfig(proteins=6, cells=10),
    "20 proteins a class, backgrounds show nothing": EmbeddingsConfig(amount=0.0),
}
"""Data sets in words."""

CHOICES = RemedyConfig(donors=3, backgrounds=3, strengths=(1.0, 0.1, 0.01), directions=(0, 1, 2, 4))
"""Settings of the remedies, fewer than a run chooses from."""

OTHERS = {Remedy.POOLED: POOLED, Remedy.CENTRED: POOLED}
"""Where the map is pooled elsewhere, by the remedy that does it."""

CELLS = 1500
"""Cells of each localization by which the truth is known: to 0.4 points, an interval has 10."""

ALONE = "background alone"
"""What is added to the name of an interval on crops without their cell."""

ALONE_HELD = (0.93, None)
"""Share of data sets whose interval on crops without their cell must hold the truth. There the
folds' probes differ most, and between whole proteins that counts as chance, which it is not for
these very probes: such intervals are too long."""

FEWER = 5
"""Data sets are fewer by this factor: one takes as long as hundreds of the other simulations."""

Numbers = dict[tuple[str, str], float]
"""Values by quantity and condition."""


def remedies(config: SimulationConfig) -> Iterator[Finding]:
    """Judge the intervals of what every remedy does, and of its differences from none."""
    fewer = replace(config, data_sets=max(config.data_sets // FEWER, 2))
    for code, (setting, embeddings) in enumerate(SETTINGS.items()):
        counters = {
            bounds: Counter(setting, HOLDS, bounds, FIRST // FEWER) for bounds in (HELD, ALONE_HELD)
        }
        for number, rng in fewer.each(20, code):
            for what, held in data_set(embeddings, config, number, rng).items():
                counters[ALONE_HELD if ALONE in what else HELD].add(what, held)
        for counter in counters.values():
            yield from counter.findings()


def data_set(
    embeddings: EmbeddingsConfig,
    config: SimulationConfig,
    number: int,
    rng: np.random.Generator,
) -> dict[str, list[bool]]:
    """Tell which intervals of one data set hold the truth, by remedy and quantity in words."""
    with TemporaryDirectory() as folder:
        made = make(Path(folder) / "run", embeddings, rng, number)
        judge = Judge(made.run, made.cells, CONDITIONS[:-1], 1.0, CHOICES, number)
        probes, _ = fit_remedies(judge, MODEL, OTHERS)
        bootstrap = BootstrapConfig(config.draws, 100, seed=number)
        rows = list(judged_rows(judge, MODEL, OTHERS, probes, bootstrap))
    elsewhere = Elsewhere.draw(embeddings, CELLS, CHOICES.backgrounds, rng)
    truth = {remedy: true_numbers(probe, remedy, made.cells, elsewhere)
             for remedy, probe in probes.items()}  # fmt: skip
    held: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        remedy, key = Remedy(row["remedy"]), (row["quantity"], row["condition"])
        alone = f", {ALONE}" if key[1] == Condition.BACKGROUND_ONLY else ""
        what = f"{row['quantity']}, {remedy}{alone}"
        aim = truth[remedy][key]
        zero = row["by_construction"] and row["quantity"] in (Effect.DROP, Effect.GAP)
        if not zero:
            held[what].append(bool(row["ci_low"] <= aim <= row["ci_high"]))
        if row["difference"] is not None:
            aim -= truth[Remedy.NONE][key]
            inside = row["difference_low"] <= aim <= row["difference_high"]
            held[f"difference in {what}"].append(bool(inside))
    return held


def true_numbers(probe: Multiclass, remedy: Remedy, cells: Cells, elsewhere: Elsewhere) -> Numbers:
    """Return what a fitted remedy does elsewhere.

    Parameters
    ----------
    probe
        Its classifiers, one a fold.
    remedy
        Which it is.
    cells
        Cells of the data set: a fold counts by how many of a localization it holds out.
    elsewhere
        Other proteins' cells.
    """
    spec = REMEDIES_IN_WORDS[remedy]
    replaced = ("unaltered", *map(str, spec.replaces)) if spec.replaces else ()
    instead = "averaged" if spec.averages else "alone"
    asked = [name for name in CONDITIONS[:-1] if name not in map(str, spec.unknown)]
    found: Numbers = {}
    for name in asked:
        crops = elsewhere.crops[instead if name in replaced else name][int(remedy in OTHERS)]
        right = _right(probe, cells, elsewhere.classes, crops)
        found["accuracy", name] = right.mean(1).mean()
        if name == "different":
            found[WORST, name] = _right(probe, cells, elsewhere.classes, crops, True).mean()
    for name in asked[1:]:
        found["drop", name] = found["accuracy", "unaltered"] - found["accuracy", name]
    found["gap", "different"] = found["accuracy", "same"] - found["accuracy", "different"]
    return found


def _right(
    probe: Multiclass,
    cells: Cells,
    classes: NDArray[np.int64],
    crops: NDArray[np.float32],
    whole: bool = False,
) -> NDArray[np.float64]:
    """Return how often each cell is right, over folds and its crops (all at once), shape (N, 1)."""
    fold = probe.folds.fold
    share = np.zeros((len(classes), 1))
    flat = crops.reshape(-1, crops.shape[-1])
    for number, classifier in enumerate(probe.classifiers):
        named = classifier.known[classifier(flat).argmax(1)].reshape(crops.shape[:2])
        right = named == classes[:, None]
        each = right.all(1) if whole else right.mean(1)
        held = np.bincount(
            cells.classes[cells.tested & (fold == number)], minlength=classes.max() + 1
        )
        every = np.bincount(cells.classes[cells.tested], minlength=classes.max() + 1)
        share[:, 0] += (held / every)[classes] * each
    return share
