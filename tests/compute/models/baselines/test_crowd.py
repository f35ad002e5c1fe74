"""The crowd in numbers, against a plain loop with scikit-image and scipy."""

import numpy as np
from scipy.ndimage import distance_transform_cdt
from skimage.measure import label

from compute.models.baselines.crowd import NAMES, NEAR, measure_crowd


def scenes(n=40, side=40, seed=0):
    """Masks of cells near the middle, and none to ten discs around."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    masks, neighbours = np.zeros((2, n, side, side), bool)
    for i in range(n):
        middle = rng.uniform(side * 0.4, side * 0.6, 2)
        masks[i] = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < rng.uniform(3, 9) ** 2
        for _ in range(rng.integers(0, 11)):
            at, radius = rng.uniform(0, side, 2), rng.uniform(1, 6)
            neighbours[i] |= (y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2
    return masks, neighbours & ~masks


def plainly(mask, neighbours):
    """Measure one scene."""
    steps = distance_transform_cdt(~mask, metric="taxicab")
    border = np.ones_like(mask)
    border[1:-1, 1:-1] = False
    pieces, count = label(neighbours, connectivity=2, return_num=True)
    sizes = np.bincount(pieces[pieces > 0])

    def share(where):
        return neighbours[where & ~mask].mean() if (where & ~mask).any() else 0.0

    return {
        "covered": share(~mask),
        "pieces": np.log1p(count),
        "nearness": 1 / steps[neighbours].min() if count else 0.0,
        "touching": share(steps == 1),
        "covered_near": share(steps <= NEAR),
        "covered_border": share(border),
        "largest_piece": sizes.max() / (~mask).sum() if count else 0.0,
    }


def test_equals_a_plain_loop():
    masks, neighbours = scenes()
    found = measure_crowd(masks, neighbours)
    assert found.shape == (40, len(NAMES))
    expected = [plainly(*each) for each in zip(masks, neighbours, strict=True)]
    assert np.allclose(found, [[each[name] for name in NAMES] for each in expected], atol=1e-6)
    assert (found.std(0) > 0.01).all()


def test_nothing_is_not_a_crowd():
    masks, neighbours = scenes(5)
    assert not measure_crowd(masks, np.zeros_like(neighbours)).any()


def test_without_a_mask_only_what_needs_none_is_told():
    masks, neighbours = scenes(5)
    found = dict(zip(NAMES, measure_crowd(np.zeros_like(masks), neighbours).T, strict=True))
    assert np.allclose(found["covered"], neighbours.mean((1, 2)))
    for name in ("nearness", "touching", "covered_near"):
        assert not found[name].any()
    everywhere = measure_crowd(np.ones_like(masks), neighbours)
    assert np.isfinite(everywhere).all()
    assert not everywhere.any()


def test_neighbours_under_the_cell_do_not_count():
    masks, neighbours = scenes()
    assert np.array_equal(
        measure_crowd(masks, neighbours | masks), measure_crowd(masks, neighbours)
    )
