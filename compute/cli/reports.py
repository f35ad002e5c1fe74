"""Verbs that show what runs found, without a browser: report, compare.

Layer: reads options, calls the dashboard's queries and report, writes a file or prints a table.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compute.cli import console

if TYPE_CHECKING:
    from dashboard.queries.ranking import Ranking

app = typer.Typer()


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
    from dashboard.report.write import write_report

    made = write_report(run, out, figures)
    for reason in made.left_out:
        console.err.print(f"Left out: {reason}", markup=False)
    count = len(made.titles)
    console.out.print(f"Finished: {made.path} ({count} figure{'s' if count != 1 else ''})")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="One or more run directories.")],
    condition: Annotated[str, typer.Option(help="Whose drop is compared.")] = "different",
    protocol: Annotated[
        str | None,
        typer.Option(help="refit, frozen or own; default: the first that the runs have in common."),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(help="pair, multiclass, knn and so on; default: likewise."),
    ] = None,
    aggregation: Annotated[
        str | None, typer.Option(help="all or published; default: likewise.")
    ] = None,
    sort: Annotated[
        str, typer.Option(help="drop, gap (smallest first) or accuracy (highest first).")
    ] = "drop",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the numbers as CSV.")] = False,
    differences: Annotated[
        bool,
        typer.Option(
            "--differences",
            help="Print how any two models differ, with intervals and tests; of several runs only "
            "where these asked about the same trials.",
        ),
    ] = False,
) -> None:
    """Rank models of one or several runs by drop, gap and unaltered accuracy.

    Example: bystander compare my-run other-run --condition masked --sort gap
    """
    if differences:
        _print_differences(runs, condition, protocol, probe, as_csv)
        return
    from dashboard.queries.ranking import compare as rank

    ranking = rank(
        runs, condition=condition, protocol=protocol, probe=probe, aggregation=aggregation,
        sort=sort,
    )  # fmt: skip
    if as_csv:
        _print_csv(ranking)
        return
    _print_table(ranking)
    for note in (*ranking.notes, *(f"Left out: {reason}" for reason in ranking.left_out)):
        console.out.print(note, markup=False)


def _print_differences(
    runs: list[Path], condition: str, protocol: str | None, probe: str | None, as_csv: bool
) -> None:
    """Print models two by two: as CSV all of it, as lines unaltered accuracy, drop and gap."""
    from compute.errors import unknown_value
    from compute.storage import spreadsheet
    from dashboard.figures.compare import short_differences
    from dashboard.queries.differences import differences

    found = differences(runs, protocol=protocol, probe=probe)
    if as_csv:
        filled = found.table.assign(protocol=found.protocol, probe=found.probe)
        sys.stdout.write(spreadsheet.as_csv(filled))
        return
    altered = list(dict.fromkeys(found.table.query("quantity == 'drop'")["condition"]))
    if condition not in altered:
        raise unknown_value("condition", condition, altered)
    grid = short_differences(found.table, condition)
    console.out.print(grid.note, markup=False)
    _print_lines([grid.head, *grid.rows], (0,))
    for note in found.notes:
        console.out.print(note, markup=False)


def _print_csv(ranking: "Ranking") -> None:
    from compute.storage import spreadsheet

    protocol, probe, aggregation = ranking.choice
    filled = ranking.table.assign(
        condition=ranking.condition, protocol=protocol, probe=probe, aggregation=aggregation
    ).drop(columns="entry")
    sys.stdout.write(spreadsheet.as_csv(filled))


def _print_table(ranking: "Ranking") -> None:
    """Print the ranking as aligned lines, below what was compared."""
    from dashboard.figures.compare import short_board
    from dashboard.queries.filters import AccuracyFilter
    from dashboard.theme import condition_title

    grid = short_board(ranking.table)
    chosen = AccuracyFilter(*ranking.choice)
    console.out.print(chosen.sentence(), markup=False)
    console.out.print(
        f"Drop: unaltered minus “{condition_title(ranking.condition).lower()}”. Gap: “same class” "
        f"minus “different class”. Points of {chosen.measure}, with their intervals.",
        markup=False,
    )
    _print_lines([grid.head, *grid.rows], (1,))


def _print_lines(rows: list[tuple[str, ...]], left: tuple[int, ...]) -> None:
    """Print rows below each other, the first in bold; columns `left` begin at their left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for place, row in enumerate(rows):
        cells = [
            text.ljust(width) if number in left else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        style = "" if place else "bold"
        console.out.print("  ".join(cells).rstrip(), markup=False, style=style)
