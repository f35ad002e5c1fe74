"""The mosaic of a store: every tile once, one contrast, names escaped, any channels and size."""

import base64
import re

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from compute.schema import CELL_FLAGS, MOSAIC, WORST_FIRST, CellFlag
from dashboard.queries import mosaic as asked
from dashboard.render import images, mosaic, mosaic_picture

SQUARE = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0, 1.0, 1.0]]


def table(channels: int, side: int, *, dim: int = -1, reduced: int = 1) -> pa.Table:
    """Twelve cells: seven without a flag, five of two flags."""
    rng = np.random.default_rng(0)
    groups = ["good"] * 7 + ["OFF_CENTRE"] * 3 + ["TOUCHES_BORDER"] * 2
    rows = []
    for number, group in enumerate(groups):
        flags = 0 if group == "good" else int(CellFlag[group])
        scale = 0.001 if number == dim else 1.0
        pixels = rng.integers(0, 4000, (channels, side, side)).astype(np.uint16)
        rows.append(
            {
                "cell": 1000 + number, "group": group, "rank": 1, "protein": f"<p{number}>",
                "group_cells": {"good": 900, "OFF_CENTRE": 3, "TOUCHES_BORDER": 5000}[group],
                "looked_at": {"good": 900, "OFF_CENTRE": 3, "TOUCHES_BORDER": 2000}[group],
                "localization": "ER", "labels": ["ER"] if number else None, "field": "f",
                "flags": flags, "size": side * reduced, "reduced": reduced,
                "images": [bytes(imagecodecs.png_encode(c)) for c in pixels],
                "offset": [0.0] * channels, "gain": [scale] * channels,
                "outline": SQUARE, "neighbours": SQUARE if number == 0 else [],
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=MOSAIC)


def arranged(channels: int = 2, side: int = 16, shown=(0, 1), **change) -> mosaic.Mosaic:
    names = [f"c{i}" for i in range(channels)]
    return mosaic.arrange(table(channels, side, **change).to_pandas(), names, shown)


def test_every_cell_stands_in_its_group_with_how_it_was_chosen():
    groups = arranged().groups
    assert [len(group.tiles) for group in groups] == [7, 3, 2]
    assert [tile.cell for group in groups for tile in group.tiles] == list(range(1000, 1012))
    assert groups[0].note == "7 of 900 cells: drawn by lot from every class in turn."
    assert groups[1].title == f"Off centre: {CELL_FLAGS[CellFlag.OFF_CENTRE]}"
    assert groups[1].note == "3 of 3 cells: all that there are."
    assert groups[2].note == (
        f"2 of 5,000 cells: {WORST_FIRST[CellFlag.TOUCHES_BORDER]}, looked for among 2,000 drawn "
        "by lot."
    )
    assert groups[0].tiles[0].place == "no class"
    assert groups[2].tiles[0].lines == ("<p10>", "ER", "⚑ touches border")
    assert groups[2].tiles[0].alternative == "Cell 1010 of <p10>, ER, touches border"


def test_contrast_is_one_for_all_but_for_tiles_on_which_nothing_would_be_seen():
    plain, dim = arranged(shown=(0,)), arranged(shown=(0,), dim=2)
    assert not any(tile.brightened for group in plain.groups for tile in group.tiles)
    assert mosaic.BRIGHTENED not in plain.caption
    assert [tile.cell for g in dim.groups for tile in g.tiles if tile.brightened] == [1002]
    assert mosaic.BRIGHTENED in dim.caption
    assert dim.groups[0].tiles[2].picture.max() == 255
    planes = [
        images.decode(row["images"][:1], row["offset"][:1], row["gain"][:1])
        for row in table(2, 16).to_pylist()
    ]
    ((low, high),) = images.ranges(planes)
    for plane, tile in zip(planes, (t for g in plain.groups for t in g.tiles), strict=True):
        expected = np.rint(255 * np.clip((plane[0] - low) / (high - low), 0, 1))
        np.testing.assert_array_equal(tile.picture, expected)
    assert f"c0 from {low:.3g} (black) to {high:,.0f}" in plain.caption
    assert "Not in this picture: c1." in plain.caption


def test_the_channel_of_whole_cells_is_always_shown():
    names = ["DNA", "ER", "RNA", "AGP", "Mito"]
    most = mosaic.TOGETHER
    assert mosaic.composite(names) == tuple(range(min(most, 5)))
    assert len(mosaic.composite(names, "Mito")) == min(most, 5)
    assert 4 in mosaic.composite(names, "Mito")
    assert mosaic.composite(["GFP"], "RFP") == (0,)


@pytest.mark.parametrize("outlines", [True, False])
def test_html_has_a_true_picture_with_words_for_every_tile(outlines):
    drawn = arranged(side=16)
    html = mosaic.mosaic_html(drawn, outlines=outlines)
    found = re.findall(r'src="data:image/png;base64,([^"]+)" width="(\d+)"', html)
    assert len(found) == 12
    assert {int(width) for _, width in found} == {mosaic.TILE}
    first = imagecodecs.png_decode(base64.b64decode(found[0][0]))
    np.testing.assert_array_equal(first, drawn.groups[0].tiles[0].picture)
    assert "<p0>" not in html
    assert 'alt="Cell 1000 of &lt;p0&gt;, no class, no flag"' in html
    assert html.count('class="line"') == (12 if outlines else 0)
    assert ("mask of the cell" in html) is outlines


@pytest.mark.parametrize(
    ("channels", "side", "reduced"), [(1, 8, 1), (2, 64, 1), (12, 100, 1), (3, 170, 6)]
)
def test_pictures_for_all_channels_and_each_one(tmp_path, channels, side, reduced):
    names = [f"c/{i}" for i in range(channels)]
    made = mosaic_picture.write_mosaic(
        table(channels, side, reduced=reduced), names, tmp_path / "out", marker=names[-1]
    )
    alone = [f"mosaic-{i + 1}-c_{i}.png" for i in range(channels)] if channels > 1 else []
    assert [path.name for path in made] == ["mosaic.png", *alone]
    picture = imagecodecs.png_decode(made[0].read_bytes())
    assert picture.shape[1] >= mosaic_picture.ACROSS * mosaic_picture.NARROWEST
    # Both kinds of outlines, in their colours, on a picture with and not on one without.
    drawn = mosaic.arrange(table(channels, side, reduced=reduced).to_pandas(), names, (0,))
    bare = imagecodecs.png_decode(mosaic_picture.mosaic_png(drawn, outlines=False))
    for ink in (images.OUTLINE, mosaic.NEIGHBOUR):
        colour = [int(ink[i : i + 2], 16) for i in (1, 3, 5)]
        for shown, there in ((picture, True), (bare, False)):
            near = np.abs(shown[..., :3].astype(int) - colour).max(-1) < 30
            assert near.any() == there, ink
    assert drawn.scale.startswith(f"Each tile is a whole crop of {side * reduced} × ")
    assert ("1/6" in drawn.scale) == (reduced == 6)


def test_a_picture_is_the_same_every_time():
    assert mosaic_picture.mosaic_png(arranged()) == mosaic_picture.mosaic_png(arranged())


def test_a_run_has_its_mosaic_in_order(run):
    tiles = asked.tiles(run)
    assert list(tiles.columns) == MOSAIC.names
    assert len(tiles) == asked.count(run) == 40
    pd.testing.assert_series_equal(
        tiles["group"], tiles["group"].sort_values(key=lambda g: g != "good", kind="stable")
    )
