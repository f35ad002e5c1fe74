"""Which condition may head a finding, and how much of it counts as the neighbours'. Pure tables.

Where everything around a cell is set to zero, neighbours are gone, but so is the medium, and no
network was trained on that. What is lost to the neighbours alone is what is lost where medium takes
their place, so `masked` counts for no more than the mildest removal that was measured.
"""

from collections.abc import Sequence

import pandas as pd

from compute.schema import Condition
from dashboard.wording import CLEAR, SWAPS

MILD = (Condition.ALONE, Condition.CELL_FREE)
"""Removals of neighbours that leave medium in their place, the mildest first."""


def counted(
    table: pd.DataFrame, value: str, low: str = "", by: Sequence[str] = ("model",)
) -> pd.DataFrame:
    """Add how much of each row counts as the neighbours'.

    Parameters
    ----------
    table
        Has ``condition``, with every condition that was measured, shown or not.
    value, low
        Columns of what is lost and of the lower end of its interval; without the latter, or where
        it is missing, the value stands for it.
    by
        Columns within which conditions are compared.

    Returns
    -------
    pandas.DataFrame
        The same rows, with ``counted`` (the value; under `masked` that of the mildest removal,
        if any was measured; missing where the condition heads no finding) and, under `masked`,
        ``mild, mild_value``: which removal that is, and what is lost there.
    """
    order = [str(name) for name in MILD]
    mild = table[table["condition"].isin(order) & table[value].notna()]
    mild = mild.sort_values("condition", key=lambda names: names.map(order.index))
    mild = mild.drop_duplicates(list(by)).assign(
        mild=lambda rows: rows["condition"],
        mild_value=lambda rows: rows[value],
        mild_low=lambda rows: rows[low or value].fillna(rows[value]),
        condition=str(Condition.MASKED),
    )
    ends = ["mild", "mild_value", "mild_low"]
    found = table.merge(mild[[*by, "condition", *ends]], how="left", on=[*by, "condition"])
    drops = (found["mild_low"] > 0) & (found["mild_value"] >= CLEAR)
    own = found[value].where(found["condition"].isin(SWAPS))
    milder = found["mild_value"].where(drops).clip(upper=own)
    return found.assign(counted=own.where(found["mild"].isna(), milder)).drop(columns="mild_low")
