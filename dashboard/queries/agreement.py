"""Whether probes put models in the same order: their drops, and the answer in a sentence."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from compute.schema import CONDITIONS, PROBES, Aggregation, Condition, Probe
from dashboard.queries.comparable_runs import Ask, Entry
from dashboard.queries.filters import listed
from dashboard.queries.open_runs import MissingTableError, Run

DIGITS = 9
"""Drops that do not differ in so many digits are equal, and models then in their usual order."""

SCALES = "Drops of probes with other measures are not of one size; only their order is compared."


def drops_by_probe(
    ask: Ask, entries: Sequence[Entry], protocol: str, condition: str
) -> pd.DataFrame:
    """Return the drop of every model of runs in every probe.

    Parameters
    ----------
    ask
        Answers queries.
    entries
        Models of runs.
    protocol, condition
        Whose drop.

    Returns
    -------
    pandas.DataFrame
        ``probe, entry, drop, low, high``: only probes in which all entries have a drop, in the
        order of `PROBES`.
    """
    columns = ["probe", "entry", "drop", "low", "high"]
    parts = []
    for entry in entries:
        try:
            found = ask(entry.run, _drops, protocol, condition)
        except MissingTableError:
            return pd.DataFrame(columns=columns)
        mine = found[found["model"] == entry.model]
        parts.append(mine.assign(entry=entry.title))
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)[columns]
    order = {str(probe): place for place, probe in enumerate(PROBES)}
    whole = table.groupby("probe")["entry"].transform("nunique") == len(entries)
    table = table[whole & table["probe"].isin(order)]
    return table.sort_values(
        "probe", key=lambda column: column.map(order), kind="stable"
    ).reset_index(drop=True)


def _drops(run: Run, protocol: str, condition: str) -> pd.DataFrame:
    return run.query(
        """
        SELECT probe, model, estimate AS drop, ci_low AS low, ci_high AS high
        FROM {effects}
        WHERE protocol = $protocol AND condition = $condition AND aggregation = $aggregation
          AND effect = 'drop' AND scope = 'overall' AND isfinite(estimate)
        ORDER BY model
        """,
        ("effects",),
        {"protocol": protocol, "condition": condition, "aggregation": str(Aggregation.ALL)},
    )


def agreement(table: pd.DataFrame, condition: str) -> str:
    """Say whether probes put models in the same order.

    Two models are told apart in a probe where the intervals of their drops do not overlap. Probes
    contradict each other only where both tell two models apart, in opposite order.

    Parameters
    ----------
    table
        From `drops_by_probe`.
    condition
        Whose drop it is.

    Returns
    -------
    str
        One or two sentences; empty with fewer than two probes or models.
    """
    by_probe = {
        str(probe): some.set_index("entry") for probe, some in table.groupby("probe", sort=False)
    }
    entries = list(dict.fromkeys(table["entry"]))
    if len(by_probe) < 2 or len(entries) < 2:
        return ""
    phrase = CONDITIONS[Condition(condition)].phrase
    orders = {
        probe: tuple(some["drop"].round(DIGITS).sort_values(kind="stable").index)
        for probe, some in by_probe.items()
    }
    against = [
        (a, b, p, q)
        for a, b in combinations(entries, 2)
        for p, q in combinations(by_probe, 2)
        if _apart(by_probe[p], a, b) * _apart(by_probe[q], a, b) < 0
    ]
    if against:
        a, b, p, q = against[0]
        less, more = (a, b) if _apart(by_probe[p], a, b) < 0 else (b, a)
        pairs = len({(first, second) for first, second, *_ in against})
        others = f" ({pairs} such pairs of models)" if pairs > 1 else ""
        return (
            f"Probes contradict each other: {_by(p)} {less} loses less than {more} {phrase}, "
            f"{_by(q)} more, with intervals apart in both{others}. {SCALES}"
        )
    if len(set(orders.values())) == 1:
        (order,) = set(orders.values())
        return f"All {len(by_probe)} probes put the models in one order: {listed(order)} lose " + (
            f"least to most {phrase}. {SCALES}"
        )
    nowhere = "no two models are in opposite order with intervals apart in both, so this is not "
    nowhere += f"distinguishable from one order. {SCALES}"
    least: dict[str, list[str]] = {}
    for probe, order in orders.items():
        least.setdefault(order[0], []).append(probe)
    if len(least) == 1:
        (first,) = least
        return (
            f"By every probe {first} loses least {phrase}. The order of the others differs, but "
            f"{nowhere}"
        )
    (first, said), *rest = least.items()
    each = "; ".join(f"{_by(*probes)} {entry}" for entry, probes in rest)
    text = f"{_by(*said)} {first} loses least {phrase}, {each}; but {nowhere}"
    return text[:1].upper() + text[1:]


def _by(*probes: str) -> str:
    return f"by {listed([PROBES[Probe(probe)].words for probe in probes])}"


def _apart(drops: pd.DataFrame, a: str, b: str) -> int:
    """Return −1 where `a` surely drops less than `b`, 1 where more, 0 where that cannot be told."""
    low, high = drops["low"].to_dict(), drops["high"].to_dict()
    return int(low[a] > high[b]) - int(high[a] < low[b])
