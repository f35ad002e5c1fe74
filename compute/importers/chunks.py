"""Reads the chunks of a source, in this process or in others, into parts of a store, in order.

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
from compute.images.segmentation import DEFAULT, SegmentationConfig
from compute.importers.duplicates import DuplicateCheck
from compute.importers.part_builder import PartBuilder
from compute.importers.resample import CropFit
from compute.store.part import Part, StoreFormat

READ_FIRST = 256
"""Crops read in this process before others are started, which a small source does not need."""

CHUNKS_AHEAD = 2
"""Chunks per process that may be read before they are written."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a source.

    Parameters
    ----------
    items
        What the importer's reader takes; small, as it is sent to another process.
    done
        Units of progress that are done when this chunk has been read.
    """

    items: Sequence[Any]
    done: int


class Reader(Protocol):
    """What an importer does with a chunk; it is sent to other processes, so it holds little."""

    def read(self, items: Sequence[Any], builder: PartBuilder) -> None:
        """Add every crop of the items to the builder; count them in ``builder.part.found``."""


@dataclass(frozen=True)
class ImportSpec:
    """What is read, and what it becomes.

    Parameters
    ----------
    kind
        The source's name, such as ``"pifia"``.
    format
        What all crops of the store have in common.
    reader
        Reads a chunk.
    marker, interleaved
        See `compute.importers.part_builder.PartBuilder`.
    compared
        What the images are of which none may occur twice: ``"crop"`` (the default) or ``"field"``.
    shows, unchecked_masks, fit
        See `compute.importers.part_builder.PartBuilder`.
    segmentation
        How cells are found in the marker; the defaults by default.
    pixel_size
        Micrometres from pixel to pixel in the store; None, the default, where nobody says it.
    """

    kind: str
    format: StoreFormat
    reader: Reader
    marker: int | None
    interleaved: bool = False
    compared: str = "crop"
    shows: int | None = None
    unchecked_masks: bool = False
    fit: CropFit | None = None
    segmentation: SegmentationConfig = DEFAULT
    pixel_size: float | None = None


def read_chunk(spec: ImportSpec, items: Sequence[Any], before: Collection[int] = ()) -> Part:
    """Make a part of a store from the items of one chunk.

    Parameters
    ----------
    spec
        How they are read.
    items
        The chunk's items.
    before
        Digests of images that earlier chunks hold; none by default.

    Returns
    -------
    Part
        Numbered from 0, with what was rejected.
    """
    builder = PartBuilder(
        Part(spec.format),
        spec.marker,
        spec.segmentation,
        interleaved=spec.interleaved,
        duplicates=DuplicateCheck(spec.compared, before),
        shows=spec.shows,
        unchecked_masks=spec.unchecked_masks,
        fit=spec.fit,
    )
    spec.reader.read(items, builder)
    return builder.finish()


def read_all(spec: ImportSpec, chunks: Iterable[Chunk], jobs: int) -> Iterator[tuple[Chunk, Part]]:
    """Read chunks, the first in this process and the others in several.

    Parameters
    ----------
    spec
        How they are read.
    chunks
        In the order of the store.
    jobs
        Processes, at least 1; with 1, all is read in this process.

    Yields
    ------
    Chunk, Part
        Each chunk with its part, in the order of the chunks.

    Raises
    ------
    BystanderError
        A process was ended from outside.
    """
    chunks = iter(chunks)
    found = 0
    for chunk in chunks:
        part = read_chunk(spec, chunk.items)
        found += part.found
        yield chunk, part
        if jobs > 1 and found >= READ_FIRST:
            break
    following = list(islice(chunks, 1))
    if not following:
        return
    with _pool(spec, jobs) as pool:
        waiting: deque[tuple[Chunk, Future[Part]]] = deque()
        for chunk in chain(following, chunks):
            waiting.append((chunk, pool.submit(_read_here, chunk.items)))
            while len(waiting) >= CHUNKS_AHEAD * jobs:
                before, future = waiting.popleft()
                yield before, future.result()
        for before, future in waiting:
            yield before, future.result()


@contextmanager
def _pool(spec: ImportSpec, jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Fresh processes: a fork of one that has run threads (PyTorch, Arrow) can hang.
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_start, initargs=(spec,)
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


_spec: ImportSpec
"""What this process reads, where it is one of the pool."""


def _start(spec: ImportSpec) -> None:
    global _spec
    _spec = spec
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even if that was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read_here(items: Sequence[Any]) -> Part:
    return read_chunk(_spec, items)
