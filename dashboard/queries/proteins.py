"""Shifts and distributions of proteins, and every cell of one protein, as tables."""

import pandas as pd

from compute.schema import Condition
from compute.statistics.config import ALPHA
from dashboard.queries.filters import ShiftFilter, contains
from dashboard.queries.headline import counted
from dashboard.queries.open_runs import Run

ORDERS = {
    "largest shift": "tv DESC",
    "smallest shift": "tv ASC",
    "smallest q": "q_value ASC, tv DESC",
    "most answers changed": "flipped_fraction DESC, tv DESC",
    "gene": "protein ASC",
}
"""Orders of the protein table; nothing else reaches ORDER BY."""


def shifts(run: Run, chosen: ShiftFilter, order: str = "largest shift") -> pd.DataFrame:
    """Return the proteins with their shifts, one row each.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Which shifts.
    order
        A key of `ORDERS`; default the largest shift first.

    Returns
    -------
    pandas.DataFrame
        ``protein, orf, labels`` (one text)``, tv, jsd, noise_floor, q_value, top_before,
        top_after, flipped_fraction, n_cells, substantial, rank``; `rank` is by total variation
        among all proteins, before the search.
    """
    where = chosen.clause()
    return run.query(
        f"""
        WITH s AS (SELECT * FROM {{shifts}} WHERE {chosen.base().sql}),
             ranked AS (SELECT *, rank() OVER (ORDER BY tv DESC) AS rank FROM s)
        SELECT protein, orf, array_to_string(labels, ', ') AS labels, tv, jsd, noise_floor,
               q_value, top_before, top_after, flipped_fraction, n_cells,
               coalesce({chosen.substantial().sql}, false) AS substantial, rank
        FROM ranked WHERE {where.sql}
        ORDER BY {ORDERS[order]}, protein
        """,
        ("shifts",),
        {**where.values, **chosen.substantial().values},
    )


def histogram(run: Run, chosen: ShiftFilter, width: float = 0.05) -> pd.DataFrame:
    """Count proteins by total variation, significant or not.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Which shifts; its search does not count.
    width
        Of a bin, in total variation.

    Returns
    -------
    pandas.DataFrame
        ``low`` (left edge)``, significant, other``: every bin from 0 to 1.
    """
    return run.query(
        f"""
        WITH bins AS (SELECT unnest(range($count)) AS bin),
             s AS (SELECT least(floor(tv / $width + 1e-9), $count - 1)::BIGINT AS bin,
                          coalesce(q_value <= $q_value, false) AS significant
                   FROM {{shifts}} WHERE {chosen.base().sql})
        SELECT bins.bin * $width AS low,
               count(s.bin) FILTER (WHERE significant) AS significant,
               count(s.bin) FILTER (WHERE NOT significant) AS other
        FROM bins LEFT JOIN s USING (bin) GROUP BY bins.bin ORDER BY bins.bin
        """,
        ("shifts",),
        {
            **chosen.base().values,
            "q_value": chosen.q_value,
            "width": width,
            "count": round(1 / width),
        },
    )


def curve(
    run: Run, protocol: str, condition: str, models: tuple[str, ...], q_value: float = ALPHA
) -> pd.DataFrame:
    """Return the share of proteins that are substantially shifted, at every threshold.

    Returns
    -------
    pandas.DataFrame
        ``model, threshold, share, shifted, n``: thresholds from 0 to 1 by 0.02.
    """
    return run.query(
        """
        WITH t AS (SELECT unnest(range(51)) / 50.0 AS threshold),
             s AS (SELECT model, tv, q_value FROM {shifts}
                   WHERE protocol = $protocol AND condition = $condition AND model IN $models)
        SELECT model, threshold::DOUBLE AS threshold,
               count(*) FILTER (WHERE tv >= threshold AND q_value <= $q_value) AS shifted,
               count(*) AS n,
               count(*) FILTER (WHERE tv >= threshold AND q_value <= $q_value) / count(*) AS share
        FROM s, t GROUP BY model, threshold ORDER BY model, threshold
        """,
        ("shifts",),
        {
            "protocol": protocol,
            "condition": condition,
            "models": list(models),
            "q_value": q_value,
        },
    )


def shares(
    run: Run, protocol: str, models: tuple[str, ...], threshold: float, q_value: float = ALPHA
) -> pd.DataFrame:
    """Return the share of proteins that are substantially shifted, by model and condition.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, shifted, n, share, mild, mild_value, counted``, the last three as
        `headline.counted` gives them.
    """
    found = run.query(
        """
        SELECT model, condition,
               count(*) FILTER (WHERE tv >= $threshold AND q_value <= $q_value) AS shifted,
               count(*) AS n, shifted / n AS share
        FROM {shifts} WHERE protocol = $protocol AND model IN $models
        GROUP BY model, condition ORDER BY model, condition
        """,
        ("shifts",),
        {
            "protocol": protocol,
            "models": list(models),
            "threshold": threshold,
            "q_value": q_value,
        },
    )
    return counted(found, "share")


def names(run: Run) -> pd.DataFrame:
    """Return every protein of the run.

    Returns
    -------
    pandas.DataFrame
        ``protein, orf, labels`` (one text)``, n_cells``, by gene.
    """
    return run.query(
        """
        SELECT protein, any_value(orf) AS orf,
               any_value(array_to_string(labels, ', ')) AS labels, count(*) AS n_cells
        FROM {cells} GROUP BY protein ORDER BY protein
        """,
        ("cells",),
    )


def find(run: Run, text: str, limit: int = 50) -> pd.DataFrame:
    """Return proteins whose gene or ORF contains a text, those that start with it first.

    Returns
    -------
    pandas.DataFrame
        ``protein, orf``.
    """
    return run.query(
        """
        SELECT protein, any_value(orf) AS orf FROM {cells}
        WHERE protein ILIKE $search ESCAPE '!' OR orf ILIKE $search ESCAPE '!'
        GROUP BY protein
        ORDER BY (lower(protein) = lower($text)) DESC,
                 starts_with(lower(protein), lower($text)) DESC, protein
        LIMIT $limit
        """,
        ("cells",),
        {"search": contains(text), "text": text, "limit": limit},
    )


def mixed(run: Run, protocol: str, models: tuple[str, ...]) -> pd.DataFrame:
    """Return how many proteins with mixed localization shift substantially.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, population, estimate, ci_low, ci_high, shifted, kl_25, kl_50, kl_75,
        n_cells, n_proteins, mild, mild_value, counted``; `estimate` is missing where there are no
        q-values, the last three are those of `headline.counted`.
    """
    found = run.query(
        """
        SELECT model, condition, population, estimate, ci_low, ci_high, shifted,
               kl_25, kl_50, kl_75, n_cells, n_proteins
        FROM {mixed_shifts} WHERE protocol = $protocol AND model IN $models
        ORDER BY model, condition, population
        """,
        ("mixed_shifts",),
        {"protocol": protocol, "models": list(models)},
    )
    return counted(found, "estimate", "ci_low", ("model", "population"))


def protein_shifts(run: Run, protein: str, protocol: str) -> pd.DataFrame:
    """Return one protein's shift for every model and condition, with its rank.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, tv, jsd, noise_floor, q_value, top_before, top_after,
        flipped_fraction, n_cells, rank, of``.
    """
    return run.query(
        """
        WITH s AS (SELECT * FROM {shifts} WHERE protocol = $protocol),
             mine AS (SELECT * FROM s WHERE protein = $protein),
             others AS (SELECT model, condition, count(*) FILTER (WHERE s.tv > mine.tv) AS above,
                               count(*) AS of
                        FROM mine JOIN s USING (model, condition) GROUP BY model, condition)
        SELECT model, condition, tv, jsd, noise_floor, q_value, top_before, top_after,
               flipped_fraction, n_cells, above + 1 AS rank, of
        FROM mine JOIN others USING (model, condition) ORDER BY model, condition
        """,
        ("shifts",),
        {"protein": protein, "protocol": protocol},
    )


def distributions(run: Run, protein: str, protocol: str) -> pd.DataFrame:
    """Return one protein's localization distribution for every model and condition.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, localization, proportion, mean_probability, n_cells``.
    """
    return run.query(
        """
        SELECT model, condition, localization, proportion, mean_probability, n_cells
        FROM {distributions} WHERE protein = $protein AND protocol = $protocol
        ORDER BY model, condition, localization
        """,
        ("distributions",),
        {"protein": protein, "protocol": protocol},
    )


def moves(run: Run, protein: str, protocol: str, condition: str) -> pd.DataFrame:
    """Return how each cell of a protein moved between `unaltered` and a condition.

    Returns
    -------
    pandas.DataFrame
        ``model, cell, class_before, before, after, class_after, flipped, trials``: the probability
        of the class said under `unaltered`, before and (the mean over trials) after; the class
        said most often after, of several the one said first; the share of trials that said another
        class.
    """
    return run.query(
        """
        WITH p AS (SELECT model, cell, trial, condition, predicted, probabilities
                   FROM {predictions} WHERE protein = $protein AND protocol = $protocol
                     AND condition IN ($unaltered, $condition)),
             u AS (SELECT model, cell, predicted AS class_before, list_max(probabilities) AS before,
                          list_position(probabilities, list_max(probabilities)) AS slot
                   FROM p WHERE condition = $unaltered
                   QUALIFY row_number() OVER (PARTITION BY model, cell) = 1)
        SELECT u.model, u.cell, class_before, before,
               avg(list_extract(p.probabilities, slot)) AS after,
               mode(p.predicted ORDER BY p.trial) AS class_after,
               avg((p.predicted <> class_before)::INT) AS flipped, count(*) AS trials
        FROM p JOIN u USING (model, cell) WHERE p.condition = $condition
        GROUP BY u.model, u.cell, class_before, before
        ORDER BY u.model, before - after DESC, u.cell
        """,
        ("predictions",),
        {
            "protein": protein,
            "protocol": protocol,
            "condition": condition,
            "unaltered": str(Condition.UNALTERED),
        },
    )


def listed(
    run: Run, protocol: str, condition: str, models: tuple[str, ...], chosen: tuple[str, ...]
) -> pd.DataFrame:
    """Return the shifts of some proteins for every model, the protein with the largest first.

    Returns
    -------
    pandas.DataFrame
        ``protein, model, tv, noise_floor, q_value, top_before, top_after, n_cells``.
    """
    return run.query(
        """
        SELECT protein, model, tv, noise_floor, q_value, top_before, top_after, n_cells
        FROM {shifts}
        WHERE protocol = $protocol AND condition = $condition AND model IN $models
          AND protein IN $chosen
        ORDER BY max(tv) OVER (PARTITION BY protein) DESC, protein, model
        """,
        ("shifts",),
        {
            "protocol": protocol,
            "condition": condition,
            "models": list(models),
            "chosen": list(chosen),
        },
    )


def neighbours(run: Run, protein: str, protocol: str, condition: str) -> pd.DataFrame:
    """Return the background classes that a protein's cells are taken for, its own left out.

    Returns
    -------
    pandas.DataFrame
        ``model, background, trials, taken`` (trials whose answer is the background's class)``,
        share, before`` (share of those trials whose cell was taken for it unaltered)``, n_cells``;
        most often mistaken first.
    """
    return run.query(
        """
        WITH mine AS (SELECT cell, labels FROM {cells} WHERE protein = $protein),
             own AS (SELECT DISTINCT unnest(labels) AS place FROM mine),
             p AS (SELECT model, cell, trial, condition, predicted FROM {predictions}
                   WHERE protein = $protein AND protocol = $protocol
                     AND condition IN ($condition, $unaltered)),
             t AS (SELECT trial, donor_localization AS background FROM {trials}
                   WHERE cell IN (SELECT cell FROM mine) AND condition = $condition
                     AND donor_localization NOT IN (SELECT place FROM own)),
             u AS (SELECT model, cell, any_value(predicted) AS first
                   FROM p WHERE condition = $unaltered GROUP BY model, cell)
        SELECT p.model, background, count(*) AS trials,
               count(*) FILTER (WHERE predicted = background) AS taken,
               count(*) FILTER (WHERE predicted = background) / count(*) AS share,
               count(*) FILTER (WHERE first = background) / count(first) AS before,
               count(DISTINCT p.cell) AS n_cells
        FROM p JOIN t USING (trial) LEFT JOIN u USING (model, cell)
        WHERE p.condition = $condition
        GROUP BY p.model, background
        ORDER BY share - coalesce(before, 0) DESC, trials DESC, p.model, background
        """,
        ("cells", "predictions", "trials"),
        {
            "protein": protein,
            "protocol": protocol,
            "condition": condition,
            "unaltered": str(Condition.UNALTERED),
        },
    )


def truth(run: Run, protein: str, protocol: str) -> pd.DataFrame:
    """Return how far one simulated protein is from its true distribution, before and after.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, tv_before, tv_after, top_true, top_before, top_after, n_cells``.
    """
    return run.query(
        """
        SELECT model, condition, tv_before, tv_after, top_true, top_before, top_after, n_cells
        FROM {truth} WHERE protein = $protein AND protocol = $protocol
        ORDER BY model, condition
        """,
        ("truth",),
        {"protein": protein, "protocol": protocol},
    )


def verdicts(
    run: Run, protocol: str, models: tuple[str, ...], threshold: float, q_value: float = ALPHA
) -> pd.DataFrame:
    """Count when simulated proteins that are called substantially shifted were wrong.

    A distribution is wrong where it is at least the threshold (total variation) from the true one,
    as in `compute.statistics.truth.verdict`.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, tv_before, tv_after`` (medians over all proteins)``, closer`` (proteins
        that the condition brings nearer to the truth)``, n, shifted, before, after, both,
        neither`` (of the shifted ones).
    """
    called = "tv >= $threshold AND q_value <= $q_value"
    before, after = "tv_before >= $threshold", "tv_after >= $threshold"
    return run.query(
        f"""
        SELECT model, condition, median(tv_before) AS tv_before, median(tv_after) AS tv_after,
               count(*) FILTER (WHERE tv_after < tv_before) AS closer, count(*) AS n,
               count(*) FILTER (WHERE {called}) AS shifted,
               count(*) FILTER (WHERE {called} AND {before} AND NOT {after}) AS before,
               count(*) FILTER (WHERE {called} AND {after} AND NOT {before}) AS after,
               count(*) FILTER (WHERE {called} AND {before} AND {after}) AS both,
               count(*) FILTER (WHERE {called} AND NOT {before} AND NOT {after}) AS neither
        FROM {{truth}} AS true_one
        JOIN {{shifts}} AS moved USING (model, condition, protocol, protein)
        WHERE protocol = $protocol AND model IN $models
        GROUP BY model, condition ORDER BY model, condition
        """,
        ("truth", "shifts"),
        {
            "protocol": protocol,
            "models": list(models),
            "threshold": threshold,
            "q_value": q_value,
        },
    )
