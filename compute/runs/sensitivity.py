"""Whether a run's findings hang on the analyst's choices: the table `sensitivity`.

Layer: does small runs of the same cells on the same donors under other settings
(`compute.runs.variants`), compares them with the finished run, and gives it the table. Each of
these runs is an ordinary one, so their statistics are the ordinary ones, and one that was
interrupted goes on.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from compute import schema
from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError
from compute.models.card_files import Model
from compute.runs.config import RunConfig
from compute.runs.engines import EngineConfig
from compute.runs.finished import models_of, open_finished
from compute.runs.pipeline import run_store
from compute.runs.prepare import prepare
from compute.runs.setting_rows import Compared, setting_rows
from compute.runs.variants import (
    READING,
    SensitivityConfig,
    embed_config,
    moved_card,
    settings_of,
)
from compute.schema import Condition
from compute.statistics.config import BootstrapConfig
from compute.storage.atomic_files import Progress, silent
from compute.storage.run_directory import Notice, RunDirectory, unheard

LOOKED_AT = (Condition.UNALTERED, Condition.SAME, Condition.DIFFERENT, Condition.MASKED)
"""The conditions that findings are about."""

"""Folder for the cards of models that are read in other ways, beside the runs."""


def sensitivity(
    store: Path | str,
    run: Path | str,
    models: Sequence[Model] | None = None,
    config: SensitivityConfig | None = None,
    *,
    work: Path | str | None = None,
    keep: bool = False,
    engine: EngineConfig | None = None,
    device: str = "auto",
    jobs: int | None = None,
    trusted: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> pa.Table:
    """Look at a finished run's findings under other settings, and add them to it as a table.

    Parameters
    ----------
    store
        The crop store that the run was made from.
    run
        The finished run; its settings are those that the others are compared with.
    models
        Its models, all or some: names of shipped models or paths of cards. By default all, which
        must then be shipped ones.
    config
        The settings of every choice; `SensitivityConfig()` by default.
    work
        Folder for the runs under other settings; by default beside `run`, with ``-sensitivity``
        behind its name. An interrupted call goes on from what lies there.
    keep
        Whether these runs stay; by default they are deleted at the end.
    engine, device, jobs, trusted
        As for `compute.runs.run.run`.
    progress
        Called with the stage's name, units done and units in all.
    notice
        Called with what a person should know at once.

    Returns
    -------
    Table
        Columns of `compute.schema.SENSITIVITY`.

    Raises
    ------
    UsageError
        The run is not finished, or of another store or other models; or a setting does not exist.
    BystanderError
        As for `run`.

    Examples
    --------
    >>> from compute import SensitivityConfig, sensitivity
    >>> choices = SensitivityConfig(mask_shifts=(0, 2), layers=(), poolings=(), harmonise=(),
    ...     paste=())
    >>> table = sensitivity("store", "my-run", ["deeploc.toml"], choices)
    >>> sorted(set(table["setting"].to_pylist()))
    ['0', '2']
    """
    config = SensitivityConfig() if config is None else config
    base, opened = open_finished(store, run)
    found = models_of(base, opened, models, trusted)
    cards = {name: model.card for name, model in found.items()}
    own = _configuration(base)
    settings = settings_of(config, own.embed, cards)
    folder = Path(work) if work else base.path.with_name(f"{base.path.name}-sensitivity")
    names = list(dict.fromkeys(each.run for each in settings if each.run))
    runs = {"": base}
    for number, name in enumerate(names, start=1):

        def tell(stage: str, done: int, total: int, of: str = f"{number}/{len(names)}") -> None:
            progress(f"{of} {stage}", done, total)

        some = [each for each in settings if each.run == name]
        given = list(found.values())
        if name == READING:
            given = [
                replace(found[model], card=moved_card(cards[model], each, moved))
                for each in some
                for model, moved in each.models.items()
            ]
        runs[name], _ = run_store(
            opened.path, folder / name, given,
            replace(own, embed=embed_config(some[0], own.embed)),
            engine=engine, device=device, jobs=jobs, progress=tell, notice=notice,
        )  # fmt: skip
    compared = Compared(base, prepare(opened, own)[1], own)
    parts = [setting_rows(each, runs[each.run], compared) for each in settings]
    frame = pd.concat(parts, ignore_index=True).reindex(columns=schema.SENSITIVITY.names)
    table = pa.Table.from_pandas(frame, schema=schema.SENSITIVITY, preserve_index=False)
    base.add("sensitivity", table)
    if not keep:
        _remove(folder, names)
    return table


def _configuration(base: RunDirectory) -> RunConfig:
    """Return a run's settings, with the conditions that are looked at and nothing to look at."""
    said = base.meta["configuration"]
    conditions = [str(c) for c in LOOKED_AT if c in base.meta["conditions"]]
    if len(conditions) < 2 or conditions[0] != Condition.UNALTERED:
        raise UsageError(
            f"{base.path} has {', '.join(base.meta['conditions'])} only, so no drop can be "
            "compared.",
            f"Run it with --conditions {','.join(LOOKED_AT)} or more.",
        )
    return RunConfig(
        plan=PlanConfig(**{**said["plan"], "conditions": tuple(conditions)}),
        embed=EmbedConfig(**said["embed"]),
        bootstrap=replace(BootstrapConfig(**said["bootstrap"]), exchanges=0),
        probes=(),
        examples=0,
        keep_embeddings=False,
    )


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Delete what was made in a folder, and the folder if nothing else lies in it."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()
