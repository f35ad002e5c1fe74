"""Pair tests from embeddings to tables: every number against plain loops over the run's files."""

import itertools

import numpy as np
import pandas as pd
import pytest

from compute import schema
from compute.probes.pair_tests import PairScore
from compute.probes.stage import _tally
from compute.schema import FITTED, Condition
from compute.statistics.effect_rows import pair_tallies
from compute.statistics.effects import accuracies
from tests.compute.summarised_run import MODELS
from tests.compute.synthetic_cells import CLASSES


def test_fewer_than_five_proteins_are_resampled_by_cell(made, unit):
    proteins = [len(set(made.cells.protein[made.cells.classes == k])) for k in range(3)]
    assert unit == ("protein" if min(proteins) >= 5 else "cell")
    for name in ("accuracy", "effects"):
        assert set(made.frame(name)["unit"]) == {unit}
    assert made.frame("pair_tallies")["cell"].isna().all() == (unit == "protein")


def test_every_pair_is_tested_on_every_background(made):
    found = made.frame("pairwise")
    tested = made.cells.folds.testable()
    pairs = list(itertools.combinations([CLASSES[k] for k in tested], 2))
    shared = [CLASSES[k] for k in made.plan.backgrounds]
    windows = CLASSES[:3]
    for model, protocol in itertools.product(MODELS, FITTED):
        some = found[(found["model"] == model) & (found["protocol"] == protocol)]
        for condition in schema.CONDITIONS:
            here = some[some["condition"] == condition]
            rows = [tuple(row) for row in here[["localization_a", "localization_b"]].to_numpy()]
            if not schema.CONDITIONS[condition].grid:
                assert rows == pairs
                assert here["background"].isna().all()
                continue
            expected = [
                (*pair, k)
                for pair in pairs
                for k in shared
                if k not in pair and (condition == "different" or k in windows)
            ]
            columns = ["localization_a", "localization_b", "background"]
            assert [tuple(row) for row in here[columns].to_numpy()] == expected
    assert found["accuracy"].between(0, 1).all()
    assert (found["n"] <= 40).all()


def test_tallies_hold_every_held_out_answer(made, unit):
    pairwise, tallies = made.frame("pairwise"), made.frame("pair_tallies")
    keys = ["model", "condition", "protocol"]
    trials = made.trials()
    grid = trials[made.cells.grid[trials["cell"]]]
    for key, some in tallies.groupby(keys):
        a, b = CLASSES[:2]
        for own, other in ((a, b), (b, a)):
            here = some[(some["localization"] == own) & (some["other"] == other)]
            donor = {"conflicting": "different"}.get(key[1], key[1])
            mine = grid[(grid["condition"] == donor)
                        & (made.table["localization"].to_numpy()[grid["cell"]] == own)]  # fmt: skip
            if schema.CONDITIONS[Condition(key[1])].grid:
                tests = pairwise[(pairwise[keys] == list(key)).all(axis=1)
                                 & (pairwise["localization_a"] == a)
                                 & (pairwise["localization_b"] == b)]  # fmt: skip
                mine = mine[mine["donor_localization"].isin(tests["background"])]
            if key[1] == "conflicting":
                mine = mine[mine["donor_localization"] == other]
            assert here["n"].sum() == len(mine)
            assert here["n_cells"].sum() == mine["cell"].nunique()
            assert (here["correct"] <= here["n"]).all()
    assert not tallies.duplicated([*keys, "protein", "cell", "localization", "other"]).any()


def test_a_tally_equals_a_naive_count_of_answers(made, unit):
    rng, cells = np.random.default_rng(0), made.cells
    scores = []
    for a, b in itertools.combinations(cells.folds.testable().tolist(), 2):
        rows = np.flatnonzero(cells.grid & np.isin(cells.classes, (a, b)))
        for protocol, background in itertools.product(("refit", "frozen"), (-1, 3)):
            cell = np.append(rows, rows[:5])
            right = rng.random(len(cell)) < 0.7
            scores.append((protocol, PairScore(a, b, background, 0, 0, 0, cell, right)))
    found = _tally("m", Condition.SAME, scores, cells).to_pandas()
    naive = {}
    for protocol, score in scores:
        for cell, right in zip(score.cell, score.correct, strict=True):
            own = cells.classes[cell]
            other = score.second if own == score.first else score.first
            place = (cells.protein[cell], None if unit == "protein" else int(cell))
            entry = naive.setdefault(
                (protocol, *place, CLASSES[own], CLASSES[other]), [0, 0, set()]
            )
            entry[0] += right
            entry[1] += 1
            entry[2].add(int(cell))
    rows = {}
    for r in found.itertuples():
        cell = None if pd.isna(r.cell) else int(r.cell)
        key = (r.protocol, r.protein, cell, r.localization, r.other)
        rows[key] = (r.correct, r.n, r.n_cells)
    assert rows == {key: (right, n, len(who)) for key, (right, n, who) in naive.items()}
    # And back: tallies to arrays to accuracies equals the mean over pairs of all their answers.
    for protocol in ("refit", "frozen"):
        some = found[found["protocol"] == protocol]
        arranged, names = pair_tallies(some, ["unaltered", "same"], CLASSES)
        assert names == ["same"]
        overall = accuracies(arranged, np.ones((1, len(arranged.classes))), len(CLASSES)).overall
        by_pair = {}
        for name, score in scores:
            if name == protocol:
                by_pair.setdefault((score.first, score.second), []).extend(score.correct)
        assert overall[0, 0] == pytest.approx(np.mean([np.mean(v) for v in by_pair.values()]))


def naive_accuracy(tallies, model, protocol, condition, name):
    """Average answers into an accuracy, one pair at a time."""
    tallies = tallies[(tallies["model"] == model) & (tallies["protocol"] == protocol)
                      & (tallies["condition"] == condition)]  # fmt: skip
    pairs = []
    for a, b in itertools.combinations(sorted(set(tallies["localization"]), key=CLASSES.index), 2):
        both = [tallies[(tallies["localization"] == x) & (tallies["other"] == y)]
                for x, y in ((a, b), (b, a))]  # fmt: skip
        if name in (None, a, b) and all(len(side) for side in both):
            pairs.append(pd.concat(both)["correct"].sum() / pd.concat(both)["n"].sum())
    return np.mean(pairs)


def test_pair_accuracies_are_means_over_pairs(made):
    accuracy, tallies = made.frame("accuracy"), made.frame("pair_tallies")
    for row in accuracy[accuracy["probe"] == "pair"].itertuples():
        name = row.localization if row.scope == "localization" else None
        expected = naive_accuracy(tallies, row.model, row.protocol, row.condition, name)
        assert row.estimate == pytest.approx(expected)
        assert row.ci_low <= row.estimate + 0.05
        assert row.ci_high >= row.estimate - 0.05
        assert row.ci_low < row.ci_high or row.estimate in (0, 1)


def test_counts_of_pair_tests_are_of_cells_and_proteins_in_pair_tests(made):
    accuracy, cells = made.frame("accuracy"), made.cells
    for row in accuracy[(accuracy["probe"] == "pair") & (accuracy["condition"] == "unaltered")
                        ].itertuples():  # fmt: skip
        here = cells.grid & np.isin(cells.classes, cells.folds.testable())
        if row.scope == "localization":
            here &= cells.classes == CLASSES.index(row.localization)
        assert row.n_cells == here.sum()
        assert row.n_proteins == len(set(cells.protein[here]))
