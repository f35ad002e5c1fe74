"""The verb that measures: `bench`, as a whole or one subject of it.

Layer: reads options, calls `compute.bench` or `dashboard.bench`, prints tables.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compute.bench.config import ROUNDS, FingerprintConfig, SimulationConfig
from compute.cli import console
from compute.cli.options import DEFAULT_MODELS, Compiled, Device, Models, Paste, Seed, Trust, names
from compute.embedding.config import EmbedConfig
from compute.errors import BystanderError

if TYPE_CHECKING:
    from compute.bench.table import Row

app = typer.Typer()
bench = typer.Typer(
    help="Measure what this machine reaches: ratios within one run, medians of several.",
    invoke_without_command=True,
)
app.add_typer(bench, name="bench")

Repeats = Annotated[int, typer.Option(help="Rounds, of which the median counts.")]
Store = Annotated[
    Path | None, typer.Option(help="A crop store; default: one is simulated as for the demo.")
]


@bench.callback()
def everything(
    context: typer.Context,
    device: Device = "auto",
    repeats: Repeats = ROUNDS,
    store: Store = None,
    minutes: Annotated[
        float | None, typer.Option(help="Begin no measurement after so many; default: no limit.")
    ] = None,
) -> None:
    """Print the ratios of embedding and pair tests, and the cost of every other stage.

    Memory's growth (`bench growth`), the dashboard (`bench dashboard`) and the statistics
    (`bench statistics`) take longer and are asked for by name. What matters most comes first.

    Example: bystander bench --device cuda --minutes 8
    """
    if context.invoked_subcommand is None:
        from compute.bench.whole import measure_machine

        _print(measure_machine(store, device=device, repeats=repeats, minutes=minutes))


@bench.command()
def embedding(
    models: Models = DEFAULT_MODELS,
    precisions: Annotated[str, typer.Option(help="Separated by commas.")] = EmbedConfig.precision,
    batch_sizes: Annotated[str, typer.Option(help="Separated by commas; 0: found.")] = str(
        EmbedConfig.batch_size
    ),
    full_width: Annotated[
        bool, typer.Option("--full-width", help="The same networks at the published width.")
    ] = False,
    shards: Annotated[
        int, typer.Option(help="Of 64 cells, per round; 0: what suits the device.")
    ] = 0,
    compiled: Compiled = EmbedConfig.compiled,
    device: Device = "auto",
    repeats: Repeats = ROUNDS,
    store: Store = None,
    trust: Trust = False,
) -> None:
    """Compare embedding, from files to files, with the forward pass alone.

    Example: bystander bench embedding --models pifia --precisions float32,bfloat16
    """
    from compute.bench.whole import measure_embedding

    _print(
        measure_embedding(
            store,
            models=names(models),
            precisions=names(precisions),
            batch_sizes=[int(size) for size in names(batch_sizes)],
            full_width=full_width,
            shards=shards,
            compiled=compiled,
            device=device,
            repeats=repeats,
            trusted=trust,
        )
    )


@bench.command()
def growth(
    crops: Annotated[str, typer.Option(help="A few and many, separated by a comma.")] = (
        "10000,200000"
    ),
    models: Models = "pifia",
    store: Store = None,
) -> None:
    """Compare the peak memory of a run of few crops with that of a run of many.

    Example: bystander bench growth --crops 1000,20000
    """
    from compute.bench.whole import measure_growth

    few, many = sorted(int(count) for count in names(crops))
    _print(measure_growth(store, sizes=(few, many), models=names(models)))


@bench.command()
def fingerprint(
    store: Annotated[
        Path | None, typer.Argument(help="A crop store; default: one is simulated.")
    ] = None,
    models: Models = DEFAULT_MODELS,
    paste: Paste = EmbedConfig.paste,
    cells: Annotated[int, typer.Option(help="Cells that are looked at, at most.")] = (
        FingerprintConfig.cells
    ),
    epochs: Annotated[int, typer.Option(help="Of training the small network.")] = (
        FingerprintConfig.epochs
    ),
    seed: Seed = FingerprintConfig.seed,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Tell composites from unaltered crops, by a small network, embeddings and a ring.

    0.5 means that they look alike, 1 that they are always told apart; `hard` stands beside.

    Example: bystander bench fingerprint store --models pifia
    """
    from compute.bench.whole import measure_fingerprint

    config = FingerprintConfig(cells=cells, epochs=epochs, seed=seed)
    _print(
        measure_fingerprint(
            store, models=names(models), paste=paste, config=config, device=device, trusted=trust
        )
    )


@bench.command()
def statistics(
    data_sets: Annotated[int, typer.Option(help="Simulated data sets per estimator.")] = (
        SimulationConfig.data_sets
    ),
    seed: Seed = SimulationConfig.seed,
    workers: Annotated[int, typer.Option(min=1, help="Simulations at a time.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Also write the table here, as CSV; default: only print it.")
    ] = None,
) -> None:
    """Check on simulated data that intervals hold the truth and tests keep their level.

    Example: bystander bench statistics --data-sets 200
    """
    from compute.bench.statistics import measure_statistics

    config = SimulationConfig(data_sets=data_sets, seed=seed)
    _print(measure_statistics(config, workers=workers, out=out))


@bench.command()
def appearance(
    stores: Annotated[
        list[Path] | None, typer.Argument(help="Crop stores; default: one is simulated.")
    ] = None,
) -> None:
    """Compare how the crops of stores look: noise, blur, contrast, debris, focus.

    Medians over crops with their quartiles, a column a store.

    Example: bystander bench appearance simulated-store imported-store
    """
    from compute.bench.appearance import measure_appearance, side_by_side

    for line in side_by_side(measure_appearance(stores or ())):
        console.out.print(line, markup=False)


@bench.command()
def dashboard(
    predictions: Annotated[
        int | None,
        typer.Option(help="Make a run with so many predictions (45000000: some 4 GB, minutes)."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="A run to measure; with --predictions, the new folder to keep it in."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each step is measured.")] = 10,
    sessions: Annotated[
        int | None, typer.Option(min=1, help="Measure so many readers at once instead.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="For how long, with --sessions.")] = 5.0,
    pause: Annotated[
        float, typer.Option(help="Mean seconds between a reader's steps, with --sessions.")
    ] = 4.0,
    seed: Seed = 0,
) -> None:
    """Measure what readers of the dashboard wait for, server side, and the memory it takes.

    A server is started on the run (the demo where none is given) and asked for page after page
    over its websocket, as a browser asks.

    Example: bystander bench dashboard --predictions 45000000
    """
    from dashboard.bench.process import machine
    from dashboard.bench.whole import measure_dashboard

    with console.progress() as progress:
        rows = measure_dashboard(
            run,
            predictions=predictions,
            repeats=repeats,
            sessions=sessions,
            minutes=minutes,
            pause=pause,
            seed=seed,
            progress=progress,
        )
    console.out.print(machine(), markup=False)
    _print(rows)
    if any(row.met is False for row in rows):
        raise BystanderError("A limit was missed.", "The table says which.")


def _print(rows: "Iterable[Row]") -> None:
    """Print a Markdown table, line by line as it comes."""
    from compute.bench.table import markdown

    for line in markdown(rows):
        console.out.print(line, markup=False)
