"""What made-up remedies truly do is known, and the crops it is known by are those of a data set."""

import numpy as np
import pytest

from compute.bench.config import SimulationConfig
from compute.bench.remedy_intervals import (
    CHOICES,
    OTHERS,
    SETTINGS,
    data_set,
    true_numbers,
)
from compute.bench.simulated_embeddings import (
    CONDITIONS,
    MODEL,
    POOLED,
    Elsewhere,
    EmbeddingsConfig,
    make,
)
from compute.errors import UsageError
from compute.probes.gather import shards
from compute.remedies.judge import Judge
from compute.remedies.learned import average
from compute.remedies.of_model import fit_remedies
from compute.schema import Remedy

LARGE = EmbeddingsConfig(proteins=300, cells=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made") / "run", LARGE, np.random.default_rng(1), 1)


@pytest.fixture(scope="module")
def elsewhere():
    return Elsewhere.draw(LARGE, 3000, CHOICES.backgrounds, np.random.default_rng(2))


def test_crops_elsewhere_are_as_those_of_a_data_set(made, elsewhere):
    """Means and spreads of every unit, by localization and condition."""
    for place, model in enumerate((MODEL, POOLED)):
        [(trials, vectors)] = shards(made.run, "embeddings", model)
        classes = made.cells.classes[trials["cell"].to_numpy()]
        for condition in CONDITIONS:
            here = (trials["condition"] == condition).to_numpy()
            other = elsewhere.crops[condition][place]
            for k in range(LARGE.classes):
                mine = vectors[here & (classes == k)]
                theirs = other[elsewhere.classes == k].reshape(-1, LARGE.width)
                assert mine.mean(0) == pytest.approx(theirs.mean(0), abs=0.15)
                assert mine.std(0) == pytest.approx(theirs.std(0), abs=0.12)
        means = average(trials.assign(donor=trials["donor"].fillna(-1)), vectors,
                        made.cells.names, CHOICES.backgrounds, 0)  # fmt: skip
        theirs = elsewhere.crops["averaged"][place][:, 0]
        assert means.features.mean(0) == pytest.approx(theirs.mean(0), abs=0.1)
        assert means.features.std(0) == pytest.approx(theirs.std(0), abs=0.1)


def test_what_remedies_truly_do_is_what_they_do_to_very_many_proteins(made, elsewhere):
    judge = Judge(made.run, made.cells, CONDITIONS[:-1], 1.0, CHOICES, 0)
    probes, _ = fit_remedies(judge, MODEL, OTHERS)
    classes = made.cells.classes
    truth = {r: true_numbers(probe, r, made.cells, elsewhere) for r, probe in probes.items()}
    for remedy, judged in judge.ask(probes, MODEL, OTHERS).items():
        for condition in CONDITIONS[:-1]:
            here = judged.condition == condition
            if not here.any():
                assert ("accuracy", condition) not in truth[remedy]
                continue
            right, of = judged.right[here], classes[judged.cell[here]]
            found = np.mean([right[of == k].mean() for k in range(LARGE.classes)])
            assert truth[remedy]["accuracy", condition] == pytest.approx(found, abs=0.03)
    gap = {remedy: numbers["gap", "different"] for remedy, numbers in truth.items()}
    assert gap[Remedy.NONE] > 0.2
    assert abs(gap[Remedy.PROJECTED]) < 0.02
    assert gap[Remedy.BALANCED] < 0.7 * gap[Remedy.NONE]
    assert gap[Remedy.CLEANED] == gap[Remedy.AVERAGED] == 0


def test_backgrounds_that_show_nothing_change_nothing():
    none = EmbeddingsConfig(amount=0)
    elsewhere = Elsewhere.draw(none, 2000, 3, np.random.default_rng(0))
    for condition in ("same", "different", "alone"):
        one, two = elsewhere.crops["unaltered"][0], elsewhere.crops[condition][0]
        assert one.mean((0, 1)) == pytest.approx(two.mean((0, 1)), abs=0.02)
        one, two = elsewhere.crops[condition]
        assert one.mean((0, 1)) == pytest.approx(two.mean((0, 1)), abs=0.02)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_data_set_tells_of_every_remedy(setting):
    config = SimulationConfig(data_sets=2, draws=100)
    held = data_set(SETTINGS[setting], config, 0, np.random.default_rng(0))
    for remedy in Remedy:
        assert f"accuracy, {remedy}" in held
        assert (f"difference in drop, {remedy}" in held) == (remedy != Remedy.NONE)
    assert "gap, cleaned" not in held, "zero by construction"
    assert "accuracy, none, background alone" in held
    assert np.mean(np.concatenate(list(map(np.array, held.values())))) > 0.6


@pytest.mark.parametrize(
    "wrong", [{"classes": 2}, {"proteins": 3}, {"cells": 0}, {"folds": 1}, {"width": 4}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        EmbeddingsConfig(**wrong)
