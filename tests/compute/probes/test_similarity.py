"""Nearest references and retrieval, against loops, scikit-learn and copairs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from compute.probes import similarity
from compute.probes.similarity import References, chance_precision


def drawn(seed=0, sizes=(12, 9, 20), asked=30, dimension=7, apart=1.0):
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(len(sizes), dimension))
    classes = np.repeat(np.arange(len(sizes)), sizes)
    theirs = rng.integers(0, len(sizes), asked)
    scale = np.exp(rng.normal(size=dimension))
    there, here = (
        ((centres[c] + rng.normal(size=(len(c), dimension))) * scale).astype(np.float32)
        for c in (classes, theirs)
    )
    return there, classes, here, theirs


def cosine(there, here):
    """Similarities of standardised vectors, one pair at a time."""
    mean, scale = there.astype(float).mean(0), there.astype(float).std(0)
    scale = np.where(scale > 0, scale, 1)

    def unit(x):
        z = (x.astype(float) - mean) / scale
        return z / (np.linalg.norm(z) or 1)

    return np.array([[unit(a) @ unit(b) for b in there] for a in here])


def vote(similar, classes, k):
    """One cell's class by its k nearest, whose votes make classes count alike."""
    nearest = sorted(range(len(classes)), key=lambda i: (-similar[i], i))[:k]
    votes = {}
    for i in nearest:
        votes[classes[i]] = votes.get(classes[i], 0) + 1 / np.sum(classes == classes[i])
    best = max(votes.values())
    return next(classes[i] for i in nearest if votes[classes[i]] >= best * (1 - 1e-9))


def precision(similar, mine):
    """One cell's average precision; what is equally near and not of its class is nearer."""
    order = sorted(range(len(similar)), key=lambda i: (-similar[i], mine[i]))
    found, parts = 0, []
    for rank, i in enumerate(order, 1):
        if mine[i]:
            found += 1
            parts.append(found / rank)
    return np.mean(parts)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_votes_and_precisions_are_those_of_loops(seed, k):
    there, classes, here, theirs = drawn(seed)
    found = References.of(there, classes).compare(here, theirs, k)
    similar = cosine(there, here)
    said = [vote(row, classes, min(k, 9)) for row in similar]
    assert found.right.tolist() == (np.array(said) == theirs).tolist()
    slow = [precision(row, classes == own) for row, own in zip(similar, theirs, strict=True)]
    assert np.allclose(found.precision, slow, atol=1e-12)


def test_precision_is_scikit_learns():
    there, classes, here, theirs = drawn(3)
    found = References.of(there, classes).compare(here, theirs)
    for row, own, mine in zip(cosine(there, here), theirs, found.precision, strict=True):
        assert mine == pytest.approx(average_precision_score(classes == own, row), abs=1e-12)


def test_classes_of_one_size_vote_as_scikit_learns_neighbours():
    there, classes, here, theirs = drawn(5, sizes=(20, 20), asked=200)
    mean, scale = there.astype(float).mean(0), there.astype(float).std(0)
    other = KNeighborsClassifier(7, metric="cosine").fit((there - mean) / scale, classes)
    right = other.predict((here - mean) / scale) == theirs
    assert References.of(there, classes).compare(here, theirs, 7).right.tolist() == right.tolist()
    assert 0.3 < right.mean() < 1


def test_blocks_and_threads_do_not_change_anything(monkeypatch):
    there, classes, here, theirs = drawn(7)
    whole = References.of(there, classes).compare(here, theirs)
    monkeypatch.setattr(similarity, "BLOCK", 100)
    parts = References.of(there, classes).compare(here, theirs)
    assert (whole.right == parts.right).all()
    assert np.allclose(whole.precision, parts.precision, atol=1e-12)


def test_a_model_that_makes_all_cells_alike_finds_nothing():
    """Ties never help: of equally near references those of other classes come first."""
    classes = np.repeat([0, 1], 10)
    found = References.of(np.ones((20, 3), np.float32), classes).compare(
        np.ones((4, 3), np.float32), np.array([0, 0, 1, 1])
    )
    worst = np.mean(np.arange(1, 11) / (10 + np.arange(1, 11)))
    assert np.allclose(found.precision, worst)
    assert found.right.mean() == 0.5


def test_a_class_without_references_is_never_found():
    there, classes, here, _ = drawn(1)
    found = References.of(there, classes).compare(here, np.full(len(here), 8))
    assert not found.right.any()
    assert not found.precision.any()
    none = References.of(there[:0], classes[:0]).compare(here, np.zeros(len(here), int))
    assert not none.precision.any()


@pytest.mark.filterwarnings("ignore")
def test_precision_by_chance_is_the_mean_over_shuffles():
    rng = np.random.default_rng(0)
    mine = np.arange(40) < 6
    shuffled = [precision(rng.random(40), mine) for _ in range(4000)]
    assert chance_precision(6, 34) == pytest.approx(np.mean(shuffled), abs=0.01)
    assert chance_precision(3, 0) == pytest.approx(1)


def test_mean_average_precision_is_that_of_copairs():
    """To 1e-9, cell by cell and class by class."""
    copairs = pytest.importorskip(
        "copairs.map", reason="copairs is not installed (it is in the extra `dev`)"
    )
    there, classes, here, theirs = drawn(11, sizes=(30, 25, 40, 35), asked=60)
    references = References.of(there, classes)
    found = references.compare(here, theirs).precision
    asked = (here.astype(float) - references.mean) / references.scale
    frame = pd.DataFrame(
        {
            "class": np.concatenate([theirs, classes]).astype(str),
            "side": np.repeat(["asked", "reference"], [len(theirs), len(classes)]),
        }
    )
    scored = copairs.average_precision(
        frame, np.concatenate([asked, references.features]),
        pos_sameby=["class"], pos_diffby=["side"], neg_sameby=[], neg_diffby=["class", "side"],
        progress_bar=False,
    )  # fmt: skip
    theirs_ap = scored[scored["side"] == "asked"]
    assert np.abs(theirs_ap["average_precision"].to_numpy() - found).max() < 1e-9
    whole = copairs.mean_average_precision(
        theirs_ap, sameby=["class"], null_size=100, threshold=0.05, seed=0, progress_bar=False
    )
    mean = pd.Series(found).groupby(theirs.astype(str)).mean()
    by_class = whole.set_index("class")["mean_average_precision"]
    assert np.abs(by_class.loc[mean.index].to_numpy() - mean.to_numpy()).max() < 1e-9
