"""Checksums notice every way in which a file can differ from what was written."""

import os
import subprocess

import pytest

from compute.errors import InputError
from compute.storage.atomic_files import checksum_of, sha256, write_table
from compute.storage.checksums import (
    ALTERED,
    FINE,
    MISSING,
    UNRECORDED,
    drop_altered,
    forget,
    gather,
    read_manifest,
    verify,
)
from compute.storage.paths import MANIFEST, RUN_FILE, checksum_file
from tests.compute.storage.test_atomic_files import some


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_the_end(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 4
    path.write_bytes(data)


def replace(path):
    other = path.with_name("part-00001.parquet")
    path.write_bytes(other.read_bytes())


def empty(path):
    path.write_bytes(b"")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / RUN_FILE).write_text("{}")
    for number in range(5):
        write_table(tmp_path / f"part-{number:05d}.parquet", some(200, number))
    return tmp_path


def parts(folder):
    return sorted(folder.glob("part-*.parquet"))


@pytest.mark.parametrize("damage", [truncate, flip, flip_the_end, replace, empty])
def test_damage_is_noticed_and_dropped_and_nothing_else_is(folder, damage):
    victim = parts(folder)[3]
    damage(victim)
    bad = drop_altered(parts(folder))
    assert [(v.path, v.problem) for v in bad] == [(victim, ALTERED)]
    assert not victim.exists()
    assert not checksum_file(victim).exists()
    assert len(parts(folder)) == 4
    assert drop_altered(parts(folder)) == []


def test_a_file_without_a_checksum_is_dropped(folder):
    victim = parts(folder)[0]
    checksum_file(victim).unlink()
    assert [v.problem for v in drop_altered(parts(folder))] == [UNRECORDED]
    assert not victim.exists()


def test_a_checksum_that_is_not_text_is_none(folder):
    checksum_file(parts(folder)[0]).write_bytes(b"\xff\xfe")
    assert checksum_of(parts(folder)[0]) is None


def test_verdicts_come_in_order(folder):
    files = [(path, checksum_of(path)) for path in parts(folder)]
    truncate(files[1][0])
    files[4][0].unlink()
    told = [v.problem for v in verify(files)]
    assert told == [FINE, ALTERED, FINE, FINE, MISSING]


def test_gathered_checksums_are_those_of_writing_and_sha256sum_reads_them(folder):
    written = {path: sha256(path) for path in parts(folder)}
    digest = gather(folder, parts(folder))
    flip(parts(folder)[2])
    forget(parts(folder))
    assert {item.name for item in folder.iterdir()} == {
        RUN_FILE, MANIFEST, *(path.name for path in written)
    }  # fmt: skip
    assert dict(read_manifest(folder, digest)) == written
    command = ["sha256sum", "--check", "--quiet", MANIFEST]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stdout.splitlines() == ["part-00002.parquet: FAILED"]


def test_a_list_of_checksums_that_is_missing_or_altered_is_refused(folder):
    digest = gather(folder, parts(folder))
    flip(folder / MANIFEST)
    with pytest.raises(InputError, match=r"checksums\.sha256 was altered"):
        read_manifest(folder, digest)
    (folder / MANIFEST).unlink()
    with pytest.raises(InputError, match=r"checksums\.sha256 is missing"):
        read_manifest(folder, digest)
