"""Images of every format, pixel type and kind of axes: read as written, or the true reason."""

import struct
import zlib
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compute.importers.read_images import CropRejected, read_image, read_planes
from compute.importers.tiff import as_stored, read_channels

SHAPE = (6, 7)
TYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
         "float16", "float32", "float64")  # fmt: skip
ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def pixels(dtype="uint8", seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def reason(path, channels=1, project=None):
    with pytest.raises(CropRejected) as caught:
        read_channels([path], channels, Counter(), project)
    return caught.value


def small(dtype):
    """Return arrays of a type whose values float32 holds."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        width = min(8 * dtype.itemsize, 32)
        values = st.floats(width=width, allow_nan=False, allow_infinity=False)
    elif dtype.kind == "b":
        values = st.booleans()
    else:
        ends = np.iinfo(dtype)
        values = st.integers(max(ends.min, -(2**24)), min(ends.max, 2**24))
    return arrays.arrays(dtype, SHAPE, elements=values)


@pytest.mark.parametrize("dtype", TYPES)
@given(data=st.data())
@ONE_FILE
def test_what_is_written_is_read_in_every_type(tmp_path, dtype, data):
    image = data.draw(small(dtype))
    np.save(tmp_path / "a.npy", image)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    for name in ("a.npy", "a.tif"):
        read, types = read_channels([tmp_path / name], 1, Counter())
        assert read.shape == (1, *SHAPE)
        assert read.dtype in (np.uint8, np.uint16, np.float32)
        assert np.array_equal(read[0].astype(np.float64), image.astype(np.float64))
        assert types == ("float32" if dtype == "float64" else dtype,)
        assert np.array_equal(read_image(tmp_path / name)[0], image)


@given(
    st.sampled_from(("uint32", "int32", "uint64", "int64")).flatmap(
        lambda name: arrays.arrays(name, 3)
    )
)
@ONE_FILE
def test_whole_numbers_are_kept_exactly_or_refused(image):
    if max(int(image.max()), -int(image.min())) > 2**24:
        with pytest.raises(CropRejected, match="beyond what float32 holds"):
            as_stored(image)
        return
    stored = as_stored(image)
    assert [int(value) for value in stored] == [int(value) for value in image]


def test_floats_beyond_float32_are_refused_not_made_infinite():
    with pytest.raises(CropRejected, match="beyond what float32 holds"):
        as_stored(np.array([1e300]))
    assert np.isinf(as_stored(np.array([np.inf]))).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 3)])
def test_png(tmp_path, dtype, shape):
    image = pixels(dtype, shape=shape)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image))
    read = read_image(tmp_path / "a.png")
    assert np.array_equal(read, image[None] if image.ndim == 2 else image.transpose(2, 0, 1))


def test_bmp_and_jpeg(tmp_path):
    image = pixels(shape=(16, 24))
    (tmp_path / "a.bmp").write_bytes(imagecodecs.bmp_encode(image))
    assert np.array_equal(read_image(tmp_path / "a.bmp"), image[None])
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg_encode(np.full((16, 24), 90, np.uint8)))
    counts = Counter()
    read, _ = read_channels([tmp_path / "a.jpg"], 1, counts)
    assert abs(int(read[0, 5, 5]) - 90) < 3
    assert counts == {"lossy": 1}


def test_a_bmp_with_a_palette_has_the_greys_of_its_colours(tmp_path):
    image = pixels(shape=(16, 24))
    plain = bytearray(imagecodecs.bmp_encode(image))
    start, first = (
        14 + int.from_bytes(plain[14:18], "little"),
        int.from_bytes(plain[10:14], "little"),
    )
    colours = np.zeros(((first - start) // 4, 4), np.uint8)
    colours[:, :3] = (255 - np.arange(len(colours)))[:, None]
    plain[start:first] = colours.tobytes()
    (tmp_path / "a.bmp").write_bytes(plain)
    assert np.array_equal(read_image(tmp_path / "a.bmp")[0], 255 - image)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("end", ["png", "tif"])
def test_grey_colours_are_grey_and_alpha_is_dropped(tmp_path, alpha, end):
    image = pixels()
    colours = np.dstack([image] * 3 + [np.full(SHAPE, 255, np.uint8)] * alpha)
    path = tmp_path / f"a.{end}"
    if end == "png":
        path.write_bytes(imagecodecs.png_encode(colours))
    else:
        tifffile.imwrite(path, colours, photometric="rgb", extrasamples=["unassalpha"] * alpha)
    counts = Counter()
    read, types = read_channels([path], 1, counts)
    assert np.array_equal(read, image[None])
    assert types == ("uint8",)
    assert counts == {"grey colours": 1, **({"alpha": 1} if alpha else {})}


def test_colours_that_differ_are_refused_but_can_be_channels(tmp_path):
    colours = pixels(shape=(*SHAPE, 3))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colours))
    rejected = reason(tmp_path / "a.png")
    assert rejected.reason == "3 channels in a file, which differ; 1 expected"
    assert "--channels" in rejected.remedy
    read, _ = read_channels([tmp_path / "a.png"], 3, Counter())
    assert np.array_equal(read, colours.transpose(2, 0, 1))
    colours[..., [0, 2]] = 0
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(colours))
    counts = Counter()
    read, _ = read_channels([tmp_path / "b.png"], 1, counts)
    assert np.array_equal(read[0], colours[..., 1])
    assert counts == {"one colour": 1}


def test_channels_of_different_types(tmp_path):
    wide, narrow = pixels("uint16") * 300, pixels("uint8", 1)
    for name, image in (("w", wide), ("n", narrow), ("h", narrow.astype(np.float16) / 8)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    read, types = read_channels([tmp_path / "w.tif", tmp_path / "n.tif"], 2, Counter())
    assert read.dtype == np.uint16
    assert types == ("uint16", "uint8")
    assert np.array_equal(read, [wide, narrow])
    read, types = read_channels([tmp_path / "w.tif", tmp_path / "h.tif"], 2, Counter())
    assert read.dtype == np.float32
    assert types == ("uint16", "float16")
    assert np.array_equal(read, [wide, narrow / 8])


STACK = pixels("uint16", shape=(3, *SHAPE))


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {}])
@pytest.mark.parametrize(
    ("axes", "match"), [("ZYX", "a Z stack (axes ZYX)"), ("TYX", "a time series (axes TYX)")]
)
def test_planes_that_are_no_channels_are_refused(tmp_path, options, axes, match):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": axes}, photometric="minisblack", **options)
    rejected = reason(path, 3)
    assert rejected.reason == match
    assert rejected.detail.startswith("3 ")
    assert rejected.remedy
    if axes == "TYX":
        assert reason(path, 1, "max").reason == match
        return
    counts = Counter()
    read, _ = read_channels([path], 1, counts, "max")
    assert np.array_equal(read, STACK.max(0, keepdims=True))
    assert counts == {"projected": 1}


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {}])
def test_channels_are_channels_however_they_are_named(tmp_path, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "CYX"}, photometric="minisblack", **options)
    assert np.array_equal(read_channels([path], 3, Counter())[0], STACK)
    several = np.stack([STACK, STACK[::-1] + 5])
    tifffile.imwrite(path, several, metadata={"axes": "ZCYX"}, photometric="minisblack", **options)
    assert reason(path, 3).reason == "a Z stack (axes ZCYX)"
    assert np.array_equal(read_channels([path], 3, Counter(), "max")[0], several.max(0))


def test_a_plain_stack_has_channels_or_is_projected(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack")
    np.save(tmp_path / "a.npy", STACK)
    for name in ("a.tif", "a.npy"):
        assert np.array_equal(read_channels([tmp_path / name], 3, Counter())[0], STACK)
        assert reason(tmp_path / name).reason == "3 channels in a file; 1 expected"
        assert "--project" in reason(tmp_path / name).remedy
        read, _ = read_channels([tmp_path / name], 1, Counter(), "max")
        assert np.array_equal(read[0], STACK.max(0))


def test_several_images_in_one_file(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(STACK[0])
        file.write(STACK[1].astype(np.uint8))
    assert np.array_equal(read_channels([path], 2, Counter())[0], STACK[:2])
    assert reason(path).reason == "2 channels in a file; 1 expected"
    with tifffile.TiffWriter(path) as file:
        file.write(STACK, photometric="minisblack")
        file.write(STACK.astype(np.uint8), photometric="minisblack")
    assert reason(path, 3).reason == "a file of 2 images (series)"
    with tifffile.TiffWriter(path) as file:
        file.write(STACK[0])
        file.write(STACK[0, :3, :3], subfiletype=1)
    assert np.array_equal(read_channels([path], 1, Counter())[0], STACK[:1])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "an empty file"),
        (b"hello", "no image: TIFF"),
        (b"GIF89a....", "a GIF; TIFF"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file; TIFF"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\x80\x04.", "a pickle"),
        (b"II*\x00\x08", "unreadable or cut-off"),
        (b"\x89PNG\r\n\x1a\n\x00", "unreadable or cut-off"),
        (b"\xff\xd8\xff\xe0", "unreadable or cut-off"),
        (b"BM\x00", "unreadable or cut-off"),
    ],
)
def test_what_is_no_image(tmp_path, content, match):
    (tmp_path / "a.tif").write_bytes(content)
    assert reason(tmp_path / "a.tif").reason.startswith(match)


def test_arrays_that_are_no_images(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], object))
    assert "never unpickled" in reason(path).reason
    np.save(path, np.zeros(5))
    assert reason(path).reason == "an image of 1 dimensions; 2 or 3 expected"
    np.save(path, np.zeros((2, 3, 4, 5)))
    assert reason(path).reason == "an image of 4 dimensions; 2 or 3 expected"
    assert "2×3×4×5" in reason(path).detail
    np.save(path, np.zeros((0, 4)))
    assert reason(path).reason == "an image without pixels"
    np.save(path, np.zeros(SHAPE, complex))
    assert "complex128; whole numbers or floats" in reason(path).reason
    assert reason(Path(tmp_path)).reason == "a folder, not an image file"
    np.save(path, pixels()[..., None])
    assert np.array_equal(read_planes(path).pixels, pixels()[None])


def with_a_cycle(path, pages, big, back_to):
    """Write a TIFF whose last page is followed by an earlier one."""
    image = np.zeros((pages, 16, 16), np.uint8)
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None, bigtiff=big)
    with tifffile.TiffFile(path) as file:
        places = [page.offset for page in file.pages]
        last = file.pages[-1]
        end = last.offset + (8 + 20 * len(last.tags) if big else 2 + 12 * len(last.tags))
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q" if big else "<I", content, end, places[back_to])
    path.write_bytes(content)


@pytest.mark.parametrize("to", ["itself", "its page", "the next page"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_smaller_copies_that_form_a_cycle_are_not_followed(tmp_path, name, to):
    """A pyramid's levels hang below its pages; only the largest is read, whatever hangs there."""
    image = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
    path = tmp_path / name
    with tifffile.TiffWriter(path, ome="ome" in name) as writer:
        writer.write(image, subifds=1, photometric="minisblack", metadata={"axes": "CYX"})
        writer.write(image[:, ::2, ::2], subfiletype=1, photometric="minisblack")
    whole = read_planes(path)
    with tifffile.TiffFile(path) as file:
        tag, (first, second) = file.pages[0].tags["SubIFDs"], [each.offset for each in file.pages]
    there = {"itself": tag.value[0], "its page": first, "the next page": second}[to]
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, tag.valueoffset, there)
    path.write_bytes(bytes(raw))
    assert np.array_equal(read_planes(path).pixels, whole.pixels)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("pages", "back_to"), [(1, 0), (3, 0), (3, 2), (150, 0), (150, 120)])
def test_pages_that_form_a_cycle_are_an_error(tmp_path, pages, back_to, big):
    with_a_cycle(tmp_path / "a.tif", pages, big, back_to)
    with pytest.raises(CropRejected, match="cycle"):
        read_planes(tmp_path / "a.tif")


def lying(kind, image):
    """Encode an image, and write into its header that it has 50,000 rows and columns."""
    encoded = bytearray(getattr(imagecodecs, f"{kind}_encode")(image))
    if kind == "png":
        struct.pack_into(">II", encoded, 16, 50_000, 50_000)
        struct.pack_into(">I", encoded, 29, zlib.crc32(encoded[12:29]))
    elif kind == "bmp":
        struct.pack_into("<ii", encoded, 18, 50_000, 50_000)
    else:
        struct.pack_into(">HH", encoded, encoded.index(b"\xff\xc0") + 5, 50_000, 50_000)
    return bytes(encoded)


@pytest.mark.parametrize("kind", ["png", "bmp", "jpeg"])
def test_a_header_that_claims_too_much_is_refused_before_decoding(tmp_path, monkeypatch, kind):
    path = tmp_path / "a"
    path.write_bytes(lying(kind, np.zeros((16, 16), np.uint8)))

    def decode(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(imagecodecs, f"{kind}_decode", decode)
    with pytest.raises(CropRejected, match="far larger than a crop"):
        read_planes(path)
