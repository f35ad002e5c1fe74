"""Panels as charts that PowerPoint can edit, with their error bars; None where it has no such kind.

Marks over categories become a line chart, bars a bar chart, marks over numbers a scatter chart.
Matrices, marks beside a list of names and broken lines have no counterpart: they stay pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import (
    XL_CHART_TYPE,
    XL_LABEL_POSITION,
    XL_LEGEND_POSITION,
    XL_MARKER_STYLE,
    XL_TICK_LABEL_POSITION,
)
from pptx.enum.dml import MSO_LINE
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from compute.storage.spreadsheet import inert
from dashboard.charts.description import Axis, Bars, Panel, Points, Rule
from dashboard.render.panels import along
from dashboard.report.plain_text import clean
from dashboard.theme import GRID, MUTED, PAGE, TEXT, Ink

MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE,
    "square": XL_MARKER_STYLE.SQUARE,
    "diamond": XL_MARKER_STYLE.DIAMOND,
    "triangle-up": XL_MARKER_STYLE.TRIANGLE,
    "triangle-down": XL_MARKER_STYLE.X,
    "pentagon": XL_MARKER_STYLE.STAR,
}
DASHES = {
    "solid": MSO_LINE.SOLID,
    "dash": MSO_LINE.DASH,
    "dot": MSO_LINE.ROUND_DOT,
    "dashdot": MSO_LINE.DASH_DOT,
    "longdash": MSO_LINE.LONG_DASH,
    "longdashdot": MSO_LINE.LONG_DASH_DOT,
}
FORMS = {"": "General", "%": "0.0%", "points": "0.0"}
"""How numbers of each unit are written."""

PALE = 0.35
"""Share of its ink in an open mark."""

CROWDED = 1.35
"""Height that a name in a list needs, over its size; with less some programs leave names out."""

LABELS = {
    "top left": XL_LABEL_POSITION.LEFT,
    "top center": XL_LABEL_POSITION.ABOVE,
    "top right": XL_LABEL_POSITION.RIGHT,
    "middle left": XL_LABEL_POSITION.LEFT,
    "middle center": XL_LABEL_POSITION.CENTER,
    "middle right": XL_LABEL_POSITION.RIGHT,
    "bottom left": XL_LABEL_POSITION.LEFT,
    "bottom center": XL_LABEL_POSITION.BELOW,
    "bottom right": XL_LABEL_POSITION.RIGHT,
}


def add(shapes: Any, panel: Panel, place: tuple[int, int, int, int], size: float) -> Any | None:
    """Add a panel as an editable chart.

    Parameters
    ----------
    shapes
        Of a slide.
    place
        Left, top, width, height, in PowerPoint's units.
    size
        Points of its letters.

    Returns
    -------
    object or None
        The shape; None where this panel must be a picture.
    """
    panel = panel.in_points()
    points = [layer for layer in panel.layers if isinstance(layer, Points)]
    bars = [layer for layer in panel.layers if isinstance(layer, Bars)]
    rules = [layer for layer in panel.layers if isinstance(layer, Rule)]
    if len(points) + len(bars) + len(rules) != len(panel.layers) or (points and bars):
        return None
    if bars:
        return _bars(shapes, panel, bars, place, size)
    if not points or any(layer.along_x for layer in points) or panel.y.categories:
        return None
    if panel.x.categories:
        broken = any(None in layer.x or len(layer.x) != len(set(layer.x)) for layer in points)
        return None if broken else _lines(shapes, panel, points, rules, place, size)
    return _scatter(shapes, panel, points, rules, place, size)


def _lines(
    shapes: Any,
    panel: Panel,
    layers: Sequence[Points],
    rules: Sequence[Rule],
    place: tuple[int, int, int, int],
    size: float,
) -> Any:
    count = len(panel.x.categories)
    data = CategoryChartData(number_format=FORMS[panel.y.unit])
    data.categories = [_name(text) for text in panel.x.categories]
    slots = []
    for layer in layers:
        here = {round(float(x)): i for i, x in enumerate(layer.x) if x is not None}
        slots.append(here)
        data.add_series(
            _name(layer.name), [layer.y[here[n]] if n in here else None for n in range(count)]
        )
    flat = [rule for rule in rules if rule.along == "y"]
    for rule in flat:
        data.add_series(_name(rule.text), [rule.at] * count)
    shape = shapes.add_chart(XL_CHART_TYPE.LINE_MARKERS, *place, data)
    chart = shape.chart
    drawn = list(chart.plots[0].series)[: len(layers)]  # the rules' come behind
    for series, layer, here in zip(drawn, layers, slots, strict=True):
        _drawn(series, layer)
        if layer.low:
            low = [layer.low[here[n]] if n in here else None for n in range(count)]
            high = [layer.high[here[n]] if n in here else None for n in range(count)]
            middle = [layer.y[here[n]] if n in here else None for n in range(count)]
            _intervals(series, middle, low, high, layer.ink, "y")
    _rules(chart, len(layers), len(flat))
    _axes(chart, panel.x, panel.y, size)
    _legend(chart, [layer.name for layer in layers], len(flat), size)
    return shape


def _scatter(
    shapes: Any,
    panel: Panel,
    layers: Sequence[Points],
    rules: Sequence[Rule],
    place: tuple[int, int, int, int],
    size: float,
) -> Any:
    data = XyChartData()
    kept = []
    for layer in layers:
        series = data.add_series(_name(layer.name))
        there = [i for i, (x, y) in enumerate(zip(layer.x, layer.y, strict=True))
                 if x is not None and y is not None]  # fmt: skip
        kept.append(there)
        for i in there:
            series.add_data_point(layer.x[i], layer.y[i])
    (left, right), (low, high) = panel.x.range or (0, 1), panel.y.range or (0, 1)
    for rule in rules:
        series = data.add_series(_name(rule.text.strip()))
        ends = {
            "diagonal": ((max(left, low),) * 2, (min(right, high),) * 2),
            "x": ((rule.at, low), (rule.at, high)),
            "y": ((left, rule.at), (right, rule.at)),
        }[rule.along]
        for x, y in ends:
            series.add_data_point(x, y)
    shape = shapes.add_chart(XL_CHART_TYPE.XY_SCATTER_LINES, *place, data)
    chart = shape.chart
    drawn = list(chart.plots[0].series)[: len(layers)]  # the rules' come behind
    for series, layer, there in zip(drawn, layers, kept, strict=True):
        _drawn(series, layer)
        if layer.low:
            _intervals(
                series,
                [layer.y[i] for i in there],
                [layer.low[i] for i in there],
                [layer.high[i] for i in there],
                layer.ink,
                "y",
            )
        for number, i in enumerate(there):
            if i < len(layer.text) and clean(layer.text[i]):
                label = series.points[number].data_label
                label.has_text_frame = True
                label.text_frame.text = clean(layer.text[i])
                spot = layer.text_at[i] if i < len(layer.text_at) else "middle left"
                label.position = LABELS[spot]
                run = label.text_frame.paragraphs[0].runs[0]
                run.font.size, run.font.color.rgb = Pt(12), _rgb(MUTED)
    _rules(chart, len(layers), len(rules))
    _axes(chart, panel.x, panel.y, size)
    _legend(chart, [layer.name for layer in layers], len(rules), size)
    return shape


def _bars(
    shapes: Any, panel: Panel, layers: Sequence[Bars], place: tuple[int, int, int, int], size: float
) -> Any | None:
    horizontal = layers[0].horizontal
    axis = panel.y if horizontal else panel.x
    values = panel.x if horizontal else panel.y
    if axis.categories and axis.reversed_:
        # Bars grow from below: turned over here, for programs differ in where a reversed axis ends.
        last = len(axis.categories) - 1
        layers = [replace(one, at=tuple(last - at for at in one.at)) for one in layers[::-1]]
        axis = replace(axis, categories=axis.categories[::-1], reversed_=False)
    names = axis.categories or tuple(f"{at - layers[0].thickness / 2:.2f}" for at in layers[0].at)
    room = 72 * (place[3] / 914400 - 1.1)
    if horizontal and len(axis.categories) * size * CROWDED > room:
        return None
    singles = all(len(layer.at) == 1 and not layer.name for layer in layers)
    stacked = any(layer.base for layer in layers)
    if not axis.categories and any(layer.at != layers[0].at for layer in layers):
        return None
    data = CategoryChartData(number_format=FORMS[values.unit])
    data.categories = [_name(text) for text in names]

    def slot(layer: Bars, i: int) -> int:
        return round(layer.at[i]) if axis.categories else i

    rows: list[list[float | None]] = []
    for layer in layers:
        row: list[float | None] = [None] * len(names)
        for i, length in enumerate(layer.lengths):
            row[slot(layer, i)] = length
        rows.append(row)
    if singles:
        merged = [
            next((v for v in column if v is not None), None) for column in zip(*rows, strict=True)
        ]
        data.add_series(_name(values.heading), merged)
    else:
        for layer, row in zip(layers, rows, strict=True):
            data.add_series(_name(layer.name), row)
    kinds = {
        (True, True): XL_CHART_TYPE.BAR_STACKED,
        (True, False): XL_CHART_TYPE.BAR_CLUSTERED,
        (False, True): XL_CHART_TYPE.COLUMN_STACKED,
        (False, False): XL_CHART_TYPE.COLUMN_CLUSTERED,
    }
    shape = shapes.add_chart(kinds[horizontal, stacked], *place, data)
    chart = shape.chart
    plot = chart.plots[0]
    plot.gap_width = 40 if axis.categories else 8
    plot.overlap = 100 if stacked else 0
    if singles:
        for layer in layers:
            fill = plot.series[0].points[round(layer.at[0])].format.fill
            fill.solid()
            fill.fore_color.rgb = _rgb(layer.ink)
        if all(layer.low for layer in layers):
            ordered = sorted(layers, key=lambda layer: layer.at[0])
            _intervals(
                plot.series[0],
                [layer.lengths[0] for layer in ordered],
                [layer.low[0] for layer in ordered],
                [layer.high[0] for layer in ordered],
                TEXT,
                "",
            )
    else:
        for series, layer, row in zip(plot.series, layers, rows, strict=True):
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = _rgb(layer.ink, layer.opacity)
            if layer.low and not stacked:
                spots = {slot(layer, i): i for i in range(len(layer.at))}
                ends = [
                    [side[spots[n]] if n in spots else None for n in range(len(names))]
                    for side in (layer.low, layer.high)
                ]
                _intervals(series, row, ends[0], ends[1], TEXT, "")
    across = axis if axis.categories else replace(axis, title=f"{axis.title} (from)", range=None)
    _axes(chart, across, values, size, _reach(layers))
    _legend(chart, [] if singles else [layer.name for layer in layers], 0, size)
    return shape


def _name(text: str) -> str:
    """Return a name as the workbook behind a chart may hold it; no name is empty."""
    return str(inert(clean(text).replace("\n", " "))) or " "


def _drawn(series: Any, layer: Points) -> None:
    series.smooth = False
    line = series.format.line
    if layer.line:
        line.color.rgb, line.width = _rgb(layer.ink), Pt(max(1.5, layer.width))
        line.dash_style = DASHES[layer.dash]
    else:
        line.fill.background()
    marker = series.marker
    marker.style = MARKERS.get(layer.symbol, XL_MARKER_STYLE.CIRCLE)
    if not layer.marks:
        marker.style = XL_MARKER_STYLE.NONE
        return
    marker.size = max(5, min(14, round(layer.size)))
    marker.format.line.color.rgb = _rgb(layer.ink)
    # An open mark is filled palely: programs differ in what an unfilled one looks like.
    marker.format.fill.solid()
    marker.format.fill.fore_color.rgb = _rgb(layer.ink, PALE if layer.open_ else layer.opacity)


def _rules(chart: Any, first: int, count: int) -> None:
    for series in list(chart.plots[0].series)[first : first + count]:
        series.smooth = False
        series.marker.style = XL_MARKER_STYLE.NONE
        line = series.format.line
        line.color.rgb, line.width, line.dash_style = _rgb(MUTED), Pt(1.25), MSO_LINE.DASH


def _intervals(
    series: Any,
    middle: Sequence[float | None],
    low: Sequence[float | None],
    high: Sequence[float | None],
    ink: Ink,
    along: str,
) -> None:
    """Write error bars, which python-pptx has no words for, in the place the format gives them."""
    direction = f'<c:errDir val="{along}"/>' if along else ""
    sides = "".join(
        f"<c:{side}><c:numLit><c:formatCode>General</c:formatCode>"
        f'<c:ptCount val="{len(middle)}"/>{_reaches(middle, ends, sign)}</c:numLit></c:{side}>'
        for side, ends, sign in (("plus", high, 1), ("minus", low, -1))
    )
    bars = parse_xml(
        f'<c:errBars {nsdecls("c", "a")}>{direction}<c:errBarType val="both"/>'
        f'<c:errValType val="cust"/><c:noEndCap val="1"/>{sides}<c:spPr><a:ln w="19050">'
        f'<a:solidFill><a:srgbClr val="{ink.light[1:].upper()}"/></a:solidFill></a:ln></c:spPr>'
        "</c:errBars>"
    )
    element = series._element
    after = element.find(qn("c:cat"))
    after = element.find(qn("c:xVal")) if after is None else after
    after = element.find(qn("c:val")) if after is None else after
    after.addprevious(bars)


def _reaches(middle: Sequence[float | None], ends: Sequence[float | None], sign: int) -> str:
    return "".join(
        f'<c:pt idx="{number}"><c:v>{max(0.0, sign * (end - value))!r}</c:v></c:pt>'
        for number, (value, end) in enumerate(zip(middle, ends, strict=True))
        if value is not None and end is not None
    )


def _axes(
    chart: Any, across: Axis, up: Axis, size: float, ends: tuple[float, float] | None = None
) -> None:
    """Set both axes; for bars along x `across` is still the axis of categories."""
    chart.font.size, chart.font.color.rgb = Pt(size), _rgb(TEXT)
    narrow = size < 13
    for axis, given in ((chart.category_axis, across), (chart.value_axis, up)):
        axis.format.line.color.rgb = _rgb(MUTED)
        axis.has_major_gridlines = given is up or not across.categories
        if axis.has_major_gridlines:
            axis.major_gridlines.format.line.color.rgb = _rgb(GRID)
        axis.tick_label_position = XL_TICK_LABEL_POSITION.LOW
        axis.has_title = bool(given.title)
        if given.title:
            axis.axis_title.text_frame.text = clean(given.heading)
            font = axis.axis_title.text_frame.paragraphs[0].runs[0].font
            font.size, font.bold, font.color.rgb = Pt(size), False, _rgb(MUTED)
        axis.reverse_order = given.reversed_
        span = given.range or (ends if given is up else None)
        if span and not given.categories and hasattr(axis, "minimum_scale"):
            unit = _unit(span[1] - span[0], 4 if narrow else 6)
            axis.major_unit = unit
            axis.minimum_scale = math.floor(span[0] / unit + 1e-6) * unit
            axis.maximum_scale = min(span[1], 1.0) if given.unit == "%" else span[1]
        if given.unit == "%":
            form = "0%" if not span or span[1] - span[0] >= 0.045 else "0.0%"
            axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = form, False
    listed = chart.category_axis._element
    if listed.tag == qn("c:catAx"):
        every = parse_xml(f'<c:tickLblSkip {nsdecls("c")} val="1"/>')
        listed.find(qn("c:noMultiLvlLbl")).addprevious(every)


def _unit(span: float, most: int) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides a span into few parts."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def _reach(layers: Sequence[Bars]) -> tuple[float, float]:
    """Return the ends of an axis that holds all bars with their intervals."""
    tops = [b + v for layer in layers for b, v in zip(
        layer.base or (0.0,) * len(layer.lengths), layer.lengths, strict=True)]  # fmt: skip
    ends = [*tops, *(v for layer in layers for v in (*layer.low, *layer.high) if v is not None)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.06 * (high - low or 1)
    return (low - room if low < 0 else 0.0), high + room


def _legend(chart: Any, names: Sequence[str], rules: int, size: float) -> None:
    chart.has_title = False
    chart.has_legend = sum(map(bool, names)) > 0
    if not chart.has_legend:
        return
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.TOP, False
    chart.legend.font.size = Pt(size)
    nameless = [i for i, name in enumerate(names) if not name]
    hidden = [*nameless, *range(len(names), len(names) + rules)]
    legend = chart.legend._element
    position = legend.find(qn("c:legendPos"))
    for number in reversed(hidden):
        entry = parse_xml(
            f'<c:legendEntry {nsdecls("c")}><c:idx val="{number}"/><c:delete val="1"/>'
            "</c:legendEntry>"
        )
        position.addnext(entry)


def _rgb(ink: Ink, opacity: float = 1) -> RGBColor:
    return RGBColor.from_string(along((PAGE, ink), opacity).light[1:].upper())
