"""Writes a crop store from any source: chunk by chunk, in several processes, resumable.

An importer cuts its source into chunks, by a cheap listing that always comes out the same, and
gives a reader that turns a chunk into a part of the store, knowing nothing of the other chunks.
Chunks are read by a pool of processes, a few ahead of what is written. Their parts are written in
the order of the chunks, and every few thousand crops all is committed. So the store is the same,
byte by byte, whatever the number of processes and interruptions, and memory holds a few chunks,
8 bytes per crop to find duplicates, and what the source needs per protein.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np

from compute.errors import UsageError
from compute.importers.chunks import Chunk, ImportSpec, read_all, read_chunk
from compute.importers.config import JUDGED_EARLY
from compute.importers.duplicates import DigestSet
from compute.importers.judge import channels_gone, judgement_notes, refuse
from compute.importers.judge_segmentation import choose_segmentation
from compute.importers.masks import mask_notes
from compute.importers.part_builder import GIVEN, NO_WINDOW, SEGMENTED
from compute.importers.resample import choose_fit, fit_notes
from compute.importers.text_table import printable
from compute.importers.tiff import reading_notes
from compute.storage.atomic_files import Progress, sha256, silent
from compute.store.part import Part, StoreFormat
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter, refuse_to_replace

CHUNK = 512
"""Crops per chunk, at most: what one process reads at a time."""

CHUNK_BYTES = 1 << 25
"""Bytes of pixels per chunk, at most; `CHUNK` crops of 2×64×64 float32 are half of it."""

COMMIT = 4
"""Full chunks after whose number of crops all that was read is committed: the most that an
interruption costs, beside the chunks that are being read."""

Item = TypeVar("Item")


class ImportOptions(TypedDict, total=False):
    """Options of every importer; `run_import` explains them."""

    train_share: float | None
    one_field: str | None
    overwrite: bool
    fresh: bool
    jobs: int | None
    progress: Progress | None
    unchecked_masks: bool
    no_surroundings: bool


class CropOptions(ImportOptions, total=False):
    """Options of importers of crops, beside those of every importer; `run_import` explains them."""

    size: int | None
    pixel_size: float | None
    resample: float | None
    cell_diameter: float | None


@dataclass(frozen=True)
class Listing:
    """What is known of a source before its pixels are read.

    Parameters
    ----------
    chunks
        Returns its chunks, in an order that depends on the source alone.
    unit, total
        What progress counts (``"crops"``, ``"proteins"``), and how many there are.
    depends_on
        Everything else that the store depends on: the source's files, options, tables
        (`identity`). An import that was begun with other content is not resumed.
    notes
        Sentences for the store's description.
    closing
        Returns further sentences from the sum of the parts' counts; none by default.
    """

    chunks: Callable[[], Iterable[Chunk]]
    unit: str
    total: int
    depends_on: Mapping[str, Any]
    notes: Sequence[str] = ()
    closing: Callable[[Counter[str]], Sequence[str]] = field(default=lambda counts: ())


@dataclass(frozen=True)
class ImportReport:
    """The result of an import.

    Parameters
    ----------
    path
        Folder of the store.
    found, stored, usable
        Numbers of crops in the source, in the store, and without any flag that keeps them out of
        trials.
    windows
        Number of windows without cells.
    rejections
        `reason`, `count` and `examples` of what was not taken; the counts and `stored` add up
        to `found`.
    notes
        What else a person should know, in sentences.
    counts
        What the importer has counted, by name.
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
        """Number of crops that were not taken."""
        return sum(int(item["count"]) for item in self.rejections)


def run_import(
    out: Path,
    spec: ImportSpec,
    listing: Listing,
    *,
    train_share: float | None = None,
    one_field: str | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    unchecked_masks: bool = False,
    no_surroundings: bool = False,
    size: int | None = None,
    pixel_size: float | None = None,
    resample: float | None = None,
    cell_diameter: float | None = None,
) -> ImportReport:
    """Write a crop store from a source, or resume an interrupted import.

    Parameters
    ----------
    out
        Folder of the store to make.
    spec
        How chunks are read, and what all crops have in common.
    listing
        The source's chunks.
    train_share
        Share of every protein's fields that become split ``train``, 0 to 1; the others become
        ``test`` (`compute.store.writer.CropStoreWriter`). None, the default, leaves splits as the
        source has them.
    one_field
        What is dealt out of proteins with one field only, ``cells`` or ``proteins``; None, the
        default, leaves all cells of such a protein in one split, and says so.
    overwrite
        Replace a store that is there already; by default it is refused.
    fresh
        Delete what an interrupted import left, instead of resuming it.
    jobs
        Processes that read, at least 1; None, the default, takes one per processor, and 1 only
        this one. Several are started afresh, so a script that calls this needs
        ``if __name__ == "__main__":``.
    progress
        Called with the listing's unit, units done and units in all; nobody is told by default.
    unchecked_masks
        Take masks that do not lie on cells (`compute.importers.judge`); the store says so. By
        default a source of such masks is refused, and single ones are flagged.
    no_surroundings
        Take crops whose surroundings were removed; the store says so, and no background can be
        tested with it. By default they are refused.
    size
        Side of the store's crops, pixels: crops are cut around their middle, or padded with their
        own medium. None, the default, keeps that of the source, whose crops must then be alike.
    pixel_size
        Micrometres from pixel to pixel in the source; None, the default, where nobody knows.
    resample
        Micrometres from pixel to pixel that the store should have; None, the default, leaves pixels
        as they are.
    cell_diameter
        Of a usual cell, pixels of the source, where cells are found in a marker; None, the default,
        estimates it.

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
        Not one cell could be taken, or most masks do not lie on cells, or the surroundings of
        most crops were removed.
    UsageError
        Something is at `out` already, or a parameter is out of range.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs = {jobs} cannot be used.", "Allowed: 1 or more.")
    if not (size is None and pixel_size is None and resample is None):
        fit = choose_fit(spec.format.size, size, pixel_size, resample)
        spec = replace(
            spec,
            format=replace(spec.format, size=fit.size),
            fit=fit,
            pixel_size=fit.resampling.pixel_size,
        )
    out, report, store_format = Path(out), progress or silent, spec.format
    scale = 1.0 if spec.fit is None else spec.fit.resampling.scale
    wanted = None if cell_diameter is None else cell_diameter * scale
    chosen = choose_segmentation(spec, listing.chunks(), wanted, unchecked=unchecked_masks)
    spec = replace(spec, unchecked_masks=unchecked_masks, segmentation=chosen.config)
    judged = partial(
        refuse,
        channels=store_format.channels,
        unchecked_masks=unchecked_masks,
        no_surroundings=no_surroundings,
    )
    header = {
        "kind": spec.kind,
        "channels": list(store_format.channels),
        "size": store_format.size,
        "dtype": store_format.dtype,
        "localizations": list(store_format.localizations),
        "train_share": train_share,
        "unchecked_masks": unchecked_masks,
        "no_surroundings": no_surroundings,
        "one_field": one_field,
        "segmentation": asdict(spec.segmentation),
        "resampling": None if spec.fit is None else asdict(spec.fit.resampling),
        **listing.depends_on,
    }
    with CropStoreWriter(
        out,
        channels=store_format.channels,
        size=store_format.size,
        dtype=store_format.dtype,
        localizations=store_format.localizations,
        source={"kind": spec.kind, "simulated": False},
        train_share=train_share,
        one_field=one_field,
        overwrite=overwrite,
        header=header,
        fresh=fresh,
    ) as writer:
        done = Counter(writer.progress.get("done", {}))
        counts = Counter(writer.progress.get("counts", {}))
        seen = DigestSet()
        for table in writer.staged("digests"):
            seen.add(table.column(0).to_numpy())
        committed, most = done["found"], COMMIT * chunk_size(store_format)
        chunks = islice(listing.chunks(), done["chunks"], None)
        for chunk, part in read_all(spec, chunks, jobs or os.cpu_count() or 1):
            part = _without_duplicates(spec, chunk, part, seen)
            writer.append(part)
            counts.update(part.counts)
            done["chunks"] += 1
            done["found"] += part.found
            judged(counts, least=JUDGED_EARLY)
            if chunk.done < listing.total:
                report(listing.unit, chunk.done, listing.total)
            if done["found"] - committed >= most:
                writer.commit({"done": done, "counts": counts})
                committed = done["found"]
        report(listing.unit, listing.total, listing.total)
        judged(counts)
        notes = [
            *listing.notes,
            *([] if spec.fit is None else spec.fit.resampling.notes()),
            *fit_notes(counts, store_format.size),
            *chosen.notes,
            *mask_notes(counts, "label image" if spec.compared == "field" else "mask"),
            *listing.closing(counts),
            *reading_notes(counts),
            *judgement_notes(counts, store_format.channels),
            *_window_notes(counts),
        ]
        writer.source["notes"] = notes
        if spec.pixel_size is not None:
            writer.source["pixel_size"] = spec.pixel_size
        writer.source["masks"] = {"given": counts[GIVEN], "segmented": counts[SEGMENTED]}
        shows = spec.marker if spec.marker is not None else spec.shows
        if shows is not None:
            writer.source["marker"] = store_format.channels[shows]
        if gone := channels_gone(counts, store_format.channels):
            writer.source["without_surroundings"] = gone
    stored = CropStore(out).meta["counts"]
    return ImportReport(
        out,
        done["found"],
        stored["cells"],
        stored["usable"],
        stored["windows"],
        tuple(writer.rejections),
        tuple(writer.source["notes"]),
        counts,
    )


def chunk_size(store_format: StoreFormat) -> int:
    """Return how many crops a chunk holds, at most, for a store of this format."""
    pixels = (
        len(store_format.channels) * store_format.size**2 * np.dtype(store_format.dtype).itemsize
    )
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
        Returns an item's field. A field with more items than a chunk holds is cut, and gets
        windows from each of its chunks.
    done
        Returns the units of progress that are done when an item has been read.

    Yields
    ------
    Chunk
        In the order of the items.
    """
    waiting: list[Item] = []
    for _, same in groupby(items, of_field):
        while some := list(islice(same, most)):
            if waiting and len(waiting) + len(some) > most:
                yield Chunk(waiting, done(waiting[-1]))
                waiting = []
            waiting += some
    if waiting:
        yield Chunk(waiting, done(waiting[-1]))


def identity(path: Path | str | None) -> str | None:
    """Return a table's or file's name with a hash of its content, for `Listing.depends_on`."""
    return None if path is None else f"{printable(path)} ({sha256(Path(path))[:16]})"


def refuse_early(out: Path, overwrite: bool) -> None:
    """Refuse a path that may not be replaced before a source is listed, which can take long.

    Raises
    ------
    UsageError
        See `compute.store.writer.refuse_to_replace`.
    """
    refuse_to_replace(Path(out), overwrite)


def _without_duplicates(spec: ImportSpec, chunk: Chunk, part: Part, seen: DigestSet) -> Part:
    """Read a chunk anew if it has images that earlier chunks have; remember its new ones."""
    digests = np.concatenate([table.column(0).to_numpy() for table in part.tables["digests"]])
    known = seen.known(digests)
    if known.any():
        part = read_chunk(spec, chunk.items, digests[known].tolist())
    seen.add(digests[~known])
    return part


def _window_notes(counts: Counter[str]) -> list[str]:
    if counts[NO_WINDOW] == 0:
        return []
    return [
        f"{counts[NO_WINDOW]} field(s) have no window without cells: none of their crops has "
        "enough medium."
    ]
