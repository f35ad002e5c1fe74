"""How crops look: known noise, edges and specks are found; scales do not matter; the defaults of
the simulation look as the real crops do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from typer.testing import CliRunner

from compute.bench.appearance import (
    CELL_NAMES,
    CHANNEL_NAMES,
    GLOW_AT,
    look,
    measure_appearance,
    side_by_side,
)
from compute.cli.main import app
from compute.errors import UsageError
from compute.simulation.config import REAL
from compute.simulation.simulate import simulate
from compute.store.reader import CropStore

ROWS, COLUMNS = np.mgrid[:64, :64] - 31.5
DISC = np.hypot(ROWS, COLUMNS) < 15


def crop(light=200.0, noise=10.0, level=100.0, blur=0.0, seed=0):
    """A disc on medium with white noise."""
    rng = np.random.default_rng(seed)
    cell = ndimage.gaussian_filter(DISC.astype(np.float32), blur) if blur else DISC
    return (level + light * cell + rng.normal(0, noise, DISC.shape)).astype(np.float32)


def test_noise_and_contrast_are_those_put_in():
    looks = pd.DataFrame([look(crop(seed=seed), DISC, DISC) for seed in range(20)]).mean()
    assert looks["light over noise"] == pytest.approx(20, rel=0.05)
    assert looks["cell over medium"] == pytest.approx(3, rel=0.02)
    assert looks["variation in cells"] == pytest.approx(10 / 200, rel=0.05)
    assert looks["range over noise"] == pytest.approx(20 + 2.0 + 2.2, rel=0.1)
    assert looks["correlation of noise"] == pytest.approx(0, abs=0.03)
    assert looks["specks"] == 0


@pytest.mark.parametrize("share", [0.05, 0.09, 0.2])
def test_interpolation_correlates_noise_by_the_kernels_own_product(share):
    kernel = [share, 1 - 2 * share, share]
    found = []
    for seed in range(20):
        image = crop(seed=seed)
        for axis in (0, 1):
            image = ndimage.correlate1d(image, kernel, axis)
        found.append(look(image, DISC, DISC)["correlation of noise"])
    # Taking the smooth part off takes some of it along.
    expected = 2 * share * (1 - 2 * share) / ((1 - 2 * share) ** 2 + 2 * share**2)
    assert np.mean(found) == pytest.approx(
        expected, abs=0.06
    )  # taking the smooth part off costs some


@pytest.mark.parametrize("blur", [1.5, 2.0, 3.0])
def test_edge_of_a_blurred_disc(blur):
    """80 to 20% of an error function is 1.683 standard deviations; by pixels a bit more."""
    found = look(crop(noise=1.0, blur=blur), DISC, DISC)["edge"]
    assert found == pytest.approx(1.683 * blur, rel=0.15)


def test_glow_falls_with_the_distance_and_follows_the_blur():
    sharp, soft = (look(crop(noise=0.5, blur=blur), DISC, DISC) for blur in (1.0, 3.0))
    for found in (sharp, soft):
        glow = [found[f"glow at {at}"] for at in GLOW_AT]
        assert glow == sorted(glow, reverse=True)
    assert sharp["glow at 3"] < soft["glow at 3"]


def test_another_cells_light_is_no_glow():
    other = np.roll(DISC, (34, 0), (0, 1)) & (ROWS > 16)
    bright = crop(noise=1.0) + 900 * other
    assert look(bright, DISC, DISC | other)["glow at 2"] == pytest.approx(0, abs=0.05)


def test_specks_are_counted_where_medium_is_and_not_in_cells():
    image = crop()
    for row, column in ((9, 9), (9, 54), (54, 10)):
        image[row - 1 : row + 2, column - 1 : column + 2] += 150
    image[31, 31] += 5000
    medium = (ndimage.distance_transform_edt(~DISC) > 6)[6:-6, 6:-6].sum()
    assert look(image, DISC, DISC)["specks"] == pytest.approx(3 * 64**2 / medium)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 1000), st.floats(-50, 1000))
def test_scale_changes_nothing_and_offset_the_contrast_only(scale, offset):
    image = crop(blur=1.0).astype(np.float64)
    plain, other = look(image, DISC, DISC), look(scale * image, DISC, DISC)
    assert other == pytest.approx(plain, rel=1e-3, abs=1e-3)
    shifted = look(image + offset, DISC, DISC)
    for found in (plain, shifted):
        del found["cell over medium"]
    assert shifted == pytest.approx(plain, rel=1e-2, abs=1e-2)


def test_what_a_crop_does_not_show_is_left_out():
    assert look(crop(), DISC, np.ones_like(DISC)) == {}
    dim = look(crop(light=5.0), DISC, DISC)
    assert "range over noise" in dim
    assert "edge" not in dim


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("looks") / "simulated"
    return simulate(
        path, proteins_per_class=4, mixed_proteins=0, cells_per_protein=8, fields_per_protein=1
    )


@pytest.fixture(scope="module")
def looks(simulated):
    return measure_appearance([simulated])


def values(table):
    return table.set_index(["channel", "what"])["value"]


RARE = {("GFP", "specks"), ("RFP", "specks")}
"""So few in some hundred crops that chance decides."""

EXCEPT = {("GFP", "blurred"), ("GFP", "glow at 8"), ("RFP", "glow at 8"), *RARE}
"""What `compute.simulation.config` says does not match, or what a small store cannot show."""


def test_simulated_crops_look_as_real_ones(looks):
    """Every number lies within 20% of one real data set or between the two."""
    found = values(looks)
    assert set(found.index) == set(REAL)
    for key, real in REAL.items():
        low, high = min(real), max(real)
        if key not in EXCEPT:
            assert low - 0.2 * abs(low) <= found[key] <= 1.2 * high, key
    assert found["RFP", "specks"] < 0.5


def test_real_crops_still_look_as_is_said(shared, tmp_path):
    for source, command in (("paired_cell_yeast", "paired-cell"), ("cyclenet_fields", "fields")):
        words = ["import", command, str(shared / source), str(tmp_path / source)]
        assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    table = measure_appearance([tmp_path / "paired_cell_yeast", tmp_path / "cyclenet_fields"])
    for number, (_, found) in enumerate(table.groupby("store", sort=False)):
        for key, real in REAL.items():
            assert values(found)[key] == pytest.approx(real[number], rel=0.05, abs=0.005), key


def test_stores_stand_side_by_side(simulated, looks, store):
    table = measure_appearance([simulated, store])
    pd.testing.assert_frame_equal(table[table["store"] == "simulated"], looks)
    lines = list(side_by_side(table))
    assert lines[0] == "| what | simulated | store | Paired Cell, CycleNET | how |"
    assert len(lines) == 2 + len(CELL_NAMES) + 2 * len(CHANNEL_NAMES)
    area = np.median(CropStore(simulated).arrays().unpack(
        CropStore(simulated).arrays().masks[np.flatnonzero(CropStore(simulated).usable)]
    ).sum((1, 2)))  # fmt: skip
    assert lines[2].startswith(f"| area | {area:.3g} (")


def test_stores_of_the_same_name_are_told_apart(store, looks):
    table = measure_appearance([store, store.parent / "." / store.name])
    assert set(table["store"]) == {str(store)}


def test_the_command_simulates_where_no_store_is_given(monkeypatch, simulated):
    monkeypatch.setattr("compute.bench.appearance.simulate", lambda path, **_: simulated)
    done = CliRunner().invoke(app, ["bench", "appearance"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "| GFP range over noise |" in done.output


def test_a_store_without_usable_crops_is_refused(simulated, monkeypatch):
    monkeypatch.setattr(CropStore, "usable", np.zeros(3, bool))
    with pytest.raises(UsageError, match=r"No crop of .*simulated is usable"):
        measure_appearance([simulated])
