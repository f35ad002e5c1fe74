"""Baselines in a run: the control whose drop must be nothing, and the others, whose need not."""

from dataclasses import replace

import pytest

from compute.backgrounds.config import PlanConfig
from compute.runs.pipeline import run_store

CONDITIONS = ("unaltered", "same", "different", "sham")


@pytest.fixture(scope="module")
def effects(tmp_path_factory, store, config):
    plan = PlanConfig(conditions=CONDITIONS, backgrounds=3, folds=2)
    names = ["handcrafted", "handcrafted-centre", "density", "untrained:paired_cell"]
    run, _ = run_store(
        store, tmp_path_factory.mktemp("baselines") / "run", names, replace(config, plan=plan),
        jobs=1,
    )  # fmt: skip
    return run.read("effects").to_pandas()


@pytest.mark.long
def test_the_centre_alone_never_drops(effects):
    mine = effects[effects["model"] == "handcrafted-centre"]
    assert set(mine["condition"]) >= {"same", "different", "sham"}
    assert {"drop", "gap"} <= set(mine["effect"])
    # `published` groups the two sides of a drop differently, so there it is not that of one thing.
    whole = mine[mine["aggregation"] != "published"].dropna(subset="estimate")
    assert len(whole[whole["protocol"] == "frozen"]) > 10
    # Means over trials that are all the same as the unaltered one round otherwise.
    assert whole["estimate"].abs().max() < 1e-12


@pytest.mark.long
def test_others_do(effects):
    for name in ("handcrafted", "density", "untrained-paired_cell"):
        drops = effects[(effects["model"] == name) & (effects["condition"] == "different")]
        assert (drops["estimate"] != 0).any(), name
