"""The two stages that engines do, cut into tasks: shards to embed, models whose probes are fitted.

Layer: joins `compute.embedding.worker` and `compute.probes.stage` to `compute.runs.engines`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from compute.backgrounds.plan import Plan
from compute.devices import choose_device
from compute.embedding.config import EmbedJob, ShardError
from compute.embedding.worker import SHARD_CELLS, ShardWorker
from compute.errors import BystanderError
from compute.probes.cells import Cells
from compute.probes.solvers import Fitting
from compute.probes.stage import probe
from compute.runs.config import RunConfig
from compute.runs.engines.tasks import Stage, TaskError, Tell
from compute.runs.prepare import prepare
from compute.runs.provenance import describe_device
from compute.schema import Probe
from compute.storage.atomic_files import Progress, silent
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

SHARDS_AT_A_TIME = 16
"""Shards handed to a worker at once, of which it does several at a time. Those that it has written
are not lost with it."""


class _Shards:
    """The worker of the embedding stage: a task is the number of a shard."""

    def __init__(
        self, worker: ShardWorker, device: torch.device, tell: Tell = lambda units: None
    ) -> None:
        self._worker, self._device, self._tell = worker, device, tell

    def work(self, tasks: Iterable[int]) -> Iterator[int]:
        try:
            yield from self._worker.work(tasks, self._tell)
        except ShardError as error:
            raise TaskError(error.number, error.problem, error.remedy) from error

    def measured(self) -> dict[str, Any]:
        return {"device": describe_device(self._device), **self._worker.measured()}


def open_shards(job: EmbedJob) -> _Shards:
    """Open a worker of the embedding stage from paths and settings, on its process's device."""
    device = choose_device(job.device)
    return _Shards(ShardWorker.open(replace(job, device=str(device))), device)


def embed_stage(plan: Plan, worker: ShardWorker, device: torch.device, job: EmbedJob) -> Stage:
    """Cut the embedding stage into shards.

    Parameters
    ----------
    plan
        Which cells and trials each shard has.
    worker, device
        The worker of this process, and where it computes.
    job
        What another process needs to make its own worker.

    Returns
    -------
    Stage
        A task is the number of a shard; progress counts its crops, one for each trial.
    """
    ranges = plan.shards(SHARD_CELLS)

    def crops(number: int) -> int:
        first, last = plan.span(*ranges[number])
        return last + 1 - first

    def describe(number: int) -> dict[str, Any]:
        start, stop = ranges[number]
        trials = plan.trials(start, stop)["trial"]
        first, last = int(trials.iloc[0]), int(trials.iloc[-1])
        return {"trials": f"{first} to {last}", "cells": plan.rows[start:stop].tolist()}

    return Stage(
        name="embed",
        total=plan.count,
        missing=worker.missing,
        here=lambda tell: _Shards(worker, device, tell),
        there=partial(open_shards, job),
        describe=describe,
        at_once=SHARDS_AT_A_TIME,
        size=crops,
    )


class _Probes:
    """The worker of the probe stage: a task is the name of a model."""

    def __init__(
        self,
        run: RunDirectory,
        plan: Plan,
        cells: Cells,
        models: Mapping[str, int],
        fitting: Fitting,
        config: RunConfig,
        progress: Progress = silent,
    ) -> None:
        self._run, self._plan, self._cells, self._config = run, plan, cells, config
        self._models, self._fitting, self._progress = models, fitting, progress

    def work(self, tasks: Iterable[str]) -> Iterator[str]:
        for name in tasks:
            model = {name: self._models[name]}
            before = list(self._models).index(name)

            def tell(stage: str, done: int, total: int, before: int = before) -> None:
                self._progress(stage, before * total + done, len(self._models) * total)

            try:
                probe(
                    self._run, self._plan, self._cells, model, self._fitting, tell,
                    self._config.embed, self._config.bootstrap.exchanges,
                    [Probe(name) for name in self._config.probes],
                )  # fmt: skip
            except BystanderError as error:
                raise TaskError(name, error.problem, error.remedy) from error
            except Exception as error:
                raise TaskError(name, f"{type(error).__name__}: {error}.") from error
            self._run.probed(name).parent.mkdir(parents=True, exist_ok=True)
            self._run.probed(name).touch()
            yield name

    def measured(self) -> dict[str, Any]:
        return {}


def open_probes(
    run: Path, store: Path, config: RunConfig, models: Mapping[str, int], device: str
) -> _Probes:
    """Open a worker of the probe stage from paths and settings.

    Its engine has given its process cores, and a GPU or none.
    """
    plan, cells = prepare(CropStore(store), config)
    fitting = Fitting.on(str(choose_device(device)), torch.get_num_threads())
    return _Probes(RunDirectory(run), plan, cells, models, fitting, config)


def probe_stage(
    run: RunDirectory,
    store: CropStore,
    plan: Plan,
    cells: Cells,
    models: Mapping[str, int],
    fitting: Fitting,
    config: RunConfig,
    device: str,
    progress: Progress = silent,
) -> Stage:
    """Cut the probe stage into models.

    What a model's probes are fitted on once (its unaltered crops) serves all its conditions, so a
    model is not cut further.

    Parameters
    ----------
    run
        The run directory, with all embeddings of the models.
    store, plan, cells, config
        What the run was made from.
    models
        Embedding dimension of each model, by its name.
    fitting
        How and where pair tests are fitted in this process.
    device
        Name of the device that another process is to choose; see `compute.devices.choose_device`.
    progress
        Called after every condition where the probes are fitted in this process; silent by default.

    Returns
    -------
    Stage
        A task is the name of a model.
    """
    for model in models:
        run.probed(model).unlink(missing_ok=True)
    places = run.path.resolve(), store.path.resolve()
    return Stage(
        name="probe",
        total=len(models),
        missing=lambda: [model for model in models if not run.probed(model).exists()],
        here=lambda tell: _Probes(run, plan, cells, models, fitting, config, progress),
        there=partial(open_probes, *places, config, models, device),
        describe=lambda model: {"model": model, "trials": f"0 to {plan.count - 1}"},
    )
