"""The crops of a plan in files that other programs read: what `bystander export trials` does.

Layer: reads a store, composes shard by shard as a run does, writes a folder. The folder is made
beside its final place and moved there when all of it is written, so it is whole or not there.
"""

import errno
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from compute import __version__, schema
from compute.amounts import size
from compute.backgrounds.compose import combine, gather
from compute.backgrounds.harmonise import Scales, measure
from compute.backgrounds.plan import Plan
from compute.embedding.tables import second_readings
from compute.embedding.worker import SHARD_CELLS
from compute.errors import DiskError, UsageError, unknown_value
from compute.images.dilation import to_masks
from compute.runs.config import RunConfig
from compute.runs.exports.crop_writer import CropFacts, Crops, CropWriter
from compute.runs.exports.identity import composites, crop_keys, deciding
from compute.runs.exports.registry import WRITERS
from compute.runs.prepare import prepare
from compute.schema import OWN_READING, ExportFormat, Reading
from compute.storage.atomic_files import (
    Progress,
    disk_error,
    sha256,
    silent,
    table_writer,
)
from compute.storage.atomic_folders import already_there, take_place
from compute.storage.locks import lock
from compute.storage.paths import ExportPaths
from compute.storage.run_directory import Notice, command_line, unheard
from compute.storage.sealed_json import write_sealed
from compute.store.reader import CropArrays, CropStore

BATCH_CROPS, BATCH_BYTES = 64, 2**26
"""Crops that are joined and written together at most, and bytes of them."""

PIXEL_TYPE = "float32"
"""Type of the exported pixels: raw intensities of the centre cell's crop, not scaled."""


def export_trials(
    store: Path | str,
    out: Path | str,
    *,
    config: RunConfig | None = None,
    format: str = ExportFormat.OME_ZARR,
    channels: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> Path:
    """Write the crops of all trials, so that another program can answer to them.

    Beside the pixels lie `trials.parquet`, a row per crop (`compute.schema.exported_schema`), and
    `export.json`, which says what was exported. Pixels are as composed: raw intensities, float32,
    with no model's scaling. Crops of second readings in which the donor's own cell is treated the
    other way are exported too; those that are only scaled the other way have the same pixels.
    Memory does not grow with the store.

    Parameters
    ----------
    store
        A crop store.
    out
        The folder to make.
    config
        Settings of the run that the crops are for; `RunConfig()` by default. Its `plan` and what
        its `embed` says of composing decide trials and pixels.
    format
        One of `compute.schema.ExportFormat`: ``"ome-zarr"`` (the default; needs the extra `zarr`),
        ``"ome-tiff"`` or ``"h5sc"``.
    channels
        Names of the channels to write, in that order; all of the store by default.
    overwrite
        Replace an export that is there; by default it is refused.
    progress
        Called with ``"export"``, crops written and crops in all.
    notice
        Told at the start how many crops there are and how much of the disk they take.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UsageError
        There is no such format or channel, or something is at `out` that is not to be replaced.
    InputError
        The store cannot be read or planned for, or a package is not installed.
    BusyError
        Another process is writing the same export.
    DiskError
        The disk is full, or does not give back what was written.

    Examples
    --------
    >>> from compute import PlanConfig, RunConfig, export_trials
    >>> config = RunConfig(plan=PlanConfig(("unaltered", "masked"), folds=2))
    >>> folder = export_trials("store", "crops", config=config, format="ome-tiff")
    >>> sorted(path.name for path in folder.iterdir())[-2:]
    ['export.json', 'trials.parquet']
    """
    out, settings = Path(out), RunConfig() if config is None else config
    if format not in set(ExportFormat):
        raise unknown_value("format", format, ExportFormat)
    _refuse_to_replace(out, overwrite)
    opened = CropStore(store)
    picked = _channel_numbers(opened, channels)
    plan, _ = prepare(opened, settings)
    work = out.with_name(f".{out.name}.export")
    try:
        with lock(work, "export"):
            try:
                _clear(work)
                folder = work / "export"
                folder.mkdir()
                export = _Export(opened, plan, settings, ExportFormat(format), picked)
                notice(export.extent(work))
                export.write(folder, work / "decoded", progress)
                take_place(folder, out, lambda: _refuse_to_replace(out, overwrite))
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except (OSError, DiskError) as error:
        raise _unwritten(error, out) from error.__cause__ or error
    return out


class _Export:
    """The crops of a plan, on their way to files.

    Parameters
    ----------
    store, plan, config
        What they are made from.
    format
        What they are written as.
    channels
        Numbers of the store's channels, in the order in which they are written.
    """

    def __init__(
        self,
        store: CropStore,
        plan: Plan,
        config: RunConfig,
        format: ExportFormat,
        channels: list[int],
    ) -> None:
        self._store, self._plan, self._config = store, plan, config
        self._format, self._channels = format, channels
        readings = config.embed.readings(plan.config.composed)
        self._again = readings.get(Reading.CENTRE, ())
        self._ranges = plan.shards(SHARD_CELLS)
        self._counts = [self._count(*shard) for shard in self._ranges]
        self._facts = CropFacts(
            store.path.resolve().name,
            composites(store.fingerprint, config),
            sum(self._counts),
            tuple(store.channels[number] for number in channels),
            store.size,
            store.meta["source"].get("pixel_size"),
        )

    def extent(self, work: Path) -> str:
        """Say how many crops there are, and what they take of the disk that holds `work`."""
        facts, store = self._facts, self._store
        crops = 4 * facts.count * int(np.prod(facts.shape))
        image = len(store.channels) * store.size**2 * store.dtype.itemsize
        pixels = len(store.cells) * (image + 2 * ((store.size**2 + 7) // 8))
        pixels += len(store.windows) * image
        return (
            f"{facts.count:,} crops of {self._plan.count:,} trials, {len(facts.channels)} × "
            f"{store.size} × {store.size} pixels of {PIXEL_TYPE}: {size(crops)} before "
            f"compression, and {size(pixels)} more while they are written; "
            f"{size(shutil.disk_usage(work).free)} are free."
        )

    def write(self, folder: Path, cache: Path, progress: Progress) -> None:
        """Write the whole export into an empty folder.

        Parameters
        ----------
        folder
            Where it is written.
        cache
            Folder for the store's uncompressed pixels, so that memory stays small.
        progress
            As in `export_trials`.
        """
        paths, embed = ExportPaths(folder), self._config.embed
        writer = WRITERS[self._format](folder, self._facts)
        arrays = self._store.arrays(cache=cache, mask_shift=embed.mask_shift)
        scales = measure(
            embed.harmonise, self._store.cells, self._store.windows, arrays,
            self._config.plan.seed,
        )  # fmt: skip
        first, last = 0, _Last()
        with table_writer(paths.trials, schema.exported_schema()) as add:
            for number, count in enumerate(self._counts):
                shard = self._shard(number)
                rows = self._rows(shard, writer, number, first)
                add(rows)
                writer.write(rows, last.seen(self._composed(shard, arrays, scales)))
                first += count
                progress("export", first, self._facts.count)
        writer.finish()
        _verify(writer, rows, last.images)
        write_sealed(paths.header, self._header(paths))

    def _count(self, start: int, stop: int) -> int:
        """Count the crops of a range of the plan's cells."""
        first, last = self._plan.span(start, stop)
        if not self._again:
            return last - first + 1
        return last - first + 1 + len(second_readings(self._plan.trials(start, stop), self._again))

    def _shard(self, number: int) -> pd.DataFrame:
        """Make the crops of a shard: its trials, and behind them those that are read again.

        Columns of `compute.backgrounds.plan.Plan.trials`, with `other_centre` (whether the crop is
        a second reading) and `reading`, which says so in words.
        """
        trials = self._plan.trials(*self._ranges[number])
        again = second_readings(trials, self._again)
        both = pd.concat([trials, trials.iloc[again]], ignore_index=True)
        other = np.repeat([False, True], [len(trials), len(again)])
        reading = np.where(other, str(Reading.CENTRE), OWN_READING).astype(object)
        return both.assign(other_centre=other, reading=reading)

    def _rows(self, trials: pd.DataFrame, writer: CropWriter, number: int, first: int) -> pa.Table:
        """Return a shard's rows of the table."""
        file, places = writer.places(number, first, len(trials))
        donor = trials["donor"].to_numpy()
        table = pa.table(
            {
                "row": np.arange(first, first + len(trials)),
                "file": [file] * len(trials),
                "place": places,
                "key": crop_keys(self._facts.fingerprint, trials["trial"], trials["reading"]),
                "reading": pa.array(trials["reading"]),
                "trial": trials["trial"].to_numpy(),
                "cell": trials["cell"].to_numpy(),
                "condition": pa.array(trials["condition"]),
                "donor": pa.array(donor, mask=donor < 0),
                "donor_localization": pa.array(trials["donor_localization"]),
                "repeat": trials["repeat"].to_numpy(),
            }
        )
        return schema.check_table(table, schema.exported_schema(), "trials of an export")

    def _composed(
        self, trials: pd.DataFrame, arrays: CropArrays, scales: Scales
    ) -> Iterator[Crops]:
        """Compose the crops of a shard, some at a time."""
        embed, wanted = self._config.embed, sorted(self._channels)
        inputs = gather(trials, arrays, scales, embed.donor_centre, embed.paste, wanted)
        order = [wanted.index(number) for number in self._channels]
        crop = 4 * int(np.prod(self._facts.shape))
        step = max(1, min(BATCH_CROPS, BATCH_BYTES // crop))
        cells = trials["cell"].to_numpy()
        for start in range(0, len(inputs), step):
            rows = slice(start, min(start + step, len(inputs)))
            images = combine(inputs, rows).numpy()
            mask, _ = arrays.outlines(cells[rows])
            yield Crops(
                images if order == list(range(len(order))) else images[:, order],
                to_masks(mask, self._store.size),
            )

    def _header(self, paths: ExportPaths) -> dict[str, object]:
        """Return what `export.json` says."""
        facts, store = self._facts, self._store
        return {
            "schema_version": schema.EXPORT_VERSION,
            "bystander_version": __version__,
            "run_version": schema.RUN_VERSION,
            "format": str(self._format),
            "format_in_words": schema.EXPORT_FORMATS[self._format],
            "store": {"path": store.path.name, "fingerprint": store.fingerprint},
            "simulated": store.simulated,
            "configuration": deciding(self._config),
            "composites": facts.fingerprint,
            "channels": list(facts.channels),
            "size": facts.size,
            "pixel_size": facts.pixel_size,
            "pixel_type": PIXEL_TYPE,
            "intensities": "raw, as composed: in those of the centre cell's crop, scaled by no "
            "model",
            "counts": {
                "crops": facts.count,
                "trials": self._plan.count,
                **{f"trials_{name}": n for name, n in self._plan.counts.items()},
                str(Reading.CENTRE): facts.count - self._plan.count,
                "cells": len(self._plan.rows),
            },
            "rejections": self._plan.rejections,
            "trials_sha256": sha256(paths.trials),
            "command": command_line(),
        }


class _Last:
    """Remembers the last crops that went by.

    Attributes
    ----------
    images : ndarray
        Shape (n, C, H, W).
    """

    images: NDArray[np.float32]

    def seen(self, crops: Iterator[Crops]) -> Iterator[Crops]:
        """Pass crops on."""
        for some in crops:
            self.images = some.images
            yield some


def _verify(writer: CropWriter, rows: pa.Table, images: NDArray[np.float32]) -> None:
    """Read the last crops back; a format or a disk that altered them is found at once.

    Raises
    ------
    DiskError
        They are not those that were written.
    """
    file, stop = rows["file"][-1].as_py(), rows["place"][-1].as_py() + 1
    found = writer.read(file, stop - len(images), stop)
    if not np.array_equal(found, images):
        raise DiskError(
            f"{file}: the last {len(images)} crops are not what was written.",
            "Write to another disk, or in another format.",
        )


def _channel_numbers(store: CropStore, channels: Sequence[str] | None) -> list[int]:
    """Return the numbers of the channels that are wanted, in their order."""
    if channels is None:
        return list(range(len(store.channels)))
    for name in channels:
        if name not in store.channels:
            raise unknown_value("channel", name, store.channels)
    if not channels or len(set(channels)) < len(channels):
        raise UsageError(
            f"channels are {', '.join(channels) or 'none'}; each can be written once.",
            f"Give some of {', '.join(store.channels)}.",
        )
    return [store.channels.index(name) for name in channels]


def _refuse_to_replace(out: Path, overwrite: bool) -> None:
    """Refuse a place where something is that may not be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file.", "Give a folder for the export.")
    if not any(out.iterdir()):
        return
    if not ExportPaths(out).header.is_file():
        raise UsageError(
            f"{out} is not empty and holds no export, so it is not replaced.",
            "Give another folder.",
        )
    if not overwrite:
        raise already_there(out)


def _unwritten(error: OSError | DiskError, out: Path) -> DiskError:
    """Return the error to raise where an export could not be written; it names the export."""
    if isinstance(error, DiskError):
        if not isinstance(error.__cause__, OSError):
            return error
        cause = error.__cause__
    else:
        cause = error
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"The disk is full: {out} could not be written, and nothing of it was kept.",
            "Free some space, or write fewer channels (--channels) or --conditions.",
        )
    return disk_error(cause, out)


def _clear(work: Path) -> None:
    """Delete what a killed export left in its folder, but for the lock."""
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
