"""Linear probes against a plain scikit-learn loop; nothing held out is ever learned from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict, cross_val_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from compute.backgrounds.folds import deal
from compute.probes import multiclass, solvers, svm_batched
from compute.probes import pair_tests as probes
from compute.probes.multiclass import TrainingCrops, fit_multiclass
from compute.probes.pair_tests import CONFLICTING, Crops, each_test, pair_tests, score_pair
from compute.probes.solvers import (
    SOLVERS,
    Fitting,
    Hyperplanes,
    PairTest,
    Solver,
    fit_pair,
    fit_test,
)

K, PER_CLASS, PROTEINS = 4, 24, 6
CLASSES = np.repeat(np.arange(K), PER_CLASS)
PROTEIN = np.array([f"{k}-{i % PROTEINS}" for k in range(K) for i in range(PER_CLASS)])
N = len(CLASSES)
EVERY = np.ones(N, bool)
PAIRS = [(a, b) for a in range(K) for b in range(a + 1, K)]
PLAIN = Fitting(Solver.REFERENCE)


def dealt(scheme="grouped", wanted=5):
    return deal(scheme, wanted, CLASSES, PROTEIN, EVERY, K, 0)


def once(features):
    """One crop per cell, in an order of its own, no background."""
    order = np.random.default_rng(8).permutation(N)
    return Crops(features[order].astype(np.float32), order, CLASSES[order], np.full(N, -1))


def on_backgrounds(make, seed=0):
    """Every cell once on every class but its own; features from make(cell, background, rng)."""
    rng = np.random.default_rng(seed)
    rows = [(i, b) for i in range(N) for b in range(K) if b != CLASSES[i]]
    rng.shuffle(rows)
    cell, background = np.array(rows).T
    return Crops(make(cell, background, rng).astype(np.float32), cell, CLASSES[cell], background)


def noisy(seed, distance=0.8, width=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, width)) + distance * rng.standard_normal((K, width))[CLASSES]


def plain_loop(crops, rows, pair, folds):
    """Do the same with scikit-learn's own loop over given folds."""
    split = PredefinedSplit(folds.fold[crops.cell[rows]])
    second = crops.classes[rows] == pair[1]
    svm, features = SVC(kernel="linear", C=1), crops.features[rows]
    accuracies = cross_val_score(svm, features, second, cv=split)
    return accuracies, cross_val_predict(svm, features, second, cv=split) == second


@pytest.mark.parametrize("scheme", ["grouped", "paper"])
@pytest.mark.parametrize("wanted", [2, 5, 50])
def test_a_pair_test_equals_a_plain_scikit_learn_loop(scheme, wanted):
    crops, folds, found = once(noisy(1, 0.4)), dealt(scheme, wanted), []
    for pair in PAIRS:
        rows = np.flatnonzero(np.isin(crops.classes, pair))
        (test,) = each_test(crops, pair, [-1], folds)
        assert sorted(test.rows.tolist()) == rows.tolist()
        rows = test.rows
        used, _ = fit_test(crops.features[rows], test, Solver.REFERENCE)
        score = score_pair(test, crops.features[rows], crops.cell[rows], used)
        accuracies, correct = plain_loop(crops, rows, pair, folds)
        assert (
            len(used.bias)
            == len(accuracies)
            == min(wanted, PROTEINS // 2 if scheme == "grouped" else 24)
        )
        assert score.accuracy == pytest.approx(accuracies.mean())
        assert score.std == pytest.approx(accuracies.std())
        found.append(score.accuracy)
        assert score.correct.tolist() == correct.tolist()
        assert score.cell.tolist() == crops.cell[rows].tolist()
        assert score.n == 2 * PER_CLASS
    assert 0.6 < np.mean(found) < 0.95, "neither chance nor certainty: mistakes would show"


def test_refit_on_backgrounds_equals_the_plain_loop_and_counts_cells_once():
    crops = on_backgrounds(lambda c, b, rng: noisy(2)[c] + 0.3 * rng.standard_normal((len(c), 6)))
    folds = dealt()
    shared = {pair: [k for k in (0, 2, 3) if k not in pair] for pair in PAIRS}
    scores, _ = pair_tests(crops, PAIRS, shared, folds, {}, PLAIN)
    refit = {(s.first, s.second, s.background): s for name, s in scores if name == "refit"}
    assert set(refit) == {(*pair, k) for pair in PAIRS for k in shared[pair]}
    for (a, b, k), score in refit.items():
        rows = np.flatnonzero(np.isin(crops.classes, (a, b)) & (crops.background == k))
        accuracies, _ = plain_loop(crops, rows, (a, b), folds)
        assert score.accuracy == pytest.approx(accuracies.mean())
        assert score.n == len(score.cell) == 2 * PER_CLASS


def test_frozen_uses_only_what_was_fitted_on_unaltered_crops():
    folds, own = dealt(), once(noisy(3))
    changed = once(-noisy(3) + 0.1)
    base, fitted = pair_tests(own, PAIRS, {pair: [-1] for pair in PAIRS}, folds, None, PLAIN)
    for (name, refit), (other, frozen) in zip(base[::2], base[1::2], strict=True):
        assert (name, other) == ("refit", "frozen")
        assert refit.accuracy == frozen.accuracy, "on unaltered crops both are the same"
    scores, _ = pair_tests(changed, PAIRS, {pair: [-1] for pair in PAIRS}, folds, fitted)
    frozen = {(s.first, s.second): s for name, s in scores if name == "frozen"}
    assert set(frozen) == set(PAIRS)
    for pair, score in frozen.items():
        number, right = folds.number, {}
        for held in range(number):
            here = np.isin(own.classes, pair)
            fold = folds.fold[own.cell]
            svm = SVC(kernel="linear", C=1)
            train = here & (fold != held)
            svm.fit(own.features[train], own.classes[train])
            test = np.isin(changed.classes, pair) & (folds.fold[changed.cell] == held)
            answers = svm.predict(changed.features[test]) == changed.classes[test]
            right.update(zip(changed.cell[test].tolist(), answers.tolist(), strict=True))
        found = dict(zip(score.cell.tolist(), score.correct.tolist(), strict=True))
        assert found == right
    refits = [s.accuracy for name, s in scores if name == "refit"]
    assert np.mean(refits) > 0.6 > np.mean([s.accuracy for s in frozen.values()])


def test_a_pair_without_a_frozen_probe_has_no_frozen_score():
    crops, folds = once(noisy(4)), dealt()
    scores, _ = pair_tests(crops, PAIRS[:1], {PAIRS[0]: [-1]}, folds, {})
    assert [name for name, _ in scores] == ["refit"]


@pytest.mark.parametrize("protocol", ["refit", "frozen"])
def test_features_that_memorise_the_cell_give_chance_level(protocol):
    crops, folds = once(np.eye(N)), dealt("paper")
    scores, _ = pair_tests(crops, PAIRS, {pair: [-1] for pair in PAIRS}, folds, None)
    assert np.mean([s.accuracy for name, s in scores if name == protocol]) == pytest.approx(
        0.5, abs=0.05
    )


def test_features_that_memorise_the_protein_help_only_where_proteins_are_split():
    code = np.unique(PROTEIN, return_inverse=True)[1]
    crops = once(np.eye(code.max() + 1)[code])
    accuracy = {}
    for scheme in ("grouped", "paper"):
        scores, _ = pair_tests(crops, PAIRS, {p: [-1] for p in PAIRS}, dealt(scheme), None)
        accuracy[scheme] = np.mean([s.accuracy for _, s in scores])
    assert accuracy["grouped"] == pytest.approx(0.5, abs=0.05)
    assert accuracy["paper"] == 1


def test_conflicting_puts_each_class_on_the_others_background():
    crops = on_backgrounds(lambda c, b, rng: np.eye(K)[b] + 0.01 * rng.standard_normal((len(c), K)))
    own = once(np.eye(K)[CLASSES])
    folds = dealt()
    _, fitted = pair_tests(own, PAIRS, {pair: [-1] for pair in PAIRS}, folds, None)
    scores, _ = pair_tests(crops, PAIRS, {p: [CONFLICTING] for p in PAIRS}, folds, fitted)
    assert len(scores) == 2 * len(PAIRS)
    for name, score in scores:
        assert score.background == -1
        assert score.n == 2 * PER_CLASS
        # All that there is to see is the background, and it points the wrong way.
        assert score.accuracy == {"refit": 1, "frozen": 0}[name]


def test_a_pair_without_a_class_in_some_fold_is_left_out():
    crops, folds = once(noisy(5)), dealt()
    lost = (crops.classes == 0) & (folds.fold[crops.cell] == 1)
    less = Crops(*(getattr(crops, f)[~lost] for f in ("features", "cell", "classes", "background")))
    scores, fitted = pair_tests(less, PAIRS, {pair: [-1] for pair in PAIRS}, folds, None)
    assert {(s.first, s.second) for _, s in scores} == {pair for pair in PAIRS if 0 not in pair}
    assert set(fitted) == {pair for pair in PAIRS if 0 not in pair}


@pytest.mark.parametrize("solver", list(Solver))
def test_cores_and_neighbours_in_the_list_change_no_score(solver):
    crops, folds = once(noisy(6)), dealt()
    every = {pair: [-1] for pair in PAIRS}
    one, planes = pair_tests(crops, PAIRS, every, folds, None, Fitting(solver))
    two, _ = pair_tests(crops, PAIRS, every, folds, None, Fitting(solver, 2))
    assert [(n, s.accuracy, s.correct.tolist()) for n, s in one] == [
        (n, s.accuracy, s.correct.tolist()) for n, s in two
    ]
    _, alone = pair_tests(crops, PAIRS[3:4], every, folds, None, Fitting(solver))
    # Batches of other sizes may be summed in another order.
    rounding = 1e-9 if solver is Solver.BATCHED else 0
    mine, other = alone[PAIRS[3]], planes[PAIRS[3]]
    assert np.abs(mine.weight - other.weight).max() <= rounding
    assert np.abs(mine.bias - other.bias).max() <= rounding


@pytest.mark.parametrize("solver", [Solver.SHARED, Solver.BATCHED])
def test_the_solvers_agree_on_every_protocol_and_background(solver):
    crops = on_backgrounds(lambda c, b, rng: noisy(2)[c] + 0.3 * rng.standard_normal((len(c), 6)))
    shared = {pair: [*(k for k in range(K) if k not in pair), CONFLICTING] for pair in PAIRS}
    found = [
        pair_tests(crops, PAIRS, shared, dealt(), None, Fitting(each))[0]
        for each in (solver, Solver.REFERENCE)
    ]
    far = []
    for (name, mine), (other, reference) in zip(*found, strict=True):
        key = (name, mine.first, mine.second, mine.background, mine.n)
        assert key == (
            other, reference.first, reference.second, reference.background, reference.n,
        )  # fmt: skip
        far.append(abs(mine.accuracy - reference.accuracy))
        assert mine.unsolved == 0
    assert np.mean(far) <= 0.003
    assert np.max(far) <= 0.021, "one answer of 48"


@pytest.mark.parametrize(
    ("solver", "place", "name"),
    [(Solver.SHARED, solvers, "fit_folds"), (Solver.BATCHED, svm_batched, "fit_batched")],
)
def test_what_a_solver_cannot_solve_goes_to_the_reference(monkeypatch, solver, place, name):
    crops, folds = once(noisy(4)), dealt()
    every = {pair: [-1] for pair in PAIRS}
    expected, planes = pair_tests(crops, PAIRS[:2], every, folds, {}, PLAIN)
    real = getattr(place, name)

    def half(*args):
        found = real(*args)
        found.kkt_violation[:2] = 1
        found.weight[:2] = np.nan
        return found

    monkeypatch.setattr(place, name, half)
    scores, mine = pair_tests(crops, PAIRS[:2], every, folds, {}, Fitting(solver))
    # Together, the first two SVMs are the first pair's.
    left = [2, 0] if solver is Solver.BATCHED else [2, 2]
    assert [score.unsolved for _, score in scores] == left
    assert np.array_equal(mine[PAIRS[0]].weight[:2], planes[PAIRS[0]].weight[:2])
    for (_, one), (_, other) in zip(scores, expected, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.021)


def test_what_takes_too_many_steps_goes_to_the_reference(monkeypatch):
    crops, folds = once(noisy(4)), dealt()
    every = {pair: [-1] for pair in PAIRS}
    expected, planes = pair_tests(crops, PAIRS, every, folds, {}, PLAIN)
    monkeypatch.setattr(svm_batched, "MAX_STEPS", 1)
    scores, mine = pair_tests(crops, PAIRS, every, folds, {}, Fitting(Solver.BATCHED, 2))
    assert [score.unsolved for _, score in scores] == [folds.number] * len(PAIRS)
    assert [s.accuracy for _, s in scores] == [s.accuracy for _, s in expected]
    assert np.array_equal(mine[PAIRS[0]].weight, planes[PAIRS[0]].weight)


def test_accuracies_of_batches_are_within_the_designs_limits():
    rng = np.random.default_rng(5)
    size, width, classes = 60, 32, np.repeat(np.arange(K), 60)
    protein = np.array([f"{k}-{i % 6}" for k in range(K) for i in range(size)])
    folds = deal("grouped", 5, classes, protein, np.ones(len(classes), bool), K, 0)
    cell = np.tile(np.arange(len(classes)), 3)
    behind = np.repeat(rng.permuted(np.tile(np.arange(K), size)), 3)
    features = 0.5 * rng.standard_normal((K, width))[classes[cell]]
    features += 0.5 * rng.standard_normal((K, width))[behind] + rng.standard_normal(
        (len(cell), width)
    )
    crops = Crops(features.astype(np.float32), cell, classes[cell], behind)
    shared = {pair: [-1, *(k for k in range(K) if k not in pair)] for pair in PAIRS}
    (mine, _), (reference, _) = (
        pair_tests(crops, PAIRS, shared, folds, {}, Fitting(solver))
        for solver in (Solver.BATCHED, Solver.REFERENCE)
    )
    assert len(mine) == 3 * len(PAIRS)
    assert sum(score.unsolved for _, score in mine) == 0
    one, two = (np.array([s.accuracy for _, s in some]) for some in (mine, reference))
    assert 0.6 < two.mean() < 0.95
    assert np.abs(one - two).mean() <= 0.003
    assert np.abs(one - two).max() <= 0.02


@pytest.mark.parametrize(
    ("device", "solver"),
    {
        "cpu": Solver.SHARED, "mps": Solver.SHARED, "cuda": Solver.BATCHED,
        "cuda:3": Solver.BATCHED,
    }.items(),
)  # fmt: skip
def test_a_device_has_its_solver(device, solver):
    assert Fitting.on(device, 4) == Fitting(solver, 4, device)


def test_every_solver_is_described():
    assert set(SOLVERS) == set(Solver)


def test_a_hyperplane_is_scikit_learns():
    rng = np.random.default_rng(0)
    features, second = rng.standard_normal((60, 5)), rng.random(60) < 0.4
    svm = SVC(kernel="linear", C=1).fit(features, second)
    weight, bias = fit_pair(features, second)
    assert np.array_equal(features @ weight + bias > 0, svm.predict(features))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 19), st.integers(2, 12), st.integers(1, 3))
def test_a_score_equals_its_naive_twin(seed, width, number, each):
    rng = np.random.default_rng(seed)
    n = number * (each + 3)
    fold, second = rng.permutation(np.arange(n) % number), rng.random(n) < 0.5
    features = rng.standard_normal((n, width)).astype(np.float32)
    planes = Hyperplanes(rng.standard_normal((number, width)), rng.standard_normal(number))
    cell = rng.integers(0, n, n)
    test = PairTest((2, 5), 1, np.arange(n), second, fold, number)
    score = score_pair(test, features, cell, planes, 7)
    right = []
    for row, held, positive in zip(features, fold, second, strict=True):
        reached = sum(float(x) * w for x, w in zip(row, planes.weight[held], strict=True))
        right.append((reached + planes.bias[held] > 0) == positive)
    assert score.correct.tolist() == right
    shares = np.array([np.mean(np.array(right)[fold == held]) for held in range(number)])
    assert (score.accuracy, score.std) == (shares.mean(), shares.std())
    assert score.n == len(set(cell.tolist()))
    assert (score.first, score.second, score.background, score.unsolved) == (2, 5, 1, 7)


@pytest.mark.parametrize("jobs", [1, 3])
def test_where_one_pair_fails_the_others_stop(monkeypatch, jobs):
    crops, folds, asked = once(noisy(6)), dealt(), []

    def fails(*given):
        asked.append(given[1])
        raise ArithmeticError("no numbers")

    monkeypatch.setattr(probes, "_score_pair_tests", fails)
    with pytest.raises(ArithmeticError, match="no numbers"):
        pair_tests(crops, PAIRS, {p: [-1] for p in PAIRS}, folds, None, Fitting(jobs=jobs))
    assert len(asked) <= jobs


# The multi-class probe


def naive_multiclass(features, cell, classes, folds, asked, asked_cell):
    """Fit and ask every fold's classifier by hand."""
    asked_all = []
    for held in range(folds.number):
        seen = np.array([folds.fold[c] != held for c in cell])
        scaler = StandardScaler().fit(features[seen])
        model = LogisticRegression(C=1, max_iter=1000, tol=multiclass.TOLERANCE)
        model.fit(scaler.transform(features[seen]).astype(float), classes[seen])
        full = np.zeros((len(asked), K + 1))
        full[:, model.classes_] = model.predict_proba(scaler.transform(asked))
        asked_all.append(full)
    return np.array([asked_all[folds.fold[c]][i] for i, c in enumerate(asked_cell)])


def test_a_fold_that_leaves_one_class_to_learn_answers_that_one():
    cell = np.flatnonzero(CLASSES < 2)
    folds = dealt("grouped")
    whole = TrainingCrops(noisy(7)[cell], cell, CLASSES[cell])
    rest = (CLASSES[cell] == 0) | (folds.fold[cell] == 1)
    some = TrainingCrops(*(values[rest] for values in list(vars(whole).values())[:3]))
    probe = fit_multiclass(some, folds, K)
    found = probe(whole.features, cell)
    assert np.allclose(found.sum(1), 1)
    held = folds.fold[cell] == 1
    assert (found[held, 0] == 1).all()
    assert (found[~held, 1] > 0).all()
    again = fit_multiclass(some, folds, K, probe)
    assert np.allclose(again(whole.features, cell), found, atol=1e-3)


def test_the_multiclass_probe_equals_its_naive_twin_also_for_cells_without_a_class():
    classes = np.append(CLASSES, [-1] * 5)
    protein = np.append(PROTEIN, ["m"] * 5)
    members = np.append(EVERY, [False] * 5)
    folds = deal("grouped", 4, classes, protein, members, K + 1, 0)
    features = np.concatenate([noisy(7), np.random.default_rng(1).standard_normal((5, 6))])
    features = (features * [1, 100, 1, 0.01, 1, 1] + 5).astype(np.float32)
    order = np.random.default_rng(2).permutation(N)
    probe = fit_multiclass(TrainingCrops(features[order], order, CLASSES[order]), folds, K + 1)
    asked_cell = np.random.default_rng(3).permutation(N + 5)
    asked = (features[asked_cell] + 0.1).astype(np.float32)
    found = probe(asked, asked_cell)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(1), 1, atol=1e-6)
    assert (found[:, K] == 0).all(), "a class never seen has probability 0"
    expected = naive_multiclass(features[order], order, CLASSES[order], folds, asked, asked_cell)
    assert np.allclose(found, expected, atol=1e-3), "up to where the fit stops"


@pytest.mark.parametrize("classes", [2, K])
def test_where_the_fit_starts_does_not_matter(classes):
    some = np.isin(CLASSES, np.arange(classes))
    rng = np.random.default_rng(5)
    centre = rng.standard_normal((K, 6))[CLASSES[some]]
    crops = [
        TrainingCrops(
            (centre + rng.standard_normal(centre.shape)).astype(np.float32),
            np.flatnonzero(some), CLASSES[some],
        )
        for _ in range(2)
    ]  # fmt: skip
    folds = dealt("grouped")
    lead = fit_multiclass(crops[0], folds, K)
    afresh, begun = (fit_multiclass(crops[1], folds, K, start) for start in (None, lead))
    asked = (crops[1].features, crops[1].cell)
    assert np.allclose(afresh(*asked), begun(*asked), atol=2e-3)
    assert not np.allclose(lead(*asked), begun(*asked), atol=0.02)
    again = fit_multiclass(crops[0], folds, K, lead)
    assert np.allclose(again(*asked), lead(*asked), atol=1e-4), "it is there already"
    fewer = TrainingCrops(
        *(values[CLASSES[some] > 0] for values in list(vars(crops[1]).values())[:3])
    )
    if classes > 2:
        assert fit_multiclass(fewer, folds, K, lead) is not None, "other classes: from nothing"


def test_the_multiclass_probe_has_not_seen_whom_it_answers_for():
    cell = np.arange(N)
    for features, scheme in ((np.eye(N), "paper"), (np.eye(K * PROTEINS)[
        np.unique(PROTEIN, return_inverse=True)[1]], "grouped")):  # fmt: skip
        probe = fit_multiclass(
            TrainingCrops(features.astype(np.float32), cell, CLASSES), dealt(scheme), K
        )
        right = probe(features.astype(np.float32), cell).argmax(1) == CLASSES
        assert right.mean() == pytest.approx(1 / K, abs=0.1)


def test_the_regularisation_is_the_papers():
    assert multiclass.C == solvers.C == 1
