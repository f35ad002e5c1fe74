"""Rows of crops as one piece of HTML: a row a cell, a column a condition. No Streamlit.

Every name that comes from data is escaped; pictures are `data:` addresses of true pixels, which
the browser enlarges by a whole number without smoothing. Text takes the page's own colour.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from compute.schema import CELL_FLAGS, CONDITIONS, TRIAL_FLAGS, Condition
from dashboard import wording
from dashboard.queries import examples
from dashboard.queries.open_runs import Run
from dashboard.render import images
from dashboard.theme import (
    GRID,
    PAGE,
    channel_inks,
    condition_ink,
    condition_title,
    model_marks,
    model_title,
)
from dashboard.verdicts import MARKS, judge

CONTRASTS = {
    "cell": "Each cell by itself",
    "protein": "Same for a protein",
    "fixed": "Same for the run",
}
"""Over what a contrast is shared."""


@dataclass(frozen=True)
class Request:
    """What to draw.

    Parameters
    ----------
    cells
        From `queries.examples.cells`, in order.
    conditions
        Names, a column each.
    models, protocol
        Whose answers stand below the crops.
    channels
        Numbers of the channels to show: one in grey, several in their colours
        (`dashboard.theme.channel_inks`).
    contrast
        A key of `CONTRASTS`.
    side
        Screen pixels that a crop may take along its side; small crops are enlarged by a whole
        number, and of large ones squares of pixels are averaged.
    outline
        Whether the centre cell's outline is drawn.
    dark
        Whether the page is dark.
    predictions
        Whether answers are shown.
    """

    cells: tuple[int, ...]
    conditions: tuple[str, ...]
    models: tuple[str, ...]
    protocol: str
    channels: tuple[int, ...] = (0,)
    contrast: str = "cell"
    outline: bool = False
    side: int = 128
    dark: bool = False
    predictions: bool = True


STYLE = """
<style>
.crops { overflow-x: auto; max-width: 100%; padding-bottom: .4rem }
.crops.wide { background: linear-gradient(to right, PAGE 30%, transparent) left / 3rem 100%,
  linear-gradient(to left, PAGE 30%, transparent) right / 3rem 100%,
  linear-gradient(to right, SHADE, transparent) left / 1rem 100%,
  linear-gradient(to left, SHADE, transparent) right / 1rem 100%;
  background-attachment: local, local, scroll, scroll; background-repeat: no-repeat }
.crops:focus-visible { outline: 3px solid currentColor; outline-offset: 2px }
.crops table { border-collapse: collapse; font-size: .84rem; line-height: 1.3; margin: 0 }
.crops th, .crops td { border: 0; padding: .3rem .45rem .7rem .0rem; text-align: left;
  vertical-align: top; font-weight: 400 }
.crops thead th { font-weight: 600; padding-bottom: .3rem; white-space: nowrap }
.crops tbody th { min-width: 6.4rem; max-width: 9rem; overflow-wrap: anywhere }
.crops tbody th b { font-size: 1rem }
.crops .pic { position: relative; display: block; line-height: 0; background: #000 }
.crops .pic img { image-rendering: pixelated; display: block; max-width: none; margin: 0 }
.crops .pic img.line { position: absolute; left: 0; top: 0; width: 100%; height: 100%;
  image-rendering: auto }
.crops .said { display: block; margin-top: .2rem; overflow-wrap: anywhere }
.crops .said span.who { display: inline-block; width: 1.1em }
.crops .quiet { opacity: .78 }
.crops .changed { font-weight: 700 }
.crops.gallery { display: flex; flex-wrap: wrap; gap: 1rem 1.2rem }
.crops figure { margin: 0 }
.crops figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .3rem }
.crops .swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px;
  margin-right: .35em }
.crops.gallery { font-size: .9rem; line-height: 1.35 }
.crops.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr));
  gap: 1rem 1.2rem; font-size: .84rem; line-height: 1.3 }
.crops.pairs .two { display: flex; gap: .5rem }
.crops.defined { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr));
  gap: 1rem 1.1rem; font-size: .88rem; line-height: 1.35 }
.crops .under { display: none }
.crops.channels { display: flex; flex-wrap: wrap; gap: .4rem; font-size: .88rem }
.crops .chip { background: #000; color: #fff; border: 1px solid GRID; border-radius: 4px;
  padding: .1rem .55rem; overflow-wrap: anywhere }
@media (max-width: 640px) {
  .crops.wide { overflow: visible; background: none }
  .crops.wide table, .crops.wide tbody { display: block }
  .crops.wide thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden }
  .crops.wide tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(136px, 1fr));
    gap: .2rem .6rem; padding: .6rem 0 .2rem; border-top: 1px solid GRID }
  .crops.wide tbody th { grid-column: 1 / -1; max-width: none; padding-bottom: .2rem }
  .crops.wide td { padding: 0 0 .5rem }
  .crops .under { display: block; font-weight: 600; margin-bottom: .15rem }
}
</style>
"""


def _style(dark: bool) -> str:
    shade = "rgba(255,255,255,.28)" if dark else "rgba(20,25,35,.28)"
    style = STYLE.replace("PAGE", PAGE.on(dark)).replace("SHADE", shade)
    return style.replace("GRID", GRID.on(dark))


@dataclass(frozen=True)
class _Row:
    """One cell with all that is drawn of it."""

    fact: Any
    crops: Mapping[str, Any]
    contrast: Sequence[images.Range]
    before: Mapping[str, str]


def table(run: Run, request: Request) -> str:
    """Return a row a cell, a column a condition; wide tables scroll sideways.

    Parameters
    ----------
    run
        Where the crops are.
    request
        What to draw.
    """
    heads = "".join(
        f'<th scope="col" role="columnheader">{_swatch(c, request)}'
        f"{escape(condition_title(c))}</th>"
        for c in request.conditions
    )
    rows = "".join(
        f'<tr role="row">{_header(row.fact, run)}'
        + "".join(
            f'<td role="cell"><span class="under" aria-hidden="true">{_swatch(c, request)}'
            f"{escape(condition_title(c))}</span>{_crop(row, c, request)}</td>"
            for c in request.conditions
        )
        + "</tr>"
        for row in _rows(run, request)
    )
    return (
        f'{_style(request.dark)}<div class="crops wide" role="region" tabindex="0" '
        f'aria-label="Crops: each row a cell, each column a background; '
        f'wide tables scroll sideways">'
        f'<table role="table"><thead role="rowgroup"><tr role="row">'
        f'<th scope="col" role="columnheader">Cell</th>{heads}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table></div>'
    )


def gallery(run: Run, request: Request) -> str:
    """Return one cell's crops side by side, wrapping where the page is narrow."""
    figures = "".join(
        f"<figure><figcaption>{_swatch(c, request)}{escape(condition_title(c))}</figcaption>"
        f"{_crop(row, c, request)}</figure>"
        for row in _rows(run, request)
        for c in request.conditions
    )
    return f'{_style(request.dark)}<div class="crops gallery">{figures}</div>'


def pairs(run: Run, request: Request) -> str:
    """Return cells side by side, each with its crops and a line that says which cell it is."""
    figures = "".join(
        f"<figure><figcaption>{_name(row.fact)}</figcaption>"
        f'<div class="two">{"".join(_crop(row, c, request) for c in request.conditions)}</div>'
        "</figure>"
        for row in _rows(run, request)
    )
    return f'{_style(request.dark)}<div class="crops pairs">{figures}</div>'


def defined(run: Run, request: Request) -> str:
    """Return one cell's crops with the definition of each condition below."""
    figures = "".join(
        f"<figure><figcaption>{_swatch(c, request)}{escape(condition_title(c))}</figcaption>"
        f"{_crop(row, c, request)}"
        f'<span class="said">{escape(CONDITIONS[Condition(c)].definition)}</span></figure>'
        for row in _rows(run, request)
        for c in request.conditions
    )
    return f'{_style(request.dark)}<div class="crops defined">{figures}</div>'


def _name(fact: Any) -> str:
    place = fact.localization if _text(fact.localization) else fact.labels
    where = f", {escape(place)}" if _text(place) else ""
    return f'{escape(fact.protein)}{where} <span class="quiet">cell {int(fact.cell):,}</span>'


def telling_cell(
    run: Run, protocol: str, models: tuple[str, ...], head: str, conditions: tuple[str, ...]
) -> int | None:
    """Choose the cell of the explaining figure.

    Parameters
    ----------
    run, protocol, models, head, conditions
        As of `queries.examples.telling_cells`.

    Returns
    -------
    int or None
        Of the cells whose answers tell most, the one whose backgrounds match best in brightness,
        so that the figure shows other neighbours and not another exposure; None without images.
    """
    cells = examples.telling_cells(run, protocol, models, head, conditions)
    found = examples.images(run, tuple(cells), ("unaltered", "same", "different"))
    if found.empty:
        return cells[0] if cells else None
    only = Request((), (), (), protocol)
    levels: dict[int, dict[str, Any]] = {}
    for crop in wording.records(found):
        levels.setdefault(int(crop.cell), {})[crop.condition] = images.levels(_decoded(crop, only))
    first = [cell for cell in cells if "unaltered" in levels.get(cell, {})]
    return min(first, key=lambda cell: images.mismatch(**levels[cell]), default=cells[0])


def _swatch(condition: str, request: Request) -> str:
    colour = condition_ink(condition).on(request.dark)
    return f'<span class="swatch" style="background:{colour}"></span>'


def _rows(run: Run, request: Request) -> list[_Row]:
    found = examples.images(run, request.cells, request.conditions)
    # The contrast and what counts as changed come from the unaltered crop, shown or not.
    base = (
        found
        if "unaltered" in request.conditions
        else examples.images(run, request.cells, ("unaltered",))
    )
    crops: dict[int, dict[str, Any]] = {}
    for crop in wording.records(found):
        crops.setdefault(int(crop.cell), {})[str(crop.condition)] = crop
    unaltered = {
        int(crop.cell): crop for crop in wording.records(base[base["condition"] == "unaltered"])
    }
    facts = {int(f.cell): f for f in wording.records(examples.describe(run, request.cells))}
    contrast = _Contrast(run, request)
    return [
        _Row(
            facts[cell],
            crops.get(cell, {}),
            contrast.of(
                facts[cell].protein, unaltered.get(cell) or next(iter(crops.get(cell, {}).values()))
            ),
            _answers(unaltered.get(cell), request),
        )
        for cell in request.cells
        if cell in facts and (cell in crops or cell in unaltered)
    ]


class _Contrast:
    """The intensities that become black and white, shared over a cell, a protein or the run."""

    def __init__(self, run: Run, request: Request) -> None:
        self.run = run
        self.request = request
        self.known: dict[str, Sequence[images.Range]] = {}

    def of(self, protein: str, crop: Any) -> Sequence[images.Range]:
        """Return the contrast for a crop of a protein."""
        if self.request.contrast == "cell":
            return images.ranges([_decoded(crop, self.request)])
        key = protein if self.request.contrast == "protein" else ""
        if key not in self.known:
            of = examples.siblings(self.run, protein) if key else examples.sample(self.run)
            crops = [_decoded(row, self.request) for row in wording.records(of)]
            self.known[key] = images.ranges(crops or [_decoded(crop, self.request)])
        return self.known[key]


def _header(fact: Any, run: Run) -> str:
    orf = f'<br><span class="quiet">{escape(fact.orf)}</span>' if _text(fact.orf) else ""
    place = fact.localization if _text(fact.localization) else fact.labels
    where = escape(place) if _text(place) else "not labelled"
    made = '<br><span class="quiet">simulated</span>' if run.simulated else ""
    return (
        f'<th scope="row" role="rowheader"><b>{escape(fact.protein)}</b>{orf}<br>{where}'
        f'<br><span class="quiet">cell {int(fact.cell):,}</span>{made}'
        f"{_flags(fact.cell_flags, CELL_FLAGS)}</th>"
    )


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _crop(row: _Row, condition: str, request: Request) -> str:
    crop = row.crops.get(condition)
    if crop is None:
        return '<span class="quiet">not imaged</span>'
    plane = _decoded(crop, request)
    height, width = plane.shape[1:]
    mean, enlarged = images.squares(max(height, width), request.side)
    picture = images.shrunk(plane, mean)
    uri = images.as_uri(
        images.colour(picture, row.contrast, range(len(plane)), _shown(crop, request))
    )
    high, wide = (enlarged * n for n in picture.shape[1:])
    alt = f"{row.fact.protein}, cell {row.fact.cell}, {condition_title(condition)}"
    donor = ""
    if _text(crop.donor_localization) or _text(crop.donor_protein):
        place = crop.donor_localization if _text(crop.donor_localization) else "unlabelled"
        who = f", {crop.donor_protein}" if _text(crop.donor_protein) else ""
        donor = f'<span class="said quiet">on: {escape(place + who)}</span>'
        alt += f", background of {place}{who}"
    line = ""
    if request.outline and crop.outline is not None:
        drawn = images.outline_uri(crop.outline, width, height, 1.3 * mean / enlarged)
        line = f'<img class="line" src="{drawn}" alt="">'
    return (
        f'<div style="max-width:{max(112, wide)}px"><span class="pic" style="width:{wide}px">'
        f'<img src="{uri}" width="{wide}" height="{high}" alt="{escape(alt)}">{line}</span>'
        f"{_said(crop, condition, row.before, right_classes(row.fact), request)}{donor}"
        f"{_flags(crop.flags, TRIAL_FLAGS)}</div>"
    )


def _flags(value: Any, meanings: Mapping[Any, str]) -> str:
    """Return the quality flags by name, with what they mean on hovering."""
    found = {str(f.name): m for f, m in meanings.items() if int(f) and int(value) & int(f)}
    if not found:
        return ""
    names = ", ".join(name.lower().replace("_", " ") for name in found)
    return f'<span class="said quiet" title="{escape("; ".join(found.values()))}">⚑ {names}</span>'


def _answers(crop: Any | None, request: Request) -> dict[str, str]:
    """Return what each model said of a crop."""
    if crop is None or crop.predictions is None:
        return {}
    return {
        item["model"]: item["predicted"]
        for item in crop.predictions
        if item["protocol"] == request.protocol and item["model"] in request.models
    }


def right_classes(fact: Any) -> tuple[str, ...]:
    """Return the classes that are right for a cell, from `examples.describe`; none if unknown."""
    if _text(fact.localization):
        return (str(fact.localization),)
    return tuple(map(str, fact.classes)) if fact.classes is not None else ()


def _said(
    crop: Any,
    condition: str,
    before: Mapping[str, str],
    right: Collection[str],
    request: Request,
) -> str:
    if not request.predictions or crop.predictions is None:
        return ""
    marks = model_marks(request.models)
    by_model = {
        item["model"]: item
        for item in crop.predictions
        if item["protocol"] == request.protocol and item["model"] in request.models
    }
    lines = []
    for model in request.models:
        item = by_model.get(model)
        if item is None:
            continue
        changed = (
            condition != "unaltered" and model in before and before[model] != item["predicted"]
        )
        mark = MARKS[judge(item["predicted"], right, crop.donor_localization)]
        style = f' style="color:{mark.ink.on(request.dark)}"' if mark.sign else ""
        who = (
            f'<span class="who" role="img" aria-label="{escape(model_title(model))}" '
            f'style="color:{marks[model].ink.on(request.dark)}" '
            f'title="{escape(model_title(model))}">{marks[model].character}</span>'
        )
        sign = ""
        if mark.sign:
            sign = f'<span role="img" aria-label="{escape(mark.words)}">{mark.sign}</span> '
        answer = f"{sign}{escape(item['predicted'])} {item['probability']:.0%}"
        kind = "said changed" if changed else "said"
        lines.append(f'<span class="{kind}"{style}>{who}{answer}</span>')
    return "".join(lines)


def _decoded(crop: Any, request: Request) -> images.Plane:
    """Return the channels that are shown."""
    shown = _shown(crop, request)
    columns = (crop.images, crop.offset, crop.gain)
    return images.decode(*([column[c] for c in shown] for column in columns))


def _shown(crop: Any, request: Request) -> list[int]:
    """Return the numbers of those channels that are shown and that the crop has."""
    return [c for c in request.channels if c < len(crop.images)] or [0]


def channel_key(run: Run, channels: Sequence[int], dark: bool) -> str:
    """Return a legend that says which colour is which channel, as HTML.

    Parameters
    ----------
    run
        Where the crops are.
    channels
        Numbers of the channels that are shown together.
    dark
        Whether the page is dark.
    """
    names = run.channels
    chips = []
    for number, (ink, colour) in zip(channels, channel_inks(channels), strict=True):
        name = names[number] if number < len(names) else f"channel {number + 1}"
        shown, said = (ink, colour) if len(channels) > 1 else ("#ffffff", "grey")
        chips.append(
            f'<span class="chip"><span class="swatch" style="background:{shown}"></span>'
            f"{escape(name)} ({said})</span>"
        )
    return f'{_style(dark)}<div class="crops channels">{"".join(chips)}</div>'


def pixels(size: int, side: int) -> str:
    """Say how large crops of a size are drawn, for a caption."""
    mean, enlarged = images.squares(size, side)
    if mean > 1:
        return f"Each pixel shown is the mean of {mean} × {mean}"
    return "True pixels" + (f", enlarged {enlarged}×" if enlarged > 1 else "")


LAYOUTS: dict[str, Callable[[Run, Request], str]] = {
    "table": table,
    "gallery": gallery,
    "pairs": pairs,
    "defined": defined,
}
"""How crops are laid out: cells in a table, one cell large, cells side by side, definitions."""
