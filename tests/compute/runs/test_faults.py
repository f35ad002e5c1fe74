"""Runs that are killed at random moments end in the same tables, here and on Ray."""

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from compute.embedding import worker
from compute.runs import pipeline
from compute.runs.describe import check_path
from compute.runs.engines import local as local_engine
from compute.runs.engines.tasks import IncompleteError
from compute.storage.run_directory import RunDirectory, begin
from tests.compute.forked import STAGES, durations, reached, start, wait_for_stage
from tests.compute.runs.test_pipeline import digests
from tests.compute.storage.test_checksums import flip

KILLS_HERE, KILLS_ON_RAY = 70, 30
KILLS_IN_ONE_RUN = 5
"""Kills after which a run is left to end, compared, and another one begun."""

SETTINGS = ["--conditions=unaltered,same,different,conflicting", "--backgrounds=2", "--draws=100",
            "--exchanges=8", "--probes=knn", "--folds=2", "--examples=1", "--jobs=1"]  # fmt: skip


@pytest.fixture(scope="module")
def command(store, cards):
    def made(out: Path, *more: str) -> list[str]:
        return ["run", str(store), "--out", str(out), "--models", str(cards["pifia"]), *SETTINGS,
                *more]  # fmt: skip

    return made


@pytest.fixture(scope="module")
def undisturbed(command, tmp_path_factory):
    """A run that nothing disturbed, and the seconds of its stages."""
    folder = tmp_path_factory.mktemp("undisturbed")
    seconds = {}
    for name in ("warm-up", "run"):
        process = start(command(folder / name), folder / "log")
        seconds = durations(process, folder / "log")
        assert process.exitcode == 0, (folder / "log").read_text()
    assert set(seconds) == set(STAGES)
    return folder / "run", seconds


def too_few(hits: Counter, wanted: int) -> bool:
    """Tell whether more kills are needed: so many in all, and some in every stage."""
    assert hits.total() <= 3 * wanted, f"stages that are hardly hit: {hits}"
    fewest = min(hits[stage] for stage in STAGES)
    return hits.total() < wanted or fewest < max(1, wanted // 20)


def content(run: Path) -> dict[str, str]:
    meta = RunDirectory(run).meta
    assert meta["status"] == "complete"
    checksums = (run / "checksums.sha256").read_text()
    return {**digests(run), "fingerprint": meta["fingerprint"], "checksums": checksums}


def finish(arguments, log, run, whole, **environment):
    """Let a run end, and compare it with an undisturbed one."""
    for _ in range(3):  # what failed three times is tried again by the same command
        process = start(arguments, log, **environment)
        process.join(600)
        if process.exitcode == 0:
            break
        assert process.exitcode == 1, log.read_text()
        assert "The same command tries them again." in log.read_text()
    assert content(run) == content(whole)
    assert list(check_path(run))[-1] == "Tables, counts and references agree."
    left = {path.name for path in run.rglob(".*")}
    assert left == {".lock"}


@pytest.mark.long
def test_a_run_killed_at_random_moments_ends_in_the_same_tables(command, undisturbed, tmp_path):
    whole, seconds = undisturbed
    lots, hits = random.Random(17), Counter()
    log = tmp_path / "log"
    while too_few(hits, KILLS_HERE):
        run = tmp_path / "run"
        targets = sorted(lots.choices(list(STAGES), k=KILLS_IN_ONE_RUN), key=list(STAGES).index)
        for stage in targets:
            process = start(command(run), log)
            if wait_for_stage(process, log, stage):
                time.sleep(lots.uniform(0, seconds[stage]))
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                hits[reached(log)] += 1
            else:
                assert process.exitcode == 0, log.read_text()
        finish(command(run), log, run, whole)
        shutil.rmtree(run)


HOLD_CLUSTER = """
import ray, sys
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
print("at", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""
WORKER_OPENS = 1.0
"""Seconds that a worker needs to load its models, about."""

WORKERS_KILLED = 4
"""Workers to kill at least; one that the run no longer needs does not count."""

LOCALHOST = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}  # fmt: skip


@pytest.fixture
def cluster():
    """A Ray cluster on 127.0.0.1 that outlives killed runs."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, **LOCALHOST},
    )  # fmt: skip
    address = next(line.split()[1] for line in holder.stdout if line.startswith("at "))
    yield holder.pid, address
    holder.communicate("", timeout=60)


def workers_of(holder: int) -> list[int]:
    """Find the processes of a cluster's workers."""
    parent, title = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            title[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        parent[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])

    def below(pid):
        while pid in parent and pid != holder:
            pid = parent[pid]
        return pid == holder

    return [
        pid for pid, words in title.items() if words.startswith("ray::RayWorker") and below(pid)
    ]


def wait_for_workers(holder, process, log, stage) -> list[int]:
    """Wait until a run has workers, or has left the stage."""
    while process.is_alive() and reached(log) == stage:
        if found := workers_of(holder):
            return found
        time.sleep(0.02)
    return []


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_a_run_on_ray_whose_processes_are_killed_ends_in_the_same_tables(
    command, undisturbed, cluster, tmp_path
):
    whole, seconds = undisturbed
    holder, address = cluster
    lots, hits, killed = random.Random(23), Counter(), Counter()
    log = tmp_path / "log"
    while too_few(hits, KILLS_ON_RAY) or killed["worker"] < WORKERS_KILLED:
        assert hits.total() < 6 * KILLS_ON_RAY, killed
        run = tmp_path / "run"
        arguments = command(run, "--engine=ray", "--workers=2", f"--address={address}")
        targets = sorted(lots.choices(list(STAGES), k=KILLS_IN_ONE_RUN), key=list(STAGES).index)
        for stage in targets:
            process = start(arguments, log, **LOCALHOST)
            going = wait_for_stage(process, log, stage)
            if going and stage in ("embed", "probe"):
                workers = wait_for_workers(holder, process, log, stage)
                time.sleep(lots.uniform(0, seconds[stage] + WORKER_OPENS))
                if workers and lots.random() < 0.6:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(lots.choice(workers), signal.SIGKILL)
                        hits[reached(log)] += 1
                        killed["worker"] += 1
                    time.sleep(lots.uniform(0, seconds[stage]))
            else:
                time.sleep(lots.uniform(0, seconds[stage]) if going else 0)
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                hits[reached(log)] += 1
                killed["driver"] += 1
            else:
                assert process.exitcode in (0, 1), log.read_text()
        finish(arguments, log, run, whole, **LOCALHOST)
        shutil.rmtree(run)


@pytest.mark.long
@pytest.mark.parametrize("stage", list(STAGES))
def test_a_terminated_run_leaves_nothing_behind_and_goes_on(command, undisturbed, tmp_path, stage):
    whole, seconds = undisturbed
    log, run = tmp_path / "log", tmp_path / "run"
    process = start(command(run), log)
    if wait_for_stage(process, log, stage):
        time.sleep(seconds[stage] / 3)
    process.terminate()
    process.join(60)
    # At the end the signal may come too late, or when Python has put its handlers away.
    late = (0, -signal.SIGTERM) if stage == "finish" else ()
    assert process.exitcode in (143, *late), log.read_text()
    if process.exitcode == 143:
        assert "Terminated. The same command goes on from here." in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not list(run.rglob("*.tmp"))
    finish(command(run), log, run, whole)


# Shards that cannot be done


@pytest.fixture
def broken(monkeypatch):
    """A store whose second shard cannot be read."""
    read = worker.ShardWorker._read

    def fail(self, number):
        if number == 1:
            raise ValueError("the moon is full")
        return read(self, number)

    monkeypatch.setattr(local_engine, "PAUSE", 0)
    monkeypatch.setattr(worker.ShardWorker, "_read", fail)
    return lambda: monkeypatch.setattr(worker.ShardWorker, "_read", read)


@pytest.mark.long
def test_a_shard_that_fails_is_reported_with_its_trials_and_tried_again_later(
    broken, run, store, cards, config, tmp_path
):
    models = [str(card) for card in cards.values()]
    for _ in range(2):
        with pytest.raises(IncompleteError, match="The same command tries them again") as caught:
            pipeline.run_store(store, tmp_path / "run", models, config, jobs=1)
        assert "the moon is full" in caught.value.problem
    unfinished = RunDirectory(tmp_path / "run")
    (failure,) = unfinished.meta["failures"]
    assert (failure["stage"], failure["unit"], failure["attempts"]) == ("embed", 1, 3)
    assert "the moon is full" in failure["error"]
    trials = RunDirectory(run).read("trials").to_pandas()
    first, last = map(int, failure["what"]["trials"].split(" to "))
    lost = trials[trials["trial"].between(first, last)]
    assert set(lost["cell"]) == set(failure["what"]["cells"])
    assert not unfinished.complete
    assert len(unfinished.parts("trials")) == len(RunDirectory(run).parts("trials")) - 1
    assert not unfinished.parts("predictions", "pifia"), "no probe is fitted on what is left"
    broken()
    pipeline.run_store(store, tmp_path / "run", models, config, jobs=1)
    assert content(tmp_path / "run") == content(run)
    assert RunDirectory(tmp_path / "run").meta["failures"] == []


@pytest.mark.long
def test_probes_that_fail_leave_other_models_alone(
    run, store, cards, config, tmp_path, monkeypatch
):
    from compute.runs import stages

    fit = stages.probe

    def fail(run, plan, cells, models, *more):
        if "pifia" in models:
            raise ValueError("no convergence")
        return fit(run, plan, cells, models, *more)

    monkeypatch.setattr(local_engine, "PAUSE", 0)
    monkeypatch.setattr(stages, "probe", fail)
    models = [str(cards[name]) for name in ("pifia", "deeploc")]
    with pytest.raises(IncompleteError, match=r"probe pifia.*ValueError: no convergence"):
        pipeline.run_store(store, tmp_path / "run", models, config, jobs=1)
    unfinished = RunDirectory(tmp_path / "run")
    assert unfinished.parts("predictions", "deeploc")
    assert not unfinished.parts("predictions", "pifia")
    assert not unfinished.summary("accuracy").is_file()
    assert [failure["unit"] for failure in unfinished.meta["failures"]] == ["pifia"]


@pytest.mark.parametrize("stage", ["embeddings", "predictions"])
def test_altered_files_of_an_unfinished_run_are_made_again(run, stage, tmp_path):
    """Covered for every kind of damage in test_checksums; here for a whole run."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    unfinished = RunDirectory(copy)
    for line in (copy / "checksums.sha256").read_text().splitlines():
        path = copy / line[66:]
        path.with_name(f".{path.name}.sha256").write_text(line[:64] + "\n")
    unfinished.record(status="running")
    victim = unfinished.parts(stage, "pifia")[1]
    flip(victim)
    told = []
    header = {k: v for k, v in unfinished.meta["header"].items() if "version" not in k}
    with begin(copy, header, {}, notice=told.append) as again:
        assert not victim.exists()
        assert not again.summary("accuracy").is_file(), "made of what was altered"
        kept = stage == "predictions"
        assert len(again.parts("predictions", "pifia")) == (
            len(RunDirectory(run).parts("predictions", "pifia")) - 1 if kept else 0
        )
        assert len(again.parts("embeddings", "deeploc")) == len(unfinished.parts("trials"))
    assert f"{victim.relative_to(copy)} (altered)" in told[0]
