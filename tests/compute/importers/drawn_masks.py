"""Label images drawn by a seed, and the ways in which people code them."""

import numpy as np
from scipy import ndimage

SIDE = 64


def labels_of(seed, side=SIDE, least=1, most=4):
    """A cell in the middle (number 3), and others apart from it (5, 7, 9 and so on).

    Of `least` to `most` others those stay that touch none.

    Returns
    -------
    ndarray
        uint16, shape (side, side).
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint16)
    rows, columns = np.ogrid[:side, :side]

    def disc(y, x, tall, wide):
        return ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1

    labels[disc(*rng.uniform(side / 2 - 2, side / 2 + 2, 2), *rng.uniform(8, 12, 2))] = 3
    for number in range(rng.integers(least, most + 1)):
        cell = disc(*rng.uniform(0, side, 2), *rng.uniform(7, 11, 2))
        # Two pixels at least between any two cells, so that pieces and outlines are apart.
        if not (ndimage.binary_dilation(cell, iterations=3) & (labels > 0)).any():
            labels[cell] = 5 + 2 * number
    return labels


def image_of(labels, seed=0, channels=2, noise=4.0):
    """An image in which cells are bright, float32 of shape (channels, H, W)."""
    rng = np.random.default_rng(seed)
    light = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    image = 100 + 200 * light + rng.normal(0, noise, (channels, *labels.shape))
    return image.astype(np.float32)


def outline(labels):
    """Cells' outermost pixels, numbered as they are."""
    inside = ndimage.grey_erosion(labels, (3, 3)) == labels
    inside &= ndimage.grey_dilation(labels, (3, 3)) == labels
    return np.where(inside, 0, labels)


def nuclei(labels):
    """What lies 4 pixels inside of every cell."""
    return (ndimage.distance_transform_edt(labels > 0) > 4) & (labels > 0)


def probabilities(labels):
    """A map of probabilities, 0 to 1: 0.5 at the edges of cells."""
    return ndimage.gaussian_filter((labels > 0).astype(np.float32), 2)


def centre(labels):
    return np.where(labels == 3, 1, 0)


ONLY_THE_CELL = {
    "0/1": lambda labels: centre(labels).astype(np.uint8),
    "0/255": lambda labels: (255 * centre(labels)).astype(np.uint8),
    "bool": lambda labels: centre(labels).astype(bool),
    "0/1 as floats": lambda labels: centre(labels).astype(np.float32),
    "0/0.5": lambda labels: centre(labels) * 0.5,
    "1/2 (ilastik)": lambda labels: (centre(labels) + 1).astype(np.uint8),
    "2/1 (ilastik, exchanged)": lambda labels: (2 - centre(labels)).astype(np.uint8),
    "255/0 (inverted)": lambda labels: (255 - 255 * centre(labels)).astype(np.uint8),
    "-1/1": lambda labels: (2 * centre(labels) - 1).astype(np.int8),
    "-1/0": lambda labels: (centre(labels) - 1).astype(np.int16),
    "outline": lambda labels: (255 * (outline(centre(labels)) > 0)).astype(np.uint8),
    "thick outline": lambda labels: np.where(
        ndimage.distance_transform_edt(centre(labels)) > 3, 0, centre(labels)
    ).astype(np.uint8),
    "cytoplasm without its nucleus": lambda labels: np.where(
        nuclei(labels), 0, centre(labels)
    ).astype(np.uint8),
    "cell and nucleus": lambda labels: (
        centre(labels) * (1 + nuclei(labels)).astype(np.uint8)
    ).astype(np.uint8),
    "1 medium, 2 cell, 3 nucleus": lambda labels: (
        1 + centre(labels) * (1 + nuclei(labels)).astype(np.uint8)
    ).astype(np.uint8),
}
"""Ways to code the centre cell alone: a function of `labels_of` each."""

EVERY_CELL = {
    "labels": lambda labels: labels,
    "labels as floats": lambda labels: labels.astype(np.float32),
    "labels, -1 for medium": lambda labels: labels.astype(np.int32) - (labels == 0),
    "every cell 1": lambda labels: (labels > 0).astype(np.uint8),
    "every cell 255": lambda labels: (255 * (labels > 0)).astype(np.uint8),
    "every cell 2 of 1": lambda labels: ((labels > 0) + 1).astype(np.uint8),
    "outlines of every cell": lambda labels: (outline(labels) > 0).astype(np.uint8),
    "numbered outlines": outline,
    "cells and nuclei": lambda labels: ((labels > 0) + nuclei(labels).astype(np.uint8)).astype(
        np.uint8
    ),
    "numbered cells, other numbers for nuclei": lambda labels: (
        labels + 100 * nuclei(labels).astype(np.uint16)
    ),
    "interiors and borders": lambda labels: np.where(
        labels > 0, np.where(outline(labels) > 0, 2, 1), 0
    ).astype(np.uint8),
}
"""Ways to code all cells of a crop."""
