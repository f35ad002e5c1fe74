"""The multi-label probe and the network probe, against scikit-learn and themselves."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from compute.probes.multilabel import fit_yes_or_no
from compute.probes.network import fit_network, one_thread


def drawn(n=160, dimension=6, k=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random((n, k)) < 0.3
    means = 1.5 * rng.normal(size=(k, dimension))
    features = labels @ means + rng.normal(size=(n, dimension)) * np.exp(rng.normal(size=dimension))
    return features.astype(np.float32), labels


def test_every_class_is_fitted_as_scikit_learn_fits_it():
    features, labels = drawn()
    found = fit_yes_or_no(features, labels)
    z = StandardScaler().fit_transform(features.astype(float))
    for k, own in enumerate(labels.T):
        other = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(z, own)
        scores = features @ found.weight[:, k] + found.bias[k]
        assert np.allclose(scores, other.decision_function(z), atol=0.01)
        assert (found(features)[:, k] == other.predict(z)).mean() > 0.99


def test_a_fit_that_begins_elsewhere_ends_at_the_same_classifiers():
    features, labels = drawn()
    first = fit_yes_or_no(features, labels)
    other, said = drawn(seed=1)
    again = fit_yes_or_no(features, labels, fit_yes_or_no(other, said))
    assert np.allclose(first.weight, again.weight, atol=0.01)
    assert np.allclose(first.bias, again.bias, atol=0.01)


def test_classes_that_all_or_none_have_are_said_always_and_never():
    features, labels = drawn()
    labels[:, 0], labels[:, 1] = True, False
    said = fit_yes_or_no(features, labels)(features)
    assert said[:, 0].all()
    assert not said[:, 1].any()
    assert 0 < said[:, 2].mean() < 1
    only = fit_yes_or_no(features, labels[:, :2], fit_yes_or_no(features, labels[:, 2:]))
    assert only(features).tolist() == [[True, False]] * len(features)


def test_a_network_finds_what_no_line_divides_and_the_same_every_time():
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, (400, 3)).astype(np.float32)
    classes = np.where(features[:, 0] * features[:, 1] > 0, 7, 3)
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
        found, again = (fit_network(features[:300], classes[:300], seed=1) for _ in range(2))
        answers = found.answer(features[300:])
        assert (answers == again.answer(features[300:])).all()
    assert torch.get_num_threads() == before
    assert set(answers) == {3, 7}
    assert (answers == classes[300:]).mean() > 0.85
    line = LogisticRegression().fit(features[:300], classes[:300])
    assert line.score(features[300:], classes[300:]) < 0.7
