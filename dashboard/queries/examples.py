"""Stored images of cells under every condition, as tables."""

import pandas as pd

from compute.schema import Condition
from dashboard.queries.filters import CropFilter
from dashboard.queries.open_runs import Run

ORDERS = {
    "drawn to the background": "drawn DESC, lost DESC, changes DESC, least_probability ASC",
    "most changed": "changes DESC, least_probability ASC",
    "least changed": "changes ASC, least_probability DESC",
    "gene": "protein ASC",
    "class": "localization ASC NULLS LAST, protein ASC",
}
"""Orders of cells; nothing else reaches ORDER BY. The first shows most: answers that were right on
the cell's own background and became the class of the other."""

CELLS = """
    WITH moved AS (
        SELECT cell, sum(changes) AS changes, count(*) AS compared, sum(lost) AS lost,
               sum(gained) AS gained, sum(moved) AS moved, sum(drawn) AS drawn,
               min(probability) AS least_probability
        FROM {example_answers}
        WHERE protocol = $protocol AND model IN $models AND condition IN $conditions
        GROUP BY cell),
    shown AS (
        SELECT cell, bit_or(flags) AS flags, flatten(list(behind)) AS behind
        FROM {example_trials} WHERE condition IN $conditions GROUP BY cell),
    cells AS (
        SELECT e.cell, e.protein, e.orf, e.localization, e.labels,
               shown.flags | coalesce(e.cell_flags, 0) AS flags, e.neighbour_fraction,
               coalesce(m.changes, 0)::BIGINT AS changes, coalesce(m.compared, 0) AS compared,
               coalesce(m.lost, 0) AS lost, coalesce(m.gained, 0) AS gained,
               coalesce(m.moved, 0) AS moved, coalesce(m.drawn, 0) AS drawn,
               shown.behind, m.least_probability
        FROM {example_cells} AS e LEFT JOIN moved AS m USING (cell) LEFT JOIN shown USING (cell))
"""


def cells(
    run: Run, chosen: CropFilter, order: str, page: int, size: int
) -> tuple[pd.DataFrame, int]:
    """Return one page of the cells that have stored images.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Which cells.
    order
        A key of `ORDERS`.
    page
        Number of the page, from 1.
    size
        Cells on a page.

    Returns
    -------
    pandas.DataFrame
        ``cell, protein, orf, localization, labels`` (one text)``, flags, neighbour_fraction,
        changes, compared, total``: `changes` of `compared` predictions differ from unaltered.
    int
        How many cells there are in all.
    """
    where = chosen.clause()
    found = run.query(
        f"""
        {CELLS}
        SELECT cell, protein, orf, localization, array_to_string(labels, ', ') AS labels, flags,
               neighbour_fraction, changes, compared, count(*) OVER () AS total
        FROM cells WHERE {where.sql}
        ORDER BY {ORDERS[order]}, protein, cell LIMIT $size OFFSET $skip
        """,
        ("example_answers", "example_trials", "example_cells"),
        {
            **where.values,
            "protocol": chosen.protocol,
            "models": list(chosen.models),
            "conditions": list(chosen.conditions),
            "unaltered": str(Condition.UNALTERED),
            "size": size,
            "skip": (page - 1) * size,
        },
    )
    return found, int(found["total"].iloc[0]) if len(found) else 0


def images(run: Run, of: tuple[int, ...], conditions: tuple[str, ...]) -> pd.DataFrame:
    """Return images and predictions of some cells.

    Returns
    -------
    pandas.DataFrame
        ``cell, condition, donor, donor_protein, donor_localization, flags, images, offset, gain,
        outline, predictions``; one row per cell and condition.
    """
    return run.query(
        """
        SELECT cell, condition, donor, donor_protein, donor_localization, flags, images,
               "offset", gain, outline, predictions
        FROM {examples} WHERE cell IN $of AND condition IN $conditions
        QUALIFY row_number() OVER (PARTITION BY cell, condition ORDER BY trial) = 1
        ORDER BY cell, condition
        """,
        ("examples",),
        {"of": list(of), "conditions": list(conditions)},
    )


def of_protein(run: Run, protein: str, limit: int) -> list[int]:
    """Return at most `limit` cells of a protein that have stored images."""
    found = run.query(
        """
        SELECT DISTINCT cell FROM {examples} WHERE protein = $protein ORDER BY cell LIMIT $limit
        """,
        ("examples",),
        {"protein": protein, "limit": limit},
    )
    return [int(cell) for cell in found["cell"]]


def stored(run: Run, cell: int) -> bool:
    """Whether any image of a cell is stored."""
    found = run.query(
        "SELECT count(*) AS n FROM {examples} WHERE cell = $cell", ("examples",), {"cell": cell}
    )
    return bool(found["n"].iloc[0])


def siblings(run: Run, protein: str, limit: int = 24) -> pd.DataFrame:
    """Return unaltered images of a protein, for a contrast that they share.

    Returns
    -------
    pandas.DataFrame
        ``images, offset, gain``.
    """
    return run.query(
        """
        SELECT images, "offset", gain FROM {examples}
        WHERE protein = $protein AND condition = $unaltered ORDER BY cell LIMIT $limit
        """,
        ("examples",),
        {"protein": protein, "unaltered": str(Condition.UNALTERED), "limit": limit},
    )


def sample(run: Run, limit: int = 120) -> pd.DataFrame:
    """Return unaltered images spread over the run, for the fixed contrast.

    Returns
    -------
    pandas.DataFrame
        ``images, offset, gain``.
    """
    return run.query(
        """
        SELECT images, "offset", gain FROM {examples}
        WHERE condition = $unaltered ORDER BY hash(cell) LIMIT $limit
        """,
        ("examples",),
        {"unaltered": str(Condition.UNALTERED), "limit": limit},
    )


def answers(run: Run, cell: int) -> pd.DataFrame:
    """Return every trial of a cell with its donor and what each model said.

    Returns
    -------
    pandas.DataFrame
        ``model, protocol, condition, repeat, trial, donor, donor_protein, donor_localization,
        flags, predicted, probability, stored`` (whether its image is).
    """
    return run.query(
        """
        WITH mine AS (SELECT protein FROM {cells} WHERE cell = $cell LIMIT 1),
             t AS (SELECT trial, condition, repeat, donor, donor_localization, flags
                   FROM {trials} WHERE cell = $cell),
             p AS (SELECT model, protocol, trial, predicted, list_max(probabilities) AS probability
                   FROM {predictions}
                   WHERE protein = (SELECT protein FROM mine) AND cell = $cell),
             shown AS (SELECT DISTINCT trial FROM {examples} WHERE cell = $cell)
        SELECT p.model, p.protocol, t.condition, t.repeat, t.trial, t.donor,
               d.protein AS donor_protein, t.donor_localization, t.flags, p.predicted,
               p.probability, shown.trial IS NOT NULL AS stored
        FROM t JOIN p USING (trial) LEFT JOIN shown USING (trial)
        LEFT JOIN {cells} AS d ON t.donor = d.cell AND t.condition <> $cell_free
        ORDER BY p.protocol, p.model, t.condition, t.repeat
        """,
        ("cells", "trials", "predictions", "examples"),
        {"cell": cell, "cell_free": str(Condition.CELL_FREE)},
    )


def telling_cells(
    run: Run,
    protocol: str,
    models: tuple[str, ...],
    head: str,
    conditions: tuple[str, ...],
    limit: int = 40,
) -> list[int]:
    """Choose cells that explain a swap: right before, taken for the background's class after.

    Parameters
    ----------
    run
        The run that is asked.
    protocol, models, conditions
        Whose answers count, on which backgrounds.
    head
        The headline's model.
    limit
        How many cells are given at most.

    Returns
    -------
    list of int
        Those that the headline's model takes for the background's class, if there are any, though
        on a background of their own class it keeps its answer; of them those that most models take
        for it, with images of most conditions, whose answers change, but not under `same`,
        unflagged, right at first. Cells that are alike in all of that, the same for the same run.
    """
    found = run.query(
        """
        WITH said AS (SELECT * FROM {example_answers}
                      WHERE protocol = $protocol AND model IN $models),
        follows AS (SELECT cell, count(DISTINCT model) AS models, max((model = $head)::INT) AS head
                    FROM said WHERE drawn = 1 AND condition IN $conditions GROUP BY cell),
        moved AS (SELECT cell, max(changes) FILTER (WHERE condition <> $same) AS away,
                         sum(changes) FILTER (WHERE condition = $same) AS unsure,
                         max(changes) FILTER (WHERE condition = $same AND model = $head) AS shaky,
                         sum(lost) FILTER (WHERE condition <> $same) AS lost
                  FROM said WHERE condition IN $conditions GROUP BY cell),
        kept AS (SELECT cell, count(DISTINCT condition) AS conditions, bit_or(flags) AS flags
                 FROM {examples} GROUP BY cell)
        SELECT cell
        FROM kept LEFT JOIN follows USING (cell) LEFT JOIN moved USING (cell)
        LEFT JOIN {example_cells} AS e USING (cell)
        QUALIFY rank() OVER (ORDER BY coalesce(head, 0) DESC, coalesce(shaky, 0),
                             coalesce(follows.models, 0) DESC,
                             conditions DESC, coalesce(away, 0) DESC, coalesce(unsure, 0),
                             kept.flags = 0 DESC, coalesce(lost, 0) DESC) = 1
        ORDER BY e.neighbour_fraction DESC NULLS LAST, cell
        LIMIT $limit
        """,
        ("examples", "example_answers", "example_cells"),
        {
            "protocol": protocol,
            "models": list(models),
            "head": head,
            "conditions": list(conditions),
            "limit": limit,
            "same": str(Condition.SAME),
        },
    )
    return [int(cell) for cell in found["cell"]]


def followers(
    run: Run, cell: int, protocol: str, models: tuple[str, ...], conditions: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the models that are right about a cell, and on some background take its class."""
    found = run.query(
        """
        SELECT DISTINCT model FROM {example_answers}
        WHERE cell = $cell AND protocol = $protocol AND model IN $models
          AND condition IN $conditions AND drawn = 1
        ORDER BY model
        """,
        ("example_answers",),
        {
            "cell": cell,
            "protocol": protocol,
            "models": list(models),
            "conditions": list(conditions),
        },
    )
    return tuple(found["model"])


def count_drawn(run: Run, protocol: str, model: str, condition: str) -> pd.DataFrame:
    """Count the stored cells that a model takes for their background's class.

    Returns
    -------
    pandas.DataFrame
        One row: ``drawn, cells``; of `cells` with an answer as imaged and under the condition,
        `drawn` are right at first and then named as the background's class.
    """
    return run.query(
        """
        SELECT count(DISTINCT cell) FILTER (WHERE drawn = 1) AS drawn,
               count(DISTINCT cell) AS cells
        FROM {example_answers}
        WHERE protocol = $protocol AND model = $model AND condition = $condition
        """,
        ("example_answers",),
        {"protocol": protocol, "model": model, "condition": condition},
    )


def describe(run: Run, of: tuple[int, ...]) -> pd.DataFrame:
    """Return names and quality of some cells.

    Returns
    -------
    pandas.DataFrame
        ``cell, protein, orf, localization, labels`` (one text)``, classes`` (a list)``,
        cell_flags, field, replicate, mask_area, neighbour_fraction``.
    """
    return run.query(
        """
        SELECT cell, protein, orf, localization, array_to_string(labels, ', ') AS labels,
               coalesce(labels, []) AS classes, flags AS cell_flags, field, replicate, mask_area,
               neighbour_fraction
        FROM {cells} WHERE cell IN $of
        """,
        ("cells",),
        {"of": list(of)},
    )
