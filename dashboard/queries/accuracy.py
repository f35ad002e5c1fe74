"""Accuracies, drops, net drops, gaps and pair tests as tables."""

from collections.abc import Sequence

import pandas as pd

from compute.schema import UNUSABLE, Choice, Condition
from dashboard.queries.filters import AccuracyFilter, PairFilter
from dashboard.queries.headline import counted
from dashboard.queries.open_runs import Run
from dashboard.theme import in_order

PAIR_ORDERS = {
    "largest drop": "drop_estimate DESC NULLS LAST",
    "least accurate": "accuracy ASC NULLS LAST",
    "most accurate": "accuracy DESC NULLS LAST",
    "alphabet": "localization_a ASC",
}
"""Orders of the pair table; nothing else reaches ORDER BY."""


def _ends(run: Run, table: str, names: Sequence[str]) -> str:
    """Return the columns of a row of `effects` that runs made before do not have, or nulls."""
    known = run.query("SELECT * FROM {effects} LIMIT 0", ("effects",)).columns
    return ", ".join(
        f"{table}.{name}" if name in known else f"NULL::DOUBLE AS {name}" for name in names
    )


SIMULTANEOUS = ("simultaneous_low", "simultaneous_high")
"""Ends of the interval that holds all effects at once among which the largest is looked for."""

ODDS = ("margin_odds", "p_equivalence_odds_holm")
"""The margin in odds, and the test of it."""


def overall(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return accuracy by model and condition, with its drop and net drop; shares from 0 to 1.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, estimate, ci_low, ci_high, unit, n_cells, n_proteins,
        donor_seen, drop_estimate, drop_low, drop_high, drop_unit, simultaneous_low,
        simultaneous_high, together, p_holm, net_estimate, net_low, net_high, mild, mild_value,
        counted``; `together` counts the drops that the simultaneous interval is over, the last
        three are those of `headline.counted`. Empty where nothing was labelled.
    """
    where = chosen.clause()
    ends = _ends(run, "d", SIMULTANEOUS)
    found = run.query(
        f"""
        WITH a AS (SELECT * FROM {{accuracy}} WHERE {where.sql} AND scope = 'overall'),
             e AS (SELECT * FROM {{effects}} WHERE {where.sql} AND scope = 'overall'),
             d AS (SELECT * FROM e WHERE effect = 'drop'),
             every AS (SELECT {_ends(run, "x", SIMULTANEOUS[:1])} FROM {{effects}} AS x
                       WHERE protocol = $protocol AND probe = $probe AND effect = 'drop'
                         AND aggregation = $aggregation),
             n AS (SELECT * FROM e WHERE effect = 'net')
        SELECT a.model, a.condition, a.estimate, a.ci_low, a.ci_high, a.unit,
               a.n_cells, a.n_proteins, a.donor_seen,
               d.estimate AS drop_estimate, d.ci_low AS drop_low, d.ci_high AS drop_high,
               d.unit AS drop_unit, {ends},
               (SELECT count(simultaneous_low) FROM every) AS together, d.p_holm,
               n.estimate AS net_estimate, n.ci_low AS net_low, n.ci_high AS net_high
        FROM a LEFT JOIN d USING (model, condition) LEFT JOIN n USING (model, condition)
        ORDER BY a.model, a.condition
        """,
        ("accuracy", "effects"),
        where.values,
    )
    found = counted(found, "drop_estimate", "drop_low")
    return found[found["condition"].isin(chosen.conditions)].reset_index(drop=True)


def donors_seen(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return the share of tested crops whose donor's protein the probe was fitted on.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, donor_seen``; without conditions that have no donors.
    """
    where = chosen.clause()
    return run.query(
        f"""
        SELECT model, condition, donor_seen FROM {{accuracy}}
        WHERE {where.sql} AND scope = 'overall' AND condition IN $conditions
          AND donor_seen IS NOT NULL
        ORDER BY model, condition
        """,
        ("accuracy",),
        {**where.values, "conditions": list(chosen.conditions)},
    )


def gaps(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return the background gap of each model.

    Returns
    -------
    pandas.DataFrame
        ``model, estimate, ci_low, ci_high, unit, simultaneous_low, simultaneous_high, together,
        p_holm, donor_seen, n_cells, n_proteins``, largest first; `together` as in `overall`.
    """
    where = chosen.clause()
    return run.query(
        f"""
        WITH every AS (SELECT {_ends(run, "x", SIMULTANEOUS[:1])} FROM {{effects}} AS x
                       WHERE protocol = $protocol AND probe = $probe AND effect = 'gap'
                         AND aggregation = $aggregation)
        SELECT model, estimate, ci_low, ci_high, unit, {_ends(run, "g", SIMULTANEOUS)},
               (SELECT count(simultaneous_low) FROM every) AS together,
               p_holm, donor_seen, n_cells, n_proteins
        FROM {{effects}} AS g
        WHERE {where.sql} AND scope = 'overall' AND effect = 'gap'
          AND (condition IS NULL OR condition = 'different')
        ORDER BY estimate DESC
        """,
        ("effects",),
        where.values,
    )


def equivalence(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return tests of whether a drop lies within a margin; only they support robustness.

    They are those of every probe that the run has, at the chosen protocol, as a model is robust
    only where all of them agree.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, probe, estimate, ci_low, ci_high, margin, p_equivalence_holm,
        margin_odds, p_equivalence_odds_holm, n_cells, n_proteins``; a p-value is missing where no
        interval could be computed, the margin in odds where none was asked for.
    """
    where = chosen.clause()
    return run.query(
        f"""
        SELECT model, condition, probe, estimate, ci_low, ci_high, margin, p_equivalence_holm,
               {_ends(run, "e", ODDS)}, n_cells, n_proteins
        FROM {{effects}} AS e
        WHERE protocol = $protocol AND aggregation = $aggregation AND model IN $models
          AND scope = 'overall' AND effect = 'drop' AND condition IN $conditions
        ORDER BY model, condition, probe
        """,
        ("effects",),
        {**where.values, "conditions": list(chosen.conditions)},
    )


def by_class(run: Run, chosen: AccuracyFilter, condition: str) -> pd.DataFrame:
    """Return each localization's accuracy under a condition beside its unaltered one.

    Returns
    -------
    pandas.DataFrame
        ``model, localization, before, before_low, before_high, after, after_low, after_high,
        unit, donor_seen, n_cells, n_proteins``.
    """
    where = chosen.clause()
    return run.query(
        f"""
        WITH a AS (SELECT * FROM {{accuracy}} WHERE {where.sql} AND scope = 'localization')
        SELECT b.model, b.localization,
               b.estimate AS before, b.ci_low AS before_low, b.ci_high AS before_high,
               c.estimate AS after, c.ci_low AS after_low, c.ci_high AS after_high,
               c.unit, c.donor_seen, c.n_cells, c.n_proteins
        FROM a AS b JOIN a AS c USING (model, localization)
        WHERE b.condition = $unaltered AND c.condition = $condition
        ORDER BY b.model, b.localization
        """,
        ("accuracy",),
        {**where.values, "unaltered": str(Condition.UNALTERED), "condition": condition},
    )


def background_grid(run: Run, protocol: str, model: str, condition: str) -> pd.DataFrame:
    """Return the mean pair accuracy of each centre class on each background class.

    Returns
    -------
    pandas.DataFrame
        ``localization, background, accuracy, pairs, n``: `pairs` tests hold the class, `n` cells
        were tested in them.
    """
    return run.query(
        """
        SELECT localization, background, avg(accuracy) AS accuracy,
               count(*) AS pairs, sum(n)::BIGINT AS n
        FROM (SELECT unnest([localization_a, localization_b]) AS localization,
                     background, accuracy, n
              FROM {pairwise}
              WHERE protocol = $protocol AND model = $model AND condition = $condition
                AND background IS NOT NULL)
        GROUP BY localization, background
        ORDER BY localization, background
        """,
        ("pairwise",),
        {"protocol": protocol, "model": model, "condition": condition},
    )


def grid_conditions(run: Run, protocol: str) -> list[str]:
    """Return the conditions whose pair tests were done once for each background class."""
    found = run.query(
        """
        SELECT DISTINCT condition FROM {pairwise}
        WHERE protocol = $protocol AND background IS NOT NULL ORDER BY condition
        """,
        ("pairwise",),
        {"protocol": protocol},
    )
    return found["condition"].tolist()


def pairs(run: Run, chosen: PairFilter, order: str = "largest drop") -> pd.DataFrame:
    """Return the accuracy of each pair of classes, unaltered and under a condition.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Model, protocol, condition and search text.
    order
        A key of `PAIR_ORDERS`; default the largest drop first.

    Returns
    -------
    pandas.DataFrame
        ``localization_a, localization_b, unaltered, accuracy, lowest, worst_background,
        drop_estimate, backgrounds, n``: means over backgrounds, the lowest of them and its
        background, the number of backgrounds, cells tested on the largest.
    """
    where = chosen.clause()
    return run.query(
        f"""
        WITH p AS (SELECT * FROM {{pairwise}} WHERE {where.sql}),
             u AS (SELECT localization_a, localization_b, avg(accuracy) AS unaltered
                   FROM p WHERE condition = $unaltered GROUP BY ALL),
             c AS (SELECT localization_a, localization_b, avg(accuracy) AS accuracy,
                          min(accuracy) AS lowest,
                          arg_min(background, accuracy) AS worst_background,
                          count(background) AS backgrounds, max(n) AS n
                   FROM p WHERE condition = $condition GROUP BY localization_a, localization_b)
        SELECT localization_a, localization_b, unaltered, accuracy,
               unaltered - accuracy AS drop_estimate, lowest, worst_background, backgrounds, n
        FROM c LEFT JOIN u USING (localization_a, localization_b)
        ORDER BY {PAIR_ORDERS[order]}, localization_a, localization_b
        """,
        ("pairwise",),
        {**where.values, "unaltered": str(Condition.UNALTERED), "condition": chosen.condition},
    )


def protocols(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return drops under both protocols, side by side.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, refit, refit_low, refit_high, frozen, frozen_low, frozen_high,
        unit, donor_seen, n_cells, n_proteins``.
    """
    return run.query(
        """
        WITH e AS (SELECT * FROM {effects}
                   WHERE probe = $probe AND aggregation = $aggregation AND model IN $models
                     AND condition IN $conditions AND scope = 'overall' AND effect = 'drop')
        SELECT r.model, r.condition,
               r.estimate AS refit, r.ci_low AS refit_low, r.ci_high AS refit_high,
               f.estimate AS frozen, f.ci_low AS frozen_low, f.ci_high AS frozen_high,
               r.unit, r.donor_seen, r.n_cells, r.n_proteins
        FROM e AS r JOIN e AS f USING (model, condition)
        WHERE r.protocol = 'refit' AND f.protocol = 'frozen'
        ORDER BY r.model, r.condition
        """,
        ("effects",),
        {**chosen.clause().values, "conditions": list(chosen.conditions)},
    )


def sensitivity(run: Run, chosen: AccuracyFilter, quantity: str, condition: str) -> pd.DataFrame:
    """Return one finding under every setting that was tried.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Protocol, probe and models.
    quantity, condition
        `drop` or `gap`, and its condition.

    Returns
    -------
    pandas.DataFrame
        ``model, choice, setting, shift, is_base, estimate, ci_low, ci_high, difference,
        difference_low, difference_high, unit, n_cells, n_proteins, n_empty, n_border``, by
        choice, masks from the smallest to the largest, of other choices first the run's own.
    """
    return run.query(
        """
        SELECT model, choice, setting, shift, is_base, estimate, ci_low, ci_high,
               difference, difference_low, difference_high, unit, n_cells, n_proteins,
               n_empty, n_border
        FROM {sensitivity}
        WHERE protocol = $protocol AND probe = $probe AND model IN $models
          AND quantity = $quantity AND condition = $condition
        ORDER BY model, list_position($order, choice), shift, is_base DESC, setting
        """,
        ("sensitivity",),
        {
            **chosen.clause().values,
            "quantity": quantity,
            "condition": condition,
            "order": [str(choice) for choice in Choice],
        },
    )


def training_seeds(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return the drops and the gap of networks that were trained from several seeds.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Protocol, probe, models and conditions; a network is left out if none of its models is
        chosen.

    Returns
    -------
    pandas.DataFrame
        ``network, models, quantity, condition, estimates, estimate, ci_low, ci_high, sampling_sd,
        seed_sd, unit, n_cells, n_proteins``, drops in the order of conditions and then the gap.
    """
    return run.query(
        """
        SELECT network, models, quantity, condition, estimates, estimate, ci_low, ci_high,
               sampling_sd, seed_sd, unit, n_cells, n_proteins
        FROM {training_seeds}
        WHERE protocol = $protocol AND probe = $probe AND list_has_any(models, $models)
          AND (quantity = 'gap' OR (quantity = 'drop' AND condition IN $conditions))
        ORDER BY network, quantity, list_position($conditions, condition)
        """,
        ("training_seeds",),
        {**chosen.clause().values, "conditions": in_order(chosen.conditions)},
    )


def choices(run: Run) -> pd.DataFrame:
    """Return the combinations of protocol, probe and aggregation that were computed.

    Returns
    -------
    pandas.DataFrame
        ``protocol, probe, aggregation, rows``.
    """
    return run.query(
        """
        SELECT protocol, probe, aggregation, count(*) AS rows
        FROM {accuracy} GROUP BY ALL ORDER BY ALL
        """,
        ("accuracy",),
    )


def tested(run: Run) -> pd.DataFrame:
    """Count what was tested.

    Returns
    -------
    pandas.DataFrame
        One row: ``cells, usable, proteins, fields``.
    """
    return run.query(
        """
        SELECT count(*) AS cells, count(*) FILTER (WHERE flags & $unusable = 0) AS usable,
               count(DISTINCT protein) AS proteins, count(DISTINCT field) AS fields
        FROM {cells}
        """,
        ("cells",),
        {"unusable": int(UNUSABLE)},
    )


def commonest(run: Run, pairs: bool) -> float | None:
    """Return the accuracy of always answering the commonest class, from 0 to 1.

    Parameters
    ----------
    run
        The run.
    pairs
        Whether two classes at a time are told apart: then the mean over all pairs of the share of
        the commoner one; else the share of the commonest class of all.

    Returns
    -------
    float or None
        None where no cell has a class.
    """
    share = (
        """SELECT avg(greatest(a.n, b.n) / (a.n + b.n)) AS share
           FROM n a JOIN n b ON a.localization < b.localization"""
        if pairs
        else "SELECT max(n) / sum(n) AS share FROM n"
    )
    table = run.query(
        f"""
        WITH n AS (SELECT localization, count(*)::DOUBLE AS n FROM {{cells}}
                   WHERE flags & $unusable = 0 AND localization IS NOT NULL GROUP BY 1)
        {share}
        """,
        ("cells",),
        {"unusable": int(UNUSABLE)},
    )
    value = table["share"].iloc[0]
    return None if pd.isna(value) else float(value)
