"""A deck as one HTML file: no server, no network, readable as a page and shown by keyboard.

Every text is escaped. The page's own policy forbids everything but its one style, its one script
and pictures inside it (`data:`), so a name in a run cannot become more than a name.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from dashboard.charts.description import Chart
from dashboard.figures.slide import Grid, Picture, Slide
from dashboard.render import figures, images
from dashboard.render.panels import Swatches
from dashboard.report import svg
from dashboard.report.deck import Deck, as_grid
from dashboard.report.slides import BODY
from dashboard.theme import GRID, MUTED, PAGE, TEXT, Ink
from dashboard.verdicts import MARKS

HERE = Path(__file__).resolve().parent
OUTLINE = "#ffe14d"
SURFACE = Ink("#f5f7fa", "#1b202a")
ACCENT = Ink("#2540ef", "#8fb4ff")
PAGE_INKS = {
    "page": PAGE,
    "text": TEXT,
    "muted": MUTED,
    "line": GRID,
    "soft": SURFACE,
    "accent": ACCENT,
    **{str(verdict): mark.ink for verdict, mark in MARKS.items() if mark.sign},
}
PANEL = {1: BODY, 2: (6.1, 5.1), 3: (3.95, 4.5)}
"""Inches of one panel's drawing, by how many stand side by side."""


FITS = (800, 1200, 1700)
"""Lengths of a slide of sentences (`Slide.length`) above which its letters get smaller."""


def fit(length: int) -> str:
    """Return the class of a slide of sentences by its length: ``fit-0`` to ``fit-3``."""
    return f"fit-{sum(length > most for most in FITS)}"


def render(deck: Deck) -> bytes:
    """Return a deck as the bytes of an HTML file."""
    swatches = Swatches()
    drawings = [_drawn(slide.chart, swatches) for slide in deck.slides]
    marks = {one.ink for slide in deck.slides for p in slide.pictures for one in p.said}
    for ink in sorted(marks, key=lambda ink: ink.light):
        swatches(ink)
    variables = svg.variables_of(swatches)
    sections = "\n".join(
        _section(slide, number, panels, swatches, variables)
        for number, (slide, panels) in enumerate(zip(deck.slides, drawings, strict=True), 1)
    )
    style = _style(swatches)
    script = (HERE / "page.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    contents = "".join(
        f'<li><a href="#figure-{n}">{escape(slide.title)}</a></li>'
        for n, slide in enumerate(deck.slides, 1)
    )
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(deck.title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(deck.title)}</h1>
<p>{escape(deck.subtitle)}</p>
<p>{escape(deck.date[:10])}</p>
<div class="bar"><button id="present" type="button">Present (P)</button>
<button id="theme" type="button">Light or dark</button></div>
<p class="note">Presenting: arrow keys, space, Home and End; Esc returns to this page.</p>
</header>
<nav aria-label="Figures"><ol>{contents}</ol></nav>
<main>
{sections}
</main>
<footer>
<h2>What was run</h2>
{_table(as_grid(deck))}
<p class="note">{escape(deck.source)}</p>
</footer>
<div class="count" aria-live="polite"></div>
<script>{script}</script>
</body>
</html>
"""
    return page.encode()


def _style(swatches: Swatches) -> str:
    inks = {f"i{number}": ink for number, ink in enumerate(swatches.found.values())}
    every = {**PAGE_INKS, **inks}
    light = ";".join(f"--{name}:{ink.light}" for name, ink in every.items())
    dark = ";".join(f"--{name}:{ink.dark}" for name, ink in every.items())
    classes = "".join(f".{name}{{color:var(--{name})}}" for name in inks)
    return (
        f"{(HERE / 'page.css').read_text('utf-8')}\n:root{{{light}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{{dark}}} }}\n"
        f":root[data-theme=dark] {{{dark};color-scheme:dark}}\n"
        f":root[data-theme=light] {{color-scheme:light}}\n{classes}"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _drawn(chart: Chart | None, swatches: Swatches) -> list[bytes]:
    """Draw every panel by itself, so that they wrap where the page is narrow."""
    if chart is None:
        return []
    look = figures.slide_look(chart, swatches=swatches)
    width, height = PANEL[min(3, len(chart.panels))]
    return [
        figures.panels(replace(chart, panels=(panel,)), "svg", width, height, look)
        for panel in chart.panels
    ]


def _section(
    slide: Slide,
    number: int,
    drawn: Sequence[bytes],
    swatches: Swatches,
    variables: dict[str, str],
) -> str:
    head = f"figure-{number}"
    body = ""
    if slide.chart is not None and drawn:
        several = f"p{min(3, len(drawn))}"
        panels = zip(slide.chart.panels, drawn, strict=True)
        pictures = "".join(
            svg.inline(
                drawing, f"{head}-{n}", f"{slide.chart.alt} {panel.title}".strip(), variables
            )
            for n, (panel, drawing) in enumerate(panels)
        )
        body += (
            f'<div class="scroll" tabindex="0" role="group" aria-labelledby="{head}-title">'
            f'<div class="panels {several}">{pictures}</div></div>'
        )
    if slide.lines:
        body += f'<div class="lines {fit(slide.length)}">'
        body += "".join(f"<p>{escape(x)}</p>" for x in slide.lines)
        body += "</div>"
        body += _table(slide.grid) if slide.grid else ""
    if slide.pictures:
        shown = "".join(_picture(picture, swatches) for picture in slide.pictures)
        body += f'<div class="crops">{shown}</div>'
    more = ""
    if slide.grid and not slide.lines:
        more = f"<details><summary>The numbers</summary>{_table(slide.grid)}</details>"
    meant = "".join(f"<p>{escape(text)}.</p>" for text in slide.definitions)
    if meant:
        more += f'<details><summary>What the words mean</summary><div class="note">{meant}</div>'
        more += "</details>"
    return (
        f'<section id="{head}" tabindex="-1" aria-labelledby="{head}-title">'
        f'<h2 id="{head}-title">{escape(slide.title)}</h2>'
        f'<div class="body">{body}</div>'
        f'<p class="caption">{escape(slide.caption)}</p>{more}</section>'
    )


def _table(grid: Grid) -> str:
    numeric = [
        bool(grid.rows) and all(_is_number(row[i]) for row in grid.rows)
        for i in range(len(grid.head))
    ]

    def cell(tag: str, text: str, i: int) -> str:
        kind = ' class="n"' if numeric[i] else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{kind}{scope}>{escape(text)}</{tag}>"

    head = "".join(cell("th", text, i) for i, text in enumerate(grid.head))
    rows = "".join(
        f"<tr>{''.join(cell('td', text, i) for i, text in enumerate(row))}</tr>"
        for row in grid.rows
    )
    note = f'<p class="note">{escape(grid.note)}</p>' if grid.note else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Table"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _is_number(text: str) -> bool:
    return text == "–" or text.strip("−+%").replace(",", "").replace(".", "", 1).isdigit()


def _picture(picture: Picture, swatches: Swatches) -> str:
    width, height = picture.size
    path = images.outline_path(picture.outline)
    names = {ink: f"i{number}" for number, ink in enumerate(swatches.found.values())}
    said = "".join(
        f'<p><span class="{names[one.ink]}" role="img" aria-label="{escape(one.model)}" '
        f'title="{escape(one.model)}">{one.character}</span> '
        f'<span class="{one.verdict}{" changed" if one.changed else ""}">'
        f"{escape(one.mark.before(one.text))}</span></p>"
        for one in picture.said
    )
    behind = f'<p class="quiet">{escape(picture.behind)}</p>' if picture.behind else ""
    return (
        f"<figure><figcaption>{escape(picture.title)}</figcaption>"
        f'<div class="pic"><img src="{images.as_uri(picture.pixels)}" width="{width}" '
        f'height="{height}" alt="{escape(picture.alt)}">'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true"><path d="{path}" fill="none" '
        f'stroke="{OUTLINE}" stroke-width="0.5"/></svg></div>{said}{behind}</figure>'
    )
