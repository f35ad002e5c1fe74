"""Where a model looks, over cells: a naive twin of every mean, and what planted changes give."""

import numpy as np
import pandas as pd
import pytest

from compute.schema import OCCLUSION_SUMMARY, Piece
from compute.statistics.config import BootstrapConfig
from compute.statistics.occlusions import AREAS, DISTANCES, summarise
from compute.statistics.resampling_units import make_units

NAMES = ["a", "b", "c"]
N = 90
CLASSES = np.arange(N) % 3
PROTEIN = (np.arange(N) // 3 % 6 + 6 * CLASSES).astype(np.int32)
BOOTSTRAP = BootstrapConfig(draws=200)


def units(by_protein=True):
    return make_units(CLASSES, PROTEIN, np.arange(3), by_protein, 3)


def drawn(seed=0, cells=range(60)):
    """Rows of some cells with up to three neighbours, some without any."""
    rng, rows = np.random.default_rng(seed), []
    for cell in cells:
        kinds = [("nothing", 0), ("medium", 1)] + [("neighbour", k) for k in range(1, cell % 4 + 1)]
        for kind, piece in [*kinds, ("centre", 1)]:
            rows.append({
                "cell": cell, "kind": kind, "piece": piece, "area": int(rng.integers(1, 1500)),
                "distance": int(rng.integers(1, 40)) if rng.random() < 0.9 else None,
                "fall": 0.0 if kind == "nothing" else rng.normal(0.1, 0.3),
                "changed": bool(kind != "nothing" and rng.random() < 0.3),
            })  # fmt: skip
    return pd.DataFrame(rows)


def by_class(values):
    """Mean over classes of the means of {cell: values}."""
    per = {}
    for cell, some in values.items():
        per.setdefault(CLASSES[cell], []).extend(some)
    return np.mean([np.mean(some) for some in per.values()])


@pytest.mark.parametrize("by_protein", [True, False])
def test_means_are_those_that_loops_give(by_protein):
    table = drawn()
    found = list(summarise(table, units(by_protein), BOOTSTRAP, NAMES))
    assert {name for row in found for name in row} == set(OCCLUSION_SUMMARY.names) - {"model"}
    rows = {(row["quantity"], row.get("kind"), row.get("low")): row for row in found}
    cells = sorted(set(table["cell"]))
    size = {kind: {cell: [0.0] for cell in cells} for kind in Piece}
    for row in table.itertuples():
        size[row.kind][row.cell][0] += abs(row.fall)
    for kind in Piece:
        assert np.isclose(rows["change", str(kind), None]["estimate"], by_class(size[kind]))
        flips = {
            cell: [bool(table["changed"][(table["cell"] == cell) & (table["kind"] == kind)].any())]
            for cell in cells
        }
        row = rows["answers_changed", str(kind), None]
        assert np.isclose(row["estimate"], by_class(flips))
        assert 0 <= row["ci_low"] <= row["estimate"] <= row["ci_high"] <= 1
    near, centre = (by_class(size[kind]) for kind in ("neighbour", "centre"))
    share = rows["neighbour_share", None, None]
    assert np.isclose(share["estimate"], near / (near + centre))
    assert share["ci_low"] < share["estimate"] < share["ci_high"]
    assert share["n_cells"] == 60
    pieces = table[table["kind"] == "neighbour"]
    for quantity, column, starts in (("by_distance", "distance", DISTANCES),
                                     ("by_area", "area", AREAS)):  # fmt: skip
        for low, high in zip(starts, (*starts[1:], np.inf), strict=True):
            some = pieces[(pieces[column] >= low) & (pieces[column] < high)]
            values = {c: list(g["fall"].abs()) for c, g in some.groupby("cell")}
            row = rows[quantity, None, low]
            assert np.isclose(row["estimate"], by_class(values))
            assert row["n_pieces"] == len(some)
            assert row["n_cells"] == some["cell"].nunique()
            assert row["high"] == (None if np.isinf(high) else high)


def test_a_model_that_sees_one_side_alone_has_a_share_of_none_or_all():
    for kind, share in (("centre", 0.0), ("neighbour", 1.0)):
        table = drawn()
        table.loc[table["kind"] != kind, "fall"] = 0.0
        rows = list(summarise(table, units(), BOOTSTRAP, NAMES))
        [found] = [row for row in rows if row["quantity"] == "neighbour_share"]
        assert (found["estimate"], found["ci_low"], found["ci_high"]) == (share, share, share)


def test_without_changes_there_is_no_share_and_without_neighbours_no_bins():
    table = drawn()
    still = table.assign(fall=0.0)
    assert "neighbour_share" not in {
        row["quantity"] for row in summarise(still, units(), BOOTSTRAP, NAMES)
    }
    alone = table[table["kind"] != "neighbour"]
    rows = list(summarise(alone, units(), BOOTSTRAP, NAMES))
    assert {row["quantity"] for row in rows} == {"change", "answers_changed", "neighbour_share"}
    near = [row for row in rows if row.get("kind") == "neighbour"]
    assert [row["estimate"] for row in near] == [0.0, 0.0]
    assert not list(summarise(table.iloc[:0], units(), BOOTSTRAP, NAMES))
