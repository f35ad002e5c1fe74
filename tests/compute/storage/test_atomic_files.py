"""Files appear whole or not at all; a full disk and a busy folder are said in words."""

import errno
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute.errors import BystanderError, InputError
from compute.storage import atomic_files
from compute.storage.atomic_files import (
    checksum_of,
    fingerprint,
    remove_leftovers,
    sha256,
    write_json,
    write_stream,
    write_table,
    writing,
)
from compute.storage.paths import RUN_FILE, checksum_file

SCHEMA = pa.schema([("number", pa.int64()), ("name", pa.string())])


def some(rows, start=0):
    numbers = np.arange(start, start + rows)
    return pa.table({"number": numbers, "name": [f"n{n % 7}" for n in numbers]}, schema=SCHEMA)


def cut_into(table, sizes):
    start = 0
    for size in sizes:
        yield table.slice(start, size)
        start += size
    yield table.slice(start)


# Whole or not at all


def test_a_file_appears_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "deep" / "file"
    with writing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename is atomic within one folder only"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, "old"])
def test_a_failure_while_writing_leaves_nothing_and_keeps_the_old_file(tmp_path, old):
    path = tmp_path / "file"
    if old:
        path.write_text(old)

    def fail():
        with writing(path) as temporary:
            temporary.write_text("half of it")
            raise ValueError("the sky fell")

    with pytest.raises(ValueError, match="the sky fell"):
        fail()
    assert [item.name for item in tmp_path.iterdir()] == (["file"] if old else [])
    assert not old or path.read_text() == old


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file_and_what_to_do(tmp_path, monkeypatch, call, code):
    path = tmp_path / "table.parquet"
    path.write_text("old")

    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic_files.os, call, full)
    with pytest.raises(BystanderError) as caught:
        write_table(path, some(10))
    assert str(path) in caught.value.problem
    assert "disk is full" in caught.value.problem
    assert "run the same command again" in caught.value.remedy
    assert [item.name for item in tmp_path.iterdir()] == ["table.parquet"]
    assert path.read_text() == "old"


def test_arrows_own_error_for_a_full_disk_is_recognised(tmp_path, monkeypatch):
    def full(*_args, **_more):
        raise pa.lib.ArrowIOError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr(atomic_files.pq, "write_table", full)
    with pytest.raises(BystanderError, match="disk is full"):
        write_table(tmp_path / "t.parquet", some(3))


def test_a_really_full_device_is_said_so():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space") as caught:
        atomic_files.Path("/dev/full").write_text("x")
    error = atomic_files.disk_error(caught.value, atomic_files.Path("run/file"))
    assert "disk is full" in str(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said_in_words(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(BystanderError, match=r"cannot be written.*Choose a folder"):
        write_json(closed / "deep" / "run.json", {})


def test_a_file_where_a_folder_should_be_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BystanderError, match=r"run\.json"):
        write_json(tmp_path / "file" / "run.json", {})


def test_no_permission_is_said_in_words(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(atomic_files.os, "replace", refuse)
    with pytest.raises(BystanderError, match=r"run\.json cannot be written.*Choose a folder"):
        write_json(tmp_path / "run.json", {})


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.parquet.123.tmp", "deep/.b.json.9.tmp", "a.parquet", "notes.tmp", ".lock"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"a.parquet", "notes.tmp", ".lock"}


def test_what_a_killed_writer_leaves_is_recognised_as_such(tmp_path):
    with writing(tmp_path / "table.parquet") as temporary:
        temporary.write_text("half")
        remove_leftovers(tmp_path)
        assert not temporary.exists()
        temporary.write_text("whole")
    assert (tmp_path / "table.parquet").read_text() == "whole"


# Tables


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 25, 60])
def test_a_stream_does_not_depend_on_how_its_rows_were_cut(tmp_path, rows):
    table, rng = some(rows), np.random.default_rng(rows)
    written = []
    for number in range(6):
        sizes = [[], [rows], [1] * rows, *[rng.integers(0, 30, 5).tolist()] * 3][number]
        path = tmp_path / f"{number}.parquet"
        write_stream(path, cut_into(table, sizes), SCHEMA, row_group=10)
        written.append(path.read_bytes())
    assert len(set(written)) == 1
    assert pq.read_table(path).equals(table)
    meta = pq.ParquetFile(path).metadata
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    expected = [10] * (rows // 10) + ([rows % 10] if rows % 10 else [])
    assert groups == expected


def test_an_empty_stream_is_a_table_without_rows(tmp_path):
    write_stream(tmp_path / "t.parquet", iter(()), SCHEMA)
    assert pq.read_table(tmp_path / "t.parquet").equals(SCHEMA.empty_table())


def test_a_stream_that_fails_leaves_nothing(tmp_path):
    def broken():
        yield some(15)
        raise InputError("row 16 is bad")

    with pytest.raises(InputError, match="row 16"):
        write_stream(tmp_path / "t.parquet", broken(), SCHEMA, row_group=10)
    assert not list(tmp_path.iterdir())


def test_equal_tables_are_equal_files(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / name, some(100), row_group=30)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    meta = pq.ParquetFile(tmp_path / "a").metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [30, 30, 30, 10]


# JSON


# Fingerprints


def test_a_fingerprint_is_of_the_content_alone():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint({})) == 16


def test_a_large_file_is_hashed_whole(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(b"x" * (1 << 20) + b"a")
    other = tmp_path / "other"
    other.write_bytes(b"x" * (1 << 20) + b"b")
    assert sha256(path) != sha256(other)
    assert sha256(path) == __import__("hashlib").sha256(path.read_bytes()).hexdigest()


# Checksums of a run's tables


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / RUN_FILE).write_text("{}")
    return tmp_path


def test_a_table_of_a_run_has_its_checksum_beside_it(run_folder):
    for write in (
        lambda path: write_table(path, some(20)),
        lambda path: write_stream(path, cut_into(some(20), [7]), SCHEMA),
    ):
        path = run_folder / "work" / "pairwise" / "part.parquet"
        write(path)
        assert checksum_of(path) == sha256(path)
        assert {item.name for item in path.parent.iterdir()} == {
            path.name, checksum_file(path).name
        }  # fmt: skip
        path.unlink()
        checksum_file(path).unlink()


def test_other_tables_have_none(tmp_path):
    write_table(tmp_path / "t.parquet", some(3))
    assert [item.name for item in tmp_path.iterdir()] == ["t.parquet"]
    assert checksum_of(tmp_path / "t.parquet") is None


def test_the_checksum_is_there_before_the_table(run_folder, monkeypatch):
    path, seen, replace = run_folder / "t.parquet", [], os.replace

    def watch(source, target):
        seen.append((os.path.basename(target), path.exists()))
        replace(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", watch)
    write_table(path, some(3))
    assert seen == [(checksum_file(path).name, False), (path.name, False)]


def test_a_table_that_cannot_take_its_place_leaves_no_checksum(run_folder, monkeypatch):
    path, replace = run_folder / "t.parquet", os.replace

    def full(source, target):
        if target == path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", full)
    with pytest.raises(BystanderError, match="disk is full"):
        write_table(path, some(3))
    assert [item.name for item in run_folder.iterdir()] == [RUN_FILE]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with writing(tmp_path / "f") as one, writing(tmp_path / "f") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "f").read_text() == "one"
