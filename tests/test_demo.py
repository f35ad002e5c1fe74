"""What is shipped: the demo's weights and its finished run; and the demo made anew."""

import pandas as pd
import pytest

from compute.models.card_files import builtin_cards, load_card
from compute.runs.demo import BASELINES, EVALUATION
from compute.runs.describe import check_path
from compute.schema import FITTED, Protocol
from compute.shipped import COMPARED_RUN, DEMO_RUN, WEIGHTS
from compute.simulation.config import SimulationConfig
from compute.simulation.proteome import draw_proteome
from compute.storage.run_directory import RunDirectory

NETWORKS = ("pifia", "paired_cell", "deeploc")


def gaps(run) -> pd.DataFrame:
    """Read the background gaps of the pair tests, one row per model and protocol."""
    effects = pd.read_parquet(run / "effects.parquet")
    chosen = (effects["effect"] == "gap") & (effects["probe"] == "pair")
    chosen &= effects["aggregation"] == "all"
    return effects[chosen & (effects["scope"] == "overall")]


def folder_size(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_weights_are_small_and_say_where_they_come_from():
    cards = {name: load_card(path) for name, path in builtin_cards().items()}
    assert set(cards) == set(NETWORKS)
    for name, card in cards.items():
        assert card.width == 0.25
        assert card.simulated
        assert card.created_by.startswith(f"bystander train {name} ")
        assert card.license
    assert folder_size(WEIGHTS) < 5e6


def test_networks_were_trained_on_proteins_that_the_demo_does_not_have():
    """PIFiA's classes are the proteins of the training store, which all three share."""
    config = SimulationConfig()
    counts = (EVALUATION["proteins_per_class"], EVALUATION["mixed_proteins"])
    spreads = (config.brightness_spread, config.contrast_spread)
    seeds = (EVALUATION["proteome_seed"], EVALUATION["varying_proteins"])
    demo = {one.name for one in draw_proteome(*counts, *spreads, *seeds)}
    cards = {name: load_card(path) for name, path in builtin_cards().items()}
    assert len(demo) == 180
    assert len(cards["pifia"].classes) == 162
    assert not demo & set(cards["pifia"].classes)
    stores = {card.trained_on.split("(store ")[1] for card in cards.values()}
    assert len(stores) == 1


def test_the_shipped_run_is_whole_small_and_says_simulated():
    assert folder_size(DEMO_RUN) + folder_size(COMPARED_RUN) < 15e6
    run = RunDirectory(DEMO_RUN)
    assert run.complete
    assert run.meta["simulated"]
    assert [model["name"] for model in run.meta["models"]] == sorted(NETWORKS)
    assert list(check_path(DEMO_RUN))[-1] == "Tables, counts and references agree."


def test_the_run_beside_it_is_of_the_same_trials_and_has_the_same_numbers():
    """And shows what each network is with its map pooled over the middle, and baselines."""
    run = RunDirectory(COMPARED_RUN)
    assert run.complete
    assert run.meta["simulated"]
    assert list(check_path(COMPARED_RUN))[-1] == "Tables, counts and references agree."
    names = {model["name"] for model in run.meta["models"]}
    baselines = {name.replace(":", "-") for name in BASELINES}
    assert names == {*NETWORKS, *(f"{name}.middle" for name in NETWORKS), *baselines}
    assert {model["name"] for model in run.meta["models"] if "baseline" in model} == baselines
    conditions = run.meta["conditions"]
    columns = ["cell", "condition", "donor", "repeat"]
    one, two = (
        pd.concat(pd.read_parquet(file) for file in folder.glob("trials/*.parquet"))
        for folder in (DEMO_RUN, COMPARED_RUN)
    )
    one = one[one["condition"].isin(conditions)]
    asked = (frame[columns].sort_values(columns, ignore_index=True) for frame in (one, two))
    pd.testing.assert_frame_equal(*asked)
    keys = ["model", "protocol", "probe", "aggregation", "condition", "scope", "localization"]
    known, beside = (
        pd.read_parquet(folder / "accuracy.parquet").set_index(keys)["estimate"]
        for folder in (DEMO_RUN, COMPARED_RUN)
    )
    shared = known.index.intersection(beside.index)
    assert len(shared) > 500
    assert (known[shared] - beside[shared]).abs().max() < 1e-6


def test_nothing_is_shipped_that_only_a_writer_needs():
    """Locks, checksums beside tables, temporary files: all are hidden or called so."""
    shipped = WEIGHTS.parent.rglob("*")
    assert not [p for p in shipped if p.name.startswith(".") or p.name.endswith(".tmp")]


def test_the_shipped_run_is_read_without_writing_to_it():
    before = sorted(DEMO_RUN.rglob("*"))
    run = RunDirectory(DEMO_RUN)
    assert len(run.read("accuracy"))
    assert list(check_path(DEMO_RUN))
    assert sorted(DEMO_RUN.rglob("*")) == before


def test_the_shipped_run_used_the_shipped_weights():
    models = {model["name"]: model["hash"] for model in RunDirectory(DEMO_RUN).meta["models"]}
    assert models == {name: load_card(path).hash for name, path in builtin_cards().items()}


def check_folds_and_donors(run) -> None:
    """Recompute, from what is written, who is held out with whom and what probes have seen."""
    cells = pd.read_parquet(run / "cells.parquet").set_index("cell")
    trials = pd.concat(pd.read_parquet(file) for file in sorted(run.glob("trials/*.parquet")))
    cells = cells.loc[sorted(set(trials["cell"]))]
    assert (cells.groupby("protein")["fold"].nunique() == 1).all()
    fold = cells.groupby("protein")["fold"].first()
    labelled = cells[cells["localization"].notna()]
    many = labelled.groupby(["localization", "fold"])["protein"].nunique().unstack(fill_value=0)
    assert many.shape == (15, 5)
    assert (many >= 2).all(axis=None), "two proteins of every class in each fold"
    borrowed = trials[trials["condition"].isin(["same_protein", "same", "different"])]
    centre, donor = (cells["protein"].loc[borrowed[c]].to_numpy() for c in ("cell", "donor"))
    assert (fold[centre].to_numpy() == fold[donor].to_numpy()).all()
    # A probe is fitted on the proteins of the other folds: so on none of the donors'.
    assert not trials.loc[trials["donor"].notna(), "donor_seen"].astype(bool).any()
    kin = borrowed["condition"].to_numpy() == "same_protein"
    assert (centre[kin] == donor[kin]).all()
    assert (centre[~kin] != donor[~kin]).all()
    own, other = (cells["localization"].loc[borrowed[c]].to_numpy() for c in ("cell", "donor"))
    single = pd.notna(own)
    same = borrowed["condition"].to_numpy() == "same"
    different = borrowed["condition"].to_numpy() == "different"
    assert (own[same & single] == other[same & single]).all()
    assert (own[different & single] != other[different & single]).all()
    for name in ("accuracy", "effects"):
        table = pd.read_parquet(run / f"{name}.parquet")
        rows = table["condition"].isin(set(borrowed["condition"])) & (table["aggregation"] == "all")
        # A model's own answer rests on no probe, so there is nothing that could have seen a donor.
        own = table["protocol"] == str(Protocol.OWN)
        assert (table.loc[rows & ~own, "donor_seen"] == 0).all()
        assert table.loc[rows & own, "donor_seen"].isna().all()


def check_steps(run) -> None:
    """The steps of every drop add up."""
    table = pd.read_parquet(run / "decomposition.parquet").fillna({"localization": ""})
    keys = ["model", "probe", "protocol", "scope", "localization", "part"]
    wide = table.pivot(index=keys, columns="step", values="estimate")
    assert set(wide.index.get_level_values("model")) == set(NETWORKS)
    assert set(wide.index.get_level_values("probe")) == {"pair", "multiclass"}
    steps = ["pasting", "strange_image", "neighbours", "second_cell"]
    assert (wide[steps].sum(axis=1) - wide["total"]).abs().max() < 1e-9


def check_findings(run) -> None:
    """Hold what makes a finding one: donors that no probe has seen, and steps that add up."""
    check_folds_and_donors(run)
    check_steps(run)
    found = gaps(run)
    assert len(found) == len(NETWORKS) * len(FITTED)
    assert (found["ci_low"] > 0).all(), found


def test_the_shipped_run_shows_a_background_gap_in_every_network():
    check_findings(DEMO_RUN)


@pytest.mark.long
def test_the_demo_made_anew_shows_the_same(tmp_path):
    from compute.runs.demo import demo

    run = demo(tmp_path).path
    check_findings(run)
    keys = ["model", "protocol", "probe", "aggregation", "condition", "scope", "localization"]
    tables = [pd.read_parquet(folder / "accuracy.parquet") for folder in (DEMO_RUN, run)]
    shipped, anew = (table.set_index(keys)["estimate"].sort_index() for table in tables)
    overall = shipped.xs("overall", level="scope").index
    difference = (shipped - anew).xs("overall", level="scope").loc[overall].abs()
    assert difference.max() < 0.02  # other processors round otherwise, and a few cells flip
