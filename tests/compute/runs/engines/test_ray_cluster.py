"""Runs on a Ray cluster of several nodes, which are killed, come late, or lose their head."""

import importlib.util
import time
from collections import deque
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from compute.errors import BystanderError
from compute.runs.describe import check_path
from compute.runs.engines import on_ray
from compute.schema import LOCALIZATIONS
from compute.storage.run_directory import RunDirectory
from tests.compute.fake_tasks import stage
from tests.compute.forked import start, wait_for_stage
from tests.compute.models.test_own_answer import write_deeploc
from tests.compute.runs.test_pipeline import digests

SETTINGS = ["--conditions=unaltered,same,different,conflicting", "--backgrounds=2", "--repeats=3",
            "--draws=100", "--exchanges=8", "--probes=knn", "--folds=2", "--examples=1",
            "--jobs=1"]  # fmt: skip

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks in /proc")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """408 cells in 7 shards, so that a worker that comes late still has something to do."""
    from compute.simulation.simulate import simulate

    path = tmp_path_factory.mktemp("store") / "store"
    simulate(
        path, proteins_per_class=2, mixed_proteins=4, cells_per_protein=12,
        fields_per_protein=2, replicates=2, seed=3, workers=1,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def command(store, cards, tmp_path_factory):
    """A command that runs two models, the second of which has a head of the store's classes."""
    headed = write_deeploc(tmp_path_factory.mktemp("headed"), LOCALIZATIONS)
    models = f"{cards['pifia']},{headed}"

    def made(out: Path, *more: str) -> list[str]:
        return ["run", str(store), "--out", str(out), "--models", models, *SETTINGS, *more]

    return made


@pytest.fixture(scope="module")
def local(command, tmp_path_factory):
    """The tables of a run in one process."""
    folder = tmp_path_factory.mktemp("local")
    process = start(command(folder / "run"), folder / "log")
    process.join(300)
    assert process.exitcode == 0, (folder / "log").read_text()
    return digests(folder / "run")


@pytest.fixture
def cluster():
    """A head with one core."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    from tests.compute.ray_nodes import RayNodes

    nodes = RayNodes()
    yield nodes
    nodes.end()


def wait_for(process, log, condition, seconds=90):
    """Wait until something is so, while a run is going."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.is_alive(), log.read_text()
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen: {log.read_text()}")


@pytest.mark.long
@needs_proc
def test_a_node_is_killed_and_another_joins(command, local, cluster, tmp_path):
    """The tasks of the killed node are done by others, and one that joins gets its share."""
    from tests.compute.ray_nodes import LOCALHOST

    log, run = tmp_path / "log", tmp_path / "run"
    first = cluster.add()
    arguments = command(run, "--engine=ray", "--workers=3", f"--address={cluster.address}")
    process = start(arguments, log, **LOCALHOST)
    assert wait_for_stage(process, log, "embed"), log.read_text()
    wait_for(process, log, lambda: cluster.workers(first, "ray::RayWorker.work"))
    cluster.kill(first)
    late = cluster.add()
    wait_for(process, log, lambda: cluster.workers(late, "ray::RayWorker.work"))
    process.join(120)
    assert process.exitcode == 0, log.read_text()
    assert RunDirectory(run).meta["failures"] == []
    assert digests(run) == local
    assert [("own" in model) for model in RunDirectory(run).meta["models"]] == [False, True]
    assert set(pq.read_table(run / "accuracy.parquet")["protocol"].to_pylist()) == {
        "refit", "frozen", "own"
    }  # fmt: skip
    assert list(check_path(run))[-1] == "Tables, counts and references agree."


@pytest.mark.long
@needs_proc
def test_a_cluster_that_loses_its_head_ends_the_run_which_goes_on_here(
    command, local, cluster, tmp_path
):
    from tests.compute.ray_nodes import LOCALHOST

    log, run = tmp_path / "log", tmp_path / "run"
    node = cluster.add()
    arguments = command(run, "--engine=ray", "--workers=2", f"--address={cluster.address}")
    process = start(arguments, log, **LOCALHOST)
    assert wait_for_stage(process, log, "embed"), log.read_text()
    wait_for(process, log, lambda: RunDirectory(run).parts("trials"))
    cluster.kill(0)
    lost = time.monotonic()
    process.join(on_ray.HEAD_AWAY + 60)
    said = " ".join(log.read_text().split())
    assert process.exitcode == 1, said
    assert time.monotonic() - lost >= on_ray.HEAD_AWAY
    assert f"The head of the Ray cluster, {cluster.address}, is away" in said
    assert "--engine local" in said
    assert "Traceback" not in said
    assert "will terminate" not in said, "Ray ended the process itself"
    assert RunDirectory(run).meta["status"] == "running"
    cluster.kill(node)

    process = start(command(run), log)
    process.join(120)
    assert process.exitcode == 0, log.read_text()
    assert "embed: 0 of" not in log.read_text(), "what was embedded was kept"
    assert digests(run) == local


def test_workers_that_cannot_be_started_are_not_waited_for_for_ever(tmp_path, monkeypatch):
    class Full:
        """An engine whose cluster never starts a worker."""

        workers = 2
        ended = 0

        def new_worker(self, work):
            return on_ray._RemoteWorker(None, None)

        def wait(self, workers):
            assert len(workers) == 2
            return []

        def dismiss(self, worker):
            self.ended += 1

    engine = Full()
    monkeypatch.setattr(on_ray, "UNPLACED", 0.05)
    waiting = on_ray._StageOnRay(engine, stage(tmp_path, 3), deque(range(3)), lambda *what: None)
    with pytest.raises(BystanderError, match=r"No worker could be started.*ray status"):
        waiting.run()
    assert engine.ended == 2
