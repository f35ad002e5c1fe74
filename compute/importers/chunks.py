"""Reads the chunks of a source, here or in other processes, into parts of a store, in order.

A few chunks are read ahead of the one that is wanted, so memory holds that many and no more.
"""

import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, Protocol

from compute.errors import BystanderError
from compute.importers.duplicates import Repeats
from compute.importers.part_builder import Intake
from compute.store.part import Part, StoreFormat

ALONE = 256
"""Crops read before other processes are started: a small source does not need them."""

AHEAD = 2
"""Chunks per process that may be read before they are written."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a source.

    Parameters
    ----------
    items
        What the importer's reader takes; small, as it is sent to another process.
    done
        Units of progress that are done when this chunk is.
    """

    items: Sequence[Any]
    done: int


class Reader(Protocol):
    """What an importer does with a chunk; is sent to other processes, so it holds little."""

    def read(self, items: Sequence[Any], intake: Intake) -> None:
        """Hand every crop of the items to the intake; count them in ``intake.part.found``."""


@dataclass(frozen=True)
class Job:
    """What is read, and what it becomes.

    Parameters
    ----------
    kind
        The source's name, such as ``"pifia"``.
    form
        What all crops of the store have in common.
    reader
        Reads a chunk.
    marker
        As `compute.importers.part_builder.Intake`.
    interleaved
        As `compute.importers.part_builder.Intake`.
    repeated
        What the images are that must not come twice.
    """

    kind: str
    form: StoreFormat
    reader: Reader
    marker: int | None
    interleaved: bool = False
    repeated: str = "crop"


def read_chunk(job: Job, items: Sequence[Any], before: Collection[int] = ()) -> Part:
    """Make a part of a store from a chunk's items.

    Parameters
    ----------
    job
        What is read.
    items
        Of one chunk.
    before
        Digests of images that earlier chunks hold already.
    """
    intake = Intake(
        Part(job.form),
        job.marker,
        interleaved=job.interleaved,
        repeats=Repeats(job.repeated, before),
    )
    job.reader.read(items, intake)
    return intake.finish()


def read_all(job: Job, chunks: Iterable[Chunk], jobs: int) -> Iterator[tuple[Chunk, Part]]:
    """Read chunks in this process, then in several; parts come in the order of the chunks."""
    chunks = iter(chunks)
    found = 0
    for chunk in chunks:
        part = read_chunk(job, chunk.items)
        found += part.found
        yield chunk, part
        if jobs > 1 and found >= ALONE:
            break
    following = list(islice(chunks, 1))
    if not following:
        return
    with _pool(job, jobs) as pool:
        waiting: deque[tuple[Chunk, Future[Part]]] = deque()
        for chunk in chain(following, chunks):
            waiting.append((chunk, pool.submit(_read_here, chunk.items)))
            while len(waiting) >= AHEAD * jobs:
                before, future = waiting.popleft()
                yield before, future.result()
        for before, future in waiting:
            yield before, future.result()


@contextmanager
def _pool(job: Job, jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Fresh processes: a fork of one that has run threads (PyTorch, Arrow) can hang.
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_start, initargs=(job,)
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise BystanderError(
            "A process that reads crops was ended from outside, perhaps for want of memory.",
            "What was committed is kept: the same command goes on. Fewer --jobs need less memory.",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_job: Job
"""What this process reads, where it is one of the pool."""


def _start(job: Job) -> None:
    global _job
    _job = job
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even if that was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read_here(items: Sequence[Any]) -> Part:
    return read_chunk(_job, items)
