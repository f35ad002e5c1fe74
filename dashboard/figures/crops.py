"""Figures of one cell, on every background and before and after: pixels, outline, answers."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from compute.schema import Aggregation, Condition, Probe
from dashboard import wording
from dashboard.figures import parameters
from dashboard.figures.figure import OF_MODELS, Figure
from dashboard.figures.request import Filters, Request
from dashboard.figures.slide import Crops, Picture, Said
from dashboard.queries import accuracy, examples
from dashboard.queries.filters import answered_by
from dashboard.queries.open_runs import MissingTableError
from dashboard.render import images, strips
from dashboard.render.strips import right_classes
from dashboard.theme import condition_ink, condition_title, model_marks, model_title
from dashboard.verdicts import LEGEND, MARKS, Verdict, judge

BACKGROUNDS = ("unaltered", "same", "different", "masked")
"""Backgrounds of the explaining figure, those that a run has."""


ON = "on: "
"""What stands before the class of a crop's background."""


def legend(models: Iterable[str]) -> str:
    """Return which sign stands for which model."""
    names = list(models)
    marks = model_marks(names)
    return ", ".join(f"{marks[name].character} {model_title(name)}" for name in names)


def caption(filters: Filters, which: str, of_pixels: str = "") -> str:
    """Say what the crops of one cell show, without a full stop.

    Parameters
    ----------
    filters
        The run, and the models whose answers stand below.
    which
        Which cell, to begin the sentence with.
    of_pixels
        What else is said of the pixels.
    """
    channel = filters.run.channels[filters.run.first_shown] if filters.run.channels else "first"
    return (
        f"{which}, the {channel} channel, true pixels{of_pixels}. Below each: what the models say "
        f"({legend(filters.models)}), with the probability"
    )


def chosen_cell(asked: Request) -> int | None:
    """Return the cell that was asked for, or the one that shows best what a swap does.

    None where the run stores no images.
    """
    if "cell" in asked.values:
        return int(asked.values["cell"])
    if not asked.run.has("examples"):
        return None
    cell: int | None = asked.query(
        strips.telling_cell, asked.protocol, asked.models, _head(asked), shown(asked)
    )
    return cell


def _head(asked: Request) -> str:
    """Return the model whose answers to single crops fall most; empty where none is known to."""
    # The answers beside crops are of all classes at once, whatever accuracies are shown.
    chosen = replace(asked.accuracy, probe=str(Probe.MULTICLASS), aggregation=str(Aggregation.ALL))
    try:
        row = wording.worst(asked.query(accuracy.overall, chosen))
    except MissingTableError:
        return ""
    return "" if row is None else str(row.model)


def reason(asked: Request, cell: int) -> str:
    """Say why a cell is shown, to follow “chosen because”."""
    if "cell" in asked.values:
        return "it was asked for"
    models = asked.query(examples.followers, cell, asked.protocol, asked.models, shown(asked))
    if models:
        *first, last = (model_title(name) for name in models)
        names = f"{', '.join(first)} and {last}" if first else last
        verb = "are" if len(models) > 1 else "is"
        return (
            f"{names} {verb} right about it on its own background and, on another class's, "
            f"{'name' if len(models) > 1 else 'names'} that class"
        )
    return (
        "of no stored cell is the answer right at first and then the background's class; it shows "
        "another change, if there is any"
    )


def shown(asked: Request) -> tuple[str, ...]:
    """Return the backgrounds that are shown."""
    return tuple(name for name in BACKGROUNDS if name in asked.conditions)


def _images(asked: Request) -> pd.DataFrame:
    cell = chosen_cell(asked)
    if cell is None:
        return pd.DataFrame()
    # The contrast and what counts as changed come from the unaltered crop, shown or not.
    wanted = tuple(dict.fromkeys(("unaltered", *shown(asked))))
    table: pd.DataFrame = asked.query(examples.images, (cell,), wanted)
    return table


def _swap(asked: Request, table: pd.DataFrame) -> Crops:
    cell = chosen_cell(asked)
    if cell is None:
        return Crops("This run stores no images", "", ())
    pictures = _pictures(asked, cell, table)
    changed = sum(one.changed for picture in pictures for one in picture.said)
    title = "The same cell on other backgrounds"
    if any(picture.said for picture in pictures):
        title += (
            f": {wording.count(changed, 'answer')} changed" if changed else (": no answer changed")
        )
    return Crops(
        title,
        f"{caption(asked, f'Cell {cell:,}', '; inside the yellow line not one pixel changes')}; "
        f"{LEGEND}. n = 1 cell, chosen because {reason(asked, cell)}.",
        pictures,
    )


def _pictures(asked: Request, cell: int, table: pd.DataFrame) -> tuple[Picture, ...]:
    """Return a cell's first channel on each background, in the contrast of its unaltered crop."""
    fact = next(iter(wording.records(asked.query(examples.describe, (cell,)))), None)
    crops = {str(crop.condition): crop for crop in wording.records(table)}
    base = crops.get("unaltered") or next(iter(crops.values()), None)
    if base is None or fact is None:
        return ()
    contrast = images.ranges([_decoded(base)])
    before = _answers(crops.get("unaltered"), asked.protocol)
    return tuple(
        _picture(crops[name], fact, contrast, before, asked)
        for name in shown(asked)
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
    fact: Any,
    contrast: Any,
    before: dict[str, tuple[str, float]],
    asked: Request,
) -> Picture:
    plane = _decoded(crop)
    height, width = plane.shape[1:]
    marks = model_marks(asked.models)
    now = _answers(crop, asked.protocol)
    said = tuple(
        Said(
            model_title(name),
            marks[name].character,
            marks[name].ink,
            f"{now[name][0]} {now[name][1]:.0%}",
            name in before and before[name][0] != now[name][0],
            judge(now[name][0], right_classes(fact), crop.donor_localization),
        )
        for name in asked.models
        if name in now
    )
    place = crop.donor_localization
    behind = f"{ON}{place}" if isinstance(place, str) and place else ""
    answers = "; ".join(
        f"{one.model}: {one.text}" + (f" ({one.mark.words})" if one.mark.words else "")
        for one in said
    )
    title = condition_title(crop.condition)
    return Picture(
        title,
        condition_ink(crop.condition),
        f"{fact.protein}, cell {int(crop.cell)}, {title.lower()}. {behind} {answers}".strip(),
        images.colour(plane, contrast, (0,)),
        tuple(tuple(float(v) for v in contour) for contour in crop.outline)
        if crop.outline is not None
        else (),
        (width, height),
        said,
        behind,
    )


SWAP = Figure(
    "swap",
    "One cell on every background",
    query=_images,
    chart=_swap,
    defines=lambda asked, table: shown(asked),
    parameters={"cell": parameters.CELL},
    filters=OF_MODELS,
    tables=("examples",),
)

NO_FOLLOWER = (
    "Of no stored cell is the answer right as imaged and then, on the background of another class, "
    "that class"
)

NO_ANSWERS = "No answers to the stored images were kept"
NO_CLASS = "No stored cell has a known class, so no answer to it is right or wrong"
"""What is said where there is nothing to show before and after."""


def follower(asked: Request, cell: int) -> str | None:
    """Return whose answers are shown before and after: the headline's model, if it can be.

    None where no model is right about the cell as imaged and, on another class's background, names
    that class.
    """
    found: tuple[str, ...] = asked.query(
        examples.followers, cell, asked.protocol, asked.models, (str(Condition.DIFFERENT),)
    )
    head = _head(asked)
    return head if head in found else next(iter(found), None)


def _before_after(asked: Request, table: pd.DataFrame) -> Crops:
    cell = chosen_cell(asked)
    if cell is None:
        return Crops("This run stores no images", "", ())
    if not any(_answers(crop, asked.protocol) for crop in wording.records(table)):
        return Crops(NO_ANSWERS, "", ())
    fact = wording.records(asked.query(examples.describe, (cell,)))[0]
    model = follower(asked, cell)
    if model is None:
        return Crops(NO_FOLLOWER if right_classes(fact) else NO_CLASS, "", ())
    ends = (str(Condition.UNALTERED), str(Condition.DIFFERENT))
    alone = replace(asked, models=(model,), conditions=ends)
    pictures = _pictures(alone, cell, table)
    judged = [one.verdict for picture in pictures for one in picture.said]
    if judged != [Verdict.RIGHT, Verdict.FOLLOWS]:
        return Crops(NO_FOLLOWER, "", ())
    right = " and ".join(right_classes(fact))
    behind = str(table.loc[table["condition"] == ends[1], "donor_localization"].iloc[0])
    like = wording.records(asked.query(examples.count_drawn, asked.protocol, model, ends[1]))[0]
    channel = asked.run.channels[asked.run.first_shown] if asked.run.channels else "first"
    marks = (MARKS[verdict] for verdict in judged)
    signs = ", ".join(f"{mark.sign} {mark.words}" for mark in marks)
    return Crops(
        f"On a background of {behind} cells, {model_title(model)} takes this {right} cell for "
        f"{behind}",
        f"Cell {cell:,} of {fact.protein}, the {channel} channel, true pixels, one contrast for "
        f"both; inside the yellow line not one pixel changes. {signs}, with the probability. "
        f"{answered_by(asked.protocol)} n = 1 cell, an example: {model_title(model)} does so with "
        f"{like.drawn:,} of the {wording.count(like.cells, 'cell')} whose images are stored.",
        pictures,
    )


BEFORE_AFTER = Figure(
    "before_after",
    "One cell before and after",
    query=_images,
    chart=_before_after,
    defines=lambda asked, table: ("unaltered", "different"),
    parameters={"cell": parameters.CELL},
    filters=OF_MODELS,
    tables=("examples",),
)

FIGURES = (SWAP, BEFORE_AFTER)
