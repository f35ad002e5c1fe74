"""Flips, backgrounds, rescaling and calibration of a run, against plain loops over its files."""

import numpy as np
import pandas as pd
import pytest

from compute import schema
from compute.embedding.config import EmbedConfig
from compute.schema import COMPOSED, CONDITIONS, FITTED, DropPart, Flip
from compute.statistics.calibration import BINS
from tests.compute.summarised_run import MODELS
from tests.compute.synthetic_cells import CLASSES

KEY = ["model", "protocol", "condition"]


def answers(made, model, condition, protocol):
    """One row per trial of a tested cell: its own class, its answer now and on its own crop."""
    frame = made.predictions(model, condition, protocol)
    before = made.predictions(model, "unaltered", protocol).set_index("cell")["predicted"]
    frame["own"] = made.table["localization"].to_numpy()[frame["cell"]]
    frame = frame[frame["own"].isin(made.tested())].reset_index(drop=True)
    frame["before"] = before.loc[frame["cell"]].to_numpy()
    trials = made.trials().set_index("trial")["donor_localization"]
    frame["background"] = trials.loc[frame["trial"]].to_numpy()
    return frame


def mean_over_cells(values, cell):
    return values.groupby(cell).mean().mean()


def scope_rows(rows, names):
    """The overall row, and by class; checks that there are no others."""
    overall = rows[rows["scope"] == "overall"]
    by_class = rows[rows["scope"] == "localization"].set_index("localization")
    assert list(by_class.index) == [name for name in CLASSES if name in names]
    assert len(overall) == 1
    assert overall["localization"].isna().all()
    return next(overall.itertuples()), by_class


# Flips


def test_flips_are_shares_of_trials_that_changed_every_cell_counting_once(made, unit):
    found = made.frame("flips")
    conditions = set(map(str, COMPOSED)) - {"unaltered"}
    assert set(found["condition"]) == conditions
    assert set(found["unit"]) == {unit}
    for (model, protocol, condition), rows in found.groupby(KEY):
        trials = answers(made, model, condition, protocol)
        was, now = trials["before"] == trials["own"], trials["predicted"] == trials["own"]
        changed = {
            "lost": was & ~now,
            "gained": ~was & now,
            "moved": ~was & ~now & (trials["before"] != trials["predicted"]),
        }
        for direction in Flip:
            overall, by_class = scope_rows(rows[rows["direction"] == direction], made.tested())
            expected = []
            for name in made.tested():
                own = trials["own"] == name
                expected.append(mean_over_cells(changed[direction][own], trials["cell"][own]))
                row = by_class.loc[name]
                assert row["estimate"] == pytest.approx(expected[-1])
                assert row["n_cells"] == trials["cell"][own].nunique()
                assert row["n_proteins"] == trials["protein"][own].nunique()
                assert 0 <= row["ci_low"] <= row["estimate"] <= row["ci_high"] <= 1
            assert overall.estimate == pytest.approx(np.mean(expected))
            assert overall.n_cells == trials["cell"].nunique()
            assert overall.n_proteins == trials["protein"].nunique()


def test_lost_less_gained_is_the_drop_in_accuracy(made):
    found, effects = made.frame("flips"), made.frame("effects")
    keys = [*KEY, "scope", "localization"]
    wide = found.pivot_table(index=keys, columns="direction", values="estimate", dropna=False)
    drops = effects[(effects["probe"] == "multiclass") & (effects["effect"] == "drop")]
    together = drops.set_index(keys).join(wide, how="inner")
    assert len(together) == len(drops) > 0
    assert np.allclose(together["lost"] - together["gained"], together["estimate"], atol=1e-12)
    assert (together["lost"] > 0).any()
    assert (together["gained"] > 0).any()


def test_the_sham_swap_flips_nothing(made):
    assert (made.frame("flips").query("condition == 'sham'")["estimate"] == 0).all()


# Backgrounds


def test_every_pair_of_centre_and_background_equals_a_plain_loop(made, unit):
    found = made.frame("backgrounds")
    with_donors = {str(c) for c in COMPOSED if CONDITIONS[c].donors != "none"}
    assert set(found["condition"]) == with_donors
    assert set(found["unit"]) == {unit}
    for (model, protocol, condition), rows in found.groupby(KEY):
        trials = answers(made, model, condition, protocol)
        pairs = []
        for (own, background), some in trials.groupby(["own", "background"]):
            pairs.append((own, background))
            (row,) = rows[
                (rows["localization"] == own) & (rows["background"] == background)
            ].itertuples()
            cell = some["cell"]
            now, was = (mean_over_cells(some[c] == own, cell) for c in ("predicted", "before"))
            to, from_ = (
                mean_over_cells(some[c] == background, cell) for c in ("predicted", "before")
            )
            assert row.accuracy == pytest.approx(now)
            assert row.drop == pytest.approx(was - now)
            assert row.attraction == pytest.approx(to - from_)
            assert row.n_cells == cell.nunique()
            assert row.n_proteins == some["protein"].nunique()
            known = row.n_proteins > 1 if unit == "protein" else row.n_cells > 1
            assert (row.ci_low <= row.drop <= row.ci_high) == known
            assert (row.attraction_low <= row.attraction <= row.attraction_high) == known
        order = [
            (CLASSES.index(a), CLASSES.index(b))
            for a, b in rows[["localization", "background"]].to_numpy()
        ]
        assert order == sorted(order)
        assert len(rows) == len(pairs)


def test_counts_of_backgrounds_add_up_to_the_trials(made):
    found = made.frame("backgrounds").query("protocol == 'frozen' and model == 'one'")
    for condition, rows in found.groupby("condition"):
        trials = answers(made, "one", condition, "frozen")
        pairs = trials[["cell", "background"]].drop_duplicates()
        assert rows["n_cells"].sum() == len(pairs)
        repeats = trials.groupby(["cell", "background"]).size()
        assert (rows["n_cells"].sum() * repeats.mean()).round() == len(trials)


def test_on_its_own_class_a_background_attracts_what_is_lost(made):
    same = made.frame("backgrounds").query("condition == 'same'")
    diagonal = same[same["localization"] == same["background"]]
    assert len(diagonal)
    assert np.allclose(diagonal["attraction"], -diagonal["drop"])


def test_planted_neighbours_attract(made):
    different = made.frame("backgrounds").query("condition == 'different' and protocol == 'frozen'")
    tested = different[different["background"].isin(made.tested())]
    assert tested["attraction"].mean() > 0.05


# Rescaling


@pytest.mark.parametrize("normalisation", ["crop", "locked"])
def test_a_drop_is_split_by_the_second_reading(made, unit, normalisation):
    if normalisation == "locked":  # what was the second reading is now the first
        kept = made.frame("rescaling")
        made.run.summary("rescaling").unlink()
        made.summarise(embed=EmbedConfig(normalisation="locked"))
    found = made.frame("rescaling")
    conditions = [str(c) for c in COMPOSED if CONDITIONS[c].rescaled]
    assert sorted(set(found["condition"])) == sorted(conditions)
    assert set(found["unit"]) == {unit}
    for (model, condition), rows in found.groupby(["model", "condition"]):
        second = made.second(model, condition).set_index("trial")["predicted"]
        trials = answers(made, model, condition, "frozen")
        trials = trials[trials["trial"].isin(second.index)]
        again = second.loc[trials["trial"]].to_numpy()
        own, first = trials["own"], trials["predicted"]
        crop, locked = (again, first) if normalisation == "locked" else (first, again)
        before, crop, locked = (answer == own for answer in (trials["before"], crop, locked))
        parts = {
            DropPart.TOTAL: before * 1.0 - crop,
            DropPart.RESCALING: locked * 1.0 - crop,
            DropPart.CONTEXT: before * 1.0 - locked,
        }
        for part, difference in parts.items():
            overall, by_class = scope_rows(rows[rows["part"] == part], made.tested())
            by_cell = difference.groupby([own, trials["cell"]]).mean()  # a cell counts once
            expected = by_cell.groupby(level=0).mean()
            assert np.allclose(by_class["estimate"], expected[by_class.index])
            assert overall.estimate == pytest.approx(expected.mean())
            assert overall.n_cells == trials["cell"].nunique()
            assert (len(trials) > overall.n_cells) == (condition == "different")
            assert overall.n_proteins == trials["protein"].nunique()
            assert overall.ci_low <= overall.estimate <= overall.ci_high
    keys = ["model", "condition", "scope", "localization"]
    wide = found.pivot_table(index=keys, columns="part", values="estimate", dropna=False)
    wide = wide.dropna(how="all")
    assert np.allclose(wide["total"], wide["rescaling"] + wide["context"], atol=1e-15)
    if normalisation == "locked":
        assert not kept["estimate"].equals(found["estimate"])
        made.run.summary("rescaling").unlink()
        made.summarise()
        assert made.frame("rescaling").equals(kept)


# Calibration


def heated(probabilities, temperature):
    powers = [p ** (1 / temperature) if p > 0 else 0.0 for p in probabilities]
    return np.array(powers) / sum(powers)


@pytest.mark.parametrize("model", MODELS)
def test_calibration_equals_a_plain_loop_over_trials(made, unit, model):
    calibration, reliability = made.frame("calibration"), made.frame("reliability")
    assert set(calibration["unit"]) == {unit}
    for protocol in FITTED:
        for condition in ("unaltered", "different", "masked"):
            trials = answers(made, model, condition, protocol)
            many = trials.groupby("cell")["trial"].transform("size")
            key = {"model": model, "protocol": protocol, "condition": condition}
            rows = calibration.loc[(calibration[list(key)] == pd.Series(key)).all(axis=1)]
            bars = reliability.loc[(reliability[list(key)] == pd.Series(key)).all(axis=1)]
            temperatures = rows["temperature"].unique()
            assert len(temperatures) == 2
            assert temperatures[0] == 1
            for temperature in temperatures:
                bins = [[] for _ in range(BINS)]
                brier = 0.0
                for row, n in zip(trials.itertuples(), many, strict=True):
                    p = heated(np.float64(row.probabilities), temperature)
                    right = row.predicted == row.own
                    target = np.array([name == row.own for name in CLASSES])
                    brier += ((p - target) ** 2).sum() / n
                    upper = [b for b in range(BINS) if p.max() <= (b + 1) / BINS + 1e-15]
                    bins[upper[0]].append((1 / n, p.max(), right, row.cell))
                cells = trials["cell"].nunique()
                gaps = [sum(w * (r - c) for w, c, r, _ in some) for some in bins]
                here = rows[rows["temperature"] == temperature].set_index("measure")
                assert here.loc["ece", "estimate"] == pytest.approx(np.abs(gaps).sum() / cells)
                assert here.loc["brier", "estimate"] == pytest.approx(brier / cells)
                assert (here["n_cells"] == cells).all()
                assert (here["n_proteins"] == trials["protein"].nunique()).all()
                assert (here["ci_low"] <= here["estimate"]).all()
                assert (here["ci_high"] >= here["estimate"]).all()
                assert (here["ci_low"] >= 0).all()
                some_bars = bars[bars["temperature"] == temperature]
                assert some_bars["bin"].tolist() == list(range(BINS))
                for bar, some in zip(some_bars.itertuples(), bins, strict=True):
                    assert bar.n == len(some)
                    assert bar.n_cells == len({cell for *_, cell in some})
                    if some:
                        weight, confidence, right, _ = map(np.array, zip(*some, strict=True))
                        mean = np.average([confidence, right], axis=1, weights=weight)
                        assert (bar.confidence, bar.accuracy) == pytest.approx(tuple(mean))
                    else:
                        assert np.isnan(bar.confidence)
                        assert np.isnan(bar.accuracy)


def test_one_temperature_per_model_and_protocol_fits_the_unaltered_answers_best(made):
    calibration = made.frame("calibration")
    assert set(calibration["condition"]) == set(map(str, COMPOSED))
    for (model, protocol), rows in calibration.groupby(["model", "protocol"]):
        (fitted,) = set(rows["temperature"]) - {1}
        trials = answers(made, model, "unaltered", protocol)
        own = [CLASSES.index(name) for name in trials["own"]]
        probabilities = np.stack(trials["probabilities"]).astype(float)

        def surprise(temperature, own=own, probabilities=probabilities):
            rows = [heated(p, temperature)[k] for p, k in zip(probabilities, own, strict=True)]
            return -np.log(np.maximum(rows, 1e-300)).mean()

        least = surprise(fitted)
        assert least <= min(surprise(fitted * f) for f in (0.9, 0.97, 1, 1.03, 1.1)) + 1e-9
        assert least <= surprise(1.0) + 1e-12


def test_every_new_table_has_rows_of_both_protocols_in_order(made):
    for name in ("flips", "backgrounds", "calibration", "reliability", "truth"):
        frame = made.frame(name)
        order = [
            (list(MODELS).index(m), list(FITTED).index(p), list(COMPOSED).index(c))
            for m, p, c in frame[KEY].drop_duplicates().to_numpy()
        ]
        assert order == sorted(order), name
        assert {p for _, p, _ in order} == {0, 1}
        assert list(frame.columns) == schema.SUMMARY_TABLES[name].names
