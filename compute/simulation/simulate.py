"""Simulates whole fields of one strain each, and cuts them into a crop store. No torch.

What is in it: two channels (GFP the protein, RFP a cytosolic marker) of budding yeast, 15
localizations and proteins in two places, with the true proportions of every cell. One strain a
field, so neighbours carry the protein of the centre cell, as on a plate. Light, gain, background
and focus differ between replicates. Nothing but the pattern tells the class: brightness comes
from one distribution for all. Made here; no licence but the project's.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from compute.errors import UsageError
from compute.hashing import Stream
from compute.simulation.config import SimulationConfig, StudyDesign
from compute.simulation.fields import FieldCrops, cut_crops, simulate_field
from compute.simulation.optics import CHANNELS, draw_batch_effect
from compute.simulation.proteome import Protein, draw_proteome
from compute.storage.atomic_files import Progress, silent
from compute.store.writer import CropStoreWriter

__all__ = ["SimulationConfig", "StudyDesign", "simulate"]


@dataclass(frozen=True)
class FieldSpec:
    """All that one field depends on, so that any process can simulate it.

    Parameters
    ----------
    protein
        The protein of its cells.
    number
        The protein's number in the proteome, from 0.
    index
        The field's number among those of the protein, from 0.
    replicate
        Number of the replicate, from 0.
    crops
        Number of crops wanted.
    seed
        The store's seed.
    config
        How a field looks.
    """

    protein: Protein
    number: int
    index: int
    replicate: int
    crops: int
    seed: int
    config: SimulationConfig

    @property
    def name(self) -> str:
        """Name of the field, such as ``SIM1-001-r1-f1``."""
        return f"{self.protein.name}-r{self.replicate + 1}-f{self.index + 1}"


def simulate(
    out: Path | str,
    *,
    proteins_per_class: int = StudyDesign.proteins_per_class,
    mixed_proteins: int = StudyDesign.mixed_proteins,
    varying_proteins: int = StudyDesign.varying_proteins,
    cells_per_protein: int = StudyDesign.cells_per_protein,
    fields_per_protein: int = StudyDesign.fields_per_protein,
    replicates: int = StudyDesign.replicates,
    seed: int = StudyDesign.seed,
    proteome_seed: int = StudyDesign.proteome_seed,
    size: int | None = None,
    config: SimulationConfig | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Path:
    """Simulate a crop store.

    Parameters
    ----------
    out
        Folder of the store to make.
    proteins_per_class, mixed_proteins, varying_proteins
        Numbers of proteins; see `StudyDesign`.
    cells_per_protein, fields_per_protein, replicates
        How much is simulated; see `StudyDesign`.
    seed
        Decides cells, fields, batch effects and noise. The same arguments give the same bytes,
        whatever the number of workers.
    proteome_seed
        Decides the proteins. Two stores that differ in `seed` only have the same proteins in other
        cells; two that differ in this have other proteins, with other names: one to train on, one
        to evaluate on.
    size
        Side of a crop, pixels; None, the default, takes that of `config`.
    config
        How a field looks; the defaults of `SimulationConfig` if None.
    overwrite
        Replace a store that is there already; by default it is refused.
    progress
        Called with ``"fields"``, fields done and fields in all; nobody is told by default.
    workers
        Processes, at least 1; None, the default, takes one per processor, and 1 only this one.
        Several are started afresh, so a script that calls this needs
        ``if __name__ == "__main__":``.

    Returns
    -------
    Path
        `out`, now a crop store.

    Raises
    ------
    UsageError
        A parameter is out of range, or something is at `out` already.

    Examples
    --------
    >>> from compute import CropStore, simulate
    >>> place = simulate(
    ...     "simulated", proteins_per_class=1, mixed_proteins=0, cells_per_protein=2, workers=1
    ... )
    >>> len(CropStore(place).cells)
    30
    """
    out = Path(out)
    design = StudyDesign(
        proteins_per_class,
        mixed_proteins,
        cells_per_protein,
        fields_per_protein,
        replicates,
        seed,
        proteome_seed,
        varying_proteins,
    )
    settings = asdict(config or SimulationConfig())
    config = SimulationConfig(**(settings if size is None else {**settings, "size": size}))
    if workers is not None and workers < 1:
        raise UsageError(f"workers = {workers} cannot be used.", "Allowed: 1 or more.")
    specs = _specs(design, config)
    source = {
        "kind": "simulated",
        "simulated": True,
        "design": asdict(design),
        "config": asdict(config),
    }
    report = progress or silent
    with CropStoreWriter(
        out,
        channels=CHANNELS,
        size=config.size,
        dtype="uint16",
        source=source,
        overwrite=overwrite,
    ) as writer:
        report("fields", 0, len(specs))
        cells = 0
        for done, (spec, crops) in enumerate(_run(specs, workers), start=1):
            _write(writer, spec, crops)
            cells += len(crops.images)
            report("fields", done, len(specs))
        writer.source["masks"] = {"given": cells, "segmented": 0}
    return out


def _specs(design: StudyDesign, config: SimulationConfig) -> list[FieldSpec]:
    """Return all fields, of one protein each, in the replicates by turns."""
    proteins = draw_proteome(
        design.proteins_per_class,
        design.mixed_proteins,
        config.brightness_spread,
        config.contrast_spread,
        design.proteome_seed,
        design.varying_proteins,
    )
    shares = np.diff(
        np.linspace(0, design.cells_per_protein, design.fields_per_protein + 1).astype(int)
    )
    return [
        FieldSpec(
            protein,
            number,
            index,
            # A lone field per protein still meets every replicate over the proteins.
            (number * (design.fields_per_protein % design.replicates > 0) + index)
            % design.replicates,
            int(shares[index]),
            design.seed,
            config,
        )
        for number, protein in enumerate(proteins)
        for index in range(design.fields_per_protein)
    ]


def draw_field(spec: FieldSpec) -> FieldCrops:
    """Simulate one field and cut its crops."""
    effect_seed = np.random.SeedSequence(
        spec.seed, spawn_key=(Stream.SIMULATED_BATCH, spec.replicate)
    )
    field_seed = np.random.SeedSequence(
        spec.seed, spawn_key=(Stream.SIMULATED_FIELD, spec.number, spec.index)
    )
    effect = draw_batch_effect(spec.config, np.random.default_rng(effect_seed))
    rng = np.random.default_rng(field_seed)
    field = simulate_field(spec.protein, spec.config, effect, spec.crops, rng)
    return cut_crops(field, spec.config, spec.crops, rng)


def _run(specs: list[FieldSpec], workers: int | None) -> Iterator[tuple[FieldSpec, FieldCrops]]:
    """Simulate fields in this process or in several; results come in the order of `specs`."""
    processes = min(workers or os.cpu_count() or 1, len(specs))
    if processes == 1:
        yield from ((spec, draw_field(spec)) for spec in specs)
        return
    # Fresh processes: a fork of one that has run threads (PyTorch, Arrow) can hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(specs, pool.map(draw_field, specs), strict=True)


def _write(writer: CropStoreWriter, spec: FieldSpec, crops: FieldCrops) -> None:
    """Add a field's crops and windows to the store."""
    count, protein = len(crops.images), spec.protein
    cells = pd.DataFrame(
        {
            "protein": [protein.name] * count,
            "orf": [protein.orf] * count,
            "localization": [protein.localization] * count,
            "labels": [list(protein.labels)] * count,
            "field": [spec.name] * count,
            "replicate": [str(spec.replicate + 1)] * count,
        }
    )
    for _ in range(spec.crops - count):
        writer.reject("the field had no room for as many cells as asked for", spec.name)
    writer.add(crops.images, crops.masks, crops.foregrounds, cells, crops.truth)
    writer.add_windows(
        crops.windows,
        field=spec.name,
        protein=protein.name,
        localization=protein.localization,
        replicate=str(spec.replicate + 1),
    )
