"""One cell before and after as HTML: one picture above the other, and a range that moves the edge.

Every name that comes from data is escaped. Without the script both halves stay as they are at
first, so nothing is lost to a browser that does not run it.
"""

from html import escape

from dashboard.figures import crops
from dashboard.figures.slide import Crops, Picture
from dashboard.render import images
from dashboard.theme import MUTED, TEXT

SIDE, NARROW = 384, 320
"""Screen pixels that a picture may take along its side, in a large window and in a small one."""

SCRIPT = """
<script>
if (!window.bystanderEdge) {
  window.bystanderEdge = true;
  document.addEventListener('input', event => {
    const range = event.target;
    const box = range instanceof HTMLInputElement && range.closest('.before-after');
    if (!box) return;
    box.style.setProperty('--edge', range.value / 100);
    range.setAttribute('aria-valuetext', range.value + '% as imaged');
  });
}
</script>
"""
"""Moves the edge of every slider on the page, also of those that are drawn later."""

STYLE = """
<style>
.before-after { --edge: .5; display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center;
  color: TEXT }
.before-after .stage { width: WIDEpx; max-width: 100% }
.before-after .heads, .before-after .answers { display: flex; justify-content: space-between;
  gap: 1rem; line-height: 1.3; font-size: .95rem }
.before-after .heads > *, .before-after .answers > * { min-width: 0; overflow-wrap: anywhere }
.before-after .heads { font-weight: 600; margin-bottom: .35rem }
.before-after .answers { margin-top: .4rem }
.before-after .heads > :last-child, .before-after .answers > :last-child { text-align: right }
.before-after .answers b { display: block; font-size: 1.25rem; overflow-wrap: anywhere }
.before-after .answers span { color: MUTED }
.before-after .frame { position: relative; line-height: 0; background: #000; aspect-ratio: RATIO }
.before-after .frame img { position: absolute; inset: 0; width: 100%; height: 100%; max-width: none;
  margin: 0; image-rendering: SCALING }
.before-after .frame img.line { image-rendering: auto }
.before-after .frame img.before { clip-path: inset(0 calc(100% - 100% * var(--edge)) 0 0) }
.before-after .edge { position: absolute; top: 0; bottom: 0; left: calc(100% * var(--edge));
  width: 3px; margin-left: -1.5px; background: #fff; box-shadow: 0 0 0 1px #000 }
.before-after .edge::after { content: "\\2194"; position: absolute; top: 50%; left: 50%;
  translate: -50% -50%; width: 2.1rem; height: 2.1rem; border-radius: 50%; background: #fff;
  color: #12151c; box-shadow: 0 0 0 1px #000; font: 700 1.2rem/2.1rem sans-serif;
  text-align: center }
.before-after input { position: absolute; top: 0; left: -1.05rem; width: calc(100% + 2.1rem);
  height: 100%; margin: 0; opacity: 0; cursor: ew-resize; touch-action: pan-y;
  appearance: none }
.before-after input::-webkit-slider-thumb { appearance: none; width: 2.1rem; height: 2.1rem }
.before-after input::-moz-range-thumb { width: 2.1rem; height: 2.1rem }
.before-after .frame:has(input:focus-visible) { outline: 3px solid TEXT; outline-offset: 3px }
.before-after .words { flex: 1 1 18rem; line-height: 1.5 }
.before-after .words h2 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; padding: 0;
  font-weight: 700; text-wrap: balance; overflow-wrap: anywhere; color: TEXT }
.before-after .words p { margin: 0 0 .5rem; overflow-wrap: anywhere }
.before-after .words p.quiet { color: MUTED; font-size: .875rem; margin-top: .9rem }
@media (max-width: 640px), (max-height: 1000px) {
  .before-after .stage { width: NARROWpx }
}
@media (max-width: 640px) {
  .before-after .words h2 { font-size: 1.3rem }
}
</style>
"""


def html(drawn: Crops, dark: bool) -> str:
    """Return two pictures of a cell with the answers to them; the words stand beside.

    Parameters
    ----------
    drawn
        Of the figure `before_after`: two pictures, as imaged and on another background, with one
        answer each.
    dark
        Whether the page is dark.
    """
    before, after = drawn.pictures
    width, height = before.size
    line = ""
    if before.outline:
        drawing = images.outline_uri(before.outline, width, height, 1.3 * width / SIDE)
        line = f'<img class="line" src="{drawing}" alt="">'
    said = before.said[0].model
    return (
        f'{_style(width, height, dark)}<div class="before-after"><div class="stage">'
        f'<div class="heads"><span>{_head(before)}</span><span>{_head(after)}</span></div>'
        f'<div class="frame">{_image(after, "after")}{_image(before, "before")}{line}'
        '<span class="edge" aria-hidden="true"></span>'
        '<input type="range" min="0" max="100" step="1" value="50" '
        'aria-label="How much of the picture is as imaged; the rest shows the same cell on '
        'another background" aria-valuetext="50% as imaged"></div>'
        f'<div class="answers"><div>{_answer(before, dark)}</div>'
        f"<div>{_answer(after, dark)}</div></div></div>"
        f'<div class="words"><h2>{escape(drawn.title)}</h2>'
        "<p>Only what surrounds the cell was exchanged, nothing inside the yellow line. If "
        f"{escape(said)} looked at the cell alone, it would answer the same on both sides.</p>"
        "<p>Drag the white line, or move it with the arrow keys.</p>"
        f'<p class="quiet">{escape(drawn.caption)}</p></div></div>'
    )


def _style(width: int, height: int, dark: bool) -> str:
    wide, whole = _fitted(width, SIDE)
    narrow, narrowed = _fitted(width, NARROW)
    words = {
        "TEXT": TEXT.on(dark),
        "MUTED": MUTED.on(dark),
        "WIDE": str(wide),
        "NARROW": str(narrow),
        "RATIO": f"{width} / {height}",
        "SCALING": "pixelated" if whole and narrowed else "auto",
    }
    style = STYLE
    for name, value in words.items():
        style = style.replace(name, value)
    return style


def _fitted(width: int, side: int) -> tuple[int, bool]:
    """Return how wide a crop is drawn, and whether by a whole number of screen pixels a pixel."""
    mean, enlarged = images.squares(width, side)
    return (side, False) if mean > 1 else (width * enlarged, True)


def _head(picture: Picture) -> str:
    """Return what stands above a picture."""
    if not picture.behind:
        return "As imaged"
    return escape(f"Background of {picture.behind.removeprefix(crops.ON)} cells")


def _image(picture: Picture, place: str) -> str:
    return (
        f'<img class="{place}" src="{images.as_uri(picture.pixels)}" alt="{escape(picture.alt)}">'
    )


def _answer(picture: Picture, dark: bool) -> str:
    """Return what the model says, with its sign and colour and what these mean."""
    one = picture.said[0]
    ink = one.mark.ink.on(dark)
    return (
        f"<span>{escape(one.model)} says</span>"
        f'<b style="color:{ink}">{escape(one.mark.before(one.text))}</b>'
        f"<span>{escape(one.mark.words)}</span>"
    )
