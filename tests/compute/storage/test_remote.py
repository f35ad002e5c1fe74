"""Stores and runs behind URLs: copied whole, in order, with patience, by one process at a time."""

import errno
import json
import os
import time
import uuid
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from compute.errors import BusyError, BystanderError, DiskError, InputError, UsageError
from compute.schema import STORE_VERSION
from compute.storage import mirror, remote
from compute.storage.locks import LOCK_FILE, describe_process
from compute.storage.mirror import run_here, store_here
from compute.storage.paths import RUN_FILE
from compute.storage.remote import TRIES, Remote, is_url
from compute.storage.sealed_json import sealed
from compute.store.reader import CropStore
from tests.compute.flaky_storage import Flaky, content, files, put


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(mirror, "EVERY", 0.02)
    Flaky.store.clear()
    Flaky.calls.clear()
    Flaky.failing = 1


@pytest.fixture(params=["memory", "flaky"])
def url(request):
    return f"{request.param}://bucket-{uuid.uuid4().hex}/folder"


def begin(folder: Path, created="today"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(json.dumps({"created": created}))


def wait_for(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_places_are_told_apart():
    assert is_url("s3://bucket/store")
    assert not is_url("/data/store")
    assert not is_url("store")


def test_a_store_is_copied_once_and_is_the_same(store, url, tmp_path):
    put(url, store)
    here = store_here(url, tmp_path)
    assert files(here) == {n: b for n, b in files(store).items() if n in files(here)}
    assert CropStore(here).fingerprint == CropStore(store).fingerprint
    CropStore(here).check()
    before = {path: path.stat().st_mtime_ns for path in here.rglob("crops-*")}
    assert store_here(url, tmp_path) == here
    assert {path: path.stat().st_mtime_ns for path in here.rglob("crops-*")} == before


def test_a_store_that_was_altered_there_is_refused_and_named(store, tmp_path):
    url = f"memory://bucket-{uuid.uuid4().hex}/store"
    put(url, store)
    there, name = Remote(url), "crops-00000.parquet"
    there.write(name, there.read(name)[:-100])
    for _ in range(2):
        with pytest.raises(InputError, match=r"crops-00000\.parquet was altered or cut short"):
            store_here(url, tmp_path)
    there.remove(name)
    with pytest.raises(InputError, match=r"crops-00000\.parquet is missing"):
        store_here(url, tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_store_may_not_name_files_outside_itself(tmp_path):
    url = f"memory://bucket-{uuid.uuid4().hex}/store"
    evil = {"schema_version": STORE_VERSION, "fingerprint": "f"}
    files = [{"file": "../../evil", "sha256": "0"}]
    Remote(url).write("store.json", sealed({**evil, "files": files}))
    with pytest.raises(InputError, match="outside the store"):
        store_here(url, tmp_path)


@pytest.mark.parametrize("raw", [None, b"not json", b"[]"])
def test_what_is_no_store_is_refused(raw, tmp_path):
    url = f"memory://bucket-{uuid.uuid4().hex}/store"
    if raw is not None:
        Remote(url).write("store.json", raw)
    with pytest.raises(InputError, match=r"store\.json"):
        store_here(url, tmp_path)


def test_finished_files_are_copied_while_the_run_goes_on(url, tmp_path):
    with run_here(url, tmp_path) as folder:
        begin(folder)
        (folder / "trials").mkdir()
        (folder / "trials" / "part-00000.parquet").write_bytes(b"shard")
        (folder / "trials" / ".part-00001.parquet.7-ab.tmp").write_bytes(b"half")
        (folder / "work" / "pixels").mkdir(parents=True)
        (folder / "work" / "pixels" / "images.npy").write_bytes(b"pixels")
        wait_for(lambda: "trials/part-00000.parquet" in content(url))
        assert LOCK_FILE in content(url)
    assert content(url) == {
        RUN_FILE: (folder / RUN_FILE).read_bytes(), "trials/part-00000.parquet": b"shard"
    }  # fmt: skip


def test_another_machine_goes_on_with_what_is_there(url, tmp_path):
    with run_here(url, tmp_path / "one") as folder:
        begin(folder)
        (folder / "a.parquet").write_bytes(b"a")
        (folder / ".a.parquet.sha256").write_bytes(b"sum")
    with run_here(url, tmp_path / "other") as folder:
        assert {"a.parquet", ".a.parquet.sha256", RUN_FILE} == set(files(folder))
        (folder / "a.parquet").write_bytes(b"A")  # made again: as long, another content
        (folder / ".a.parquet.sha256").unlink()
        (folder / "b.parquet").write_bytes(b"b")
    assert set(content(url)) == {"a.parquet", "b.parquet", RUN_FILE}
    assert content(url)["a.parquet"] == b"A"


def test_what_was_finished_here_and_not_copied_is_kept(url, tmp_path):
    with run_here(url, tmp_path) as folder:
        begin(folder)
    (folder / "late.parquet").write_bytes(b"late")
    with run_here(url, tmp_path) as folder:
        assert (folder / "late.parquet").is_file()
    assert content(url)["late.parquet"] == b"late"


def test_the_run_that_is_there_counts_if_it_is_another(url, tmp_path):
    with run_here(url, tmp_path / "one") as folder:
        begin(folder, "yesterday")
        (folder / "old.parquet").write_bytes(b"old")
    with run_here(url, tmp_path / "other", fresh=True) as folder:
        assert files(folder) == {}
        begin(folder, "today")
    assert set(content(url)) == {RUN_FILE}
    with run_here(url, tmp_path / "one") as folder:
        assert set(files(folder)) == {RUN_FILE}


def test_a_run_that_is_being_written_is_busy(url, tmp_path):
    held = f"process {os.getpid()} on"
    with (
        run_here(url, tmp_path),
        pytest.raises(BusyError, match=held),
        run_here(url, tmp_path / "other"),
    ):
        pass
    with run_here(url, tmp_path):
        pass


@pytest.mark.parametrize(
    ("owner", "age", "stale"),
    [("elsewhere", 5, False), ("elsewhere", 5000, True), ("ended", 5, True), ("garbage", 0, True)],
)
def test_a_stale_lock_is_recognised(url, tmp_path, owner, age, stale):
    mine = describe_process()
    words = {
        "elsewhere": mine.replace(" on ", " on another-").replace("(start ", "(start 1"),
        "ended": mine.replace("(start ", "(start 9"),
    }
    text = json.dumps({"owner": words.get(owner), "beat": time.time() - age})
    Remote(url).write(LOCK_FILE, text.encode() if owner in words else b"garbage")
    if stale:
        with run_here(url, tmp_path):
            pass
        assert LOCK_FILE not in content(url)
    else:
        with pytest.raises(BusyError, match="another-"), run_here(url, tmp_path):
            pass


def test_a_remote_that_keeps_failing_is_named_and_what_is_here_is_kept(tmp_path):
    url = "flaky://bucket/run"

    def make():
        with run_here(url, tmp_path) as folder:
            begin(folder)
            Flaky.calls.clear()
            Flaky.failing = 10**9

    with pytest.raises(BystanderError, match=r"flaky://bucket/run.*slow down.*kept here"):
        make()
    assert Flaky.calls.count("put_file") <= 20 * TRIES
    Flaky.failing = 0
    Remote(url).remove(LOCK_FILE)  # names this process, which would have ended
    with run_here(url, tmp_path) as folder:
        assert (folder / RUN_FILE).is_file()
    assert RUN_FILE in content(url)


def test_what_went_wrong_first_is_told(tmp_path):
    def make():
        with run_here("flaky://bucket/run", tmp_path) as folder:
            begin(folder)
            Flaky.failing = 10**9
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make()


def test_no_permission_is_not_tried_again(tmp_path, monkeypatch):
    def refuse(self, *args, **more):
        Flaky.calls.append("refused")
        raise PermissionError("forbidden")

    monkeypatch.setattr(Flaky, "cat_file", refuse)
    with pytest.raises(BystanderError, match=r"failed 1 time.*forbidden"):
        store_here("flaky://bucket/store", tmp_path)


def test_a_run_that_another_has_taken_over_is_left_to_it(url, tmp_path, monkeypatch):
    """This process was out of reach for so long that its lock was stale."""
    monkeypatch.setattr(mirror, "BEAT", 0.01)
    other = describe_process().replace(" on ", " on another-")
    taken = json.dumps({"owner": other, "beat": time.time()}).encode()

    def make():
        with run_here(url, tmp_path) as folder:
            begin(folder)
            wait_for(lambda: RUN_FILE in content(url))
            Remote(url).write(LOCK_FILE, taken)
            time.sleep(0.1)  # a copy that was under way when the lock was taken
            before.update(content(url))
            (folder / "late.parquet").write_bytes(b"late")
            time.sleep(0.2)

    before: dict = {}
    with pytest.raises(BusyError, match=r"taken over by process \d+ on another-.*kept here"):
        make()
    assert content(url) == {**before, LOCK_FILE: taken}


def test_a_run_taken_over_in_its_last_moment_is_left_too(url, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "EVERY", 60)
    other = describe_process().replace(" on ", " on another-")
    taken = json.dumps({"owner": other, "beat": time.time()}).encode()

    def make():
        with run_here(url, tmp_path) as folder:
            begin(folder)
            Remote(url).write(LOCK_FILE, taken)

    with pytest.raises(BusyError, match="taken over"):
        make()
    assert content(url) == {LOCK_FILE: taken}


def test_signs_of_life_are_shown_while_a_remote_is_slow(url, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "BEAT", 0.05)
    with run_here(url, tmp_path) as folder:
        begin(folder)
        first = json.loads(Remote(url).read(LOCK_FILE))
        wait_for(lambda: json.loads(Remote(url).read(LOCK_FILE))["beat"] > first["beat"])
        assert json.loads(Remote(url).read(LOCK_FILE))["owner"] == first["owner"]


def test_what_was_finished_elsewhere_counts_more_than_what_is_half_done_here(url, tmp_path):
    with run_here(url, tmp_path / "one") as folder:
        begin(folder)
        (folder / ".a.parquet.sha256").write_bytes(b"sum")
    with run_here(url, tmp_path / "other") as folder:
        (folder / ".a.parquet.sha256").unlink()
        (folder / RUN_FILE).write_text(json.dumps({"created": "today", "status": "complete"}))
        (folder / "a.parquet").write_bytes(b"a")
    with run_here(url, tmp_path / "one") as folder:
        assert set(files(folder)) == {RUN_FILE, "a.parquet"}
        assert json.loads((folder / RUN_FILE).read_text())["status"] == "complete"
    assert len(list((tmp_path / "one" / "runs").iterdir())) == 1


def test_a_copy_that_was_interrupted_is_not_mixed_with_another_run(url, tmp_path, monkeypatch):
    with run_here(url, tmp_path / "one") as folder:
        begin(folder, "yesterday")
        for name in "ab":
            (folder / f"{name}.parquet").write_bytes(b"old")

    pull = Remote.pull

    def cut(self, name, path):
        if name.startswith("b"):
            raise KeyboardInterrupt
        pull(self, name, path)

    with monkeypatch.context() as patched:
        patched.setattr(Remote, "pull", cut)
        with pytest.raises(KeyboardInterrupt), run_here(url, tmp_path / "other"):
            pass
    with run_here(url, tmp_path / "one", fresh=True) as folder:
        begin(folder, "today")
        (folder / "a.parquet").write_bytes(b"new")
        (folder / "b.parquet").unlink()
    with run_here(url, tmp_path / "other") as folder:
        assert {path: raw for path, raw in files(folder).items() if path != RUN_FILE} == {
            "a.parquet": b"new"
        }
    assert len(list((tmp_path / "other" / "runs").iterdir())) == 1


def test_folders_are_made_where_a_kind_of_url_has_them(store, tmp_path):
    url = f"file://{tmp_path}/shared/place"
    put(f"{url}/store", store)
    CropStore(store_here(f"{url}/store", tmp_path / "cache")).check()
    with run_here(f"{url}/run", tmp_path / "cache") as folder:
        begin(folder)
        (folder / "trials").mkdir()
        (folder / "trials" / "part-00000.parquet").write_bytes(b"shard")
    there = tmp_path / "shared" / "place" / "run"
    assert set(files(there)) == {RUN_FILE, "trials/part-00000.parquet"}
    assert not (there / LOCK_FILE).exists()


def test_a_full_disk_here_is_no_failing_remote(store, url, tmp_path, monkeypatch):
    put(url, store)

    def full(self, there, here, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MemoryFileSystem, "get_file", full)
    with pytest.raises(DiskError, match="full"):
        store_here(url, tmp_path)


@pytest.mark.parametrize("url", ["nonsense://bucket/store", "abfs://bucket/store"])
def test_a_kind_of_url_that_cannot_be_read_is_wrong_use(url, tmp_path):
    with pytest.raises(UsageError, match="cannot be used"):
        store_here(url, tmp_path)


@pytest.mark.long
def test_a_run_behind_urls_is_interrupted_goes_on_elsewhere_and_has_the_same_tables(
    store, run, cards, config, tmp_path
):
    """Object storage that fails at first, another machine (another cache) after a failure."""
    from compute.runs.run import run_or_resume

    url, models = f"flaky://bucket-{uuid.uuid4().hex}", [str(card) for card in cards.values()]
    Flaky.failing = 3
    put(f"{url}/store", store)

    def work(cache, stop_at=None):
        def progress(stage, done, total):
            if stage == stop_at and done > 1:
                raise KeyboardInterrupt

        return run_or_resume(
            f"{url}/store", f"{url}/run", models, config, jobs=1, cache=cache, progress=progress
        )

    with pytest.raises(KeyboardInterrupt):
        work(tmp_path / "one", stop_at="probe")
    begun = content(f"{url}/run")
    assert json.loads(begun[RUN_FILE])["status"] == "running"
    assert {"trials/part-00000.parquet", "trials/.part-00000.parquet.sha256"} <= set(begun)
    done, worked = work(tmp_path / "other")
    assert worked
    assert done.complete
    there = content(f"{url}/run")
    expected = {name: raw for name, raw in files(run).items() if name != RUN_FILE}
    assert {name: raw for name, raw in there.items() if name != RUN_FILE} == expected
    assert work(tmp_path / "third")[1] is False


@pytest.mark.parametrize(
    ("error", "told"), [(ConnectionResetError(), 0), (ValueError(), 1), (None, 1)]
)
def test_tasks_that_nobody_waits_for_tell_all_but_broken_connections(error, told):
    class Loop:
        def __init__(self):
            self.contexts = []

        def default_exception_handler(self, context):
            self.contexts.append(context)

    loop = Loop()
    remote._unless_broken(loop, {"exception": error} if error else {"message": "?"})
    assert len(loop.contexts) == told
