"""How the multi-class probe's answers change: flips, backgrounds, parts of a drop, calibration."""

import pandas as pd

from compute.schema import Calibration, DropPart, Step
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.headline import counted
from dashboard.queries.open_runs import Run


def flips(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return the shares of trials whose answer changes, in every direction.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, direction, estimate, ci_low, ci_high, unit, n_cells, n_proteins,
        mild, mild_value, counted``, the last three as `headline.counted` gives them.
    """
    found = run.query(
        """
        SELECT model, condition, direction, estimate, ci_low, ci_high, unit, n_cells, n_proteins
        FROM {flips}
        WHERE protocol = $protocol AND scope = 'overall' AND model IN $models
        ORDER BY model, condition, direction
        """,
        ("flips",),
        chosen.clause().values,
    )
    found = counted(found, "estimate", "ci_low", ("model", "direction"))
    return found[found["condition"].isin(chosen.conditions)].reset_index(drop=True)


def backgrounds(run: Run, protocol: str, model: str, condition: str) -> pd.DataFrame:
    """Return drop and attraction of each centre class on each background class.

    Returns
    -------
    pandas.DataFrame
        ``localization, background, accuracy, drop_estimate, ci_low, ci_high, attraction,
        attraction_low, attraction_high, unit, n_cells, n_proteins``.
    """
    return run.query(
        """
        SELECT localization, background, accuracy, "drop" AS drop_estimate, ci_low, ci_high,
               attraction, attraction_low, attraction_high, unit, n_cells, n_proteins
        FROM {backgrounds}
        WHERE protocol = $protocol AND model = $model AND condition = $condition
        ORDER BY localization, background
        """,
        ("backgrounds",),
        {"protocol": protocol, "model": model, "condition": condition},
    )


def background_conditions(run: Run, protocol: str) -> list[str]:
    """Return the conditions that have answers for each background class."""
    found = run.query(
        """SELECT DISTINCT condition FROM {backgrounds} WHERE protocol = $protocol
           ORDER BY condition""",
        ("backgrounds",),
        {"protocol": protocol},
    )
    return found["condition"].tolist()


def rescaling(run: Run, models: tuple[str, ...], conditions: tuple[str, ...]) -> pd.DataFrame:
    """Return drops split into rescaling and context.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, part, estimate, ci_low, ci_high, unit, n_cells, n_proteins, mild,
        mild_value, counted``, the last three as `headline.counted` gives them.
    """
    found = run.query(
        """
        SELECT model, condition, part, estimate, ci_low, ci_high, unit, n_cells, n_proteins
        FROM {rescaling}
        WHERE scope = 'overall' AND model IN $models
        ORDER BY model, condition, part
        """,
        ("rescaling",),
        {"models": list(models)},
    )
    found = counted(found, "estimate", "ci_low", ("model", "part"))
    return found[found["condition"].isin(conditions)].reset_index(drop=True)


def steps(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return the steps from unaltered crops to the paper's composites, which add up.

    Returns
    -------
    pandas.DataFrame
        ``model, step, part, estimate, ci_low, ci_high, unit, n_cells, n_proteins``, by model,
        steps and parts in the order of `compute.schema.Step` and `DropPart`.
    """
    return run.query(
        """
        SELECT model, step, part, estimate, ci_low, ci_high, unit, n_cells, n_proteins
        FROM {decomposition}
        WHERE protocol = $protocol AND probe = $probe AND scope = 'overall' AND model IN $models
        ORDER BY model, list_position($steps, step), list_position($parts, part)
        """,
        ("decomposition",),
        {
            "protocol": chosen.protocol,
            "probe": chosen.probe,
            "models": list(chosen.models),
            "steps": [str(step) for step in Step],
            "parts": [str(part) for part in DropPart],
        },
    )


def calibration(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return how far probabilities are from the shares of right answers that they promise.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, measure, temperature, fitted`` (whether the temperature was)``,
        estimate, ci_low, ci_high, unit, n_cells, n_proteins, mild, mild_value, counted``, the last
        three as `headline.counted` gives them.
    """
    found = run.query(
        """
        SELECT model, condition, measure, temperature, temperature <> 1 AS fitted, estimate,
               ci_low, ci_high, unit, n_cells, n_proteins
        FROM {calibration}
        WHERE protocol = $protocol AND model IN $models
        ORDER BY model, condition, measure, fitted
        """,
        ("calibration",),
        chosen.clause().values,
    )
    found = counted(found, "estimate", "ci_low", ("model", "measure", "fitted"))
    return found[found["condition"].isin(chosen.conditions)].reset_index(drop=True)


def expected_error(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `calibration` with the expected error of unscaled probabilities."""
    return table[(table["measure"] == Calibration.ECE) & ~table["fitted"]]


def reliability(
    run: Run, protocol: str, models: tuple[str, ...], conditions: tuple[str, ...]
) -> pd.DataFrame:
    """Return the share of right answers by the highest probability, without a temperature.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, bin, confidence, accuracy, n, n_cells``.
    """
    return run.query(
        """
        SELECT model, condition, bin, confidence, accuracy, n, n_cells
        FROM {reliability}
        WHERE protocol = $protocol AND model IN $models AND condition IN $conditions
          AND temperature = 1
        ORDER BY model, condition, bin
        """,
        ("reliability",),
        {"protocol": protocol, "models": list(models), "conditions": list(conditions)},
    )
