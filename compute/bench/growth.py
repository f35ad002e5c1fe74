"""Whether memory grows with the number of crops.

Layer: writes stores of any size, and does whole runs in processes of their own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compute.bench.table import Row
from compute.bench.timing import COMMAND
from compute.errors import BystanderError
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter

MOST_GROWTH = 1.1
"""Peak memory with many crops over that with few at most: from the design."""

CROPS_AT_ONCE = 1024
"""Crops that are copied at a time."""

_LAUNCH = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status if status >= 0 else 128 - status)
"""
"""A small process that starts the command: the largest memory of a child includes that of the
process it was forked from."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Parameters
    ----------
    seconds
        Seconds by the clock.
    peak
        Largest resident memory of its process, or of a child of it, in bytes.
    """

    seconds: float
    peak: int


def cost(arguments: Sequence[str]) -> Cost:
    """Run a `bystander` command in a process of its own.

    Parameters
    ----------
    arguments
        What follows `bystander` on the command line.

    Raises
    ------
    BystanderError
        The command failed; shows the end of what it printed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        command = [*COMMAND, *arguments]
        done = subprocess.run(
            [sys.executable, "-PS", "-c", _LAUNCH, *command], stdout=subprocess.PIPE, stderr=said
        )
        if done.returncode:
            said.seek(0)
            raise BystanderError(
                f"`bystander {' '.join(arguments)}` ended with {done.returncode}: "
                f"{said.read()[-2000:]}"
            )
    to_bytes = 1 if sys.platform == "darwin" else 1024
    return Cost(time.perf_counter() - started, int(done.stdout) * to_bytes)


def enlarge(source: Path, out: Path, cells: int) -> None:
    """Write a store of any size by repeating another one's cells, as cells of further fields.

    Parameters
    ----------
    source
        Folder of a crop store.
    out
        Folder to make.
    cells
        Number of cells in the new store.
    """
    store = CropStore(source)
    arrays = store.arrays()
    with CropStoreWriter(
        out, channels=store.channels, size=store.size, dtype=str(arrays.images.dtype),
        localizations=store.localizations,
        source={"kind": "repeated", "simulated": store.simulated},
    ) as writer:  # fmt: skip
        left, copy = cells, 0
        while left > 0:
            for start in range(0, min(len(store.cells), left), CROPS_AT_ONCE):
                rows = np.arange(start, min(start + CROPS_AT_ONCE, len(store.cells), start + left))
                frame = store.cells.iloc[rows].drop(columns=["flags"])
                frame = frame.assign(field=[f"{name}-{copy}" for name in frame["field"]])
                masks, foregrounds = (
                    arrays.unpack(packed[rows]) for packed in (arrays.masks, arrays.foregrounds)
                )
                writer.add(arrays.images[rows], masks, foregrounds, frame)
                left -= len(rows)
            for number, window in enumerate(store.windows.itertuples()):
                writer.add_windows(
                    arrays.windows[np.array([number])],
                    field=f"{window.field}-{copy}", protein=window.protein,
                    localization=_text(window.localization), replicate=_text(window.replicate),
                    filled=bool(window.filled),
                )  # fmt: skip
            copy += 1


def _text(value: Any) -> str | None:
    """Return a text as it is; None for what pandas has where there is none."""
    return value if isinstance(value, str) else None


def growth_rows(
    store: Path, sizes: tuple[int, int], models: Sequence[str], options: Sequence[str] = ()
) -> Iterator[Row]:
    """Do a run on a small and on a large store, and compare the peaks of memory.

    Parameters
    ----------
    store
        A crop store, whose cells are repeated.
    sizes
        Number of crops in the small and in the large store.
    models
        Names of shipped models or paths of model cards.
    options
        Further options of `bystander run`; none by default.

    Yields
    ------
    Row
        One for each store, then one for the ratio.
    """
    found: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="bystander-bench-") as folder:
        for cells in sizes:
            large, run = Path(folder) / f"store-{cells}", Path(folder) / f"run-{cells}"
            enlarge(store, large, cells)
            arguments = ["run", str(large), "--out", str(run), "--models", ",".join(models)]
            found.append(cost([*arguments, "--seed", "0", *options]))
            yield Row(
                f"a run of {cells:,} crops",
                f"{found[-1].peak / 2**20:,.0f} MiB",
                note=f"peak memory; {found[-1].seconds:,.0f} s; {', '.join(models)}"
                f"{' ' if options else ''}{' '.join(options)}",
            )
    growth = found[1].peak / found[0].peak
    yield Row(
        f"memory of {sizes[1]:,} crops over that of {sizes[0]:,}",
        f"{growth:.2f}",
        f"≤ {MOST_GROWTH}",
        growth <= MOST_GROWTH,
        "largest resident memory of the process or a child of it",
    )
