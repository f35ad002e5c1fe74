"""Simulated stores: repeatable, true to their truth, as crowded as real ones, no cue but pattern.

Tests over `PATTERNS` test a new localization by its being registered. The comparison with real
crops needs the shared data.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, cross_val_score

from compute.bench.appearance import look
from compute.errors import BystanderError, UsageError
from compute.images.cell_quality import flag_cells
from compute.images.segmentation import segment
from compute.schema import LOCALIZATIONS, UNUSABLE
from compute.simulation import geometry, organelles
from compute.simulation.debris import scatter
from compute.simulation.fields import cut_crops, simulate_field
from compute.simulation.layout import lay_out
from compute.simulation.optics import draw_batch_effect, expose
from compute.simulation.proteome import cell_proportions, draw_proteome
from compute.simulation.simulate import SimulationConfig, StudyDesign, simulate
from compute.store.reader import CropStore

SMALL = {"proteins_per_class": 1, "mixed_proteins": 2, "cells_per_protein": 4, "workers": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> CropStore:
    path = tmp_path_factory.mktemp("simulated") / "store"
    return CropStore(simulate(path, proteins_per_class=3, mixed_proteins=4, cells_per_protein=8))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("small") / "store", **SMALL)


def hashes(path: Path) -> dict[str, str]:
    return {item["file"]: item["sha256"] for item in CropStore(path).meta["files"]}


def test_same_seed_gives_the_same_bytes_whatever_the_workers(small, tmp_path):
    again = simulate(tmp_path / "again", **{**SMALL, "workers": 2})
    assert hashes(again) == hashes(small)
    assert CropStore(again).fingerprint == CropStore(small).fingerprint


def test_another_seed_images_the_same_proteins_anew(small, tmp_path):
    other = CropStore(simulate(tmp_path / "other", seed=1, **SMALL))
    here = CropStore(small)
    columns = ["protein", "orf", "localization"]
    first, second = (s.cells[columns].drop_duplicates("protein") for s in (here, other))
    assert first.reset_index(drop=True).equals(second.reset_index(drop=True))
    assert not np.array_equal(here.arrays().images, other.arrays().images)


def test_proteome_depends_on_its_seed_alone():
    assert draw_proteome(3, 5, 0.5, 0.3, 1) == draw_proteome(3, 5, 0.5, 0.3, 1)
    proteins = draw_proteome(3, 5, 0.5, 0.3, 1)
    others = draw_proteome(3, 5, 0.5, 0.3, 2)
    for column in ("name", "orf", "brightness", "contrast"):
        first, second = (
            {getattr(one, column) for one in proteome} for proteome in (proteins, others)
        )
        assert not first & second, column
    assert len({one.name for one in proteins}) == len(proteins) == 3 * 15 + 5
    assert all(one.name.startswith("SIM") for one in proteins)


def test_store_holds_what_was_asked_for(store):
    cells = store.cells
    assert store.channels == ["GFP", "RFP"]
    assert store.simulated
    assert store.dtype == np.uint16
    assert len(cells) == (3 * 15 + 4) * 8
    assert set(cells["localization"].dropna()) == set(LOCALIZATIONS)
    assert cells[cells["localization"].isna()]["labels"].map(len).eq(2).all()
    assert store.usable.mean() > 0.8
    assert set(store.windows["field"]) == set(cells["field"])
    assert not store.windows["filled"].any()


def test_one_protein_per_field_and_one_replicate(store):
    assert store.cells.groupby("field")["protein"].nunique().eq(1).all()
    assert store.cells.groupby("field")["replicate"].nunique().eq(1).all()
    assert store.cells.groupby("protein")["replicate"].nunique().eq(2).all()


def test_truth_sums_to_one_and_lies_in_the_labels(store):
    truth = store.truth
    assert np.allclose(truth.groupby("cell")["proportion"].sum(), 1, atol=1e-6)
    assert set(truth["cell"]) == set(store.cells["cell"])
    labels = store.cells.set_index("cell")["labels"]
    assert all(
        name in labels[cell] for cell, name in zip(truth.cell, truth.localization, strict=True)
    )


def test_varying_proteins_vary_and_fixed_ones_do_not():
    rng = np.random.default_rng(0)
    mixed = [one for one in draw_proteome(1, 6, 0.5, 0.3, 1) if len(one.localizations) == 2]
    for protein in mixed:
        truth = cell_proportions(protein, 200, rng)
        spread = truth[:, LOCALIZATIONS.index(protein.localizations[0])].std()
        assert (spread > 0.2) if protein.varying else spread < 1e-6
    assert {one.varying for one in mixed} == {True, False}


def test_proteins_that_vary_with_one_label_come_on_top_of_the_others():
    plain, more = (draw_proteome(1, 6, 0.5, 0.3, 1, count) for count in (0, 5))
    hidden = [one for one in more if one.labels != one.localizations]
    assert len(hidden) == 5
    assert all(one.varying and len(one.localizations) == 2 for one in hidden)
    assert all(one.labels == one.localizations[:1] for one in hidden)
    assert all(one.localization == one.localizations[0] for one in hidden)

    def known(one):
        return one.localizations, one.proportions, one.varying, one.brightness, one.contrast

    others = [known(one) for one in more if one not in hidden]
    assert sorted(others) == sorted(map(known, plain)), "the other proteins are the same"


def test_masks_are_centred_cells_and_part_of_the_foreground(store):
    arrays = store.arrays()
    masks, foregrounds = arrays.unpack(arrays.masks), arrays.unpack(arrays.foregrounds)
    assert (masks.sum((1, 2)) > 200).all()
    assert not (masks & ~foregrounds).any()
    others = (foregrounds & ~masks).mean((1, 2))
    assert np.allclose(others, store.cells["neighbour_fraction"])
    row, column = zip(*(ndimage.center_of_mass(mask) for mask in masks), strict=True)
    assert np.median(np.hypot(np.array(row) - 31.5, np.array(column) - 31.5)) < 1.0


def test_cells_are_brighter_than_medium_in_both_channels(store):
    arrays = store.arrays()
    masks, foregrounds = arrays.unpack(arrays.masks), arrays.unpack(arrays.foregrounds)
    for channel in (0, 1):
        images = arrays.images[:, channel].astype(float)
        inside = [image[mask].mean() for image, mask in zip(images, masks, strict=True)]
        outside = [
            np.median(image[~cells]) for image, cells in zip(images, foregrounds, strict=True)
        ]
        assert np.mean(np.array(inside) > np.array(outside)) > 0.98


def test_windows_without_cells_hold_medium_only(store):
    red = store.arrays().windows[:, 1].astype(float)
    medium = np.median(red)
    assert np.percentile(red, 99.9) < 2 * medium


@pytest.mark.parametrize("localization", LOCALIZATIONS)
def test_every_localization_draws_inside_the_cell(localization):
    rng = np.random.default_rng(3)
    for _ in range(8):
        anatomy = geometry.Anatomy(geometry.draw_cell(SimulationConfig(), rng), 40.3, 39.8)
        image = organelles.draw(localization, anatomy, rng)
        assert image.shape == anatomy.shape
        assert image.min() >= 0
        assert image.sum() == pytest.approx(1, abs=1e-4)
        grown = ndimage.binary_dilation(anatomy.mask, iterations=2)
        assert image[grown].sum() > 0.97


def place(localization: str, where: str) -> float:
    """Share of a localization's light in one part of the cell, mean over cells."""
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(20):
        anatomy = geometry.Anatomy(geometry.draw_cell(SimulationConfig(), rng), 40.0, 40.0)
        image = organelles.draw(localization, anatomy, rng)
        part = {
            "nucleus": anatomy.nuclear > -1.5,
            "nuclear edge": np.abs(anatomy.nuclear) < 2,
            "vacuole": anatomy.vacuolar > 0,
            "vacuolar edge": np.abs(anatomy.vacuolar) < 2,
            "edge": np.abs(anatomy.depth) < 3,
        }[where]
        shares.append(float(image[part].sum()))
    return float(np.mean(shares))


@pytest.mark.parametrize(
    ("localization", "where", "low", "high"),
    [
        ("nucleus", "nucleus", 0.9, 1.0),
        ("nucleolus", "nucleus", 0.9, 1.0),
        ("nuclear periphery", "nuclear edge", 0.8, 1.0),
        ("spindle pole", "nuclear edge", 0.75, 1.0),
        ("vacuole", "vacuole", 0.85, 1.0),
        ("vacuolar membrane", "vacuolar edge", 0.85, 1.0),
        ("cell periphery", "edge", 0.7, 1.0),
        ("cytoplasm", "vacuole", 0.0, 0.05),
        ("cytoplasm", "nucleus", 0.0, 0.3),
        ("mitochondrion", "nucleus", 0.0, 0.2),
        ("Golgi", "nucleus", 0.0, 0.2),
        ("peroxisome", "vacuole", 0.0, 0.2),
    ],
)
def test_localizations_lie_where_they_are_named_for(localization, where, low, high):
    assert low <= place(localization, where) <= high


def test_a_second_drawing_function_is_refused():
    assert set(organelles.PATTERNS) == set(LOCALIZATIONS)
    with pytest.raises(BystanderError, match="'actin' has a drawing function already"):
        organelles.draws("actin")(organelles.golgi)
    with pytest.raises(UsageError, match="Unknown localization 'lysosome'"):
        organelles.draws("lysosome")


def test_light_of_a_cell_does_not_depend_on_the_localization():
    config = SimulationConfig(batch=0, contrast_spread=0, brightness_spread=0)
    totals = {}
    for protein in draw_proteome(1, 0, 0, 0, 1):
        rng = np.random.default_rng(11)
        batch = draw_batch_effect(config, rng)
        field = simulate_field(protein, config, batch, 8, rng)
        counts = field.image[0].astype(float) - np.median(field.image[0][field.labels == 0])
        totals[protein.localization] = counts.sum() / (field.labels > 0).sum()
    values = np.array(list(totals.values()))
    assert np.all(np.abs(values / np.median(values) - 1) < 0.35), totals


def test_brightness_does_not_tell_the_class(store):
    cells = store.cells
    known = cells["localization"].notna().to_numpy()
    y, groups = cells["localization"][known].to_numpy(), cells["protein"][known].to_numpy()
    images = store.arrays().images[known, 0].reshape(known.sum(), -1).astype(float)
    low, high = images.min(1, keepdims=True), images.max(1, keepdims=True)
    scaled = (images - low) / (high - low)
    features = np.column_stack([images.mean(1), images.std(1), low, high])
    features = np.column_stack([features, scaled.mean(1), scaled.std(1)])
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    accuracy = cross_val_score(forest, features, y, groups=groups, cv=GroupKFold(3)).mean()
    assert accuracy < 0.2, f"chance is {1 / 15:.3f}"
    medians = np.array([np.median(images[y == name].sum(1)) for name in LOCALIZATIONS])
    assert np.ptp(medians) < np.ptp(np.percentile(images.sum(1), [5, 95]))


def test_replicates_differ_in_light_and_can_be_made_equal():
    drawn = [draw_batch_effect(SimulationConfig(), np.random.default_rng(seed)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    none = [draw_batch_effect(SimulationConfig(batch=0), np.random.default_rng(s)) for s in (0, 1)]
    assert none[0] == none[1]


def test_camera_adds_offset_and_photon_noise():
    config = SimulationConfig(batch=0, medium=50, read_noise=0, resampling=0)
    rng = np.random.default_rng(0)
    batch = replace(draw_batch_effect(config, rng), light_fall=0.0)
    counts = expose(np.zeros((2, 200, 200), np.float32), config, batch, rng)[0].astype(float)
    assert counts.mean() == pytest.approx(config.offset + 50 * config.gain, rel=0.01)
    assert counts.std() == pytest.approx(config.gain * np.sqrt(50), rel=0.05)


def test_debris_is_in_no_label_and_in_no_window():
    config = SimulationConfig(debris=8, debris_light=0.05, crowding=0.1)
    protein = draw_proteome(1, 0, 0.5, 0.3, 1)[0]
    rng = np.random.default_rng(4)
    field = simulate_field(protein, config, draw_batch_effect(config, rng), 6, rng)
    assert field.labels.max() == len(field.centres) == len(field.truth)
    specks = field.debris & ~ndimage.binary_dilation(field.labels > 0, iterations=6)
    medium = ~field.debris & ~ndimage.binary_dilation(field.labels > 0, iterations=6)
    assert specks.any()
    for channel in field.image.astype(float):
        assert channel[specks].mean() > channel[medium].mean() + channel[medium].std()
    crops = cut_crops(field, config, 6, rng)
    light = crops.windows.astype(float) - np.median(field.image[:, medium], axis=1)[:, None, None]
    noise = field.image[:, medium].std(axis=1)[:, None, None]
    assert len(crops.windows)
    assert (light / noise).max() < 8  # noise of photons, not a speck


@pytest.mark.parametrize("side", [40, 200])
def test_particles_send_the_light_that_is_asked_for(side):
    config = SimulationConfig(debris=20, debris_light=0.1)
    light, traces = scatter(side, config, np.random.default_rng(0))
    assert light.shape == (2, side, side)
    assert light.min() >= 0
    assert traces.any()
    assert light[:, ~traces].sum() < 0.05 * light.sum()
    none, nowhere = scatter(side, SimulationConfig(debris=0), np.random.default_rng(0))
    assert not none.any()
    assert not nowhere.any()


def test_cells_farther_from_the_focus_are_blurred():
    widths = []
    protein = draw_proteome(1, 0, 0.5, 0.3, 1)[0]
    for spread in (0.0, 3.0):
        config = SimulationConfig(focus_spread=spread, defocused=0, batch=0, debris=0)
        rng = np.random.default_rng(2)
        field = simulate_field(protein, config, draw_batch_effect(config, rng), 12, rng)
        crops = cut_crops(field, config, 12, rng)
        edges = [
            look(image[1], mask, foreground).get("edge", np.nan)
            for image, mask, foreground in zip(
                crops.images, crops.masks, crops.foregrounds, strict=True
            )
        ]
        widths.append(np.nanmedian(edges))
    assert widths[1] > 1.1 * widths[0]


def test_more_crowding_means_more_neighbours():
    fractions = []
    protein = draw_proteome(1, 0, 0.5, 0.3, 1)[0]
    for crowding in (0.05, 0.45):
        config = SimulationConfig(crowding=crowding)
        rng = np.random.default_rng(2)
        field = simulate_field(protein, config, draw_batch_effect(config, rng), 30, rng)
        crops = cut_crops(field, config, 30, rng)
        fractions.append((crops.foregrounds & ~crops.masks).mean())
        assert (field.labels > 0).mean() == pytest.approx(crowding, rel=0.3)
    assert fractions[0] + 0.08 < fractions[1]


def test_other_crop_sizes(tmp_path):
    config = SimulationConfig(cell_diameter=30, windows=0)
    store = CropStore(simulate(tmp_path / "s", size=56, config=config, **SMALL))
    assert store.arrays().images.shape[1:] == (2, 56, 56)
    assert len(store.windows) == 0


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("crowding", 0.9, "0.02 to 0.5"),
        ("size", 20, "48 to 128"),
        ("size", 64.5, "whole numbers 48 to 128"),
        ("psf_sigma", float("nan"), "0.5 to 4.0"),
        ("cell_diameter", 60, "up to 42 pixels"),
        ("gain", "high", "0.1 to 50.0"),
    ],
)
def test_bad_settings_are_named_with_their_range(name, value, allowed):
    with pytest.raises(UsageError, match=f"{name} = .*{allowed}"):
        SimulationConfig(**{name: value})


def test_bad_amounts_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match=r"replicates = 0 .*1 to 20"):
        simulate(tmp_path / "s", replicates=0)
    with pytest.raises(UsageError, match=r"cells_per_protein = 2 .*fields_per_protein = 3"):
        StudyDesign(cells_per_protein=2, fields_per_protein=3)
    with pytest.raises(UsageError, match="workers = 0"):
        simulate(tmp_path / "s", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_fields(tmp_path):
    seen: list[tuple[str, int, int]] = []
    simulate(tmp_path / "s", progress=lambda *call: seen.append(call), **SMALL)
    assert seen[0] == ("fields", 0, 34)
    assert seen[-1] == ("fields", 34, 34)


def test_cells_hardly_overlap():
    config = SimulationConfig()
    placed = lay_out(config, 400, np.random.default_rng(0))
    count = np.zeros((500, 500), int)
    for one in placed:
        anatomy = geometry.Anatomy(one.cell, one.row + 50, one.column + 50)
        (top, left), (height, width) = anatomy.corner, anatomy.shape
        if top < 0 or left < 0 or top + height > 500 or left + width > 500:
            continue
        count[top : top + height, left : left + width] += anatomy.mask
    assert (count > 1).sum() < 0.02 * (count > 0).sum()


def neighbours(markers: np.ndarray) -> tuple[np.ndarray, float]:
    """Share of each crop that other cells cover, and the median area of the centre cell."""
    masks, foregrounds = segment(markers.astype(np.float32))
    good = (flag_cells(masks, foregrounds) & int(UNUSABLE)) == 0
    return (foregrounds & ~masks)[good].mean((1, 2)), float(np.median(masks[good].sum((1, 2))))


def label_windows(labels: np.ndarray, size: int = 64) -> list[float]:
    """Share that other labels cover in the window around every label that has a whole one."""
    shares = []
    for number in np.unique(labels)[1:]:
        row, column = (int(values.mean()) for values in np.nonzero(labels == number))
        if min(row, column) >= size // 2 and max(row, column) <= len(labels) - size // 2:
            window = labels[
                row - size // 2 : row + size // 2, column - size // 2 : column + size // 2
            ]
            shares.append(float(((window != 0) & (window != number)).mean()))
    return shares


def test_crowding_and_size_match_real_crops(store, shared):
    """The simulated median lies within 20% of that of the two real data sets together."""
    files = sorted((shared / "paired_cell_yeast").glob("*/*_rfp.tif"))[::2]
    crops, area = neighbours(np.stack([tifffile.imread(file) for file in files]))
    fields = sorted((shared / "cyclenet_fields").glob("*_labeled.tiff"))
    windows = [share for file in fields for share in label_windows(tifffile.imread(file))]
    both = np.concatenate([np.repeat(crops, 2), windows])  # every second crop was read
    simulated, simulated_area = neighbours(store.arrays().images[:, 1])
    assert np.median(simulated) == pytest.approx(np.median(both), rel=0.2)
    assert np.median(simulated) == pytest.approx(np.median(crops), rel=0.25)
    assert simulated_area == pytest.approx(area, rel=0.2)
