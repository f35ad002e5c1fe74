"""The verb that looks at a finished run under other settings: sensitivity.

Layer: reads options, calls `compute.runs.sensitivity`, prints lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.cli import console
from compute.cli.options import (
    Address,
    Device,
    Engine,
    Jobs,
    Layers,
    MaskShifts,
    Poolings,
    StoreArgument,
    Trust,
    Workers,
    names,
)
from compute.errors import UsageError
from compute.runs.engines import EngineConfig
from compute.runs.variants import SensitivityConfig

app = typer.Typer()

USUAL = {name: ",".join(map(str, values)) for name, values in vars(SensitivityConfig()).items()}
"""The settings that are tried where none are given, as options take them."""


@app.command()
def sensitivity(
    store: StoreArgument,
    run: Annotated[Path, typer.Argument(help="A finished run of the store.")],
    models: Annotated[
        str | None,
        typer.Option(help="Its models, as they were given; default: all, if they are shipped."),
    ] = None,
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


def _pixels(text: str) -> int:
    """Read one of the numbers of ``--mask-shift``."""
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(
            f"--mask-shift: {text!r} is not a whole number of pixels.",
            "Give numbers separated by commas, such as -2,0,2.",
        ) from error
