"""On which background each crop of a training batch stands: its own, medium, or a donor's.

Layer: pure arrays, no files. Training draws anew in every epoch; validation by hash, so that every
epoch is judged on the same crops.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compute.backgrounds.prepared import DONOR, MEDIUM, OWN
from compute.hashing import Stream, mix
from compute.models.training.options import TrainingOptions
from compute.models.training.select_cells import Rows


@dataclass(frozen=True)
class BackgroundDraws:
    """Draws backgrounds for the cells of one side of the split, and donors among them.

    Parameters
    ----------
    options
        How is trained.
    field
        Number of the field of each of the side's n cells, at least two; shape (n,).
    identity
        Number by which each cell is known whatever else is on its side, shape (n,).
    """

    options: TrainingOptions
    field: Rows
    identity: Rows

    def draw(
        self, cells: Rows, rng: np.random.Generator | None, views: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Choose a background for every view of some cells.

        `swap_share` of all views stand on another background. Two views of a cell stand on two
        different ones as often as that allows: always, from a share of a half on.

        Parameters
        ----------
        cells
            Numbers of the cells, from 0, shape (m,).
        rng
            Draws; None, in validation, takes hashes.
        views
            How often each cell is seen, 1 or 2.

        Returns
        -------
        behind, donor
            What `compute.backgrounds.prepared.PreparedCells.put` takes, shape (views, m).
        """
        way, share = self.options.way, self.options.swap_share
        other = DONOR if way.donors else MEDIUM
        shares = (max(0.0, 2 * share - 1), min(1.0, 2 * share)) if views == 2 else (share,)
        drawn = [self._uniform(cells, rng, 2 * view) for view in range(views)]
        if not way.mixed:
            behind = np.full((views, len(cells)), other)
        else:
            behind = np.stack(
                [np.where(u < part, other, OWN) for u, part in zip(drawn, shares, strict=True)]
            )
        donor = np.full((views, len(cells)), -1)
        if way.donors:
            for view in range(views):
                donor[view] = self._donors(cells, self._uniform(cells, rng, 2 * view + 1))
        return behind.astype(np.int64), donor

    def _uniform(
        self, cells: Rows, rng: np.random.Generator | None, purpose: int
    ) -> NDArray[np.float64]:
        """Draw numbers from 0 to 1, not included."""
        if rng is not None:
            return rng.random(len(cells))
        seed = self.options.seed
        drawn = mix(seed, Stream.VALIDATION_BACKGROUNDS, purpose, self.identity[cells])
        return (drawn >> np.uint64(11)).astype(np.float64) / 2**53

    def _donors(self, cells: Rows, uniform: NDArray[np.float64]) -> Rows:
        """Choose evenly among the cells of other fields; where there are none, other cells."""
        ordered, fields = self._by_field
        first, last = (np.searchsorted(fields, self.field[cells], end) for end in ("left", "right"))
        if fields[0] == fields[-1]:
            # The one field's cells are in their own order.
            first, last = cells, cells + 1
        pick = (uniform * (len(ordered) - (last - first))).astype(np.int64)
        return np.asarray(ordered[pick + np.where(pick >= first, last - first, 0)])

    @cached_property
    def _by_field(self) -> tuple[Rows, Rows]:
        """Order the cells by field; returns their numbers and fields."""
        ordered = np.argsort(self.field, kind="stable")
        return ordered, self.field[ordered]
