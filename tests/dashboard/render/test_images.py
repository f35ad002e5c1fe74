"""Pixels: nothing smoothed, contrast shared as asked, names escaped."""

import base64
import re
import struct
import tracemalloc
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import InputError
from dashboard.bench.synthetic_run import make_run
from dashboard.queries import examples
from dashboard.queries.filters import CropFilter
from dashboard.queries.open_runs import Run
from dashboard.render import images, strips
from dashboard.theme import channel_inks
from dashboard.verdicts import MARKS, Verdict
from tests.dashboard.opening import SMALL, opened


def test_decode_undoes_offset_and_gain():
    stored = np.arange(16, dtype=np.uint16).reshape(4, 4)
    found = images.decode([imagecodecs.png_encode(stored)] * 2, [5.0, 0.0], [0.5, 2.0])
    np.testing.assert_allclose(found[0], 5 + 0.5 * stored)
    np.testing.assert_allclose(found[1], 2 * stored)


@pytest.mark.parametrize(
    "change",
    [
        lambda png: png[:16] + struct.pack(">II", 60_000, 60_000) + png[24:],
        lambda png: png[:16] + struct.pack(">II", 2, 2**31 - 1) + png[24:],
        lambda png: png[: len(png) // 2],
        lambda png: b"",
        lambda png: b"GIF89a" + png[6:],
        lambda png: imagecodecs.png_encode(np.zeros((4, 4, 3), np.uint8)),
        lambda png: imagecodecs.png_encode(np.zeros((5, 4), np.uint8)),
    ],
)
def test_a_picture_that_is_not_as_it_says_is_named(change):
    png = bytes(imagecodecs.png_encode(np.arange(16, dtype=np.uint16).reshape(4, 4)))
    tracemalloc.start()
    with pytest.raises(InputError, match="stored picture cannot be shown"):
        images.decode([png, change(png)], [0.0, 0.0], [1.0, 1.0])
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_colour_keeps_every_pixel_and_its_order():
    crop = np.random.default_rng(0).uniform(0, 900, (2, 9, 9)).astype(np.float32)
    grey = images.colour(crop, [(0, 900), (0, 900)], [1])
    np.testing.assert_array_equal(grey, np.rint(255 * crop[1] / 900).astype(np.uint8))
    both = images.colour(crop, [(0, 900), (0, 900)], [0, 1])
    np.testing.assert_array_equal(both[..., 0], grey)
    assert both.shape == (9, 9, 3)
    flat = images.colour(np.zeros((1, 3, 3), np.float32), [(0, 0)], [0])
    assert flat.max() == 0


def naive_mix(crop, contrast, inks):
    picture = np.zeros((*crop.shape[1:], 3))
    for plane, (low, high), (ink, _) in zip(crop, contrast, inks, strict=True):
        share = np.clip((plane - low) / (high - low), 0, 1)
        for k in range(3):
            picture[..., k] += share * int(ink[1 + 2 * k : 3 + 2 * k], 16)
    return np.clip(picture, 0, 255)


@pytest.mark.parametrize("channels", [2, 3, 5, 6, 9, 12])
def test_any_number_of_channels_is_mixed_by_its_colours(channels):
    crop = np.random.default_rng(channels).uniform(0, 900, (channels, 7, 5)).astype(np.float32)
    contrast = [(10.0 * c, 900.0 * channels) for c in range(channels)]
    found = images.colour(crop, contrast, range(channels))
    twin = naive_mix(crop, contrast, channel_inks(range(channels)))
    assert np.abs(found - twin).max() <= 1
    some = images.colour(crop[1:], contrast[1:], range(channels - 1), range(1, channels))
    if channels > 2:
        twin = naive_mix(crop[1:], contrast[1:], channel_inks(range(1, channels)))
        assert np.abs(some - twin).max() <= 1


def request(run: Run, **change) -> strips.Request:
    cells = tuple(
        int(c)
        for c in sorted(
            examples.cells(run, CropFilter("refit", ("pifia",), ("unaltered",)), "gene", 1, 3)[0][
                "cell"
            ]
        )
    )
    base = strips.Request(cells, ("unaltered", "different"), tuple(run.models), "refit")
    return replace(base, **change)


def pictures(html: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [imagecodecs.png_decode(base64.b64decode(text)) for text in found]


@pytest.mark.parametrize("contrast", strips.CONTRASTS)
@pytest.mark.parametrize("channels", [(0,), (1,), (0, 1)])
def test_a_picture_for_each_cell_and_condition(run, contrast, channels):
    asked = request(run, contrast=contrast, channels=channels, outline=True)
    html = strips.table(run, asked)
    found = pictures(html)
    assert len(found) == 6
    assert found[0].shape == ((64, 64) if len(channels) == 1 else (64, 64, 3))
    assert html.count('alt=""') == 6  # outlines
    assert html.count(" scope=") == 3 + 3


def test_answers_are_marked_right_following_or_wrong_in_words_too(run):
    asked = request(run, conditions=("unaltered", "different", "background_only"))
    html = strips.table(run, asked)
    shown = examples.images(run, asked.cells, asked.conditions)
    facts = {row.cell: row for row in examples.describe(run, asked.cells).itertuples()}
    counts = dict.fromkeys(Verdict, 0)
    for row in shown.itertuples():
        own = facts[row.cell].localization
        for item in row.predictions:
            if item["protocol"] != "refit" or item["model"] not in asked.models:
                continue
            if item["predicted"] == own:
                counts[Verdict.RIGHT] += 1
            elif item["predicted"] == row.donor_localization:
                counts[Verdict.FOLLOWS] += 1
            else:
                counts[Verdict.WRONG] += 1
    for verdict, count in counts.items():
        if verdict is not Verdict.OPEN:
            assert html.count(f'aria-label="{MARKS[verdict].words}"') == count, verdict
    assert counts[Verdict.RIGHT] > 0
    assert counts[Verdict.WRONG] > 0


def test_unaltered_is_compared_with_even_when_it_is_not_shown(run):
    with_it = strips.table(run, request(run))
    without = strips.table(run, request(run, conditions=("different",)))
    marks = "said changed"
    assert without.count(marks) == with_it.count(marks) > 0


def test_gallery_shows_one_cell(run):
    asked = request(run)
    html = strips.gallery(run, replace(asked, cells=asked.cells[:1]))
    assert html.count("<figure>") == 2


def test_names_are_escaped(tmp_path):
    plan = replace(SMALL, odd_names=True, examples=2, models=("pifia",))
    run = opened(make_run(tmp_path / "run", plan))
    cells = examples.of_protein(run, "α-tubulin <b>'\";--", 2)
    html = strips.table(run, replace(request(run), cells=tuple(cells)))
    assert "α-tubulin &lt;b&gt;" in html
    assert "<b>'" not in html


@given(st.integers(8, 1024), st.sampled_from([64, 128, 192, 256]))
def test_a_crop_of_any_size_fits_its_place(size, side):
    mean, enlarged = images.squares(size, side)
    assert min(mean, enlarged) == 1
    shown = -(-size // mean) * enlarged
    assert shown <= side
    assert shown > side // 2 or size < 2


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_squares_of_pixels_are_averaged(channels, height, width, mean):
    rng = np.random.default_rng((channels, height, width, mean))
    crop = rng.uniform(0, 9, (channels, height, width)).astype(np.float32)
    found = images.shrunk(crop, mean)
    for c in range(channels):
        for i, y in enumerate(range(0, height, mean)):
            for j, x in enumerate(range(0, width, mean)):
                twin = crop[c, y : y + mean, x : x + mean].mean()
                assert found[c, i, j] == pytest.approx(twin, rel=1e-5)
    assert found.shape == (channels, -(-height // mean), -(-width // mean))
