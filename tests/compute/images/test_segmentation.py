"""Segmentation: simulated blurred cells of known outline, and real yeast where it is at hand."""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from compute.errors import InputError, UsageError
from compute.images.cell_quality import flag_cells
from compute.images.segmentation import (
    DEFAULT,
    SegmentationConfig,
    centre_label,
    label_cells,
    segment,
)
from compute.schema import UNUSABLE, CellFlag
from tests.compute.images.plain_segmentation import label_plainly

SIZE = 64


def disk(y, x, radius):
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= radius**2


def image(cells, seed=0, noise=4.0, offset=100.0):
    """Blurred discs (y, x, radius, brightness) on noisy medium."""
    light = np.zeros((SIZE, SIZE))
    for y, x, radius, brightness in cells:
        light = np.maximum(light, brightness * disk(y, x, radius))
    rng = np.random.default_rng(seed)
    return gaussian_filter(light, 1.2) + offset + rng.normal(0, noise, (SIZE, SIZE))


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_one_cell():
    mask, foreground = segment(image([(32, 32, 13, 200)])[None])
    assert overlap(mask[0], disk(32, 32, 13)) > 0.85
    assert np.array_equal(mask, foreground)


@pytest.mark.parametrize("brightness", [60, 120, 200, 800])
@pytest.mark.parametrize("seed", range(3))
def test_touching_neighbours_are_parted(brightness, seed):
    cells = [(32, 32, 12, 150), (32, 56, 12, brightness), (10, 22, 12, brightness)]
    mask, foreground = segment(image(cells, seed)[None])
    assert overlap(mask[0], disk(32, 32, 12)) > 0.75
    assert (foreground[0] & ~mask[0]).sum() > 250
    assert flag_cells(mask, foreground)[0] == CellFlag.NONE


def test_a_dim_centre_beside_bright_cells_is_found():
    cells = [(32, 32, 11, 60), (6, 8, 14, 1500), (58, 55, 13, 1500)]
    mask, _ = segment(image(cells, noise=3)[None])
    assert overlap(mask[0], disk(32, 32, 11)) > 0.75


def test_a_vacuole_at_the_edge_belongs_to_the_cell():
    cell = image([(32, 32, 15, 200)], noise=0)
    cell -= 130 * gaussian_filter(disk(28, 40, 6).astype(float), 1)
    cell += np.random.default_rng(0).normal(0, 4, cell.shape)
    mask, _ = segment(cell[None])
    assert overlap(mask[0], disk(32, 32, 15)) > 0.85


def test_a_crop_nearly_filled_with_cells():
    cells = [(32 + 21 * i, 32 + 21 * j, 10, 200) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    mask, foreground = segment(image(cells)[None])
    assert overlap(mask[0], disk(32, 32, 10)) > 0.7
    assert len(np.unique(next(label_cells(image(cells)[None])))) == 10
    assert foreground[0].mean() > 0.6


def test_scale_and_offset_do_not_matter():
    cells = [(32, 32, 12, 150), (10, 12, 12, 300)]
    plain = image(cells)
    masks, _ = segment(np.stack([plain, plain / 1000, plain * 50 + 7e4]).astype(np.float32))
    assert overlap(masks[0], masks[1]) > 0.99
    assert overlap(masks[0], masks[2]) > 0.99


def test_each_crop_alone():
    stack = np.stack([image([(32, 32, 8 + i, 150)], i) for i in range(4)])
    masks, foregrounds = segment(stack)
    for i in range(4):
        mask, foreground = segment(stack[i : i + 1])
        assert np.array_equal(mask[0], masks[i])
        assert np.array_equal(foreground[0], foregrounds[i])


def drawn(seed):
    """Discs of any size and brightness, some of them blurred, noisy or saturated."""
    rng = np.random.default_rng(seed)
    cells = [
        (*rng.integers(0, SIZE, 2), rng.integers(3, 18), rng.integers(20, 900))
        for _ in range(rng.integers(0, 9))
    ]
    drawn = image(cells, seed, noise=rng.choice([0, 1, 4]))
    return drawn.round().clip(0, 400) if seed % 3 == 0 else drawn


@pytest.mark.parametrize("config", [DEFAULT, SegmentationConfig(1, 0.4, 0.8, 0.1, 2, 9, 1)])
def test_labels_are_those_of_the_plain_steps(config):
    rng = np.random.default_rng(5)
    noise = [gaussian_filter(rng.normal(0, 1, (40, 72)), rng.uniform(0, 6)) for _ in range(12)]
    for stack in ([drawn(seed) for seed in range(24)], noise):
        found = list(label_cells(np.stack(stack), config))
        for one, plain in zip(found, label_plainly(stack, config), strict=True):
            assert np.array_equal(one, plain)
    assert any(labels.max() > 1 for labels in found)


@pytest.mark.parametrize("what", ["noise", "constant", "zero"])
def test_nothing_there(what):
    level = {"noise": image([]), "constant": np.full((SIZE, SIZE), 7), "zero": np.zeros((64, 64))}
    mask, foreground = segment(level[what][None])
    assert not mask.any()
    assert foreground.mean() < 0.05
    assert flag_cells(mask, foreground)[0] & UNUSABLE


def test_no_crops_and_wrong_input():
    masks, foregrounds = segment(np.zeros((0, 64, 64)))
    assert masks.shape == foregrounds.shape == (0, 64, 64)
    with pytest.raises(InputError, match="expected"):
        segment(np.zeros((64, 64)))
    with pytest.raises(InputError, match="finite"):
        segment(np.full((1, 64, 64), np.nan))


def test_the_centre_cell_is_the_nearest_within_an_eighth():
    labels = np.zeros((64, 64), np.int32)
    assert centre_label(labels) == 0
    labels[disk(32, 50, 12)] = 4
    assert centre_label(labels) == 4
    labels[:] = 0
    labels[disk(32, 50, 8)] = 4
    assert centre_label(labels) == 0


@pytest.mark.parametrize(
    "field", [{"smoothing": -1}, {"core": 0.95}, {"edge": 0.6}, {"smallest": 0}, {"opening": 11}]
)
def test_parameters_are_checked(field):
    with pytest.raises(UsageError, match=next(iter(field))):
        SegmentationConfig(**field)


@pytest.mark.long
def test_real_yeast_crops_are_usable(shared):
    files = sorted((shared / "paired_cell_yeast").glob("*/*_rfp.tif"))
    marker = np.stack([tifffile.imread(file) for file in files[::3]])
    masks, foregrounds = segment(marker)
    usable = (flag_cells(masks, foregrounds) & int(UNUSABLE)) == 0
    assert usable.mean() >= 0.95
    assert 600 < np.median(masks.sum((1, 2))) < 1500
