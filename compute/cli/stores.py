"""Verbs that make crop stores: simulate, import.

Layer: reads options, calls `compute.simulation` and `compute.importers`, prints lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.cli import console
from compute.cli.field_imports import add_field_imports
from compute.cli.import_options import (
    CellDiameter,
    FreshImport,
    ImportJobs,
    MaskThreshold,
    NoSurroundings,
    PixelSize,
    Resample,
    Size,
    UncheckedMasks,
    describe,
    import_with,
)
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
from compute.simulation.config import StudyDesign

app = typer.Typer()
imports = typer.Typer(help="Make a crop store from images.", no_args_is_help=True)
app.add_typer(imports, name="import")
add_field_imports(imports)


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
    describe(store)


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
    size: Size = None,
    pixel_size: PixelSize = None,
    resample: Resample = None,
    cell_diameter: CellDiameter = None,
) -> None:
    """Import crops in the layout of Paired Cell Inpainting (GENE/GENE_1_rfp_1_gfp.tif).

    Example: bystander import paired-cell crops store --localizations localizations.csv
    """
    from compute.importers.paired_cell import import_paired_cell as read

    import_with(
        read, source, store, localizations=localizations, class_names=class_names,
        separators=separators, project=project, train_share=train_share, one_field=one_field,
        overwrite=overwrite, fresh=fresh, jobs=jobs,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings, size=size,
        pixel_size=pixel_size, resample=resample, cell_diameter=cell_diameter,
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
    size: Size = None,
    pixel_size: PixelSize = None,
    resample: Resample = None,
    cell_diameter: CellDiameter = None,
) -> None:
    """Import crops in the layout of PIFiA (GENE/GENE_ch1_1.tiff) or Chong (GENE_1_gfp.tiff).

    Example: bystander import pifia crops store --localizations localizations.csv
    """
    from compute.importers.pifia import import_pifia as read

    import_with(
        read, source, store, splits=splits, field_cells=field_cells, localizations=localizations,
        class_names=class_names, separators=separators, project=project, train_share=train_share,
        one_field=one_field, overwrite=overwrite, fresh=fresh, jobs=jobs,
        mask_threshold=mask_threshold, unchecked_masks=unchecked_masks,
        no_surroundings=no_surroundings, size=size,
        pixel_size=pixel_size, resample=resample, cell_diameter=cell_diameter,
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
    size: Size = None,
    pixel_size: PixelSize = None,
    resample: Resample = None,
    cell_diameter: CellDiameter = None,
) -> None:
    """Import DeepLoc's HDF5 files of labelled cells of Chong and others.

    Example: bystander import chong Chong_test_set.hdf5 store
    """
    from compute.importers.chong import import_chong as read

    import_with(
        read, source, store, parts=parts, class_names=class_names, train_share=train_share,
        one_field=one_field, overwrite=overwrite, fresh=fresh, jobs=jobs,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings, size=size,
        pixel_size=pixel_size, resample=resample, cell_diameter=cell_diameter,
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
    size: Size = None,
    pixel_size: PixelSize = None,
    resample: Resample = None,
    cell_diameter: CellDiameter = None,
) -> None:
    """Import crops listed in a table: paths, protein, localization, optional mask and field.

    Example: bystander import manifest crops.csv store --channels GFP,RFP
    """
    from compute.importers.manifest import import_manifest as read

    import_with(
        read, table, store, channels=names(channels), marker=marker, localizations=localizations,
        class_names=class_names, separators=separators, project=project, train_share=train_share,
        one_field=one_field, overwrite=overwrite, fresh=fresh, jobs=jobs,
        mask_threshold=mask_threshold,
        unchecked_masks=unchecked_masks, no_surroundings=no_surroundings, size=size,
        pixel_size=pixel_size, resample=resample, cell_diameter=cell_diameter,
    )  # fmt: skip
