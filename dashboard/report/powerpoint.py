"""A deck as a PowerPoint file.

Charts can be edited where PowerPoint has their kind and are drawings elsewhere; captions and
definitions are speaker notes.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Emu, Inches, Pt

from dashboard.charts.description import Chart, Panel
from dashboard.figures.slide import Grid, Picture, Slide
from dashboard.render import figures, images
from dashboard.report import native_charts
from dashboard.report.archive import repacked
from dashboard.report.deck import Deck, as_grid
from dashboard.report.html import OUTLINE
from dashboard.report.plain_text import clean
from dashboard.report.slides import (
    BODY_TOP,
    CAPTION,
    HEIGHT,
    MARGIN,
    TITLE,
    WIDTH,
    sentence_points,
    wrapped,
)
from dashboard.theme import GRID, MUTED, PAGE, Ink
from dashboard.theme import TEXT as INK

PROPERTY = 255
"""Most letters of a property of an Office file (python-pptx)."""

TITLE_ONLY = 5
"""Place of that layout in python-pptx's own template."""

BOLD = 1.25
"""How much wider bold letters may be, whatever font a program puts in their place."""

ENLARGED = 12
"""Screen pixels per pixel of a crop, so that programs that smooth pictures leave pixels sharp."""

SVG_EXTENSION = "{96DAC541-7B7A-43D3-8B79-37D633B846F1}"
SVG_NAMESPACE = "http://schemas.microsoft.com/office/drawing/2016/SVG/main"


def render(deck: Deck) -> bytes:
    """Return a deck as the bytes of a ``.pptx`` file."""
    show = Presentation()
    show.slide_width, show.slide_height = Inches(WIDTH), Inches(HEIGHT)
    _cover(show, deck)
    for number, slide in enumerate(deck.slides, 1):
        _slide(show, slide, deck, number)
    last = _blank(show, "What was run", as_grid(deck).note)
    _table(last, as_grid(deck), 1.2, CAPTION)
    date = _date(deck.date)
    about = show.core_properties
    about.author = about.last_modified_by = about.keywords = "Bystander"
    about.title, about.subject = deck.title[:PROPERTY], deck.source[:PROPERTY]
    about.created = about.modified = date
    about.revision = 1
    buffer = io.BytesIO()
    show.save(buffer)
    return repacked(buffer.getvalue(), date.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None, microsecond=0)
    except ValueError:
        return datetime(2000, 1, 1)


def _blank(show: Any, title: str, notes: str) -> Any:
    slide = show.slides.add_slide(show.slide_layouts[TITLE_ONLY])
    frame = slide.shapes.title
    frame.left, frame.top = Inches(MARGIN), Inches(0.25)
    frame.width, frame.height = Inches(WIDTH - 2 * MARGIN), Inches(1.0)
    frame.text_frame.word_wrap = True
    text = frame.text_frame
    text.vertical_anchor = MSO_ANCHOR.TOP
    text.margin_left = text.margin_right = text.margin_top = text.margin_bottom = 0
    fits = len(wrapped(title, TITLE * BOLD, WIDTH - 2 * MARGIN)) < 3
    _write(text, title, TITLE if fits else TITLE * 0.8, bold=True)
    if notes:
        slide.notes_slide.notes_text_frame.text = clean(notes)
    return slide


def _cover(show: Any, deck: Deck) -> None:
    slide = _blank(show, deck.title, " ".join(deck.left_out))
    title = slide.shapes.title
    title.top = Inches(2.2)
    _write(title.text_frame, deck.title, 44, bold=True)
    _text(slide, deck.subtitle, 22, (MARGIN, 3.5, WIDTH - 2 * MARGIN, 0.9))
    facts = f"{deck.date[:10]}  {deck.source}"
    _text(slide, facts, 14, (MARGIN, 4.6, WIDTH - 2 * MARGIN, 0.7), MUTED)


def _slide(show: Any, slide: Slide, deck: Deck, number: int) -> None:
    page = _blank(show, slide.title, deck.notes(slide))
    lines = len(wrapped(slide.caption, CAPTION, WIDTH - 2 * MARGIN))
    tall = lines * CAPTION * 1.25 / 72
    top = HEIGHT - 0.5 - tall
    if slide.chart is not None and not slide.chart.empty:
        _chart(page, slide.chart, (MARGIN, BODY_TOP, WIDTH - 2 * MARGIN, top - BODY_TOP - 0.05))
    elif slide.pictures:
        _pictures(page, slide.pictures)
    else:
        _lines(page, slide, top)
    _text(page, slide.caption, CAPTION, (MARGIN, top, WIDTH - 2 * MARGIN, tall + 0.1), MUTED)
    foot = (MARGIN, HEIGHT - 0.42, WIDTH - 2 * MARGIN - 1, 0.3)
    _text(page, deck.source, 12, foot, MUTED)
    spot = (WIDTH - MARGIN - 0.9, HEIGHT - 0.42, 0.9, 0.3)
    _text(page, str(number), 12, spot, MUTED, align=PP_ALIGN.RIGHT)


def _chart(page: Any, chart: Chart, box: tuple[float, float, float, float]) -> None:
    left, top, width, height = box
    columns, rows = figures.shape(chart)
    look = figures.slide_look(chart)
    head = 0.36 if any(panel.title for panel in chart.panels) else 0
    wide, high = width / columns, height / rows
    for index, panel in enumerate(chart.panels):
        x, y = left + index % columns * wide, top + index // columns * high
        inner = (Inches(x), Inches(y + head), Inches(wide - 0.08), Inches(high - head - 0.05))
        shape = native_charts.add(page.shapes, panel, inner, min(look.text, 14.0))
        if shape is None:
            _drawing(page, chart, panel, (x, y, wide - 0.08, high - 0.05))
            continue
        shape._element.nvGraphicFramePr.cNvPr.set("descr", _described(chart, panel))
        if panel.title:
            _text(page, panel.title, look.heading, (x, y, wide, head))


def _drawing(page: Any, chart: Chart, panel: Panel, box: tuple[float, float, float, float]) -> None:
    """Show a panel as a drawing, with a picture for programs that do not read drawings."""
    one = replace(chart, panels=(panel,))
    look = figures.slide_look(chart)
    _, _, width, height = box
    png = figures.panels(one, "png", width, height, look)
    svg = figures.panels(one, "svg", width, height, look, outlines=True)
    place = [Inches(value) for value in box]
    shape = page.shapes.add_picture(io.BytesIO(png), *place)
    shape._element.nvPicPr.cNvPr.set("descr", _described(chart, panel))
    package = page.part.package
    name = PackURI(f"/ppt/media/drawing{_count(package) + 1}.svg")
    part = Part(name, "image/svg+xml", package, svg)
    key = page.part.relate_to(part, RELATIONSHIP_TYPE.IMAGE)
    blip = shape._element.blipFill.find(qn("a:blip"))
    blip.append(
        parse_xml(
            f'<a:extLst {nsdecls("a", "r")}><a:ext uri="{SVG_EXTENSION}">'
            f'<asvg:svgBlip xmlns:asvg="{SVG_NAMESPACE}" r:embed="{key}"/></a:ext></a:extLst>'
        )
    )


def _count(package: Any) -> int:
    return sum(str(part.partname).endswith(".svg") for part in package.iter_parts())


def _lines(page: Any, slide: Slide, bottom: float) -> None:
    """Write sentences and their table; `bottom`, in inches from the top, is where they must end."""
    points = sentence_points(slide.lines, slide.grid, bottom)
    top = BODY_TOP
    for place, line in enumerate(slide.lines):
        size = points + 3 if place == 0 else points
        lines = len(wrapped(line, size * (1.1 if place == 0 else 1), WIDTH - 2 * MARGIN - 0.3))
        tall = lines * size * 1.25 / 72
        box = (MARGIN, top, WIDTH - 2 * MARGIN, tall)
        _text(page, line, size, box, bold=place == 0)
        top += tall + 0.16
    if slide.grid:
        _table(page, slide.grid, top + 0.15, 14)


def _table(page: Any, grid: Grid, top: float, size: float) -> None:
    count = len(grid.rows) + 1
    room = WIDTH - 2 * MARGIN
    rows = (grid.head, *grid.rows)
    letters = [min(70, 3 + max(len(row[i]) for row in rows)) for i in range(len(grid.head))]
    total = sum(letters)
    shape = page.shapes.add_table(
        count, len(grid.head), Inches(MARGIN), Inches(top), Inches(room), Inches(0.33 * count)
    )
    table = shape.table
    for column, share in zip(table.columns, letters, strict=True):
        column.width = Emu(int(Inches(room) * share / total))
    for i, row in enumerate(rows):
        table.rows[i].height = Inches(0.33)
        for j, text in enumerate(row):
            cell = table.cell(i, j)
            cell.fill.solid()
            cell.fill.fore_color.rgb = _rgb(GRID if i == 0 else PAGE)
            cell.margin_top = cell.margin_bottom = Inches(0.03)
            cell.margin_left = cell.margin_right = Inches(0.05)
            _write(cell.text_frame, text, size if i else min(size, CAPTION), bold=i == 0)


def _pictures(page: Any, pictures: Sequence[Picture]) -> None:
    gap = 0.35
    side = min(2.9, (WIDTH - 2 * MARGIN - gap * (len(pictures) - 1)) / len(pictures))
    top = 1.65
    x = (WIDTH - len(pictures) * side - gap * (len(pictures) - 1)) / 2
    for picture in pictures:
        width, height = picture.size
        tall = side * height / width
        _text(page, picture.title, 16, (x, top - 0.4, side, 0.36), bold=True)
        pixels = picture.pixels.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
        png = images.as_png(np.ascontiguousarray(pixels))
        place = [Inches(value) for value in (x, top, side, tall)]
        shape = page.shapes.add_picture(io.BytesIO(png), *place)
        shape._element.nvPicPr.cNvPr.set("descr", clean(picture.alt))
        for contour in picture.outline:
            _outline(page, contour, (x, top), side / width)
        y = top + tall + 0.06
        for one in picture.said:
            text = one.mark.before(one.text)
            box = (x, y, 0.3, 0.32)
            _text(page, one.character, 14, box, one.ink)
            beside = (x + 0.28, y, side, 0.32)
            _text(page, text, 14, beside, one.mark.ink, bold=one.changed)
            y += 0.31
        if picture.behind:
            _text(page, picture.behind, 12, (x, y, side, 0.3), MUTED)
        x += side + gap


def _outline(
    page: Any, contour: Sequence[float], corner: tuple[float, float], scale: float
) -> None:
    """Draw a cell's outline as a line of its own; its points are centres of pixels."""
    points = [
        (Inches(corner[0] + (x + 0.5) * scale), Inches(corner[1] + (y + 0.5) * scale))
        for x, y in zip(contour[::2], contour[1::2], strict=True)
    ]
    if len(points) < 3:
        return
    builder = page.shapes.build_freeform(*points[0])
    builder.add_line_segments(points[1:], close=True)
    shape = builder.convert_to_shape()
    shape.fill.background()
    shape.shadow.inherit = False
    shape.line.color.rgb, shape.line.width = RGBColor.from_string(OUTLINE[1:].upper()), Pt(1.75)


def _text(
    page: Any,
    text: str,
    size: float,
    box: tuple[float, float, float, float],
    ink: Ink = INK,
    *,
    bold: bool = False,
    align: Any = PP_ALIGN.LEFT,
) -> None:
    frame = page.shapes.add_textbox(*(Inches(value) for value in box)).text_frame
    frame.word_wrap = True
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    _write(frame, text, size, ink, bold=bold, align=align)


def _write(
    frame: Any,
    text: str,
    size: float,
    ink: Ink = INK,
    *,
    bold: bool = False,
    align: Any = PP_ALIGN.LEFT,
) -> None:
    frame.text = clean(text)
    for paragraph in frame.paragraphs:
        paragraph.alignment = align
        for run in paragraph.runs:
            run.font.size, run.font.bold, run.font.color.rgb = Pt(size), bold, _rgb(ink)


def _described(chart: Chart, panel: Panel) -> str:
    return clean(f"{chart.alt} {panel.title}".strip())


def _rgb(ink: Ink) -> RGBColor:
    return RGBColor.from_string(ink.light[1:].upper())
