"""The command line: thin, one function a verb. Heavy modules load inside the verbs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compute import __version__, console
from compute.errors import BystanderError, UsageError
from compute.schema import CONDITIONS

if TYPE_CHECKING:
    from compute.conditions import PlanConfig
    from compute.embed import EmbedConfig
    from compute.sources import Source

app = typer.Typer(
    help="Tests whether a model that reads single-cell crops answers from the cell in the centre "
    "or from its neighbours.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
imports = typer.Typer(help="Make a crop store from images.", no_args_is_help=True)
app.add_typer(imports, name="import")

DEFAULT_MODELS = "pifia,paired_cell,deeploc"

StoreArgument = Annotated[Path, typer.Argument(help="A crop store.")]
NewStore = Annotated[Path, typer.Argument(help="Folder to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")]
TrainShare = Annotated[
    float | None,
    typer.Option(
        help="Mark this share of every protein's fields as split 'train', the rest as 'test' "
        "(0 to 1)."
    ),
]
Localizations = Annotated[
    Path | None, typer.Option(help="CSV with the columns protein,localization.")
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="CSV with the columns source,localization: what class names stand for."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Jobs = Annotated[int | None, typer.Option(help="Processes for the pair tests; default: all cores.")]
Models = Annotated[
    str, typer.Option(help="Shipped models or paths of model cards, separated by commas.")
]
Conditions = Annotated[str, typer.Option(help="Separated by commas; default: all.")]
Split = Annotated[
    str | None, typer.Option(help="Take only the cells of this split, such as train or test.")
]
Seed = Annotated[int, typer.Option(help="Decides every random choice.")]
Repeats = Annotated[int, typer.Option(help="Donors per cell and condition.")]
GridCells = Annotated[int, typer.Option(help="Cells per localization in the pair tests.")]
Backgrounds = Annotated[
    int | None, typer.Option(help="Background classes of the pair tests; default: all.")
]
Harmonise = Annotated[str, typer.Option(help="Common intensity scale by protein, field or none.")]
DonorCentre = Annotated[
    str, typer.Option(help="The donor's own centre cell: remove, or paper to leave it.")
]
Normalisation = Annotated[
    str, typer.Option(help="Models scale by each crop, or locked to the cell's unaltered crop.")
]
FoldsBy = Annotated[str, typer.Option(help="grouped: no protein in both halves; paper: by cell.")]
Folds = Annotated[int, typer.Option(help="Folds of the probes.")]
Draws = Annotated[int, typer.Option(help="Bootstrap draws.")]
Examples = Annotated[int, typer.Option(help="Cells per protein whose crops are kept to look at.")]
DropEmbeddings = Annotated[
    bool, typer.Option("--drop-embeddings", help="Delete embeddings when the run is finished.")
]
BatchSize = Annotated[int, typer.Option(help="Crops per forward pass.")]
ALL_CONDITIONS = ",".join(CONDITIONS)


def main() -> None:
    """Run the command line; exit status 1 for a problem, 2 for wrong use."""
    try:
        app()
    except UsageError as error:
        console.fail(error)
        sys.exit(2)
    except BystanderError as error:
        console.fail(error)
        sys.exit(1)
    except KeyboardInterrupt:
        console.err.print("Interrupted. The same command goes on from here.")
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"bystander {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Hold the options that come before a verb."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store and the run.")] = Path(
        "bystander-demo"
    ),
    port: Annotated[int | None, typer.Option(help="Of the dashboard; default: 8501.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    dashboard: Annotated[bool, typer.Option(help="Open the dashboard at the end.")] = True,
) -> None:
    """Simulate cells, run three networks over all backgrounds, open the dashboard.

    Example: bystander demo --out bystander-demo
    """
    from compute.demo import make_demo

    with console.progress() as report:
        run = make_demo(out, report)
    console.out.print(f"Finished: {run}")
    if dashboard:
        from dashboard.launch import launch

        launch([run], port=port, open_browser=browser)


@app.command(name="dashboard")
def open_dashboard(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories; default: the shipped demo.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Default: 8501, or the next free one.")] = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Look at runs in a browser.

    Example: bystander dashboard my-run other-run
    """
    from dashboard.launch import launch

    launch(list(runs or []), port=port, address=address, open_browser=browser)


@app.command()
def simulate(
    store: NewStore,
    proteins_per_class: Annotated[int, typer.Option(help="Proteins per localization.")] = 6,
    mixed_proteins: Annotated[int, typer.Option(help="Proteins with two localizations.")] = 12,
    cells_per_protein: Annotated[int, typer.Option(help="Crops per protein.")] = 40,
    fields_per_protein: Annotated[int, typer.Option(help="Images per protein.")] = 2,
    replicates: Annotated[int, typer.Option(help="Batches with their own light and gain.")] = 2,
    seed: Annotated[int, typer.Option(help="Decides fields, cells and noise.")] = 0,
    proteome_seed: Annotated[int, typer.Option(help="Decides the proteins.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Draw simulated fields of yeast, one strain a field, and cut them into a crop store.

    Example: bystander simulate simulated-store --cells-per-protein 20
    """
    from compute.crops.simulated import simulate as draw

    with console.progress() as report:
        draw(
            store,
            proteins_per_class=proteins_per_class,
            mixed_proteins=mixed_proteins,
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
    train_share: TrainShare = None,
    overwrite: Overwrite = False,
) -> None:
    """Import crops in the layout of Paired Cell Inpainting (GENE/GENE_1_rfp_1_gfp.tif).

    Example: bystander import paired-cell crops store --localizations localizations.csv
    """
    from compute.crops.paired_cell import import_paired_cell as read

    with console.progress() as report:
        read(
            source,
            store,
            localizations=localizations,
            class_names=class_names,
            train_share=train_share,
            overwrite=overwrite,
            progress=report,
        )
    _describe(store)


@imports.command(name="pifia")
def import_pifia(
    source: Annotated[Path, typer.Argument(help="Folder with a folder per protein.")],
    store: NewStore,
    splits: Annotated[
        Path | None, typer.Option(help="CSV with the columns protein,split or file,split.")
    ] = None,
    field_cells: Annotated[
        int, typer.Option(help="Consecutive cells of a protein that count as one field.")
    ] = 50,
    localizations: Localizations = None,
    class_names: ClassNames = None,
    train_share: TrainShare = None,
    overwrite: Overwrite = False,
) -> None:
    """Import crops in the layout of PIFiA (GENE/GENE_ch1_1.tiff) or Chong (GENE_1_gfp.tiff).

    Example: bystander import pifia crops store --localizations localizations.csv
    """
    from compute.crops.pifia import import_pifia as read

    with console.progress() as report:
        read(
            source,
            store,
            splits=splits,
            field_cells=field_cells,
            localizations=localizations,
            class_names=class_names,
            train_share=train_share,
            overwrite=overwrite,
            progress=report,
        )
    _describe(store)


@imports.command(name="chong")
def import_chong(
    source: Annotated[Path, typer.Argument(help="An HDF5 file, or a folder of them.")],
    store: NewStore,
    parts: Annotated[
        int, typer.Option(help="Parts of each class of a file that stand for proteins.")
    ] = 5,
    class_names: ClassNames = None,
    train_share: TrainShare = None,
    overwrite: Overwrite = False,
) -> None:
    """Import DeepLoc's HDF5 files of labelled cells of Chong and others.

    Example: bystander import chong Chong_test_set.hdf5 store
    """
    from compute.crops.chong import import_chong as read

    with console.progress() as report:
        read(
            source,
            store,
            parts=parts,
            class_names=class_names,
            train_share=train_share,
            overwrite=overwrite,
            progress=report,
        )
    _describe(store)


@imports.command(name="fields")
def import_fields(
    source: Annotated[Path, typer.Argument(help="Folder of <field>-ch1….tiff and so on.")],
    store: NewStore,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of <field>_labeled.tiff, if another.")
    ] = None,
    channels: Annotated[
        str, typer.Option(help="Names of ch1, ch2 and so on, by commas.")
    ] = "GFP,nuclear,RFP",
    marker: Annotated[
        str, typer.Option(help="Channel that shows whole cells, to find unlabelled ones.")
    ] = "RFP",
    table: Annotated[
        Path | None,
        typer.Option(help="CSV: field (or well such as r01c01),protein, optional localization."),
    ] = None,
    protein: Annotated[
        str | None, typer.Option(help="Of fields not in the table; default: their well.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of a crop, pixels.")] = 64,
    windows: Annotated[int, typer.Option(help="Windows without cells per field, at most.")] = 8,
    margin: Annotated[int, typer.Option(help="Their least distance from cells, pixels.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides where windows lie.")] = 0,
    localizations: Localizations = None,
    class_names: ClassNames = None,
    train_share: TrainShare = None,
    overwrite: Overwrite = False,
) -> None:
    """Cut whole fields with label images into crops and windows without cells.

    Example: bystander import fields images store --table fields.csv
    """
    from compute.crops.cutting import CuttingConfig
    from compute.crops.fields import import_fields as read

    with console.progress() as report:
        read(
            source,
            store,
            labels=labels,
            channels=_names(channels),
            marker=marker,
            table=table,
            protein=protein,
            config=CuttingConfig(size=size, windows=windows, margin=margin, seed=seed),
            localizations=localizations,
            class_names=class_names,
            train_share=train_share,
            overwrite=overwrite,
            progress=report,
        )
    _describe(store)


@imports.command(name="manifest")
def import_manifest(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet, a row per crop.")],
    store: NewStore,
    channels: Annotated[
        str, typer.Option(help="Channel columns (or `path` with that many), by commas.")
    ] = "GFP,RFP",
    marker: Annotated[
        str, typer.Option(help="Channel that shows whole cells, for missing masks.")
    ] = "RFP",
    localizations: Localizations = None,
    train_share: TrainShare = None,
    overwrite: Overwrite = False,
) -> None:
    """Import crops listed in a table: paths, protein, localization, optional mask and field.

    Example: bystander import manifest crops.csv store --channels GFP,RFP
    """
    from compute.crops.manifest import import_manifest as read

    with console.progress() as report:
        read(
            table,
            store,
            channels=_names(channels),
            marker=marker,
            localizations=localizations,
            train_share=train_share,
            overwrite=overwrite,
            progress=report,
        )
    _describe(store)


@app.command()
def plan(
    store: StoreArgument,
    models: Models = DEFAULT_MODELS,
    conditions: Conditions = ALL_CONDITIONS,
    split: Split = None,
    seed: Seed = 0,
    repeats: Repeats = 1,
    grid_cells: GridCells = 1000,
    backgrounds: Backgrounds = None,
    folds: Folds = 5,
    folds_by: FoldsBy = "grouped",
    examples: Examples = 4,
    drop_embeddings: DropEmbeddings = False,
    batch_size: BatchSize = 256,
    device: Device = "auto",
    jobs: Jobs = None,
) -> None:
    """Print what a run would do: trials, time from a short calibration, disk.

    Example: bystander plan store --models pifia
    """
    from compute.effects import BootstrapConfig
    from compute.estimate import estimate, report
    from compute.pipeline import RunConfig

    config = RunConfig(
        plan=_plan_config(conditions, seed, repeats, grid_cells, backgrounds, split),
        embed=_embed_config("protein", "remove", "crop", batch_size),
        bootstrap=BootstrapConfig(seed=seed),
        folds=folds,
        fold_scheme=folds_by,
        examples=examples,
        keep_embeddings=not drop_embeddings,
    )
    for line in report(estimate(store, _names(models), config, device, jobs)):
        console.out.print(line, markup=False)


@app.command()
def run(
    store: StoreArgument,
    out: Annotated[Path, typer.Option(help="The run directory, new or to go on with.")],
    models: Models = DEFAULT_MODELS,
    conditions: Conditions = ALL_CONDITIONS,
    split: Split = None,
    seed: Seed = 0,
    repeats: Repeats = 1,
    grid_cells: GridCells = 1000,
    backgrounds: Backgrounds = None,
    harmonise: Harmonise = "protein",
    donor_centre: DonorCentre = "remove",
    normalisation: Normalisation = "crop",
    folds: Folds = 5,
    folds_by: FoldsBy = "grouped",
    draws: Draws = 2000,
    examples: Examples = 4,
    drop_embeddings: DropEmbeddings = False,
    batch_size: BatchSize = 256,
    device: Device = "auto",
    jobs: Jobs = None,
    name: Annotated[str | None, typer.Option(help="Shown in the dashboard.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is there first.")] = False,
) -> None:
    """Run models over all background conditions; interrupted, the same command goes on.

    Example: bystander run store --out my-run --models pifia,deeploc
    """
    from compute.effects import BootstrapConfig
    from compute.pipeline import RunConfig, run_store

    config = RunConfig(
        plan=_plan_config(conditions, seed, repeats, grid_cells, backgrounds, split),
        embed=_embed_config(harmonise, donor_centre, normalisation, batch_size),
        bootstrap=BootstrapConfig(draws=draws, seed=seed),
        folds=folds,
        fold_scheme=folds_by,
        examples=examples,
        keep_embeddings=not drop_embeddings,
    )
    with console.progress() as report:
        done, worked = run_store(
            store, out, _names(models), config, device=device, jobs=jobs, fresh=fresh, name=name,
            progress=report,
        )  # fmt: skip
    if not worked:
        console.out.print(f"{out} is finished already; nothing to do (--fresh begins anew).")
        return
    rejected = sum(item["count"] for item in done.meta["rejections"])
    console.out.print(f"Finished: {out} ({done.meta['counts']['trials']} trials)")
    if rejected:
        console.out.print("Left out (see Methods in the dashboard):")
        for item in done.meta["rejections"]:
            console.out.print(f"  {item['count']} × {item['reason']}", markup=False)
    console.out.print(f"Look at it: bystander dashboard {out}")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="pifia, paired_cell or deeploc.")],
    store: StoreArgument,
    out: Annotated[Path, typer.Option(help="Folder for the weights, card and history.")],
    width: Annotated[float, typer.Option(help="Scales every layer; 1 as published.")] = 0.25,
    epochs: Annotated[int, typer.Option(help="At most.")] = 30,
    patience: Annotated[int, typer.Option(help="Epochs without improvement before it ends.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Crops per step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-3,
    precision: Annotated[
        str, typer.Option(help="Of the convolutions: float32 or bfloat16 (faster on some CPUs).")
    ] = "float32",
    split: Split = None,
    seed: Seed = 0,
    dtype: Annotated[str, typer.Option(help="Of the stored weights: float32 or float16.")] = (
        "float32"
    ),
    name: Annotated[str | None, typer.Option(help="Of the model; default: the network's.")] = None,
    license: Annotated[str, typer.Option(help="Of the weights, for the card.")] = "",
    device: Device = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore an earlier checkpoint.")] = False,
) -> None:
    """Train a network by its own objective on a crop store; interrupted, it goes on.

    Example: bystander train deeploc store --out weights --split train
    """
    from compute.pipeline import choose_device
    from compute.store import CropStore
    from compute.training import train as fit

    fields = None
    if split is not None:
        fields = set(CropStore(store).fields_of(split))
    with console.progress() as report:
        card = fit(
            model, store, out, width=width, epochs=epochs, patience=patience,
            batch_size=batch_size, learning_rate=learning_rate, precision=precision, seed=seed,
            fields=fields, dtype=dtype, name=name, license=license,
            device=choose_device(device), resume=not fresh,
            created_by=" ".join(["bystander", *sys.argv[1:]]),
            progress=report, say=lambda line: console.err.print(line, markup=False),
        )  # fmt: skip
    console.out.print(f"Finished: {card}")


@app.command()
def published(
    source: Annotated[
        Path, typer.Argument(help="Folder with pifia, pci and deeploc, five CSV files each.")
    ],
    out: Annotated[Path, typer.Option(help="The run directory.")],
    name: Annotated[str | None, typer.Option(help="Shown in the dashboard.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is there first.")] = False,
) -> None:
    """Read the paper's published results into a run, averaged as in the paper and over everything.

    Example: bystander published microscopy-sc-robustness/swap_experiments/results --out paper
    """
    from compute.published_run import write_published

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
def convert(
    network: Annotated[str, typer.Argument(help="pifia, paired_cell or deeploc.")],
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="paired_cell: Keras HDF5. Others: a TensorFlow checkpoint, the part of its file "
            "names before .index (needs bystander[convert])."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the weights and the card.")],
    classes: Annotated[
        Path | None, typer.Option(help="Text file with the outputs' names, one a line, in order.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; default: the network's.")] = None,
    trained_on: Annotated[str, typer.Option(help="The data, in words, for the card.")] = "",
    license: Annotated[str, typer.Option(help="Of the weights, for the card.")] = "",
    dtype: Annotated[str, typer.Option(help="Of the stored weights: float32 or float16.")] = (
        "float32"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card there.")] = False,
) -> None:
    """Convert published weights into a model card and safetensors.

    Example: bystander convert paired_cell model_weights.h5 weights --license GPL-2.0
    """
    from compute.convert import NOT_STATED
    from compute.convert import convert as turn

    card = turn(
        network, checkpoint, out, classes=classes, name=name, trained_on=trained_on or NOT_STATED,
        license=license, dtype=dtype, overwrite=overwrite,
        created_by=" ".join(["bystander", *sys.argv[1:]]),
        say=lambda line: console.out.print(line, markup=False),
    )  # fmt: skip
    console.out.print(f"Finished: {card}", markup=False)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Of a source, or `list`.")] = "list",
    to: Annotated[
        Path | None, typer.Option(help="Folder for the files; default: the source's name.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to size and licence.")] = False,
) -> None:
    """Download published weights or data; interrupted, the same command goes on.

    Example: bystander fetch pifia-weights --to pifia-weights
    """
    from compute.fetch import fetch as download
    from compute.fetch import stated_sizes
    from compute.sources import SOURCES, require_files, source_named

    if name == "list":
        for key, source in SOURCES.items():
            _describe_source(key, source, [file.size for file in source.files])
        return
    source = source_named(name)
    require_files(name, source)
    _describe_source(name, source, stated_sizes(source))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Nobody is there to be asked.", "Agree with --yes.")
        typer.confirm("Download it under this licence?", abort=True)
    with console.progress() as report:
        files = download(
            source, to or Path(name), report, lambda line: console.err.print(line, markup=False)
        )
    console.out.print(f"Finished: {len(files)} files in {to or name}", markup=False)
    console.out.print(f"Then: {source.then}", markup=False)


@app.command()
def models(
    action: Annotated[str | None, typer.Argument(help="`check`, or nothing to list.")] = None,
    card: Annotated[Path | None, typer.Argument(help="A model card.")] = None,
    store: Annotated[Path | None, typer.Argument(help="A crop store to read.")] = None,
) -> None:
    """List the shipped models, or check that a card's model can read a store.

    Example: bystander models check my-model.toml store
    """
    from compute.inspect import check_model, list_models

    if action is None:
        lines = list_models()
    elif action == "check" and card is not None and store is not None:
        lines = check_model(card, store)
    else:
        raise UsageError(
            "Nothing is known of that.", "Use `bystander models` or `models check CARD STORE`."
        )
    for line in lines:
        console.out.print(line, markup=False)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A crop store or a run directory.")],
) -> None:
    """Verify a crop store or a run: files, hashes, schemas, counts, references.

    Example: bystander check my-run
    """
    from compute.inspect import check_path

    for line in check_path(path):
        console.out.print(line, markup=False)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _plan_config(
    conditions: str,
    seed: int,
    repeats: int,
    grid_cells: int,
    backgrounds: int | None,
    split: str | None,
) -> "PlanConfig":
    from compute.conditions import PlanConfig

    return PlanConfig(tuple(_names(conditions)), seed, repeats, grid_cells, backgrounds, split)


def _embed_config(
    harmonise: str, donor_centre: str, normalisation: str, batch_size: int
) -> "EmbedConfig":
    from compute.embed import EmbedConfig

    return EmbedConfig(harmonise, donor_centre, normalisation, batch_size)


def _describe(path: Path) -> None:
    """Say what a new crop store holds, and what could not be taken."""
    from compute.inspect import describe_store

    for line in describe_store(path):
        console.out.print(line, markup=False)


def _describe_source(name: str, source: "Source", sizes: list[int | None]) -> None:
    """Say what a source is, its size, licence, publication and page."""
    known = sum(size for size in sizes if size is not None)
    size = "on its page only"
    if sizes:
        size = f"{len(sizes)} file{'s' if len(sizes) > 1 else ''}, "
        size += "size not known" if None in sizes else console.size(known)
    console.out.print(f"{name}: {source.title}", markup=False)
    console.out.print(f"    {size}; licence: {source.licence}", markup=False)
    console.out.print(f"    {source.publication}; {source.page}", markup=False)
