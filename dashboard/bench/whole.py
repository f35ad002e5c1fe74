"""All that `bystander bench dashboard` measures: one reader, or many at once, on any run."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from compute.bench.table import Row
from compute.shipped import DEMO_RUN
from compute.storage.atomic_files import Progress, silent
from dashboard.bench import load, measure
from dashboard.bench.synthetic_config import sized
from dashboard.bench.synthetic_run import make_run


def measure_dashboard(
    run: Path | str | None = None,
    *,
    predictions: int | None = None,
    repeats: int = 10,
    sessions: int | None = None,
    minutes: float = 5.0,
    pause: float = 4.0,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Row]:
    """Measure what readers of the dashboard wait for, server side, and the memory it takes.

    Parameters
    ----------
    run
        A run directory; the shipped demo by default. With `predictions`, the new folder to keep
        the made run in.
    predictions
        Make a run with so many predictions first (45,000,000: some 4 GB, minutes).
    repeats
        How often each step is measured, 1 or more.
    sessions
        Measure so many readers at once instead of one.
    minutes
        For how long, with `sessions`.
    pause
        Mean seconds between a reader's steps, with `sessions`.
    seed
        Decides the made run, and what readers do.
    progress
        Called with the stage's name, units done and units in all.

    Returns
    -------
    list of Row
        One for each measurement.

    Examples
    --------
    >>> from dashboard import measure_dashboard
    >>> rows = measure_dashboard("my-run", repeats=3)  # doctest: +SKIP
    """
    with ExitStack() as stack:
        path = DEMO_RUN if run is None else Path(run)
        if predictions is not None:
            if run is None:
                folder = stack.enter_context(TemporaryDirectory(prefix="bystander-bench-"))
                path = Path(folder) / "run"
            make_run(path, sized(predictions, seed=seed), progress)
        if sessions is not None:
            asked = load.Load(sessions, minutes * 60, pause, seed)
            return list(load.rows(load.together(path, asked)))
        return list(measure.rows(measure.alone(path, repeats, seed, progress)))
