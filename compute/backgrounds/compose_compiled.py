"""Joining centre cells and backgrounds on a CPU, compiled: one crop at a time, while in the cache.

Layer: tensors in, tensors out; no files. `compute.backgrounds.compose.join_on_device` defines what
is computed, and other devices use it as it is: there, a step on all crops costs little. On a CPU
every step reads and writes memory anew and takes Python's lock, which cost a tenth of a small
network's time (together with the scaling, in `compute.models.scaling_compiled`).
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
    pixels: NDArray[Any], unaltered: Singles, glow: Singles, layers: NDArray[np.uint8],
    centre_row: NDArray[np.int64], background_row: NDArray[np.int64], glow_row: NDArray[np.int64],
    factor: Singles, offset: Singles, images: Singles,
) -> None:  # fmt: skip
    """Fill `images`, shape (n, C, H·W); the other arguments are those of `join`, also flattened."""
    for t in range(len(images)):
        layer = layers[t]
        for c in range(images.shape[1]):
            background, centre = pixels[background_row[t], c], unaltered[centre_row[t], c]
            gain, base, image = factor[t, c], offset[t, c], images[t, c]
            light = glow[glow_row[t], c]
            for p in range(len(image)):
                k = layer[p]
                if k == 0:
                    image[p] = centre[p]
                else:
                    image[p] = np.float32(background[p]) * gain[k - 1] + base[k - 1] + light[p]


def join(
    pixels: Tensor, unaltered: Tensor, glow: Tensor, layers: Tensor,
    centre_row: Tensor, background_row: Tensor, glow_row: Tensor, factor: Tensor, offset: Tensor,
) -> Tensor:  # fmt: skip
    """Join centre cells and backgrounds of n trials.

    Parameters
    ----------
    pixels, unaltered, glow
        As in `compute.backgrounds.compose.CropInputs`.
    layers, centre_row, background_row, glow_row, factor, offset
        As there, of n trials.

    Returns
    -------
    Tensor
        Synthetic crops, n×C×H×W float32.
    """
    images, raw = torch.empty((len(centre_row), *unaltered.shape[1:])), _flat(pixels)
    _join(
        raw.view(np.uint16) if raw.dtype == np.int16 else raw,
        _flat(unaltered), _flat(glow), layers.flatten(1).numpy(),
        centre_row.numpy(), background_row.numpy(), glow_row.numpy(),
        factor.numpy(), offset.numpy(), _flat(images),
    )  # fmt: skip
    return images


def _flat(images: Tensor) -> NDArray[Any]:
    """View N×C×H×W as an array of shape (N, C, H·W)."""
    array: NDArray[Any] = images.contiguous().flatten(2).numpy()
    return array
