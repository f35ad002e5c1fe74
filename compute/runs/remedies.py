"""What can be done without a new network, tried on a finished run: the table `remedies`.

Layer: has crops embedded (`remedy_crops`), remedies fitted and judged (`compute.remedies`), and
gives the run the table.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from compute import schema
from compute.effects.donors import donor_seen
from compute.memory import give_back
from compute.models.card_files import Model
from compute.remedies.config import RemedyConfig
from compute.remedies.of_model import model_rows
from compute.runs.engines import EngineConfig
from compute.runs.remedy_crops import remedy_crops
from compute.schema import Probe
from compute.storage.atomic_files import Progress, silent
from compute.storage.run_directory import Notice, unheard


def try_remedies(
    store: Path | str,
    run: Path | str,
    models: Sequence[Model] | None = None,
    config: RemedyConfig | None = None,
    *,
    work: Path | str | None = None,
    keep: bool = False,
    engine: EngineConfig | None = None,
    device: str = "auto",
    trusted: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> pa.Table:
    """Try remedies that need no new network on a finished run, and add what they do to it.

    Parameters
    ----------
    store
        The crop store that the run was made from.
    run
        The finished run; remedies are judged on its trials, with its folds.
    models
        Its models, all or some: names of shipped models or paths of cards. By default all, which
        must then be shipped ones.
    config
        How remedies are fitted; `RemedyConfig()` by default.
    work
        Folder for embeddings; by default beside `run`, with ``-remedies`` behind its name. An
        interrupted call goes on from what lies there.
    keep
        Whether they stay; by default they are deleted at the end.
    engine, device, trusted
        As for `compute.runs.run.run`.
    progress
        Called with the stage's name, units done and units in all.
    notice
        Called with what a person should know at once.

    Returns
    -------
    Table
        Columns of `compute.schema.REMEDIES`.

    Raises
    ------
    UsageError
        The run is not finished, or of another store or other models; it lacks the conditions
        `same` or `different`; or a model's answers are from a table.
    BystanderError
        As for `run`.

    Examples
    --------
    >>> from compute import RemedyConfig, try_remedies
    >>> table = try_remedies("store", "my-run", ["deeploc.toml"], RemedyConfig(backgrounds=2))
    >>> sorted(set(table["remedy"].to_pylist()))
    ['averaged', 'balanced', 'centred', 'cleaned', 'none', 'pooled', 'projected']
    """
    config = RemedyConfig() if config is None else config
    engine = engine or EngineConfig()
    rows: list[dict[str, Any]] = []
    with remedy_crops(
        store, run, models, config, work=work, keep=keep, engine=engine, device=device,
        trusted=trusted, progress=progress, notice=notice,
    ) as crops:  # fmt: skip
        judge, tried = crops.judge, crops.tried
        shares = donor_seen(crops.base, judge.cells)
        keys = {c: (str(Probe.MULTICLASS), c, None) for c in judge.conditions}
        seen = {c: shares[key] for c, key in keys.items() if key in shares}
        for done, each in enumerate(tried):
            progress("remedies", done, len(tried))
            others = {remedy: other.name for remedy, other in each.others.items()}
            bootstrap = crops.config.bootstrap
            rows += model_rows(judge, each.model.name, others, each.reasons, bootstrap, seen)
            give_back()
        progress("remedies", len(tried), len(tried))
        table = pa.Table.from_pylist(rows, schema.REMEDIES)
        crops.base.add("remedies", table)
    return table
