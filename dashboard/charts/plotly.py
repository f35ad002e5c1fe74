"""Descriptions to Plotly figures, with every colour and font given: nothing from a template."""

import json
from typing import Any

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from dashboard.charts.description import Axis, Bars, Chart, Heat, Panel, Points, Rule
from dashboard.theme import GRID, MUTED, PAGE, TEXT

FONT = '"Source Sans", "Source Sans Pro", sans-serif'
CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
    "responsive": True,
}
"""For `st.plotly_chart`; zoom by dragging, double click to return."""

CLEAR = "rgba(0,0,0,0)"


class Written(go.Figure):  # type: ignore[misc]
    """A finished figure as text, which is what pages send.

    Plotly's own would be checked part by part and copied whenever it is shown.

    Parameters
    ----------
    text
        Data and layout as JSON.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def to_dict(self) -> dict[str, Any]:
        """Return data and layout, each time anew."""
        found: dict[str, Any] = json.loads(self._text)
        return found


def figures(chart: Chart, dark: bool) -> list[Written]:
    """Return one figure per panel; titles and captions are the page's.

    Parameters
    ----------
    chart
        What to draw.
    dark
        Whether the page is dark.
    """
    return [figure(panel, dark, chart.legend) for panel in chart.panels]


def figure(panel: Panel, dark: bool, legend: bool = True) -> Written:
    """Return one panel as a Plotly figure."""
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    panel = panel.in_points()
    for layer in panel.layers:
        if isinstance(layer, Points):
            traces.append(_points(layer, dark))
        elif isinstance(layer, Bars):
            traces.append(_bars(layer, dark))
        elif isinstance(layer, Heat):
            traces.append(_heat(layer, dark))
        else:
            _rule(layer, panel, dark, shapes, notes)
    traces += [_targets(layer) for layer in panel.layers if isinstance(layer, Heat) and layer.picks]
    named = [trace for trace in traces if trace.get("showlegend")]
    text = TEXT.on(dark)
    layout = {
        "height": panel.height,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 14, "color": text},
        "margin": {"l": 8, "r": 12, "t": 36 if named and legend else 10, "b": 8},
        "showlegend": bool(named) and legend,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.01,
            "yanchor": "bottom",
            "font": {"color": text, "size": 13},
            "bgcolor": CLEAR,
            "itemclick": "toggle",
        },
        "hoverlabel": {
            "bgcolor": PAGE.on(dark),
            "bordercolor": MUTED.on(dark),
            "font": {"family": FONT, "size": 13, "color": text},
            "align": "left",
        },
        "hovermode": "closest",
        "barmode": "overlay",
        "dragmode": "zoom",
        "xaxis": _axis(panel.x, dark, heat=_is_heat(panel)),
        "yaxis": _axis(panel.y, dark, heat=_is_heat(panel)),
        "shapes": shapes,
        "annotations": notes,
        "uirevision": "keep",
    }
    given = [{name: value for name, value in t.items() if value is not None} for t in traces]
    # Plotly would take most of the time to check what this file writes; the tests check it.
    return Written(to_json_plotly({"data": given, "layout": layout}))


def _is_heat(panel: Panel) -> bool:
    return any(isinstance(layer, Heat) for layer in panel.layers)


def _points(layer: Points, dark: bool) -> dict[str, Any]:
    colour = layer.ink.on(dark)
    mode = "+".join(
        part
        for part, wanted in (
            ("lines", layer.line),
            ("markers", layer.marks),
            ("text", any(layer.text)),
        )
        if wanted
    )
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode or "markers",
        "name": layer.name,
        "showlegend": bool(layer.name),
        "x": list(layer.x),
        "y": list(layer.y),
        "opacity": layer.opacity,
        "marker": {
            "symbol": f"{layer.symbol}-open" if layer.open_ else layer.symbol,
            "size": layer.size,
            "color": colour,
            "line": {
                "width": 2 if layer.open_ else 1,
                "color": colour if layer.open_ else PAGE.on(dark),
            },
        },
        "line": {"color": colour, "width": layer.width, "dash": layer.dash},
        "hovertemplate": "%{hovertext}<extra></extra>" if layer.hover else None,
        "hovertext": [_plain(text) for text in layer.hover] or None,
        "hoverinfo": None if layer.hover else "skip",
        "connectgaps": False,
        "cliponaxis": False,
    }
    if layer.picks:
        trace |= _pickable(layer.picks)
    if any(layer.text):
        trace |= {
            "text": [_plain(text) for text in layer.text],
            "textposition": list(layer.text_at) or "middle left",
            "textfont": {"size": 12, "color": MUTED.on(dark)},
        }
    if layer.low:
        middle = layer.x if layer.along_x else layer.y
        trace["error_x" if layer.along_x else "error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_gap(b, a) for a, b in zip(middle, layer.high, strict=True)],
            "arrayminus": [_gap(a, b) for a, b in zip(middle, layer.low, strict=True)],
            "color": colour,
            "thickness": 1.6,
            "width": 0,
        }
    return trace


def _pickable(picks: tuple[str, ...]) -> dict[str, Any]:
    """Return what a trace needs to be chosen from; what is not chosen keeps its look."""
    return {"customdata": [[pick] for pick in picks], "unselected": {"marker": {"opacity": 1}}}


def _targets(heat: Heat) -> dict[str, Any]:
    """Return unseen marks on the squares of a heat map, which itself cannot be chosen from."""
    spots = [
        (column, row)
        for row, line in enumerate(heat.picks)
        for column, pick in enumerate(line)
        if pick
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [column for column, _ in spots],
        "y": [row for _, row in spots],
        "customdata": [[heat.picks[row][column]] for column, row in spots],
        "marker": {"symbol": "square", "size": 22, "opacity": 0, "color": "#808080"},
        "selected": {"marker": {"opacity": 0.35}},
        "unselected": {"marker": {"opacity": 0}},
        "hovertext": [_plain(heat.hover[row][column]) for column, row in spots],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _gap(a: float | None, b: float | None) -> float:
    return max(0.0, a - b) if a is not None and b is not None else 0.0


def _bars(layer: Bars, dark: bool) -> dict[str, Any]:
    at, lengths = ("y", "x") if layer.horizontal else ("x", "y")
    colour = layer.ink.on(dark)
    trace: dict[str, Any] = {
        "type": "bar",
        "name": layer.name,
        "showlegend": bool(layer.name),
        at: list(layer.at),
        lengths: list(layer.lengths),
        "base": list(layer.base) or None,
        "width": layer.thickness,
        "orientation": "h" if layer.horizontal else "v",
        "opacity": layer.opacity,
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": "%{hovertext}<extra></extra>" if layer.hover else None,
        "hovertext": [_plain(text) for text in layer.hover] or None,
        "hoverinfo": None if layer.hover else "skip",
        "textposition": "none",
    }
    if layer.pattern:
        trace["marker"] = {
            "color": PAGE.on(dark),
            "line": {"width": 1.2, "color": colour},
            "pattern": {
                "shape": layer.pattern,
                "fgcolor": colour,
                "fillmode": "overlay",
                "size": 6,
                "solidity": 0.35,
            },
        }
    if layer.picks:
        trace |= _pickable(layer.picks)
    if layer.low:
        base = layer.base or (0.0,) * len(layer.lengths)
        ends = [a + b for a, b in zip(base, layer.lengths, strict=True)]
        trace["error_x" if layer.horizontal else "error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_gap(b, a) for a, b in zip(ends, layer.high, strict=True)],
            "arrayminus": [_gap(a, b) for a, b in zip(ends, layer.low, strict=True)],
            "color": TEXT.on(dark),
            "thickness": 1.3,
            "width": 0,
        }
    return trace


def _heat(layer: Heat, dark: bool) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": [[None if value is None else 100 * value for value in row] for row in layer.z],
        "zmin": 100 * layer.low,
        "zmax": 100 * layer.high,
        "colorscale": [
            [i / (len(layer.scale) - 1), ink.on(dark)] for i, ink in enumerate(layer.scale)
        ],
        "xgap": 1,
        "ygap": 1,
        "showlegend": False,
        "showscale": True,
        "colorbar": {
            "title": {"text": layer.unit, "side": "right", "font": {"size": 13}},
            "thickness": 10,
            "len": 1,
            "outlinewidth": 0,
            "tickfont": {"size": 12, "color": TEXT.on(dark)},
        },
        "hoverongaps": False,
    }
    if layer.hover:
        trace["hovertext"] = [[_plain(text) for text in row] for row in layer.hover]
        trace["hovertemplate"] = "%{hovertext}<extra></extra>"
    if layer.numbers:
        trace["text"] = [[layer.written(value) for value in row] for row in layer.z]
        trace["texttemplate"] = "%{text}"
        trace["textfont"] = {"size": 11}
    return trace


def _rule(
    rule: Rule, panel: Panel, dark: bool, shapes: list[dict[str, Any]], notes: list[dict[str, Any]]
) -> None:
    line = {"color": MUTED.on(dark), "width": 1.4, "dash": "dash"}
    if rule.along == "diagonal":
        low, high = panel.x.range or (0, 1)
        place: dict[str, Any] = {"x0": low, "x1": high, "y0": low, "y1": high}
    elif rule.along == "x":
        place = {"x0": rule.at, "x1": rule.at, "y0": 0, "y1": 1, "yref": "paper"}
    else:
        place = {"y0": rule.at, "y1": rule.at, "x0": 0, "x1": 1, "xref": "paper"}
    shapes.append({"type": "line", "line": line, "layer": "below", **place})
    if rule.text and rule.along != "diagonal":
        spot: dict[str, Any] = (
            {"x": rule.at, "y": 1, "yref": "paper", "xanchor": "left", "yanchor": "top"}
            if rule.along == "x"
            else {"y": rule.at, "x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom"}
        )
        font = {"size": 12, "color": MUTED.on(dark)}
        note = {"text": _plain(rule.text), "showarrow": False, "font": font, **spot}
        notes.append({**note, "bgcolor": PAGE.on(dark), "opacity": 0.9, "borderpad": 1})


def _axis(axis: Axis, dark: bool, heat: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": {
            "text": axis.heading,
            "font": {"size": 13, "color": MUTED.on(dark)},
            "standoff": 15,
        },
        "automargin": True,
        "gridcolor": GRID.on(dark),
        "showgrid": not heat and not axis.categories,
        "zeroline": False,
        "linecolor": GRID.on(dark),
        "tickcolor": GRID.on(dark),
        "tickfont": {"size": 13, "color": TEXT.on(dark)},
        "fixedrange": heat,
        "ticks": "",
    }
    if axis.categories:
        count = len(axis.categories)
        ends = [-0.5, count - 0.5]
        found |= {
            "tickmode": "array",
            "tickvals": list(range(count)),
            "ticktext": [_plain(name) for name in axis.labels],
            "range": ends[::-1] if axis.reversed_ else ends,
            "ticklabeloverflow": "allow",
            "autotickangles": [0, -35, -60, -90],
        }
    elif axis.range:
        found["range"] = list(axis.range)
    if axis.unit == "%":
        found["tickformat"] = ".0%"
    if axis.step:
        found["dtick"] = axis.step
    return found


def _plain(text: str) -> str:
    """Keep a name from being read as Plotly's small HTML; our own line breaks stay."""
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")
    )
