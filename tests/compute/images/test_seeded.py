"""Cells around centres: each has its own, wherever another one lies."""

import numpy as np
import pytest
from scipy import ndimage

from compute.images.seeded import (
    LEAST,
    MOST,
    cell_around_nucleus,
    cells_around,
    estimate_diameter,
    lit,
)

SIDE = 120


def disc(y, x, radius):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def drawn(seed, places=((30, 30), (30, 80), (80, 34), (85, 90)), radius=13):
    """Cells at places (y, x), as labels and as a marker."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (y, x) in enumerate(places, 1):
        labels[disc(y, x, radius) & (labels == 0)] = number
    light = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    noise = np.random.default_rng(seed).normal(0, 6, labels.shape)
    centres = np.array(places, float)[:, ::-1]
    return labels, (200 + 800 * light + noise).astype(np.float32), centres


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("seed", range(4))
def test_each_centre_has_its_cell(seed):
    labels, marker, centres = drawn(seed)
    diameter = estimate_diameter(marker, centres)
    assert diameter == pytest.approx(26, rel=0.15)
    moved = centres + np.random.default_rng(seed).uniform(-4, 4, centres.shape)
    for places in (centres, moved):
        found = cells_around(marker, places, diameter)
        for number in range(1, 5):
            assert overlap(found == number, labels == number) > 0.75
    order = [2, 0, 3, 1]
    other = cells_around(marker, centres[order], diameter)
    for new, old in enumerate(order, 1):
        assert overlap(other == new, labels == old + 1) > 0.75


def test_touching_cells_are_parted_between_their_centres():
    labels, marker, centres = drawn(0, places=((60, 45), (60, 70)))
    found = cells_around(marker, centres, 26)
    assert overlap(found == 1, labels == 1) > 0.7
    assert overlap(found == 2, labels == 2) > 0.7


@pytest.mark.parametrize(
    "odd", [(5.0, 60.0), (-20.0, 30.0), (1e9, 1e9), (np.nan, 3.0), (np.inf, 3.0)]
)
def test_centres_in_the_dark_or_nowhere_have_no_cell(odd):
    labels, marker, centres = drawn(1)
    found = cells_around(marker, np.vstack([centres, odd]), 26)
    assert not (found == 5).any()
    assert overlap(found == 1, labels == 1) > 0.75


def test_a_marker_without_cells():
    even = np.full((SIDE, SIDE), 7.0)
    assert not lit(even).any()
    centres = np.array([[30.0, 30.0]])
    assert not cells_around(even, centres, 20).any()
    assert LEAST <= estimate_diameter(even, centres) <= MOST


def test_a_cell_reaches_no_further_than_it_can():
    marker = np.full((SIDE, SIDE), 100.0)
    marker[50:70, :] = 1000
    marker += np.random.default_rng(0).normal(0, 5, marker.shape)
    found = cells_around(marker, np.array([[20.0, 60.0]]), 20)
    columns = np.flatnonzero((found == 1).any(0))
    assert 30 < columns.max() <= 20 + 1.5 * 20 + 3


def test_the_cell_of_the_nucleus_in_the_middle():
    labels, marker, _ = drawn(0, places=((60, 60), (30, 90)))
    nuclei = disc(60, 60, 4) | disc(30, 90, 4)
    mask, foreground = cell_around_nucleus(marker, nuclei)
    assert overlap(mask, labels == 1) > 0.75
    assert overlap(foreground, labels > 0) > 0.75
    mask, foreground = cell_around_nucleus(marker, disc(5, 5, 3))
    assert not mask.any()
    assert foreground.any()
    assert not cell_around_nucleus(marker, np.zeros((SIDE, SIDE), bool))[1].any()
