"""Stores and runs behind `s3://`, with the real client and a server that speaks the protocol."""

import importlib.util
import json
import os
import time
import uuid
from pathlib import Path

import pytest

from compute.errors import BusyError, BystanderError, InputError
from compute.storage import mirror, remote
from compute.storage.locks import LOCK_FILE, describe_process
from compute.storage.mirror import run_here, store_here
from compute.storage.paths import RUN_FILE
from compute.storage.remote import Remote
from compute.store.reader import CropStore
from tests.compute.flaky_storage import content, files, put
from tests.compute.forked import STAGES, reached, wait_for_stage
from tests.compute.s3_server import S3Server, start

SETTINGS = ["--conditions=unaltered,same,different,conflicting", "--backgrounds=2", "--draws=100",
            "--exchanges=8", "--probes=knn",
            "--folds=2", "--examples=1", "--jobs=1"]  # fmt: skip
PART = 50 * 2**20
"""Bytes of a part, of which files of two or more are made (s3fs)."""


@pytest.fixture(scope="module")
def server():
    for name in ("s3fs", "moto", "flask_cors"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("the extras remote and remote-tests are not installed")
    with pytest.MonkeyPatch.context() as patched:
        running = S3Server()
        for name, value in running.environment.items():
            patched.setenv(name, value)
        yield running
        running.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch, server):
    import s3fs

    monkeypatch.setattr(remote, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(mirror, "EVERY", 0.02)
    s3fs.S3FileSystem.clear_instance_cache()
    server.calls.clear()
    yield
    server.trouble = lambda call, environ: None


@pytest.fixture
def url(server):
    return f"{server.bucket()}/folder"


def begin(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(json.dumps({"created": "today"}))


# Small files and locks


def test_a_store_is_copied_and_what_was_altered_is_named(store, url, tmp_path):
    put(url, store)
    CropStore(store_here(url, tmp_path / "one")).check()
    there, name = Remote(url), "crops-00000.parquet"
    there.write(name, there.read(name)[:-100])
    with pytest.raises(InputError, match=r"crops-00000\.parquet was altered or cut short"):
        store_here(url, tmp_path / "other")
    there.remove(name)
    with pytest.raises(InputError, match=r"crops-00000\.parquet is missing"):
        store_here(url, tmp_path / "other")
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(InputError, match=r"has no store\.json"):
        store_here(f"{url}/elsewhere", tmp_path)


def test_one_process_at_a_time_writes(url, tmp_path):
    with run_here(url, tmp_path / "one") as folder:
        begin(folder)
        with (
            pytest.raises(BusyError, match=f"being written by process {os.getpid()} on"),
            run_here(url, tmp_path / "other"),
        ):
            pass
    assert set(content(url)) == {RUN_FILE}


def test_a_lock_is_kept_also_by_servers_that_do_not_refuse(url, server):
    def forget(call, environ):
        environ.pop("HTTP_IF_NONE_MATCH", None)

    server.trouble = forget
    there = Remote(url)
    assert there.create(LOCK_FILE, b"mine")
    assert not there.create(LOCK_FILE, b"yours")
    assert there.read(LOCK_FILE) == b"mine"


def test_of_two_that_lock_at_once_the_server_refuses_one(url, monkeypatch):
    there = Remote(url)
    assert there.create(LOCK_FILE, b"mine")
    monkeypatch.setattr(Remote, "read", lambda self, name: None)  # looked before the other wrote
    assert not there.create(LOCK_FILE, b"yours")


@pytest.mark.parametrize(("age", "stale"), [(5, False), (5000, True)])
def test_a_lock_of_another_machine_goes_stale(url, tmp_path, age, stale):
    owner = describe_process().replace(" on ", " on another-")
    there = Remote(url)
    there.write(LOCK_FILE, json.dumps({"owner": owner, "beat": time.time() - age}).encode())
    if stale:
        with run_here(url, tmp_path):
            pass
        assert there.sizes() == {}
    else:
        with pytest.raises(BusyError, match="another-"), run_here(url, tmp_path):
            pass


# What a server may refuse


def test_a_missing_bucket_is_named_and_not_made(server, tmp_path):
    import s3fs

    name = f"mistyped-{uuid.uuid4().hex}"
    with (
        pytest.raises(InputError, match=rf"s3://{name}/run cannot be written.*bucket"),
        run_here(f"s3://{name}/run", tmp_path),
    ):
        pass
    assert not s3fs.S3FileSystem().exists(name)


def test_a_bucket_that_goes_missing_is_no_success(url, server, tmp_path):
    import s3fs

    def make():
        with run_here(url, tmp_path) as folder:
            s3fs.S3FileSystem().rm(url.rpartition("/")[0], recursive=True)
            begin(folder)

    with pytest.raises(InputError, match="cannot be written"):
        make()
    assert list(tmp_path.rglob(RUN_FILE))


@pytest.fixture
def people(url, server, monkeypatch):
    """Three sets of credentials, and a server that asks for them."""
    import boto3
    from moto import settings

    iam = boto3.client("iam", region_name="us-east-1")
    found = {"nobody": ("nobody", "nothing")}
    for name, rights in {"all": ["s3:*"], "reader": ["s3:Get*", "s3:List*"]}.items():
        user = f"{name}-{uuid.uuid4().hex}"
        iam.create_user(UserName=user)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        allowed = {"Effect": "Allow", "Action": rights, "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [allowed]}
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
        found[name] = (key["AccessKeyId"], key["SecretAccessKey"])
    found["wrong secret"] = (found["all"][0], "nothing")
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    return found


@pytest.mark.parametrize("name", ["nobody", "wrong secret", "reader", "all"])
def test_credentials_decide(people, name, url, tmp_path, monkeypatch):
    for variable, value in zip(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), people[name], strict=True
    ):
        monkeypatch.setenv(variable, value)
    if name == "all":
        with run_here(url, tmp_path) as folder:
            begin(folder)
        assert set(content(url)) == {RUN_FILE}
        return
    refused = r"failed 1 time.*PermissionError.*Check the credentials"
    with pytest.raises(BystanderError, match=refused), run_here(url, tmp_path):
        pass
    if name != "reader":
        with pytest.raises(BystanderError, match=refused):
            store_here(url, tmp_path)


def test_without_credentials_they_are_asked_for(url, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # else an address of Amazon is asked
    with pytest.raises(BystanderError, match=r"failed 1 time.*redentials.*Check the credentials"):
        store_here(url, tmp_path)


# Large files, in parts


@pytest.mark.long
def test_a_large_file_goes_in_parts_and_comes_back_the_same(url, server, tmp_path, monkeypatch):
    import s3fs

    path, back = tmp_path / "large", tmp_path / "back"
    path.write_bytes(os.urandom(2**20) * (2 * PART // 2**20 + 1))
    failed = []

    def refuse(call, environ):
        if "partNumber=2" in call and len(failed) < 2:
            failed.append(call)
            return "503 Slow Down"
        return None

    server.trouble = refuse
    there = Remote(url)
    there.push(path, "large")
    assert sum("partNumber=3" in call for call in server.calls) == 1 + len(failed)
    assert len(failed) == 2
    assert there.sizes() == {"large": path.stat().st_size}
    there.pull("large", back)
    assert back.read_bytes() == path.read_bytes()

    server.trouble = lambda call, environ: "500 Internal Error" if "partNumber" in call else None
    monkeypatch.setattr(remote, "TRIES", 2)
    with pytest.raises(BystanderError, match="larger failed 2"):
        there.push(path, "larger")
    assert there.sizes() == {"large": path.stat().st_size}
    client = s3fs.S3FileSystem()
    bucket = url.removeprefix("s3://").partition("/")[0]
    assert not client.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads")


# Whole runs by the command line


@pytest.fixture(scope="module")
def arguments(cards):
    def made(store, out, *more):
        return ["run", str(store), "--out", str(out), "--models", str(cards["pifia"]), *SETTINGS,
                *map(str, more)]  # fmt: skip

    return made


@pytest.fixture(scope="module")
def local(arguments, store, tmp_path_factory):
    """The files of a run on this machine's disk."""
    folder = tmp_path_factory.mktemp("local")
    assert finish(start(arguments(store, folder / "run"), folder / "log", {}), folder / "log") == 0
    return tables(files(folder / "run"))


@pytest.fixture
def bucket(server, store):
    found = server.bucket()
    put(f"{found}/store", store)
    return found


def finish(process, log) -> int:
    process.join(240)
    assert "contacted" not in log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()
    return process.exitcode


def tables(found):
    return {name: raw for name, raw in found.items() if name != RUN_FILE}


@pytest.mark.long
def test_a_killed_run_goes_on_elsewhere_with_the_tables_of_a_local_one(
    arguments, local, bucket, server, tmp_path
):
    """And the machine that was killed takes what was finished elsewhere."""
    log, url = tmp_path / "log", f"{bucket}/run"

    def command(cache, *more):
        return arguments(f"{bucket}/store", url, "--cache", tmp_path / cache, *more)

    for stage in ("embed", "probe", "effects"):
        process = start(command("one"), log, server.environment)
        assert wait_for_stage(process, log, stage), log.read_text()
        if stage != "embed":
            time.sleep(0.3)
        process.kill()
        process.join()
        assert LOCK_FILE in Remote(url).sizes()
    begun = content(url)
    assert json.loads(begun[RUN_FILE])["status"] == "running"
    assert {"trials/part-00000.parquet", "trials/.part-00000.parquet.sha256"} <= set(begun)

    for cache in ("other", "one", "third"):
        process = start(command(cache), log, server.environment)
        assert finish(process, log) == 0, log.read_text()
        assert ("embed:" in log.read_text()) == (cache == "other"), "done once only"
        assert tables(content(url)) == local
        (folder,) = (tmp_path / cache / "runs").iterdir()
        assert tables(files(folder)) == local
        assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.long
def test_a_server_that_goes_and_comes_back_stops_nothing(
    arguments, local, bucket, server, tmp_path
):
    log, url = tmp_path / "log", f"{bucket}/run"
    process = start(arguments(f"{bucket}/store", url, "--cache", tmp_path), log, server.environment)
    assert wait_for_stage(process, log, "embed"), log.read_text()
    server.stop()
    try:
        assert wait_for_stage(process, log, "effects"), "it went on meanwhile"
    finally:
        server.start()
    server.trouble = lambda call, environ: None if len(server.calls) % 3 else "503 Slow Down"
    server.calls.clear()
    assert finish(process, log) == 0, log.read_text()
    assert len(server.calls) > 10
    server.trouble = lambda call, environ: None
    assert tables(content(url)) == local


@pytest.mark.long
def test_a_server_that_stays_away_is_said_and_nothing_is_lost(
    arguments, local, bucket, server, tmp_path
):
    log, url = tmp_path / "log", f"{bucket}/run"
    command = arguments(f"{bucket}/store", url, "--cache", tmp_path)
    process = start(command, log, server.environment)
    assert wait_for_stage(process, log, "embed"), log.read_text()
    server.stop()
    try:
        assert finish(process, log) == 1
    finally:
        server.start()
    said = " ".join(log.read_text().split())
    assert f"{url}: " in said
    assert "failed 6 time(s)" in said
    assert "What was finished is kept here. The same command goes on when the remote" in said
    (folder,) = (tmp_path / "runs").iterdir()
    assert tables(files(folder)) == local
    assert reached(log) == list(STAGES)[-1]

    assert finish(start(command, log, server.environment), log) == 0, log.read_text()
    assert "embed:" not in log.read_text()
    assert tables(content(url)) == local
