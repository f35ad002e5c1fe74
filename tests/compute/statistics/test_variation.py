"""Proteins that no one class fits: the e-value against its naive twin, its level, the shares."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from compute.statistics.bootstrap import wilson
from compute.statistics.protein_shifts import CellAnswers
from compute.statistics.variation import (
    PARTS,
    Variation,
    least_evidence,
    mixed_rows,
    one_class_evidence,
)

NAMES = ["actin", "ER", "Golgi", "nucleus"]


def naive_evidence(p, prior, k):
    products = []
    for j in range(len(prior)):
        for part in PARTS if j != k else ():
            product = 1.0
            for cell in p:
                ratio = cell[j] * prior[k] / (cell[k] * prior[j])
                product *= 1 - part + part * ratio
            products.append(product)
    return np.log(np.mean(products))


@pytest.mark.parametrize("seed", range(4))
def test_the_evidence_equals_its_naive_twin(seed):
    rng = np.random.default_rng(seed)
    p, prior = rng.dirichlet(np.ones(4), 7), rng.dirichlet(np.full(4, 5.0))
    found = one_class_evidence(p, prior)
    assert found == pytest.approx([naive_evidence(p, prior, k) for k in range(4)])
    assert least_evidence(p, prior) == (found.min(), found.argmin())


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_cells_that_all_look_alike_are_no_evidence(classes, cells, seed):
    """However uncertain the probe is of them, one class fits them as well as any mixture."""
    one = np.random.default_rng(seed).dirichlet(np.ones(classes))
    prior = np.full(classes, 1 / classes)
    assert least_evidence(np.tile(one, (cells, 1)), prior)[0] <= 1e-9


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_neither_the_order_of_cells_nor_that_of_classes_counts(seed):
    rng = np.random.default_rng(seed)
    p, prior = rng.dirichlet(np.ones(5), 6), rng.dirichlet(np.ones(5))
    log_e, best = least_evidence(p, prior)
    order = rng.permutation(5)
    again, there = least_evidence(rng.permutation(p)[:, order], prior[order])
    assert again == pytest.approx(log_e)
    assert order[there] == best


def test_certain_answers_and_classes_without_cells_do_no_harm():
    prior = np.array([0.5, 0.5, 0.0])
    kinds = np.repeat(np.eye(3)[:2], 4, 0)
    log_e, best = least_evidence(kinds, prior)
    assert np.isfinite(log_e)
    assert log_e > 100
    assert best != 2
    assert least_evidence(kinds[:1], prior)[0] < 0
    assert np.isinf(one_class_evidence(kinds, np.array([1.0, 0, 0]))).all(), "no second class"


def test_an_e_value_has_a_mean_of_at_most_one_where_one_class_is_true():
    """By the exact posterior of normal classes, so that probabilities are calibrated."""
    rng = np.random.default_rng(0)
    centres = 2.5 * np.eye(4)

    def e_values(shares, studies):
        found = []
        for _ in range(studies):
            x = centres[rng.choice(4, 8, p=shares)] + rng.standard_normal((8, 4))
            p = softmax(-((x[:, None] - centres) ** 2).sum(-1) / 2, axis=1)
            found.append(np.exp(min(least_evidence(p, np.full(4, 0.25))[0], 30)))
        return np.array(found)

    alone, both = e_values([1, 0, 0, 0], 600), e_values([0.5, 0.5, 0, 0], 200)
    assert np.minimum(alone, 1e3).mean() <= 1
    assert (alone >= 20).mean() <= 0.05
    assert (both >= 20).mean() > 0.5


def answers(protein, p):
    cell = np.arange(len(protein))
    return CellAnswers(cell, p, np.eye(4)[p.argmax(1)], np.asarray(protein, np.int32))


def test_the_table_names_proteins_and_adjusts_over_them():
    rng = np.random.default_rng(1)
    protein = np.repeat(np.arange(6), 5)
    p = rng.dirichlet([30, 1, 1, 1], 30)
    p[:5] = np.concatenate([rng.dirichlet([1, 30, 1, 1], 2), p[2:5]])
    cells = pd.DataFrame(
        {
            "protein": np.repeat([f"P{i}" for i in range(6)], 5),
            "orf": pd.Series([None] * 30, dtype=object),
            "labels": [["actin"]] * 30,
        }
    )
    variation = Variation(np.full(4, 0.25), 1.0, NAMES)
    for part in (slice(0, 10), slice(10, 30)):
        variation.add(answers(protein, p).take(np.arange(30)[part]))
    table = variation.table(cells, "m").to_pandas()
    assert table["protein"].tolist() == [f"P{i}" for i in range(6)]
    assert (table["best"] == "actin").all()
    assert table["p_value"].iloc[0] < 0.05
    assert (table["p_value"].iloc[1:] == 1).all()
    assert table["q_value"].iloc[0] == pytest.approx(6 * table["p_value"].iloc[0])
    cold = Variation(np.full(4, 0.25), 5.0, NAMES)
    cold.add(answers(protein, p))
    assert cold.table(cells, "m").to_pandas()["log_e"].iloc[0] < table["log_e"].iloc[0]
    assert len(Variation(np.full(4, 0.25), 1.0, NAMES).table(cells, "m")) == 0


def shifts(rows):
    names = ["protein", "orf", "labels", "tv", "kl", "q_value", "n_cells"]
    return pd.DataFrame(rows, columns=names)


def test_mixed_proteins_are_counted_once_an_orf():
    rows = shifts(
        [
            ("a", "Y1", ["actin", "ER"], 0.5, 1.0, 0.01, 9),
            ("a2", "Y1", ["actin", "ER"], 0.0, 9.0, 1.0, 4),
            ("b", "Y2", ["actin"], 0.5, 2.0, 0.2, 9),
            ("c", None, ["actin"], 0.1, 3.0, 0.001, 9),
            ("d", None, ["ER", "Golgi"], 0.3, 0.5, 0.05, 5),
            ("e", None, None, 0.9, 4.0, 0.0, 9),
        ]
    )
    found = {row["population"]: row for row in mixed_rows(rows, {"b", "c", "d"})}
    assert found["several_labels"]["n_proteins"] == 2
    assert found["several_labels"]["shifted"] == 2
    assert found["several_labels"]["n_cells"] == 14
    assert found["varying"]["n_proteins"] == 2, "d has several labels and is counted there"
    assert found["varying"]["shifted"] == 0, "b by its q-value, c by its distance"
    assert found["mixed"]["n_proteins"] == 4
    assert found["mixed"]["estimate"] == 0.5
    assert found["mixed"]["kl_50"] == np.median([1.0, 2.0, 3.0, 0.5])
    assert (found["mixed"]["ci_low"], found["mixed"]["ci_high"]) == wilson(0.5, 4)


def test_without_q_values_nothing_is_said_of_how_many_shift():
    rows = shifts([("a", "Y1", ["actin", "ER"], 0.5, 1.0, np.nan, 9)])
    (several, mixed) = mixed_rows(rows, set())
    assert np.isnan(several["estimate"])
    assert several["shifted"] is None
    assert mixed["kl_50"] == 1.0
    assert list(mixed_rows(rows.assign(labels=[["actin"]]), set())) == []


@pytest.mark.parametrize(("count", "n"), [(0, 7), (3, 24), (24, 24)])
def test_wilsons_interval_equals_statsmodels(count, n):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    expected = proportion.proportion_confint(count, n, method="wilson")
    assert wilson(count / n, n) == pytest.approx(expected)
