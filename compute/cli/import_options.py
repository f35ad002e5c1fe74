"""What all verbs share that import crops: options, and how an import is run and described.

Layer: reads options, calls importers, prints lines.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compute.cli import console

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
Size = Annotated[
    int | None,
    typer.Option(help="Side to cut or pad crops to, pixels; default: as they are, all alike."),
]
PixelSize = Annotated[
    float | None, typer.Option(help="Micrometres a pixel of the images, for --resample.")
]
Resample = Annotated[
    float | None, typer.Option(help="Micrometres a pixel to resample the images to.")
]
Protein = Annotated[
    str | None,
    typer.Option(help="Of what has none in the source; default: its well, field or file."),
]
ProteinColumn = Annotated[
    str | None,
    typer.Option(help="Column of the source that names the protein, compound or donor."),
]
ClassColumn = Annotated[str | None, typer.Option(help="Column of the source that names the class.")]
CellDiameter = Annotated[
    float | None,
    typer.Option(help="Of a cell, pixels, where cells are segmented; default: estimated."),
]
MaskThreshold = Annotated[
    float | None,
    typer.Option(
        "--mask-threshold", help="Of masks that are probabilities: least value of a cell's pixel."
    ),
]


def import_with(
    read: Callable[..., "ImportReport"], source: Path, store: Path, **options: Any
) -> None:
    """Call an importer with a progress bar, then print what it made."""
    with console.progress() as report:
        read(source, store, progress=report, **options)
    describe(store)


def describe(path: Path) -> None:
    """Print what a new crop store holds, and what could not be taken."""
    from compute.runs.describe import store_lines
    from compute.runs.summary import summarise_store

    facts = summarise_store(path)
    console.show(list(store_lines(path, facts)), facts)
