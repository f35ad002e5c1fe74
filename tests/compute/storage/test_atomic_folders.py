"""Folders take their place whole, replace nothing of anybody else's, and leave nothing behind."""

import subprocess
import sys
import threading
import time

import pytest

from compute.errors import DiskError, UsageError
from compute.storage.atomic_folders import remove_left, take_place
from compute.storage.locks import lock


def made(tmp_path, name="made"):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "new").write_text("new")
    return folder


def allow():
    """Refuse nothing."""


def test_a_folder_takes_its_place(tmp_path):
    take_place(made(tmp_path), tmp_path / "out", allow)
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_an_earlier_one_is_replaced_and_nothing_is_left_of_it(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    take_place(made(tmp_path), tmp_path / "out", allow)
    assert [item.name for item in tmp_path.rglob("*")] == ["out", "new"]


def test_what_may_not_be_replaced_stays(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")

    def refuse():
        raise UsageError("It is mine.")

    with pytest.raises(UsageError, match="mine"):
        take_place(made(tmp_path), tmp_path / "out", refuse)
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    assert (tmp_path / "made" / "new").is_file()


def test_of_two_at_once_one_is_refused_and_the_other_whole(tmp_path):
    """Both see that nothing is there; the path holds one of them, not both, and not neither."""
    ready, told = threading.Barrier(2), []

    def place(name):
        folder = made(tmp_path, name)
        (folder / name).write_text("")
        try:
            take_place(folder, tmp_path / "out", lambda: ready.wait(10) and None)
        except UsageError as error:
            told.append(str(error))

    threads = [threading.Thread(target=place, args=(name,)) for name in ("a", "b")]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert ["exists already" in each for each in told] == [True]
    assert {item.name for item in (tmp_path / "out").iterdir()} in ({"a", "new"}, {"b", "new"})
    assert {item.name for item in tmp_path.iterdir()} in ({"out", "a"}, {"out", "b"})


def test_an_earlier_one_comes_back_where_the_new_one_cannot_be_moved(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(DiskError):
        take_place(tmp_path / "nowhere", tmp_path / "out", allow)
    assert [item.name for item in tmp_path.rglob("*")] == ["out", "old"]


def test_an_earlier_one_that_was_moved_aside_stays_until_there_is_another(tmp_path):
    made(tmp_path, ".out.1-old.tmp")
    remove_left(tmp_path / "out", "store", tmp_path / "none")
    assert (tmp_path / ".out.1-old.tmp" / "new").is_file()
    made(tmp_path, "out")
    remove_left(tmp_path / "out", "store", tmp_path / "none")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_only_what_nobody_holds_is_removed(tmp_path):
    for name in (
        ".out.1.tmp",
        ".out.2.tmp",
        ".out.3.tmp",
        ".other.1.tmp",
        ".out.import",
        ".out.more.1.tmp",
    ):
        made(tmp_path, name)
    (tmp_path / ".out.4.tmp").write_text("a file")
    code = (
        "import sys, pathlib, time\n"
        "from compute.storage.locks import lock\n"
        "with lock(pathlib.Path(sys.argv[1]), 'store'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    held = [sys.executable, "-P", "-c", code, str(tmp_path / ".out.2.tmp")]
    with subprocess.Popen(held, stdout=subprocess.PIPE, text=True) as living:
        try:
            assert living.stdout is not None
            assert living.stdout.readline() == "held\n"
            remove_left(tmp_path / "out", "store", tmp_path / ".out.3.tmp")
            stays = {".out.2.tmp", ".out.3.tmp", ".out.4.tmp", ".other.1.tmp", ".out.import"}
            stays |= {".out.more.1.tmp"}
            assert {item.name for item in tmp_path.iterdir()} == stays
        finally:
            living.kill()
    deadline = time.monotonic() + 10
    while (tmp_path / ".out.2.tmp").exists() and time.monotonic() < deadline:
        remove_left(tmp_path / "out", "store", tmp_path / ".out.3.tmp")
    assert not (tmp_path / ".out.2.tmp").exists()


def test_a_name_with_brackets_is_a_name(tmp_path):
    made(tmp_path, ".a[1].7.tmp")
    made(tmp_path, ".a1.7.tmp")
    remove_left(tmp_path / "a[1]", "store", tmp_path / "none")
    assert [item.name for item in tmp_path.iterdir()] == [".a1.7.tmp"]


def test_a_lock_of_this_process_counts_too(tmp_path):
    with lock(made(tmp_path, ".out.1.tmp"), "store"):
        remove_left(tmp_path / "out", "store", tmp_path / "none")
        assert (tmp_path / ".out.1.tmp" / "new").is_file()
