"""What is said of each protein: distributions, shifts and truth against plain loops."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import jensenshannon

from compute.schema import COMPOSED, FITTED
from compute.statistics.shifts import STRETCH
from tests.compute.summarised_run import by_cell
from tests.compute.synthetic_cells import CLASSES


def test_distributions_are_means_over_cells(made):
    found = made.frame("distributions")
    sums = found.groupby(["model", "condition", "protocol", "protein"])
    assert np.allclose(sums[["proportion", "mean_probability"]].sum(), 1)
    for condition, protocol in itertools.product(COMPOSED, FITTED):
        naive = by_cell(made, "one", condition, protocol)
        some = found[(found["model"] == "one") & (found["condition"] == condition)
                     & (found["protocol"] == protocol)]  # fmt: skip
        for protein, rows in some.groupby("protein"):
            own = [c for c in naive if made.cells.protein[c] == protein]
            assert rows["localization"].tolist() == CLASSES
            assert np.allclose(rows["mean_probability"], np.mean([naive[c][0] for c in own], 0),
                               atol=1e-6)  # fmt: skip
            assert np.allclose(rows["proportion"], np.mean([naive[c][1] for c in own], 0))
            assert (rows["n_cells"] == len(own)).all()


def test_shifts_compare_the_same_cells_before_and_after(made):
    found = made.frame("shifts")
    assert set(found["condition"]) == set(map(str, COMPOSED)) - {"unaltered"}
    for (condition, protocol), rows in found[found["model"] == "two"].groupby(
        ["condition", "protocol"]
    ):
        before = by_cell(made, "two", "unaltered", protocol)
        after = by_cell(made, "two", condition, protocol)
        assert set(rows["protein"]) == {made.cells.protein[c] for c in after}
        for row in rows.itertuples():
            own = [c for c in after if made.cells.protein[c] == row.protein]
            p, q = (np.mean([some[c][0] for c in own], 0) for some in (before, after))
            assert row.n_cells == len(own)
            assert row.tv == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-6)
            assert row.jsd == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-5)
            assert row.top_before == CLASSES[p.argmax()]
            assert row.top_after == CLASSES[q.argmax()]
            # The chance that a trial drawn before and one drawn after name different classes.
            flips = [1 - before[c][1] @ after[c][1] for c in own]
            assert row.flipped_fraction == pytest.approx(np.mean(flips))
            labels = made.table["labels"][own[0]]
            assert (None if row.labels is None else list(row.labels)) == labels
        p = rows["p_value"].to_numpy()
        q = [min(min(1, x * len(p) / (p <= x).sum()) for x in p if x >= one) for one in p]
        assert np.allclose(rows["q_value"], q), "adjusted over proteins, within the condition"


def test_p_values_under_refit_take_the_exchanges_of_training_cells(made):
    found = made.frame("shifts").query("condition == 'different' and model == 'one'")
    moves = pq.read_table(made.run.pairs("exchanges", "one", "different")).to_pandas()
    before = by_cell(made, "one", "unaltered", "frozen")
    after = by_cell(made, "one", "different", "refit")
    rng = np.random.default_rng(0)
    for row in found.query("protocol == 'refit'").iloc[::5].itertuples():
        mine = moves[moves["protein"] == row.protein]
        of_cells = mine[mine["cell"].notna()]
        own = [c for c in after if made.cells.protein[c] == row.protein]
        assert of_cells["cell"].tolist() == own
        change = np.stack(of_cells["change"])
        probe = np.stack(mine.loc[mine["exchange"].notna(), "change"]).astype(float)
        assert np.allclose(change.sum(1), 0, atol=1e-5)
        # What the probes differ by is the rest of what is observed.
        seen = np.mean([after[c][0] - before[c][0] for c in own], 0)
        rest = np.abs(seen - change.mean(0)).sum() / 2
        assert rest < 6 * np.sqrt((probe**2).mean(0)).sum() + 0.01
        beyond = 0
        for _ in range(1500):
            null = rng.choice([-1, 1], len(own)) @ change / len(own)
            scale = STRETCH / np.sqrt(rng.chisquare(len(probe)))
            null = null + scale * rng.standard_normal(len(probe)) @ probe
            beyond += np.abs(null).sum() / 2 >= row.tv
        assert row.p_value == pytest.approx(beyond / 1500, abs=0.06)


def test_the_sham_swap_shifts_nothing(made):
    sham = made.frame("shifts").query("condition == 'sham' and protocol == 'frozen'")
    assert np.allclose(sham[["jsd", "tv"]], 0, atol=1e-9)
    assert (sham[["p_value", "q_value"]] == 1).all(axis=None)


def test_the_truth_is_compared_with_the_same_cells_before_and_after(made):
    found, shifts, truth = made.frame("truth"), made.frame("shifts"), made.truth
    keys = ["model", "condition", "protocol", "protein", "top_before", "top_after", "n_cells"]
    assert found[keys].equals(shifts[keys]), "the same rows"
    wide = truth.pivot(index="cell", columns="localization", values="proportion")
    wide = wide.reindex(columns=CLASSES).fillna(0).to_numpy(float)
    for (condition, protocol), rows in found[found["model"] == "one"].groupby(
        ["condition", "protocol"]
    ):
        before = by_cell(made, "one", "unaltered", protocol)
        after = by_cell(made, "one", condition, protocol)
        for row in rows.itertuples():
            own = [c for c in after if made.cells.protein[c] == row.protein]
            true = wide[own].mean(0)
            assert row.top_true == CLASSES[true.argmax()]
            for when, some in (("before", before), ("after", after)):
                p = np.mean([some[c][0] for c in own], 0)
                tv, jsd = getattr(row, f"tv_{when}"), getattr(row, f"jsd_{when}")
                assert tv == pytest.approx(np.abs(p - true).sum() / 2, abs=1e-6)
                assert jsd == pytest.approx(jensenshannon(p, true, base=2) ** 2, abs=1e-5)
