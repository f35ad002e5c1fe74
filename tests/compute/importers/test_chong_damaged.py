"""300 damaged files of DeepLoc's: read or refused with a reason; no claim is believed."""

import signal

import h5py
import numpy as np
import pytest

from compute.errors import BystanderError, InputError
from compute.importers.chong import import_chong
from tests.compute.importers.test_chong import cells, one_hot, write

ALL, SOME = 300, 40
SECONDS = 60
"""After which an import is taken to hang; one takes a tenth of a second."""


class HangsError(BaseException):
    """An import that did not end."""


def stop(*_):
    raise HangsError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file of two data sets, one of them compressed; its bytes, and which are no pixels."""
    path = tmp_path_factory.mktemp("chong") / "whole.h5"
    index = one_hot([0, 2, 3, 0, 2, 3])
    write(path, [(cells(6), index), (cells(6, 1), index)])
    with h5py.File(path, "a") as file:
        del file["data2"]
        file.create_dataset("data2", data=cells(6, 1), chunks=(2, 8192), compression="gzip")
        first = file["data1"]
        start, size = first.id.get_offset(), first.id.get_storage_size()
    content = path.read_bytes()
    return content, [*range(start), *range(start + size, min(len(content), start + size + 20_000))]


def damaged(content, places, rng):
    """Change some bytes that are no pixels, cut the file off, or make some bytes all ones."""
    changed = bytearray(content)
    kind = rng.integers(10)
    if kind == 0:
        return bytes(changed[: rng.integers(1, len(changed))])
    for _ in range(rng.integers(1, 6)):
        at = places[rng.integers(len(places))]
        if kind < 3:
            changed[at : at + 4] = b"\xff" * len(changed[at : at + 4])
        else:
            changed[at] ^= rng.integers(1, 256)
    return bytes(changed)


def try_one(number, whole, folder):
    path = folder / "a.h5"
    path.write_bytes(damaged(*whole, np.random.default_rng([21, number])))
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        report = import_chong(path, folder / "store")
    except BystanderError:
        return
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert report.found == report.stored + report.rejected <= 12


@pytest.mark.parametrize("number", range(SOME))
def test_some_damaged_files(number, whole, tmp_path):
    try_one(number, whole, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("number", range(SOME, ALL))
def test_the_other_damaged_files(number, whole, tmp_path):
    try_one(number, whole, tmp_path)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("name", ["data1", "Index1", "Index1_columns"])
def test_no_claim_of_a_billion_rows_is_believed(tmp_path, name, compression):
    path = write(tmp_path / "a.h5", [(cells(4), one_hot([0, 2, 0, 2]))])
    with h5py.File(path, "a") as file:
        shape, kind = file[name].shape, file[name].dtype
        del file[name]
        chunks = (1, *shape[1:])
        file.create_dataset(name, (10**9, *shape[1:]), kind, chunks=chunks, compression=compression)
    with pytest.raises(InputError, match=f"{name} claims"):
        import_chong(path, tmp_path / "store")
