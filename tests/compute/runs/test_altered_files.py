"""One bit of any file of a store, a run or a cache: told before anything is computed or shown."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from compute.errors import InputError
from compute.runs.finished import open_finished
from compute.shipped import DEMO_RUN
from compute.storage import checksums
from compute.storage.paths import MANIFEST, RUN_FILE, RUN_TABLES, STORE_FILE, RunPaths
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore
from compute.store.some_rows import read_rows
from dashboard.queries.open_runs import connect, open_library

FEW, MANY = 8, 150
SEEDS = [
    pytest.param(range(FEW), id="few"),
    pytest.param(range(FEW, MANY), id="many", marks=pytest.mark.long),
]


def every_flip(path: Path, seeds: range, use: Callable[[], object]) -> None:
    """Turn one bit after the other of a file, and use what it belongs to: each time refused."""
    whole = path.read_bytes()
    try:
        for seed in seeds:
            draw, raw = random.Random(f"{path.name} {seed}"), bytearray(whole)
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
            path.write_bytes(bytes(raw))
            forget()
            with pytest.raises(InputError) as caught:
                use()
            assert path.name in str(caught.value)
    finally:
        path.write_bytes(whole)
        forget()


def forget() -> None:
    """Forget what was read: files here change faster than the clock of the file system."""
    checksums._digest.cache_clear()
    checksums._manifest.cache_clear()


@pytest.fixture(scope="module")
def kept_store(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(store, tmp_path_factory.mktemp("altered") / "store")


@pytest.fixture(scope="module")
def kept_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(DEMO_RUN, tmp_path_factory.mktemp("altered") / "run")


def read_all(path: Path) -> None:
    """Read all that a run, a training or a summary reads of a store."""
    store = CropStore(path)
    assert len(store.cells)
    assert store.windows is not None
    assert store.truth is not None
    store.arrays()


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", [STORE_FILE, "cells", "truth", "crops", "windows"])
def test_of_a_store(kept_store, kind, seeds):
    (path, *_) = sorted(kept_store.glob(kind if "." in kind else f"{kind}*.parquet"))
    read_all(kept_store)
    every_flip(path, seeds, lambda: read_all(kept_store))
    if kind == "crops":
        every_flip(path, seeds[:2], lambda: [*read_rows(CropStore(kept_store), np.arange(3))])
        every_flip(path, seeds[:2], lambda: CropStore(kept_store).arrays(first=2))
    read_all(kept_store)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("table", [RUN_FILE, MANIFEST, *RUN_TABLES])
def test_of_a_run(kept_run, table, seeds):
    paths = RunPaths(kept_run)
    there = [kept_run / table] if "." in table else paths.files(table)
    if not there:
        pytest.skip(f"the demo has no table {table!r}")
    path, name = there[-1], "accuracy" if "." in table else table
    with closing(connect([kept_run])) as connection:

        def show() -> None:
            library = open_library([kept_run], connection)
            for broken in library.broken:
                raise InputError(broken.problem, broken.remedy)
            library.runs[0].files(name)

        every_flip(path, seeds, show)
        show()
    if table not in ("embeddings", "predictions", "trials"):
        every_flip(path, seeds[:3], lambda: RunDirectory(kept_run).read(name))


@pytest.fixture
def cache(kept_store: Path, tmp_path: Path) -> Iterator[Path]:
    CropStore(kept_store).arrays(tmp_path)
    yield tmp_path
    forget()


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", ["images", "masks", "foregrounds", "windows"])
def test_of_decoded_pixels(kept_store, cache, kind, seeds):
    (path,) = cache.glob(f"*-{kind}.npy")
    every_flip(path, seeds, lambda: CropStore(kept_store).arrays(cache))
    CropStore(kept_store).arrays(cache)


@pytest.mark.parametrize("kind", ["images", "windows"])
@pytest.mark.parametrize(
    "alter",
    [
        lambda raw: raw[:128] + bytes(len(raw) - 128),
        lambda raw: raw.replace(b"'shape': (", b"'shape': (1"),
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
    ],
    ids=["zeroed", "lying header", "cut", "empty"],
)
def test_decoded_pixels_of_another_kind(kept_store, cache, kind, alter):
    (path,) = cache.glob(f"*-{kind}.npy")
    path.write_bytes(alter(path.read_bytes()))
    forget()
    with pytest.raises(InputError, match=rf"-{kind}\.npy was altered.*Delete it and run again"):
        CropStore(kept_store).arrays(cache)
    path.unlink()
    assert np.array_equal(
        CropStore(kept_store).arrays(cache).images[:], CropStore(kept_store).arrays().images
    )


def test_a_finished_run_is_not_looked_at_again_with_an_altered_file(run, store, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    open_finished(store, copy)
    path = RunPaths(copy).parts("predictions", "pifia")[0]
    every_flip(path, range(3), lambda: open_finished(store, copy))
    (copy / "trials" / "part-99999.parquet").write_bytes(b"another's")
    with pytest.raises(InputError, match=r"part-99999\.parquet has no checksum"):
        open_finished(store, copy)
