"""Units done by workers on a Ray cluster: lost ones are replaced, their units tried again.

Layer: schedules; the workers are those of the local engine, each in a process of its own with a
GPU where the cluster has some. A worker holds one block of units at a time, so as many blocks are
in flight as there are workers, whatever the size of the run.
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
from compute.runs.engines.ray_worker import Seat
from compute.runs.engines.tasks import Attempts, Outcome, Task
from compute.storage.atomic_files import Progress

CORES_PER_WORKER = 4
"""On clusters without GPUs."""

STARTS = 3
"""Workers in a row that cannot be started before the run ends."""

CONNECTS = 3
"""Attempts to reach a cluster, which may be slow to answer; each waits for some seconds."""

POLL = 1.0
"""Seconds after which a silent cluster is looked at again."""

HEAD_AWAY = 30.0
"""Seconds without the cluster's head before the run ends; Ray ends the process itself at 60."""

PARTING = 10.0
"""Seconds that Ray may take to end where there is no head."""

UNPLACED = 600.0
"""Seconds without any worker that has started before the run ends."""


@dataclass
class _Place:
    """One worker as the driver sees it.

    Parameters
    ----------
    actor
        Ray's handle.
    waiting_for
        What it was asked last: to open a worker, or a block.
    units
        Of that block; empty while it starts, and while it is idle.
    """

    actor: Any
    waiting_for: Any
    units: list[Hashable] = field(default_factory=list)


class RayEngine:
    """Units on a Ray cluster.

    Parameters
    ----------
    workers
        Workers; by default one for each GPU, else one for every `CORES_PER_WORKER` cores.
    address
        Of a cluster; without it one is started on this machine, reachable from it alone.

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
        self.spare: list[_Place] = []
        self.head_lost = False
        self._workers = workers
        self._address = address

    def __enter__(self) -> "RayEngine":
        """Start a cluster, or join one.

        Raises
        ------
        BystanderError
            It cannot be reached.
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
        """Make a call that never returns if the head has gone: in a thread, to see if it has."""
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
        """See that the cluster's head is there: without it Ray ends this process, without a word.

        Raises
        ------
        BystanderError
            It has been away for `HEAD_AWAY` seconds.
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
        """Offer Ray the cores that this process may use, and a place for every worker."""
        from compute.devices import cores

        return max(cores(), self._workers or 0)

    def run(self, task: Task, progress: Progress) -> Outcome:
        """Do every unit that is missing; report those that failed too often.

        Raises
        ------
        DiskError
            No file can be written, whichever unit it is of.
        BystanderError
            Workers cannot be started, or nearly all units fail.
        """
        todo = deque(task.missing())
        progress(task.stage, task.total - len(todo), task.total)
        if not todo:
            return Outcome()
        return _Shift(self, task, todo, progress).run()

    def new_place(self, task: Task) -> _Place:
        """Take a worker that the last stage has left, or ask the cluster for one more."""
        actor = self.spare.pop().actor if self.spare else self._ask(self._new_actor)
        return _Place(actor, actor.open.remote(task.there))

    def _new_actor(self) -> Any:
        options: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        if self.gpus:
            options["num_gpus"] = 1 / -(-self.workers // self.gpus)  # so many share one
        threads = max(1, self.cores // self.workers)
        return self._ray.remote(Seat).options(**options).remote(threads)

    def wait(self, places: Sequence[_Place]) -> list[_Place]:
        """Wait until a worker answers, or a while."""
        asked = {place.waiting_for: place for place in places}
        found, _ = self._ray.wait(list(asked), num_returns=1, timeout=POLL)
        if not found:
            self.look()
        return [asked[answer] for answer in found]

    def answer(self, place: _Place) -> Any:
        """Take what a worker answered.

        Raises
        ------
        LostError
            Its process or machine has gone.
        BystanderError
            The worker said so.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(place.waiting_for)
        except errors.RayTaskError as error:
            cause = error.cause if isinstance(error, errors.RayTaskError) else error
            if isinstance(cause, BystanderError):
                raise cause from error
            raise LostError(_last_line(str(error))) from error
        except errors.RayError as error:
            raise LostError(_last_line(str(error))) from error

    def dismiss(self, place: _Place) -> None:
        """End a worker, if it is still there."""
        if not self.head_lost:  # which would have to do it
            self._ask(lambda: self._ray.kill(place.actor, no_restart=True))

    def measured(self, places: Sequence[_Place]) -> list[dict[str, Any]]:
        """Have one of the workers say what it measured."""
        for place in places:
            place.waiting_for = place.actor.measured.remote()
            try:
                return [self.answer(place)]
            except LostError:
                continue
        return []


class LostError(Exception):
    """A worker did not answer: its process was killed, or its machine has left."""


class _Shift:
    """The workers of one stage, from the first block to the last.

    Parameters
    ----------
    engine
        Whose workers they are.
    task
        The stage.
    todo
        Its units that are missing.
    progress
        Called with units done.
    """

    def __init__(
        self, engine: RayEngine, task: Task, todo: deque[Hashable], progress: Progress
    ) -> None:
        self._engine, self._task, self._progress = engine, task, progress
        self._todo = todo
        self._done = task.total - len(todo)
        self._attempts = Attempts(task)
        self._lost_at_start = 0
        wanted = min(engine.workers, len(todo))
        self._block = max(1, min(task.block, len(todo) // (2 * wanted)))
        self._busy = [engine.new_place(task) for _ in range(wanted)]
        self._idle: list[_Place] = []

    def run(self) -> Outcome:
        """Hand out blocks until every unit is done or given up."""
        heard = time.monotonic()
        try:
            while self._todo or any(place.units for place in self._busy):
                answers = self._engine.wait(self._busy)
                if answers or any(place.units for place in self._busy):
                    heard = time.monotonic()
                elif time.monotonic() - heard > UNPLACED:
                    raise BystanderError(
                        f"No worker could be started for {UNPLACED / 60:.0f} minutes.",
                        "Check `ray status`: each needs a core, and a share of a GPU if there are.",
                    )
                for place in answers:
                    self._take(place)
                while self._todo and self._idle:
                    self._give(self._idle.pop())
            measured = self._engine.measured(self._idle)
            self._engine.spare += self._idle
            self._idle = []
            return Outcome(self._attempts.failures, measured)
        finally:
            for place in (*self._busy, *self._idle):
                self._engine.dismiss(place)

    def _take(self, place: _Place) -> None:
        """Take a worker's answer; it is idle then."""
        self._busy.remove(place)
        try:
            answer = self._engine.answer(place)
        except LostError as error:
            self._replace(place, str(error))
            return
        if place.units:
            done, failed = answer
            self._count(len(done))
            if failed is not None:
                self._attempts.failed(*failed)
            self._again([unit for unit in place.units if unit not in set(done)])
        place.units, self._lost_at_start = [], 0
        self._idle.append(place)

    def _give(self, place: _Place) -> None:
        """Give an idle worker the next block."""
        place.units = [self._todo.popleft() for _ in range(min(self._block, len(self._todo)))]
        place.waiting_for = place.actor.block.remote(place.units)
        self._busy.append(place)

    def _replace(self, place: _Place, error: str) -> None:
        """Put a new worker in the place of a lost one, and its units back in the queue."""
        self._engine.look()  # before anything that only the head can do
        self._engine.dismiss(place)
        if place.units:
            missing = set(self._task.missing())
            rest = [unit for unit in place.units if unit in missing]
            self._count(len(place.units) - len(rest))
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
        self._busy.append(self._engine.new_place(self._task))

    def _again(self, units: Sequence[Hashable]) -> None:
        self._todo.extendleft(u for u in reversed(units) if not self._attempts.given_up(u))

    def _count(self, number: int) -> None:
        self._done += number
        self._attempts.done += number
        self._progress(self._task.stage, self._done, self._task.total)


def _has_token() -> bool:
    """Tell whether there is a token for clusters, where Ray looks for it."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


def _last_line(text: str) -> str:
    """Shorten Ray's many lines to the one that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
