"""A run of models over a store, where either may lie behind a URL: what `bystander run` does.

Layer: finds the folders, then `compute.runs.pipeline` does the work in them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compute.models.card_files import Model, builtin_cards
from compute.runs.config import RunConfig
from compute.runs.engines import EngineConfig
from compute.runs.pipeline import run_store
from compute.storage.atomic_files import Progress, silent
from compute.storage.mirror import cache_folder, run_here, store_here
from compute.storage.remote import is_url
from compute.storage.run_directory import Notice, RunDirectory, unheard


def run(
    store: Path | str,
    out: Path | str,
    models: Sequence[Model] | None = None,
    config: RunConfig | None = None,
    *,
    engine: EngineConfig | None = None,
    device: str = "auto",
    jobs: int | None = None,
    cache: Path | str | None = None,
    fresh: bool = False,
    name: str | None = None,
    trusted: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> RunDirectory:
    """Run models over all conditions of a store, or go on with a run that was interrupted.

    Parameters
    ----------
    store
        A crop store: its folder or URL.
    out
        The run directory or its URL: new, begun with the same settings, or finished.
    models
        Names of shipped models or paths of model cards; all shipped models by default.
    config
        Everything else that the tables depend on; `RunConfig()` by default.
    engine
        Where the work is done; in this process by default.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    jobs
        Threads that fit pair tests; one per core by default.
    cache
        Folder for copies of what is behind URLs; ``~/.cache/bystander`` by default.
    fresh
        Delete what is at `out` and begin anew.
    name
        Shown in the dashboard; the last part of `out` by default.
    trusted
        Whether foreign code that models bring may run; False by default.
    progress
        Called with the stage's name, units done and units in all.
    notice
        Called with what a person should know at once.

    Returns
    -------
    RunDirectory
        The finished run; behind a URL, its copy on this machine.

    Raises
    ------
    IncompleteError
        Shards or probes failed again and again; everything else that could be done was.
    BystanderError
        Bad input, a busy or changed run directory, a full disk.

    Examples
    --------
    >>> from compute import PlanConfig, RunConfig, run
    >>> config = RunConfig(plan=PlanConfig(backgrounds=3, folds=2), examples=1)
    >>> finished = run("store", "new-run", ["deeploc.toml"], config)
    >>> finished.complete
    True
    """
    chosen = list(builtin_cards()) if models is None else list(models)
    settings = RunConfig() if config is None else config
    return run_or_resume(
        store, out, chosen, settings, engine=engine, device=device, jobs=jobs, cache=cache,
        fresh=fresh, name=name, trusted=trusted, progress=progress, notice=notice,
    )[0]  # fmt: skip


def run_or_resume(
    store: Path | str,
    out: Path | str,
    models: Sequence[Model],
    config: RunConfig,
    *,
    engine: EngineConfig | None = None,
    device: str = "auto",
    jobs: int | None = None,
    cache: Path | str | None = None,
    fresh: bool = False,
    name: str | None = None,
    trusted: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> tuple[RunDirectory, bool]:
    """Do what `run` does, and tell whether anything was left to do."""
    copies = cache_folder() if cache is None else Path(cache)
    called = name or str(out).rstrip("/").rpartition("/")[2]
    with _folders(str(store), str(out), copies, fresh, progress) as (here, folder):
        return run_store(
            here, folder, models, config, engine=engine, device=device, jobs=jobs, fresh=fresh,
            name=called, trusted=trusted, progress=progress, notice=notice,
        )  # fmt: skip


@contextmanager
def _folders(
    store: str, out: str, cache: Path, fresh: bool, progress: Progress
) -> Iterator[tuple[Path, Path]]:
    """Give the folders of a store and a run; those behind URLs are copied here, and there."""
    folder = store_here(store, cache, progress) if is_url(store) else Path(store)
    if not is_url(out):
        yield folder, Path(out)
        return
    with run_here(out, cache, fresh=fresh) as run_folder:
        yield folder, run_folder
