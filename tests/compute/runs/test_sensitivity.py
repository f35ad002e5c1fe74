"""A run's findings under other settings: the same cells and donors, ordinary numbers, one table."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from compute import schema
from compute.errors import InputError, UsageError
from compute.models.card_files import load_card
from compute.runs.config import RunConfig
from compute.runs.describe import check_path
from compute.runs.pipeline import run_store
from compute.runs.sensitivity import LOOKED_AT, sensitivity
from compute.runs.variants import SensitivityConfig, settings_of
from compute.schema import CONDITIONS, Condition
from compute.storage.run_directory import RunDirectory
from tests.seals import change_header, header

SOME = SensitivityConfig(
    mask_shifts=(-2, 0, 2), layers=("last",), poolings=("mean",), harmonise=("none",),
    paste=("hard",),
)  # fmt: skip
FEW = replace(SOME, mask_shifts=(2,), layers=(), harmonise=(), paste=())
FINDING = ["model", "probe", "protocol", "quantity", "condition"]


def copied(run, folder):
    shutil.copytree(run, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def added(run, store, cards, tmp_path_factory):
    """A finished run that was given the table, for one of its models; the other runs are kept."""
    folder = copied(run, tmp_path_factory.mktemp("added"))
    sensitivity(store, folder, [str(cards["pifia"])], SOME, jobs=1, keep=True)
    return RunDirectory(folder)


@pytest.fixture(scope="module")
def table(added):
    return added.read("sensitivity").to_pandas()


def own(run):
    """The run's own overall findings, as the table has them."""
    accuracy, effects = (run.read(name).to_pandas() for name in ("accuracy", "effects"))
    both = pd.concat(
        [accuracy.assign(quantity="accuracy"), effects.assign(quantity=effects["effect"])]
    )
    both = both[(both["aggregation"] == "all") & (both["scope"] == "overall")]
    both = both[both["probe"].isin(["pair", "multiclass"])]
    return both[
        both["condition"].isin(LOOKED_AT) & both["quantity"].isin(["accuracy", "drop", "gap"])
    ]


@pytest.mark.long
def test_every_choice_has_its_settings_and_the_runs_own_among_them(table):
    found = table.groupby("choice", sort=False)["setting"].unique().map(list).to_dict()
    assert found == {
        "mask": ["0", "-2", "2"], "layer": ["conv8", "d2"], "pooling": ["max", "mean"],
        "harmonise": ["protein", "none"], "paste": ["glow", "hard"],
    }  # fmt: skip
    base = table[table["is_base"]].groupby("choice")["setting"].unique().map(list).to_dict()
    assert base == {
        "mask": ["0"], "layer": ["conv8"], "pooling": ["max"], "harmonise": ["protein"],
        "paste": ["glow"],
    }  # fmt: skip
    assert not table.duplicated(["choice", "setting", *FINDING]).any()
    assert table.groupby(["choice", "setting"]).size().nunique() == 1


@pytest.mark.long
def test_the_runs_own_rows_are_its_own_tables(added, table):
    mine = own(added)
    mine = mine[mine["model"] == "pifia"].set_index(FINDING).sort_index()
    for _, rows in table[table["is_base"]].groupby("choice"):
        rows = rows.set_index(FINDING).sort_index()
        for column in ("estimate", "ci_low", "ci_high", "unit", "n_cells", "n_proteins"):
            pd.testing.assert_series_equal(rows[column], mine[column])
    assert table[table["is_base"]]["difference"].isna().all()


@pytest.mark.long
def test_a_small_run_under_the_runs_own_settings_gives_its_very_numbers(
    added, store, cards, config, tmp_path
):
    """So fewer conditions and readings change nothing, and the run itself can stand for one."""
    small = RunConfig(
        replace(config.plan, conditions=tuple(map(str, LOOKED_AT))),
        replace(config.embed, second_readings=False), config.bootstrap, (), 0, 16, False,
    )  # fmt: skip
    again, _ = run_store(store, tmp_path / "again", [str(cards["pifia"])], small, jobs=1)
    mine, other = (own(run).query("model == 'pifia'").set_index(FINDING) for run in (added, again))
    for column in ("estimate", "n_cells"):
        pd.testing.assert_series_equal(mine[column].sort_index(), other[column].sort_index())
    # Degrees of freedom of the donors' part count the donors of all conditions.
    for column in ("ci_low", "ci_high"):
        assert np.allclose(mine[column].sort_index(), other[column].sort_index(), atol=1e-3)


@pytest.mark.long
def test_other_settings_have_the_same_cells_on_the_same_donors(added):
    keys = ["cell", "condition", "repeat"]

    def donors(run):
        parts = [pd.read_parquet(file) for file in run.parts("trials")]
        return pd.concat(parts).set_index(keys)["donor"].sort_index()

    mine = donors(added)
    mine = mine[mine.index.get_level_values("condition").isin(map(str, LOOKED_AT))]
    folder = added.path.with_name("run-sensitivity")
    runs = [path.parent for path in sorted(folder.glob("*/run.json"))]
    assert sorted(path.name for path in runs) == [
        "harmonise-none", "mask+2", "mask-2", "paste-hard", "reading",
    ]  # fmt: skip
    for path in runs:
        pd.testing.assert_series_equal(donors(RunDirectory(path)), mine)


@pytest.mark.long
def test_differences_are_from_the_runs_own_and_have_intervals_where_they_can(table):
    moved = table[~table["is_base"]]
    base = table[table["is_base"]].drop_duplicates(FINDING).set_index(FINDING)["estimate"]
    expected = moved["estimate"].to_numpy() - base.loc[list(map(tuple, moved[FINDING].to_numpy()))]
    assert np.allclose(moved["difference"], expected)
    borrowed = moved["condition"].map(lambda c: CONDITIONS[Condition(c)].donors != "none")
    known = moved["difference_low"].notna()
    assert (known == ~(borrowed & (moved["probe"] == "pair"))).all()
    inside = moved[known]
    middle = (inside["difference_low"] + inside["difference_high"]) / 2
    assert np.allclose(middle, inside["difference"], atol=1e-9)


@pytest.mark.long
def test_unaltered_crops_do_not_depend_on_how_others_are_made(table):
    rows = table[(table["condition"] == "unaltered") & ~table["is_base"]]
    made = rows[rows["choice"].isin(["mask", "harmonise", "paste"])]
    assert (made[["difference", "difference_low", "difference_high"]] == 0).to_numpy().all()
    assert (rows[rows["choice"] == "layer"]["difference"] != 0).any()


@pytest.mark.long
def test_a_run_that_was_given_the_table_passes_its_check_and_damage_is_named(added, tmp_path):
    lines = list(check_path(added.path))
    assert f"sensitivity: {added.read('sensitivity').num_rows}" in lines
    assert lines[-1] == "Tables, counts and references agree."
    folder = copied(added.path, tmp_path)
    file = RunDirectory(folder).summary("sensitivity")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"sensitivity\.parquet \(altered\)"):
        list(check_path(folder))
    file.unlink()
    with pytest.raises(InputError, match=r"sensitivity\.parquet \(missing\)"):
        list(check_path(folder))


@pytest.mark.long
def test_an_interrupted_call_goes_on_and_ends_in_the_same_table(run, store, cards, tmp_path):
    card = [str(cards["pifia"])]
    whole = sensitivity(store, copied(run, tmp_path), card, FEW, jobs=1)
    assert not (tmp_path / "run-sensitivity").exists()
    folder = copied(run, tmp_path / "other")
    work, seen = tmp_path / "work", []

    def stop(stage, done, total):
        seen.append(stage)
        if stage == "2/2 probe":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sensitivity(store, folder, card, FEW, jobs=1, work=work, progress=stop)
    assert not RunDirectory(folder).has("sensitivity")
    assert "1/2 effects" in seen
    again = []
    found = sensitivity(
        store, folder, card, FEW, jobs=1, work=work, progress=lambda stage, *_: again.append(stage)
    )
    assert not [stage for stage in again if stage.startswith("1/2")], "what was done is left alone"
    assert found.equals(whole)
    assert not work.exists()


def test_bad_settings_are_refused_and_named(run, store, cards):
    with pytest.raises(UsageError, match=r"mask shift 40 is not allowed.* -8 and 8 .*-2,0,2"):
        SensitivityConfig(mask_shifts=(0, 40))
    with pytest.raises(UsageError, match=r"Unknown harmonisation 'proteins'.*'protein'"):
        SensitivityConfig(harmonise=("proteins",))
    with pytest.raises(UsageError, match="Unknown pooling 'median'"):
        SensitivityConfig(poolings=("median",))
    with pytest.raises(UsageError, match="Unknown paste 'soft'"):
        SensitivityConfig(paste=("soft",))
    with pytest.raises(UsageError, match=r"No model has a layer 'fc_9'.*pifia: conv8, "):
        sensitivity(store, run, [str(cards["pifia"])], SensitivityConfig(layers=("fc_9",)))
    with pytest.raises(UsageError, match="Model 'pifia' has no layer 'fc_2'"):
        sensitivity(store, run, [str(cards["pifia"])], SensitivityConfig(layers=("pifia:fc_2",)))
    with pytest.raises(UsageError, match=r"Unknown model 'pifa'.*'pifia'"):
        sensitivity(store, run, [str(cards["pifia"])], SensitivityConfig(layers=("pifa:d2",)))
    none = SensitivityConfig((0,), (), ("max",), ("protein",), ("glow",))
    with pytest.raises(UsageError, match="Every setting that was given is the run's own"):
        sensitivity(store, run, [str(cards["pifia"])], none)


def test_another_store_other_models_and_unfinished_runs_are_refused(run, store, cards, tmp_path):
    folder = copied(run, tmp_path)
    with pytest.raises(UsageError, match="has other weights or settings"):
        sensitivity(store, folder)  # the shipped ones
    meta = header(folder)
    change_header(folder, {"store": {**meta["store"], "fingerprint": "f" * 16}})
    with pytest.raises(UsageError, match="was made from another store"):
        sensitivity(store, folder, [str(cards["pifia"])])
    change_header(folder, {**meta, "status": "running"})
    with pytest.raises(UsageError, match="is not finished"):
        sensitivity(store, folder, [str(cards["pifia"])])
    change_header(folder, {**meta, "conditions": ["masked", "same"]})
    with pytest.raises(UsageError, match="no drop can be compared"):
        sensitivity(store, folder, [str(cards["pifia"])])


def test_layers_are_found_for_each_model(cards, config):
    known = {name: load_card(path) for name, path in cards.items()}
    made = settings_of(
        SensitivityConfig((0,), ("before", "last", "fc_1", "paired_cell:conv2_1"), (), (), ()),
        config.embed, known,
    )  # fmt: skip
    found = {}
    for each in made:
        for model in each.models:
            found.setdefault(model, []).append((each.name, each.is_base))
    assert found == {
        "pifia": [("conv8", True), ("d2", False)],
        "paired_cell": [
            ("conv4_1", True), ("conv3_1", False), ("conv5_1", False), ("conv2_1", False),
        ],
        "deeploc": [("conv_5", True), ("conv_4", False), ("fc_2", False), ("fc_1", False)],
    }  # fmt: skip


def test_every_setting_that_needs_other_crops_has_a_run_of_its_own(cards, config):
    known = {name: load_card(path) for name, path in cards.items()}
    made = [e for e in settings_of(SensitivityConfig((-2, 2)), config.embed, known) if e.run]
    alone = [(e.choice, e.name) for e in made if e.run != "reading"]
    names = [e.run for e in made if e.run != "reading"]
    assert len(set(names)) == len(alone) == 5
    own = replace(config.embed, mask_shift=2)
    again = settings_of(SensitivityConfig((-2, 2)), own, known)
    assert [e.name for e in again if e.choice == "mask" and e.is_base] == ["2"]


def test_a_pooling_says_nothing_of_a_layer_without_a_map(cards, config):
    known = {"pifia": replace(load_card(cards["pifia"]), layer="d2")}
    made = settings_of(SensitivityConfig(), config.embed, known)
    assert "pooling" not in {str(each.choice) for each in made}


def test_the_table_is_listed_with_its_columns():
    assert "sensitivity" in schema.ADDED_TABLES
    assert not set(schema.ADDED_TABLES) & set(schema.SUMMARY_TABLES)
