"""Donors in the effects stage: what they add to intervals, and whose proteins probes have seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from compute.effects.donors import donor_seen, pair_donors
from compute.effects.stage import _Stage
from compute.probes.pair_tests import PairScore
from compute.probes.tables import donor_influences, read_donor_influence
from compute.schema import CONDITIONS, FITTED, Condition, Protocol
from compute.statistics.bootstrap import Resampling, spread
from compute.statistics.effects import drawn_accuracies
from compute.storage.atomic_files import silent
from tests.compute.summarised_run import BIG, BOOTSTRAP, EMBED, MODELS
from tests.compute.synthetic_cells import CLASSES, windows_table

WITH_DONORS = [c for c, spec in CONDITIONS.items() if spec.donors != "none"]


@pytest.fixture(scope="module")
def stage(made):
    found = _Stage(
        made.run, made.cells, made.table, list(MODELS), made.plan.config.conditions, BOOTSTRAP,
        made.truth, EMBED, {},
    )  # fmt: skip
    found.gather(silent)
    return found


def donor_of(made, trials):
    """Name the donor unit of each trial: protein and class, or cell where proteins are few."""
    windows = windows_table(CLASSES[:3], population=BIG)
    names = []
    for row in trials.itertuples():
        window = CONDITIONS[Condition(row.condition)].donors == "window"
        source = windows if window else made.table
        protein = source["protein"].iloc[int(row.donor)]
        name = (protein, source["localization"].iloc[int(row.donor)])
        names.append(name if made.cells.by_protein else (*name, window, int(row.donor)))
    return names


def naive_part(part, units, donors):
    """Products of the parts of all trials that share a donor but not the centre unit."""
    frame = pd.DataFrame({"part": part, "unit": units, "donor": donors})
    by_donor = frame.groupby("donor")["part"].sum()
    both = frame.groupby(["donor", "unit"])["part"].sum()
    return (by_donor**2).sum() - (both**2).sum()


@pytest.mark.parametrize("condition", ["same", "different", "cell_free"])
def test_the_stage_adds_what_a_loop_over_trials_gives(made, stage, condition):
    answered = stage.multiclass["two", Protocol.FROZEN]
    rows = made.predictions("two", condition, "frozen").merge(
        made.trials()[["trial", "donor", "donor_localization"]], on="trial"
    )
    label = made.table["localization"]
    rows["own"] = label[rows["cell"]].to_numpy()
    rows = rows[rows["own"].isin(made.tested())]
    rows["weight"] = 1 / rows.groupby("cell")["trial"].transform("size")
    rows["right"] = (rows["predicted"] == rows["own"]).astype(float)
    rows["unit"] = stage.units.of[rows["cell"]]
    rows["behind"] = [str(name) for name in donor_of(made, rows)]
    part = pd.Series(0.0, rows.index)
    for (own, _), some in rows.groupby(["own", "donor_localization"]):
        weight = some["weight"]
        off = some["right"] - (weight * some["right"]).sum() / weight.sum()
        share = weight.groupby(some["behind"]).sum() / weight.sum()
        left = 1 - (share**2).sum()
        stretch = 1 / np.sqrt(left) if left > 1e-9 else 0
        part[some.index] = weight * off * stretch / rows.loc[rows["own"] == own, "weight"].sum()
    part /= rows["own"].nunique()
    naive = max(naive_part(part, rows["unit"], rows["behind"]), 0)
    place = answered.tested.index(condition)
    found = answered.donors.component(np.eye(len(answered.tested))[place], 0)
    assert found.variance == pytest.approx(naive, abs=1e-12)


def test_intervals_of_drops_have_the_variance_of_both_ways(made, stage):
    """Half the width over Student's t, squared, is the draws' variance plus the donors' part."""
    effects = made.frame("effects")
    widened = 0
    for (model, protocol), answered in stage.multiclass.items():
        tallies = answered.tallies
        resampling = Resampling(tallies.classes, len(CLASSES), BOOTSTRAP.draws, BOOTSTRAP.seed)
        _, draws = drawn_accuracies(tallies, resampling)
        contrast = np.zeros(len(answered.tested))
        first, second = (answered.tested.index(c) for c in ("same", "different"))
        contrast[[first, second]] = 1, -1
        part = answered.donors.component(contrast, 0)
        s = spread(draws.overall[:, first] - draws.overall[:, second])
        (row,) = effects[
            (effects["model"] == model) & (effects["protocol"] == protocol)
            & (effects["probe"] == "multiclass") & (effects["effect"] == "gap")
            & (effects["scope"] == "overall")
        ].itertuples()  # fmt: skip
        half = (row.ci_high - row.ci_low) / 2
        assert half >= stats.norm.ppf(0.975) * np.sqrt(s**2 + part.variance) * (1 - 1e-9)
        widened += part.variance > 0
    assert widened, "in some of them donors add something"


def test_influences_of_pair_tests_are_read_as_they_were_written(made):
    rng, cells = np.random.default_rng(0), made.cells
    tested = cells.folds.testable().tolist()
    of = np.flatnonzero(cells.grid & np.isin(cells.classes, tested))
    unit = cells.donor_units.of_cell[of]
    scores = []
    for protocol in ("refit", "frozen"):
        for a, b in ((tested[0], tested[1]), (tested[0], tested[2])):
            rows = of[np.isin(cells.classes[of], (a, b))]
            donor = rng.choice(unit, len(rows)).astype(np.int32)
            right = rng.random(len(rows)) < 0.7
            scores.append((protocol, PairScore(a, b, -1, 0, 0, 0, rows, right, 0, donor)))
    turned = [(name, replace(score, correct=rng.random(len(score.cell)) < 0.5)) for name, score in
              scores]  # fmt: skip
    table = donor_influences([scores, turned], cells)
    classes = cells.donor_units.classes
    for protocol in FITTED:
        mine = [score for name, score in scores if name == protocol]
        again = [score for name, score in turned if name == protocol]
        cell = np.concatenate([score.cell for score in mine])
        right, other = (
            np.concatenate([score.correct for score in some]).astype(float)
            for some in (mine, again)
        )
        donor = np.concatenate([score.donor for score in mine])
        own = cells.classes[cell]
        pair = np.concatenate([[f"{s.first}-{s.second}"] * len(s.cell) for s in mine])
        rows = pd.DataFrame({"right": right - other, "donor": donor, "own": own, "pair": pair})
        rows["unit"], rows["behind"] = cells.units.of[cell], classes[donor]
        part = pd.Series(0.0, rows.index)
        for (_, which, _), some in rows.groupby(["own", "pair", "behind"]):
            share = some.groupby("donor").size() / len(some)
            left = 1 - (share**2).sum()
            stretch = 1 / np.sqrt(left) if left > 1e-9 else 0
            off = (some["right"] - some["right"].mean()) * stretch
            part[some.index] = off / (rows["pair"] == which).sum() / len(mine)
        naive = max(naive_part(part, rows["unit"], rows["donor"]), 0)
        found = read_donor_influence(table, protocol, classes, CLASSES)
        apart = found.component(np.array([1.0, -1.0]), 0)
        assert apart.variance == pytest.approx(naive, abs=1e-12)
    without = [(name, PairScore(s.first, s.second, -1, 0, 0, 0, s.cell, s.correct)) for name, s in
               scores]  # fmt: skip
    assert donor_influences([without], cells).num_rows == 0


def test_every_condition_with_donors_has_influences_of_its_pair_tests(made):
    names = [str(c) for c in made.plan.config.conditions]
    for protocol in FITTED:
        found = pair_donors(made.run, made.cells, "one", protocol, names)
        for m, name in enumerate(names):
            moved = bool(found.moved[..., m].any())
            assert not (moved and Condition(name) not in WITH_DONORS)
            if name in ("same", "different", "conflicting"):
                assert moved


def test_the_share_of_donors_that_were_seen_is_counted_over_tested_trials(made):
    trials, label = made.trials(), made.table["localization"].to_numpy()
    known = trials[trials["donor_seen"].notna()]
    assert len(known)
    tested = {"pair": made.cells.tested, "multiclass": made.cells.units.of >= 0}
    for table in ("accuracy", "effects"):
        for row in made.frame(table).itertuples():
            condition = {"conflicting": "different"}.get(row.condition, row.condition)
            here = known[(known["condition"] == condition) & tested[row.probe][known["cell"]]]
            if row.scope == "localization":
                here = here[label[here["cell"]] == row.localization]
            if len(here) == 0:
                assert np.isnan(row.donor_seen)
            else:
                assert row.donor_seen == pytest.approx(here["donor_seen"].astype(bool).mean())
    conditions = {condition for _, condition, _ in donor_seen(made.run, made.cells)}
    assert conditions <= set(map(str, WITH_DONORS))
