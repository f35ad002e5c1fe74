"""Joining cells and backgrounds on a CPU, compiled: each crop in one go, while it is in the cache.

What is computed is defined by `compute.backgrounds.compose.join_on_device`, which other devices use
as it is: there, a step on all crops costs little. On a CPU every step reads and writes memory anew
and takes Python's lock, which cost a tenth of a small network's time (with the scaling, in
`compute.models.scaling_compiled`).
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Singles = NDArray[np.float32]

compiled = njit(nogil=True, cache=True, error_model="numpy")


@compiled
def _join(
    pixels: NDArray[Any], unaltered: Singles, mask: NDArray[np.bool_],
    cell: NDArray[np.int64], ground: NDArray[np.int64], shown: NDArray[np.int64],
    factor: Singles, offset: Singles, images: Singles,
) -> None:  # fmt: skip
    for t in range(len(images)):
        inside = mask[shown[t], 0]
        for c in range(images.shape[1]):
            behind, own = pixels[ground[t], c], unaltered[cell[t], c]
            gain, base, into = factor[t, c], offset[t, c], images[t, c]
            for p in range(len(into)):
                far = np.float32(behind[p]) * gain + base
                into[p] = own[p] if inside[p] else far


def join(
    pixels: Tensor, unaltered: Tensor, mask: Tensor,
    cell: Tensor, ground: Tensor, shown: Tensor, factor: Tensor, offset: Tensor,
) -> Tensor:  # fmt: skip
    """Join cells and backgrounds of n trials, given as `compose.Pieces` has them.

    Returns
    -------
    Tensor
        Synthetic crops, n×C×H×W float32.
    """
    images, raw = torch.empty((len(cell), *unaltered.shape[1:])), _flat(pixels)
    _join(
        raw.view(np.uint16) if raw.dtype == np.int16 else raw, _flat(unaltered), _flat(mask),
        cell.numpy(), ground.numpy(), shown.numpy(), factor.numpy(), offset.numpy(), _flat(images),
    )  # fmt: skip
    return images


def _flat(images: Tensor) -> NDArray[Any]:
    """View N×C×H×W as an array of shape (N, C, P)."""
    array: NDArray[Any] = images.contiguous().flatten(2).numpy()
    return array
