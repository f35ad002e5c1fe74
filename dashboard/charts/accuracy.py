"""Tables of accuracies to chart descriptions."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from compute.paper.table_1 import SOURCE, SPREAD, TABLE_1
from dashboard import wording
from dashboard.charts import labels
from dashboard.charts.description import Axis, Chart, Heat, Layer, Panel, Points, Rule, pick
from dashboard.theme import (
    BLUES,
    condition_ink,
    condition_title,
    in_order,
    model_marks,
    model_title,
)

NAMED = 5
"""How many of the largest falls are named, where there is room."""


def spread_out(count: int, width: float = 0.56) -> list[float]:
    """Return offsets around 0 that set marks side by side, within `width` and 0.2 apart at most."""
    if count < 2:
        return [0.0] * count
    step = min(0.2, width / (count - 1))
    return [(i - (count - 1) / 2) * step for i in range(count)]


def tuples(column: pd.Series) -> tuple[float | None, ...]:
    """Return a column with None for what is missing."""
    return tuple(float(v) if wording.known(v) else None for v in column)


def lowest(columns: Sequence[pd.Series], top: float, floor: float = 0.0) -> float:
    """Return where an axis starts so that it holds all values, from `floor` to `top`.

    It is a multiple of 0.05 with some room below the least value.
    """
    least = min((float(column.min()) for column in columns if column.notna().any()), default=floor)
    return max(floor, min(top, int(least * 20 - 0.2) / 20))


def by_condition(
    table: pd.DataFrame, sentence: str, *, published: bool = False, chance: float | None = None
) -> Chart:
    """Draw accuracy by condition: a mark for each model, with its interval.

    Parameters
    ----------
    table
        From `queries.accuracy.overall`.
    sentence
        The filter in English.
    published
        Whether the paper's numbers are added as open marks.
    chance
        Accuracy by chance, from 0 to 1, drawn as a line; None for no line.
    """
    conditions = in_order(table["condition"].unique())
    place = {name: i for i, name in enumerate(conditions)}
    models = sorted(table["model"].unique(), key=list(model_marks(table["model"])).index)
    marks = model_marks(table["model"])
    layers: list[Layer] = [Rule("y", chance, "chance")] if chance is not None else []
    for model, offset in zip(models, spread_out(len(models)), strict=True):
        rows = table[table["model"] == model].sort_values("condition", key=lambda c: c.map(place))
        mark = marks[model]
        layers.append(
            Points(
                model_title(model),
                tuple(place[c] + offset for c in rows["condition"]),
                tuples(rows["estimate"]),
                mark.ink,
                tuples(rows["ci_low"]),
                tuples(rows["ci_high"]),
                symbol=mark.symbol,
                size=11,
                picks=tuple(pick(c, model) for c in rows["condition"]),
                hover=tuple(_overall_hover(row) for row in wording.records(rows)),
            )
        )
    shown = [p for p in TABLE_1 if published and p.model in models and p.condition in place]
    for model, offset in zip(models, spread_out(len(models)), strict=True):
        theirs = [p for p in shown if p.model == model]
        if theirs:
            layers.append(
                Points(
                    f"{model_title(model, short=True)}, published",
                    tuple(place[p.condition] + offset + 0.06 for p in theirs),
                    tuple(p.estimate for p in theirs),
                    marks[model].ink,
                    tuple(p.estimate - p.spread for p in theirs),
                    tuple(p.estimate + p.spread for p in theirs),
                    symbol=marks[model].symbol,
                    open_=True,
                    size=9,
                    opacity=0.75,
                    hover=tuple(
                        f"{model_title(model)}, {condition_title(p.condition)}\n"
                        f"{SOURCE}: {p.estimate:.1%} ± {p.spread:.1%}"
                        for p in theirs
                    ),
                )
            )
    start = lowest([table["ci_low"], table["estimate"]], 0.5)
    panel = Panel(
        Axis("", tuple(condition_title(c) for c in conditions)),
        Axis("Accuracy", range=(start, 1.005), unit="%"),
        tuple(layers),
        height=430,
    )
    caption = joined(
        sentence, wording.unit_note(table), sample_size(table), wording.donors_seen(table)
    )
    if shown:
        caption += (
            f" Open marks: {SOURCE}, other cells and full-size networks; their bars are {SPREAD}."
        )
    panels = (panel,) if conditions else ()
    return Chart("accuracy_by_condition", wording.short_finding(table), caption, panels)


def joined(*sentences: str) -> str:
    """Return sentences one after the other, without the empty ones."""
    return " ".join(sentence for sentence in sentences if sentence)


def sample_size(table: pd.DataFrame) -> str:
    """Return how many cells and proteins a table's rows rest on, in words."""
    if table.empty:
        return ""
    proteins = wording.count(table["n_proteins"].max(), "protein")
    return f"n = {between(table['n_cells'])} cells of {proteins}."


def between(numbers: pd.Series) -> str:
    """Return numbers as ``900`` or ``900 to 1,000``, or that one is not known."""
    there = numbers.dropna()
    if there.empty:
        return "an unknown number of"
    low, high = int(there.min()), int(there.max())
    text = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return text if len(there) == len(numbers) else f"{text} (not known for all)"


def _overall_hover(row: Any) -> str:
    text = (
        f"{model_title(row.model)}, {condition_title(row.condition)}\n"
        f"accuracy {wording.percent(row.estimate)} "
        f"({wording.percent(row.ci_low)} to {wording.percent(row.ci_high)})\n"
    )
    if wording.known(row.drop_estimate):
        holm = f", Holm {wording.p_text(row.p_holm)}" if wording.known(row.p_holm) else ""
        text += (
            f"drop {wording.points(row.drop_estimate)} "
            f"({wording.interval(row.drop_low, row.drop_high, getattr(row, 'drop_unit', None))}"
            f"{holm})\n"
        )
    if wording.known(row.net_estimate):
        net = wording.interval(row.net_low, row.net_high, row.drop_unit)
        text += f"net of sham {wording.points(row.net_estimate)} ({net})\n"
    return f"{text}{wording.tested_on(row)}"


def by_class(table: pd.DataFrame, condition: str, sentence: str) -> Chart:
    """Draw each class's accuracy under a condition against the unaltered one, a panel a model.

    Parameters
    ----------
    table
        From `queries.accuracy.by_class`.
    """
    marks = model_marks(table["model"])
    title = condition_title(condition).lower()
    start = lowest([table["before"], table["after"]], 0.9)
    panels = []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model]
        rows = rows[rows["before"].notna() & rows["after"].notna()].reset_index(drop=True)
        ends = (start, 1.01)
        before, after = rows["before"].tolist(), rows["after"].tolist()
        order = sorted(range(len(rows)), key=lambda i: after[i] - before[i])
        most = [*order[:NAMED], *sorted(order, key=lambda i: (after[i], i))[:1]]
        names = rows["localization"].tolist()
        texts, places = labels.place(before, after, names, list(dict.fromkeys(most)), ends)
        points = Points(
            "",
            tuples(rows["before"]),
            tuples(rows["after"]),
            condition_ink(condition),
            tuples(rows["after_low"]),
            tuples(rows["after_high"]),
            symbol=marks[model].symbol,
            size=10,
            opacity=0.9,
            hover=tuple(
                f"{row.localization}, {model_title(model)}\n"
                f"unaltered {wording.percent(row.before)}, {title} {wording.percent(row.after)}\n"
                f"drop {wording.points(row.before - row.after)}\n{wording.tested_on(row)}"
                for row in wording.records(rows)
            ),
            text=texts,
            text_at=places,
            picks=tuple(rows["localization"]),
        )
        panels.append(
            Panel(
                Axis("Unaltered accuracy", range=ends, unit="%"),
                Axis(f"Accuracy, {title}", range=ends, unit="%"),
                (Rule("diagonal"), points),
                model_title(model),
                height=380,
                square=True,
            )
        )
    finding = "No class was tested under both conditions"
    if len(table):
        falls = table.assign(fall=table["before"] - table["after"])
        below = int((falls["fall"] > 0).sum())
        finding = (
            f"{below} of {len(falls)} class accuracies fall {wording.on_background(condition)}"
        )
        enough = falls[~(falls["n_cells"] < wording.FEW)].sort_values("fall", ascending=False)
        for worst in wording.records(enough)[:1]:
            finding += (
                f"; most for {worst.localization} ({model_title(worst.model, short=True)}): "
                f"by {wording.points(worst.fall)}"
            )
    caption = joined(
        "Each mark is a class; on the dashed diagonal nothing changed, below it accuracy "
        "fell. The largest falls are named.",
        sentence,
        wording.unit_note(table),
        _class_n(table),
        wording.donors_seen(table),
    )
    return Chart("accuracy_by_class", finding, caption, tuple(panels), legend=False)


def _class_n(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    return (
        f"n = {between(table['n_cells'])} cells a class, of {between(table['n_proteins'])} "
        "proteins."
    )


def background_grid(table: pd.DataFrame, model: str, condition: str) -> Chart:
    """Draw pair accuracy as squares, centre class by background class.

    Parameters
    ----------
    table
        From `queries.accuracy.background_grid`.
    """
    centre = sorted(table["localization"].unique(), key=str.lower)
    behind = sorted(table["background"].unique(), key=str.lower)
    cells = {(row.localization, row.background): row for row in wording.records(table)}
    z, hover = [], []
    for a in centre:
        line = [cells.get((a, k)) for k in behind]
        z.append(tuple(None if c is None else float(c.accuracy) for c in line))
        hover.append(
            tuple(
                ""
                if c is None
                else f"{a} on {k}\naccuracy {wording.percent(c.accuracy)}\n"
                f"{wording.count(c.pairs, 'pair test')}, {wording.count(c.n, 'cell answer')}"
                for k, c in zip(behind, line, strict=True)
            )
        )
    title = "No pair test was done on chosen backgrounds"
    caption = ""
    panels: tuple[Panel, ...] = ()
    if len(table):
        low = next(
            iter(wording.records(table[~(table["n"] < wording.FEW)].sort_values("accuracy"))), None
        )
        title = f"Fewer than {wording.FEW} answers stand behind each square"
        if low is not None:
            title = (
                f"{model_title(model)} errs most on {low.localization} cells on {low.background} "
                f"backgrounds: {wording.percent(low.accuracy)}"
            )
        caption = (
            f"Mean accuracy, in percent, of all pair tests that hold the centre class, with both "
            f"classes on the background class ({condition_title(condition).lower()}). "
            f"{wording.count(table['pairs'].max(), 'pair test')} per square at most; "
            f"{wording.count(table['n'].sum(min_count=1), 'cell answer')} in all. "
            "Blank: both roles at once."
        )
        heat = Heat(
            tuple(z),
            max(0.0, float(table["accuracy"].min()) - 0.02),
            1.0,
            BLUES,
            "Accuracy, percent",
            hover=tuple(hover),
        )
        panels = (
            Panel(
                Axis("Background class", tuple(behind)),
                Axis("Centre class", tuple(centre), reversed_=True),
                (heat,),
                height=max(300, 130 + 27 * len(centre)),
            ),
        )
    return Chart(f"background_grid_{model}", title, caption, panels)


def protocols(table: pd.DataFrame) -> Chart:
    """Draw drops under both protocols, a panel for each model.

    Parameters
    ----------
    table
        From `queries.accuracy.protocols`.
    """
    marks = model_marks(table["model"])
    conditions = in_order(table["condition"].unique())
    place = {name: i for i, name in enumerate(conditions)}
    ends = table[["refit_low", "frozen_low", "refit_high", "frozen_high", "refit", "frozen"]]
    low = min(-0.02, float(ends.min().min()) - 0.01) if len(table) else -0.02
    high = max(0.05, float(ends.max().max()) + 0.01) if len(table) else 0.05
    panels = []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model]
        layers: list[Layer] = [Rule("x", 0)]
        for name, offset in (("refit", -0.15), ("frozen", 0.15)):
            layers.append(
                Points(
                    f"{name} probe",
                    tuples(rows[name]),
                    tuple(place[c] + offset for c in rows["condition"]),
                    marks[model].ink,
                    tuples(rows[f"{name}_low"]),
                    tuples(rows[f"{name}_high"]),
                    along_x=True,
                    symbol=marks[model].symbol,
                    open_=name == "frozen",
                    size=10,
                    hover=tuple(
                        f"{model_title(model)}, {condition_title(row.condition)}\n{name} probe: "
                        f"drop {wording.points(getattr(row, name))}\n{wording.tested_on(row)}"
                        for row in wording.records(rows)
                    ),
                )
            )
        panels.append(
            Panel(
                Axis("Drop in accuracy", range=(low, high), unit="points"),
                Axis("", tuple(condition_title(c) for c in conditions), reversed_=True),
                tuple(layers),
                model_title(model),
                height=130 + 38 * len(conditions),
            )
        )
    return Chart(
        "refit_against_frozen", protocol_title(table), _protocol_caption(table), tuple(panels)
    )


def protocol_title(table: pd.DataFrame) -> str:
    """Return a title that says under which protocol accuracy falls further."""
    kept = table[table["condition"].isin(wording.SWAPS)]
    if kept.empty:
        return "Only one protocol was run"
    more = float((kept["frozen"] - kept["refit"]).mean())
    if abs(more) < 0.01:
        return "Refitting the probe to each condition changes the drops little"
    word = "larger" if more > 0 else "smaller"
    return (
        f"Drops are {word} for a probe kept as it was fitted on unaltered crops: "
        f"by {wording.points(abs(more))} on average"
    )


def _protocol_caption(table: pd.DataFrame) -> str:
    return joined(
        "Filled: a probe fitted and tested inside each condition (does the information remain?). "
        "Open: a probe fitted once on unaltered crops (what happens to a model in use?).",
        wording.unit_note(table),
        sample_size(table),
        wording.donors_seen(table),
    )
