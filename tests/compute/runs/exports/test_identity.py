"""Keys of exported crops: they follow from store, settings, trial and reading, and from no more."""

import hashlib
from dataclasses import replace

import pytest

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.runs.config import RunConfig
from compute.runs.exports.identity import COMPOSING, composites, crop_keys, deciding
from compute.runs.provenance import plain

OTHER_EMBED = {
    "harmonise": "field", "donor_centre": "paper", "paste": "hard", "second_readings": False,
    "mask_shift": 1,
}  # fmt: skip
OTHER_PLAN = {
    "conditions": ("unaltered",), "seed": 1, "repeats": 2, "grid_cells": 5, "backgrounds": 2,
    "split": "test", "folds": 2, "fold_scheme": "paper", "donors": "any",
}  # fmt: skip


def test_a_key_is_as_it_is_described():
    keys = crop_keys("0123456789abcdef", [7, 7], ["trial", "centre"])
    assert keys[0] == hashlib.sha256(b"0123456789abcdef 7 trial").hexdigest()[:16]
    assert keys[1] == hashlib.sha256(b"0123456789abcdef 7 centre").hexdigest()[:16]


def test_every_setting_that_decides_a_crop_changes_the_keys():
    base = RunConfig()
    assert set(OTHER_EMBED) == set(COMPOSING)
    assert set(OTHER_PLAN) == set(vars(base.plan))
    others = [replace(base, embed=EmbedConfig(**{k: v})) for k, v in OTHER_EMBED.items()]
    others += [replace(base, plan=PlanConfig(**{k: v})) for k, v in OTHER_PLAN.items()]
    found = {composites("store", config) for config in (base, *others)}
    found.add(composites("another store", base))
    assert len(found) == len(others) + 2


@pytest.mark.parametrize(
    "more",
    [
        {"examples": 0},
        {"embed": EmbedConfig(normalisation="locked", batch_size=3, precision="bfloat16")},
    ],
)
def test_what_decides_no_pixel_changes_no_key(more):
    assert composites("store", RunConfig(**more)) == composites("store", RunConfig())


def test_the_settings_stand_as_a_run_records_them():
    from dataclasses import asdict

    config = RunConfig(plan=PlanConfig(seed=3))
    recorded = plain(asdict(config))
    for part, values in deciding(config).items():
        assert {name: recorded[part][name] for name in values} == values
