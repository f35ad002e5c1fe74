"""Rows of crops as one piece of HTML: a row a cell, a column a condition. No Streamlit.

Every name that comes from data is escaped; pictures are `data:` addresses of true pixels, which
the browser enlarges by a whole number without smoothing. Text takes the page's own colour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from compute.schema import CELL_FLAGS, TRIAL_FLAGS, CellFlag, TrialFlag
from dashboard import images, wording
from dashboard.queries import examples
from dashboard.queries.library import Run
from dashboard.theme import ALERT, condition_ink, condition_title, model_marks, model_title

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
        Columns.
    channels
        Numbers of the channels to show: one (grey) or two (cyan and magenta).
    contrast
        A key of `CONTRASTS`.
    magnify
        Screen pixels per pixel.
    """

    cells: tuple[int, ...]
    conditions: tuple[str, ...]
    models: tuple[str, ...]
    protocol: str
    channels: tuple[int, ...] = (0,)
    contrast: str = "cell"
    outline: bool = False
    magnify: int = 2
    dark: bool = False
    predictions: bool = True


STYLE = """
<style>
.crops { overflow-x: auto; max-width: 100%; padding-bottom: .4rem }
.crops:focus-visible { outline: 3px solid currentColor; outline-offset: 2px }
.crops table { border-collapse: collapse; font-size: .84rem; line-height: 1.3; margin: 0 }
.crops th, .crops td { border: 0; padding: .3rem .45rem .7rem .0rem; text-align: left;
  vertical-align: top; font-weight: 400 }
.crops thead th { font-weight: 600; padding-bottom: .3rem; white-space: nowrap }
.crops thead th span.swatch { display: inline-block; width: .75em; height: .75em;
  border-radius: 2px; margin-right: .35em }
.crops tbody th { min-width: 6.4rem; max-width: 9rem; overflow-wrap: anywhere }
.crops tbody th b { font-size: 1rem }
.crops .pic { position: relative; display: block; line-height: 0; background: #000 }
.crops .pic img { image-rendering: pixelated; display: block; max-width: none; margin: 0 }
.crops .pic svg { position: absolute; left: 0; top: 0; width: 100%; height: 100% }
.crops .said { display: block; margin-top: .2rem }
.crops .said span.who { display: inline-block; width: 1.1em }
.crops .quiet { opacity: .78 }
.crops .changed { font-weight: 700 }
</style>
"""


def table(run: Run, request: Request) -> str:
    """Return the HTML table of a request.

    Parameters
    ----------
    run
        Where the crops are.
    request
        What to draw.
    """
    found = examples.images(run, request.cells, request.conditions)
    # The contrast and what counts as changed come from the unaltered crop, shown or not.
    base = (
        found
        if "unaltered" in request.conditions
        else examples.images(run, request.cells, ("unaltered",))
    )
    about = examples.describe(run, request.cells)
    crops = {(int(r.cell), r.condition): r for r in wording.records(found)}
    before = {int(r.cell): r for r in wording.records(base[base["condition"] == "unaltered"])}
    facts = {int(r.cell): r for r in wording.records(about)}
    fixed = _shared(examples.sample(run)) if request.contrast == "fixed" else ()
    by_protein: dict[str, tuple[images.Range, ...]] = {}
    rows = []
    for cell in request.cells:
        if cell not in facts:
            continue
        fact = facts[cell]
        contrast = fixed
        if request.contrast == "protein":
            if fact.protein not in by_protein:
                by_protein[fact.protein] = _shared(examples.siblings(run, fact.protein))
            contrast = by_protein[fact.protein]
        if not contrast:
            own = before.get(cell) or next(
                (crops[cell, c] for c in request.conditions if (cell, c) in crops), None
            )
            contrast = images.ranges([_decoded(own)]) if own is not None else ()
        said = _answers(before.get(cell), request)
        cells = "".join(
            _cell(crops.get((cell, condition)), condition, fact, contrast, said, request)
            for condition in request.conditions
        )
        rows.append(f"<tr>{_header(fact, run)}{cells}</tr>")
    return _page(request, rows)


def _page(request: Request, rows: Sequence[str]) -> str:
    heads = "".join(
        f'<th scope="col"><span class="swatch" style="background:'
        f'{condition_ink(c).on(request.dark)}"></span>{escape(condition_title(c))}</th>'
        for c in request.conditions
    )
    return (
        f'{STYLE}<div class="crops" role="region" tabindex="0" '
        f'aria-label="Crops: each row a cell, each column a background">'
        f'<table><thead><tr><th scope="col">Cell</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _header(fact: Any, run: Run) -> str:
    orf = f'<br><span class="quiet">{escape(fact.orf)}</span>' if _text(fact.orf) else ""
    place = fact.localization if _text(fact.localization) else fact.labels
    where = escape(place) if _text(place) else "not labelled"
    flags = [
        m for f, m in CELL_FLAGS.items() if int(fact.cell_flags) & int(f) and f != CellFlag.NONE
    ]
    warned = (
        f'<br><span title="{escape("; ".join(flags))}">⚑ {escape(flags[0])}</span>' if flags else ""
    )
    made = '<br><span class="quiet">simulated</span>' if run.simulated else ""
    return (
        f'<th scope="row"><b>{escape(fact.protein)}</b>{orf}<br>{where}'
        f'<br><span class="quiet">cell {int(fact.cell):,}</span>{made}{warned}</th>'
    )


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _cell(
    crop: Any | None,
    condition: str,
    fact: Any,
    contrast: Sequence[images.Range],
    said: Mapping[str, str],
    request: Request,
) -> str:
    if crop is None:
        return '<td><span class="quiet">not imaged</span></td>'
    plane = _decoded(crop)
    channels = [c for c in request.channels if c < plane.shape[0]] or [0]
    uri = images.as_uri(images.colour(plane, contrast, channels))
    height, width = plane.shape[1:]
    alt = f"{fact.protein}, cell {fact.cell}, {condition_title(condition)}"
    donor = ""
    if _text(crop.donor_localization) or _text(crop.donor_protein):
        place = crop.donor_localization if _text(crop.donor_localization) else "unlabelled"
        who = f", {crop.donor_protein}" if _text(crop.donor_protein) else ""
        donor = f'<span class="said quiet">on: {escape(place + who)}</span>'
        alt += f", background of {place}{who}"
    line = ""
    if request.outline and crop.outline is not None:
        path = images.outline_path(crop.outline)
        line = (
            f'<svg viewBox="0 0 {width} {height}" aria-hidden="true"><path d="{path}" fill="none" '
            f'stroke="#ffe14d" stroke-width="{1.3 / request.magnify:.2f}"/></svg>'
        )
    size = f'width="{width * request.magnify}" height="{height * request.magnify}"'
    flags = [m for f, m in TRIAL_FLAGS.items() if int(crop.flags) & int(f) and f != TrialFlag.NONE]
    warned = (
        f'<span class="said" title="{escape("; ".join(flags))}">⚑ {escape(flags[0])}</span>'
        if flags
        else ""
    )
    box = f"max-width:{max(112, width * request.magnify)}px"
    return (
        f'<td><div style="{box}"><span class="pic" style="width:{width * request.magnify}px">'
        f'<img src="{uri}" {size} alt="{escape(alt)}">{line}</span>'
        f"{_said(crop, condition, said, request)}{donor}{warned}</div></td>"
    )


def _answers(crop: Any | None, request: Request) -> dict[str, str]:
    """Return what each model said of a crop."""
    if crop is None or crop.predictions is None:
        return {}
    return {
        item["model"]: item["predicted"]
        for item in crop.predictions
        if item["protocol"] == request.protocol and item["model"] in request.models
    }


def _said(crop: Any, condition: str, before: Mapping[str, str], request: Request) -> str:
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
        style = f' style="color:{ALERT.on(request.dark)}"' if changed else ""
        who = (
            f'<span class="who" role="img" aria-label="{escape(model_title(model))}" '
            f'style="color:{marks[model].ink.on(request.dark)}" '
            f'title="{escape(model_title(model))}">{marks[model].character}</span>'
        )
        arrow = '<span role="img" aria-label="changed to">→</span> ' if changed else ""
        answer = f"{arrow}{escape(item['predicted'])} {item['probability']:.0%}"
        kind = "said changed" if changed else "said"
        lines.append(f'<span class="{kind}"{style}>{who}{answer}</span>')
    return "".join(lines)


def _decoded(crop: Any) -> images.Plane:
    return images.decode(list(crop.images), list(crop.offset), list(crop.gain))


def _shared(table: pd.DataFrame) -> tuple[images.Range, ...]:
    return images.ranges([_decoded(row) for row in wording.records(table)])
