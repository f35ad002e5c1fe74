"""Speed of embedding from files to files over that of the forward pass alone.

Layer: writes runs into a temporary folder, and times that.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from compute.backgrounds.config import PlanConfig
from compute.backgrounds.harmonise import measure
from compute.backgrounds.plan import Plan
from compute.bench.hardware import Machine
from compute.bench.roofline import need
from compute.bench.table import Row
from compute.bench.timing import alternate
from compute.devices import ON_CPU
from compute.embedding.config import EmbedConfig
from compute.embedding.shard_threads import ShardThreads
from compute.embedding.worker import SHARD_CELLS, ShardWorker
from compute.errors import UsageError
from compute.models.card_files import FoundModel
from compute.models.embedder import Embedder, load_model
from compute.models.sources import built_in
from compute.storage.paths import RunPaths
from compute.storage.run_directory import begin
from compute.store.reader import CropStore

SHARDS = {"cpu": 4, "cuda": 8, "mps": 8}
"""Shards that are embedded in a round where no number is asked for: some thousands of crops."""

LEAST_SHARE = {"cpu": 0.85, "cuda": 0.7, "mps": 0.7}
"""Least share of the forward pass's speed that embedding must reach, by device: from the design."""


def embedding_rows(
    store_path: Path,
    models: Sequence[FoundModel],
    machine: Machine,
    precisions: Sequence[str],
    batch_sizes: Sequence[int],
    repeats: int,
    shards: int = 0,
    compiled: bool = False,
) -> Iterator[Row]:
    """Measure every model, precision and batch size.

    Parameters
    ----------
    store_path
        Folder of a crop store.
    models
        The models, as they were found.
    machine
        The device to use, with its measured limits.
    precisions
        Keys of `compute.models.embedder.PRECISIONS`.
    batch_sizes
        Crops per forward pass; 0 leaves it to the device.
    repeats
        Rounds; in each, the forward pass alone and the whole stage are timed.
    shards
        Shards of `SHARD_CELLS` cells that are embedded in each round; 0, the default, for `SHARDS`.
    compiled
        Whether PyTorch compiles the networks first; False by default.

    Yields
    ------
    Row
        One for each model, precision and batch size, with `speed` in crops a second, end to end.

    Raises
    ------
    UsageError
        A model computes nothing from pixels alone, so that there is no forward pass to compare
        with; or it cannot compute with a precision.
    """
    device = torch.device(machine.device)
    for found in models:
        for precision in precisions:
            for batch_size in batch_sizes:
                model = load_model(found, device)
                if model.needs_scene or model.answers is not None:
                    raise UsageError(
                        f"Model {model.name!r} computes nothing from pixels alone, so there is no "
                        "forward pass to compare with.",
                        "Leave it out of --models.",
                    )
                needed = need(model, batch_size or ON_CPU, precision)
                config = EmbedConfig(
                    precision=precision, batch_size=batch_size, second_readings=False,
                    compiled=compiled,
                )  # fmt: skip
                crops, forward, whole = _measure(
                    store_path, model, device, config, repeats, shards or SHARDS[device.type]
                )
                share = forward / whole
                wanted = LEAST_SHARE[device.type]
                wide = built_in(model.card.source) is not None
                name = f"{model.name}, width {model.card.width:g}" if wide else model.name
                name += f", {precision}"
                name += f", {batch_size} a batch" if batch_size else ""
                name += ", compiled" if compiled else ""
                best = f"roofline {needed.best(machine):.0f}: {needed}; " if needed else ""
                yield Row(
                    f"end to end over forward pass alone: {name}",
                    f"{share:.2f}",
                    f"≥ {wanted}",
                    share >= wanted,
                    f"{crops / whole:.0f} of {crops / forward:.0f} crops/s ({best}{crops} crops, "
                    f"median of {repeats})",
                    speed=crops / whole,
                )


def _measure(
    store_path: Path,
    model: Embedder,
    device: torch.device,
    config: EmbedConfig,
    repeats: int,
    shards: int,
) -> tuple[int, float, float]:
    """Return the crops embedded in a round, and seconds of the forward pass and of the stage."""
    store = CropStore(store_path)
    plan = Plan(store.cells, store.usable, store.windows, store.localizations, PlanConfig())
    with tempfile.TemporaryDirectory(prefix="bystander-bench-") as folder:
        arrays = store.arrays(cache=RunPaths(folder).pixels)
        scales = measure(config.harmonise, store.cells, store.windows, arrays, 0)
        rounds = iter(range(repeats + 1))
        chosen = list(range(min(shards, len(plan.shards(SHARD_CELLS)))))
        embedded = worker_batch = 0

        def whole() -> None:
            nonlocal embedded, worker_batch
            out = Path(folder) / f"run-{next(rounds)}"
            with begin(out, {}, {}) as run:
                worker = ShardWorker(run, store, plan, arrays, scales, [model], config)
                for _ in worker.work(chosen):
                    pass
            embedded, worker_batch = worker.embedded, worker.batch_size

        whole()
        crops = embedded
        images = model.scale(
            torch.rand(
                max(worker_batch, config.batch_size),
                len(model.card.channels), model.card.size, model.card.size,
            )
        )  # fmt: skip

        step = config.batch_size or worker_batch

        def batch(size: int) -> None:
            model.forward(images[:size], config.precision)

        def forward() -> None:
            """Embed as many crops in batches of the worker's size; on a CPU, each by one thread."""
            sizes = [min(step, crops - start) for start in range(0, crops, step)]
            if device.type != "cpu":
                for each in sizes:
                    batch(each)
                return
            batches = [partial(batch, each) for each in sizes]
            with ShardThreads(torch.get_num_threads()) as threads:
                for _, error in threads.do_each(threads.share, [batches]):
                    if error is not None:
                        raise error

        rounds = iter(range(1000, 1001 + repeats))
        alone, end_to_end = alternate([forward, whole], repeats, device)
    return crops, alone.wall, end_to_end.wall
