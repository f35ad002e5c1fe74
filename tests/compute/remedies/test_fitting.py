"""What remedies are fitted on, and how: against plain loops, never on what they are judged on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from compute.errors import UsageError
from compute.hashing import Stream, mix
from compute.probes.gather import shards
from compute.probes.multiclass import Softmax, fit_softmax
from compute.remedies import balanced, choose, projected
from compute.remedies.balanced import balanced_crops, fit_balanced
from compute.remedies.config import RemedyConfig
from compute.remedies.learned import Learned, Swapped, average, learn
from compute.remedies.projected import background_directions, fit_each, fit_projected
from tests.compute.remedies.planted_run import INSIDE, MODEL, make
from tests.compute.synthetic_cells import CLASSES

CONFIG = RemedyConfig(donors=3, backgrounds=3, strengths=(1.0, 0.1), directions=(0, 1, 2))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return make(tmp_path_factory.mktemp("planted") / "run", 1.0)


@pytest.fixture(scope="module")
def learned(planted):
    return learn(planted.run, planted.cells, MODEL, CONFIG, 0)


def everything(planted, model=MODEL):
    """All trials with their vectors, in one frame."""
    parts = [
        trials.assign(vector=list(vectors))
        for trials, vectors in shards(planted.run, "embeddings", model)
    ]
    return pd.concat(parts, ignore_index=True)


def naive_average(frame, cell, many, seed):
    """Average one cell's embeddings, one background after the other."""
    mine = frame[(frame["cell"] == cell) & frame["condition"].isin(["same", "different"])]
    entries = []
    for name, some in mine.groupby("donor_localization"):
        k = CLASSES.index(name)
        for turn, row in enumerate(some.sort_values("repeat").itertuples()):
            rank = int(mix(seed, Stream.AVERAGED_BACKGROUNDS, np.array([cell]), k, turn)[0])
            entries.append((turn, rank, row.vector.astype(float), int(row.donor)))
    entries.sort(key=lambda entry: entry[:2])
    kept = entries[:many]
    return np.mean([entry[2] for entry in kept], 0), [entry[3] for entry in kept]


def test_what_is_learned_is_what_plain_loops_gather(planted, learned):
    frame = everything(planted)
    assert sorted(learned.cell) == sorted(np.flatnonzero(planted.cells.tested))
    for n, cell in enumerate(learned.cell):
        mine = frame[frame["cell"] == cell]
        for condition, vector in (("unaltered", learned.unaltered), ("alone", learned.alone)):
            only = mine[mine["condition"] == condition]["vector"].iloc[0]
            assert np.array_equal(vector[n], only)
        expected, _ = naive_average(frame, cell, CONFIG.backgrounds, 0)
        assert np.allclose(learned.averaged[n], expected, atol=1e-6)
        for name, different in (("same", False), ("different", True)):
            rows = mine[mine["condition"] == name].sort_values("repeat").iloc[: CONFIG.donors]
            here = (learned.swapped.place == n) & (learned.swapped.different == different)
            assert np.array_equal(learned.swapped.features[here], np.stack(rows["vector"]))
            assert learned.swapped.donor[here].tolist() == rows["donor"].tolist()


def test_a_cell_is_averaged_over_classes_before_any_comes_twice(planted):
    for trials, vectors in shards(planted.run, "embeddings", MODEL):
        found = average(trials.assign(donor=trials["donor"].fillna(-1)), vectors, CLASSES, 4, 0)
        assert (found.donors >= 0).all()
        classes = planted.cells.classes[found.donors]
        assert all(len(set(row)) == 4 for row in classes.tolist())
        folds = planted.cells.folds.fold
        assert (folds[found.donors] == folds[found.cell][:, None]).all()
    assert len(average(trials.iloc[:0], vectors[:0], CLASSES, 3, 0).cell) == 0
    few = average(trials.assign(donor=trials["donor"].fillna(-1)), vectors, CLASSES, 64, 0)
    assert (few.donors < 0).any(), "a cell that has fewer is averaged over those"


def test_a_balanced_cell_weighs_as_much_as_another(learned):
    crops = balanced_crops(learned, 0.3)
    for n, cell in enumerate(learned.cell):
        mine = crops.cell == cell
        assert np.isclose(crops.weight[mine].sum(), 1)
        many = (learned.swapped.different & (learned.swapped.place == n)).sum()
        weights = sorted(crops.weight[mine])
        assert np.allclose(weights, sorted([0.7, *[0.3 / many] * many]))
    only = balanced_crops(learned, 1.0)
    assert len(only.cell) == learned.swapped.different.sum(), "no weight, no crop"
    none = replace(learned, swapped=learned.swapped.take(np.zeros_like(learned.swapped.different)))
    assert (balanced_crops(none, 0.3).weight == 1).all()


def test_a_weight_is_as_many_copies(learned):
    """So a weighted fit is the fit of the crops, each as often as it counts."""
    few = np.arange(0, len(learned.cell), 2)
    weight = np.tile([1.0, 2.0, 3.0], len(few))[: len(few)]
    features, classes = learned.unaltered[few], learned.classes[few]
    one = fit_softmax(features, classes, weight=weight, c=0.5)
    copies = np.repeat(np.arange(len(few)), weight.astype(int))
    other = fit_softmax(features[copies], classes[copies], c=0.5)
    assert np.allclose(one(features), other(features), atol=1e-3)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_directions_are_the_principal_components_within_cells(seed, most):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 5, 24)
    features = rng.standard_normal((24, 6)) * [5, 3, 2, 1, 0.5, 0.2]
    found = background_directions(features, place, most)
    off = np.array([features[i] - features[place == place[i]].mean(0) for i in range(24)])
    right = np.linalg.svd(off)[2][:most].T
    assert np.allclose(np.abs(np.sum(found * right, 0)), 1, atol=1e-6)
    assert np.allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-9)


def test_no_more_directions_than_backgrounds_make():
    features = np.outer([1.0, -1.0, 2.0, -2.0], [3.0, 4.0, 0.0])
    assert np.allclose(
        np.abs(background_directions(features, np.array([0, 0, 1, 1]), 3)), [[0.6], [0.8], [0]]
    )
    assert background_directions(features[:0], np.zeros(0, int), 2).shape == (3, 0)


def test_a_projected_probe_is_a_probe_of_projected_embeddings(learned):
    """By hand: standardise, project, fit; and the weights are folded back."""
    probes = fit_each(learned, [0, 1])
    mean, scale = learned.unaltered.mean(0, dtype=float), learned.unaltered.std(0, dtype=float)
    moved = (learned.swapped.features - mean) / scale
    direction = background_directions(moved, learned.swapped.place, 1)
    for probe, taken in zip(probes, (direction[:, :0], direction), strict=True):
        keep = np.eye(len(mean)) - taken @ taken.T
        x = (learned.unaltered - mean) / scale @ keep
        model = LogisticRegression(C=1.0, max_iter=1000, tol=1e-5).fit(x, learned.classes)
        assert np.allclose(probe(learned.unaltered), model.predict_proba(x), atol=2e-3)
    shifted = learned.unaltered + 7 * (direction[:, 0] * scale)
    assert np.allclose(probes[1](shifted), probes[1](learned.unaltered), atol=1e-5)
    assert not np.allclose(probes[0](shifted), probes[0](learned.unaltered), atol=1e-2)
    plain = fit_softmax(learned.unaltered, learned.classes)
    assert np.allclose(probes[0](learned.unaltered), plain(learned.unaltered), atol=2e-3)


def test_a_unit_that_projecting_empties_is_not_blown_up(learned):
    """What rounding leaves of a unit that only shows the background is no feature."""
    shown = replace(learned, unaltered=learned.unaltered.copy())
    rng = np.random.default_rng(0)
    crops = learned.swapped.features.copy()
    shown.unaltered[:, 9] = 50 * rng.standard_normal(len(shown.cell))
    crops[:, 9] = 5000 * rng.standard_normal(len(crops))
    shown = replace(shown, swapped=replace(learned.swapped, features=crops))
    weight = fit_each(shown, [1])[0].weight
    assert np.abs(weight[9]).max() < 1e-3 * np.abs(weight).max()


def test_the_criterion_is_the_mean_of_two_accuracies(learned):
    rng = np.random.default_rng(0)
    probe = Softmax(rng.standard_normal((10, 4)), rng.standard_normal(4), np.arange(4))
    parts = []
    crops = learned.swapped.take(learned.swapped.different)
    for features, classes in (
        (learned.unaltered, learned.classes), (crops.features, learned.classes[crops.place]),
    ):  # fmt: skip
        by_class = []
        for k in range(4):
            scores = [f @ probe.weight + probe.bias for f in features[classes == k]]
            by_class.append(np.mean([np.argmax(s) == k for s in scores]))
        parts.append(np.mean(by_class))
    assert np.isclose(choose.criterion(probe, learned), np.mean(parts))


def test_settings_are_chosen_on_proteins_and_donors_that_were_not_learned(
    planted, learned, monkeypatch
):
    fitted, judged = {}, []

    def fit(some):
        probes = [Softmax(np.zeros((10, 4)), np.eye(4)[k], np.arange(4)) for k in (0, 1)]
        for probe in probes:
            fitted[id(probe)] = some, probe
        return probes

    def record(probe, cells):
        judged.append((fitted[id(probe)][0], cells))
        return 0.0

    monkeypatch.setattr(choose, "criterion", record)
    fold = planted.cells.folds.fold
    assert choose.choose(learned, fold, 3, fit) == [0, 0, 0], "of equal ones the first"
    assert len(judged) == 3 * 2 * 2

    def proteins(some):
        donors = planted.protein[some.swapped.donor]
        return set(planted.protein[some.cell]) | set(donors)

    for learnt, asked in judged:
        assert min(len(learnt.cell), len(asked.cell)) > 0
        assert not proteins(learnt) & proteins(asked)


def test_the_best_setting_is_chosen_fold_by_fold(learned, planted, monkeypatch):
    scores = iter([0.1, 0.9, 0.9, 0.1, 0.2, 0.1, 0.1, 0.3, 0.5, 0.1, 0.1, 0.9])
    monkeypatch.setattr(choose, "criterion", lambda *_: next(scores))
    # Pairs (0, 1), (0, 2), (1, 2); of each first the first fold's scores, judged on the second.
    found = choose.choose(learned, planted.cells.folds.fold, 3, lambda _: [None, None])
    assert found == [1, 0, 1]
    assert choose.choose(learned, planted.cells.folds.fold, 2, lambda _: []) is None


@pytest.mark.parametrize("fit", [fit_balanced, fit_projected])
def test_what_a_fold_holds_out_has_no_part_in_its_probe(planted, learned, fit):
    """Neither the cells of the fold nor their donors, whatever they look like."""
    folds = planted.cells.folds
    out = folds.fold[learned.cell] == 1
    rng = np.random.default_rng(0)
    swapped = learned.swapped
    strange = out[swapped.place]
    assert (folds.fold[swapped.donor[strange]] == 1).all()
    features = np.where(strange[:, None], rng.standard_normal((len(strange), 10)), swapped.features)
    unaltered = np.where(out[:, None], rng.standard_normal((len(out), 10)), learned.unaltered)
    other = replace(
        learned, unaltered=unaltered.astype(np.float32),
        swapped=replace(swapped, features=features.astype(np.float32)),
    )  # fmt: skip
    before, said = fit(learned, folds, 5, CONFIG)
    after, also = fit(other, folds, 5, CONFIG)
    assert said.count(",") == also.count(",") >= 2, "a setting a fold"
    assert np.array_equal(before.classifiers[1].weight, after.classifiers[1].weight)
    assert not np.array_equal(before.classifiers[0].weight, after.classifiers[0].weight)


def test_recorded_fits_never_have_the_cells_that_they_are_judged_on(planted, learned, monkeypatch):
    seen = []
    real = {"balanced": balanced._fit, "projected": projected.fit_each}

    def recorded(name):
        def fit(given, *rest):
            seen.append(given.cell)
            return real[name](given, *rest)

        return fit

    monkeypatch.setattr(balanced, "_fit", recorded("balanced"))
    monkeypatch.setattr(projected, "fit_each", recorded("projected"))
    one = RemedyConfig(strengths=(1.0,), directions=(1,))
    fold = planted.cells.folds.fold
    for fit in (fit_balanced, fit_projected):
        seen.clear()
        fit(learned, planted.cells.folds, 5, one)
        assert [sorted(set(fold[cell])) for cell in seen] == [[1, 2], [0, 2], [0, 1]]


def test_too_few_folds_to_choose_take_the_usual_settings(tmp_path):
    two = make(tmp_path / "run", 1.0, folds=2)
    some = learn(two.run, two.cells, INSIDE, CONFIG, 0)
    assert fit_balanced(some, two.cells.folds, 5, CONFIG)[1] == "share 0.5, C 1; share 0.5, C 1"
    assert fit_projected(some, two.cells.folds, 5, CONFIG)[1] == "directions 4, 4"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"donors": 0}, r"donors is 0; it must lie between 1 and 64"),
        ({"backgrounds": 1}, r"backgrounds is 1; it must lie between 2 and 64"),
        ({"backgrounds": 65}, r"backgrounds is 65"),
        ({"mixture": (0.5, 1.5)}, r"mixture has 1.5; it must be above 0 and at most 1"),
        ({"strengths": (0.0,)}, r"strengths has 0; it must be above 0"),
        ({"directions": (-1,)}, r"directions is -1"),
        ({"directions": ()}, r"directions is empty"),
    ],
)
def test_settings_out_of_range_are_refused_and_named(values, named):
    with pytest.raises(UsageError, match=named):
        RemedyConfig(**values)


def test_cells_keep_their_crops_when_some_are_taken(learned):
    chosen = np.arange(len(learned.cell)) % 3 == 1
    some: Learned = learned.take(chosen)
    crops: Swapped = some.swapped
    for n, cell in enumerate(some.cell):
        before = learned.swapped.features[learned.cell[learned.swapped.place] == cell]
        assert np.array_equal(crops.features[crops.place == n], before)
