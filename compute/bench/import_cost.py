"""What an import costs: time per crop and memory, measured on seeded sources of any size.

Layer: writes a source and imports it by the command line, in a process of its own. The sources are
simulated crops written as PIFiA and DeepLoc distribute theirs: a few hundred are drawn, and each
crop of the source is one of them under its own gain and noise, so that writing a source costs less
than importing it.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from compute.bench.timing import COMMAND
from compute.errors import BystanderError, InputError, unknown_value
from compute.simulation.config import SimulationConfig
from compute.simulation.proteome import draw_proteome
from compute.simulation.simulate import FieldSpec, draw_field

DRAWN = 240
"""Crops that are simulated; the others are made from them."""

PER_PROTEIN = 700
"""Crops in one protein's folder, as in PIFiA's 3 million crops of 4,049 proteins."""

EVERY = 0.05
"""Seconds between two readings of the memory in use."""


@dataclass(frozen=True)
class ImportCost:
    """What an import cost.

    Parameters
    ----------
    crops
        Number of crops in the source.
    seconds
        Seconds by the clock, the start of the command included.
    cpu_seconds
        Processor time of all its processes in seconds, on which other work of the machine has
        little influence.
    peak
        Largest resident memory of all its processes together in bytes (pages that they share
        count for each); None where the system does not say.
    """

    crops: int
    seconds: float
    cpu_seconds: float
    peak: int | None

    @property
    def seconds_per_million(self) -> float:
        """Seconds that a million crops would take at this speed."""
        return self.seconds / self.crops * 1e6


def measure_import(kind: str, crops: int, folder: Path, jobs: int, seed: int = 0) -> ImportCost:
    """Write a source, import it by the command line in a process of its own, and measure that.

    Parameters
    ----------
    kind
        ``"pifia"``: three images and a mask per crop, in files of their own; or ``"chong"``: one
        HDF5 file without masks, which are then found by segmentation.
    crops
        Number of crops in the source, at least 1.
    folder
        Folder for the source and the store; both stay there, and a source that is there is used
        again.
    jobs
        Number of processes that read.
    seed
        Decides the source; 0 by default.

    Raises
    ------
    UsageError
        The kind of source does not exist.
    InputError
        `crops` is below 1.
    BystanderError
        The import failed; shows what it printed.
    """
    if kind not in WRITERS:
        raise unknown_value("kind of source", kind, WRITERS)
    if crops < 1:
        raise InputError(f"crops = {crops}.", "Allowed: 1 or more.")
    source = folder / f"{kind}-{crops}-{seed}"
    if not source.exists():
        WRITERS[kind](source, crops, seed)
    command = [*COMMAND, "import", kind]
    command += [str(source), str(folder / f"{source.name}-store"), "--overwrite"]
    command += ["--jobs", str(jobs)]
    began, used = time.perf_counter(), _cpu_of_children()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(_resident(pid) for pid in _tree(process.pid)))
            time.sleep(EVERY)
        seconds = time.perf_counter() - began
        said = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise BystanderError(f"The import of {source} failed: {said.strip()}")
    cpu = _cpu_of_children() - used
    return ImportCost(crops, seconds, cpu, peak or None)


def write_pifia(folder: Path, crops: int, seed: int = 0) -> None:
    """Write crops as ``GENE/GENE_ch1_N.tiff``, ``ch2``, ``ch3`` and ``GENE_mask_N.tiff``."""
    for number, image, mask in _crops(crops, seed):
        gene = f"SIM{number // PER_PROTEIN:04d}"
        (folder / gene).mkdir(parents=True, exist_ok=True)
        gfp, rfp = image
        for name, values in (
            (f"ch1_{number}", gfp),
            (f"ch2_{number}", rfp // 2 + gfp // 2),
            (f"ch3_{number}", rfp),
            (f"mask_{number}", np.where(mask, 255, 0).astype(np.uint8)),
        ):
            tifffile.imwrite(folder / gene / f"{gene}_{name}.tiff", values)


def write_chong(folder: Path, crops: int, seed: int = 0) -> None:
    """Write crops as rows of ``data1`` in one HDF5 file, with ``Index1`` over three classes."""
    names = ["ACTIN", "CYTOPLASM", "NUCLEI"]
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "Chong_test_set.hdf5", "w") as file:
        first = next(_crops(1, seed))[1]
        shape = (crops, first.size)
        data = file.create_dataset("data1", shape, np.float32, chunks=(min(64, crops), first.size))
        for number, image, _ in _crops(crops, seed):
            data[number] = image.reshape(-1) / np.float32(65535)
        file["Index1"] = np.eye(len(names))[np.arange(crops) % len(names)]
        file["Index1_columns"] = np.array([name.encode() for name in names])


WRITERS = {"pifia": write_pifia, "chong": write_chong}
"""What writes a source of each kind."""


def _crops(count: int, seed: int) -> Iterator[tuple[int, NDArray[np.uint16], NDArray[np.bool_]]]:
    """Yield numbers, crops of shape (2, 64, 64) and masks of shape (64, 64); no two are alike."""
    rng = np.random.default_rng(seed)
    config = SimulationConfig()
    images: list[NDArray[Any]] = []
    masks: list[NDArray[np.bool_]] = []
    for number, protein in enumerate(draw_proteome(1, 0, 0.5, 0.3, seed)):
        if len(images) < min(DRAWN, count):
            crops = draw_field(FieldSpec(protein, number, 0, 0, 40, seed, config))
            images += list(crops.images)
            masks += list(crops.masks)
    for number in range(count):
        at = number % len(images)
        noise = rng.normal(0, 3, images[at].shape)
        values = images[at] * rng.uniform(0.7, 1.2) + noise
        yield number, values.clip(0, 65535).astype(np.uint16), masks[at]


def _cpu_of_children() -> float:
    """Return the processor time, in seconds, of ended children and of what they had started."""
    import resource  # not on Windows, where the rest of this module must load

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree(pid: int) -> list[int]:
    """List a process and all processes that it has started, itself first."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            children = Path(f"/proc/{one}/task/{one}/children").read_text("ascii")
            found += [int(child) for child in children.split()]
    return found


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 where it is gone or not known."""
    with suppress(OSError, IndexError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
