"""Pair tests averaged into one number, in two ways. Pure tables, no files.

`all` takes every pair of classes on every background that is neither of them. `published` does
what made Table 1 of Gupta, Moses and Lu (2025), in `swap_experiments/analyze_swap.ipynb` of
github.com/microsoft/microscopy-sc-robustness:

- Conditions without a swap (unaltered, masked) are grouped by the first class of each pair alone.
  The class that is never first, the last in the list, is missing.
- Swapped conditions are grouped by both classes, but each pair counts on one background: the first
  in the table that is neither of its classes.
- The number is the mean over classes; ± is three standard errors over classes (n − 1).

The controls that the paper lacks follow the same rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from compute.schema import ACCURACY, CONDITIONS, EFFECTS, Aggregation, Condition, Probe
from compute.statistics.effects import contrasts

STANDARD_ERRORS = 3
"""Standard errors in the ± of the paper's Table 1."""

UNIT = "localization"
"""The column `unit` of intervals that are the estimate ± `STANDARD_ERRORS` over localizations."""

_PAIR = ["localization_a", "localization_b"]
_KEY = ["model", "protocol", "condition"]


@dataclass(frozen=True)
class Summary:
    """One model's pair tests under one condition and protocol, averaged.

    Parameters
    ----------
    estimate
        Accuracy, 0 to 1; NaN without tests.
    spread
        Three standard errors over classes; NaN where the aggregation has none.
    by_class
        Mean accuracy of the tests with each class, by name.
    """

    estimate: float
    spread: float
    by_class: "pd.Series[float]"


def average(tests: pd.DataFrame, condition: str, aggregation: Aggregation) -> Summary:
    """Average one model's pair tests under one condition and protocol.

    Parameters
    ----------
    tests
        Rows of `pairwise`, all of one model, condition and protocol. Their order decides which
        background is a pair's first.
    condition
        The condition: under `published` it decides how pairs are grouped.
    aggregation
        Over every pair and background, or as in Table 1.

    Returns
    -------
    Summary
        The averages.

    Raises
    ------
    ValueError
        Under `published`, a condition that is none of `Condition`.
    """
    background = tests["background"]
    outside = (background != tests["localization_a"]) & (background != tests["localization_b"])
    tests = tests.loc[outside]
    if aggregation is Aggregation.ALL:
        pairs = tests.groupby(_PAIR, sort=False)["accuracy"].mean().reset_index()
        return Summary(_mean(pairs["accuracy"]), np.nan, _by_either(pairs))
    pairs = tests.drop_duplicates(_PAIR)
    if CONDITIONS[Condition(condition)].donors == "none":
        by_class = pairs.groupby("localization_a", sort=False)["accuracy"].mean()
    else:
        by_class = _by_either(pairs)
    return Summary(_mean(by_class), _spread(by_class), by_class)


def aggregate(
    pairwise: pd.DataFrame, aggregation: Aggregation
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average every model's pair tests, overall and by localization, with drops and gaps.

    Parameters
    ----------
    pairwise
        A run's table of that name.
    aggregation
        Over every pair and background, or as in Table 1.

    Returns
    -------
    accuracy : pandas.DataFrame
        Columns of `ACCURACY`. Under `published`, overall, `ci_low` and `ci_high` are the estimate
        ± three standard errors over localizations and `unit` is `UNIT`; otherwise they are
        missing, and so are the counts.
    effects : pandas.DataFrame
        Columns of `EFFECTS`: differences of those accuracies. Where both are means over the same
        classes under `published`, the interval is ± three standard errors of the differences
        within classes.
    """
    accuracy: list[dict[str, Any]] = []
    effects: list[dict[str, Any]] = []
    for (model, protocol), some in pairwise.groupby(["model", "protocol"], sort=False):
        key = {
            "model": model,
            "protocol": protocol,
            "probe": str(Probe.PAIR),
            "aggregation": str(aggregation),
        }
        found = {
            str(name): average(tests, str(name), aggregation)
            for name, tests in some.groupby("condition", sort=False)
        }
        for name, summary in found.items():
            rows = _scopes(summary.estimate, summary.spread, summary.by_class)
            accuracy += [{**key, "condition": name, **row} for row in rows]
        for effect, name, first, second in contrasts(list(found)):
            one, two = list(found.values())[first], list(found.values())[second]
            difference = (one.by_class - two.by_class).dropna()
            paired = set(one.by_class.index) == set(two.by_class.index)
            spread = _spread(difference) if paired and np.isfinite(one.spread) else np.nan
            rows = _scopes(one.estimate - two.estimate, spread, difference)
            effects += [{**key, "effect": str(effect), "condition": name, **row} for row in rows]
    return (
        pd.DataFrame(accuracy).reindex(columns=ACCURACY.names),
        pd.DataFrame(effects).reindex(columns=EFFECTS.names),
    )


def with_counts(rows: pd.DataFrame, counted: pd.DataFrame) -> pd.DataFrame:
    """Take the numbers of cells and proteins, and `donor_seen`, from another aggregation.

    Parameters
    ----------
    rows
        Rows with the columns of `ACCURACY` or `EFFECTS`.
    counted
        Rows of `ACCURACY` of the pair probe and the same tests, in which they are known.

    Returns
    -------
    pandas.DataFrame
        `rows` with `n_cells`, `n_proteins` and `donor_seen` of the same model, protocol, condition,
        probe, scope and localization; missing where `counted` has none.
    """
    keys = [*_KEY, "probe", "scope", "localization"]
    taken = ["n_cells", "n_proteins", "donor_seen"]
    counts = counted[[*keys, *taken]].drop_duplicates(keys)
    return rows.drop(columns=taken).merge(counts, on=keys, how="left")


def _scopes(
    estimate: float, spread: float, by_class: "pd.Series[float]"
) -> Iterator[dict[str, Any]]:
    """Yield the overall row, with an interval where the spread is known, then each class's row."""
    known = bool(np.isfinite(spread))
    yield {
        "scope": "overall",
        "localization": None,
        "estimate": estimate,
        "ci_low": estimate - spread,
        "ci_high": estimate + spread,
        "unit": UNIT if known else None,
    }
    for name, value in by_class.items():
        yield {"scope": "localization", "localization": name, "estimate": value}


def _by_either(pairs: pd.DataFrame) -> "pd.Series[float]":
    """Average over the pairs that each class is in, be it as the first or as the second."""
    both = [pairs.set_index(side)["accuracy"] for side in _PAIR]
    return pd.concat(both).groupby(level=0, sort=False).mean()


def _mean(values: "pd.Series[float]") -> float:
    """Average; NaN without values."""
    return float(values.mean()) if len(values) else np.nan


def _spread(values: "pd.Series[float]") -> float:
    """Return `STANDARD_ERRORS` standard errors of the mean; NaN with fewer than two values."""
    if len(values) < 2:
        return np.nan
    return float(STANDARD_ERRORS * values.std(ddof=1) / np.sqrt(len(values)))
