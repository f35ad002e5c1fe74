"""The Ray engine: tasks done by workers on a cluster; lost workers are replaced.

Layer: schedules; the workers do what those of the local engine do, each in a process of its own
with a GPU where the cluster has some. A worker is handed a few tasks at a time and the next ones
when it answers, so what is under way does not grow with the run. The tasks of a lost worker are
tried again.
"""

import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from compute.errors import BystanderError, UsageError
from compute.runs.engines.ray_worker import RayWorker
from compute.runs.engines.tasks import Attempts, Outcome, Stage
from compute.storage.atomic_files import Progress

CORES_PER_WORKER = 4
"""Cores for each worker on clusters without GPUs."""

STARTS = 3
"""Workers in a row that may fail to start; after so many the run ends."""

CONNECTS = 3
"""Attempts to reach a cluster, which may be slow to answer; Ray waits some seconds in each."""

POLL = 1.0
"""Seconds to wait for workers before the cluster's head is looked for."""

HEAD_AWAY = 30.0
"""Seconds without the cluster's head after which the run ends; Ray ends the process at 60."""

PARTING = 10.0
"""Seconds that Ray may take to shut down where there is no head."""

UNPLACED = 600.0
"""Seconds without any worker that has started after which the run ends."""


@dataclass
class _RemoteWorker:
    """A worker as this process sees it.

    Parameters
    ----------
    actor
        Ray's handle of its process.
    waiting_for
        Ray's reference of what it was asked last: to open a stage, or to do tasks.
    tasks
        The tasks it was handed; empty while it starts, and while it is idle.
    """

    actor: Any
    waiting_for: Any
    tasks: list[Hashable] = field(default_factory=list)


class RayEngine:
    """The engine that has tasks done on a Ray cluster, to be used with ``with``.

    Parameters
    ----------
    workers
        Number of workers; None has one for each GPU, or without GPUs one for every
        `CORES_PER_WORKER` cores.
    address
        Address of a cluster; None starts one on this machine, reachable from it alone.

    Attributes
    ----------
    gpus, cores, workers : int
        Of the cluster: GPUs, cores, and the workers that are wanted; known once it is entered.
    spare : list
        Workers that the last stage has left.
    head_lost : bool
        Whether the cluster's head has gone.

    Raises
    ------
    UsageError
        Ray is not installed.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address is None:  # makes Ray listen on 127.0.0.1 alone; read when it is imported
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        if address is None or _has_token():  # else clusters that ask for one cannot be joined
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "--engine ray needs Ray, which is not installed.",
                "Install it with `pip install 'bystander[ray]'`, or use --engine local.",
            ) from error
        self._ray = ray
        self.spare: list[_RemoteWorker] = []
        self.head_lost = False
        self._workers = workers
        self._address = address

    def __enter__(self) -> "RayEngine":
        """Start a cluster, or join one.

        Raises
        ------
        BystanderError
            The cluster cannot be reached.
        """
        handler = signal.getsignal(signal.SIGTERM)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is None:
            options |= {"include_dashboard": False, "num_cpus": self._own_cores()}
        try:
            self._connect(options)
        finally:
            if signal.getsignal(signal.SIGTERM) is not handler:  # Ray has put its own
                signal.signal(signal.SIGTERM, handler)
        host, _, port = self._ray.get_runtime_context().gcs_address.rpartition(":")
        self._head = (host.strip("[]"), int(port))
        resources = self._ray.cluster_resources()
        self.gpus = int(resources.get("GPU", 0))
        self.cores = max(1, int(resources.get("CPU", 1)))
        self.workers = self._workers or self.gpus or max(1, self.cores // CORES_PER_WORKER)
        return self

    def _connect(self, options: Mapping[str, Any]) -> None:
        """Start or join the cluster, in up to `CONNECTS` attempts."""
        for attempt in range(1, CONNECTS + 1):
            try:
                self._ray.init(address=self._address or "local", **options)
                return
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                self._ray.shutdown()
                if attempt == CONNECTS:
                    raise BystanderError(
                        f"The Ray cluster {self._address or 'of this machine'} cannot be used: "
                        f"{error}.",
                        "Check --address, and that `ray start` ran on that machine.",
                    ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the workers go, and the cluster too if it was started here."""
        if self.head_lost:  # Ray may wait for it
            self._ask(self._ray.shutdown)
        else:
            self._ray.shutdown()

    def _ask(self, call: Callable[[], Any]) -> Any:
        """Make a call in a thread, since it never returns if the head goes meanwhile.

        Returns
        -------
        Any
            What the call returns; None where the head has gone.
        """
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        until = time.monotonic() + PARTING

        def ask() -> None:
            try:
                answers.put((call(), None))
            except BaseException as error:
                answers.put((None, error))

        threading.Thread(target=ask, daemon=True).start()
        while True:
            try:
                answer, error = answers.get(timeout=POLL)
            except Empty:
                if not self.head_lost:
                    self.look()
                elif time.monotonic() >= until:
                    return None
                continue
            if error is not None:
                raise error
            return answer

    def look(self) -> None:
        """Wait until the cluster's head answers: without it Ray would end this process in silence.

        Raises
        ------
        BystanderError
            It has not answered for `HEAD_AWAY` seconds.
        """
        until = time.monotonic() + HEAD_AWAY
        while True:
            try:
                socket.create_connection(self._head, timeout=5 * POLL).close()
                return
            except OSError as error:
                if time.monotonic() >= until:
                    self.head_lost = True
                    host, port = self._head
                    raise BystanderError(
                        f"The head of the Ray cluster, {host}:{port}, is away: {error}.",
                        "The same command goes on with a new cluster, or with --engine local.",
                    ) from error
            time.sleep(POLL)

    def _own_cores(self) -> int:
        """Return the cores to offer Ray: those of this process, at least one for each worker."""
        from compute.devices import cores

        return max(cores(), self._workers or 0)

    def run(self, stage: Stage, progress: Progress) -> Outcome:
        """Do every task that is missing; report those that failed too often.

        Raises
        ------
        DiskError
            No file can be written, whichever task it belongs to.
        BystanderError
            Workers cannot be started, nearly all tasks fail, or the cluster's head has gone.
        """
        todo = deque(stage.missing())
        progress(stage.name, stage.done(todo), stage.total)
        if not todo:
            return Outcome()
        return _StageOnRay(self, stage, todo, progress).run()

    def new_worker(self, stage: Stage) -> _RemoteWorker:
        """Take a worker that the last stage has left, or ask the cluster for one more."""
        actor = self.spare.pop().actor if self.spare else self._ask(self._new_actor)
        return _RemoteWorker(actor, actor.open.remote(stage.there))

    def _new_actor(self) -> Any:
        """Ask the cluster for a process; returns Ray's handle of it."""
        options: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        if self.gpus:
            options["num_gpus"] = 1 / -(-self.workers // self.gpus)  # so many share one
        threads = max(1, self.cores // self.workers)
        return self._ray.remote(RayWorker).options(**options).remote(threads)

    def wait(self, workers: Sequence[_RemoteWorker]) -> list[_RemoteWorker]:
        """Wait up to `POLL` seconds; return the workers that have answered."""
        asked = {worker.waiting_for: worker for worker in workers}
        found, _ = self._ray.wait(list(asked), num_returns=1, timeout=POLL)
        if not found:
            self.look()
        return [asked[answer] for answer in found]

    def answer(self, worker: _RemoteWorker) -> Any:
        """Return what a worker answered.

        Raises
        ------
        LostError
            Its process has ended, or its machine has left.
        BystanderError
            The error that the worker raised.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(worker.waiting_for)
        except errors.RayTaskError as error:
            cause = error.cause if isinstance(error, errors.RayTaskError) else error
            if isinstance(cause, BystanderError):
                raise cause from error
            raise LostError(_last_line(str(error))) from error
        except errors.RayError as error:
            raise LostError(_last_line(str(error))) from error

    def dismiss(self, worker: _RemoteWorker) -> None:
        """End a worker, if it is still there."""
        if not self.head_lost:  # which would have to do it
            self._ask(lambda: self._ray.kill(worker.actor, no_restart=True))

    def measured(self, workers: Sequence[_RemoteWorker]) -> list[dict[str, Any]]:
        """Return what one of the workers measured, in a list; empty where none answers."""
        for worker in workers:
            worker.waiting_for = worker.actor.measured.remote()
            try:
                return [self.answer(worker)]
            except LostError:
                continue
        return []


class LostError(Exception):
    """A worker did not answer: its process was killed, or its machine has left."""


class _StageOnRay:
    """One stage on Ray, from the first task to the last.

    Parameters
    ----------
    engine
        The engine, which has the workers.
    stage
        The stage.
    todo
        Its tasks that are missing.
    progress
        Called with the stage's name, units done and units in all.
    """

    def __init__(
        self, engine: RayEngine, stage: Stage, todo: deque[Hashable], progress: Progress
    ) -> None:
        self._engine, self._stage, self._progress = engine, stage, progress
        self._todo = todo
        self._done = stage.done(todo)
        self._attempts = Attempts(stage)
        self._lost_at_start = 0
        wanted = min(engine.workers, len(todo))
        self._at_once = max(1, min(stage.at_once, len(todo) // (2 * wanted)))
        self._busy = [engine.new_worker(stage) for _ in range(wanted)]
        self._idle: list[_RemoteWorker] = []

    def run(self) -> Outcome:
        """Hand out tasks until each of them is done or given up."""
        heard = time.monotonic()
        try:
            while self._todo or any(worker.tasks for worker in self._busy):
                answers = self._engine.wait(self._busy)
                if answers or any(worker.tasks for worker in self._busy):
                    heard = time.monotonic()
                elif time.monotonic() - heard > UNPLACED:
                    raise BystanderError(
                        f"No worker could be started for {UNPLACED / 60:.0f} minutes.",
                        "Check `ray status`: each needs a core, and a share of a GPU if there are.",
                    )
                for worker in answers:
                    self._take(worker)
                while self._todo and self._idle:
                    self._give(self._idle.pop())
            measured = self._engine.measured(self._idle)
            self._engine.spare += self._idle
            self._idle = []
            return Outcome(self._attempts.failures, measured)
        finally:
            for worker in (*self._busy, *self._idle):
                self._engine.dismiss(worker)

    def _take(self, worker: _RemoteWorker) -> None:
        """Take a worker's answer, after which it is idle."""
        self._busy.remove(worker)
        try:
            answer = self._engine.answer(worker)
        except LostError as error:
            self._replace(worker, str(error))
            return
        if worker.tasks:
            done, failed = answer
            self._count(done)
            if failed is not None:
                self._attempts.failed(*failed)
            self._again([task for task in worker.tasks if task not in set(done)])
        worker.tasks, self._lost_at_start = [], 0
        self._idle.append(worker)

    def _give(self, worker: _RemoteWorker) -> None:
        """Give an idle worker the next tasks."""
        worker.tasks = [self._todo.popleft() for _ in range(min(self._at_once, len(self._todo)))]
        worker.waiting_for = worker.actor.work.remote(worker.tasks)
        self._busy.append(worker)

    def _replace(self, worker: _RemoteWorker, error: str) -> None:
        """Replace a lost worker by a new one, and put its tasks back into the queue."""
        self._engine.look()  # before anything that only the head can do
        self._engine.dismiss(worker)
        if worker.tasks:
            missing = set(self._stage.missing())
            rest = [task for task in worker.tasks if task in missing]
            self._count([task for task in worker.tasks if task not in missing])
            if rest:  # it does them in order, so it was at the first
                self._attempts.failed(rest[0], f"the worker was lost: {error}")
            self._again(rest)
        else:
            self._lost_at_start += 1
            if self._lost_at_start >= STARTS:
                raise BystanderError(
                    f"{STARTS} workers in a row could not be started: {error}",
                    "Check that every machine of the cluster has Bystander, the store and the "
                    "run directory at the same paths.",
                )
        self._busy.append(self._engine.new_worker(self._stage))

    def _again(self, tasks: Sequence[Hashable]) -> None:
        """Put tasks back to the front of the queue, but for those that were given up."""
        self._todo.extendleft(t for t in reversed(tasks) if not self._attempts.given_up(t))

    def _count(self, tasks: Sequence[Hashable]) -> None:
        """Count tasks as done."""
        self._done += sum(map(self._stage.size, tasks))
        self._attempts.done += len(tasks)
        self._progress(self._stage.name, self._done, self._stage.total)


def _has_token() -> bool:
    """Tell whether Ray finds a token for clusters where it looks for one."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


def _last_line(text: str) -> str:
    """Shorten Ray's many lines to the one that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
