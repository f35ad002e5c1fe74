"""Verbs that show what runs found, without a browser: report, compare.

Layer: reads options, calls the dashboard's queries and report, writes a file or prints a table.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compute.cli import console
from compute.errors import BystanderError, UsageError, unknown_value

if TYPE_CHECKING:
    from dashboard.queries.open_runs import Library

app = typer.Typer()

KINDS = (".html", ".pdf", ".pptx")
"""What a report can be, by the end of its file's name."""


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write: .html, .pdf or .pptx; default: RUN.html."),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(
            help="Which figures, as in the address of the page Present: names with their "
            "parameters, separated by commas. Default: what the run found."
        ),
    ] = None,
) -> None:
    """Write a run's figures as one HTML file (no network), a PDF or a PowerPoint file.

    Example: bystander report my-run --out my-run.pptx --figures accuracy,by_class:condition=masked
    """
    from compute.storage.atomic_files import writing
    from dashboard.figures import keys
    from dashboard.figures.request import Filters
    from dashboard.queries.comparable_runs import directly
    from dashboard.report import deck, files

    target = out or Path(f"{run.resolve().name}.html")
    if target.suffix.lower() not in KINDS:
        raise UsageError(
            f"{target} does not end in {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
            "The end of the name says what is written.",
        )
    library = _open([run])
    opened = library.runs[0]
    if figures:
        chosen = keys.read_strictly(figures)
    else:
        chosen = deck.usual_figures(Filters.usual(opened), directly)
    made = deck.make(opened, chosen, directly)
    for reason in made.left_out:
        console.err.print(f"Left out: {reason}", markup=False)
    if figures and made.left_out:
        raise UsageError(
            f"{len(made.left_out)} of {len(chosen)} figures cannot be made; nothing was written.",
            "The lines above say why.",
        )
    content = files.render(made, target.suffix.lower().lstrip("."))
    with writing(target) as place:
        place.write_bytes(content)
    slides = len(made.slides)
    console.out.print(f"Finished: {target} ({slides} figure{'s' if slides != 1 else ''})")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="One or more run directories.")],
    condition: Annotated[str, typer.Option(help="Whose drop is compared.")] = "different",
    protocol: Annotated[str | None, typer.Option(help="refit or frozen.")] = None,
    probe: Annotated[str | None, typer.Option(help="pair or multiclass.")] = None,
    aggregation: Annotated[str | None, typer.Option(help="all or published.")] = None,
    sort: Annotated[
        str, typer.Option(help="drop, gap (smallest first) or accuracy (highest first).")
    ] = "drop",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the numbers as CSV.")] = False,
) -> None:
    """Rank models of one or several runs by drop, gap and unaltered accuracy.

    Example: bystander compare my-run other-run --condition masked --sort gap
    """
    from dashboard.queries.comparable_runs import comparison, directly
    from dashboard.queries.compare import leaderboard

    orders = {"drop": "smallest drop", "gap": "smallest gap", "accuracy": "highest accuracy"}
    if sort not in orders:
        raise unknown_value("order", sort, orders)
    library = _open(runs)
    found = comparison(directly, library.runs)
    choice = _choice(found.choices, {"protocol": protocol, "probe": probe, "average": aggregation})
    altered = [name for name in found.conditions if name != "unaltered"]
    if choice is None or not altered:
        for note in (*found.notes, *found.left_out):
            console.err.print(note, markup=False)
        raise BystanderError(
            "There is nothing to compare: no protocol, probe and average with two conditions is "
            "in all of these runs.",
            "The lines above say what they have not in common." if found.notes else "",
        )
    if condition not in altered:
        raise unknown_value("condition", condition, altered)
    table = leaderboard(directly, found, choice, condition, orders[sort])
    if as_csv:
        _print_csv(table, condition, choice)
        return
    _print_table(table, condition, choice)
    for note in (*found.notes, *(f"Left out: {reason}" for reason in found.left_out)):
        console.out.print(note, markup=False)


def _open(paths: Sequence[Path]) -> "Library":
    """Open run directories, all of which must be there and readable."""
    from dashboard.queries.open_runs import connect, open_library

    folders = [path.resolve() for path in paths]
    missing = [str(path) for path in paths if not path.is_dir()]
    if missing:
        raise UsageError(
            f"No such run directory: {', '.join(missing)}.",
            "Give folders that `bystander run` made.",
        )
    library = open_library(folders, connect(folders))
    if library.broken:
        first = library.broken[0]
        raise BystanderError(first.problem, first.remedy)
    return library


def _choice(
    there: Sequence[tuple[str, str, str]], asked: dict[str, str | None]
) -> tuple[str, str, str] | None:
    """Return the first combination that all runs have and that was asked for."""
    left = list(there)
    for place, (what, value) in enumerate(asked.items()):
        if value is None:
            continue
        allowed = sorted({choice[place] for choice in left})
        if left and value not in allowed:
            raise unknown_value(what, value, allowed)
        left = [choice for choice in left if choice[place] == value]
    return left[0] if left else None


def _print_csv(table: Any, condition: str, choice: tuple[str, str, str]) -> None:
    """Print the table as CSV, with columns that say what was compared."""
    protocol, probe, aggregation = choice
    filled = table.assign(
        condition=condition, protocol=protocol, probe=probe, aggregation=aggregation
    ).drop(columns="entry")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(filled.columns)
    for row in filled.itertuples(index=False):
        writer.writerow(["" if value != value or value is None else value for value in row])


def _print_table(table: Any, condition: str, choice: tuple[str, str, str]) -> None:
    """Print the table as aligned lines, below what was compared."""
    from dashboard.figures.compare import short_board
    from dashboard.queries.filters import AccuracyFilter
    from dashboard.theme import condition_title

    grid = short_board(table)
    console.out.print(AccuracyFilter(*choice).sentence(), markup=False)
    console.out.print(
        f"Drop: unaltered minus “{condition_title(condition).lower()}”. Gap: “same class” minus "
        "“different class”. Points of accuracy, with their intervals.",
        markup=False,
    )
    rows = [grid.head, *grid.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(grid.head))]
    for place, row in enumerate(rows):
        cells = [
            text.ljust(width) if number == 1 else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        style = "" if place else "bold"
        console.out.print("  ".join(cells).rstrip(), markup=False, style=style)
