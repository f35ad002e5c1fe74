"""Threads that each keep a shard from beginning to end, and help each other at the end.

Layer: threads; no files, nothing of what is done with a shard. Threads that hand a shard on to one
another wait for each other; those that keep theirs hardly do. A thread that has no shard takes
batches of the others' shards, so that all threads end at about the same time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from types import TracebackType
from typing import Self, TypeVar

import torch

Shard = TypeVar("Shard")

MEANWHILE = 0.5
"""Seconds between two looks at what is done, while nothing is done as a whole."""

Batch = Callable[[], None]
"""What computes one batch of a shard."""


class ShardThreads:
    """Threads in which PyTorch computes with one thread each; to be used with ``with``.

    Leaving the block waits for the batches that are being computed, and drops the others.

    Parameters
    ----------
    size
        Number of threads, 1 or more.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = Event()
        self._before = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(size, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> Self:
        """Start nothing yet: threads begin when there is something to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the threads."""
        self._left.set()
        self._pool.shutdown(cancel_futures=True)
        # What threads set is the default of those that come later.
        torch.set_num_threads(self._before)

    def do_each(
        self,
        do: Callable[[Shard], None],
        shards: Iterable[Shard],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[Shard, BaseException | None]]:
        """Do shards, each in a thread of its own; after an error no other is begun.

        Parameters
        ----------
        do
            Does one shard; may call `share`.
        shards
            What to do; each is taken from the iterator when it is begun.
        meanwhile
            Called in the calling thread while it waits, every `MEANWHILE` seconds and whenever a
            shard is done; nothing by default.

        Yields
        ------
        shard, error
            Each shard as soon as it is done, those begun together in any order; and what went
            wrong with it, or None.
        """
        todo, begun = iter(shards), dict[Future[None], Shard]()
        done = list[tuple[Shard, BaseException | None]]()
        going = True
        while True:
            while going and len(begun) < self._size:
                try:
                    shard = next(todo)
                except StopIteration:
                    break
                begun[self._pool.submit(do, shard)] = shard
            # While those just begun are computed.
            yield from done
            if not begun:
                return
            ended = set[Future[None]]()
            while not ended:
                ended = wait(begun, MEANWHILE, FIRST_COMPLETED).done
                meanwhile()
            done = [(begun.pop(each), each.exception()) for each in ended]
            going = going and all(error is None for _, error in done)

    def share(self, batches: Sequence[Batch]) -> None:
        """Compute batches of a shard, in the thread that has it and those that have none.

        Parameters
        ----------
        batches
            Each is called once, by any of the threads; returns when all have been.

        Raises
        ------
        Exception
            What went wrong with the first batch that failed.
        """
        computed = [Future[None]() for _ in batches]
        waiting = deque(zip(batches, computed, strict=True))
        for _ in range(min(self._size, len(batches)) - 1):
            self._pool.submit(self._compute, waiting)
        self._compute(waiting)
        for each in computed:
            each.result()

    def _compute(self, waiting: deque[tuple[Batch, Future[None]]]) -> None:
        """Compute the batches that no thread has taken yet."""
        while True:
            try:
                batch, computed = waiting.popleft()
            except IndexError:
                return
            if self._left.is_set():
                computed.cancel()
                continue
            try:
                batch()
            except BaseException as error:
                computed.set_exception(error)
            else:
                computed.set_result(None)
