"""Training that ignores the background: where donors come from, what is compared, what it cures."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.backgrounds.prepared import DONOR, MEDIUM, OWN, PreparedCells, prepare
from compute.errors import ChangedError, UsageError
from compute.models.embedder import load_model
from compute.models.networks import NETWORKS, network_spec
from compute.models.training.consistency import (
    Consistency,
    background_share,
    layers_to_compare,
)
from compute.models.training.crops import fits
from compute.models.training.donors import BackgroundDraws
from compute.models.training.load_pixels import load_pixels
from compute.models.training.objectives import OBJECTIVES, error_inside
from compute.models.training.options import TRAINING_BACKGROUNDS, TrainingOptions
from compute.models.training.select_cells import select_cells
from compute.models.training.train import train
from compute.models.weights import read_weights
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter

SIDE = 64
FAST = {"width": 0.03, "epochs": 2, "batch_size": 8, "seed": 3}
CHANGED = [name for name, way in TRAINING_BACKGROUNDS.items() if way.changes]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Networks this small lose more by threads waiting for each other than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def disc(row, column, radius):
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.hypot(y - row, x - column) < radius


def crop(place, rng):
    """Draw a cell of one of two classes, with four neighbours of the same class, both telling it.

    The protein of class 1 fills a cell, dimly; that of class 0 sits in its middle, brightly: in the
    neighbours plainly, in the centre cell with a contrast that varies.
    """
    cells = [(32, 32, 10)]
    cells += [
        (r + rng.normal(), c + rng.normal(), 9) for r, c in ((6, 6), (6, 58), (58, 6), (58, 58))
    ]
    image = rng.normal(500, 40, (2, SIDE, SIDE))
    foreground = np.zeros((SIDE, SIDE), bool)
    for number, (row, column, radius) in enumerate(cells):
        whole = disc(row, column, radius)
        strength = rng.uniform(0.2, 1) if number == 0 else 1.5
        shown = disc(row, column, radius / 2) if place == 0 else whole
        image[0] += shown * strength * (2400 if place == 0 else 800)
        image[1] += whole * 1500
        foreground |= whole
    return image.clip(0, 65535), disc(*cells[0]), foreground


def make_store(path, fields=12, cells=4, seed=0):
    """Write a store of two classes whose every field holds cells of one; two proteins of each."""
    rng = np.random.default_rng(seed)
    rows = [
        {"protein": f"{place}{f % 2}", "localization": f"class {place}", "field": f"{place}f{f}"}
        for place in (0, 1)
        for f in range(fields)
        for _ in range(cells)
    ]
    drawn = [crop(int(row["protein"][0]), rng) for row in rows]
    images, masks, foregrounds = (np.stack(part) for part in zip(*drawn, strict=True))
    source = {"kind": "test", "simulated": True}
    with CropStoreWriter(
        path, channels=["GFP", "RFP"], size=SIDE, dtype="uint16", source=source,
        localizations=["class 0", "class 1"],
    ) as writer:  # fmt: skip
        writer.add(images.astype(np.uint16), masks, foregrounds, pd.DataFrame(rows))
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stores") / "store", fields=6)


def weights(path):
    return read_weights(path.with_suffix(".safetensors"))


def same(a, b):
    return sorted(a) == sorted(b) and all(torch.equal(a[key], b[key]) for key in a)


def loaded(store, network, background, consistency=0.0, device="cpu", **more):
    """Load what a training would."""
    opened, spec = CropStore(store), network_spec(network)
    options = TrainingOptions(background=background, consistency=consistency, **more)
    objective = OBJECTIVES[spec.objective]
    selection = select_cells(opened.cells, opened.localizations, objective, 0)
    place = torch.device(device)
    return load_pixels(opened, spec, spec.channels, selection, options, place), selection


# What cells stand on


@pytest.mark.parametrize("network", ["pifia", "paired_cell"])
def test_donors_are_of_other_fields_of_the_cells_own_side(store, tmp_path, monkeypatch, network):
    """Recorded while a network is trained: `put` is the only way to another background."""
    drawn = []
    put = PreparedCells.put

    def record(cells, rows, behind, donor):
        drawn.append((cells, rows, behind, donor))
        return put(cells, rows, behind, donor)

    monkeypatch.setattr(PreparedCells, "put", record)
    train(network, store, tmp_path, **FAST, background="swap", consistency=0.5)
    opened = CropStore(store)
    objective = OBJECTIVES[network_spec(network).objective]
    selection = select_cells(opened.cells, opened.localizations, objective, FAST["seed"])
    sides = {len(rows): rows for rows in (selection.training, selection.validation)}
    assert len(sides) == 2
    seen = set()
    for cells, rows, behind, donor in drawn:
        side = sides[len(cells.steps)]
        # The prepared cells are of this side and of no other.
        assert torch.equal(
            cells.own(np.arange(len(side))),
            torch.from_numpy(
                opened.arrays().images[side][:, : cells.pixels.shape[1]] + 0.0
            ).float(),
        )
        swapped = behind == DONOR
        assert set(behind) <= {OWN, DONOR}
        of_cell, of_donor = side[rows[swapped]], side[donor[swapped]]
        assert (selection.field[of_cell] != selection.field[of_donor]).all()
        seen |= {(len(side), int(row)) for row in donor[swapped]}
    assert len(seen) > 0.6 * len(opened.cells)


FIELDS = st.lists(st.integers(0, 4), min_size=2, max_size=30)


@given(FIELDS, st.integers(0, 99), st.booleans())
def test_donors_are_others_and_of_another_field_where_there_is_one(fields, seed, validation):
    field = np.array(fields)
    cells = np.arange(len(field))
    draws = BackgroundDraws(TrainingOptions(background="swap", swap_share=1), field, cells)
    rng = None if validation else np.random.default_rng(seed)
    behind, donor = draws.draw(cells, rng, 2)
    assert (behind == DONOR).all()
    assert (donor != cells).all()
    if len(set(fields)) > 1:
        assert (field[donor] != field[cells]).all()


def test_donors_are_drawn_evenly():
    field = np.array([0, 0, 1, 2, 2, 2])
    cells = np.arange(6)
    draws = BackgroundDraws(TrainingOptions(background="swap"), field, cells)
    rng = np.random.default_rng(0)
    donor = np.concatenate([draws.draw(cells, rng, 1)[1] for _ in range(6000)])
    for cell in cells:
        counts = np.bincount(donor[:, cell], minlength=6)
        others = field != field[cell]
        assert (counts[~others] == 0).all()
        assert counts[others] == pytest.approx(6000 / others.sum(), rel=0.1)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("views", [1, 2])
def test_the_share_is_that_of_all_views(share, views):
    cells = np.arange(4000)
    draws = BackgroundDraws(TrainingOptions(background="swap", swap_share=share), cells % 50, cells)
    for rng in (np.random.default_rng(1), None):
        behind, donor = draws.draw(cells, rng, views)
        assert behind.shape == donor.shape == (views, 4000)
        assert (behind == DONOR).mean() == pytest.approx(share, abs=0.02)
        if views == 2 and share >= 0.5:
            assert ((behind[0] != behind[1]) | (donor[0] != donor[1])).mean() > 0.99


def test_validation_draws_follow_the_cell_whatever_the_batch():
    cells = np.arange(60)
    draws = BackgroundDraws(TrainingOptions(background="swap"), cells % 7, cells)
    whole = draws.draw(cells, None, 2)
    parts = [draws.draw(part, None, 2) for part in (cells[:13], cells[13:])]
    for number in (0, 1):
        assert np.array_equal(np.concatenate([p[number] for p in parts], axis=1), whole[number])


@pytest.mark.parametrize("background", CHANGED)
def test_each_background_is_what_it_says(store, background):
    pixels, selection = loaded(store, "deeploc", background)
    rows = selection.training
    side = pixels.training
    behind, _ = side.draws.draw(side.place[rows], np.random.default_rng(0), 1)
    expected = {"clean": {MEDIUM}, "mask": {OWN, MEDIUM}, "swap": {OWN, DONOR}}[background]
    assert set(behind.ravel()) == expected
    views = pixels.views(rows, np.random.default_rng(0))
    assert views.images.shape == (len(rows), 2, 60, 60)
    assert views.pairs is None
    kept = pixels.crops(rows, np.random.default_rng(0))
    unchanged = (views.images == kept).flatten(1).all(1).numpy()
    drawn = np.random.default_rng(0)
    pixels.changes(len(rows), drawn)
    behind, _ = side.draws.draw(side.place[rows], drawn, 1)
    assert np.array_equal(unchanged, behind[0] == OWN)


def test_two_views_of_a_cell_are_turned_alike(store):
    pixels, selection = loaded(store, "paired_cell", "swap", consistency=1.0)
    rows = selection.training[:12]
    views = pixels.views(rows, np.random.default_rng(1), 2, as_imaged=True)
    assert views.pairs.all()
    assert np.array_equal(views.rows, np.tile(rows, 2))
    first, second = views.mask.chunk(2)
    assert torch.equal(first, second)
    own, again = views.as_imaged.chunk(2)
    assert torch.equal(own, again)
    # A mask lies where the cell is: the marker is bright there.
    marker = own[:, 1:]
    assert (marker[first].mean() - marker[~first].mean()) > 0.1
    before, after = views.images.chunk(2)
    assert not torch.equal(before, after)
    assert torch.equal(before, own)


# What is learnt


@pytest.mark.parametrize("network", NETWORKS)
def test_resumed_is_as_if_it_had_not_been_interrupted(store, tmp_path, network):
    options = {**FAST, "epochs": 3, "background": "swap", "consistency": 0.3}
    whole = weights(train(network, store, tmp_path / "whole", **options))

    def stop(stage, done, total):
        if stage.startswith("training") and done == 2 * total // 3 + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network, store, tmp_path / "cut", **options, progress=stop)
    lines = []
    resumed = weights(train(network, store, tmp_path / "cut", **options, say=lines.append))
    assert "Going on after epoch 2." in lines
    assert same(whole, resumed)


def test_a_checkpoint_of_another_background_is_not_used(store, tmp_path):
    def stop(stage, done, total):
        if stage.startswith("training") and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("pifia", store, tmp_path, **FAST, background="mask", progress=stop)
    with pytest.raises(ChangedError, match="another background"):
        train("pifia", store, tmp_path, **FAST, background="swap")


@pytest.mark.parametrize("background", CHANGED)
def test_the_card_says_what_cells_stood_on(store, tmp_path, background):
    more = {} if background == "clean" else {"consistency": 0.5, "consistency_layers": ["fc_1"]}
    steps = []
    path = train(
        "deeploc", store, tmp_path, **FAST, background=background, paste="hard", **more,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    card = load_model(path).card
    assert card.trained_on.endswith(TRAINING_BACKGROUNDS[background].words)
    assert f"Backgrounds: {background}" in card.notes
    assert f"--background {background}" in card.created_by
    assert "--paste hard" in card.created_by
    assert ("--consistency-layers fc_1" in card.created_by) == bool(more)
    assert ("weight 0.5 at fc_1" in card.notes) == bool(more)
    history = json.loads(path.with_suffix(".history.json").read_text())
    assert history["options"]["background"] == background
    assert all(("validation_consistency" in row) == bool(more) for row in history["epochs"])
    made = [step for step in steps if step[0] == "making backgrounds"]
    assert made[-1][1] == made[-1][2] == 48


def test_crops_as_imaged_leave_no_trace_of_backgrounds():
    """A checkpoint or card from before there were any is as it was."""
    assert set(TrainingOptions().chosen()) == {
        "width", "epochs", "patience", "batch_size", "learning_rate", "seed", "precision",
    }  # fmt: skip
    chosen = TrainingOptions(background="swap", consistency=1, consistency_layers=("d2",)).chosen()
    assert json.loads(json.dumps(chosen)) == chosen


def test_options_that_cannot_be_are_refused(store, tmp_path):
    for wrong, words in (
        ({"background": "swop"}, "Unknown training background 'swop'"),
        ({"background": "swap", "paste": "soft"}, "Unknown paste 'soft'"),
        ({"background": "swap", "swap_share": 0}, "swap share = 0 is out of range"),
        ({"background": "swap", "swap_share": 1.5}, "swap share = 1.5 is out of range"),
        ({"background": "swap", "consistency": -1}, "consistency = -1 is out of range"),
        ({"consistency": 1}, "under 'keep' it is seen on one"),
        ({"background": "clean", "consistency": 1}, "under 'clean' it is seen on one"),
        ({"background": "mask", "swap_share": 1, "consistency": 1}, "stands on medium"),
        ({"background": "swap", "consistency_layers": ["d2"]}, "weight of consistency is 0"),
        (
            {"background": "swap", "consistency": 1, "consistency_layers": ["fc_9"]},
            "Unknown layer of PIFiA 'fc_9'",
        ),
    ):
        with pytest.raises(UsageError, match=words):
            train("pifia", store, tmp_path, **FAST, **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("network", NETWORKS)
def test_the_layers_that_are_read_are_compared(network):
    spec = network_spec(network)
    found = layers_to_compare(spec, ())
    assert found == tuple(dict.fromkeys((spec.default_layer, list(spec.layers)[-1])))
    assert layers_to_compare(spec, [spec.default_layer]) == (spec.default_layer,)


# The term of consistency


def naive_share(first, second, pairs):
    """One less the intraclass correlation, unit by unit."""
    shares = []
    spreads = [
        np.concatenate([first[pairs, k], second[pairs, k]]).var() for k in range(first.shape[1])
    ]
    for k, spread in enumerate(spreads):
        within = np.mean((first[pairs, k] - second[pairs, k]) ** 2) / 2
        shares.append(within / max(spread, 1e-3 * np.mean(spreads)))
    return np.mean(shares)


@given(st.integers(0, 999))
def test_the_share_of_the_background_has_a_naive_twin(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(1, rng.uniform(0.01, 3, 5), (2, 9, 5)).astype(np.float32)
    pairs = np.arange(9) < rng.integers(2, 10)
    found = background_share(*map(torch.from_numpy, (first, second, pairs)))
    assert float(found) == pytest.approx(naive_share(first, second, pairs), rel=1e-3)


def test_the_term_is_nothing_where_backgrounds_change_nothing():
    torch.manual_seed(0)
    cells = torch.randn(12, 7)
    pairs = torch.ones(12, dtype=torch.bool)
    assert float(background_share(cells, cells, pairs)) == 0
    assert float(background_share(cells, torch.randn(12, 7), ~pairs)) == 0
    assert float(background_share(torch.zeros(12, 7), torch.zeros(12, 7), pairs)) == 0
    many = torch.randn(4000, 7), torch.randn(4000, 7)
    unrelated = float(background_share(*many, torch.ones(4000, dtype=torch.bool)))
    assert unrelated == pytest.approx(1, abs=0.05)


def test_the_term_cannot_be_met_by_shrinking_nor_by_a_common_shift():
    torch.manual_seed(1)
    first, second = torch.randn(2, 30, 6)
    pairs = torch.ones(30, dtype=torch.bool)
    before = float(background_share(first, second, pairs))
    assert float(background_share(first * 1e-3, second * 1e-3, pairs)) == pytest.approx(
        before, 1e-4
    )
    assert float(background_share(first + 9, second + 9, pairs)) == pytest.approx(before, rel=1e-3)


def test_the_gradient_draws_a_cells_embeddings_together():
    torch.manual_seed(2)
    cells = torch.randn(30, 6)
    first, second = cells + 0.3 * torch.randn(30, 6), cells + 0.3 * torch.randn(30, 6)
    pairs = torch.arange(30) < 20
    first.requires_grad_()
    background_share(first, second, pairs).backward()
    assert (first.grad[~pairs] == 0).all()
    # A step against the gradient makes the two more alike.
    towards = ((first - second).detach() * first.grad)[pairs].sum()
    assert float(towards) > 0
    for _ in range(200):
        term = background_share(first, second, pairs)
        (gradient,) = torch.autograd.grad(term, first)
        first = (first - 3 * gradient).detach().requires_grad_()
    assert float(background_share(first.detach(), second, pairs)) < 0.02


def test_maps_are_compared_as_the_card_pools_them():
    torch.manual_seed(3)
    maps = torch.randn(10, 4, 5, 5)
    pairs = torch.ones(5, dtype=torch.bool)
    found = Consistency(1.0, ("a", "b")).term({"a": maps, "b": maps[:, :, 0, 0]}, pairs)
    pooled = maps.amax((2, 3)).chunk(2)
    expected = (
        background_share(*pooled, pairs) + background_share(*maps[:, :, 0, 0].chunk(2), pairs)
    ) / 2
    assert torch.equal(found, expected)


# Painting


def test_what_lies_outside_the_mask_is_not_painted():
    torch.manual_seed(4)
    predicted = torch.randn(3, 1, 8, 8, requires_grad=True)
    painted, mask = torch.randn(3, 1, 8, 8), torch.rand(3, 1, 8, 8) < 0.4
    loss, variance = error_inside(predicted, painted, mask)
    loss.backward()
    assert (predicted.grad[~mask] == 0).all()
    assert (predicted.grad[mask] != 0).all()
    inside = [painted[i][mask[i]].numpy() for i in range(3)]
    assert float(loss.detach()) == pytest.approx(
        float(((predicted.detach() - painted)[mask] ** 2).mean()), rel=1e-5
    )
    count = sum(map(len, inside))
    expected = sum(len(values) * values.var() for values in inside) / count
    assert float(variance) == pytest.approx(expected, rel=1e-5)


class Painter(torch.nn.Module):
    """Gives an image that can be looked into."""

    output = "prediction"

    def __init__(self, shape):
        super().__init__()
        self.image = torch.nn.Parameter(torch.zeros(shape))
        self.given = None

    def features(self, images, layers, marker=None):
        self.given = images, marker
        return {"prediction": self.image, "conv4_1": images.flatten(1)}


@pytest.mark.parametrize("background", ["keep", "swap"])
def test_the_paired_task_paints_the_targets_own_pixels(store, background):
    pixels, selection = loaded(store, "paired_cell", background)
    rows = selection.training[:10]
    painter = Painter((10, 1, SIDE, SIDE))
    seed = np.random.default_rng(5)
    found = OBJECTIVES["paint"].loss(painter, pixels, selection, rows, seed)
    found.loss.backward()
    touched = (painter.image.grad != 0).flatten(1).float().mean(1)
    if background == "keep":
        assert (touched > 0.98).all()
        return
    area = float(disc(32, 32, 10).mean())
    assert torch.allclose(touched, torch.full((10,), area), atol=0.01)


def test_what_is_painted_is_the_same_on_any_background(store):
    """Only the marker around the target shows its background."""
    found = []
    for share in (0.001, 1.0):
        pixels, selection = loaded(store, "paired_cell", "swap", swap_share=share)
        rows = selection.validation
        views = pixels.views(rows, None, as_imaged=True)
        found.append((views.as_imaged, views.mask, views.images))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert not torch.equal(found[0][2], found[1][2])


def test_source_and_target_stand_on_backgrounds_of_their_own(store):
    pixels, selection = loaded(store, "paired_cell", "swap", swap_share=1.0)
    drawn = []
    put = PreparedCells.put

    class Recording(PreparedCells):
        def put(self, rows, behind, donor):
            drawn.append(donor)
            return put(self, rows, behind, donor)

    object.__setattr__(pixels.training, "cells", Recording(**vars(pixels.training.cells)))
    rows = selection.training
    painter = Painter((len(rows), 1, SIDE, SIDE))
    OBJECTIVES["paint"].loss(painter, pixels, selection, rows, np.random.default_rng(0))
    assert len(drawn) == 2
    assert np.mean(drawn[0] == drawn[1]) < 0.2


# Whether it cures


def own_accuracy(card, store, seed):
    """How often a model names the class of cells as imaged, and on backgrounds of the other."""
    opened, model = CropStore(store), load_model(card)
    network, scale = model.network, model.scale
    rows = np.arange(len(opened.cells))
    label = opened.cells["localization"].cat.codes.to_numpy()
    cells = prepare(rows, opened.cells, opened.arrays(), (DONOR,), seed=seed)
    rng = np.random.default_rng(seed)
    other = np.array([rng.choice(np.flatnonzero(label != own)) for own in label])
    right = []
    for behind in (OWN, DONOR):
        crops = cells.put(rows, np.full(len(rows), behind), other)
        with torch.inference_mode():
            answer = network.forward_to(scale(crops)[:, :, 2:62, 2:62], "logits").argmax(1)
        right.append(float((answer.numpy() == label).mean()))
    return right


@pytest.mark.long
def test_swapped_backgrounds_cure_what_neighbours_teach(tmp_path):
    """In this store neighbours tell the class better than the cell; both tell it."""
    made = make_store(tmp_path / "train", fields=14, seed=1)
    judged = make_store(tmp_path / "judge", fields=5, seed=2)
    options = {"width": 0.1, "epochs": 8, "batch_size": 8, "seed": 1, "patience": 8}
    plain = own_accuracy(train("deeploc", made, tmp_path / "plain", **options), judged, 0)
    swapped = train("deeploc", made, tmp_path / "swap", **options, background="swap")
    robust = own_accuracy(swapped, judged, 0)
    assert plain[0] > 0.9
    assert plain[0] - plain[1] > 0.25
    assert robust[0] > 0.85
    assert robust[0] - robust[1] < 0.5 * (plain[0] - plain[1])


# Where pixels lie


def test_only_a_gpu_keeps_pixels(store):
    assert not fits(1, torch.device("cpu"))
    pixels, selection = loaded(store, "deeploc", "keep")
    assert pixels.kept is None
    bits = torch.from_numpy(pixels.images.view(np.int16))
    rows = selection.training[[5, 0, 3]]
    assert torch.equal(replace(pixels, kept=bits).raw(rows), pixels.raw(rows))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA's")
@pytest.mark.parametrize("background", TRAINING_BACKGROUNDS)
def test_a_gpu_sees_the_crops_that_a_cpu_sees(store, background):
    found = []
    for device in ("cpu", "cuda"):
        consistency = float(TRAINING_BACKGROUNDS[background].mixed)
        pixels, selection = loaded(store, "deeploc", background, consistency, device=device)
        views = pixels.views(selection.training, np.random.default_rng(0), 1 + int(consistency))
        found.append(views.images.cpu())
        if device == "cuda":
            raw = pixels.kept if pixels.training is None else pixels.training.cells.pixels
            assert raw is not None
            assert raw.device.type == "cuda"
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
