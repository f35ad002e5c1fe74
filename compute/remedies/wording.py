"""The table `remedies` in lines of text, a line a remedy. Pure text, no files."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from compute.schema import REMEDIES_IN_WORDS, Condition, Quantity, Remedy

_COLUMNS = (
    ("unaltered", str(Quantity.ACCURACY), str(Condition.UNALTERED)),
    ("drop", str(Quantity.DROP), str(Condition.DIFFERENT)),
    ("gap", str(Quantity.GAP), str(Condition.DIFFERENT)),
    ("background alone", str(Quantity.ACCURACY), str(Condition.BACKGROUND_ONLY)),
    ("worst case", "worst_case", str(Condition.DIFFERENT)),
)
"""What a line says, in its order: its name, and which row it is of."""


def remedy_lines(table: pa.Table) -> Iterator[str]:
    """Say what remedies do, model by model.

    Parameters
    ----------
    table
        Columns of `compute.schema.REMEDIES`.

    Yields
    ------
    str
        For each model its name, then a line for each remedy. Drop and gap are under `different`;
        shares are in percent with their 95% intervals.
    """
    rows = table.to_pylist()
    for model in dict.fromkeys(row["model"] for row in rows):
        yield f"{model}:"
        mine = [row for row in rows if row["model"] == model]
        for remedy in dict.fromkeys(row["remedy"] for row in mine):
            spec = REMEDIES_IN_WORDS[Remedy(remedy)]
            some = [row for row in mine if row["remedy"] == remedy]
            if not some[0]["applies"]:
                yield f"  {spec.title}: does not apply. {some[0]['reason']}"
                continue
            by = {(row["quantity"], row["condition"]): row for row in some}
            told = [
                f"{name} {_share(by[quantity, condition])}"
                for name, quantity, condition in _COLUMNS
                if (quantity, condition) in by
            ]
            passes, mask = some[0]["passes"], some[0]["needs_mask"]
            cost = f"{passes} pass{'es' if passes > 1 else ''}, {'a mask' if mask else 'no mask'}"
            yield f"  {spec.title}: {', '.join(told)}; {cost}"


def _share(row: dict[str, Any]) -> str:
    """Write an estimate in percent, with its interval where it was measured and has one."""
    text = f"{100 * row['estimate']:.1f}%"
    low, high = row["ci_low"], row["ci_high"]
    if row["by_construction"] and low == high:
        return f"{text} (by construction)"
    if low is None or high is None or low != low:
        return text
    return f"{text} ({100 * low:.1f} to {100 * high:.1f})"
