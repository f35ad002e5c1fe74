"""Tables that follow from a run's own and are asked for often: one statement each.

A statement names a derived table in braces like any other. Where the run has a serving copy
(`copies`) it stands there, computed once; where it has none, it is computed as part of the query.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Derived:
    """A table by the statement that makes it.

    Parameters
    ----------
    sql
        Constant; tables in braces, no values.
    tables
        What it reads.
    """

    sql: str
    tables: tuple[str, ...]


DERIVED: dict[str, Derived] = {
    "example_cells": Derived(
        """
        SELECT e.cell, any_value(e.protein) AS protein, any_value(k.orf) AS orf,
               any_value(e.localization) AS localization, any_value(e.labels) AS labels,
               any_value(k.flags) AS cell_flags,
               any_value(k.neighbour_fraction) AS neighbour_fraction
        FROM {examples} AS e LEFT JOIN {cells} AS k USING (cell)
        GROUP BY e.cell
        """,
        ("examples", "cells"),
    ),
    "example_trials": Derived(
        """
        SELECT cell, condition, bit_or(flags) AS flags, list(donor_localization) AS behind
        FROM {examples} GROUP BY cell, condition
        """,
        ("examples",),
    ),
    "example_answers": Derived(
        """
        WITH said AS (SELECT e.cell, e.condition, e.localization, s.model, s.protocol, s.predicted,
                             s.probability, e.donor_localization
                      FROM (SELECT cell, condition, localization, donor_localization,
                                   unnest(predictions) AS s
                            FROM {examples}) AS e)
        SELECT c.cell, c.condition, c.model, c.protocol, c.probability,
               (c.predicted <> u.predicted)::INT AS changes,
               coalesce(u.predicted = c.localization AND c.predicted <> c.localization,
                        false)::INT AS lost,
               coalesce(u.predicted <> c.localization AND c.predicted = c.localization,
                        false)::INT AS gained,
               coalesce(u.predicted <> c.localization AND c.predicted <> c.localization
                        AND u.predicted <> c.predicted, false)::INT AS moved,
               coalesce(u.predicted = c.localization AND c.predicted <> c.localization
                        AND c.predicted = c.donor_localization, false)::INT AS drawn
        FROM said AS c JOIN said AS u USING (cell, model, protocol)
        WHERE u.condition = 'unaltered' AND c.condition <> 'unaltered'
        """,
        ("examples",),
    ),
    "trial_counts": Derived(
        """
        SELECT condition, count(*) AS trials, count(DISTINCT cell) AS cells,
               count(*) FILTER (WHERE flags <> 0) AS flagged
        FROM {trials} GROUP BY condition ORDER BY condition
        """,
        ("trials",),
    ),
}
"""Derived tables by name."""
