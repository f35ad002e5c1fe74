"""Labels beside marks that do not cover each other. Pure arithmetic."""

from collections.abc import Sequence

PLACES = ("middle left", "middle right", "top center", "bottom center")
LETTER = 0.024
"""Width of a letter as a share of a square panel (12 px type in about 290 px)."""

LINE = 0.058
"""Height of a line as a share of the panel."""

CLEARANCE = 0.022
"""From a mark's middle to its label."""

Box = tuple[float, float, float, float]


def place(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    wanted: Sequence[int],
    ends: tuple[float, float],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose which marks of a square panel get their name, and where it stands.

    Parameters
    ----------
    x, y
        Positions of all marks.
    names
        Their names.
    wanted
        Which marks to name, the most important first; others that find no room have no label.
    ends
        Range of both axes.

    Returns
    -------
    texts, places
        The label of each mark, empty for none, and where it stands (``"middle left"`` and so on).
    """
    span = ends[1] - ends[0]
    marks = [((a - ends[0]) / span, (b - ends[0]) / span) for a, b in zip(x, y, strict=True)]
    texts, places = [""] * len(marks), [PLACES[0]] * len(marks)
    taken: list[Box] = []
    for index in wanted:
        free = []
        for where in PLACES:
            box = _box(*marks[index], len(names[index]) * LETTER, where)
            if _inside(box) and not any(_meet(box, other) for other in taken):
                free.append((sum(_holds(box, mark) for mark in marks), where, box))
        # The first is named even where its label must cover another mark.
        best = min(free, key=lambda item: item[0], default=None)
        if best is not None and (best[0] == 0 or index == wanted[0]):
            texts[index], places[index] = names[index], best[1]
            taken.append(best[2])
    return tuple(texts), tuple(places)


def _box(x: float, y: float, width: float, where: str) -> Box:
    if where == "middle left":
        return x - CLEARANCE - width, y - LINE / 2, x - CLEARANCE, y + LINE / 2
    if where == "middle right":
        return x + CLEARANCE, y - LINE / 2, x + CLEARANCE + width, y + LINE / 2
    if where == "top center":
        return x - width / 2, y + CLEARANCE, x + width / 2, y + CLEARANCE + LINE
    return x - width / 2, y - CLEARANCE - LINE, x + width / 2, y - CLEARANCE


def _inside(box: Box) -> bool:
    return box[0] >= -0.02 and box[2] <= 1.02 and box[1] >= 0 and box[3] <= 1.02


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _holds(box: Box, mark: tuple[float, float]) -> bool:
    return box[0] <= mark[0] <= box[2] and box[1] <= mark[1] <= box[3]
