"""All that `bystander bench` measures by default, and the stores it measures on."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compute.backgrounds.plan import PlanConfig
from compute.bench.embedding import embedding_rows, full_width
from compute.bench.growth import growth_rows
from compute.bench.hardware import measure
from compute.bench.pair_tests import pair_rows
from compute.bench.stages import import_rows, plan_row, stage_rows
from compute.bench.table import Row
from compute.devices import choose_device, cores
from compute.embedding.config import EmbedConfig
from compute.models.card import builtin_cards, resolve_models
from compute.runs.config import RunConfig
from compute.runs.demo import EVALUATION
from compute.runs.pipeline import run_store
from compute.schema import Condition
from compute.simulation.simulate import simulate

CELLS_PER_PROTEIN = 34
"""With the demo's six proteins a class: 200 cells a class, as in a screen's pair tests."""

RUN = RunConfig(
    plan=PlanConfig(conditions=(Condition.UNALTERED, Condition.DIFFERENT), backgrounds=3),
    embed=EmbedConfig(rescaling=False),
    examples=0,
)
"""Of the run whose pair tests and stages are timed."""

GROWTH = (
    "--conditions", "unaltered,same,different", "--backgrounds", "1", "--grid-cells", "200",
)  # fmt: skip
"""Of the runs whose memory is compared: as few trials as have every stage do its work."""

IMPORTED = 3000
"""Crops of the import that is timed."""


def whole_rows(store: Path | None, device: str, repeats: int) -> Iterator[Row]:
    """Measure the ratios of embedding and pair tests, and every other stage.

    Parameters
    ----------
    store
        A crop store, or None to simulate one.
    device
        As `compute.runs.config.choose_device` takes it.
    repeats
        Rounds of each measurement.
    """
    models = list(builtin_cards())
    with _ready(store) as (path, folder):
        yield from embedding_rows_of(path, models, device, ["float32"], [0], repeats, 4, False)
        fewer = max(1, repeats // 2)  # at the published width a round takes minutes on a CPU
        yield from embedding_rows_of(path, models, device, ["float32"], [0], fewer, 1, True)
        run = folder / "run"
        run_store(path, run, models, RUN, device=device)
        yield from pair_rows(path, run, RUN, cores(), repeats, str(choose_device(device)))
        yield plan_row(path)
        yield from stage_rows(run)
        yield from import_rows(folder, IMPORTED, cores())


def embedding_rows_of(
    store: Path | None,
    models: Sequence[str],
    device: str,
    precisions: Sequence[str],
    batch_sizes: Sequence[int],
    repeats: int,
    shards: int,
    full: bool,
) -> Iterator[Row]:
    """Measure embedding on a store or a simulated one; `full` at the published width."""
    machine = measure(choose_device(device))
    yield Row("machine", str(machine))
    with _ready(store) as (path, folder):
        cards = resolve_models(models)
        if full:
            cards = [full_width(card, folder) for card in cards]
        yield from embedding_rows(path, cards, machine, precisions, batch_sizes, repeats, shards)


def growth_rows_of(
    store: Path | None, sizes: tuple[int, int], models: Sequence[str]
) -> Iterator[Row]:
    """Measure memory's growth on repeats of a store or of a simulated one."""
    with _ready(store) as (path, _):
        yield from growth_rows(path, sizes, models, GROWTH)


@contextmanager
def _ready(store: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give a store, simulated where none is given, and a folder for what is made on the way."""
    with tempfile.TemporaryDirectory(prefix="bystander-bench-") as name:
        folder = Path(name)
        if store is None:
            store = folder / "store"
            simulate(store, **{**EVALUATION, "cells_per_protein": CELLS_PER_PROTEIN})
        yield store, folder
