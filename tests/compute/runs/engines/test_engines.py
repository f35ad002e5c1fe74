"""Both engines do every task, try failing ones again, and report what they give up."""

import importlib.util
import os
import sys
from dataclasses import replace

import pytest

from compute.errors import BystanderError, DiskError, UsageError
from compute.runs.engines import ENGINES, EngineConfig, EngineName, open_engine
from compute.runs.engines import local as local_engine
from compute.runs.engines.tasks import ATTEMPTS, HOPELESS, Failure, IncompleteError
from tests.compute.fake_tasks import cannot, missing, order, stage


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(local_engine, "PAUSE", 0)


@pytest.fixture(scope="module")
def ray_engine():
    """Two workers on a cluster of this machine, started and ended here."""
    # Ray reads how it is to behave when it is imported, so the engine must be the first to do so.
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    with open_engine(EngineConfig(EngineName.RAY, workers=2)) as engine:
        yield engine


@pytest.fixture(params=[EngineName.LOCAL, pytest.param(EngineName.RAY, marks=pytest.mark.long)])
def engine(request):
    if request.param == EngineName.RAY:
        return request.getfixturevalue("ray_engine")
    return local_engine.LocalEngine()


def test_what_a_worker_tells_of_a_task_is_counted_once(tmp_path):
    """Tasks of 10 units: some are told of in halves, one fails half way, one is never told of."""
    work = stage(tmp_path, 4)
    (tmp_path / "3.done").touch()
    order(tmp_path, 1, "fail")

    def here(tell):
        worker = work.there()
        do = worker.do

        def telling(task):
            tell(5) if task < 2 else None
            do(task)
            tell(5) if task < 2 else None

        worker.do = telling
        return worker

    told = []
    sized = replace(work, total=40, size=lambda task: 10, here=here)
    outcome = local_engine.LocalEngine().run(sized, lambda *what: told.append(what[1:]))
    assert not outcome.failures
    assert told == [
        (10, 40), (15, 40), (20, 40), (25, 40), (20, 40), (25, 40), (30, 40), (40, 40),
    ]  # fmt: skip


def run(engine, work):
    told = []
    outcome = engine.run(work, lambda *what: told.append(what))
    return outcome, told


def attempts(folder):
    return (folder / "log").read_text().splitlines()


def test_every_engine_has_a_way_to_open_it():
    assert set(ENGINES) == set(EngineName)


@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (7, 1), (20, 4), (5, 100)])
def test_every_task_is_done_once_and_progress_is_told(engine, tmp_path, count, at_once):
    (tmp_path / "0.done").touch()
    outcome, told = run(engine, stage(tmp_path, count, at_once))
    assert missing(tmp_path, count) == []
    assert outcome.failures == []
    assert told[0] == ("embed", 1, count)
    assert told[-1] == ("embed", count, count)
    done = [what[1] for what in told]
    assert done == sorted(done)


def test_nothing_to_do_is_nothing_done(engine, tmp_path):
    (tmp_path / "0.done").touch()
    outcome, told = run(engine, stage(tmp_path, 1))
    assert outcome.measured == []
    assert told == [("embed", 1, 1)]


def test_a_task_that_fails_twice_is_done_in_the_end(engine, tmp_path):
    order(tmp_path, 3, "fail", "fail")
    outcome, _ = run(engine, stage(tmp_path, 8, 2))
    assert outcome.failures == []
    assert missing(tmp_path, 8) == []
    assert attempts(tmp_path) == ["3 fail", "3 fail", "3 "]


def test_a_task_that_fails_three_times_is_reported_and_the_rest_goes_on(engine, tmp_path):
    order(tmp_path, 3, *["fail"] * 9)
    outcome, told = run(engine, stage(tmp_path, 8, 2))
    assert missing(tmp_path, 8) == [3]
    assert attempts(tmp_path) == ["3 fail"] * ATTEMPTS
    (failure,) = outcome.failures
    assert (failure.stage, failure.task, failure.attempts) == ("embed", 3, ATTEMPTS)
    assert failure.what == {"trials": "30 to 39", "cells": [3, 4, 5, 6, 7, 8, 9]}
    assert "task 3 is bad" in failure.error
    assert told[-1] == ("embed", 7, 8)
    said = str(IncompleteError(outcome.failures))
    assert "embed 3 (trials 30 to 39; cells 3, 4, 5 and 4 more): task 3 is bad." in said
    assert "The same command tries them again." in said


def test_a_full_disk_stops_everything_at_once(engine, tmp_path):
    order(tmp_path, 0, "full")
    with pytest.raises(DiskError, match="disk is full"):
        run(engine, stage(tmp_path, 8))
    assert attempts(tmp_path) == ["0 full"]


def test_a_stage_whose_tasks_all_fail_is_given_up(engine, tmp_path):
    for task in range(40):
        order(tmp_path, task, *["fail"] * 9)
    with pytest.raises(IncompleteError, match="the others were not tried") as caught:
        run(engine, stage(tmp_path, 40))
    assert len(caught.value.failures) == HOPELESS
    assert len(attempts(tmp_path)) <= ATTEMPTS * (HOPELESS + 1)


def test_only_some_failures_are_named(engine):
    failures = [Failure("embed", n, {"cells": [n]}, 3, "bad") for n in range(9)]
    assert "and 6 more, listed in run.json" in str(IncompleteError(failures))
    assert failures[0].record() == {
        "stage": "embed", "unit": 0, "what": {"cells": [0]}, "attempts": 3, "error": "bad"
    }  # fmt: skip


@pytest.mark.long
def test_lost_workers_are_replaced_and_their_tasks_done(ray_engine, tmp_path):
    order(tmp_path, 2, "die", "die")
    order(tmp_path, 9, "die")
    outcome, told = run(ray_engine, stage(tmp_path, 24, 4))
    assert missing(tmp_path, 24) == []
    assert outcome.failures == []
    assert told[-1] == ("embed", 24, 24)


@pytest.mark.long
def test_a_task_that_kills_three_workers_is_reported_and_the_rest_goes_on(ray_engine, tmp_path):
    order(tmp_path, 5, *["die"] * 9)
    outcome, _ = run(ray_engine, stage(tmp_path, 24, 4))
    assert missing(tmp_path, 24) == [5]
    assert attempts(tmp_path) == ["5 die"] * ATTEMPTS
    (failure,) = outcome.failures
    assert failure.task == 5
    assert "the worker was lost" in failure.error


@pytest.mark.long
def test_work_is_shared_by_processes_that_stay_for_the_next_stage(ray_engine, tmp_path):
    found = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        for task in range(6):
            order(folder, task, "meet")
        outcome, _ = run(ray_engine, stage(folder, 6))
        processes = {(folder / f"{task}.done").read_text() for task in range(6)}
        assert {str(item["process"]) for item in outcome.measured} <= processes
        found.append(processes)
    assert len(found[0]) == 2
    assert found[0] == found[1]
    assert str(os.getpid()) not in found[0]


@pytest.mark.long
def test_workers_that_cannot_be_started_end_the_run_with_the_reason(ray_engine, tmp_path):
    work = stage(tmp_path, 3)
    object.__setattr__(work, "there", cannot)
    with pytest.raises(BystanderError, match=r"could not be started.*no such store"):
        run(ray_engine, work)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "spark"}, r"engine 'spark'.*Allowed: local, ray"),
        ({"name": "ray", "workers": 0}, "workers is 0"),
        ({"workers": 2}, "--workers is of --engine ray"),
        ({"address": "auto"}, "--address is of --engine ray"),
    ],
)
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        EngineConfig(**settings)


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'bystander\[ray\]'"):
        open_engine(EngineConfig(EngineName.RAY))


def test_the_local_engine_needs_no_ray():
    import subprocess

    code = (
        "import sys; from compute.runs.engines import EngineConfig, open_engine;"
        "open_engine(EngineConfig()).__enter__(); print('ray' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "False"


@pytest.mark.long
def test_ray_listens_on_this_machine_alone_and_leaves_signals_as_they_were(ray_engine):
    import signal

    import ray

    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
