"""What a drop is made of: the steps from unaltered crops to the paper's composites. Pure arrays.

Every step is a difference of two accuracies over the same cells, and each accuracy ends one step
and begins the next, so the steps add up. With the scale locked to that of the cell's unaltered crop
a step is what the model reads from the context; the rest of it is rescaling.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from compute.schema import STEPS, Condition, DropPart
from compute.statistics.bootstrap import Resampling, interval
from compute.statistics.donors import DonorInfluence
from compute.statistics.effect_rows import count_cells, degrees_of_freedom, donor_part, of_scope
from compute.statistics.effects import Tallies, drawn_accuracies, influence

End = tuple[Condition, bool, bool]
"""An end of a step: condition, whether donors' centres are left, whether the scale is locked."""


def decomposition_rows(
    tallies: Tallies,
    ends: Sequence[End],
    names: Sequence[str],
    resampling: Resampling,
    donors: DonorInfluence | None = None,
) -> Iterator[dict[str, Any]]:
    """Estimate every step of a drop, and its two parts, overall and by localization.

    Parameters
    ----------
    tallies
        Answers of one model, protocol and probe at M ends of steps.
    ends
        What the M are; all that `STEPS` lead from and to.
    names
        Class names.
    resampling
        Draws of the tallies' resampling units.
    donors
        How donors move the accuracy at each end; by default None, which takes answers that share a
        donor for independent.

    Yields
    ------
    dict
        Columns of `DECOMPOSITION` without `model`, `protocol`, `probe` and `unit`. Only cells (in
        pair tests: cells and other classes) with answers at every end take part.
    """
    shared = np.all(tallies.n > 0, axis=0)
    n_cells = np.where(shared.any(1), tallies.n_cells.min(0), 0)
    kept = Tallies(
        np.where(shared, tallies.correct, 0), np.where(shared, tallies.n, 0), tallies.classes,
        np.tile(n_cells, (len(ends), 1)), tallies.protein,
    )  # fmt: skip
    if not shared.any():
        return
    found, moves = drawn_accuracies(kept, resampling), influence(kept, len(names))
    every = np.eye(len(ends))
    place = {end: every[m] for m, end in enumerate(ends)}
    scopes: list[int | None] = [None, *np.unique(kept.classes[n_cells > 0]).tolist()]
    for a in scopes:
        here = kept.classes >= 0 if a is None else kept.classes == a
        point, drawn = (of_scope(each, a) for each in found)
        where = {
            "scope": "overall" if a is None else "localization",
            "localization": None if a is None else names[a],
            **count_cells(kept, n_cells, here),
        }
        for step, spec in STEPS.items():
            total, context = (
                place[spec.before, spec.left_before, locked]
                - place[spec.after, spec.left_after, locked]
                for locked in (False, True)
            )
            for part, contrast in (
                (DropPart.TOTAL, total),
                (DropPart.RESCALING, total - context),
                (DropPart.CONTEXT, context),
            ):
                estimate, draws = float(point[0] @ contrast), drawn @ contrast
                added = donor_part(donors, contrast, a)
                moved = np.tensordot(contrast, moves, 1)
                free = degrees_of_freedom(kept, n_cells, here, moved, a, draws, added)
                low, high = interval(estimate, draws, free, added.variance)
                yield {
                    **where, "step": str(step), "part": str(part), "estimate": estimate,
                    "ci_low": low, "ci_high": high,
                }  # fmt: skip
