"""Moves of refitted probes against probes that were fitted on exchanged crops, one by one."""

import numpy as np
import pyarrow as pa
import pytest

from compute import schema
from compute.backgrounds.folds import deal
from compute.errors import InputError
from compute.probes.exchange import Exchanged, fit_exchanged
from compute.probes.multiclass import TrainingCrops, fit_multiclass
from compute.probes.protein_moves import ProteinMoves, ReadMoves, exchanges_table
from compute.storage.atomic_files import table_writer

K, PROTEINS, CELLS, D = 4, 6, 8, 10
CLASSES = np.repeat(np.arange(K), PROTEINS * CELLS)
PROTEIN = np.repeat([f"p{i:02d}" for i in range(K * PROTEINS)], CELLS).astype(object)
N = len(CLASSES)
FOLDS = deal("grouped", 3, CLASSES, PROTEIN, np.ones(N, bool), K, 0)


@pytest.fixture(scope="module")
def crops():
    """Two readings of every cell that differ by noise alone."""
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((K, D))[CLASSES] + 0.6 * rng.standard_normal((N, D))
    one, two = ((centre + 0.8 * rng.standard_normal((N, D))).astype(np.float32) for _ in range(2))
    return tuple(TrainingCrops(x * 3 + 5, np.arange(N), CLASSES) for x in (one, two))


def fit(crops):
    return fit_multiclass(crops, FOLDS, K)


def naive_moves(crops, exchanges):
    """Fit two probes after each exchange; return how much more the second gives, per crop."""
    one, two = crops
    rng, found = np.random.default_rng(3), []
    for _ in range(exchanges):
        kept = rng.integers(0, 2, N)[:, None] == 1
        pair = [
            fit(TrainingCrops(np.where(kept, a.features, b.features), one.cell, one.classes))
            for a, b in ((one, two), (two, one))
        ]
        asked = [(c.features, c.cell) for c in crops]
        found.append(sum(pair[1](*a).astype(float) - pair[0](*a) for a in asked) / 2)
    return np.array(found)


def test_moves_have_the_covariance_of_probes_that_were_fitted_on_exchanged_crops(crops):
    exchanged = fit_exchanged(crops, (fit(crops[0]), fit(crops[1])), 400, 0)
    found = sum(exchanged(c.features, c.cell).astype(float) for c in crops) / 2
    naive = naive_moves(crops, 60)
    by_protein = [
        moved.reshape(len(moved), K * PROTEINS, CELLS, K).mean(2)
        for moved in (found.swapaxes(0, 1), naive)
    ]
    ours, refitted = ((moved**2).mean(0).sum(1) for moved in by_protein)
    assert ours.mean() == pytest.approx(refitted.mean(), rel=0.15)
    assert np.corrcoef(ours, refitted)[0, 1] > 0.9
    assert np.abs(by_protein[0].mean(0)).max() < 0.02, "exchanges have mean 0"
    assert np.abs(found.sum(2)).max() < 1e-5, "what one class gains others lose"


def test_one_exchange_is_the_one_that_is_fitted(crops):
    """With all signs kept the move is that from the one fitted probe to the other."""
    pair = (fit(crops[0]), fit(crops[1]))
    exchanged = fit_exchanged(crops, pair, 16, 0)
    signs = np.random.default_rng(0).integers(0, 2, (N, 16), np.int8) * 2 - 1
    naive = []
    for sign in signs.T[:4]:
        kept = sign[:, None] == 1
        one, two = (
            fit(TrainingCrops(np.where(kept, a.features, b.features), np.arange(N), CLASSES))
            for a, b in (crops, crops[::-1])
        )
        asked = (crops[0].features, crops[0].cell)
        naive.append(two(*asked).astype(float) - one(*asked))
    found = exchanged(crops[0].features, crops[0].cell).swapaxes(0, 1)[:4]
    for ours, refitted in zip(found, naive, strict=True):
        assert np.corrcoef(ours.ravel(), refitted.ravel())[0, 1] > 0.95


def test_what_is_observed_is_the_change_of_both_probes_and_what_they_differ_by(crops):
    pair = (fit(crops[0]), fit(crops[1]))
    exchanged = fit_exchanged(crops, pair, 8, 0)
    asked = [(c.features, c.cell) for c in crops]
    change = exchanged.both(*asked[1]) - exchanged.both(*asked[0])
    between = sum(pair[1](*a) - pair[0](*a) for a in asked) / 2
    assert np.allclose(pair[1](*asked[1]) - pair[0](*asked[0]), change + between, atol=1e-6)


def test_crops_that_are_alike_move_nothing(crops):
    probe = fit(crops[0])
    exchanged = fit_exchanged((crops[0], crops[0]), (probe, probe), 8, 0)
    assert np.abs(exchanged(crops[0].features, crops[0].cell)).max() < 1e-6


def test_cells_that_one_condition_lacks_keep_their_crop(crops):
    some = np.arange(N) % 5 > 0
    two = TrainingCrops(crops[1].features[some], crops[1].cell[some], CLASSES[some])
    exchanged = fit_exchanged((crops[0], two), (fit(crops[0]), fit(two)), 8, 0)
    assert np.isfinite(exchanged(crops[0].features, crops[0].cell)).all()


def test_probes_of_other_classes_have_no_moves(crops):
    some = CLASSES > 0
    two = TrainingCrops(crops[1].features[some], crops[1].cell[some], CLASSES[some])
    assert fit_exchanged((crops[0], two), (fit(crops[0]), fit(two)), 8, 0) is None


def test_a_constant_feature_does_no_harm(crops):
    flat = [TrainingCrops(np.column_stack([c.features, np.ones(N, np.float32)]), c.cell, c.classes)
            for c in crops]  # fmt: skip
    exchanged = fit_exchanged((flat[0], flat[1]), (fit(flat[0]), fit(flat[1])), 8, 0)
    assert np.isfinite(exchanged(flat[0].features, flat[0].cell)).all()


class Known(Exchanged):
    """Moves and answers that are read off the embedding: one exchange, two classes."""

    def __init__(self):
        pass

    def both(self, features, cell):
        return np.concatenate([features, 1 - features], 1)

    def __call__(self, features, cell):
        return 10 * np.stack([features, -features], 2).astype(np.float32)


def test_a_protein_moves_as_its_cells_do_however_they_are_cut_into_shards():
    protein = np.array(["a", "a", "a", "b", "c", "c"], object)
    many = np.array([1, 2, 1, 3, 1, 1])
    rng = np.random.default_rng(1)
    own, of = rng.standard_normal((6, 1)).astype(np.float32), np.repeat(np.arange(6), many)
    altered = rng.standard_normal((len(of), 1)).astype(np.float32)
    after = np.array([altered[of == c, 0].mean() for c in range(6)])
    for cuts in ([], [3], [1, 2, 3, 4, 5], [2, 5]):
        tables: list[pa.Table] = []
        moves = ProteinMoves(Known(), protein, tables.append)
        for cells in np.split(np.arange(6), cuts):
            here = np.isin(of, cells)
            moves.add((own[::-1], np.arange(6)[::-1]), (altered[here], of[here]))
        moves.finish()
        rows = pa.concat_tables(tables).to_pandas()
        assert rows["protein"].drop_duplicates().tolist() == ["a", "b", "c"]
        for name, some in rows.groupby("protein"):
            cells = np.flatnonzero(protein == name)
            of_cells = some[some["cell"].notna()]
            assert of_cells["cell"].tolist() == cells.tolist()
            change = np.stack(of_cells["change"])
            assert np.allclose(change[:, 0], after[cells] - own[cells, 0], atol=1e-6)
            assert np.allclose(change.sum(1), 0, atol=1e-6)
            (probe,) = some.loc[some["exchange"].notna(), "change"]
            assert probe[0] == pytest.approx(10 * (after[cells] + own[cells, 0]).mean() / 2)


def test_what_was_written_is_read_in_order(tmp_path):
    path = tmp_path / "exchanges.parquet"
    rng = np.random.default_rng(2)
    cells = {"a": np.array([4, 2]), "b": np.array([7]), "d": np.array([1, 9, 3])}
    change = {
        name: rng.standard_normal((len(c), 3)).astype(np.float32) for name, c in cells.items()
    }
    probe = {name: rng.standard_normal((5, 3)).astype(np.float32) for name in cells}
    with table_writer(path, schema.exchanges_schema(3)) as add:
        for name in cells:
            add(exchanges_table(name, cells[name], change[name], probe[name]))
    read = ReadMoves(path)
    for name in ("a", "d"):
        null = read.null(name, cells[name])
        assert np.array_equal(null.differences, change[name])
        assert np.array_equal(null.probe, probe[name])
    with pytest.raises(InputError, match="no rows of protein e"):
        read.null("e", cells["d"])
    with pytest.raises(InputError, match="no rows of protein c"):
        ReadMoves(path).null("c", cells["d"])
    with pytest.raises(InputError, match="other cells of protein a"):
        ReadMoves(path).null("a", cells["a"][::-1])
    with table_writer(tmp_path / "empty.parquet", schema.exchanges_schema(3)):
        pass
    for name in ("none", "empty"):
        assert ReadMoves(tmp_path / f"{name}.parquet").null("a", cells["a"]) is None
