"""What a run would take: trials, disk, and time by a short calibration on this machine.

Layer: reads a store and models, composes and embeds a few crops, fits a few pair tests; writes
nothing. What is too much to try (the other probes, intervals, pictures) is taken from the times
that the shipped demo took.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from compute.amounts import duration, size
from compute.backgrounds.compose import compose
from compute.backgrounds.folds import Folds
from compute.backgrounds.harmonise import Scales
from compute.backgrounds.plan import Plan
from compute.devices import choose_device, cores
from compute.embedding.tables import embed_each, second_readings
from compute.embedding.worker import SHARD_CELLS
from compute.models.card import select_channels
from compute.models.card_files import Model, builtin_cards
from compute.models.one_network import load_models, passes
from compute.models.own_answer import head_words
from compute.models.readable import bind
from compute.probes.cells import Cells
from compute.probes.multiclass import C
from compute.probes.second import step_views_of
from compute.probes.svm_folds import fit_folds
from compute.runs.config import RunConfig
from compute.runs.exports.identity import require_same_crops
from compute.runs.prepare import prepare
from compute.schema import CONDITIONS, FITTED, Condition
from compute.shipped import DEMO_RUN
from compute.storage.atomic_files import Progress, silent
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropArrays, CropStore

CALIBRATION_CROPS = 256
"""Trials that are composed and embedded to measure how long that takes."""

CALIBRATION_LEAST, CALIBRATION_BYTES = 8, 2**27
"""Of large crops: that many at least, and as many as have that many bytes as float32."""

TIMED_TESTS = 3
"""Pair tests that are timed; one before them only compiles."""

DISTANCE = 3.0
"""Standard deviations between the classes of those tests: some crops lie on the wrong side."""

PER_MILLION = 192.0
"""Seconds for a million trials of one model, beside embedding: 120 in the probes and 24 for each of
three protocols in the effects, as `bystander bench` measures them (docs/benchmarks.md)."""

BYTES_PER_TRIAL = 40
"""Bytes of a row of the `trials` table, compressed (measured on the demo: 31)."""

BYTES_PER_PIXEL = 1.6
"""Bytes of a channel's pixel in a cell that is kept to look at, as 16-bit PNG (measured on the
demo)."""


@dataclass(frozen=True)
class Estimate:
    """What a run would do.

    Parameters
    ----------
    trials
        Number of trials by condition.
    cells, cells_in_pair_tests, proteins
        Numbers of cells in trials and in pair tests, and of proteins in trials.
    crops_per_second
        Speed by model, composing and embedding together; infinite where answers are looked up.
    crops
        Number of crops that are embedded in all, by every model, with those that are read again.
    fits
        Number of linear SVMs in all.
    seconds
        Time by stage: `embed` and `pair tests` by what was measured just now, `other` for the other
        probes, intervals and pictures by what they take in the shipped demo.
    disk
        Bytes of the finished run.
    work
        Bytes that it takes beside these while it runs: uncompressed pixels and embeddings.
    rejections
        What is left out, as in `run.json`.
    reads
        What each model sees of the crops, in a sentence; then what each head can answer with.
    """

    trials: dict[str, int]
    cells: int
    cells_in_pair_tests: int
    proteins: int
    crops_per_second: dict[str, float]
    crops: int
    fits: int
    seconds: dict[str, float]
    disk: int
    work: int
    rejections: list[dict[str, object]]
    reads: list[str]

    @property
    def total_seconds(self) -> float:
        """Time of all stages together."""
        return sum(self.seconds.values())


def estimate(
    store: Path | str,
    models: Sequence[Model] | None = None,
    config: RunConfig | None = None,
    *,
    device: str = "auto",
    jobs: int | None = None,
    trusted: bool = False,
    progress: Progress = silent,
) -> Estimate:
    """Plan a run without doing it: what `bystander plan` prints, as values.

    Parameters
    ----------
    store
        A crop store.
    models, config, device, jobs, trusted
        As for `compute.runs.run.run`, with the same defaults.
    progress
        Called with ``"plan"``, networks tried and networks in all; silent by default.

    Returns
    -------
    Estimate
        Trials, seconds and bytes.

    Raises
    ------
    BystanderError
        The store, the models or the settings are such that a run would be refused.

    Examples
    --------
    >>> from compute import PlanConfig, RunConfig, estimate
    >>> found = estimate("store", ["deeploc.toml"], RunConfig(plan=PlanConfig(folds=2)))
    >>> found.trials["unaltered"] > 0
    True
    """
    models = list(builtin_cards()) if models is None else models
    return _estimate(
        CropStore(store), models, config or RunConfig(), device, jobs, trusted, progress
    )


def _estimate(
    store: CropStore,
    models: Sequence[Model],
    config: RunConfig,
    device: str,
    jobs: int | None,
    trusted: bool,
    progress: Progress,
) -> Estimate:
    found, reads = bind(models, store, trusted=trusted)
    plan, cells = prepare(store, config)
    where = choose_device(device)
    loaded = load_models(found, where)
    require_same_crops(loaded, store, config)
    for model in loaded:
        model.check_precision(config.embed.precision)
    trials = plan.trials(*plan.shards(SHARD_CELLS)[0])
    readings = config.embed.readings(plan.config.composed)
    again = sum(len(second_readings(trials, c)) for c in readings.values()) / len(trials)
    trials, arrays, scales = _calibration(store, trials.head(_calibration_crops(store)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the embedding stage, where each thread has its own batch
    try:
        started = time.perf_counter()
        crops = compose(
            trials, arrays, scales, config.embed.donor_centre, config.embed.paste,
            with_scene=any(model.needs_scene for model in loaded),
        )  # fmt: skip
        composing = (time.perf_counter() - started) / len(trials) / threads
        speed, embedding, width, heads = {}, composing * plan.count, 0, list[str]()
        for model in loaded:
            width += model.width
            heads += [words] if (words := head_words(model.card, model.own)) else []
            speed[model.name] = math.inf
        tried = passes(loaded)
        for done, some in enumerate(tried):
            progress("plan", done, len(tried))
            if some[0].answers is not None:
                continue
            channels = select_channels(some[0].card, store.channels)
            args = (crops, channels, config.embed.batch_size, config.embed.normalisation)
            embed_each(some, *args)
            started = time.perf_counter()
            embed_each(some, *args)
            _wait(where)
            each = (time.perf_counter() - started) / len(trials)
            each = each * (1 + again) / (threads if where.type == "cpu" else 1)
            for model in some:
                # Its part of a pass that it shares.
                speed[model.name] = 1 / (each / len(some) + composing / len(loaded))
            embedding += each * plan.count
        progress("plan", len(tried), len(tried))
    finally:
        torch.set_num_threads(threads)
    tested = [Condition(name) for name in plan.config.conditions]
    for condition in plan.config.composed:
        tested += [
            v.condition for v in step_views_of(config.embed, plan.config.composed, condition)
        ]
    fits = len(loaded) * _fits(tested, plan.backgrounds.tolist(), cells.folds)
    testable = cells.folds.testable()
    each_fit = _time_fit(
        int(cells.grid.sum()), len(testable), loaded[0].dimension, cells.folds.number
    )
    classes = len(store.localizations)
    answers = sum(len(FITTED) + (model.own is not None) for model in loaded)
    per_trial = BYTES_PER_TRIAL + answers * 3 * classes
    if config.keep_embeddings:
        per_trial += 4 * width
    examples = int(min(config.examples, 1000)) * len(set(cells.protein[plan.rows]))
    pictures = examples * len(plan.config.composed) * len(store.channels) * store.size**2
    disk = plan.count * per_trial + round(pictures * BYTES_PER_PIXEL)
    image = int(np.prod(arrays.images.shape[1:])) * store.dtype.itemsize
    pixels = len(store.cells) * (image + 2 * arrays.masks.shape[1]) + len(store.windows) * image
    work = pixels + round(4 * width * plan.count * (1 + again))
    return Estimate(
        {str(c): plan.counts[c] for c in plan.config.composed},
        len(plan.rows),
        int(cells.grid.sum()),
        len(set(cells.protein[plan.rows])),
        speed,
        round(plan.count * (1 + again)) * len(loaded),
        fits,
        {
            "embed": embedding,
            "pair tests": fits * each_fit / (jobs or cores()),
            "other": _other_seconds(plan, cells, len(loaded)),
        },
        disk,
        work,
        plan.rejections,
        [*map(str, reads), *heads],
    )


def _other_seconds(plan: Plan, cells: Cells, models: int) -> float:
    """Return the time of what is not tried: the other probes, intervals and pictures.

    Most of it goes by models, conditions and proteins, and is what the demo took for one of each;
    the rest by trials, of which the demo has few.
    """
    demo = RunDirectory(DEMO_RUN).meta
    units = len(demo["models"]) * len(demo["conditions"]) * demo["counts"]["proteins"]
    taken = sum(demo["timings"][stage] for stage in ("read", "probe", "effects", "examples"))
    proteins = len(set(cells.protein[plan.rows]))
    each = taken / units * proteins * len(plan.config.composed)
    return models * (each + plan.count * PER_MILLION / 1e6)


def _calibration_crops(store: CropStore) -> int:
    """Return how many trials are composed: fewer of large crops, for they need memory and time."""
    each = 4 * len(store.channels) * store.size**2
    return max(CALIBRATION_LEAST, min(CALIBRATION_CROPS, CALIBRATION_BYTES // each))


def _calibration(store: CropStore, trials: pd.DataFrame) -> tuple[pd.DataFrame, CropArrays, Scales]:
    """Point trials to the store's first pixels: these are soon read, and composed as fast as any.

    Returns
    -------
    trials, arrays, scales
        What `compute.backgrounds.compose.compose` takes.
    """
    arrays = store.arrays(first=_calibration_crops(store))
    cells, windows = len(arrays.images), max(1, len(arrays.windows))
    window = trials["condition"] == str(Condition.CELL_FREE)
    donor = trials["donor"].where(trials["donor"] < 0, trials["donor"] % cells)
    donor = donor.mask(window, trials["donor"] % windows)
    nearby = trials.assign(cell=trials["cell"] % cells, donor=donor)
    channels = len(store.channels)
    scales = Scales(
        np.zeros((cells, channels), np.float32),
        np.ones((cells, channels), np.float32),
        np.arange(cells),
        np.zeros(windows, np.int64),
    )
    return nearby, arrays, scales


def _fits(conditions: Sequence[Condition], backgrounds: Sequence[int], folds: Folds) -> int:
    """Count one model's SVM fits: pairs × backgrounds × folds, of every view of a condition."""
    testable = folds.testable().tolist()
    total = 0
    for pair in combinations(testable, 2):
        tests = 0
        for name in conditions:
            grid = CONDITIONS[name].grid
            tests += len([k for k in backgrounds if k not in pair]) if grid else 1
        total += tests * folds.number
    return total


def _time_fit(cells: int, classes: int, dimension: int, number: int) -> float:
    """Measure the seconds of one SVM in a pair test of the run's size, on random vectors.

    The folds of a test are fitted together, as in the run; the first of them only compiles.
    """
    n = max(2 * number, 2 * cells // max(classes, 1))
    rng = np.random.default_rng(0)
    second = np.arange(n) % 2 == 1
    fold = np.arange(n) // 2 % number
    apart = DISTANCE / np.sqrt(dimension) * second[:, None]
    features = (rng.standard_normal((n, dimension)) + apart).astype(np.float32)
    fit_folds(features, second, fold, number, C)
    started = time.perf_counter()
    for _ in range(TIMED_TESTS):
        fit_folds(features, second, fold, number, C)
    return (time.perf_counter() - started) / (TIMED_TESTS * number)


def _wait(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(found: Estimate) -> Iterator[str]:
    """Say in lines what a run would do."""
    yield (
        f"{found.cells} cells of {found.proteins} proteins stand in trials, "
        f"{found.cells_in_pair_tests} of them in pair tests"
    )
    yield from found.reads
    for condition, count in found.trials.items():
        yield f"  {condition:<16} {count:>12,} trials"
    yield f"  {'in all':<16} {sum(found.trials.values()):>12,} trials for each model"
    yield f"{found.crops:,} crops to embed, by all models, with those that are read again"
    for model, speed in found.crops_per_second.items():
        if math.isinf(speed):
            yield f"{model}: answers are looked up, not computed"
            continue
        yield f"{model}: {speed:,.0f} crops per second, composed and embedded (measured just now)"
    yield f"{found.fits:,} linear SVMs"
    for item in found.rejections:
        yield f"left out: {item['count']} × {item['reason']}"
    for stage, seconds in found.seconds.items():
        yield f"{stage}: about {duration(seconds)}{_BY[stage]}"
    yield f"disk: about {size(found.disk)}, and {size(found.work)} more while it runs"
    yield f"In all: about {duration(found.total_seconds)}, {size(found.disk + found.work)} of disk"


_BY = {
    "embed": " (measured just now)",
    "pair tests": " (measured just now)",
    "other": " (other probes, intervals, pictures: as the shipped demo took, roughly)",
}
"""What the time of each stage rests on."""
