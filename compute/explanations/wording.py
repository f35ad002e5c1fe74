"""Where models look, in lines of text. Pure text, no files."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from compute.schema import LookingQuantity, Piece, piece_title

_NAMED = {
    Piece.CENTRE: "its own cell",
    Piece.NEIGHBOUR: "its neighbours",
    Piece.MEDIUM: "a patch of medium",
}
"""The pieces that sentences speak of."""


def summary_lines(table: pa.Table) -> Iterator[str]:
    """Say where each model looks.

    Parameters
    ----------
    table
        Columns of `compute.schema.OCCLUSION_SUMMARY`.

    Yields
    ------
    str
        For each model its name, then sentences. Changes of probability are in points, shares in
        percent, with their 95% intervals.
    """
    rows = table.to_pylist()
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        by = {(row["quantity"], row["kind"]): row for row in mine}
        cells = max(row["n_cells"] for row in mine)
        yield f"{model} ({cells} cells):"
        changes = [
            f"{name} {_points(row)}"
            for kind, name in _NAMED.items()
            if (row := by.get((str(LookingQuantity.CHANGE), str(kind))))
        ]
        yield f"  Taking it out moves the answer's probability: {', '.join(changes)}."
        flips = [
            f"{name} {_percent(row)}"
            for kind, name in _NAMED.items()
            if (row := by.get((str(LookingQuantity.ANSWERS_CHANGED), str(kind))))
        ]
        yield f"  Cells whose answer changes: {', '.join(flips)}."
        share = by.get((str(LookingQuantity.NEIGHBOUR_SHARE), None))
        if share is not None:
            yield f"  Of the change that both make, neighbours make {_percent(share)}."
        for quantity, what, unit in (
            (LookingQuantity.BY_DISTANCE, "distance from the cell", "px"),
            (LookingQuantity.BY_AREA, "area", "px"),
        ):
            bins = [row for row in mine if row["quantity"] == str(quantity)]
            if bins:
                told = "; ".join(f"{_span(row)} {unit} {_points(row)}" for row in bins)
                yield f"  One neighbour, by {what}: {told}."
        nothing = by.get((str(LookingQuantity.CHANGE), str(Piece.NOTHING)))
        if nothing is not None and nothing["estimate"] > 0:
            yield (
                f"  Taking out nothing moves it by {nothing['estimate']:.1e}: the model does not "
                "answer the same crop alike twice, and smaller changes mean nothing."
            )


def cell_lines(table: pa.Table) -> Iterator[str]:
    """List what taking each piece out of one cell's crop changes.

    Parameters
    ----------
    table
        Rows of one cell, columns of `compute.schema.OCCLUSIONS`.

    Yields
    ------
    str
        For each model its answer, then a heading and a line a piece. Changes are in points of the
        answer's probability; below 0 it falls.
    """
    rows = table.to_pylist()
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        first = mine[0]
        own = f", of class {first['localization']}" if first["localization"] else ""
        yield (
            f"{model}: cell {first['cell']} of {first['protein']}{own}; it answers "
            f"{first['answer']} ({100 * first['probability']:.1f}%)"
        )
        yield f"  {'taken out':<14}{'px':>6}{'distance':>10}{'change':>9}  answer then"
        for row in mine:
            away = "–" if row["distance"] is None else str(row["distance"])
            then = row["answer_after"] if row["changed"] else "the same"
            title, change = piece_title(row["kind"], row["piece"]), change_in_points(row["fall"])
            yield f"  {title:<14}{row['area']:>6}{away:>10}{change:>9}  {then}"
        if not any(row["kind"] == Piece.NEIGHBOUR for row in mine):
            yield "  No neighbour is in its crop."


def change_in_points(fall: float) -> str:
    """Return a change of probability as shown, ``-12.3`` where it falls; 0 has no sign."""
    return f"{-100 * fall:+.1f}" if abs(fall) >= 0.0005 else "0.0"


def _points(row: dict[str, Any]) -> str:
    """Write a change in points, with its interval where it has one."""
    return _told(row, " points")


def _percent(row: dict[str, Any]) -> str:
    """Write a share in percent, with its interval where it has one."""
    return _told(row, "%")


def _told(row: dict[str, Any], unit: str) -> str:
    low, high = row["ci_low"], row["ci_high"]
    text = f"{100 * row['estimate']:.1f}{unit}"
    if low is None or high is None or low != low:
        return text
    return f"{text} ({100 * low:.1f} to {100 * high:.1f})"


def _span(row: dict[str, Any]) -> str:
    """Write the ends of a bin of whole numbers."""
    low, high = round(row["low"]), row["high"]
    return f"from {low}" if high is None else f"{low} to {round(high) - 1}"
