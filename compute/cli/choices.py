"""Verbs that look at a finished run again: sensitivity, remedies, apply-remedy, explain.

Layer: reads options, calls `compute.runs.sensitivity`, `remedies`, `apply_remedy` or `explain`,
prints lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.cli import console
from compute.cli.options import (
    Address,
    Device,
    Engine,
    FinishedRun,
    Jobs,
    Layers,
    MaskShifts,
    ModelsOfRun,
    Poolings,
    StoreArgument,
    Trust,
    Workers,
    names,
)
from compute.errors import UsageError
from compute.explanations.config import ExplainConfig
from compute.remedies.config import RemedyConfig
from compute.runs.engines import EngineConfig
from compute.runs.variants import SensitivityConfig
from compute.schema import Remedy

app = typer.Typer()

USUAL = {name: ",".join(map(str, values)) for name, values in vars(SensitivityConfig()).items()}
"""The settings that are tried where none are given, as options take them."""


@app.command()
def sensitivity(
    store: StoreArgument,
    run: FinishedRun,
    models: ModelsOfRun = None,
    mask_shift: MaskShifts = USUAL["mask_shifts"],
    layers: Layers = USUAL["layers"],
    poolings: Poolings = USUAL["poolings"],
    harmonise: Annotated[
        str, typer.Option(help="Common scales to try: protein, field, none.")
    ] = USUAL["harmonise"],
    paste: Annotated[str, typer.Option(help="Ways to paste to try: glow, hard.")] = USUAL["paste"],
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for the runs under other settings; default: RUN-sensitivity."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave these runs there.")] = False,
    device: Device = "auto",
    jobs: Jobs = None,
    engine: Engine = EngineConfig.name,
    workers: Workers = EngineConfig.workers,
    address: Address = EngineConfig.address,
    trust: Trust = False,
) -> None:
    """Look at a run's findings under other settings, and add them to the run.

    One choice is moved at a time, from the run's own: mask, layer, pooling, harmonisation, paste.
    Interrupted, the same command goes on.

    Example: bystander sensitivity store my-run --mask-shift -2,0,2
    """
    from compute.runs.sensitivity import sensitivity as look

    config = SensitivityConfig(
        tuple(map(_pixels, names(mask_shift))),
        tuple(names(layers)),
        tuple(names(poolings)),
        tuple(names(harmonise)),
        tuple(names(paste)),
    )
    where = EngineConfig(engine, workers, address)
    with console.progress() as report:
        table = look(
            store, run, None if models is None else names(models), config, work=work, keep=keep,
            engine=where, device=device, jobs=jobs, trusted=trust, progress=report,
            notice=console.notice,
        )  # fmt: skip
    console.out.print(f"Added to {run}: sensitivity ({len(table)} rows)")
    console.out.print(f"Look at it: bystander dashboard {run}, page Accuracy")


@app.command()
def remedies(
    store: StoreArgument,
    run: FinishedRun,
    models: ModelsOfRun = None,
    donors: Annotated[
        int, typer.Option(help="Donors behind a cell that the balanced probe learns from.")
    ] = RemedyConfig.donors,
    backgrounds: Annotated[
        int, typer.Option(help="Random backgrounds that embeddings are averaged over.")
    ] = RemedyConfig.backgrounds,
    mixture: Annotated[
        str, typer.Option(help="Shares of other backgrounds in the balanced probe, to choose from.")
    ] = ",".join(f"{each:g}" for each in RemedyConfig.mixture),
    strengths: Annotated[
        str, typer.Option(help="Values of C of the balanced probe, to choose from.")
    ] = ",".join(f"{each:g}" for each in RemedyConfig.strengths),
    directions: Annotated[
        str, typer.Option(help="Numbers of directions to project out, to choose from.")
    ] = ",".join(map(str, RemedyConfig.directions)),
    work: Annotated[
        Path | None, typer.Option(help="Folder for embeddings; default: RUN-remedies.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the embeddings there.")] = False,
    device: Device = "auto",
    engine: Engine = EngineConfig.name,
    workers: Workers = EngineConfig.workers,
    address: Address = EngineConfig.address,
    trust: Trust = False,
) -> None:
    """Try what can be done without a new network, and add what it does to the run.

    Cleaned crops, a balanced probe, pooling inside the mask or over the middle, projecting out,
    averaging over backgrounds; each fitted and judged on proteins of its own. Interrupted, the same
    command goes on.

    Example: bystander remedies store my-run --backgrounds 5
    """
    from compute.remedies.wording import remedy_lines
    from compute.runs.remedies import try_remedies

    config = RemedyConfig(
        donors,
        backgrounds,
        _numbers("--mixture", mixture),
        _numbers("--strengths", strengths),
        tuple(map(_directions, names(directions))),
    )
    where = EngineConfig(engine, workers, address)
    with console.progress() as report:
        table = try_remedies(
            store, run, None if models is None else names(models), config, work=work, keep=keep,
            engine=where, device=device, trusted=trust, progress=report, notice=console.notice,
        )  # fmt: skip
    for line in remedy_lines(table):
        console.out.print(line, markup=False)
    console.out.print(f"Added to {run}: remedies ({len(table)} rows)")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """Read the numbers of an option that takes several."""
    try:
        return tuple(map(float, names(text)))
    except ValueError as error:
        raise UsageError(
            f"{option}: {text!r} is not a list of numbers.",
            "Give numbers separated by commas, such as 0.1,1,10.",
        ) from error


def _whole(option: str, what: str, text: str, example: str) -> int:
    """Read one of the whole numbers of an option."""
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(
            f"{option}: {text!r} is not a whole number of {what}.",
            f"Give numbers separated by commas, such as {example}.",
        ) from error


def _pixels(text: str) -> int:
    """Read one of the numbers of ``--mask-shift``."""
    return _whole("--mask-shift", "pixels", text, "-2,0,2")


def _directions(text: str) -> int:
    """Read one of the numbers of ``--directions``."""
    return _whole("--directions", "directions", text, "0,4,16")


@app.command()
def apply_remedy(
    store: StoreArgument,
    run: FinishedRun,
    out: Annotated[Path, typer.Argument(help="The file: .parquet or .h5ad.")],
    model: Annotated[str, typer.Option(help="One of the run's, as it was given.")],
    remedy: Annotated[str, typer.Option(help=f"One of {', '.join(map(str, Remedy))}.")],
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Write cured embeddings and answers of all cells of a run to a file for other programs.

    Example: bystander apply-remedy store my-run cured.h5ad --model deeploc --remedy centred
    """
    from compute.runs.apply_remedy import apply_remedy as apply

    with console.progress() as report:
        count = apply(
            store, run, out, model, remedy, device=device, trusted=trust, progress=report,
            notice=console.notice,
        )  # fmt: skip
    console.out.print(f"Wrote {count} cells: {out}")


@app.command()
def explain(
    store: StoreArgument,
    run: FinishedRun,
    models: ModelsOfRun = None,
    cells: Annotated[
        int, typer.Option(help="Cells of pair tests that are looked at, at most.")
    ] = ExplainConfig.cells,
    cell: Annotated[
        int | None,
        typer.Option(help="Explain this cell alone, and add nothing to the run; default: many."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --cell: folder for a PNG of each model; default: none."),
    ] = None,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Find out where models look: each neighbour, the centre and some medium taken out in turn.

    What that does to the answers is added to the run. With --cell it is shown for one cell.

    Example: bystander explain store my-run --cell 12 --out pictures
    """
    from compute.explanations.wording import cell_lines, summary_lines
    from compute.runs.explain import explain as look
    from compute.runs.explain import explain_cell

    of_run = None if models is None else names(models)
    if cell is None:
        if out is not None:
            raise UsageError(
                f"--out {out}: there is a picture of one cell only.", "Give --cell, too."
            )
        config = ExplainConfig(cells)
        with console.progress() as report:
            table = look(store, run, of_run, config, device=device, trusted=trust, progress=report)
        for line in summary_lines(table):
            console.out.print(line, markup=False)
        console.out.print(f"Added to {run}: occlusions, occlusion_summary ({len(table)} rows)")
        return
    found = explain_cell(store, run, cell, of_run, device=device, trusted=trust)
    for line in cell_lines(found.table):
        console.out.print(line, markup=False)
    if out is not None:
        from dashboard.render.explanation import write_explanation

        for made in write_explanation(
            found.table, found.image, found.outlines, found.channels, out, marker=found.marker,
            simulated=found.simulated,
        ):  # fmt: skip
            console.out.print(f"Picture: {made}", markup=False)
