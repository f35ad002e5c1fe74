"""From any source to a crop store: read in pieces by several processes, in order, gone on with.

An importer cuts its source into chunks, by a cheap listing that always comes out the same, and
gives a reader that turns a chunk into a part of the store, knowing nothing of the others. Chunks
are read by a pool of processes, a few ahead of what is written. Their parts are written in the
order of the chunks, and every few thousand crops all is committed. So the store is the same, byte
by byte, whatever the number of processes and however often the import was interrupted, and memory
holds a few chunks, 8 bytes per crop to find repeats, and what the source needs per protein.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np

from compute.errors import UsageError
from compute.importers.chunks import Chunk, Job, read_all, read_chunk
from compute.importers.duplicates import DigestSet
from compute.importers.part_builder import NO_WINDOW
from compute.importers.text_table import printable
from compute.storage.atomic_files import Progress, sha256, silent
from compute.store.part import Part, StoreFormat
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter, refuse_to_replace

CHUNK = 512
"""Crops per chunk, at most: what one process reads and segments at a time."""

CHUNK_BYTES = 1 << 25
"""Pixels per chunk, at most: that many crops of 2×64×64 float32 are half of it."""

COMMIT = 4
"""Chunks' worth of crops after which all that was read is committed: the most that an interruption
costs, beside the chunks that are being read."""

Item = TypeVar("Item")


class ImportOptions(TypedDict, total=False):
    """What every importer can be told about the store to make; see `run_import`."""

    train_share: float | None
    overwrite: bool
    fresh: bool
    jobs: int | None
    progress: Progress | None


@dataclass(frozen=True)
class Listing:
    """The source, as far as it is known before its pixels are read.

    Parameters
    ----------
    chunks
        Gives its chunks, in an order that depends on the source alone.
    unit, total
        What progress counts, and how many there are.
    depends_on
        Everything else that the store depends on: the source's files, options, tables
        (`identity`). An import that was begun with another content is not gone on with.
    notes
        Sentences for the store's description.
    closing
        Gives further sentences from the parts' counts.
    """

    chunks: Callable[[], Iterable[Chunk]]
    unit: str
    total: int
    depends_on: Mapping[str, Any]
    notes: Sequence[str] = ()
    closing: Callable[[Counter[str]], Sequence[str]] = field(default=lambda counts: ())


@dataclass(frozen=True)
class ImportReport:
    """What became of a source.

    Parameters
    ----------
    path
        The store.
    found, stored, usable, windows
        Crops in the source, in the store, and without any flag that keeps them out of trials;
        and windows without cells.
    rejections
        `reason`, `count` and `examples` of what was not taken; the counts and `stored` add up
        to `found`.
    notes
        What else a person should know, in sentences.
    counts
        What the importer has counted.
    """

    path: Path
    found: int
    stored: int
    usable: int
    windows: int
    rejections: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Crops that were not taken."""
        return sum(int(item["count"]) for item in self.rejections)


def run_import(
    out: Path,
    job: Job,
    listing: Listing,
    *,
    train_share: float | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a crop store from a source, or go on where an interrupted import stopped.

    Parameters
    ----------
    out
        Store to make.
    job, listing
        What is read, and where.
    train_share
        Deal fields to the splits ``train`` and ``test``, this share to the first
        (`compute.store.writer.CropStoreWriter`).
    overwrite
        Replace a store that is there already.
    fresh
        Delete what an interrupted import left, instead of going on with it.
    jobs
        Processes that read; one per processor where not given, 1 for none beside this one. More
        are started afresh, so a script that calls this needs ``if __name__ == "__main__":``.
    progress
        Called with the listing's unit, units done and units in all.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why.

    Raises
    ------
    BusyError
        Another process is importing into the same store.
    ChangedError
        An import was begun there with another source or other options; names what changed.
    InputError
        Not one cell could be taken.
    UsageError
        Something is at `out` already, or a parameter is out of range.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs = {jobs} cannot be used.", "Allowed: 1 or more.")
    out, tell, form = Path(out), progress or silent, job.form
    header = {
        "kind": job.kind,
        "channels": list(form.channels),
        "size": form.size,
        "dtype": form.dtype,
        "localizations": list(form.localizations),
        "train_share": train_share,
        **listing.depends_on,
    }
    with CropStoreWriter(
        out,
        channels=form.channels,
        size=form.size,
        dtype=form.dtype,
        localizations=form.localizations,
        source={"kind": job.kind, "simulated": False},
        train_share=train_share,
        overwrite=overwrite,
        header=header,
        fresh=fresh,
    ) as writer:
        done = Counter(writer.progress.get("done", {}))
        counts = Counter(writer.progress.get("counts", {}))
        seen = DigestSet()
        for piece in writer.pieces("digests"):
            seen.add(piece.column(0).to_numpy())
        committed, enough = done["found"], COMMIT * chunk_size(form)
        chunks = islice(listing.chunks(), done["chunks"], None)
        for chunk, part in read_all(job, chunks, jobs or os.cpu_count() or 1):
            part = _without_repeats(job, chunk, part, seen)
            writer.append(part)
            counts.update(part.counts)
            done["chunks"] += 1
            done["found"] += part.found
            if chunk.done < listing.total:
                tell(listing.unit, chunk.done, listing.total)
            if done["found"] - committed >= enough:
                writer.commit({"done": done, "counts": counts})
                committed = done["found"]
        tell(listing.unit, listing.total, listing.total)
        notes = [*listing.notes, *listing.closing(counts), *_window_notes(counts)]
        writer.source["notes"] = notes
    stored = CropStore(out).meta["counts"]
    return ImportReport(
        out,
        done["found"],
        stored["cells"],
        stored["usable"],
        stored["windows"],
        tuple(writer.rejections),
        tuple(notes),
        counts,
    )


def chunk_size(form: StoreFormat) -> int:
    """Return how many crops of a store a chunk holds, at most."""
    pixels = len(form.channels) * form.size**2 * np.dtype(form.dtype).itemsize
    return max(1, min(CHUNK, CHUNK_BYTES // pixels))


def in_chunks(
    items: Iterable[Item],
    most: int,
    of_field: Callable[[Item], str],
    done: Callable[[Item], int],
) -> Iterator[Chunk]:
    """Cut a listing into chunks, between fields where possible.

    Parameters
    ----------
    items
        In the order in which they are to be stored.
    most
        Items per chunk, at most (`chunk_size`).
    of_field
        Gives an item's field. One with more items than a chunk holds is cut, and each piece has
        windows of its own.
    done
        Gives the units of progress that are done when this item is.
    """
    waiting: list[Item] = []
    for _, same in groupby(items, of_field):
        while piece := list(islice(same, most)):
            if waiting and len(waiting) + len(piece) > most:
                yield Chunk(waiting, done(waiting[-1]))
                waiting = []
            waiting += piece
    if waiting:
        yield Chunk(waiting, done(waiting[-1]))


def identity(path: Path | None) -> str | None:
    """Name a table or file with its content, for `Listing.depends_on`."""
    return None if path is None else f"{printable(path)} ({sha256(Path(path))[:16]})"


def refuse_early(out: Path, overwrite: bool) -> None:
    """Refuse a path that may not be replaced before a source is listed, which can take long."""
    refuse_to_replace(Path(out), overwrite)


def _without_repeats(job: Job, chunk: Chunk, part: Part, seen: DigestSet) -> Part:
    """Read a chunk again, here, where it repeats images of earlier chunks; remember the rest."""
    digests = np.concatenate([table.column(0).to_numpy() for table in part.tables["digests"]])
    known = seen.known(digests)
    if known.any():
        part = read_chunk(job, chunk.items, digests[known].tolist())
    seen.add(digests[~known])
    return part


def _window_notes(counts: Counter[str]) -> list[str]:
    if counts[NO_WINDOW] == 0:
        return []
    return [
        f"{counts[NO_WINDOW]} field(s) have no window without cells: none of their crops has "
        "enough medium."
    ]
