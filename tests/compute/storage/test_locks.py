"""A lock names its process and goes with it; one without a process is stale."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from compute.errors import BusyError, BystanderError
from compute.storage import locks
from compute.storage.locks import (
    LOCK_FILE,
    OWNER_FILE,
    describe_process,
    has_ended,
    lock,
    one_at_a_time,
    process_start,
)

HOLD = """
    import sys, pathlib
    from compute.storage.locks import lock
    with lock(pathlib.Path(sys.argv[1]), "run"):
        print("held", flush=True)
        sys.stdin.read()
"""


def hold(folder):
    """Start a process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_held_by_another_process_is_busy_and_names_it(tmp_path):
    process = hold(tmp_path / "run")
    try:
        with pytest.raises(BusyError) as caught, lock(tmp_path / "run", "run"):
            pass
        assert f"process {process.pid} on" in caught.value.problem
        assert str(tmp_path / "run") in caught.value.problem
        assert "Wait until it has ended" in caught.value.remedy
    finally:
        process.communicate("")
    with lock(tmp_path / "run", "run"):
        pass


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path):
    process = hold(tmp_path)
    process.kill()
    process.communicate()
    assert f"process {process.pid}" in (tmp_path / ".lock").read_text(), "it left its name"
    with lock(tmp_path, "run"):
        assert (tmp_path / ".lock").read_text().strip().startswith(f"process {os.getpid()} on")
    assert (tmp_path / ".lock").read_text() == ""


def test_a_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="inside"), lock(tmp_path, "run"):
        raise ValueError("inside")
    with lock(tmp_path, "run"):
        pass


def test_a_lock_below_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BystanderError, match="file"), lock(tmp_path / "file" / "run", "run"):
        pass


# File systems without locks


def refusing(number):
    """Take no lock: the file system has none, or is broken."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture(params=["ENOTSUP", "ENOLCK", "ENOSYS", "EINVAL"])
def no_locks(monkeypatch, request):
    monkeypatch.setattr(locks, "lock_descriptor", refusing(getattr(errno, request.param)))


def ended():
    """Name a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(process.pid)
    process.communicate()
    mine = describe_process().replace(f"process {os.getpid()} ", f"process {process.pid} ")
    return mine.replace(f"(start {process_start(os.getpid())})", f"(start {start})")


def test_without_locks_a_file_names_the_process(tmp_path, no_locks):
    with lock(tmp_path, "run"):
        assert (tmp_path / OWNER_FILE).read_text().startswith(f"process {os.getpid()} on")
        held = f"process {os.getpid()} on"
        with pytest.raises(BusyError, match=held) as caught, lock(tmp_path, "run"):
            pass
        assert str(tmp_path / OWNER_FILE) in caught.value.remedy
    assert [item.name for item in tmp_path.iterdir()] == [LOCK_FILE]
    with lock(tmp_path, "run"):
        pass


def test_without_locks_the_lock_of_a_process_that_ended_is_stale(tmp_path, no_locks):
    (tmp_path / OWNER_FILE).write_text(ended())
    with lock(tmp_path, "run"):
        assert f"process {os.getpid()} on" in (tmp_path / OWNER_FILE).read_text()
    assert [item.name for item in tmp_path.iterdir()] == [LOCK_FILE]


@pytest.mark.parametrize("owner", ["", "somebody", "elsewhere"])
def test_without_locks_an_owner_that_cannot_be_looked_up_counts_as_there(tmp_path, no_locks, owner):
    if owner == "elsewhere":
        host = locks.socket.gethostname()
        owner = ended().replace(f" on {host} ", " on another-machine ")
    (tmp_path / OWNER_FILE).write_text(owner)
    with pytest.raises(BusyError), lock(tmp_path, "run"):
        pass
    assert (tmp_path / OWNER_FILE).read_text() == owner


def test_a_number_that_is_used_again_is_another_process():
    mine = describe_process()
    assert not has_ended(mine)
    assert has_ended(mine.replace("(start ", "(start 9"))
    assert has_ended(ended())


def test_an_owner_that_came_meanwhile_is_put_back(tmp_path):
    path = tmp_path / OWNER_FILE
    path.write_text("the new one")
    locks._remove_stale(path, "the stale one")
    assert path.read_text() == "the new one"
    assert list(tmp_path.iterdir()) == [path]


def test_where_a_start_cannot_be_told_a_process_counts_as_there(tmp_path, monkeypatch):
    """Windows has neither /proc nor ps."""
    monkeypatch.setattr(locks, "process_start", lambda pid: None)
    assert describe_process().endswith("(start None)")
    assert not has_ended(describe_process())


def test_without_proc_the_start_comes_from_ps(monkeypatch):
    """On macOS; the time zone and language of the asking process make no difference."""
    if shutil.which("ps") is None:
        pytest.skip("there is no ps here")
    monkeypatch.setattr(locks.Path, "is_file", lambda path: False)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = process_start(os.getpid())
    monkeypatch.setenv("TZ", "America/New_York")
    assert before
    assert process_start(os.getpid()) == before
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert process_start(process.pid) == ""


def test_another_error_of_the_file_system_is_not_taken_for_a_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "lock_descriptor", refusing(errno.EIO))
    said = "Input/output error"
    with pytest.raises(BystanderError, match=said) as caught, lock(tmp_path, "run"):
        pass
    assert not isinstance(caught.value, BusyError)
    with pytest.raises(BystanderError, match=said), one_at_a_time(tmp_path):
        pass


# One at a time


WAIT = """
    import sys, pathlib
    from compute.storage.locks import one_at_a_time
    print("waiting", flush=True)
    with one_at_a_time(pathlib.Path(sys.argv[1])):
        print("inside", flush=True)
"""


def test_a_second_process_waits_for_the_first(tmp_path):
    with one_at_a_time(tmp_path / "cache"):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WAIT), str(tmp_path / "cache")],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout.readline() == "waiting\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    assert process.communicate(timeout=60)[0] == "inside\n"


def test_without_locks_nobody_waits(tmp_path, no_locks):
    with one_at_a_time(tmp_path), one_at_a_time(tmp_path):
        pass
