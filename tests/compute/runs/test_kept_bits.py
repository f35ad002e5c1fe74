"""Probabilities with fewer bits, and runs that keep no answers to single crops."""

import shutil
from dataclasses import replace
from math import frexp

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError
from compute.runs.config import RunConfig
from compute.runs.describe import check_path
from compute.runs.kept_bits import keep_bits, round_bits
from compute.runs.pipeline import run_store
from compute.storage.run_directory import RunDirectory
from tests.seals import reseal

BITS = 10


@given(st.lists(st.floats(0, 1, width=32), min_size=1), st.integers(1, 23))
def test_numbers_are_rounded_to_so_many_significant_bits(values, bits):
    given_ = np.array(values, np.float32)
    found = round_bits(given_, bits)
    assert found.dtype == np.float32
    for value, rounded in zip(given_.tolist(), found.tolist(), strict=True):
        fraction, _ = frexp(rounded)
        assert (fraction * 2**bits).is_integer()
        assert abs(rounded - value) <= value * 2.0**-bits
    assert np.array_equal(round_bits(found, bits), found)
    assert np.array_equal(round_bits(given_, 24), given_)


def test_the_next_number_of_so_many_bits_is_taken():
    values = np.array([0.50048828125, 0.5005, 0.999, np.nan])
    assert np.array_equal(round_bits(values, 10), [0.5, 0.5009765625, 1023 / 1024, np.nan], True)


def test_a_number_of_bits_that_is_none_is_refused():
    for bits in (7, 25):
        with pytest.raises(UsageError, match=f"probability_bits is {bits}; it must be 8 to 24"):
            RunConfig(probability_bits=bits)


def test_only_probabilities_are_rounded(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    here = RunDirectory(tmp_path / "run")
    before = {file: file.read_bytes() for file in here.path.rglob("*.parquet")}
    keep_bits(here, 24)
    assert all(file.read_bytes() == content for file, content in before.items())
    keep_bits(here, BITS)
    changed = {file for file, content in before.items() if file.read_bytes() != content}
    answers = {file for file in before if "predictions" in file.parts}
    assert changed == {*answers, here.summary("distributions")}
    assert len(answers) > 3
    reseal(here.path)
    here = RunDirectory(here.path)
    for table, column in (("predictions", "probabilities"), ("distributions", "mean_probability")):
        model = "pifia" if table == "predictions" else None
        one, two = (each.read(table, model).to_pandas() for each in (RunDirectory(run), here))
        pd.testing.assert_frame_equal(one.drop(columns=column), two.drop(columns=column))
        exact, kept = (np.stack(frame[column]) for frame in (one, two))
        assert np.array_equal(round_bits(exact, BITS), kept, equal_nan=True)
        assert (exact != kept).any()


@pytest.mark.long
def test_a_run_without_answers_to_crops_has_every_number(store, cards, config, tmp_path):
    small = replace(
        config,
        plan=PlanConfig(conditions=("unaltered", "masked"), folds=2, grid_cells=4),
        embed=EmbedConfig(batch_size=32),
        probes=(),
        examples=0,
        bootstrap=replace(config.bootstrap, exchanges=0),
    )
    lean = replace(small, keep_embeddings=False, keep_predictions=False, probability_bits=BITS)
    whole, less = (
        run_store(store, tmp_path / name, [str(cards["pifia"])], settings, jobs=1)[0]
        for name, settings in (("whole", small), ("less", lean))
    )
    assert whole.parts("predictions", "pifia")
    assert not less.folder("predictions").exists()
    one, two = whole.meta["tables"], less.meta["tables"]
    assert {name for name in one if one[name] != two[name]} == {"distributions"}
    lines = list(check_path(less.path))
    assert lines[-1] == "Tables, counts and references agree."
    assert not any(line.startswith("predictions") for line in lines)
    again, worked = run_store(store, less.path, [str(cards["pifia"])], lean, jobs=1)
    assert not worked
    assert again.meta["fingerprint"] == less.meta["fingerprint"]
