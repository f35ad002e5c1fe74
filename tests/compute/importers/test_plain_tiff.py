"""Plain TIFFs are read as tifffile reads them, and all others are left to it."""

import io
import struct

import numpy as np
import pytest
import tifffile

from compute.importers.plain_tiff import read_plain

PLAIN = [
    {},
    {"metadata": None},
    {"byteorder": ">"},
    {"rowsperstrip": 7},
    {"imagej": True},
    {"description": "", "metadata": None, "software": False},
    {"datetime": "2020:01:01 00:00:00", "resolution": (3.1, 3.1)},
]


def encoded(image, **options):
    handle = io.BytesIO()
    tifffile.imwrite(handle, image, **options)
    return handle.getvalue()


def by_tifffile(content):
    with tifffile.TiffFile(io.BytesIO(content), is_ome=False) as file:
        return file.series[0].asarray(), file.series[0].axes


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("options", PLAIN, ids=str)
def test_as_tifffile_reads(options, dtype):
    if options.get("imagej") and dtype not in ("u1", "u2", "f4"):
        pytest.skip("ImageJ has no such type")
    image = np.random.default_rng(0).integers(0, 100, (31, 20)).astype(dtype)
    content = encoded(image, **options)
    wanted, axes = by_tifffile(content)
    found = read_plain(content)
    plain = options != {"imagej": True}
    assert axes == "YX"
    if plain:
        assert found is not None
    if found is not None:
        assert np.array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "deflate"},
        {"photometric": "minisblack", "description": "anything", "metadata": None},
        {"photometric": "miniswhite"},
        {"software": "MetaSeries", "metadata": None},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"ome": True},
        {"metadata": {"axes": "YX", "spacing": 2}},
        {"subfiletype": 1},
        {"predictor": 2, "compression": "lzw"},
        {"extratags": [(65000, "H", 1, 3, True)]},
    ],
    ids=str,
)
def test_what_says_more_is_left_to_tifffile(options):
    assert read_plain(encoded(np.zeros((32, 32), np.uint16), **options)) is None


@pytest.mark.parametrize(
    "image",
    [np.zeros((3, 32, 32), np.uint8), np.zeros((32, 32, 3), np.uint8), np.zeros((1, 9), np.uint8)],
)
def test_other_shapes_are_left_to_tifffile(image):
    assert read_plain(encoded(image)) is None


def test_a_palette_is_left_to_tifffile():
    image, colours = np.zeros((32, 32), np.uint8), np.zeros((3, 256), np.uint16)
    assert read_plain(encoded(image, photometric="palette", colormap=colours)) is None


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files(seed):
    """Cut off anywhere, or with any byte changed: the same pixels as tifffile's, or none."""
    rng = np.random.default_rng(seed)
    content = encoded(rng.integers(0, 60000, (16, 16)).astype(np.uint16))
    start = len(content) - 512
    for place in range(start):
        assert read_plain(content[:place]) is None
        changed = bytearray(content)
        changed[place] = int(rng.integers(256))
        found = read_plain(bytes(changed))
        if found is not None:
            assert np.array_equal(found, by_tifffile(bytes(changed))[0])


@pytest.mark.parametrize("options", PLAIN, ids=str)
def test_files_that_differ_in_their_pixels_only_are_each_read(options):
    rng = np.random.default_rng(1)
    for _ in range(3):
        image = rng.integers(0, 60000, (16, 24)).astype(np.uint16)
        content = encoded(image, **options)
        # Some programs write what is said of an image after its pixels.
        for whole in (content, said_last(content)):
            found, wanted = read_plain(whole), by_tifffile(whole)[0]
            if options != {"imagej": True}:
                assert np.array_equal(found, wanted)
                assert found.dtype == wanted.dtype
                found[0, 0] = 1  # nobody else's


def test_files_of_one_length_that_say_other_things_are_not_confused():
    image = np.arange(600, dtype=np.uint16).reshape(20, 30)
    for one in (image, image.T.copy(), image.view(np.int16), image.byteswap().view(">u2")):
        content = encoded(one, description="", metadata=None, byteorder=one.dtype.byteorder)
        found = read_plain(content)
        assert np.array_equal(found, one)
        assert found.dtype == one.dtype.newbyteorder("=")
    assert read_plain(encoded(image, photometric="miniswhite", metadata=None)) is None


def test_what_is_said_among_the_pixels_is_read_anew():
    """A tag may lie anywhere, and other pixels then say another thing."""
    image = np.zeros((8, 40), np.uint8)
    content = bytearray(encoded(image, description=" " * 30, metadata=None))
    (place,) = struct.unpack_from("<I", content, tag_at(content, 270) + 8)
    (pixels,) = struct.unpack_from("<I", content, tag_at(content, 273) + 8)
    content[place : place + 30] = bytes(30)
    struct.pack_into("<I", content, tag_at(content, 270) + 8, pixels)
    empty, other = bytes(content), bytearray(content)
    other[pixels : pixels + 8] = b"anything"
    assert read_plain(empty) is not None
    assert read_plain(bytes(other)) is None


def tag_at(content, tag):
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    return next(at for at in places if struct.unpack_from("<H", content, at)[0] == tag)


def said_last(content):
    """Move the pixels' tags behind them, where they lie after the other tags in one strip."""
    order = "<" if content[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    table = content[start : start + 6 + 12 * count]
    return content[:4] + struct.pack(f"{order}I", len(content)) + content[8:] + table
