"""A slide as HTML for the page Present: fills the screen, every text escaped. No Streamlit."""

import base64
from dataclasses import replace
from html import escape

from dashboard.figures.slide import Grid, Picture, Slide
from dashboard.render import figures, images
from dashboard.report.html import OUTLINE, PANEL, fit
from dashboard.theme import ALERT, GRID, MUTED, PAGE, TEXT

STYLE = """
<style>
.slide { position: fixed; inset: 0; z-index: 20; display: flex; flex-direction: column;
  padding: 2.2vw 3vw 1.2vw; overflow: hidden; background: PAGE; color: TEXT;
  line-height: 1.35 }
.slide h1 { font-size: clamp(1.15rem, 2.4vw, 5rem); line-height: 1.25; margin: 0 0 1vw; padding: 0;
  font-weight: 700; text-wrap: balance; overflow-wrap: anywhere; color: TEXT }
.slide .figure { flex: 1 1 0; min-height: 0; display: flex; gap: 1vw; justify-content: center;
  align-items: center }
.slide .figure.crops { align-items: flex-start; align-content: center; flex-wrap: wrap; gap: 2vw }
.slide .figure > img { flex: 1 1 0; min-width: 0; max-height: 100%; max-width: 100%;
  object-fit: contain }
.slide .caption { color: MUTED; font-size: clamp(.85rem, 1.3vw, 3rem); margin: .8vw 0 0;
  padding-right: 5vw; overflow-wrap: anywhere }
.slide .words { flex: 1 1 0; min-height: 0; display: flex; flex-direction: column;
  justify-content: safe center; overflow-y: auto }
.slide .words p { font-size: clamp(1rem, 1.7vw, 4rem); margin: .8vw 0; overflow-wrap: anywhere }
.slide .words p:first-child { font-size: clamp(1.1rem, 2.1vw, 4.5rem); font-weight: 600 }
.slide .words.fit-1 { zoom: .9 }
.slide .words.fit-2 { zoom: .82 }
.slide .words.fit-3 { zoom: .74 }
.slide table { border-collapse: collapse; font-size: clamp(.85rem, 1.3vw, 3rem); margin-top: 1.2vw }
.slide th, .slide td { text-align: left; padding: .4vw 1.6vw .4vw 0; border: 0;
  border-bottom: 1px solid GRID; font-weight: 400 }
.slide th { font-weight: 600 }
.slide figure { margin: 0; flex: 0 0 21vw; min-width: 0 }
.slide figcaption, .slide figure p { font-size: clamp(.85rem, 1.3vw, 3rem); margin: .3vw 0 }
.slide figcaption { font-weight: 600 }
.slide .pic { position: relative; line-height: 0; background: #000 }
.slide .pic img { width: 100%; height: auto; image-rendering: pixelated; display: block }
.slide .pic img.line { position: absolute; inset: 0; height: 100%; image-rendering: auto }
.slide .changed { font-weight: 700 }
.slide .quiet { color: MUTED }
@media (max-width: 640px) {
  .slide { overflow-y: auto; padding: 1rem 1rem 5rem; display: block }
  .slide .words { overflow: visible }
  .slide .words.fit-1, .slide .words.fit-2, .slide .words.fit-3 { zoom: 1 }
  .slide .figure { flex-wrap: wrap; overflow-x: auto; justify-content: start }
  .slide .figure.crops { align-items: flex-start; align-content: center; flex-wrap: wrap; gap: 2vw }
.slide .figure > img { flex: 1 0 20rem; width: 100% }
  .slide .figure > img:only-child { flex: none; width: 36rem; max-width: none }
  .slide figure { flex: 0 0 44% }
}
</style>
"""


def page(slide: Slide, dark: bool) -> str:
    """Return a slide that fills the screen."""
    body = ""
    if slide.chart is not None and not slide.chart.empty:
        look = figures.slide_look(slide.chart, dark)
        width, height = PANEL[min(3, len(slide.chart.panels))]
        for panel in slide.chart.panels:
            one = replace(slide.chart, panels=(panel,))
            drawing = figures.panels(one, "svg", width, height, look)
            alt = escape(f"{slide.chart.alt} {panel.title}".strip())
            body += f'<img src="{_uri(drawing)}" alt="{alt}">'
        body = f'<div class="figure">{body}</div>'
    elif slide.pictures:
        shown = "".join(_picture(picture, dark) for picture in slide.pictures)
        body = f'<div class="figure crops">{shown}</div>'
    elif slide.lines:
        lines = "".join(f"<p>{escape(line)}</p>" for line in slide.lines)
        lines += _table(slide.grid) if slide.grid else ""
        body = f'<div class="words {fit(slide.length)}">{lines}</div>'
    return _framed(
        f'<h1>{escape(slide.title)}</h1>{body}<p class="caption">{escape(slide.caption)}</p>', dark
    )


def message(title: str, lines: list[str], dark: bool) -> str:
    """Return what stands in the place of a figure that cannot be shown."""
    said = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    return _framed(f'<h1>{escape(title)}</h1><div class="words">{said}</div>', dark)


def _framed(body: str, dark: bool) -> str:
    style = STYLE
    inks = (("PAGE", PAGE), ("TEXT", TEXT), ("MUTED", MUTED), ("GRID", GRID), ("ALERT", ALERT))
    for name, ink in inks:
        style = style.replace(name, ink.on(dark))
    # A long finding scrolls on a phone, so the keyboard must reach it.
    return f'{style}<div class="slide" role="region" tabindex="0" aria-label="Figure">{body}</div>'


def _uri(drawing: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode('ascii')}"


def _table(grid: Grid) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in grid.head)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in grid.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _picture(picture: Picture, dark: bool) -> str:
    width, height = picture.size
    line = ""
    if picture.outline:
        drawing = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            f'<path d="{images.outline_path(picture.outline)}" fill="none" stroke="{OUTLINE}" '
            'stroke-width="0.5"/></svg>'
        )
        line = f'<img class="line" src="{_uri(drawing.encode())}" alt="">'
    said = "".join(
        f'<p class="{"changed" if one.changed else "same"}"><span role="img" '
        f'aria-label="{escape(one.model)}" style="color:{one.ink.on(dark)}">{one.character}</span> '
        f'<span style="color:{one.mark.ink.on(dark)}">'
        f"{escape(one.mark.before(one.text))}</span></p>"
        for one in picture.said
    )
    behind = f'<p class="quiet">{escape(picture.behind)}</p>' if picture.behind else ""
    return (
        f'<figure><figcaption>{escape(picture.title)}</figcaption><div class="pic">'
        f'<img src="{images.as_uri(picture.pixels)}" width="{width}" height="{height}" '
        f'alt="{escape(picture.alt)}">{line}</div>{said}{behind}</figure>'
    )
