"""Resamples images and labels by a factor. Pure arrays.

Brightness is interpolated between pixels, after smoothing where pixels become fewer; labels are
those of the nearest pixel.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

_resize: Callable[..., NDArray[Any]] = resize


def resample_image(image: NDArray[Any], scale: float) -> NDArray[Any]:
    """Resample an image, shape (C, H, W), by a factor; the dtype stays.

    Parameters
    ----------
    image
        Shape (C, H, W), any dtype of a store.
    scale
        Pixels of the result for one of the image, along a side.

    Returns
    -------
    ndarray
        Shape (C, round(H · scale), round(W · scale)), at least 1 pixel.
    """
    if scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[1:])
    planes = [
        _resize(
            plane.astype(np.float32),
            (height, width),
            order=1,
            mode="edge",
            anti_aliasing=scale < 1,
            preserve_range=True,
        )
        for plane in image
    ]
    new = np.stack(planes)
    return (np.rint(new) if image.dtype.kind in "ui" else new).astype(image.dtype)


def resample_labels(labels: NDArray[Any], scale: float) -> NDArray[Any]:
    """Resample labels or masks, shape (H, W), by a factor: each pixel takes the nearest one's."""
    if scale == 1:
        return labels
    rows, columns = (
        np.minimum(((np.arange(max(1, round(side * scale))) + 0.5) * side
                    / max(1, round(side * scale))).astype(int), side - 1)
        for side in labels.shape
    )  # fmt: skip
    return labels[rows[:, None], columns]


def resample_masks(masks: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Resample masks of shape (N, H, W) to (N, *shape), with smooth outlines."""
    return np.stack(
        [
            _resize(mask.astype(np.float32), shape, order=1, mode="edge", anti_aliasing=True) >= 0.5
            for mask in masks
        ]
    )
