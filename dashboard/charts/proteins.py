"""Tables of protein shifts and distributions to chart descriptions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from compute.statistics.config import ALPHA
from dashboard import wording
from dashboard.charts.accuracy import spread_out, tuples
from dashboard.charts.description import Axis, Bars, Chart, Heat, Layer, Panel, Points, Rule
from dashboard.queries.filters import ShiftFilter
from dashboard.theme import (
    ALERT,
    BLUES,
    MUTED,
    condition_ink,
    condition_title,
    in_order,
    model_marks,
    model_title,
)

MINOR = 0.02
"""A localization that never holds this share of a protein is left out of its charts."""


def histogram(table: pd.DataFrame, shares: pd.DataFrame, chosen: ShiftFilter) -> Chart:
    """Draw the number of proteins by total variation, with the threshold.

    Parameters
    ----------
    table
        From `queries.proteins.histogram`.
    shares
        From `queries.proteins.shares`, for the title.
    """
    row = _row(shares, chosen.model, chosen.condition)
    width = 1 / max(1, len(table))
    centres = tuple(float(low) + width / 2 for low in table["low"])
    layers: tuple[Layer, ...] = ()
    title, n = "No protein has a shift here", 0
    if row is not None and row.n:
        n = int(row.n)
        title = (
            f"{row.shifted:,} of {n:,} proteins ({row.share:.0%}) change their localization "
            f"substantially for {model_title(chosen.model)} "
            f"{wording.on_background(chosen.condition)}"
        )
        layers = (
            Bars(
                f"q ≤ {chosen.q_value:g}",
                centres,
                tuple(map(float, table["significant"])),
                condition_ink(chosen.condition),
                width * 0.9,
                hover=_bin_hover(table, "significant", width),
            ),
            Bars(
                f"q > {chosen.q_value:g}",
                centres,
                tuple(map(float, table["other"])),
                MUTED,
                width * 0.9,
                base=tuple(map(float, table["significant"])),
                opacity=0.45,
                hover=_bin_hover(table, "other", width),
            ),
            Rule("x", chosen.threshold, f" threshold {chosen.threshold:.2f}"),
        )
    panel = Panel(
        Axis("Shift: total variation from the unaltered distribution", range=(0, 1)),
        Axis("Proteins"),
        layers,
        height=320,
    )
    caption = (
        f"{chosen.sentence()} Substantial: {chosen.substantial().words} (Benjamini–Hochberg). "
        f"n = {wording.count(n, 'protein')}."
    )
    return Chart("shift_histogram", title, caption, (panel,) if layers else ())


def _bin_hover(table: pd.DataFrame, column: str, width: float) -> tuple[str, ...]:
    return tuple(
        f"{row.low:.2f} to {row.low + width:.2f}\n{wording.count(getattr(row, column), 'protein')}"
        for row in wording.records(table)
    )


def _row(shares: pd.DataFrame, model: str, condition: str) -> Any | None:
    found = shares[(shares["model"] == model) & (shares["condition"] == condition)]
    return next(iter(wording.records(found)), None)


def curve(table: pd.DataFrame, condition: str, threshold: float) -> Chart:
    """Draw the share of substantially shifted proteins by threshold, a line for each model.

    Parameters
    ----------
    table
        From `queries.proteins.curve`.
    """
    marks = model_marks(table["model"])
    layers: list[Layer] = [Rule("x", threshold, f" {threshold:.2f}")]
    at = []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model]
        layers.append(
            Points(
                model_title(model),
                tuples(rows["threshold"]),
                tuples(rows["share"]),
                marks[model].ink,
                marks=False,
                line=True,
                width=2.4,
                dash=marks[model].dash,
                hover=tuple(
                    f"{model_title(model)}\nthreshold {row.threshold:.2f}: {row.share:.0%} "
                    f"({row.shifted:,} of {row.n:,} proteins)"
                    for row in wording.records(rows)
                ),
            )
        )
        near = rows.iloc[(rows["threshold"] - threshold).abs().argsort()[:1]]
        at += [f"{model_title(model, short=True)} {share:.0%}" for share in near["share"]]
    panel = Panel(
        Axis("Threshold on total variation", range=(0, 1)),
        Axis("Proteins shifted", range=(0, 1.02), unit="%"),
        tuple(layers),
        height=320,
    )
    title = (
        f"At a threshold of {threshold:.2f}, proteins shifted: {', '.join(at)}"
        if at
        else "No shifts here"
    )
    caption = (
        f"Share of proteins with q ≤ {ALPHA:g} and a total variation of at least the threshold, "
        f"under “{condition_title(condition).lower()}”. "
        f"n = {wording.count(table['n'].max() if len(table) else 0, 'protein')} a model."
    )
    return Chart("shift_curve", title, caption, (panel,) if at else ())


def by_condition(table: pd.DataFrame, axis: str, hover: Callable[[Any], str]) -> Panel:
    """Draw shares by condition, a mark for each model, with intervals where there are any.

    Parameters
    ----------
    table
        Has ``model, condition, estimate``, and perhaps ``ci_low, ci_high``.
    axis
        Title of the axis of shares.
    hover
        Says what a row of the table is, after its model and condition.
    """
    conditions = in_order(table["condition"].unique())
    place = {name: i for i, name in enumerate(conditions)}
    marks = model_marks(table["model"])
    models = sorted(table["model"].unique(), key=list(marks).index)
    layers: list[Layer] = []
    for model, offset in zip(models, spread_out(len(models)), strict=True):
        rows = table[table["model"] == model]
        low, high = (tuples(rows[end]) if end in rows else () for end in ("ci_low", "ci_high"))
        layers.append(
            Points(
                model_title(model),
                tuple(place[c] + offset for c in rows["condition"]),
                tuples(rows["estimate"]),
                marks[model].ink,
                low=low,
                high=high,
                symbol=marks[model].symbol,
                size=11,
                hover=tuple(
                    f"{model_title(model)}, {condition_title(row.condition)}\n{hover(row)}"
                    for row in wording.records(rows)
                ),
            )
        )
    return Panel(
        Axis("", tuple(condition_title(c) for c in conditions)),
        Axis(axis, range=(0, 1.02), unit="%"),
        tuple(layers),
        height=340,
    )


def shares(table: pd.DataFrame, threshold: float) -> Chart:
    """Draw the share of substantially shifted proteins by condition, a mark for each model.

    Parameters
    ----------
    table
        From `queries.proteins.shares`.
    """
    panel = by_condition(
        table.rename(columns={"share": "estimate"}),
        "Proteins shifted",
        lambda row: f"{row.estimate:.0%} ({row.shifted:,} of {row.n:,} proteins)",
    )
    title = "No shifts were computed"
    worst = wording.worst(table)
    if worst is not None:
        title = (
            f"{worst.shifted:,} of {wording.count(worst.n, 'protein')} ({worst.share:.0%}) shift "
            f"substantially for {model_title(worst.model)} "
            f"{wording.on_background(worst.condition)}"
            if worst.shifted
            else "No protein's localization shifts substantially for other neighbours"
        )
    zeros = wording.shifts_of_zeros(table, "share")
    caption = (
        f"Share of proteins whose localizations shift substantially (q ≤ {ALPHA:g} and total "
        f"variation ≥ {threshold:.2f}). {zeros + ' ' if zeros else ''}"
        f"n = {wording.count(table['n'].max() if len(table) else 0, 'protein')}."
    )
    return Chart("shifted_shares", title, caption, (panel,) if len(table) else ())


def before_and_after(table: pd.DataFrame, protein: str, condition: str) -> Chart:
    """Draw one protein's distribution, unaltered and under a condition, a panel a model.

    Parameters
    ----------
    table
        From `queries.proteins.distributions`.
    """
    shown = (("unaltered", -0.2), (condition, 0.2))
    both = table[table["condition"].isin([name for name, _ in shown])]
    # Rows by model and condition, then by place: a page draws this anew for every protein.
    found: dict[tuple[str, str], dict[str, Any]] = {}
    most: dict[str, float] = {}
    for row in wording.records(both):
        found.setdefault((row.model, row.condition), {})[row.localization] = row
        most[row.localization] = max(most.get(row.localization, 0.0), row.proportion)
    kept = [name for name, share in most.items() if share >= MINOR]
    places = sorted(kept, key=lambda name: (-most[name], name))
    models = dict.fromkeys(model for model, _ in found)
    panels = []
    for model in sorted(models, key=list(model_marks(table["model"])).index):
        layers: list[Layer] = []
        for name, offset in shown:
            share = found.get((model, name))
            if share is None:
                continue
            layers.append(
                Bars(
                    condition_title(name),
                    tuple(i + offset for i in range(len(places))),
                    tuple(float(share[p].proportion) if p in share else 0.0 for p in places),
                    condition_ink(name),
                    0.38,
                    horizontal=True,
                    hover=tuple(_share_hover(p, name, share.get(p)) for p in places),
                )
            )
        panels.append(
            Panel(
                Axis("Share of cells", range=(0, 1.0), unit="%"),
                Axis("", tuple(places), reversed_=True),
                tuple(layers),
                model_title(model),
                height=max(240, 110 + 36 * len(places)),
            )
        )
    n = int(both["n_cells"].max()) if len(both) else 0
    caption = (
        f"Share of {protein}'s cells that each model puts in each localization, unaltered and "
        f"{wording.on_background(condition)}. Total variation is that of the mean probabilities, "
        f"as in the table of shifts. n = {wording.count(n, 'cell')}. Localizations below "
        f"{MINOR:.0%} everywhere are left out."
    )
    return Chart(
        "protein_distributions", _moved_title(found, protein, condition), caption, tuple(panels)
    )


def _share_hover(place: str, condition: str, row: Any | None) -> str:
    proportion, probability, cells = (
        (None, None, 0) if row is None else (row.proportion, row.mean_probability, row.n_cells)
    )
    return (
        f"{place}, {condition_title(condition).lower()}\n"
        f"{wording.percent(proportion, 0)} of {wording.count(cells, 'cell')}\n"
        f"mean probability {wording.percent(probability, 0)}"
    )


def _moved_title(
    found: Mapping[tuple[str, str], Mapping[str, Any]], protein: str, condition: str
) -> str:
    distance: dict[str, float] = {}
    for (model, name), after in found.items():
        before = found.get((model, "unaltered"))
        if name == condition and before and condition != "unaltered":
            moved = sum(
                abs(after[p].mean_probability - before[p].mean_probability)
                for p in after
                if p in before
            )
            distance[model] = round(moved / 2, 9)  # equal ones stay equal
    cells = max((row.n_cells for some in found.values() for row in some.values()), default=0)
    if not distance or cells < wording.FEW:
        return f"Where the models put {protein}: {wording.count(cells, 'cell')}"
    model = max(sorted(distance), key=lambda name: distance[name])
    return (
        f"{protein} shifts most for {model_title(model)} {wording.on_background(condition)}: "
        f"by a total variation of {distance[model]:.2f}"
    )


def all_conditions(table: pd.DataFrame, protein: str) -> Chart:
    """Draw one protein's distribution under every condition, a panel for each model.

    Parameters
    ----------
    table
        From `queries.proteins.distributions`.
    """
    conditions = in_order(table["condition"].unique())
    most = table.groupby("localization")["proportion"].max()
    places = [str(name) for name in most[most >= MINOR].sort_values(ascending=False).index]
    marks = model_marks(table["model"])
    panels = []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model]
        share = rows.pivot(index="condition", columns="localization", values="proportion")
        share = share.reindex(index=conditions, columns=places)
        z = tuple(
            tuple(float(v) if wording.known(v) else None for v in line) for line in share.to_numpy()
        )
        hover = tuple(
            tuple(
                f"{condition_title(c)}: {place}\n{wording.percent(v, 0)} of cells"
                for place, v in zip(places, line, strict=True)
            )
            for c, line in zip(conditions, z, strict=True)
        )
        panels.append(
            Panel(
                Axis("", tuple(places)),
                Axis("", tuple(condition_title(c) for c in conditions), reversed_=True),
                (Heat(z, 0.0, 1.0, BLUES, "Share of cells, percent", hover=hover),),
                model_title(model),
                height=max(260, 120 + 30 * len(conditions)),
            )
        )
    n = int(table["n_cells"].max()) if len(table) else 0
    return Chart(
        "protein_all_conditions",
        f"{protein} under every condition",
        f"Percent of {protein}'s cells in each localization. n = {wording.count(n, 'cell')}.",
        tuple(panels),
    )


def moves(table: pd.DataFrame, protein: str, condition: str) -> Chart:
    """Draw how each cell moved between unaltered and a condition, a panel for each model.

    Parameters
    ----------
    table
        From `queries.proteins.moves`.
    """
    by_model: dict[str, list[Any]] = {}
    for row in wording.records(table):
        by_model.setdefault(row.model, []).append(row)
    panels, said = [], []
    for model in sorted(by_model, key=list(model_marks(table["model"])).index):
        rows = by_model[model]
        flipped = [row for row in rows if row.flipped >= 0.5]
        kept = [row for row in rows if not row.flipped >= 0.5]
        share = sum(row.flipped for row in rows) / len(rows)
        said.append(f"{wording.percent(share, 0)} for {model_title(model, short=True)}")
        layers = tuple(
            _slopes(some, model, changed)
            for changed, some in ((False, kept), (True, flipped))
            if some
        )
        panels.append(
            Panel(
                Axis("", ("Unaltered", condition_title(condition))),
                Axis("Probability of the first answer", range=(0, 1.02), unit="%"),
                layers,
                model_title(model),
                height=340,
            )
        )
    cells = max(map(len, by_model.values()), default=0)
    caption = (
        f"Each line is one cell of {protein}: how probable its unaltered answer was, and is "
        f"{wording.on_background(condition)} (mean over its trials); marked where at least half of "
        "its trials have another answer. The title's shares are of trials, the mean over cells. "
        f"n = {wording.count(cells, 'cell')}, "
        f"{wording.count(int(table['trials'].sum()) if len(table) else 0, 'trial')}."
    )
    title = f"Answers that changed: {', '.join(said)}" if said else "No single cells here"
    if said and cells < wording.FEW:
        title = f"Single cells of {protein}: {wording.count(cells, 'cell')}"
    return Chart("protein_moves", title, caption, tuple(panels))


def _slopes(rows: Sequence[Any], model: str, changed: bool) -> Points:
    x: list[float | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    for moved in rows:
        x += [0, 1, None]
        y += [float(moved.before), float(moved.after), None]
        text = (
            f"cell {moved.cell}: {moved.class_before} ({moved.before:.0%}) → {moved.class_after}\n"
            f"first answer now {moved.after:.0%}; {moved.flipped:.0%} of "
            f"{wording.count(moved.trials, 'trial')} changed"
        )
        hover += [text, text, ""]
    return Points(
        "answer changed" if changed else "answer kept",
        tuple(x),
        tuple(y),
        ALERT if changed else MUTED,
        symbol=model_marks([model])[model].symbol,
        size=7,
        line=True,
        width=1.6,
        dash="solid" if changed else "dot",
        opacity=0.9 if changed else 0.6,
        hover=tuple(hover),
    )
