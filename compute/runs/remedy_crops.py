"""Crops that remedies are fitted and judged on: a finished run's trials, embedded again.

Layer: embeds what remedies need beyond a run's own embeddings (cleaned crops, further donors, maps
pooled elsewhere) into a work folder, which is a run directory; interrupted, it goes on from there.
"""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from compute.backgrounds.config import PlanConfig
from compute.backgrounds.harmonise import measure
from compute.backgrounds.plan import Plan
from compute.devices import choose_device
from compute.embedding.config import EmbedConfig, EmbedJob
from compute.embedding.worker import SHARD_CELLS, ShardWorker
from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel, Model
from compute.models.embedder import Embedder, load_model
from compute.models.recipe import CLASS_TOKEN, POOLINGS
from compute.remedies.config import RemedyConfig
from compute.remedies.judge import Judge
from compute.runs.config import RunConfig
from compute.runs.engines import EngineConfig, EngineName, open_engine
from compute.runs.engines.tasks import IncompleteError
from compute.runs.finished import models_of, open_finished
from compute.runs.prepare import prepare
from compute.runs.provenance import plain
from compute.runs.stages import embed_stage
from compute.runs.variants import has_map
from compute.schema import Condition, Remedy
from compute.statistics.config import BootstrapConfig
from compute.storage.atomic_files import Progress
from compute.storage.run_directory import Notice, RunDirectory, begin
from compute.store.reader import CropStore

JUDGED = (
    Condition.UNALTERED, Condition.SAME, Condition.DIFFERENT, Condition.CELL_FREE,
    Condition.MASKED, Condition.BACKGROUND_ONLY,
)  # fmt: skip
"""The conditions that remedies are judged under, where the run has them."""

_ELSEWHERE = {
    Remedy.POOLED: {"max": "max_in_mask", "mean": "mean_in_mask"},
    Remedy.CENTRED: {"max": "both_in_middle", "mean": "both_in_middle"},
}
"""How remedies pool a map, by how the model does."""


@dataclass(frozen=True)
class RemedyCrops:
    """What remedies of a finished run are fitted and judged on.

    Parameters
    ----------
    base
        The finished run.
    store
        Its store.
    config
        Its settings, with the conditions and repeats that remedies need.
    judge
        How remedies are judged; its run is the work folder with all embeddings.
    tried
        The models, each also with its map pooled elsewhere.
    """

    base: RunDirectory
    store: CropStore
    config: RunConfig
    judge: Judge
    tried: Sequence["Variant"]


@contextmanager
def remedy_crops(
    store: Path | str,
    run: Path | str,
    models: Sequence[Model] | None,
    config: RemedyConfig,
    *,
    work: Path | str | None,
    keep: bool,
    engine: EngineConfig,
    device: str,
    trusted: bool,
    progress: Progress,
    notice: Notice,
    every_cell: bool = False,
) -> Iterator[RemedyCrops]:
    """Embed what remedies need, and delete it afterwards.

    Parameters
    ----------
    store, run, models, config, work, keep, engine, device, trusted, progress, notice
        As for `compute.runs.remedies.try_remedies`.
    every_cell
        Whether shards without a cell of pair tests are embedded, too; False by default.

    Raises
    ------
    BystanderError
        As for `try_remedies`.
    """
    base, opened = open_finished(store, run)
    own, judged = _configuration(base)
    found = models_of(base, opened, models, trusted)
    repeats = _repeats(prepare(opened, own)[0], config)
    share = own.plan.repeats / repeats
    own = replace(own, plan=replace(own.plan, repeats=repeats))
    plan, cells = prepare(opened, own)
    where = choose_device(device if engine.name == EngineName.LOCAL else "cpu")
    tried, loaded = _variants(found, where)
    folder = Path(work) if work else base.path.with_name(f"{base.path.name}-remedies")
    header = {
        "of": base.meta["fingerprint"],
        "configuration": plain({"plan": asdict(own.plan), "embed": asdict(own.embed)}),
        "models": {model.name: model.hash for model in loaded},
    }
    details = {"store": {"fingerprint": opened.fingerprint}, "conditions": own.plan.conditions}
    with begin(folder, header, details, notice=notice, progress=progress) as made:
        wanted = None if every_cell else cells.tested
        _embed(made, opened, plan, wanted, tried, loaded, own, engine, device, progress)
        del loaded
        judge = Judge(made, cells, judged, share, config, own.plan.seed)
        yield RemedyCrops(base, opened, own, judge, tried)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Variant:
    """A model, and itself with its map pooled elsewhere.

    Parameters
    ----------
    model
        As it was found.
    others
        With another pooling, under another name, by the remedy that does it.
    reasons
        Why a remedy that would does not apply.
    """

    model: FoundModel
    others: dict[Remedy, FoundModel]
    reasons: dict[Remedy, str]


def _configuration(base: RunDirectory) -> tuple[RunConfig, list[str]]:
    """Return a run's settings with the conditions that are embedded, and those that are judged."""
    said, there = base.meta["configuration"], base.meta["conditions"]
    needed = (Condition.UNALTERED, Condition.SAME, Condition.DIFFERENT)
    if missing := [str(c) for c in needed if c not in there]:
        raise UsageError(
            f"{base.path} lacks the condition(s) {', '.join(missing)}, on which remedies are "
            "fitted and judged.",
            f"Run it with --conditions {','.join(map(str, needed))} or more.",
        )
    judged = [str(c) for c in JUDGED if c in there]
    config = RunConfig(
        plan=PlanConfig(**{**said["plan"], "conditions": (*judged, str(Condition.ALONE))}),
        embed=replace(EmbedConfig(**said["embed"]), second_readings=False),
        bootstrap=replace(BootstrapConfig(**said["bootstrap"]), exchanges=0),
        probes=(),
        examples=0,
    )
    return config, judged


def _repeats(plan: Plan, config: RemedyConfig) -> int:
    """Return how often the run's plan must be repeated for a cell to have the donors it needs."""
    classes = max(len(plan.backgrounds) - 1, 1)
    needed = max(config.donors / classes, config.backgrounds / (classes + 1))
    return max(plan.config.repeats, math.ceil(needed))


def _variants(
    found: Mapping[str, FoundModel], where: torch.device
) -> tuple[list[Variant], list[Embedder]]:
    """Load models, each also with its map pooled elsewhere where it has one.

    Raises
    ------
    UsageError
        A model's answers are looked up in a table, which has none for other crops.
    """
    tried, loaded = [], []
    for model in found.values():
        embedder = load_model(model, where)
        if embedder.answers is not None:
            raise UsageError(
                f"Model {model.name!r} has answers to the run's own crops only; remedies show "
                "models other crops.",
                "Leave it out: give --models without it.",
            )
        loaded.append(embedder)
        variant = variant_of(model)
        for remedy, other in list(variant.others.items()):
            try:
                loaded.append(load_model(other, where))
            except InputError as error:
                del variant.others[remedy]
                variant.reasons[remedy] = error.problem
        tried.append(variant)
    return tried, loaded


def variant_of(model: FoundModel) -> Variant:
    """Give a model other poolings, or say why it can have none."""
    card, reason = model.card, ""
    spec = POOLINGS[card.pooling]
    if card.pooling == CLASS_TOKEN:
        reason = "Its embedding is a class token, which lies nowhere in a crop."
    elif not has_map(card):
        what = f"Its layer {card.layer!r}" if card.layer else "It"
        reason = f"{what} gives vectors, no map that could be pooled."
    elif spec.by_mask or spec.by_place:
        where = "inside the mask" if spec.by_mask else "over the middle"
        reason = f"It is pooled {where} already ({card.pooling})."
    if reason:
        return Variant(model, {}, dict.fromkeys(_ELSEWHERE, reason))
    others = {
        remedy: replace(
            model, own=None,
            card=replace(card, name=f"{card.name}.{remedy}", pooling=poolings[card.pooling]),
        )
        for remedy, poolings in _ELSEWHERE.items()
    }  # fmt: skip
    return Variant(model, others, {})


def _embed(
    made: RunDirectory,
    store: CropStore,
    plan: Plan,
    some: NDArray[np.bool_] | None,
    tried: Sequence[Variant],
    loaded: Sequence[Embedder],
    config: RunConfig,
    engine: EngineConfig,
    device: str,
    progress: Progress,
) -> None:
    """Embed all trials of shards that have some cells, or of all; what is there is left alone.

    Raises
    ------
    IncompleteError
        Shards failed again and again; the others were done.
    """
    arrays = store.arrays(cache=made.pixels, mask_shift=config.embed.mask_shift)
    scales = measure(config.embed.harmonise, store.cells, store.windows, arrays, config.plan.seed)
    worker = ShardWorker(made, store, plan, arrays, scales, loaded, config.embed)
    found = [each for variant in tried for each in (variant.model, *variant.others.values())]
    job = EmbedJob(
        made.path.resolve(), store.path.resolve(), tuple(found), plan.config, config.embed, device
    )
    wanted = {
        number
        for number, (start, stop) in enumerate(plan.shards(SHARD_CELLS))
        if some is None or some[plan.rows[start:stop]].any()
    }
    stage = embed_stage(plan, worker, loaded[0].device, job)
    chosen = replace(
        stage,
        total=sum(map(stage.size, wanted)),
        missing=lambda: [number for number in worker.missing() if number in wanted],
    )
    with open_engine(engine) as opened:
        failures = opened.run(chosen, progress).failures
    if failures:
        raise IncompleteError(failures)
