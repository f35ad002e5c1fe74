"""Trials through models: crops of a shard are composed once and embedded by every model.

Layer: reads a store's pixels, writes `trials` and `embeddings` shards of a run directory. A thread
takes a shard from its reading to its writing, so that threads hardly ever wait for each other. On a
CPU there is a thread for each core, and those without a shard take batches of the others' shards;
an accelerator computes for one thread at a time, while the rest read and write. Crops are composed
and scaled on the device that the models compute on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute import schema
from compute.backgrounds.compose import CropInputs, combine, gather
from compute.backgrounds.harmonise import Scales, measure_once
from compute.backgrounds.plan import Plan
from compute.devices import BatchSize, Transfer
from compute.embedding.config import EmbedConfig, EmbedJob, ShardError
from compute.embedding.shard_threads import ShardThreads
from compute.embedding.tables import (
    embeddings_table,
    finite,
    pick_channels,
    second_readings,
    trials_table,
)
from compute.models.card import select_channels
from compute.models.embedder import Embedder, with_own_together
from compute.models.one_network import load_models, passes
from compute.schema import Reading
from compute.storage.paths import SECOND
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropArrays, CropStore

SHARD_CELLS = 64
"""Cells whose trials are composed and written together (about 2,000 crops, 65 MB)."""

TAKING_TURNS = 4
"""Threads with a shard each where an accelerator computes, for one of them at a time."""

ROUNDING_CROPS = 16
"""Crops on which the rounding error of a precision is measured."""


@dataclass(frozen=True)
class _Shard:
    """A shard on its way through the models.

    Parameters
    ----------
    number
        The shard's number.
    trials
        Its T trials.
    centre
        Rows of `trials` whose donor's centre is also treated the other way, shape (L,). Those
        crops are composed behind the others.
    scaled
        Rows of `trials` that are read again with the other normalisation, shape (S,).
    again
        All crops that are, of the T + L: `scaled`, then the last L; shape (S + L,).
    missing
        The models whose embeddings are not there.
    inputs
        What its crops are composed from, on the device once they have `arrived`; with the scene
        where a missing model needs it.
    arrived
        The event that says so, for `compute.devices.Transfer.wait`.
    vectors, locked
        By model, filled batch by batch: embeddings of all crops, and its own answers if it has any,
        shape (T + L, W), and those with the other normalisation, shape (S + L, W).
    """

    number: int
    trials: pd.DataFrame
    centre: NDArray[np.int64]
    scaled: NDArray[np.int64]
    again: NDArray[np.int64]
    missing: list[Embedder]
    inputs: CropInputs
    arrived: Any
    vectors: dict[str, Tensor]
    locked: dict[str, Tensor]

    def trials_in(self, rows: int) -> int:
        """Return how many of the trials the first rows of the T + L stand for: the same share."""
        return rows * len(self.trials) // len(self.inputs)


class ShardWorker:
    """Embeds shards of a plan with models that are loaded; stays in its process.

    Parameters
    ----------
    run
        The run directory, where files are written.
    store, plan, arrays, scales
        What crops are composed from.
    models
        The models, all on one device.
    config
        How crops are composed and embedded.

    Attributes
    ----------
    embedded : int
        Trials embedded so far.
    """

    def __init__(
        self,
        run: RunDirectory,
        store: CropStore,
        plan: Plan,
        arrays: CropArrays,
        scales: Scales,
        models: Sequence[Embedder],
        config: EmbedConfig,
    ) -> None:
        self._run, self._plan, self._arrays, self._scales = run, plan, arrays, scales
        self._models, self._config = list(models), config
        read = {m.name: select_channels(m.card, store.channels) for m in models}
        # Only what a model reads is composed; each finds its own among that.
        self._composed = sorted({c for some in read.values() for c in some if c >= 0})
        self._channels = {
            name: [self._composed.index(c) if c >= 0 else c for c in some]
            for name, some in read.items()
        }
        self._ranges = plan.shards(SHARD_CELLS)
        self._readings = config.readings(plan.config.composed)
        self._device = models[0].device if models else torch.device("cpu")
        self._transfer = Transfer(self._device)
        self._on_cpu = self._device.type == "cpu"
        self._turn = nullcontext() if self._on_cpu else Lock()
        self._size = BatchSize(config.batch_size, self._device)
        self._counting, self.embedded, self._newly = Lock(), 0, 0
        self._passes = passes(self._models)
        for model in models if config.compiled else ():
            model.compile()

    @classmethod
    def open(cls, job: EmbedJob) -> Self:
        """Open store, plan and models from their paths.

        Raises
        ------
        BystanderError
            The store, a card or a model's weights cannot be read, or do not fit together.
        """
        store = CropStore(job.store)
        plan = Plan(store.cells, store.usable, store.windows, store.localizations, job.plan)
        arrays = store.arrays(cache=job.pixels, mask_shift=job.config.mask_shift)
        scales = measure_once(
            job.config.harmonise, store.cells, store.windows, arrays, job.plan.seed,
            job.pixels / store.fingerprint,
        )  # fmt: skip
        models = load_models(job.models, job.device)
        return cls(RunDirectory(job.run), store, plan, arrays, scales, models, job.config)

    @property
    def batch_size(self) -> int:
        """Crops per forward pass, as given or as found so far."""
        return self._size.now

    @property
    def count(self) -> int:
        """Number of shards."""
        return len(self._ranges)

    def missing(self) -> list[int]:
        """List the shards that lack a file."""
        return [
            number
            for number in range(self.count)
            if not self._run.part("trials", number).is_file() or self._to_embed(number)
        ]

    def work(
        self, numbers: Iterable[int], tell: Callable[[int], None] = lambda crops: None
    ) -> Iterator[int]:
        """Write the files of shards, several at a time.

        Parameters
        ----------
        numbers
            Numbers of the shards; each is taken from the iterator when it is begun.
        tell
            Called in this thread, about twice a second, with how many trials were embedded since;
            nobody is told by default.

        Yields
        ------
        int
            Each number once the shard's files are there; those begun together in any order.

        Raises
        ------
        ShardError
            A shard could not be embedded, of several the one with the lowest number; those begun
            by then are finished.
        """
        size = torch.get_num_threads() if self._on_cpu else TAKING_TURNS
        failed, self._newly = list[ShardError](), 0

        def look() -> None:
            with self._counting:
                newly, self._newly = self._newly, 0
            if newly:
                tell(newly)

        with ShardThreads(size) as threads:
            for number, error in threads.do_each(partial(self._whole, threads), numbers, look):
                if error is None:
                    yield number
                else:
                    first, last = self._plan.span(*self._ranges[number])
                    failed.append(ShardError(number, first, last, error))
        if failed:
            raise min(failed, key=lambda error: error.number)

    def measured(self) -> dict[str, Any]:
        """Measure, on the plan's first trials, what `run.json` says of embedding.

        Returns
        -------
        dict
            `precision`, as configured; `rounding`, by model the largest relative distance of an
            embedding from the one computed as float64; `batch_size`, crops per forward pass.
        """
        start, stop = self._ranges[0]
        trials = self._plan.trials(start, stop).iloc[:ROUNDING_CROPS]
        inputs = self._gather(trials, self._models)
        images = combine(inputs, slice(0, len(inputs)))
        scene = inputs.scene
        if scene is not None:
            scene = scene.moved(lambda t: t.to(self._device))
        return {
            "precision": self._config.precision,
            "rounding": {
                model.name: model.rounding(
                    pick_channels(images, self._channels[model.name]),
                    self._config.precision,
                    scene,
                )
                for model in self._models
            },
            "batch_size": self._size.now,
        }

    def _whole(self, threads: ShardThreads, number: int) -> None:
        """Read, embed and write a shard.

        On a CPU each batch is computed by one thread; an accelerator takes the whole shard.
        """
        shard = self._read(number)
        total = len(shard.inputs)
        step = self._size.now if self._on_cpu else total
        threads.share(
            [
                partial(self._rows, shard, start, min(start + step, total))
                for start in range(0, total, step)
            ]
        )
        self._write(shard)

    def _read(self, number: int) -> _Shard:
        """Read what a shard's crops are made from and bring it to the device."""
        trials = self._plan.trials(*self._ranges[number])
        centre, scaled = (
            second_readings(trials, self._readings.get(reading, ()))
            for reading in (Reading.CENTRE, Reading.SCALED)
        )
        missing = self._to_embed(number)
        other = np.repeat([False, True], [len(trials), len(centre)])
        both = pd.concat([trials, trials.iloc[centre]], ignore_index=True)
        inputs = self._gather(both.assign(other_centre=other), missing)
        again = np.append(scaled, np.flatnonzero(other))
        moved, arrived = self._transfer.send(inputs)

        def empty(rows: int) -> dict[str, Tensor]:
            return {m.name: torch.empty((rows, m.width), device=self._device) for m in missing}

        return _Shard(
            number, trials, centre, scaled, again, missing, moved, arrived,
            empty(len(other)), empty(len(again)),
        )  # fmt: skip

    def _gather(self, trials: pd.DataFrame, models: Sequence[Embedder]) -> CropInputs:
        """Read what trials are composed from, and what lies where if any of some models needs it.

        In the channels that any model of all reads.
        """
        return gather(
            trials, self._arrays, self._scales,
            self._config.donor_centre, self._config.paste, self._composed,
            any(model.needs_scene for model in models),
        )  # fmt: skip

    def _to_embed(self, number: int) -> list[Embedder]:
        """List the models whose embeddings of a shard are not all there."""
        tables = ["embeddings", *(SECOND[reading] for reading in self._readings)]
        return [
            model
            for model in self._models
            if not all(self._run.part(table, number, model.name).is_file() for table in tables)
        ]

    def _rows(self, shard: _Shard, start: int, stop: int) -> None:
        """Embed trials `start` to `stop` of a shard, in smaller batches where memory runs out."""
        with self._turn:
            self._transfer.wait(shard.inputs, shard.arrived)
            while start < stop:
                end = min(start + self._size.now, stop)
                done = self._size.attempt(partial(self._batch, shard, start, end), start, end)
                # Crops that are read again stand behind the trials: each row is a part of these.
                with self._counting:
                    self._newly += shard.trials_in(done) - shard.trials_in(start)
                start = done

    @torch.inference_mode()
    def _batch(self, shard: _Shard, start: int, stop: int) -> None:
        """Compose trials `start` to `stop` of a shard and embed them with every missing model."""
        config, inputs, rows = self._config, shard.inputs, slice(start, stop)
        images = combine(inputs, rows)
        # Where this batch's second readings lie among the shard's, and in the batch.
        first_again, last_again = np.searchsorted(shard.again, (start, stop))
        again = torch.from_numpy(shard.again[first_again:last_again] - start).to(self._device)
        locked = config.normalisation == "locked"
        # The cells as imaged, for what is scaled by them.
        cell = inputs.centre_row[rows] if locked else inputs.centre_row[rows][again]
        centre = inputs.unaltered.index_select(0, cell)
        for models in self._asked(shard):
            first = models[0]
            if first.answers is not None:
                numbers = shard.trials["trial"].to_numpy()[rows]
                shard.vectors[first.name][rows] = first.look_up(numbers)
                continue
            picked = self._channels[first.name]
            own, whole = pick_channels(images, picked), pick_channels(centre, picked)
            scene = None
            if any(model.needs_scene for model in models) and inputs.scene is not None:
                scene = inputs.scene.at(rows)
            found = with_own_together(
                models, own, whole if locked else None, config.precision, scene
            )
            for model, vectors in zip(models, found, strict=True):
                shard.vectors[model.name][rows] = vectors
            if len(again):
                other = None if locked else whole
                seen = None if scene is None else scene.at(again)
                found = with_own_together(models, own[again], other, config.precision, seen)
                for model, vectors in zip(models, found, strict=True):
                    shard.locked[model.name][first_again:last_again] = vectors

    def _asked(self, shard: _Shard) -> list[list[Embedder]]:
        """List a shard's missing models, those together that are asked in one pass."""
        missing = {model.name for model in shard.missing}
        found = [[model for model in some if model.name in missing] for some in self._passes]
        return [some for some in found if some]

    def _write(self, shard: _Shard) -> None:
        """Write a shard's files; those that are there are left alone."""
        run, trials = self._run, shard.trials
        path = run.part("trials", shard.number)
        if not path.is_file():
            table = trials_table(
                trials,
                *(
                    found[: len(trials)].cpu().numpy()
                    for found in (
                        shard.inputs.flags,
                        shard.inputs.neighbour_fraction,
                        shard.inputs.neighbour_distance,
                    )
                ),
            )
            run.write(path, table, schema.trials_schema())
        for model in shard.missing:
            crops, scaled = shard.vectors[model.name], shard.locked[model.name]
            others = trials.iloc[shard.centre]
            second = {
                Reading.SCALED: (trials.iloc[shard.scaled], scaled[: len(shard.scaled)]),
                Reading.CENTRE: (others, crops[len(trials) :]),
                Reading.BOTH: (others, scaled[len(shard.scaled) :]),
            }
            found = [("embeddings", trials, crops[: len(trials)])]
            found += [(SECOND[reading], *second[reading]) for reading in self._readings]
            for name, rows, vectors in found:
                path = run.part(name, shard.number, model.name)
                if not path.is_file():
                    numbers = finite(model, vectors.cpu().numpy())
                    table = embeddings_table(rows, numbers, model.dimension)
                    classes = len(model.own.names) if model.own else 0
                    run.write(path, table, schema.embeddings_schema(model.dimension, classes))
        with self._counting:
            self.embedded += len(trials)
