"""Other pixel sizes and sides: own pixels stay, what is padded is the crop's own medium."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import UsageError
from compute.images.cell_quality import FAR
from compute.images.fill_holes import medium_mask
from compute.importers.resample import (
    CropFit,
    choose_fit,
    choose_resampling,
    fit_notes,
    resample_image,
    resample_labels,
    resize_crop,
)
from tests.compute.importers.drawn_masks import image_of, labels_of

SIDES = st.integers(8, 64)


def crop(seed, height, width):
    """Part of a drawn crop, its cells and the cell at the middle."""
    labels = labels_of(seed)
    top, left = (64 - height) // 2, (64 - width) // 2
    box = slice(top, top + height), slice(left, left + width)
    return image_of(labels, seed)[:, *box], labels[box] == 3, labels[box] > 0


@given(st.integers(0, 50), SIDES, SIDES, st.integers(8, 64))
@settings(max_examples=40)
def test_own_pixels_stay_and_padding_is_own_medium(seed, height, width, size):
    image, mask, cells = crop(seed, height, width)
    fitted = resize_crop(image, mask, cells, cells, size)
    new, new_mask, new_cells, how = fitted.image, fitted.mask, fitted.foreground, fitted.how
    assert new.shape == (2, size, size)
    assert new.dtype == image.dtype
    assert ("cut" in how) == (max(height, width) > size)
    assert ("padded" in how) == (min(height, width) < size)
    # A naive twin: where each pixel of the result lies in the crop.
    y, x = (np.arange(size) + (side - size) // 2 for side in (height, width))
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
    rows, columns = np.nonzero(inside)
    assert np.array_equal(new[:, rows, columns], image[:, y[rows], x[columns]])
    assert np.array_equal(new_mask[rows, columns], mask[y[rows], x[columns]])
    assert np.array_equal(new_cells[rows, columns], cells[y[rows], x[columns]])
    assert not new_mask[~inside].any()
    assert not new_cells[~inside].any()
    kept = np.zeros_like(cells)
    kept[y[rows], x[columns]] = True
    medium = image[:, kept & ~cells]
    # Where nearly all is cell there is nothing else to pad with.
    if medium_mask(cells | ~kept, FAR).sum() > 0.1 * kept.sum() and not inside.all():
        padded = new[:, ~inside]
        assert padded.max() <= medium.max() + 1e-3
        assert padded.min() >= medium.min() - 1e-3


@given(st.integers(0, 50), st.sampled_from([0.5, 0.61, 1.5, 2.0, 3.3]))
@settings(max_examples=25)
def test_labels_are_those_of_the_nearest_pixel(seed, scale):
    labels = labels_of(seed)[:50, :41]
    new = resample_labels(labels, scale)
    height, width = (round(side * scale) for side in labels.shape)
    assert new.shape == (height, width)
    for row in range(0, height, 7):
        for column in range(0, width, 5):
            y, x = int((row + 0.5) * 50 / height), int((column + 0.5) * 41 / width)
            assert new[row, column] == labels[y, x]
    assert set(np.unique(new)) <= set(np.unique(labels))


@pytest.mark.parametrize("scale", [0.4, 0.5, 1.7, 2.0])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_images_keep_type_range_and_place(scale, dtype):
    labels = labels_of(3)
    image = (image_of(labels, 3, noise=0) * 0.8).astype(dtype)
    new = resample_image(image, scale)
    assert new.dtype == image.dtype
    assert image.min() <= new.min() <= new.max() <= image.max()
    assert new.mean() == pytest.approx(image.mean(), rel=0.02)
    bright = new[0] > 160
    other = resample_labels(labels, scale) > 0
    assert (bright & other).sum() > 0.8 * (bright | other).sum()


def test_nothing_is_resampled_where_nothing_is_said():
    image = image_of(labels_of(0))
    assert resample_image(image, 1) is image
    assert choose_resampling(0.2, None, None).scale == 1
    assert choose_resampling(0.2, None, 0.201).scale == 1
    assert choose_resampling(0.2, 0.1, 0.2).scale == pytest.approx(0.5)
    assert choose_resampling(0.2, None, None).notes() == []
    assert "resampled by 2" in choose_resampling(None, 0.4, 0.2).notes()[0]


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ((None, None, 0.2), "own pixel size must be known.*--pixel-size"),
        ((0.2, None, 0), "--resample 0"),
        ((None, -1, None), "--pixel-size -1"),
        ((200, None, 0.2), "a factor of 1e.03"),
    ],
)
def test_sizes_that_cannot_be(sizes, match):
    with pytest.raises(UsageError, match=match):
        choose_resampling(*sizes)


def test_a_side_out_of_range():
    for size in (0, 7, 100_000):
        with pytest.raises(UsageError, match=f"--size {size} is out of range"):
            choose_fit(64, size, None, None)
    assert choose_fit(64, None, 0.4, 0.2).size == 128


def test_a_crop_is_resampled_then_padded_and_counted():
    labels = labels_of(5)
    counts = Counter()
    fit = CropFit(80, choose_resampling(None, 0.2, 0.4))
    image, mask, cells = fit.apply(image_of(labels, 5), labels == 3, labels > 0, 1, counts)
    assert image.shape == (2, 80, 80)
    assert counts == {"fit: padded": 1}
    assert fit_notes(counts, 80) == ["1 crop(s) were padded to 80×80 pixels with their own medium."]
    y, x = (float(np.mean(at)) for at in np.nonzero(mask))
    wanted = [np.mean(at) for at in np.nonzero(labels == 3)]
    assert (y - 24) * 2 == pytest.approx(wanted[0], abs=1.5)
    assert (x - 24) * 2 == pytest.approx(wanted[1], abs=1.5)
    assert (cells >= mask).all()


def test_padding_without_medium_is_counted_and_said():
    """Cells fill both crops; one has a strip of medium, enough to pad with."""
    pixels = np.random.default_rng(0).integers(0, 1000, (2, 32, 32)).astype(np.uint16)
    said = []
    for medium in (0, 12):
        cells = np.ones((32, 32), bool)
        cells[:medium] = False
        middle = np.zeros((32, 32), bool)
        middle[14:26, 10:22] = True
        counts = Counter()
        CropFit(48).apply(pixels, middle, cells, None, counts)
        assert counts["fit: padded"] == 1
        said.append(fit_notes(counts, 48))
    assert said[0] == [*said[1], said[0][-1]]
    assert said[0][-1].startswith("1 crop(s) that were padded hold hardly any medium")
