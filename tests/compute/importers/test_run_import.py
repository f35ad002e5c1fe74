"""Imports in chunks: any number of processes, interruptions, changes, duplicates."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import BusyError, BystanderError, ChangedError, UsageError
from compute.importers import chunks as reading
from compute.importers import run_import as importing
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.duplicates import DigestSet
from compute.importers.part_builder import Crop
from compute.importers.run_import import Listing, in_chunks, run_import
from compute.importers.tiff import CropRejected
from compute.storage.locks import lock
from compute.store.part import StoreFormat
from compute.store.reader import CropStore

SIZE = 32
FORM = StoreFormat(("GFP",), SIZE, "uint16")
MASK = np.zeros((SIZE, SIZE), bool)
MASK[11:21, 11:21] = True


class Source:
    """Cells of six proteins in memory, three fields each; some cannot be taken, some come twice."""

    def __init__(self, cells=60, chunk=7, repeats=(), bad=(), kill=None):
        self.cells, self.chunk, self.repeats, self.bad = cells, chunk, dict(repeats), set(bad)
        self.kill = kill
        self.options = {"files": "abc"}

    def read(self, items, builder):
        for number in items:
            if number == self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            builder.part.found += 1
            same = self.repeats.get(number, number)
            image = np.random.default_rng(same).integers(0, 999, (1, SIZE, SIZE))
            image = (image + 900 * MASK).astype("uint16")
            protein = f"P{number * 6 // self.cells}"
            try:
                if number in self.bad:
                    raise CropRejected("bad")
                field = f"{protein}-{number * 18 // self.cells}"
                builder.add(Crop(image, protein, field, mask=MASK, labels=["ER"]))
            except CropRejected as rejected:
                builder.part.reject(rejected.reason, str(number))
                continue
            builder.part.counts["taken"] += 1

    def chunks(self):
        for start in range(0, self.cells, self.chunk):
            stop = min(start + self.chunk, self.cells)
            yield Chunk(list(range(start, stop)), stop)

    def run(self, out, **options):
        listing = Listing(
            self.chunks, "cells", self.cells, self.options, ["a note"],
            lambda counts: [f"{counts['taken']} taken"],
        )  # fmt: skip
        return run_import(out, ImportSpec("test", FORM, self, None), listing, **options)


@pytest.fixture(autouse=True)
def _commit_often(monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 1)
    monkeypatch.setattr(importing, "COMMIT", 10)
    monkeypatch.setattr(reading, "READ_FIRST", 1)


def content(folder):
    """Every file of a store, as bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupted(after):
    """Make a progress function that interrupts the import after so many chunks."""
    left = [after]

    def progress(stage, done, total):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    return progress


def test_the_store_does_not_depend_on_the_number_of_processes(tmp_path):
    source = Source(bad=[3, 11, 50], repeats={41: 2, 42: 40})
    one = source.run(tmp_path / "one", jobs=1, train_share=0.5)
    assert (one.found, one.stored, one.rejected) == (60, 55, 5)
    assert one.notes == ("a note", "55 taken")
    source.run(tmp_path / "three", jobs=3, train_share=0.5)
    assert content(tmp_path / "three") == content(tmp_path / "one")
    store = CropStore(tmp_path / "one")
    store.check()
    assert list(store.cells["cell"]) == list(range(55))
    assert list(store.windows["window"]) == list(range(len(store.windows)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "three"]


@pytest.mark.parametrize("after", range(9))
def test_an_interrupted_import_goes_on_and_ends_in_the_same_store(tmp_path, after, monkeypatch):
    source = Source(bad=[3, 30], repeats={55: 2, 20: 19})
    source.run(tmp_path / "whole", jobs=1, train_share=0.5)
    with pytest.raises(KeyboardInterrupt):
        source.run(tmp_path / "store", jobs=1, train_share=0.5, progress=interrupted(after))
    assert not (tmp_path / "store").exists()
    read: list[int] = []
    before = reading.read_chunk
    for module in (reading, importing):
        monkeypatch.setattr(module, "read_chunk", lambda *given: read.append(1) or before(*given))
    report = source.run(tmp_path / "store", jobs=1, train_share=0.5)
    assert (report.found, report.stored) == (60, 56)
    assert content(tmp_path / "store") == content(tmp_path / "whole")
    # Every second chunk of seven is committed; a chunk with a repeat of another is read twice.
    kept = after // 2 * 2
    assert len(read) == 9 - kept + (kept <= 7)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "whole"]


def test_twice_interrupted_and_overwriting(tmp_path):
    source = Source()
    Source(cells=30).run(tmp_path / "store", jobs=1)
    old = content(tmp_path / "store")
    for after in (3, 2):
        with pytest.raises(KeyboardInterrupt):
            source.run(tmp_path / "store", jobs=1, overwrite=True, progress=interrupted(after))
        assert content(tmp_path / "store") == old
    with pytest.raises(UsageError, match="exists already"):
        source.run(tmp_path / "store", jobs=1)
    source.run(tmp_path / "store", jobs=1, overwrite=True)
    source.run(tmp_path / "whole", jobs=1)
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_what_changed_is_named_and_fresh_begins_anew(tmp_path):
    source = Source()
    with pytest.raises(KeyboardInterrupt):
        source.run(tmp_path / "store", jobs=1, progress=interrupted(4))
    source.options = {"files": "abd"}
    with pytest.raises(ChangedError, match=r"begun otherwise: files.*abc.*abd.*--fresh"):
        source.run(tmp_path / "store", jobs=1)
    with pytest.raises(ChangedError, match="train_share"):
        source.run(tmp_path / "store", jobs=1, train_share=0.5)
    source.cells = 20
    assert source.run(tmp_path / "store", jobs=1, fresh=True).stored == 20


def test_two_at_once_are_refused(tmp_path):
    with lock(tmp_path / ".store.import", "store"), pytest.raises(BusyError, match="being written"):
        Source().run(tmp_path / "store", jobs=1)


def test_bad_numbers_of_processes(tmp_path):
    with pytest.raises(UsageError, match="jobs = 0"):
        Source().run(tmp_path / "store", jobs=0)


def test_repeats_are_found_across_chunks_and_make_no_windows(tmp_path):
    """The whole second half repeats the first: no cell and no window of it is left."""
    source = Source(repeats={30 + i: i for i in range(30)})
    report = source.run(tmp_path / "store", jobs=1)
    assert report.stored == 30
    assert report.rejections[0]["count"] == 30
    store = CropStore(tmp_path / "store")
    assert set(store.cells["protein"]) == set(store.windows["protein"]) == {"P0", "P1", "P2"}


@pytest.mark.long
def test_a_killed_reader_is_reported_and_the_import_goes_on(tmp_path):
    source = Source(kill=50)
    with pytest.raises(BystanderError, match=r"ended from outside.*--jobs"):
        source.run(tmp_path / "store", jobs=2)
    assert (tmp_path / ".store.import" / "state.json").is_file()
    source.kill = None
    source.run(tmp_path / "store", jobs=2)
    source.run(tmp_path / "whole", jobs=1)
    assert content(tmp_path / "store") == content(tmp_path / "whole")


@given(
    st.lists(st.tuples(st.text("abc", min_size=1, max_size=1), st.integers(1, 9)), max_size=12),
    st.integers(1, 6),
)
def test_chunks_hold_every_item_once_and_cut_no_field_that_fits(runs, most):
    items = [(field, place) for field, length in runs for place in range(length)]
    numbered = list(enumerate(items))
    chunks = list(in_chunks(numbered, most, lambda i: i[1][0], lambda i: i[0] + 1))
    assert [item for chunk in chunks for item in chunk.items] == numbered
    assert all(1 <= len(chunk.items) <= most for chunk in chunks)
    assert [chunk.done for chunk in chunks] == list(np.cumsum([len(c.items) for c in chunks]))
    cut = Counter(
        run
        for chunk in chunks
        for run in {number for number, _ in _runs(numbered) if _touches(chunk, number, numbered)}
    )
    for number, length in _runs(numbered):
        assert cut[number] == -(-length // most)


def _runs(numbered):
    """Number and length of every run of one field."""
    lengths = [len(list(same)) for _, same in groupby(numbered, lambda i: i[1][0])]
    return list(enumerate(lengths))


def _touches(chunk, number, numbered):
    start = sum(length for n, length in _runs(numbered) if n < number)
    stop = start + dict(_runs(numbered))[number]
    return any(start <= place < stop for place, _ in chunk.items)


@given(st.lists(st.lists(st.integers(0, 60), unique=True), max_size=12))
def test_digests_are_known_as_in_a_plain_set(pieces):
    found, plain = DigestSet(), set()
    for piece in pieces:
        values = np.array(piece, np.uint64) << np.uint64(58)
        known = found.known(values)
        assert known.tolist() == [value in plain for value in values.tolist()]
        found.add(values[~known])
        plain |= set(values.tolist())
        assert len(found) == len(plain)


def write_source(folder, proteins=5, cells=40):
    """Crops in PIFiA's layout."""
    import tifffile

    masks = np.where(MASK, 255, 0).astype(np.uint8)
    for p in range(proteins):
        (folder / f"ABC{p}").mkdir(parents=True)
        for n in range(cells):
            rng = np.random.default_rng(zlib.crc32(f"{p} {n}".encode()))
            image = (rng.integers(0, 999, (SIZE, SIZE)) + 900 * MASK).astype(np.uint16)
            tifffile.imwrite(folder / f"ABC{p}" / f"ABC{p}_ch1_{n}.tiff", image)
            tifffile.imwrite(folder / f"ABC{p}" / f"ABC{p}_mask_{n}.tiff", masks)
    return folder


def start(source, out):
    """Import in a process of its own, with two readers, committing often."""
    code = (
        "from compute.importers import chunks as r, run_import as i\n"
        "i.CHUNK, i.COMMIT, r.READ_FIRST = 8, 1, 1\n"
        "from compute.cli.main import main\n"
        "if __name__ == '__main__': main()"
    )
    command = [sys.executable, "-c", code, "import", "pifia", str(source), str(out), "--jobs", "2"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def group_is_gone(group, seconds=20):
    """Wait until no process of a group is left."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.long
def test_an_import_killed_at_random_moments_ends_in_the_same_store(tmp_path):
    source = write_source(tmp_path / "source")
    whole = start(source, tmp_path / "whole")
    began = time.monotonic()
    assert whole.wait(120) == 0, whole.stderr.read().decode()
    lasted = time.monotonic() - began
    moments, kept = random.Random(5), 0
    for _ in range(10):
        process = start(source, tmp_path / "store")
        try:
            process.wait(moments.uniform(0.4, 0.95) * lasted)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            # The readers end with the process that started them.
            assert group_is_gone(process.pid)
        kept += (tmp_path / ".store.import" / "state.json").is_file()
        if (tmp_path / "store").exists():
            if kept:
                break
            # The machine has become faster since the whole import was timed.
            shutil.rmtree(tmp_path / "store")
            lasted *= 0.7
    if not (tmp_path / "store").exists():
        assert start(source, tmp_path / "store").wait(120) == 0
        assert not (tmp_path / ".store.import").exists()
    assert kept, "no kill left anything to resume"
    assert content(tmp_path / "store") == content(tmp_path / "whole")
