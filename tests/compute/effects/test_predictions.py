"""Reading predictions in step: the same rows whatever the blocks, proteins whole, nothing lost."""

import numpy as np
import pyarrow as pa
import pytest

from compute import schema
from compute.effects import predictions
from compute.effects.predictions import Answers, Backgrounds, Predictions, blocks
from compute.embedding.config import View
from compute.errors import InputError
from compute.schema import COMPOSED, CONDITIONS, FITTED, Dose, Protocol, Reading
from compute.storage.atomic_files import write_table
from compute.storage.paths import SECOND_PREDICTIONS
from tests.compute.summarised_run import BIG, MODELS, by_cell
from tests.compute.synthetic_cells import CLASSES, windows_table


def number(made):
    """Number the proteins by name."""
    return np.unique(made.cells.protein, return_inverse=True)[1].astype(np.int32)


def read(made, model="one"):
    return list(
        blocks(made.run, model, list(COMPOSED), CLASSES, number(made), made.cells.donor_units)
    )


def joined(found, of):
    """Join what `of` takes from each block, field by field."""
    parts = [part for block in found if (part := of(block)) is not None]
    fields = ("trial", "predicted", "probabilities", "cell")
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}


@pytest.mark.parametrize(("batch", "block"), [(8192, 8192), (7, 1), (5, 40), (50, 10)])
def test_blocks_hold_every_row_once_and_proteins_whole(made, monkeypatch, batch, block):
    monkeypatch.setattr(predictions, "BATCH", batch)
    monkeypatch.setattr(predictions, "BLOCK", block)
    found = read(made)
    protein = number(made)
    if block == 1:
        assert len(found) == len(set(made.cells.protein[made.plan.rows]))
    last = -1
    for each in found:
        here = {int(p) for some in each.answers.values() for p in protein[some.cell]}
        assert min(here) > last, "no protein lies in two blocks"
        last = max(here)
    for condition in COMPOSED:
        for protocol in FITTED:
            rows = joined(found, lambda b, k=(protocol, condition): b.answers.get(k))
            plain = made.predictions("one", condition, protocol)
            assert rows["trial"].tolist() == plain["trial"].tolist()
            assert [CLASSES[k] for k in rows["predicted"]] == plain["predicted"].tolist()
            assert np.array_equal(rows["probabilities"], np.stack(plain["probabilities"]))
            assert rows["cell"].tolist() == plain["cell"].drop_duplicates().tolist()


def test_the_second_reading_and_backgrounds_come_with_the_block(made, monkeypatch):
    monkeypatch.setattr(predictions, "BATCH", 16)
    monkeypatch.setattr(predictions, "BLOCK", 30)
    found = read(made)
    assert len(found) > 2
    doses = made.trials().set_index("trial")
    donors = doses["donor_localization"]
    windows = windows_table(CLASSES[:3], population=BIG)
    proteins = {"cell": made.cells.protein, "window": windows["protein"].to_numpy(dtype=object)}
    for condition in COMPOSED:
        if CONDITIONS[condition].rescaled:
            key = (Protocol.FROZEN, View(condition, Reading.SCALED))
            rows = joined(found, lambda b, k=key: b.second.get(k))
            assert rows["trial"].tolist() == made.second("one", condition)["trial"].tolist()
        if CONDITIONS[condition].donors == "none":
            continue
        for block in found:
            trial = block.answers[Protocol.REFIT, condition].trial
            places = block.background.places(trial)
            names = [CLASSES[k] if k >= 0 else None for k in block.background.background[places]]
            expected = donors.loc[trial].astype(object)
            assert names == expected.where(expected.notna(), None).tolist()
            for dose in Dose:
                shown = block.background.doses[dose][places]
                assert np.array_equal(shown, doses[str(dose)].loc[trial], equal_nan=True)
            units, number_of = block.background.donor[places], doses["donor"].loc[trial]
            protein = proteins[CONDITIONS[condition].donors][number_of.to_numpy(int)]
            known = units >= 0
            assert np.array_equal(known, expected.notna()), "a donor without a class has no unit"
            pairs = {*zip(units[known].tolist(), protein[known], strict=True)}
            assert len({unit for unit, _ in pairs}) == len(pairs), "no unit has two proteins"


def test_answers_are_averaged_by_cell(made):
    for condition in COMPOSED:
        naive = by_cell(made, "one", condition, "frozen")
        seen = []
        for block in read(made):
            found = block.answers[Protocol.FROZEN, condition]
            for i, cell in enumerate(found.cell.tolist()):
                assert np.allclose(found.mean()[i], naive[cell][0], atol=1e-6)
                assert np.allclose(found.share()[i], naive[cell][1])
            seen += found.cell.tolist()
        order = sorted(naive, key=lambda c: (made.cells.protein[c], c))
        assert seen == order, "by protein, each cell once"


def test_proteins_lie_in_several_shards(made):
    """What the tests above read was cut within proteins when it was written."""
    cut = [stop for _, stop in made.plan.shards(16)[:-1]]
    protein = made.cells.protein[made.plan.rows]
    assert any(protein[stop - 1] == protein[stop] for stop in cut)


def some_answers():
    return Answers.of(
        np.array([3, 3, 5, 8, 8, 8]), np.arange(6), np.array([0, 1, 2, 2, 2, 0]), np.eye(6, 3)
    )


def test_trials_and_cells_are_chosen_together():
    found = some_answers()
    assert found.many.tolist() == [2, 1, 3]
    assert found.position.tolist() == [0, 0, 1, 2, 2, 2]
    cells = found.cells(np.array([True, False, True]))
    assert cells.cell.tolist() == [3, 8]
    assert cells.trial.tolist() == [0, 1, 3, 4, 5]
    assert cells.starts.tolist() == [0, 2]
    trials = found.trials(np.array([1, 2, 5]))
    assert (trials.cell.tolist(), trials.starts.tolist()) == ([3, 5, 8], [0, 1, 2])
    none = found.cells(np.zeros(3, bool))
    assert len(none.cell) == len(none.mean()) == len(none.share()) == 0


def test_a_trial_that_is_not_in_the_plan_is_named():
    known = Backgrounds(np.array([2, 4, 9]), np.array([0, 1, -1]), np.array([0, 0, -1]), {})
    assert known.places(np.array([4, 9, 4])).tolist() == [1, 2, 1]
    assert known.places(np.array([], int)).tolist() == []
    for trial in (3, 10):
        with pytest.raises(InputError, match=f"Trial {trial} is in `predictions` but not"):
            known.places(np.array([4, trial]))


def test_a_file_in_another_order_is_refused(made, tmp_path):
    path = made.run.part("predictions", 0, "one")
    expected = schema.predictions_schema(len(CLASSES))
    frame = made.predictions("one", "unaltered", "refit").iloc[::-1]
    table = pa.Table.from_pandas(frame, schema=expected, preserve_index=False)
    write_table(tmp_path / path.name, table)
    file = Predictions(tmp_path / path.name, CLASSES, number(made))
    with pytest.raises(InputError, match="is not sorted by protein"):
        file.until(None)


def test_a_model_without_unaltered_predictions_has_no_blocks(made):
    assert (
        list(
            blocks(
                made.run, "nobody", list(COMPOSED), CLASSES, number(made), made.cells.donor_units
            )
        )
        == []
    )
    assert set(MODELS) == {"one", "two"}
    assert made.run.part(SECOND_PREDICTIONS[Reading.SCALED], 3, "one").is_file()
