"""Verbs that write what other programs read: export trials, export summary.

Layer: reads options, calls `compute.runs.export_trials` or `export_summary`, prints lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.backgrounds.config import PlanConfig
from compute.cli import console
from compute.cli.options import (
    ALL_CONDITIONS,
    Backgrounds,
    Channels,
    Conditions,
    CropFormat,
    DonorCentre,
    Donors,
    FinishedRun,
    Folds,
    FoldsBy,
    GridCells,
    Harmonise,
    MaskShift,
    Paste,
    Repeats,
    SecondReadings,
    Seed,
    Split,
    StoreArgument,
    names,
)
from compute.embedding.config import EmbedConfig
from compute.runs.config import RunConfig
from compute.schema import ExportFormat

app = typer.Typer()
exports = typer.Typer(help="Write what other programs read.", no_args_is_help=True)
app.add_typer(exports, name="export")


@exports.command(name="trials")
def export_trials(
    store: StoreArgument,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    format: CropFormat = ExportFormat.OME_ZARR,
    channels: Channels = None,
    conditions: Conditions = ALL_CONDITIONS,
    split: Split = PlanConfig.split,
    seed: Seed = PlanConfig.seed,
    repeats: Repeats = PlanConfig.repeats,
    grid_cells: GridCells = PlanConfig.grid_cells,
    backgrounds: Backgrounds = PlanConfig.backgrounds,
    harmonise: Harmonise = EmbedConfig.harmonise,
    donor_centre: DonorCentre = EmbedConfig.donor_centre,
    paste: Paste = EmbedConfig.paste,
    mask_shift: MaskShift = EmbedConfig.mask_shift,
    second_readings: SecondReadings = EmbedConfig.second_readings,
    folds: Folds = PlanConfig.folds,
    folds_by: FoldsBy = PlanConfig.fold_scheme,
    donors: Donors = PlanConfig.donors,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an export that is there.")
    ] = False,
) -> None:
    """Write the crops of all trials for another program, with a table that says which is which.

    Pixels are raw intensities, as float32. Options are those of `bystander run`.

    Example: bystander export trials store crops --format h5sc --channels GFP
    """
    from compute.runs.export_trials import export_trials as write

    config = RunConfig(
        plan=PlanConfig(
            tuple(names(conditions)),
            seed,
            repeats,
            grid_cells,
            backgrounds,
            split,
            folds,
            folds_by,
            donors,
        ),
        embed=EmbedConfig(
            harmonise=harmonise,
            donor_centre=donor_centre,
            paste=paste,
            second_readings=second_readings,
            mask_shift=mask_shift,
        ),
    )
    with console.progress() as report:
        folder = write(
            store, out, config=config, format=format,
            channels=None if channels is None else names(channels), overwrite=overwrite,
            progress=report, notice=console.notice,
        )  # fmt: skip
    console.out.print(f"Finished: {folder}", markup=False)
    console.out.print(
        "trials.parquet says which crop is which; keep its column `key` beside every answer.",
        markup=False,
    )


@exports.command(name="summary")
def export_summary(
    run: FinishedRun,
    out: Annotated[Path, typer.Argument(help="The file: .json, .csv or .tex.")],
) -> None:
    """Write what a run found, with what decides it, or as a table for a paper.

    Example: bystander export summary my-run summary.json
    """
    from compute.runs.export_summary import export_summary as write

    console.out.print(f"Wrote {write(run, out)}", markup=False)
