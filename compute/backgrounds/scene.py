"""What lies where in crops: the centre cells, and the neighbours that their backgrounds show.

Layer: frozen dataclass of tensors; no files. Models that look at more than pixels get it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True)
class Scene:
    """Centre cells and neighbours of N crops, both on one device.

    Parameters
    ----------
    mask
        Masks of the centre cells, bool, shape (N, H, W); where a condition removes the cell, of the
        place where it was.
    neighbours
        Pixels outside these masks that show another cell, bool, shape (N, H, W): the donor's
        neighbours, or the cell's own, as the condition has it; none where it shows none. Where the
        donor's own centre cell is left in the crop, it is a neighbour.
    """

    mask: Tensor
    neighbours: Tensor

    def __len__(self) -> int:
        """Count the crops."""
        return len(self.mask)

    def at(self, rows: Tensor | slice) -> Self:
        """Take some crops, by their numbers or as a slice."""
        return type(self)(self.mask[rows], self.neighbours[rows])

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function, such as a copy to a device, to both tensors."""
        return type(self)(move(self.mask), move(self.neighbours))
