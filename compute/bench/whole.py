"""What `bystander bench` measures by default, and the stores it measures on.

Layer: joins the measurements of this room; simulates a store where none is given.
"""

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
"""Cells of each simulated protein: with the demo's six proteins a class, 200 cells a class, as in a
screen's pair tests."""

RUN = RunConfig(
    plan=PlanConfig(conditions=(Condition.UNALTERED, Condition.DIFFERENT), backgrounds=3),
    embed=EmbedConfig(rescaling=False),
    examples=0,
)
"""Settings of the run whose pair tests and stages are timed."""

GROWTH = (
    "--conditions", "unaltered,same,different", "--backgrounds", "1", "--grid-cells", "200",
)  # fmt: skip
"""Options of the runs whose memory is compared: the fewest trials with which every stage works."""

IMPORTED = 3000
"""Number of crops in the import that is timed."""


def whole_rows(store: Path | None, device: str, repeats: int) -> Iterator[Row]:
    """Measure the ratios of embedding and pair tests, and every other stage.

    Parameters
    ----------
    store
        Folder of a crop store; None simulates one.
    device
        Where to compute, as `compute.devices.choose_device` takes it.
    repeats
        Rounds of each measurement.

    Yields
    ------
    Row
        One for each measurement.
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
    """Measure embedding on a store or a simulated one.

    Parameters
    ----------
    store, device
        As in `whole_rows`.
    models
        Names of shipped models or paths of model cards.
    precisions, batch_sizes, repeats, shards
        As in `compute.bench.embedding.embedding_rows`.
    full
        Whether to measure the same networks at the published width, with random weights.
    """
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
    """Measure how memory grows with a store or a simulated one that is repeated.

    Parameters
    ----------
    store
        As in `whole_rows`.
    sizes, models
        As in `compute.bench.growth.growth_rows`.
    """
    with _ready(store) as (path, _):
        yield from growth_rows(path, sizes, models, GROWTH)


@contextmanager
def _ready(store: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give a store, simulated where none is given, and a folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="bystander-bench-") as name:
        folder = Path(name)
        if store is None:
            store = folder / "store"
            simulate(store, **{**EVALUATION, "cells_per_protein": CELLS_PER_PROTEIN})
        yield store, folder
