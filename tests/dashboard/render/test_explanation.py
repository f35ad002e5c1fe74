"""The picture of where a model looks: colours that anybody tells apart, any number of pieces."""

from itertools import combinations

import imagecodecs
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from skimage.color import deltaE_ciede2000

from compute.schema import OCCLUSIONS, Piece
from dashboard.render import explanation
from dashboard.render.explanation import SCALE, explanation_png, write_explanation
from tests.dashboard.test_theme import SIGHTS, contrast, seen

FALLS, STAYS, RISES = (to_hex(SCALE(place)) for place in (0.0, 0.5, 1.0))
SIDE = 40


def rows(neighbours, fall=0.3, model="net", answer="actin"):
    kinds = [("nothing", 0), *(("neighbour", k) for k in range(1, neighbours + 1)), ("centre", 1)]
    return [
        {
            "model": model, "cell": 1234, "protein": "p", "localization": None, "kind": kind,
            "piece": piece, "area": 9, "share": 0.01, "distance": None, "centroid_distance": None,
            "little_medium": False, "answer": answer, "probability": 0.9,
            "fall": 0.0 if kind == "nothing" else fall, "true_fall": None, "answer_after": answer,
            "changed": kind == "centre",
        }
        for kind, piece in kinds
    ]  # fmt: skip


def outlines_of(some):
    """A square for each piece."""
    found = {}
    for k, row in enumerate(row for row in some if row["kind"] != Piece.NOTHING):
        x, y = 4 + 6 * (k % 6), 4 + 6 * (k // 6)
        found[row["kind"], row["piece"]] = [[x, y, x + 4, y, x + 4, y + 4, x, y + 4, x, y]]
    return found


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_three_ends_of_the_scale_are_told_apart_and_stand_out_from_black(sight):
    for one, other in combinations((FALLS, STAYS, RISES), 2):
        assert deltaE_ciede2000(seen(one, sight), seen(other, sight)) >= 14
    assert min(contrast(ink, "#000000") for ink in (FALLS, STAYS, RISES)) >= 3


@pytest.mark.parametrize(("fall", "ink"), [(0.3, FALLS), (0.0, STAYS), (-0.3, RISES)])
def test_an_outline_has_the_colour_of_its_change(fall, ink):
    some = rows(1, fall)
    crop = np.zeros((2, SIDE, SIDE), np.float32)
    picture = imagecodecs.png_decode(explanation_png(some, crop, outlines_of(some), ["A", "B"]))
    inside = picture[40:520, 30:500, :3].reshape(-1, 3)
    wanted = [int(ink[k : k + 2], 16) for k in (1, 3, 5)]
    assert (np.abs(inside.astype(int) - wanted).max(1) <= 2).sum() > 100


@pytest.mark.parametrize("neighbours", [0, 30])
def test_any_number_of_pieces_and_channels_and_long_names_are_drawn(neighbours, tmp_path):
    names = ["one", "n/../2"]
    some = [r for name in names for r in rows(neighbours, model=name, answer="Ж名" * 40)]
    crop = np.random.default_rng(0).random((1, SIDE, SIDE), np.float32)
    table = pa.Table.from_pylist(some, OCCLUSIONS)
    made = write_explanation(table, crop, outlines_of(some), ["A"], tmp_path, marker="A")
    assert [path.name for path in made] == ["cell-1234-one.png", "cell-1234-n____2.png"]
    assert sorted(tmp_path.iterdir()) == sorted(made)
    assert made[0].read_bytes() == explanation_png(
        some[: len(some) // 2], crop, outlines_of(some), ["A"]
    )


def test_simulated_cells_are_said_to_be():
    row, shown = rows(1)[0], ["GFP"]
    assert explanation._lines(row, shown, True)[-1] == "simulated cells, crop: GFP, in grey"
    assert explanation._lines(row, shown, False)[-1] == "crop: GFP, in grey"
