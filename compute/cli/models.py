"""Verbs about models and their weights: models, train, convert, fetch.

Layer: reads options, calls `compute.models` and `compute.runs.describe`, prints lines.
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from compute import amounts
from compute.cli import console
from compute.cli.options import Device, Seed, Split, StoreArgument, Trust, names
from compute.cli.stores import imports
from compute.errors import UsageError
from compute.models.precision import STORED
from compute.models.training.options import TrainingOptions

if TYPE_CHECKING:
    from compute.models.published.catalogue import Source
    from compute.runs.describe import ModelRow

app = typer.Typer()


models = typer.Typer(
    help="Models: list those that come with Bystander, look at one, begin a card of your own.",
    invoke_without_command=True,
)
app.add_typer(models, name="models")


@models.callback()
def list_models(context: typer.Context) -> None:
    """List the models that come with Bystander, the sources that others may have, and presets.

    Example: bystander models
    """
    from compute.runs.describe import describe_models

    if context.invoked_subcommand is None:
        for table in _tables(list(describe_models())):
            console.out.print(table)


HEADINGS = {
    "shipped": ("name", "reads", "embedding", "comes with Bystander"),
    "baseline": ("name", "baseline, without a card"),
    "source": ("source", "of a card of your own (`bystander models new` begins one)"),
    "preset": ("preset", "reads", "embedding", "ready recipe (`bystander models new --preset`)"),
}
"""Columns of the list of models, by group."""


def _tables(rows: "Sequence[ModelRow]") -> Iterator[Table]:
    """Lay out the list of models, a table for each group."""
    for group, headings in HEADINGS.items():
        table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
        table.columns[0].no_wrap = True
        for row in rows:
            if row.group == group:
                facts = (row.reads, row.embedding) if len(headings) > 2 else ()
                table.add_row(*map(Text, (row.name, *facts, row.about)))
        yield table


@models.command(name="check")
def check(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or path of a card.")],
    store: Annotated[Path, typer.Argument(help="A crop store to read.")],
    picture: Annotated[
        Path | None, typer.Option(help="PNG file that shows what the network gets of ten crops.")
    ] = None,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Look at what a model makes of a few crops of a store, before a run.

    Example: bystander models check my-model.toml store --picture inputs.png
    """
    from compute.runs.check_model import check_model

    found = check_model(model, store, device=device, trusted=trust)
    for line in found.lines():
        console.out.print(line, markup=False)
    if picture is not None:
        from dashboard.render.inputs_picture import write_inputs

        write_inputs(found.inputs, found.columns, picture, f"What {found.model} gets")
        console.out.print(f"What the network gets: {picture}", markup=False)


@models.command(name="new")
def new(
    card: Annotated[Path, typer.Argument(help="The card to write, such as mine.toml.")],
    channels: Annotated[str, typer.Option(help="Of the store, in the network's order.")],
    source: Annotated[
        str,
        typer.Argument(
            help="Where the model comes from; `bystander models` lists sources. Not needed with "
            "--preset."
        ),
    ] = "",
    preset: Annotated[
        str | None, typer.Option(help="A ready recipe; `bystander models` lists them.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Its weights, beside the card or in the source's folder.")
    ] = None,
    command: Annotated[
        str | None, typer.Option(help='Program and arguments of source "command", in quotes.')
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; default: the card's.")] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="The data, in words; default: the preset's.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="Of the weights; default: the preset's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card there.")] = False,
) -> None:
    """Write a commented card of a model: what must be said, and what may be.

    Example: bystander models new mine.toml --preset dinov2-small --channels GFP
    """
    from compute.models.new_card import new_card

    more: dict[str, Any] = {} if command is None else {"command": shlex.split(command)}
    more |= {} if trained_on is None else {"trained_on": trained_on}
    more |= {} if license is None else {"license": license}
    path = new_card(
        card, source, channels=names(channels), preset=preset, weights=weights, name=name,
        overwrite=overwrite, **more,
    )  # fmt: skip
    console.out.print(f"Finished: {path}", markup=False)
    console.out.print(f"Then: bystander models check {path} STORE", markup=False)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="pifia, paired_cell or deeploc.")],
    store: StoreArgument,
    out: Annotated[Path, typer.Option(help="Folder for the weights, card and history.")],
    width: Annotated[float, typer.Option(help="Scales every layer; 1 as published.")] = (
        TrainingOptions.width
    ),
    epochs: Annotated[int, typer.Option(help="At most.")] = TrainingOptions.epochs,
    patience: Annotated[int, typer.Option(help="Epochs without improvement before it ends.")] = (
        TrainingOptions.patience
    ),
    batch_size: Annotated[int, typer.Option(help="Crops per step.")] = TrainingOptions.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = TrainingOptions.learning_rate,
    precision: Annotated[
        str, typer.Option(help="Of the convolutions: float32 or bfloat16 (faster on some CPUs).")
    ] = TrainingOptions.precision,
    background: Annotated[
        str,
        typer.Option(
            help="What cells stand on: keep (as imaged), clean (medium), mask (a share on medium), "
            "swap (a share on other cells' backgrounds)."
        ),
    ] = TrainingOptions.background,
    swap_share: Annotated[
        float, typer.Option(help="Share of crops on another background (mask, swap).")
    ] = TrainingOptions.swap_share,
    consistency: Annotated[
        float,
        typer.Option(help="Weight of the term that pulls a cell's embeddings on two together."),
    ] = TrainingOptions.consistency,
    consistency_layers: Annotated[
        str | None,
        typer.Option(help="Layers it compares; default: the paper's and the last of a card."),
    ] = None,
    paste: Annotated[
        str, typer.Option(help="How cells are put on another background: glow or hard.")
    ] = TrainingOptions.paste,
    split: Split = None,
    channels: Annotated[
        str | None,
        typer.Option(help="Channels to read, in the network's order; default: as published."),
    ] = None,
    seed: Seed = TrainingOptions.seed,
    dtype: Annotated[str, typer.Option(help="Of the stored weights: float32 or float16.")] = STORED,
    name: Annotated[str | None, typer.Option(help="Of the model; default: the network's.")] = None,
    license: Annotated[str, typer.Option(help="Of the weights, for the card.")] = "",
    device: Device = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore an earlier checkpoint.")] = False,
) -> None:
    """Train a network by its own objective on a crop store; interrupted, it goes on.

    Example: bystander train deeploc store --out weights --split train --background swap
    """
    from compute.models.training.train import train as fit

    with console.progress() as report:
        card = fit(
            model, store, out, width=width, epochs=epochs, patience=patience,
            batch_size=batch_size, learning_rate=learning_rate, precision=precision, seed=seed,
            background=background, swap_share=swap_share, consistency=consistency,
            consistency_layers=names(consistency_layers) if consistency_layers else (),
            paste=paste, split=split, channels=names(channels) if channels else None,
            dtype=dtype, name=name,
            license=license, device=device, resume=not fresh,
            created_by=shlex.join(["bystander", *sys.argv[1:]]),
            progress=report, say=lambda line: console.err.print(line, markup=False),
        )  # fmt: skip
    console.out.print(f"Finished: {card}")


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
    dtype: Annotated[str, typer.Option(help="Of the stored weights: float32 or float16.")] = STORED,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card there.")] = False,
) -> None:
    """Convert published weights into a model card and safetensors.

    Example: bystander convert paired_cell model_weights.h5 weights --license GPL-2.0
    """
    from compute.models.published.convert import NOT_STATED
    from compute.models.published.convert import convert as turn

    card = turn(
        network, checkpoint, out, classes=classes, name=name, trained_on=trained_on or NOT_STATED,
        license=license, dtype=dtype, overwrite=overwrite,
        created_by=shlex.join(["bystander", *sys.argv[1:]]),
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
    from compute.models.published.catalogue import list_sources, require_files, source_named
    from compute.models.published.download import fetch as download
    from compute.models.published.download import stated_sizes

    if name == "list":
        for key, source in list_sources().items():
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


def _describe_source(name: str, source: "Source", sizes: list[int | None]) -> None:
    """Print what a source is, its size, licence, publication and page; `sizes` in bytes."""
    known = sum(size for size in sizes if size is not None)
    size = "on its page only"
    if sizes:
        size = f"{len(sizes)} file{'s' if len(sizes) > 1 else ''}, "
        size += "size not known" if None in sizes else amounts.size(known)
    console.out.print(f"{name}: {source.title}", markup=False)
    console.out.print(f"    {size}; licence: {source.licence}", markup=False)
    console.out.print(f"    {source.publication}; {source.page}", markup=False)


@imports.command(name="answers")
def import_answers(
    table: Annotated[
        Path,
        typer.Argument(help="Parquet, .h5ad, or .npy (with --ids): an answer for every crop."),
    ],
    export: Annotated[Path, typer.Argument(help="Folder of `bystander export trials`.")],
    out: Annotated[Path, typer.Argument(help="Folder for the answers and their card.")],
    name: Annotated[str, typer.Option(help="Of the model.")],
    trained_on: Annotated[str, typer.Option(help="The data, in words, for the card.")],
    simulated: Annotated[
        bool, typer.Option("--simulated", help="That data was simulated.")
    ] = False,
    ids: Annotated[
        Path | None,
        typer.Option(help="Parquet or CSV with a column key, in the order of a .npy array."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of a Parquet table that are the answer; default: all numbers."),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="The numbers are probabilities of named classes.")
    ] = False,
    license: Annotated[str, typer.Option(help="Of the model, for the card.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card there.")] = False,
) -> None:
    """Bring in another program's answers to exported crops, as a model of a run.

    Example: bystander import answers theirs.parquet crops models --name theirs --trained-on "…"
    """
    from compute.runs.import_answers import import_answers as read

    card = read(
        table, export, out, name=name, trained_on=trained_on, simulated=simulated, ids=ids,
        columns=names(columns) if columns else None, classes=classes, license=license,
        overwrite=overwrite,
    )  # fmt: skip
    console.out.print(f"Finished: {card}", markup=False)
    console.out.print(
        f"Then: bystander run STORE --models {card} --no-second-readings, with the options of the "
        "export.",
        markup=False,
    )
