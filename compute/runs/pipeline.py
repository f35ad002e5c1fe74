"""A run from start to end: plan, embed, probe, effects, examples; it can be resumed at any point.

Layer: joins the stages and writes the run directory. What each stage does is in its own room; who
does it is in `compute.runs.engines`.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from compute import schema
from compute.backgrounds.harmonise import measure
from compute.backgrounds.plan import Plan
from compute.devices import choose_device, cores
from compute.effects.stage import summarise
from compute.embedding.config import EmbedJob
from compute.embedding.worker import ShardWorker
from compute.memory import give_back, give_back_at_once
from compute.models.card_files import FoundModel, Model
from compute.models.embedder import Embedder
from compute.models.one_network import load_models
from compute.models.readable import bind
from compute.probes.cells import Cells
from compute.probes.solvers import Fitting
from compute.probes.stage import how_fitted
from compute.runs.config import RunConfig
from compute.runs.engines import EngineConfig, EngineName, open_engine
from compute.runs.engines.tasks import IncompleteError
from compute.runs.example_crops import write_examples
from compute.runs.exports.identity import require_same_crops
from compute.runs.kept_bits import keep_bits
from compute.runs.mosaic import write_mosaic
from compute.runs.prepare import prepare, with_fold
from compute.runs.provenance import (
    describe,
    flagged_trials,
    left_out,
    moved_masks,
    plain,
    seen_donors,
)
from compute.runs.stages import embed_stage, probe_stage
from compute.runs.training_seeds import trained_again
from compute.storage.atomic_files import Progress, silent, write_stream
from compute.storage.paths import SECOND, WORK
from compute.storage.run_directory import Notice, RunDirectory, begin, unheard
from compute.store.reader import CropStore


def run_store(
    store_path: Path,
    out: Path,
    models: Sequence[Model],
    config: RunConfig,
    *,
    engine: EngineConfig | None = None,
    device: str = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    name: str | None = None,
    trusted: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> tuple[RunDirectory, bool]:
    """Run models over all conditions of a store, or go on with a run that was interrupted.

    Parameters
    ----------
    store_path
        A crop store.
    out
        The run directory, new or begun with the same settings.
    models
        Names of shipped models, paths of model cards, or models that are found already.
    config
        Everything else that the tables depend on.
    engine
        Who does the tasks of embedding and probes; this process by default.
    device
        Where to embed, as `compute.devices.choose_device` takes it; on CUDA pair tests are fitted
        there too. ``"auto"`` by default.
    jobs
        Cores for the pair tests; by default all that this process may use.
    fresh
        Whether to begin anew even if something is there; False by default.
    name
        Name of the run, for the dashboard, also of one that is finished; the folder's name by
        default.
    trusted
        Whether foreign code that models bring may run; False by default.
    progress
        Called with the stage's name, what is done and what there is in all; silent by default.
    notice
        Called with a line of text that a person should know at once; unheard by default.

    Returns
    -------
    run : RunDirectory
        The finished run.
    worked : bool
        Whether anything was left to do.

    Raises
    ------
    IncompleteError
        Shards or probes failed again and again; everything else that could be done was.
    BystanderError
        Bad input, a busy or changed run directory, a full disk.
    """
    engine = engine or EngineConfig()
    store = CropStore(store_path)
    found, reads = bind(models, store, trusted=trusted)
    plan, cells = prepare(store, config)
    # On Ray the workers have the devices; this process only reads what the models are.
    where = choose_device(device if engine.name == EngineName.LOCAL else "cpu")
    loaded = load_models(found, where)
    for model in loaded:
        model.check_precision(config.embed.precision)
    trained_again([model.card for model in loaded], config.seeds_of)
    require_same_crops(loaded, store, config)
    header = {
        "configuration": plain(asdict(config)),
        "store": store.fingerprint,
        "models": {model.name: model.hash for model in loaded},
    }
    if own := {m.name: plain(asdict(m.own)) for m in found if m.own}:
        header["own"] = own
    for each in reads:
        if each.remarkable:
            notice(f"{each}.")
    for bound in found:
        if bound.own and bound.own.remarkable:
            notice(f"{bound.name} {bound.own}.")
    details = describe(store, plan, cells, loaded, reads, config, where, name or out.resolve().name)
    with begin(out, header, details, fresh=fresh, notice=notice, progress=progress) as run:
        worked = not run.complete
        if name and name != run.meta.get("name"):
            run.record(name=name)
        if worked:
            run.record(engine={"name": str(engine.name), "workers": engine.workers})
            stages = _Stages(
                run, store, plan, cells, found, loaded, config, device, jobs or cores(), progress
            )
            stages.work(engine)
        return run, worked


class _Stages:
    """The stages of a run, one after the other; what is done already is left alone.

    Parameters
    ----------
    run, store, plan, cells, config
        The run directory, and what the run is made from.
    found, models
        The models as they were found, and loaded, in the same order.
    device, jobs, progress
        As in `run_store`.
    """

    def __init__(
        self,
        run: RunDirectory,
        store: CropStore,
        plan: Plan,
        cells: Cells,
        found: Sequence[FoundModel],
        models: Sequence[Embedder],
        config: RunConfig,
        device: str,
        jobs: int,
        progress: Progress,
    ) -> None:
        self._run, self._store, self._plan, self._cells = run, store, plan, cells
        self._found, self._models, self._config = found, models, config
        self._device, self._jobs, self._progress = device, jobs, progress
        self._started = time.perf_counter()

    def work(self, engine: EngineConfig) -> None:
        """Do every stage.

        Raises
        ------
        IncompleteError
            Tasks failed; what needs them was left out.
        """
        run, store, plan, cells, config = (
            self._run, self._store, self._plan, self._cells, self._config,
        )  # fmt: skip
        if not run.summary("cells").is_file():
            tables = with_fold(store.cell_tables(), cells.folds.fold)
            write_stream(run.summary("cells"), tables, schema.run_cells_schema())
        self._progress("read", 0, 2)
        arrays = store.arrays(cache=run.pixels, mask_shift=config.embed.mask_shift)
        self._progress("read", 1, 2)
        scales = measure(
            config.embed.harmonise, store.cells, store.windows, arrays, config.plan.seed
        )
        self._progress("read", 2, 2)
        self._lap("read")
        names = [model.name for model in self._models]
        shards = ShardWorker(run, store, plan, arrays, scales, self._models, config.embed)
        self._embed_and_probe(engine, shards)
        conditions = plan.config.conditions
        summarise(
            run, cells, store.cells, names, conditions, config.bootstrap, self._progress,
            truth=store.truth, embed=config.embed,
            seeds=trained_again([model.card for model in self._models], config.seeds_of),
            own={model.name: model.own.named for model in self._models if model.own},
        )  # fmt: skip
        self._lap("effects")
        write_examples(
            run, store.cells, store.windows, arrays, scales,
            config.embed.donor_centre, config.embed.paste, config.examples, names,
            config.plan.seed, self._progress, config.example_bits,
        )  # fmt: skip
        write_mosaic(
            run, store, config.plan.seed, config.examples > 0, config.example_bits
        )  # fmt: skip
        self._lap("examples")
        del arrays, shards
        self._finish()

    def _embed_and_probe(self, engine: EngineConfig, shards: ShardWorker) -> None:
        """Have the engine do the two stages that are cut into tasks.

        Raises
        ------
        IncompleteError
            Tasks failed; the probes of models that have all their embeddings were fitted.
        """
        run = self._run
        job = EmbedJob(
            run.path.resolve(), self._store.path.resolve(), tuple(self._found),
            self._plan.config, self._config.embed, self._device,
        )  # fmt: skip
        with open_engine(engine) as opened:
            embedding = embed_stage(self._plan, shards, self._models[0].device, job)
            outcome = opened.run(embedding, self._progress)
            failures = outcome.failures
            run.record(failures=[failure.record() for failure in failures])
            if outcome.measured:
                measured = dict(outcome.measured[0])
                run.record(device=measured.pop("device"), measured=measured)
            self._lap("embed")
            give_back_at_once()
            whole = {
                model.name: model.dimension
                for model in self._models
                if not failures or self._has_all_shards(model.name, shards.count)
            }
            if whole:
                # In this process the probes tell of every condition; engines count whole models.
                inside = engine.name == EngineName.LOCAL
                fitting = Fitting.on(str(self._models[0].device), self._jobs)
                probing = probe_stage(
                    run, self._store, self._plan, self._cells, whole, fitting, self._config,
                    self._device, self._progress,
                )  # fmt: skip
                outcome = opened.run(probing, silent if inside else self._progress)
                failures += outcome.failures
                run.record(failures=[failure.record() for failure in failures])
                self._lap("probe")
        if failures:
            raise IncompleteError(failures)

    def _has_all_shards(self, model: str, count: int) -> bool:
        """Tell whether the files of `count` shards of a model are all there."""
        tables: list[tuple[str, str | None]] = [("trials", None), ("embeddings", model)]
        readings = self._config.embed.readings(self._plan.config.composed)
        tables += [(SECOND[reading], model) for reading in readings]
        return all(
            self._run.part(table, number, name).is_file()
            for number in range(count)
            for table, name in tables
        )

    def _finish(self) -> None:
        """Count trials and cells, check the run, and mark it complete."""
        run, plan, cells = self._run, self._plan, self._cells
        keep_bits(run, self._config.probability_bits)
        run.finish(
            without=[WORK, *self._config.unwanted],
            counts={
                "cells": len(self._store.cells),
                "cells_in_trials": len(plan.rows),
                "cells_in_pair_tests": int(cells.grid.sum()),
                "proteins": len(set(cells.protein[plan.rows])),
                "trials": plan.count,
                **{f"trials_{name}": count for name, count in plan.counts.items()},
                "trials_with_seam": flagged_trials(run, schema.TrialFlag.SEAM),
                "trials_with_seen_donor": seen_donors(run),
                **(moved_masks(run) if self._config.embed.mask_shift else {}),
            },
            checks={
                "pair_tests": how_fitted(run),
                **left_out(run, self._models),
                **run.meta.get("measured", {}),
            },
        )

    def _lap(self, stage: str) -> None:
        """Add to a stage's seconds, with those before an interruption; give back freed memory."""
        give_back()
        now = time.perf_counter()
        before = self._run.meta.get("timings", {})
        seconds = round(before.get(stage, 0) + now - self._started, 3)
        self._run.record(timings={**before, stage: seconds})
        self._started = now
