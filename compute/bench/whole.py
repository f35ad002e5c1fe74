"""What `bystander bench` measures by default, and the stores it measures on.

Layer: joins the measurements of this room; simulates a store where none is given.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from compute.amounts import duration
from compute.backgrounds.config import PlanConfig
from compute.bench.config import ROUNDS, FingerprintConfig
from compute.bench.embedding import embedding_rows
from compute.bench.fingerprint import fingerprint_rows
from compute.bench.growth import growth_rows
from compute.bench.hardware import Machine, measure
from compute.bench.pair_tests import pair_rows
from compute.bench.speed_models import full_width as at_full_width
from compute.bench.speed_models import vision_transformer
from compute.bench.stages import import_rows, plan_row, stage_rows
from compute.bench.table import Row
from compute.devices import choose_device, cores
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError
from compute.models.card_files import FoundModel, builtin_cards, resolve_models
from compute.models.precision import PRECISIONS
from compute.models.readable import bind
from compute.runs.config import RunConfig
from compute.runs.demo import EVALUATION
from compute.runs.pipeline import run_store
from compute.schema import Condition
from compute.simulation.simulate import simulate
from compute.store.reader import CropStore

CELLS_PER_PROTEIN = 20
"""Cells of each simulated protein: with the demo's ten proteins a class, 200 cells a class, as in a
screen's pair tests."""

RUN = RunConfig(
    plan=PlanConfig(conditions=(Condition.UNALTERED, Condition.DIFFERENT), backgrounds=3),
    embed=EmbedConfig(second_readings=False),
    examples=0,
)
"""Settings of the run whose pair tests and stages are timed."""

GROWTH = (
    "--conditions", "unaltered,same,different", "--backgrounds", "1", "--grid-cells", "200",
)  # fmt: skip
"""Options of the runs whose memory is compared: the fewest trials with which every stage works."""

FINGERPRINT_CELLS = 8
"""Cells of each simulated protein where composites are told from unaltered crops."""

IMPORTED = (600, 3600)
"""Numbers of crops in the imports that are timed: the first costs little more than starting."""


SCREEN = 36_000_000
"""Crops of a full screen a model: 3 million cells, each with one trial under seven conditions and
a second reading of five of them."""


def measure_machine(
    store: Path | str | None = None,
    *,
    device: str = "auto",
    repeats: int = ROUNDS,
    minutes: float | None = None,
) -> Iterator[Row]:
    """Measure the ratios of embedding and pair tests, and every other stage.

    What matters most comes first: on a GPU the networks at their published width, in float32, in
    bfloat16 and compiled, ViT-S/16 where timm is installed, then what a full screen would take.

    Parameters
    ----------
    store
        A crop store; by default one is simulated.
    device
        As `compute.runs.run.run` takes it.
    repeats
        Rounds of each measurement, of which the median counts.
    minutes
        After which no measurement is begun, more than 0; what is left out is said in a row. None,
        the default, for no limit.

    Yields
    ------
    Row
        One for each measurement, as soon as it is made.

    Raises
    ------
    UsageError
        `minutes` is not more than 0.

    Examples
    --------
    >>> from compute import measure_machine
    >>> rows = list(measure_machine(repeats=3))  # doctest: +SKIP
    """
    if minutes is not None and not minutes > 0:
        raise UsageError(f"minutes is {minutes}; it must be more than 0.")
    began = time.monotonic()
    where = choose_device(device)
    machine = measure(where)
    yield Row("machine", str(machine))
    with _ready(store) as (path, folder):
        for what, rows in _measurements(path, folder, machine, where, repeats):
            while minutes is None or time.monotonic() - began < 60 * minutes:
                row = next(rows, None)
                if row is None:
                    break
                yield row
            else:
                yield Row(what, "not measured, or not all", note=f"after {minutes:g} minutes")


def _measurements(
    path: Path, folder: Path, machine: Machine, device: torch.device, repeats: int
) -> Iterator[tuple[str, Iterator[Row]]]:
    """Yield what is measured of a store in words, with its rows, which are made when asked for."""
    store = CropStore(path)
    shipped, _ = bind(list(builtin_cards()), store)
    wide = [at_full_width(model) for model in shipped]
    run = folder / "run"

    def embedding(
        models: Sequence[FoundModel], precision: str, rounds: int, **more: Any
    ) -> Iterator[Row]:
        return embedding_rows(path, models, machine, [precision], [0], rounds, **more)

    if device.type == "cpu":
        yield "embedding", embedding(shipped, "float32", repeats)
        fewer = max(1, repeats // 2)  # at the published width a round takes minutes on a CPU
        yield "embedding at the published width", embedding(wide, "float32", fewer, shards=1)
    else:
        kinds: dict[str, list[Row]] = {}
        for compiled in (False, True):
            for precision in PRECISIONS:
                kind = precision + (", compiled" if compiled else "")
                kinds[kind] = []
                rows = embedding(wide, precision, repeats, compiled=compiled)
                yield f"embedding at the published width, {kind}", _kept(rows, kinds[kind])
            if not compiled:
                yield "ViT-S/16", _transformer(store, embedding, repeats)
        yield "the full screen", _screen(kinds, len(wide))
        yield "embedding", embedding(shipped, "float32", repeats)
    yield "pair tests", _pair_tests(path, run, str(device), repeats)
    yield "plan", (row for row in [plan_row(path)])
    yield "stages", stage_rows(run)
    yield "import", import_rows(folder, IMPORTED, cores(), repeats)


def _kept(rows: Iterator[Row], kept: list[Row]) -> Iterator[Row]:
    """Yield rows and keep them too."""
    for row in rows:
        kept.append(row)
        yield row


def _transformer(
    store: CropStore, embedding: Callable[..., Iterator[Row]], repeats: int
) -> Iterator[Row]:
    """Measure ViT-S/16 in every precision, or say that it cannot be built."""
    try:
        models, _ = bind([vision_transformer(store.channels)], store)
        for precision in PRECISIONS:
            yield from embedding(models, precision, repeats)
    except UsageError as error:
        yield Row("ViT-S/16", "not measured", note=str(error))


def _screen(kinds: Mapping[str, Sequence[Row]], models: int) -> Iterator[Row]:
    """Say what embedding a full screen takes, where every model was measured."""
    for kind, rows in kinds.items():
        speeds = [row.speed for row in rows if row.speed]
        if len(speeds) == models:
            yield Row(
                f"the full screen, {models} networks at the published width, {kind}",
                duration(sum(SCREEN / speed for speed in speeds)),
                note=f"{SCREEN:,} crops a network at the speeds above; embedding alone",
            )


def _pair_tests(path: Path, run: Path, device: str, repeats: int) -> Iterator[Row]:
    """Do a run, and compare its pair tests with the plain loop."""
    run_store(path, run, list(builtin_cards()), RUN, device=device)
    yield from pair_rows(path, run, RUN, cores(), repeats, device)


def measure_embedding(
    store: Path | str | None = None,
    *,
    models: Sequence[str] | None = None,
    precisions: Sequence[str] = ("float32",),
    batch_sizes: Sequence[int] = (0,),
    full_width: bool = False,
    shards: int = 0,
    compiled: bool = False,
    device: str = "auto",
    repeats: int = ROUNDS,
    trusted: bool = False,
) -> Iterator[Row]:
    """Compare embedding, from files to files, with the forward pass alone.

    Parameters
    ----------
    store
        A crop store; by default one is simulated.
    models
        Names of shipped models or paths of model cards; all shipped ones by default.
    precisions
        Keys of `compute.models.embedder.PRECISIONS`.
    batch_sizes
        Crops per forward pass; 0 has it found.
    full_width
        The same networks at the published width, with random weights.
    shards
        Of 64 cells, per round; 0, the default, for what suits the device.
    compiled
        Whether PyTorch compiles the networks first; False by default.
    device
        As `compute.runs.run.run` takes it.
    repeats
        Rounds, of which the median counts.
    trusted
        Whether foreign code that models bring may run; False by default.

    Yields
    ------
    Row
        One for each measurement, as soon as it is made.

    Examples
    --------
    >>> from compute import measure_embedding
    >>> rows = list(measure_embedding("store", models=["pifia"]))  # doctest: +SKIP
    """
    chosen = resolve_models(list(builtin_cards()) if models is None else models, trusted=trusted)
    for precision in precisions:
        EmbedConfig(precision=precision)
    where = choose_device(device)
    with _ready(store) as (path, _):
        found, _ = bind(chosen, CropStore(path), trusted=trusted)
        machine = measure(where)
        yield Row("machine", str(machine))
        if full_width:
            found = [at_full_width(model) for model in found]
        yield from embedding_rows(
            path, found, machine, precisions, batch_sizes, repeats, shards, compiled
        )


def measure_growth(
    store: Path | str | None = None,
    *,
    sizes: tuple[int, int] = (10_000, 200_000),
    models: Sequence[str] = ("pifia",),
) -> Iterator[Row]:
    """Compare the peak memory of a run of few crops with that of a run of many.

    Parameters
    ----------
    store
        A crop store, whose crops are repeated; by default one is simulated.
    sizes
        Crops: a few, and many.
    models
        Names of shipped models or paths of model cards.

    Yields
    ------
    Row
        One for each measurement, as soon as it is made.

    Examples
    --------
    >>> from compute import measure_growth
    >>> rows = list(measure_growth(sizes=(1_000, 20_000)))  # doctest: +SKIP
    """
    resolve_models(models)
    with _ready(store) as (path, _):
        yield from growth_rows(path, sizes, models, GROWTH)


def measure_fingerprint(
    store: Path | str | None = None,
    *,
    models: Sequence[str] | None = None,
    paste: str = EmbedConfig.paste,
    config: FingerprintConfig | None = None,
    device: str = "auto",
    trusted: bool = False,
) -> Iterator[Row]:
    """Measure how well composites are told from unaltered crops, by what is not the neighbours.

    Parameters
    ----------
    store
        A crop store; by default one is simulated.
    models
        Names of shipped models or paths of model cards; all shipped ones by default.
    paste
        One of `compute.backgrounds.config.PASTE`; ``"hard"`` is measured beside it.
    config
        What is tried, and how hard; the defaults of `FingerprintConfig` if None.
    device
        As `compute.runs.run.run` takes it.
    trusted
        Whether foreign code that models bring may run; False by default.

    Yields
    ------
    Row
        An area under the curve for each condition and classifier, as soon as it is measured.

    Examples
    --------
    >>> from compute import measure_fingerprint
    >>> rows = list(measure_fingerprint("store", models=["pifia"]))  # doctest: +SKIP
    """
    chosen = resolve_models(list(builtin_cards()) if models is None else models, trusted=trusted)
    with _ready(store, FINGERPRINT_CELLS) as (path, _):
        found, _ = bind(chosen, CropStore(path), trusted=trusted)
        yield from fingerprint_rows(
            path, found, config or FingerprintConfig(), paste, choose_device(device)
        )


@contextmanager
def _ready(
    store: Path | str | None, cells_per_protein: int = CELLS_PER_PROTEIN
) -> Iterator[tuple[Path, Path]]:
    """Give a store, simulated where none is given, and a folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="bystander-bench-") as name:
        folder = Path(name)
        path = folder / "store" if store is None else Path(store)
        if store is None:
            simulate(path, **{**EVALUATION, "cells_per_protein": cells_per_protein})
        yield path, folder
