"""Verbs that make runs and look at them: demo, dashboard, plan, run, published, check.

Layer: reads options, calls `compute.runs`, `compute.paper` or the dashboard's server, prints lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.backgrounds.config import PlanConfig
from compute.cli import console
from compute.cli.options import (
    ALL_CONDITIONS,
    DEFAULT_MODELS,
    USUAL_PROBES,
    Address,
    Backgrounds,
    BatchSize,
    Cache,
    Compiled,
    Conditions,
    Device,
    DonorCentre,
    Donors,
    Draws,
    DropEmbeddings,
    DropPredictions,
    Engine,
    Examples,
    Exchanges,
    Folds,
    FoldsBy,
    GridCells,
    Harmonise,
    Jobs,
    Margin,
    MarginOdds,
    MaskShift,
    Models,
    Normalisation,
    Paste,
    Precision,
    Probes,
    Repeats,
    SecondReadings,
    Seed,
    SeedsOf,
    Split,
    StoreArgument,
    StorePlace,
    Trust,
    Workers,
    names,
)
from compute.embedding.config import EmbedConfig
from compute.errors import InputError
from compute.runs.config import RunConfig
from compute.runs.engines import EngineConfig
from compute.statistics.config import BootstrapConfig

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store and the run.")] = Path(
        "bystander-demo"
    ),
    cells_per_protein: Annotated[
        int | None, typer.Option(help="Crops per protein; default: 9. Fewer are faster.")
    ] = None,
    compared: Annotated[
        bool, typer.Option("--compared", help="Then run baselines and a remedy beside them.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Of the dashboard; default: 8501.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    dashboard: Annotated[bool, typer.Option(help="Open the dashboard at the end.")] = True,
) -> None:
    """Simulate cells, run three networks over all backgrounds, open the dashboard.

    Example: bystander demo --out bystander-demo
    """
    from compute.runs.demo import demo as make

    with console.progress() as report:
        run = make(
            out, cells_per_protein=cells_per_protein, compared=compared, progress=report
        ).path
    runs = [run, run.with_name("compared")] if compared else [run]
    console.out.print(f"Finished: {', '.join(map(str, runs))}")
    if dashboard:
        from dashboard.server.launch import launch

        launch(runs, port=port, open_browser=browser)


@app.command(name="dashboard")
def open_dashboard(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories; default: the shipped demo.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Default: 8501, or the next free one.")] = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    public: Annotated[
        str,
        typer.Option(
            help="Where readers find it, behind a web server: https://HOST/PATH; default: at "
            "--address."
        ),
    ] = "",
) -> None:
    """Look at runs in a browser.

    Example: bystander dashboard my-run other-run
    """
    from dashboard.server.launch import launch

    launch(list(runs or []), port=port, address=address, open_browser=browser, public=public)


@app.command()
def plan(
    store: StoreArgument,
    models: Models = DEFAULT_MODELS,
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
    normalisation: Normalisation = EmbedConfig.normalisation,
    folds: Folds = PlanConfig.folds,
    folds_by: FoldsBy = PlanConfig.fold_scheme,
    donors: Donors = PlanConfig.donors,
    examples: Examples = RunConfig.examples,
    drop_embeddings: DropEmbeddings = not RunConfig.keep_embeddings,
    second_readings: SecondReadings = EmbedConfig.second_readings,
    batch_size: BatchSize = EmbedConfig.batch_size,
    precision: Precision = EmbedConfig.precision,
    compiled: Compiled = EmbedConfig.compiled,
    device: Device = "auto",
    jobs: Jobs = None,
    trust: Trust = False,
) -> None:
    """Print what a run would do: trials, crops, time in all from a short calibration, disk.

    Example: bystander plan store --models pifia
    """
    from compute.runs.estimate import estimate, report

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
            harmonise,
            donor_centre,
            paste,
            normalisation,
            batch_size,
            precision,
            second_readings,
            compiled,
            mask_shift,
        ),
        bootstrap=BootstrapConfig(seed=seed),
        examples=examples,
        keep_embeddings=not drop_embeddings,
    )
    with console.progress() as tell:
        found = estimate(
            store, names(models), config, device=device, jobs=jobs, trusted=trust, progress=tell
        )
    for line in report(found):
        console.out.print(line, markup=False)


@app.command()
def run(
    store: StorePlace,
    out: Annotated[str, typer.Option(help="The run directory or its URL, new or to go on with.")],
    models: Models = DEFAULT_MODELS,
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
    normalisation: Normalisation = EmbedConfig.normalisation,
    second_readings: SecondReadings = EmbedConfig.second_readings,
    folds: Folds = PlanConfig.folds,
    folds_by: FoldsBy = PlanConfig.fold_scheme,
    donors: Donors = PlanConfig.donors,
    draws: Draws = BootstrapConfig.draws,
    margin: Margin = BootstrapConfig.margin,
    exchanges: Exchanges = BootstrapConfig.exchanges,
    probes: Probes = USUAL_PROBES,
    margin_odds: MarginOdds = BootstrapConfig.margin_odds,
    seeds_of: SeedsOf = "",
    examples: Examples = RunConfig.examples,
    drop_embeddings: DropEmbeddings = not RunConfig.keep_embeddings,
    drop_predictions: DropPredictions = not RunConfig.keep_predictions,
    batch_size: BatchSize = EmbedConfig.batch_size,
    precision: Precision = EmbedConfig.precision,
    compiled: Compiled = EmbedConfig.compiled,
    device: Device = "auto",
    jobs: Jobs = None,
    engine: Engine = EngineConfig.name,
    workers: Workers = EngineConfig.workers,
    address: Address = EngineConfig.address,
    cache: Cache = None,
    name: Annotated[
        str | None, typer.Option(help="Shown in the dashboard; default: the folder's.")
    ] = None,
    trust: Trust = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is there first.")] = False,
    remedies: Annotated[
        bool,
        typer.Option("--remedies", help="Then try what can be done without a new network."),
    ] = False,
) -> None:
    """Run models over all background conditions; interrupted, the same command goes on.

    Example: bystander run store --out my-run --models pifia,deeploc
    """
    from compute.runs.describe import describe_run
    from compute.runs.run import run_or_resume

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
            harmonise,
            donor_centre,
            paste,
            normalisation,
            batch_size,
            precision,
            second_readings,
            compiled,
            mask_shift,
        ),
        bootstrap=BootstrapConfig(
            draws=draws, seed=seed, margin=margin, exchanges=exchanges, margin_odds=margin_odds
        ),
        probes=tuple(names(probes)),
        seeds_of=tuple(names(seeds_of)) if seeds_of else (),
        examples=examples,
        keep_embeddings=not drop_embeddings,
        keep_predictions=not drop_predictions,
    )
    where = EngineConfig(engine, workers, address)
    if remedies:
        from compute.runs.finished import refuse_urls

        refuse_urls(store, out)
    with console.progress() as report:
        done, worked = run_or_resume(
            store, out, names(models), config, engine=where, device=device, jobs=jobs, cache=cache,
            fresh=fresh, name=name, trusted=trust, progress=report, notice=console.notice,
        )  # fmt: skip
    again = remedies and "remedies" not in done.meta.get("added", {})
    if not worked and not again:
        console.out.print(f"{out} is finished already; nothing to do (--fresh begins anew).")
        return
    if worked:
        console.out.print(f"Finished: {out} ({done.meta['counts']['trials']} trials)")
        for line in describe_run(done):
            console.out.print(line, markup=False)
    if again:
        from compute.remedies.wording import remedy_lines
        from compute.runs.remedies import try_remedies

        with console.progress() as report:
            table = try_remedies(
                store, out, names(models), engine=where, device=device, trusted=trust,
                progress=report, notice=console.notice,
            )  # fmt: skip
        for line in remedy_lines(table):
            console.out.print(line, markup=False)
    console.out.print(f"Look at it: bystander dashboard {out}")


@app.command()
def published(
    source: Annotated[
        Path, typer.Argument(help="Folder with pifia, pci and deeploc, five CSV files each.")
    ],
    out: Annotated[Path, typer.Option(help="The run directory.")],
    name: Annotated[
        str | None, typer.Option(help="Shown in the dashboard; default: the folder's.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is there first.")] = False,
) -> None:
    """Read the paper's published results into a run, averaged as in the paper and over everything.

    Example: bystander published microscopy-sc-robustness/swap_experiments/results --out paper
    """
    from compute.paper.run import write_published

    done, worked = write_published(source, out, fresh=fresh, name=name)
    if not worked:
        console.out.print(f"{out} is finished already; nothing to do (--fresh begins anew).")
        return
    table = done.meta["checks"]["table_1"]
    console.out.print(f"Finished: {out} ({done.meta['counts']['pair_tests']} pair tests)")
    console.out.print(
        f"{table['reproduced']} of {table['of']} numbers of the paper's Table 1 are reproduced to "
        "the third decimal."
    )
    console.out.print(f"Look at it: bystander dashboard {out}")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A crop store or a run directory.")],
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Folder for PNGs of 40 of its cells with their masks, good and worst; default: "
            "none."
        ),
    ] = None,
) -> None:
    """Verify a crop store or a run: files, hashes, schemas, counts, references.

    The last line is the verdict. Exit status 1 where something is missing or altered.

    Example: bystander check store --pictures pictures
    """
    from compute.runs.describe import check as verify

    try:
        with console.progress() as report:
            checked = verify(path, progress=report)
    except InputError as error:
        if not path.is_dir():
            raise
        console.fail(error)
        console.verdict(f"{path} is not whole.", good=False)
        raise typer.Exit(1) from error
    console.show(checked.lines, checked.facts)
    if pictures is not None:
        from compute.runs.mosaic import mosaic_of
        from dashboard.render.mosaic_picture import write_mosaic

        found = mosaic_of(path)
        for made in write_mosaic(found.table, found.channels, pictures, marker=found.marker):
            console.out.print(f"Picture: {made}", markup=False)
    console.verdict(checked.verdict, good=checked.complete)
