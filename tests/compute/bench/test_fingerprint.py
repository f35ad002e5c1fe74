"""Fingerprints: what is there is found, what is not is not, and areas are the naive ones."""

import numpy as np
import pytest
import torch

from compute.bench import fingerprint
from compute.bench.config import FingerprintConfig
from compute.bench.fingerprint import Sides, area_under_curve, fingerprint_rows
from compute.bench.whole import measure_fingerprint
from compute.errors import UsageError
from compute.models.card_files import resolve_models
from compute.schema import Condition
from compute.simulation.simulate import simulate
from compute.store.reader import CropStore
from tests.compute.synthetic_cells import SIDE, disc

PAIRS = 48


def sides(light, seed=0, proteins=12):
    """Pairs of crops of a bright disc in noise; the second has a ring of this much light."""
    rng = np.random.default_rng(seed)
    images = rng.normal(100, 10, (2, PAIRS, 1, SIDE, SIDE)).astype(np.float32)
    images[..., disc(16, 16, 7)] += 100
    images[1][..., disc(16, 16, 9) & ~disc(16, 16, 7)] += light
    masks = np.broadcast_to(disc(16, 16, 7), (2, PAIRS, SIDE, SIDE)).copy()
    protein = np.arange(PAIRS) % proteins
    return Sides(images[0], images[1], masks, protein, protein % 2)


def area(of, scores):
    return area_under_curve(*scores, of, 100, 0)[0]


@pytest.mark.parametrize(("light", "low", "high"), [(60, 0.95, 1), (0, 0.3, 0.7)])
def test_the_network_and_the_ring_find_light_that_is_there_and_none_else(light, low, high):
    pairs = sides(light)
    config = FingerprintConfig(epochs=6)
    told = fingerprint._network_scores(pairs, config, torch.device("cpu"))
    assert low <= area(pairs, told) <= high
    assert low <= area(pairs, fingerprint._ring_scores(pairs)) <= high


@pytest.mark.parametrize(("apart", "low", "high"), [(3, 0.95, 1), (0, 0.3, 0.7)])
def test_embeddings_are_told_apart_where_they_differ(apart, low, high):
    pairs, rng = sides(0), np.random.default_rng(1)
    first, second = rng.normal(size=(2, PAIRS, 5)).astype(np.float32)
    second[:, 2] += apart
    assert low <= area(pairs, fingerprint._embedding_scores(first, second, pairs.fold)) <= high


@pytest.mark.parametrize("proteins", [4, 16])
def test_the_area_is_the_naive_one_and_its_interval_is_around_it(proteins):
    pairs, rng = sides(0, proteins=proteins), np.random.default_rng(2)
    first, second = rng.integers(0, 5, (2, PAIRS)).astype(float)
    won = [
        (b > a) + 0.5 * (b == a)
        for a, fold in zip(first, pairs.fold, strict=True)
        for b in second[pairs.fold == fold]
    ]
    found, low, high = area_under_curve(first, second + 0, pairs, 500, 0)
    assert found == pytest.approx(np.mean(won))
    assert low < found < high
    assert area_under_curve(first, first, pairs, 100, 0)[0] == pytest.approx(0.5)
    assert area_under_curve(first, first + 9, pairs, 100, 0) == (1, 1, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    place = tmp_path_factory.mktemp("fingerprint") / "store"
    return simulate(
        place, proteins_per_class=2, mixed_proteins=0, cells_per_protein=2, fields_per_protein=1,
        seed=4, workers=1,
    )  # fmt: skip


def test_proteins_are_held_out_whole_and_donors_come_from_their_own_fold(store):
    opened, config = CropStore(store), FingerprintConfig(cells=40)
    protein, fold, chosen = fingerprint._dealt(opened, config)
    assert chosen.sum() == min(40, opened.usable.sum())
    assert not chosen[~opened.usable].any()
    for number in np.unique(protein):
        assert len(set(fold[protein == number])) == 1
    trials = fingerprint._trials(opened, fold, chosen, str(Condition.DIFFERENT), config)
    assert len(trials) > 10
    assert not trials["cell"].duplicated().any()
    donors = trials["donor"].to_numpy()
    assert (fold[donors] == fold[trials["cell"]]).all()
    assert chosen[donors].all()
    pairs = fingerprint._control(opened.arrays(), protein, fold, chosen, 0)
    assert len(pairs.first) >= 10
    assert (pairs.first != pairs.second).any((1, 2, 3)).all()


def test_every_row_has_an_area_and_hard_stands_beside(store):
    config = FingerprintConfig(conditions=("sham",), epochs=1, draws=100)
    cards = resolve_models(["pifia"])
    rows = list(fingerprint_rows(store, cards, config, "glow", torch.device("cpu")))
    names = [row.what for row in rows]
    assert names[:2] == [
        "unaltered, other cells, a small network", "unaltered, other cells, brightness of the ring",
    ]  # fmt: skip
    for paste in ("glow", "hard"):
        assert f"sham, {paste}, embeddings of pifia" in names
    assert [row.limit for row in rows if "hard" in row.what] == [""] * 3
    assert sum(row.met is not None for row in rows) == 2
    assert all(0 <= float(row.value.split()[0]) <= 1 for row in rows)


def test_wrong_settings_are_named(store):
    with pytest.raises(UsageError, match=r"'masks'.*Did you mean 'masked'"):
        FingerprintConfig(conditions=("masks",))
    with pytest.raises(UsageError, match="folds is 1; at least 2"):
        FingerprintConfig(folds=1)
    with pytest.raises(UsageError, match=r"'soft'.*glow, hard"):
        list(measure_fingerprint(store, models=[], paste="soft"))
    with pytest.raises(UsageError, match="30 proteins; 31 folds"):
        list(measure_fingerprint(store, models=[], config=FingerprintConfig(folds=31)))


@pytest.mark.long
def test_sham_has_no_fingerprint_and_a_hard_edge_has(tmp_path):
    store = simulate(tmp_path / "store", proteins_per_class=4, mixed_proteins=0,
                     cells_per_protein=6, fields_per_protein=2, seed=8)  # fmt: skip
    config = FingerprintConfig(conditions=("sham", "same"))
    found = {row.what: row for row in measure_fingerprint(store, config=config)}
    area = {what: float(row.value.split()[0]) for what, row in found.items()}
    assert 0.4 <= area["unaltered, other cells, a small network"] <= 0.6
    assert all(row.met for row in found.values() if row.limit)
    assert area["sham, hard, a small network"] >= 0.98
    assert area["same, glow, a small network"] < area["same, hard, a small network"] - 0.05
