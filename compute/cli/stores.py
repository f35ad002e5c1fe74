"""Verbs that make crop stores: simulate, import.

Layer: reads options, calls `compute.simulation` and `compute.importers`, prints lines.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compute.cli import console
from compute.cli.options import (
    ClassNames,
    Localizations,
    NewStore,
    OneField,
    Overwrite,
    Project,
    Separators,
    TrainShare,
    names,
)
from compute.importers import config
from compute.importers.config import CuttingConfig
from compute.simulation.config import StudyDesign

if TYPE_CHECKING:
    from compute.importers.run_import import ImportReport

FreshImport = Annotated[
    bool, typer.Option("--fresh", help="Delete what an interrupted import left, and begin anew.")
]
ImportJobs = Annotated[
    int | None, typer.Option("--jobs", help="Processes that read crops; default: all cores.")
]

UncheckedMasks = Annotated[
    bool,
    typer.Option("--unchecked-masks", help="Take masks although they do not lie on cells."),
]
NoSurroundings = Annotated[
    bool,
    typer.Option(
        "--no-surroundings",
        help="Take crops whose surroundings were removed; no background can be tested with them.",
    ),
]
MaskThreshold = Annotated[
    float | None,
    typer.Option(
        "--mask-threshold", help="Of masks that are probabilities: least value of a cell's pixel."
    ),
]

app = typer.Typer()
imports = typer.Typer(help="Make a crop store from images.", no_args_is_help=True)
app.add_typer(imports, name="import")


@app.command()
def simulate(
    store: NewStore,
    proteins_per_class: Annotated[int, typer.Option(help="Proteins per localization.")] = (
        StudyDesign.proteins_per_class
    ),
    mixed_proteins: Annotated[int, typer.Option(help="Proteins with two localizations.")] = (
        StudyDesign.mixed_proteins
    ),
    varying_proteins: Annotated[
        int, typer.Option(help="Proteins that vary between two places and have one label.")
    ] = StudyDesign.varying_proteins,
    cells_per_protein: Annotated[int, typer.Option(help="Crops per protein.")] = (
        StudyDesign.cells_per_protein
    ),
    fields_per_protein: Annotated[int, typer.Option(help="Images per protein.")] = (
        StudyDesign.fields_per_protein
    ),
    replicates: Annotated[int, typer.Option(help="Batches with their own light and gain.")] = (
        StudyDesign.replicates
    ),
    seed: Annotated[int, typer.Option(help="Decides fields, cells and noise.")] = (
        StudyDesign.seed
    ),
    proteome_seed: Annotated[int, typer.Option(help="Decides the proteins.")] = (
        StudyDesign.proteome_seed
    ),
    overwrite: Overwrite = False,
) -> None:
    """Draw simulated fields of yeast, one strain a field, and cut them into a crop store.

    Example: bystander simulate simulated-store --cells-per-protein 20
    """
    from compute.simulation.simulate import simulate as draw

    with console.progress() as report:
        draw(
            store,
            proteins_per_class=proteins_per_class,
            mixed_proteins=mixed_proteins,
            varying_proteins=varying_proteins,
            cells_per_protein=cells_per_protein,
            fields_per_protein=fields_per_protein,
            replicates=replicates,
            seed=seed,
            proteome_seed=proteome_seed,
            overwrite=overwrite,
            progress=report,
        )
    _describe(store)


@imports.command(name="paired-cell")
def import_paired_cell(
    source: Annotated[Path, typer.Argument(help="Folder with a folder per gene.")],
    store: NewStore,
    localizations: Localizations = None,
    class_names: ClassNames = None,
    separators: Separators = "",
    project: Project = None,
    train_share: TrainShare = None,
    one_field: OneField = None,
    overwrite: Overwrite = False,
    fresh: FreshImport = False,
    jobs: ImportJobs = None,
    unchecked_masks: UncheckedMasks = False,
    no_surroundings: NoSurroundings = False,
) -> None:
    """Import crops in the layout of Paired Cell Inpainting (GENE/GENE_1_rfp_1_gfp.tif).

    Example: bystander import paired-cell crops store --localizations localizations.csv
    """
    from compute.importers.paired_cell import import_paired_cell as read

    _import(
        read, source, store, localizations=localizations, class_names=class_names,
        separators=separators, project=project, train_share=train_share, one_field=one_field,
        overwrite=overwrite, fresh=fresh, jobs=jobs,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings,
    )  # fmt: skip


@imports.command(name="pifia")
def import_pifia(
    source: Annotated[Path, typer.Argument(help="Folder with a folder per protein.")],
    store: NewStore,
    splits: Annotated[
        Path | None, typer.Option(help="CSV with the columns protein,split or file,split.")
    ] = None,
    field_cells: Annotated[
        int, typer.Option(help="Consecutive cells of a protein that count as one field.")
    ] = config.FIELD_CELLS,
    localizations: Localizations = None,
    class_names: ClassNames = None,
    mask_threshold: MaskThreshold = None,
    separators: Separators = "",
    project: Project = None,
    train_share: TrainShare = None,
    one_field: OneField = None,
    overwrite: Overwrite = False,
    fresh: FreshImport = False,
    jobs: ImportJobs = None,
    unchecked_masks: UncheckedMasks = False,
    no_surroundings: NoSurroundings = False,
) -> None:
    """Import crops in the layout of PIFiA (GENE/GENE_ch1_1.tiff) or Chong (GENE_1_gfp.tiff).

    Example: bystander import pifia crops store --localizations localizations.csv
    """
    from compute.importers.pifia import import_pifia as read

    _import(
        read, source, store, splits=splits, field_cells=field_cells, localizations=localizations,
        class_names=class_names, separators=separators, project=project, train_share=train_share,
        one_field=one_field, overwrite=overwrite, fresh=fresh, jobs=jobs,
        mask_threshold=mask_threshold, unchecked_masks=unchecked_masks,
        no_surroundings=no_surroundings,
    )  # fmt: skip


@imports.command(name="chong")
def import_chong(
    source: Annotated[Path, typer.Argument(help="An HDF5 file, or a folder of them.")],
    store: NewStore,
    parts: Annotated[
        int, typer.Option(help="Parts of each class of a file that stand for proteins.")
    ] = config.PARTS,
    class_names: ClassNames = None,
    train_share: TrainShare = None,
    one_field: OneField = None,
    overwrite: Overwrite = False,
    fresh: FreshImport = False,
    jobs: ImportJobs = None,
    unchecked_masks: UncheckedMasks = False,
    no_surroundings: NoSurroundings = False,
) -> None:
    """Import DeepLoc's HDF5 files of labelled cells of Chong and others.

    Example: bystander import chong Chong_test_set.hdf5 store
    """
    from compute.importers.chong import import_chong as read

    _import(
        read, source, store, parts=parts, class_names=class_names, train_share=train_share,
        one_field=one_field, overwrite=overwrite, fresh=fresh, jobs=jobs,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings,
    )  # fmt: skip


@imports.command(name="fields")
def import_fields(
    source: Annotated[Path, typer.Argument(help="Folder of <field>-ch1….tiff and so on.")],
    store: NewStore,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of <field>_labeled.tiff, if another.")
    ] = None,
    channels: Annotated[
        str, typer.Option(help="Names of ch1, ch2 and so on, by commas.")
    ] = ",".join(config.FIELD_CHANNELS),
    marker: Annotated[
        str, typer.Option(help="Channel that shows whole cells, to find unlabelled ones.")
    ] = config.MARKER,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV: field (or well such as r01c01),protein, optional localization."),
    ] = None,
    protein: Annotated[
        str | None, typer.Option(help="Of fields not in the table; default: their well.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of a crop, pixels.")] = CuttingConfig.size,
    windows: Annotated[int, typer.Option(help="Windows without cells per field, at most.")] = (
        CuttingConfig.windows
    ),
    margin: Annotated[int, typer.Option(help="Their least distance from cells, pixels.")] = (
        CuttingConfig.margin
    ),
    seed: Annotated[int, typer.Option(help="Decides where windows lie.")] = CuttingConfig.seed,
    split_cells: Annotated[
        str | None,
        typer.Option(
            help="Separate touching cells of 0/1 label images: `centres`, or a channel of nuclei."
        ),
    ] = None,
    localizations: Localizations = None,
    class_names: ClassNames = None,
    mask_threshold: MaskThreshold = None,
    separators: Separators = "",
    project: Project = None,
    train_share: TrainShare = None,
    one_field: OneField = None,
    overwrite: Overwrite = False,
    fresh: FreshImport = False,
    jobs: ImportJobs = None,
    unchecked_masks: UncheckedMasks = False,
    no_surroundings: NoSurroundings = False,
) -> None:
    """Cut whole fields with label images into crops and windows without cells.

    Example: bystander import fields images store --table fields.csv
    """
    from compute.importers.fields import import_fields as read

    _import(
        read, source, store, labels=labels, channels=names(channels), marker=marker, table=table,
        protein=protein, config=CuttingConfig(size=size, windows=windows, margin=margin, seed=seed),
        localizations=localizations, class_names=class_names, separators=separators,
        project=project, train_share=train_share, one_field=one_field, overwrite=overwrite,
        fresh=fresh, jobs=jobs,
        split_cells=split_cells, mask_threshold=mask_threshold,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings,
    )  # fmt: skip


@imports.command(name="manifest")
def import_manifest(
    table: Annotated[Path, typer.Argument(help="CSV, Parquet or Excel, a row per crop.")],
    store: NewStore,
    channels: Annotated[
        str, typer.Option(help="Channel columns (or `path` with that many), by commas.")
    ] = ",".join(config.MANIFEST_CHANNELS),
    marker: Annotated[
        str, typer.Option(help="Channel that shows whole cells, for missing masks.")
    ] = config.MARKER,
    localizations: Localizations = None,
    mask_threshold: MaskThreshold = None,
    class_names: ClassNames = None,
    separators: Separators = "",
    project: Project = None,
    train_share: TrainShare = None,
    one_field: OneField = None,
    overwrite: Overwrite = False,
    fresh: FreshImport = False,
    jobs: ImportJobs = None,
    unchecked_masks: UncheckedMasks = False,
    no_surroundings: NoSurroundings = False,
) -> None:
    """Import crops listed in a table: paths, protein, localization, optional mask and field.

    Example: bystander import manifest crops.csv store --channels GFP,RFP
    """
    from compute.importers.manifest import import_manifest as read

    _import(
        read, table, store, channels=names(channels), marker=marker, localizations=localizations,
        class_names=class_names, separators=separators, project=project, train_share=train_share,
        one_field=one_field, overwrite=overwrite, fresh=fresh, jobs=jobs,
        mask_threshold=mask_threshold,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings,
    )  # fmt: skip


def _import(read: Callable[..., "ImportReport"], source: Path, store: Path, **options: Any) -> None:
    """Call an importer with a progress bar, then print what it made."""
    with console.progress() as report:
        read(source, store, progress=report, **options)
    _describe(store)


def _describe(path: Path) -> None:
    """Print what a new crop store holds, and what could not be taken."""
    from compute.runs.describe import store_lines
    from compute.runs.summary import summarise_store

    facts = summarise_store(path)
    console.show(list(store_lines(path, facts)), facts)
