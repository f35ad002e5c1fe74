"""Files of masks: palettes, colours, planes, and what is said of a source's first ones."""

import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from compute.errors import InputError
from compute.importers.mask_files import SURVEYED, read_labels, read_mask, spread, survey_masks
from compute.importers.masks import MaskCoding
from compute.importers.tiff import CropRejected
from tests.compute.importers.drawn_masks import labels_of, probabilities


def palette_png(indices, depth, colours):
    """A PNG of numbers of colours, written by hand."""

    def chunk(name, data):
        body = name + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    height, width = indices.shape
    bits = (indices[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, 3, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"PLTE", bytes(np.asarray(colours, np.uint8).tobytes()))
        + chunk(b"tRNS", bytes([0]))
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_numbers_of_a_palette_are_labels_whatever_its_colours(depth, tmp_path):
    rng = np.random.default_rng(depth)
    indices = rng.integers(0, 2**depth, (19, 23)).astype(np.uint8)
    # Colours repeat, and 0 is not black.
    colours = np.repeat(rng.integers(0, 255, (1, 3)), 2**depth, axis=0)
    (tmp_path / "m.png").write_bytes(palette_png(indices, depth, colours))
    assert np.array_equal(read_labels(tmp_path / "m.png"), indices)


def test_a_cut_palette_file_is_a_rejection(tmp_path):
    whole = palette_png(np.zeros((9, 9), np.uint8), 8, np.zeros((256, 3)))
    for length in (40, 500, len(whole) - 30):
        (tmp_path / "m.png").write_bytes(whole[:length])
        with pytest.raises(CropRejected, match="mask: "):
            read_labels(tmp_path / "m.png")


def test_palettes_in_tiffs_are_numbers_too(tmp_path):
    indices = np.random.default_rng(0).integers(0, 9, (20, 20)).astype(np.uint8)
    colours = np.random.default_rng(1).integers(0, 65535, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", indices, photometric="palette", colormap=colours)
    assert np.array_equal(read_labels(tmp_path / "m.tif"), indices)


@pytest.mark.parametrize("alpha", [False, True])
def test_grey_in_three_channels_is_grey(alpha, tmp_path):
    grey = np.random.default_rng(0).integers(0, 9, (20, 20)).astype(np.uint8)
    planes = [grey] * 3 + [np.full_like(grey, 255)] * alpha
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(np.stack(planes, -1)))
    assert np.array_equal(read_labels(tmp_path / "m.png"), grey)


def test_each_colour_is_a_label_and_black_is_0(tmp_path):
    labels = np.random.default_rng(0).integers(0, 5, (20, 20))
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(colours[labels]))
    found = read_labels(tmp_path / "m.png")
    assert np.array_equal(found == 0, labels == 0)
    assert all(len(np.unique(found[labels == number])) == 1 for number in range(5))
    assert len(np.unique(found)) == 5


def test_several_planes_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((5, 20, 20), np.uint16), photometric="minisblack")
    with pytest.raises(CropRejected, match="label image: 5 planes; 1 expected"):
        read_labels(tmp_path / "m.tif", "label image")
    with pytest.raises(CropRejected, match="mask: no such file"):
        read_labels(tmp_path / "none.tif")


def test_a_source_of_grey_masks_is_refused_with_what_was_seen(tmp_path):
    paths = []
    for seed in range(6):
        mask = (255 * probabilities(labels_of(seed))).astype(np.uint8)
        paths.append(tmp_path / f"{seed}.tif")
        tifffile.imwrite(paths[-1], mask)
    with pytest.raises(InputError, match=r"6 of the 6 masks.*0\.tif.*values from 0 to 2.*thresh"):
        survey_masks(paths, None)
    assert survey_masks(paths, 128).threshold == 128
    for seed in range(4):
        tifffile.imwrite(paths[seed], labels_of(seed))
    assert survey_masks([tmp_path / "none.tif", *paths], None) == MaskCoding()
    with pytest.raises(InputError, match="4 of the 6 label images"):
        survey_masks([paths[0], paths[1], *paths[4:], *paths[4:]], None, whole_fields=True)


def test_a_survey_is_spread_over_the_source():
    assert list(spread(range(10), 10)) == list(range(10))
    found = list(spread(iter(range(6400)), 6400))
    assert found == list(range(0, 6400, 100))
    assert len(list(spread(range(127), 127))) == SURVEYED


def test_what_colours_stand_for_is_told(tmp_path):
    indices = labels_of(0).astype(np.uint8)
    colours = np.random.default_rng(1).integers(1, 255, (256, 3))
    (tmp_path / "palette.png").write_bytes(palette_png(indices, 8, colours))
    tifffile.imwrite(
        tmp_path / "palette.tif",
        indices,
        photometric="palette",
        colormap=(colours.T * 257).astype(np.uint16),
        compression="deflate",
    )
    coloured = np.where(indices[..., None] > 0, colours[indices], 0).astype(np.uint8)
    (tmp_path / "colours.png").write_bytes(imagecodecs.png_encode(coloured))
    (tmp_path / "grey.png").write_bytes(imagecodecs.png_encode(indices))
    tifffile.imwrite(tmp_path / "grey.tif", indices)
    for name, wanted in {
        "palette.png": {"palette"},
        "palette.tif": {"palette"},
        "colours.png": {"colours"},
        "grey.png": set(),
        "grey.tif": set(),
    }.items():
        how = set()
        read_labels(tmp_path / name, how=how)
        assert how == wanted, name
        _, _, counted = read_mask(tmp_path / name, indices.shape, MaskCoding())
        assert {key for key in counted if key in ("mask: palette", "mask: colours")} == {
            f"mask: {key}" for key in wanted
        }
