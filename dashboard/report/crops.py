"""One cell's crops as the pictures of a slide: true pixels, its outline, what the models said."""

from typing import Any

from dashboard import wording
from dashboard.queries import examples
from dashboard.queries.comparable_runs import Ask
from dashboard.queries.open_runs import Run
from dashboard.render import images, strips
from dashboard.report.slides import Picture, Said
from dashboard.theme import condition_ink, condition_title, model_marks, model_title


def telling_cell(ask: Ask, run: Run, protocol: str) -> int | None:
    """Return the cell of the run that shows best what a swap does; None without images."""
    if not run.has("examples"):
        return None
    cell: int | None = ask(run, strips.telling_cell, protocol)
    return cell


def pictures(
    ask: Ask,
    run: Run,
    cell: int,
    conditions: tuple[str, ...],
    models: tuple[str, ...],
    protocol: str,
) -> tuple[Picture, ...]:
    """Return a cell's first channel on each background, in the contrast of its unaltered crop."""
    wanted = tuple(dict.fromkeys(("unaltered", *conditions)))
    found = ask(run, examples.images, (cell,), wanted)
    fact = next(iter(wording.records(ask(run, examples.describe, (cell,)))), None)
    crops = {str(crop.condition): crop for crop in wording.records(found)}
    base = crops.get("unaltered") or next(iter(crops.values()), None)
    if base is None or fact is None:
        return ()
    contrast = images.ranges([_decoded(base)])
    before = _answers(crops.get("unaltered"), protocol)
    return tuple(
        _picture(crops[name], str(fact.protein), contrast, before, models, protocol)
        for name in conditions
        if name in crops
    )


def _decoded(crop: Any) -> images.Plane:
    return images.decode(crop.images[:1], crop.offset[:1], crop.gain[:1])


def _answers(crop: Any | None, protocol: str) -> dict[str, tuple[str, float]]:
    if crop is None or crop.predictions is None:
        return {}
    return {
        item["model"]: (item["predicted"], item["probability"])
        for item in crop.predictions
        if item["protocol"] == protocol
    }


def _picture(
    crop: Any,
    protein: str,
    contrast: Any,
    before: dict[str, tuple[str, float]],
    models: tuple[str, ...],
    protocol: str,
) -> Picture:
    plane = _decoded(crop)
    height, width = plane.shape[1:]
    marks = model_marks(models)
    now = _answers(crop, protocol)
    said = tuple(
        Said(
            model_title(name),
            marks[name].character,
            marks[name].ink,
            f"{now[name][0]} {now[name][1]:.0%}",
            name in before and before[name][0] != now[name][0],
        )
        for name in models
        if name in now
    )
    place = crop.donor_localization
    behind = f"on: {place}" if isinstance(place, str) and place else ""
    answers = "; ".join(
        f"{one.model}: {'changed to ' if one.changed else ''}{one.text}" for one in said
    )
    title = condition_title(crop.condition)
    return Picture(
        title,
        condition_ink(crop.condition),
        f"{protein}, cell {int(crop.cell)}, {title.lower()}. {behind} {answers}".strip(),
        images.colour(plane, contrast, (0,)),
        tuple(tuple(float(v) for v in contour) for contour in crop.outline)
        if crop.outline is not None
        else (),
        (width, height),
        said,
        behind,
    )
