"""Tables of comparisons to chart descriptions."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from compute.statistics.config import ALPHA
from dashboard import wording
from dashboard.charts.accuracy import joined, tuples
from dashboard.charts.description import Axis, Bars, Chart, Layer, Panel, Points, Rule
from dashboard.theme import ALERT, MUTED, condition_title, model_marks, model_title

MEASURES = {
    "accuracy": "Unaltered accuracy",
    "drop": "Drop",
    "gap": "Background gap",
}
UNRANKED = "Judged on different classes, so not ranked"
"""Title of a leaderboard without ranks."""

NAMED = 4
"""Proteins or classes that are named on a chart."""


def leaderboard(
    table: pd.DataFrame,
    condition: str,
    sentence: str,
    chance: float | None = None,
    unranked: str = "",
) -> Chart:
    """Draw unaltered accuracy, drop and gap of every entry, a panel each.

    Parameters
    ----------
    table
        From `queries.compare.leaderboard`, in its order.
    condition
        The condition of the drop.
    sentence
        The filter in English.
    chance
        Accuracy by chance, from 0 to 1; None, the default, where it is not known.
    unranked
        Why entries are not ranked; empty, the default, where they are.
    """
    marks = model_marks(table["model"])
    runs = list(dict.fromkeys(table["run"]))
    rows = wording.records(table)
    names = tuple(str(row.entry) for row in rows)
    panels = []
    for measure, title in MEASURES.items():
        if not table[measure].notna().any():
            continue
        layers: list[Layer] = [Rule("x", 0)] if measure != "accuracy" else []
        layers += [_entry(row, place, measure, marks, runs) for place, row in enumerate(rows)]
        panels.append(
            Panel(
                Axis(
                    title,
                    range=_range(table, measure),
                    unit="%" if measure == "accuracy" else "points",
                ),
                Axis("", names, reversed_=True),
                tuple(layers),
                title if measure != "drop" else f"Drop, {condition_title(condition).lower()}",
                height=120 + 42 * len(rows),
            )
        )
    caption = joined(
        unranked,
        f"{sentence} Drop: unaltered accuracy minus that {wording.on_background(condition)}. Gap: "
        "accuracy on a background of the same class minus that on another class's.",
        wording.unit_note(table),
        _at_chance(table, chance),
        _n(table),
        wording.donors_seen(table),
    )
    title = UNRANKED if unranked else leader(table, condition, chance)
    return Chart("leaderboard", title, caption, tuple(panels), legend=False)


def _entry(row: Any, place: int, measure: str, marks: Any, runs: Sequence[str]) -> Points:
    mark = marks[row.model]
    value, low, high = (getattr(row, f"{measure}{end}") for end in ("", "_low", "_high"))
    said = wording.percent(value) if measure == "accuracy" else wording.points(value)
    spread = (low, high) if wording.known(low) and wording.known(high) else ()
    return Points(
        "",
        tuples(pd.Series([value])),
        (float(place),),
        mark.ink,
        tuples(pd.Series(spread[:1])),
        tuples(pd.Series(spread[1:])),
        along_x=True,
        symbol=mark.symbol,
        open_=runs.index(row.run) % 2 == 1,
        size=12,
        hover=(f"{row.entry}\n{MEASURES[measure].lower()} {said}\n{wording.tested_on(row)}",),
    )


def _range(table: pd.DataFrame, measure: str) -> tuple[float, float]:
    ends = table[[measure, f"{measure}_low", f"{measure}_high"]]
    low, high = float(ends.min().min()), float(ends.max().max())
    room = max(0.01, 0.08 * (high - low))
    if measure == "accuracy":
        return low - room, min(1.005, high + room)
    return min(0.0, low) - room, max(0.0, high) + room


def _reads_nothing(table: pd.DataFrame, chance: float | None) -> "pd.Series[bool]":
    """Tell which entries are not above chance on unaltered crops: they have nothing to lose."""
    if chance is None:
        return pd.Series(False, table.index)
    low = table["accuracy_low"].fillna(table["accuracy"])
    return low <= chance


def _at_chance(table: pd.DataFrame, chance: float | None) -> str:
    """Name the entries that the title leaves out; empty where there are none."""
    rows = wording.records(table[_reads_nothing(table, chance)])
    if not rows or chance is None:
        return ""
    each = ", ".join(f"{row.entry} {wording.percent(row.accuracy)}" for row in rows)
    return (
        f"Not above chance ({wording.percent(chance)}) on unaltered crops, so nothing can be lost: "
        f"{each}."
    )


def leader(table: pd.DataFrame, condition: str, chance: float | None = None) -> str:
    """Return a title on which entry loses least, and whether it is clear of the next.

    Entries that are not above chance on unaltered crops are left out, and baselines, which are
    yardsticks, wherever there is a model; one that loses less than every model is named.
    """
    yardsticks = table.get("baseline", pd.Series(False, table.index)).astype(bool)
    if yardsticks.any() and not yardsticks.all():
        models, rest = table[~yardsticks], table[yardsticks & ~_reads_nothing(table, chance)]
        return leader(models, condition, chance) + _loses_less(models, rest)
    blind = _reads_nothing(table, chance)
    if len(table) and blind.all():
        return "No model is above chance on unaltered crops, so none has accuracy to lose"
    ranked = table[table["drop"].notna() & ~blind].sort_values("drop", kind="stable")
    if ranked.empty:
        return "No drop can be compared here"
    first = wording.records(ranked)[0]
    start = (
        f"{first.entry} loses least accuracy {wording.on_background(condition)}: "
        f"{wording.points(first.drop)}"
    )
    if len(ranked) == 1:
        return f"{first.entry} loses {wording.points(first.drop)} of accuracy " + (
            wording.on_background(condition)
        )
    second = wording.records(ranked)[1]
    known = wording.known(first.drop_high) and wording.known(second.drop_low)
    if known and first.drop_high < second.drop_low:
        return f"{start}; the next is {second.entry} with {wording.points(second.drop)}"
    if known:
        return f"{start}, not told apart from {second.entry} with {wording.points(second.drop)}"
    return f"{start}; {second.entry} {wording.points(second.drop)}"


def _loses_less(models: pd.DataFrame, yardsticks: pd.DataFrame) -> str:
    """Name the yardstick that loses least, where it loses less than every model; else nothing."""
    least = wording.records(yardsticks[yardsticks["drop"].notna()].sort_values("drop"))
    if not least or not least[0].drop < models["drop"].min():
        return ""
    return f" (the yardstick {least[0].entry}: {wording.points(least[0].drop)})"


def _n(table: pd.DataFrame) -> str:
    each = {row.entry: wording.tested_on(row) for row in wording.records(table)}
    if len(set(each.values())) == 1:
        return f"{next(iter(each.values()))}{' each' if len(each) > 1 else ''}."
    return " ".join(f"{entry}: {said}." for entry, said in each.items())


def gaps(table: pd.DataFrame, sentence: str) -> Chart:
    """Draw the background gap, a bar for each model.

    Parameters
    ----------
    table
        From `queries.accuracy.gaps`, largest first.
    sentence
        The filter in English.
    """
    marks = model_marks(table["model"])
    rows = wording.records(table)
    layers: list[Layer] = [Rule("x", 0)]
    for place, row in enumerate(rows):
        known = wording.known(row.ci_low) and wording.known(row.ci_high)
        one = table.iloc[[place]]
        layers.append(
            Bars(
                "",
                (float(place),),
                (float(row.estimate),),
                marks[row.model].ink,
                0.6,
                horizontal=True,
                low=tuples(one["ci_low"]) if known else (),
                high=tuples(one["ci_high"]) if known else (),
                hover=(
                    f"{model_title(row.model)}\ngap {wording.points(row.estimate)} "
                    f"({wording.interval(row.ci_low, row.ci_high, row.unit)})\n"
                    f"{wording.tested_on(row)}",
                ),
            )
        )
    panel = Panel(
        Axis("Background gap, points of accuracy", unit="points"),
        Axis("", tuple(model_title(row.model) for row in rows), reversed_=True),
        tuple(layers),
        height=120 + 60 * len(rows),
    )
    title = "No background gap was computed"
    caption = ""
    if rows:
        top = rows[0]
        title = f"The background gap is largest for {model_title(top.model)}: " + wording.points(
            top.estimate
        )
        if top.estimate <= 0 or (wording.known(top.ci_low) and top.ci_low <= 0):
            title = "No model's background gap is told from zero"
        caption = joined(
            "Accuracy on a background of the same class minus accuracy on one of another class.",
            sentence,
            wording.unit_note(table),
            f"{wording.tested_on(top)}.",
            wording.donors_seen(table),
        )
    return Chart("background_gap", title, caption, (panel,) if rows else (), legend=False)


SAID = {
    "neither": ("shifted for neither", MUTED, "circle", True),
    "both": ("shifted for both", MUTED, "diamond", False),
    "first only": ("shifted only for {}", ALERT, "triangle-down", False),
    "second only": ("shifted only for {}", ALERT, "triangle-up", False),
}
"""Groups of proteins: name, colour, symbol, open."""


def shift_pairs(
    table: pd.DataFrame, first: str, second: str, condition: str, threshold: float
) -> Chart:
    """Draw each protein's shift for one entry against another; disagreements are marked.

    Parameters
    ----------
    table
        From `queries.compare.shift_pairs`.
    first, second
        Titles of the entries.
    """
    layers: list[Layer] = [Rule("diagonal")]
    layers += [Rule("x", threshold), Rule("y", threshold)]
    for said, (name, ink, symbol, open_) in SAID.items():
        rows = table[table["said"] == said]
        if rows.empty:
            continue
        owner = first if said == "first only" else second
        layers.append(
            Points(
                name.format(owner),
                tuples(rows["first"]),
                tuples(rows["second"]),
                ink,
                symbol=symbol,
                open_=open_,
                size=9 if "only" in said else 7,
                opacity=0.9 if "only" in said else 0.55,
                hover=tuple(
                    f"{row.protein}\n{first}: {row.first:.2f} (q = {row.first_q:.3f}) "
                    f"→ {row.first_top}\n{second}: {row.second:.2f} (q = {row.second_q:.3f}) "
                    f"→ {row.second_top}"
                    for row in wording.records(rows)
                ),
            )
        )
    most = float(table[["first", "second"]].max().max()) if len(table) else 1.0
    end = min(1.02, max(most, threshold) + 0.04)
    panel = Panel(
        Axis(f"Shift, {first}", range=(0, end)),
        Axis(f"Shift, {second}", range=(0, end)),
        tuple(layers),
        height=460,
    )
    differ = int(table["said"].isin(["first only", "second only"]).sum())
    title = (
        f"{first} and {second} disagree on {differ:,} of {wording.count(len(table), 'protein')} "
        f"{wording.on_background(condition)}"
        if len(table)
        else f"No protein has a shift for both {first} and {second}"
    )
    caption = (
        f"Each mark is a protein: its shift (total variation from its unaltered distribution) for "
        f"both. Shifted: q ≤ {ALPHA:g} and total variation ≥ {threshold:.2f} (the dashed lines). "
        f"n = {wording.count(len(table), 'protein')} that both have."
    )
    return Chart("shift_pairs", title, caption, (panel,) if len(table) else ())


def class_pairs(table: pd.DataFrame, first: str, second: str, condition: str) -> Chart:
    """Draw each class's drop for two entries; those where the order reverses are marked.

    Parameters
    ----------
    table
        From `queries.compare.class_pairs`.
    first, second
        Titles of the entries.
    """
    table = table.sort_values("difference", kind="stable")
    names = tuple(table["localization"])
    layers: list[Layer] = [Rule("x", 0)]
    for side, title, offset, symbol, open_ in (
        ("first", first, -0.14, "circle", False),
        ("second", second, 0.14, "square", True),
    ):
        for reverses in (False, True):
            places = [i for i, flag in enumerate(table["reverses"]) if flag == reverses]
            rows = table.iloc[places]
            if rows.empty:
                continue
            known = rows[f"{side}_low"].notna().all()
            layers.append(
                Points(
                    f"{title}, order reverses" if reverses else title,
                    tuples(rows[side]),
                    tuple(place + offset for place in places),
                    ALERT if reverses else MUTED,
                    tuples(rows[f"{side}_low"]) if known else (),
                    tuples(rows[f"{side}_high"]) if known else (),
                    along_x=True,
                    symbol=symbol,
                    open_=open_,
                    size=9,
                    hover=tuple(
                        f"{row.localization}, {title}\ndrop {wording.points(getattr(row, side))}"
                        for row in wording.records(rows)
                    ),
                )
            )
    panel = Panel(
        Axis("Drop in accuracy", unit="points"),
        Axis("", names, reversed_=True),
        tuple(layers),
        height=130 + 30 * len(names),
    )
    caption = (
        f"Drop of each class {wording.on_background(condition)}, sorted by {first} minus {second}. "
        f"Where the order reverses, the model that loses less overall loses more on the class. "
        f"Bars: {wording.level()} intervals. n = {wording.count(len(table), 'class', 'classes')}."
    )
    return Chart(
        "class_pairs", _reversal(table, first, second), caption, (panel,) if len(table) else ()
    )


def _reversal(table: pd.DataFrame, first: str, second: str) -> str:
    if table.empty:
        return f"No class was tested for both {first} and {second}"
    reverses = table[table["reverses"]]
    if reverses.empty:
        return f"{first} and {second}: the order is the same for every class"
    clear = int(reverses["apart"].sum())
    size = reverses["difference"].abs().sort_values(ascending=False).index
    worst = ", ".join(str(name) for name in reverses.loc[size, "localization"][:NAMED])
    told = f" ({clear} with intervals apart)" if clear else " (none with intervals apart)"
    return (
        f"{first} and {second}: the order reverses for {len(reverses)} of {len(table)} classes"
        f"{told}: {worst}"
    )
