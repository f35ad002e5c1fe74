"""Verbs that import whole fields, and crops in arrays: one for each layout of the registries.

Layer: reads options, calls `compute.importers`, prints lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.cli.import_options import (
    CellDiameter,
    ClassColumn,
    FreshImport,
    ImportJobs,
    MaskThreshold,
    NoSurroundings,
    PixelSize,
    Protein,
    ProteinColumn,
    Resample,
    Size,
    UncheckedMasks,
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
from compute.importers.config import CuttingConfig
from compute.importers.layout import Layout
from compute.importers.layouts.registry import LAYOUTS
from compute.importers.presets.registry import FIELDS, PRESETS


def add_field_imports(app: typer.Typer) -> None:
    """Add a verb for every layout of fields, and of crops in arrays."""
    for preset in PRESETS.values():
        _add(app, preset)
    for layout in LAYOUTS.values():
        _add_arrays(app, layout)


def _add(app: typer.Typer, preset: Layout) -> None:
    usual = ",".join(config.FIELD_CHANNELS) if preset.name == FIELDS else "all, as they are called"

    def run(
        source: Annotated[Path, typer.Argument(help=preset.source)],
        store: NewStore,
        images: Annotated[
            Path | None,
            typer.Option(help="Folder of the images that a table names; default: the source's."),
        ] = None,
        labels: Annotated[
            Path | None, typer.Option(help="Folder of label images, masks or outlines, if another.")
        ] = None,
        objects: Annotated[
            str | None, typer.Option(help="Which objects or labels are the cells, such as Nuclei.")
        ] = None,
        channels: Annotated[
            str | None,
            typer.Option(
                help=f"Names of channels, in order, by commas; NEW=OLD renames. Default: {usual}."
            ),
        ] = None,
        marker: Annotated[
            str | None,
            typer.Option(
                help="Channel that shows whole cells, to find unlabelled ones; "
                f"default: {config.MARKER}."
            ),
        ] = None,
        table: Annotated[
            Path | None,
            typer.Option(help="CSV: field (or well such as B02), protein, localization, …."),
        ] = None,
        cells: Annotated[
            Path | None,
            typer.Option(help="CSV of cells: field, x and y (or label), protein, localization, …."),
        ] = None,
        protein: Protein = None,
        protein_column: ProteinColumn = None,
        class_column: ClassColumn = None,
        size: Annotated[int, typer.Option(help="Side of a crop, pixels.")] = CuttingConfig.size,
        pixel_size: PixelSize = None,
        resample: Resample = None,
        cell_diameter: CellDiameter = None,
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
                help="Separate touching cells of 0/1 label images: `centres`, or a channel of "
                "nuclei."
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
        from compute.importers.fields import import_fields

        import_with(
            import_fields, source, store, preset=preset.name, images=images, labels=labels,
            objects=objects, channels=None if channels is None else names(channels), marker=marker,
            table=table, cells=cells, protein=protein, protein_column=protein_column,
            class_column=class_column,
            config=CuttingConfig(size=size, windows=windows, margin=margin, seed=seed),
            pixel_size=pixel_size, resample=resample, cell_diameter=cell_diameter,
            split_cells=split_cells, localizations=localizations, class_names=class_names,
            mask_threshold=mask_threshold, separators=separators, project=project,
            train_share=train_share, one_field=one_field, overwrite=overwrite, fresh=fresh,
            jobs=jobs, unchecked_masks=unchecked_masks, no_surroundings=no_surroundings,
        )  # fmt: skip

    run.__doc__ = f"{preset.about}\n\nExample: bystander import {preset.name} {preset.example}"
    app.command(name=preset.name)(run)


def _add_arrays(app: typer.Typer, layout: Layout) -> None:
    def run(
        source: Annotated[Path, typer.Argument(help=layout.source)],
        store: NewStore,
        channels: Annotated[
            str | None,
            typer.Option(help="Names of channels, by commas; NEW=OLD renames. Default: all."),
        ] = None,
        marker: Annotated[
            str | None, typer.Option(help="Channel that shows whole cells, if one does.")
        ] = None,
        objects: Annotated[
            str | None, typer.Option(help="Which mask is that of the cells, if there are several.")
        ] = None,
        cells: Annotated[
            Path | None,
            typer.Option(help="CSV of cells: field (the file), label, protein, localization, …."),
        ] = None,
        protein: Protein = None,
        protein_column: ProteinColumn = None,
        class_column: ClassColumn = None,
        localizations: Localizations = None,
        class_names: ClassNames = None,
        separators: Separators = "",
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
        from compute.importers.crop_arrays import import_crop_arrays

        import_with(
            import_crop_arrays, source, store, layout=layout.name,
            channels=None if channels is None else names(channels), marker=marker, objects=objects,
            cells=cells, protein=protein, protein_column=protein_column, class_column=class_column,
            localizations=localizations, class_names=class_names, separators=separators,
            train_share=train_share, one_field=one_field, overwrite=overwrite, fresh=fresh,
            jobs=jobs, unchecked_masks=unchecked_masks, no_surroundings=no_surroundings,
            size=size, pixel_size=pixel_size, resample=resample, cell_diameter=cell_diameter,
        )  # fmt: skip

    run.__doc__ = f"{layout.about}\n\nExample: bystander import {layout.name} {layout.example}"
    app.command(name=layout.name)(run)
