"""Shards through models: the naive twin, the second reading, resuming, failures, precision."""

import hashlib
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from compute.backgrounds import compose_compiled
from compute.backgrounds.compose import compose
from compute.backgrounds.config import PlanConfig
from compute.backgrounds.harmonise import measure
from compute.backgrounds.plan import Plan
from compute.embedding import worker as module
from compute.embedding.config import EmbedConfig, EmbedJob, ShardError, View
from compute.embedding.tables import second_readings
from compute.embedding.worker import ShardWorker
from compute.errors import BystanderError, DiskError, UsageError
from compute.models import scaling_compiled
from compute.models.card import select_channels
from compute.models.card_files import find_model
from compute.models.embedder import load_model
from compute.models.one_network import load_models
from compute.models.readable import bound_to
from compute.schema import CONDITIONS, STEP_CONDITIONS, Condition, Reading
from compute.storage.paths import SECOND
from compute.storage.run_directory import begin
from compute.store.reader import CropStore

NAMES = ("pifia", "paired_cell", "deeploc")
CELLS = 8
"""Cells of a shard here."""


@pytest.fixture(scope="module", autouse=True)
def _small_shards():
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "SHARD_CELLS", CELLS)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def parts(store, cards):
    """Everything a worker is made of; three shards."""
    opened = CropStore(store)
    there = np.flatnonzero(opened.usable)
    usable = np.zeros(len(opened.usable), bool)
    usable[there[np.linspace(0, len(there) - 1, 3 * CELLS).astype(int)]] = True
    plan = Plan(
        opened.cells, usable, opened.windows, opened.localizations,
        PlanConfig(backgrounds=2, repeats=2),
    )  # fmt: skip
    arrays = opened.arrays()
    scales = measure("protein", opened.cells, opened.windows, arrays, 0)
    models = [load_model(cards[name]) for name in NAMES]
    return opened, plan, arrays, scales, models


def make(out, parts, config=None, models=None, numbers=None):
    """Embed into a new run directory; return it."""
    with begin(out, {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], models or parts[4], config or EmbedConfig())
        told, todo = [], worker.missing() if numbers is None else list(numbers)
        assert list(worker.work(todo, told.append))
        ends = [parts[1].span(*parts[1].shards(CELLS)[number]) for number in todo]
        assert sum(told) == sum(last + 1 - first for first, last in ends), "every trial once"
    return run


@pytest.fixture(scope="module")
def made(parts, tmp_path_factory):
    return make(tmp_path_factory.mktemp("embed") / "run", parts)


def vectors(run, table, model):
    files = run.parts(table, model)
    tables = [pq.read_table(file, partitioning=None) for file in files]
    column = [np.stack(t["embedding"].to_numpy(zero_copy_only=False)) for t in tables]
    trial = np.concatenate([t["trial"].to_numpy() for t in tables])
    return trial, np.concatenate(column)


def digests(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*.parquet"))
    }


def naive(parts, number, rows, normalisation="crop", donor_centre="remove"):
    """Compose and embed some of a model's trials one by one."""
    store, plan, arrays, scales, models = parts
    model = models[number]
    picked = select_channels(model.card, store.channels)
    trials = plan.trials(0, len(plan.rows))
    found = []
    for i in rows:
        crops = compose(trials.iloc[[i]], arrays, scales, donor_centre)
        image, own = (torch.from_numpy(a[:, picked]) for a in (crops.images, crops.unaltered))
        found.append(model(image, own if normalisation == "locked" else None)[0].numpy())
    return np.array(found)


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_embeddings_equal_the_naive_twin(made, parts, number):
    trial, found = vectors(made, "embeddings", NAMES[number])
    assert trial.tolist() == list(range(parts[1].count))
    expected = naive(parts, number, trial[::23])
    assert np.allclose(found[::23], expected, rtol=1e-4, atol=1e-5)


SEEN = {
    Reading.SCALED: ("locked", "remove"),
    Reading.CENTRE: ("crop", "paper"),
    Reading.BOTH: ("locked", "paper"),
}
"""How each reading sees a trial: its scale, and what becomes of the donor's centre."""


@pytest.mark.parametrize("reading", list(Reading))
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_second_readings_see_the_same_trials_in_another_way(made, parts, number, reading):
    trial, found = vectors(made, SECOND[reading], NAMES[number])
    step = len(trial) // 8
    expected = naive(parts, number, trial[::step], *SEEN[reading])
    assert np.allclose(found[::step], expected, rtol=1e-4, atol=1e-5)
    plain = dict(zip(*vectors(made, "embeddings", NAMES[number]), strict=True))
    apart = [np.abs(plain[t] - v).max() for t, v in zip(trial, found, strict=True)]
    assert np.mean(np.array(apart) > 1e-3) > 0.3, "the two readings differ"


def test_a_cell_is_read_again_once_under_a_condition_and_on_every_class_where_a_step_needs_it(
    made, parts
):
    plan = parts[1]
    trials = plan.trials(0, len(plan.rows)).set_index("trial")
    trial, _ = vectors(made, SECOND[Reading.SCALED], "pifia")
    read = trials.loc[trial]
    rescaled = {str(c) for c in plan.config.composed if CONDITIONS[c].rescaled and plan.counts[c]}
    assert set(read["condition"]) == rescaled
    steps = read["condition"].isin(["different"])
    assert (read.loc[~steps, "repeat"] == 0).all()
    assert not read[~steps].duplicated(["cell", "condition"]).any()
    different = trials[trials["condition"] == "different"]
    classes = different.groupby("cell", observed=True)["donor_localization"].nunique()
    assert read[steps].groupby("cell", observed=True).size().equals(classes)
    assert not read[steps].duplicated(["cell", "donor_localization"]).any()
    for reading in (Reading.CENTRE, Reading.BOTH):
        trial, _ = vectors(made, SECOND[reading], "pifia")
        assert trial.tolist() == read.index[steps].tolist()
    assert len(second_readings(plan.trials(0, 3 * CELLS), list(Condition))) > len(read) / 2


def test_the_ends_of_steps_are_found_whichever_way_is_the_runs_own():
    every = [c for c in Condition if CONDITIONS[c].composed]
    for normalisation in ("crop", "locked"):
        for centre in ("remove", "paper"):
            config = EmbedConfig(donor_centre=centre, normalisation=normalisation)
            views = config.step_views(every)
            assert {end[0] for end in views} == set(STEP_CONDITIONS)
            readings = config.readings(every)
            for (condition, left, locked), view in views.items():
                scaled = view.reading in (Reading.SCALED, Reading.BOTH)
                other = view.reading in (Reading.CENTRE, Reading.BOTH)
                if CONDITIONS[condition].rescaled:
                    assert scaled == (locked != (normalisation == "locked"))
                if CONDITIONS[condition].donors == "cell":
                    assert other == (left != (centre == "paper"))
                assert view.reading is None or condition in readings[view.reading]
            assert views[Condition.UNALTERED, False, True] == View(Condition.UNALTERED)
    assert EmbedConfig().step_views([Condition.UNALTERED, Condition.SAME]) == {}
    assert EmbedConfig(second_readings=False).readings(every) == {}


def test_with_locked_normalisation_the_readings_change_places(made, parts, tmp_path):
    locked = make(tmp_path / "run", parts, EmbedConfig(normalisation="locked"))
    for model in NAMES:
        own, again = (
            dict(zip(*vectors(made, t, model), strict=True))
            for t in ("embeddings", SECOND[Reading.SCALED])
        )
        trial, found = vectors(locked, SECOND[Reading.SCALED], model)
        assert np.allclose(found, [own[t] for t in trial], rtol=1e-5, atol=1e-6)
        trial, found = vectors(locked, "embeddings", model)
        read = np.isin(trial, list(again))
        assert np.allclose(found[read], [again[t] for t in trial[read]], rtol=1e-5, atol=1e-6)


def test_without_second_readings_there_is_no_second_reading(made, parts, tmp_path):
    config = EmbedConfig(second_readings=False)
    run = make(tmp_path / "run", parts, config, [parts[4][0]])
    assert not (run.path / "work").exists()
    kept = digests(run.path)
    assert kept.items() <= digests(made.path).items()
    with begin(run.path, {}, {}) as again:
        assert ShardWorker(again, *parts[:4], [parts[4][0]], config).missing() == []


@pytest.mark.parametrize("batch_size", [5, 256])
def test_nothing_depends_on_the_batch_size(made, parts, tmp_path, batch_size):
    run = make(tmp_path / "run", parts, EmbedConfig(batch_size=batch_size), numbers=[1])
    for model in NAMES:
        for table in ("embeddings", *SECOND.values()):
            paths = [r.part(table, 1, model) for r in (run, made)]
            one, other = (pq.read_table(p, partitioning=None)["embedding"] for p in paths)
            one, other = (np.stack(x.to_numpy(zero_copy_only=False)) for x in (one, other))
            assert np.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_shards_in_any_order_and_interrupted_give_the_same_bytes(made, parts, tmp_path):
    out = tmp_path / "run"
    with begin(out, {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], parts[4], EmbedConfig())
        going = worker.work(iter([2, 0, 1]))
        first = next(going)
        going.close()
        assert first not in worker.missing()
        run.part("embeddings", first, "paired_cell").unlink()
        run.part(SECOND[Reading.BOTH], first, "deeploc").unlink()
        assert first in worker.missing()
        again = ShardWorker(run, *parts[:4], parts[4], EmbedConfig())
        todo = again.missing()
        assert sorted(again.work(reversed(todo))) == todo
        assert again.missing() == []
    assert digests(out) == digests(made.path)


def test_a_worker_opened_from_paths_writes_the_same_bytes(store, cards, tmp_path):
    models = tuple(cards[name] for name in NAMES)
    runs = []
    for name in ("here", "there"):
        with begin(tmp_path / name, {}, {}) as run:
            job = EmbedJob(
                run.path, store, models, PlanConfig(backgrounds=2), EmbedConfig(), "cpu",
                tmp_path / "cache" if name == "there" else None,
            )  # fmt: skip
            worker = ShardWorker.open(job)
            assert len(list(worker.work([0, worker.count - 1]))) == 2
        runs.append(digests(run.path))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 2 * (1 + (1 + len(Reading)) * len(NAMES))
    assert (tmp_path / "here" / "work" / "pixels").is_dir()
    assert not (tmp_path / "there" / "work" / "pixels").exists()


class Failing:
    """A model that fails at one shard."""

    def __init__(self, model, error):
        self._model, self.error, self.calls = model, error, 0

    def __getattr__(self, name):
        return getattr(self._model, name)

    def with_own(self, *given):
        return self(*given)

    def __call__(self, images, reference=None, precision="float32", scene=None):
        self.calls += 1
        if self.error and self.calls > 15:
            raise self.error
        return self._model(images, reference, precision, scene)


def test_a_failing_shard_is_named_and_those_before_it_are_kept(parts, tmp_path):
    model = Failing(parts[4][0], ValueError("broken"))
    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], [model], EmbedConfig())
        with pytest.raises(
            ShardError, match=r"Shard \d \(trials \d+ to \d+\): ValueError: broken"
        ) as caught:
            list(worker.work(worker.missing()))
        error = caught.value
        start, stop = parts[1].shards(CELLS)[error.number]
        trials = parts[1].trials(start, stop)["trial"]
        assert f"(trials {trials.iloc[0]} to {trials.iloc[-1]})" in error.problem
        assert isinstance(error.__cause__, ValueError)
        assert error.number in worker.missing()
        assert set(range(error.number)).isdisjoint(worker.missing())


def test_a_full_disk_says_what_to_do(parts, tmp_path, monkeypatch):
    import errno

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], parts[4][:1], EmbedConfig())
        monkeypatch.setattr("compute.storage.atomic_files.os.replace", full)
        with pytest.raises(ShardError, match=r"disk is full.*same command") as caught:
            list(worker.work([0]))
        assert isinstance(caught.value.__cause__, DiskError)


def test_values_that_are_not_finite_name_the_model(parts, tmp_path):
    class Broken(Failing):
        def __call__(self, images, reference=None, precision="float32", scene=None):
            return self._model(images, reference, precision, scene) * float("nan")

    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], [Broken(parts[4][0], None)], EmbedConfig())
        with pytest.raises(ShardError, match=r"'pifia'.*not finite.*models check"):
            list(worker.work([0]))
        assert not run.part("embeddings", 0, "pifia").exists()


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(made, parts, tmp_path):
    class Small(Failing):
        def __call__(self, images, reference=None, precision="float32", scene=None):
            if len(images) > 10:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self._model(images, reference, precision, scene)

    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], [Small(parts[4][0], None)], EmbedConfig())
        list(worker.work([1]))
        assert worker.measured()["batch_size"] <= 10
    one, other = (r.part("embeddings", 1, "pifia").read_bytes() for r in (run, made))
    assert one == other


def test_a_model_that_never_fits_is_refused(parts, tmp_path):
    class Large(Failing):
        def __call__(self, images, reference=None, precision="float32", scene=None):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], [Large(parts[4][0], None)], EmbedConfig())
        with pytest.raises(ShardError, match="Not even one crop"):
            list(worker.work([0]))


def test_shards_that_take_turns_at_a_device_give_the_same_bytes(made, parts, tmp_path):
    computing = []

    class Alone(Failing):
        def __call__(self, images, reference=None, precision="float32", scene=None):
            computing.append(len(computing))
            vectors = self._model(images, reference, precision, scene)
            assert computing.pop() == 0
            return vectors

    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], [Alone(m, None) for m in parts[4]], EmbedConfig())
        # As on an accelerator: a shard at a time, by several threads.
        worker._on_cpu, worker._turn = False, threading.Lock()
        assert sorted(worker.work(worker.missing())) == list(range(worker.count))
    assert digests(run.path) == digests(made.path)


def test_a_processor_joins_and_scales_with_compiled_code(parts, tmp_path, monkeypatch):
    asked = Counter()

    def counted(function):
        def wrapper(*given):
            asked[function.__name__] += 1
            return function(*given)

        return wrapper

    for place, function in (
        (compose_compiled, compose_compiled.join),
        (scaling_compiled, scaling_compiled.scale),
    ):
        monkeypatch.setattr(place, function.__name__, counted(function))
    make(tmp_path / "run", parts, EmbedConfig(second_readings=False), numbers=[0])
    assert asked["scale"] == len(NAMES) * asked["join"] > 0


def test_threads_are_as_many_afterwards_as_before(parts, tmp_path):
    before = torch.get_num_threads()
    make(tmp_path / "run", parts, EmbedConfig(second_readings=False), parts[4][:1], [0])
    assert torch.get_num_threads() == before


def test_bfloat16_is_near_float32_and_the_error_is_told(made, parts, tmp_path):
    config = EmbedConfig(precision="bfloat16")
    with begin(tmp_path / "run", {}, {}) as run:
        worker = ShardWorker(run, *parts[:4], parts[4], config)
        list(worker.work([0]))
        rough = worker.measured()
    exact = ShardWorker(made, *parts[:4], parts[4], EmbedConfig()).measured()
    assert (rough["precision"], exact["precision"]) == ("bfloat16", "float32")
    for model in NAMES:
        assert exact["rounding"][model] < 1e-5
        assert 1e-4 < rough["rounding"][model] < 0.1
        one, other = (
            np.stack(
                pq.read_table(r.part("embeddings", 0, model), partitioning=None)[
                    "embedding"
                ].to_numpy(zero_copy_only=False)
            )
            for r in (run, made)
        )
        away = np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1)
        assert 0 < away.max() < 0.1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"precision": "float16"}, "precision"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": 65537}, "0 to have it found"),
        ({"normalisation": "cell"}, "normalisation"),
    ],
)
def test_values_out_of_range_are_refused(more, words):
    with pytest.raises(UsageError, match=words):
        replace(EmbedConfig(), **more)


def test_shard_errors_are_errors_for_people():
    error = ShardError(3, 10, 20, BystanderError("It is full.", "Empty it."))
    assert (error.problem, error.remedy) == ("Shard 3 (trials 10 to 20): It is full.", "Empty it.")


# Models that look at where cells are

SCENIC = ("handcrafted", "handcrafted-centre", "density")
KEPT = [str(c) for c, spec in CONDITIONS.items() if spec.keeps_cell]


@pytest.fixture(scope="module")
def scenic(parts, cards, tmp_path_factory):
    """A network beside baselines, one of which reads no channel, and one pooled inside masks."""
    store = parts[0]
    pooled = find_model(cards["deeploc"])
    pooled = replace(pooled, card=replace(pooled.card, name="pooled", pooling="mean_in_mask"))
    found = [*(bound_to(find_model(name), store) for name in SCENIC), pooled]
    models = [parts[4][2], *map(load_model, found)]
    out = tmp_path_factory.mktemp("scenic") / "run"
    return make(out, parts, models=models), models


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("reading", [None, *Reading])
def test_scenes_reach_models_as_in_the_naive_twin(scenic, parts, number, reading):
    run, models = scenic
    model, (store, plan, arrays, scales, _) = models[number], parts
    table = "embeddings" if reading is None else SECOND[reading]
    trial, found = vectors(run, table, model.name)
    scale, centre = ("crop", "remove") if reading is None else SEEN[reading]
    trials, picked = plan.trials(0, len(plan.rows)), select_channels(model.card, store.channels)
    for i in range(0, len(trial), len(trial) // 12):
        one = compose(trials.iloc[[trial[i]]], arrays, scales, centre, with_scene=True)
        image, own = (torch.from_numpy(a[:, picked]) for a in (one.images, one.unaltered))
        whole = own if scale == "locked" else None
        expected = model(image, whole, scene=one.scene)[0].numpy()
        assert np.allclose(found[i], expected, rtol=1e-4, atol=1e-5)


def test_the_centre_alone_is_the_same_under_every_condition_that_keeps_it(scenic, parts):
    run, _ = scenic
    trials = parts[1].trials(0, len(parts[1].rows))
    kept = trials["condition"].isin(KEPT).to_numpy()
    apart = {}
    for name in SCENIC[:2]:
        trial, found = vectors(run, "embeddings", name)
        unaltered = trials["condition"].eq("unaltered").to_numpy()
        of_cell = dict(zip(trials["cell"][unaltered], found[unaltered], strict=True))
        own = np.stack([of_cell[cell] for cell in trials["cell"]])
        assert trial.tolist() == list(range(len(trials)))
        apart[name] = np.abs(found - own).max(1)
    assert not apart["handcrafted-centre"][kept].any(), "to the bit"
    assert apart["handcrafted-centre"][~kept].min() > 0, "without the cell it is another crop"
    changed = kept & ~trials["condition"].eq("unaltered").to_numpy()
    assert (apart["handcrafted"][changed] > 1e-5).mean() > 0.95
    again, found = vectors(run, SECOND[Reading.SCALED], "handcrafted-centre")
    _, plain = vectors(run, "embeddings", "handcrafted-centre")
    assert np.array_equal(found, plain[again]), "raw crops have no scale to lock"


def test_density_sees_the_same_crowd_whatever_the_pixels(scenic, parts):
    run, _ = scenic
    trials = parts[1].trials(0, len(parts[1].rows))
    _, found = vectors(run, "embeddings", "density")
    condition = trials["condition"].to_numpy(str)
    plain = condition == "unaltered"
    of_cell = dict(zip(trials["cell"][plain], found[plain], strict=True))
    for name in ("sham", "background_only"):
        rows = np.flatnonzero(condition == name)
        expected = np.stack([of_cell[cell] for cell in trials["cell"][rows]])
        assert np.array_equal(found[rows], expected)
    for name in ("alone", "masked", "cell_free"):
        assert not found[condition == name].any()
    assert found[condition == "different"].any(1).mean() > 0.5
    # The donor's own cell, where it is left, is one more to be seen.
    trial, left = vectors(run, SECOND[Reading.CENTRE], "density")
    assert (left[:, 0] >= found[trial][:, 0]).all()
    assert (left[:, 0] > found[trial][:, 0]).mean() > 0.3


def test_what_is_measured_has_no_rounding_and_no_scene_costs_nothing(scenic, parts, tmp_path):
    _, models = scenic
    with begin(tmp_path / "run", {}, {}) as run:
        rounding = ShardWorker(run, *parts[:4], models, EmbedConfig()).measured()["rounding"]
    assert [rounding[name] for name in SCENIC] == [None] * 3
    assert rounding["pooled"] < 1e-5
    inputs = ShardWorker(run, *parts[:4], parts[4], EmbedConfig())._read(0).inputs
    assert inputs.scene is None


LAYERS = ("conv_3", "conv_5", "fc_2")


@pytest.fixture(scope="module")
def layers(cards, parts):
    """Models of one network at several layers, in one loaded network."""
    found = bound_to(find_model(cards["deeploc"]), parts[0])
    each = [replace(found, card=replace(found.card, name=x, layer=x)) for x in LAYERS]
    return load_models(each, "cpu")


def test_layers_in_one_pass_give_the_bytes_of_passes_of_their_own(layers, parts, tmp_path):
    counted = Counter()
    first = next(iter(layers[0].network.blocks.values()))
    first.register_forward_hook(lambda *_: counted.update(["one pass"]))
    with begin(tmp_path / "together", {}, {}) as together:
        worker = ShardWorker(together, *parts[:4], layers, EmbedConfig())
        counted.clear()  # of trying whether one pass gives all
        assert list(worker.work([0])) == [0]
    passes = counted.pop("one pass")
    for model in layers:
        apart = make(tmp_path / model.name, parts, models=[model], numbers=[0])
        for table in ("embeddings", *SECOND.values()):
            one, other = (r.part(table, 0, model.name).read_bytes() for r in (together, apart))
            assert one == other
    assert counted["one pass"] == len(LAYERS) * passes > 0


def test_only_the_layer_whose_files_are_missing_is_computed_again(layers, parts, tmp_path):
    run = make(tmp_path / "run", parts, models=layers, numbers=[0])
    before = digests(run.path)
    gone = run.part("embeddings", 0, LAYERS[1])
    kept = run.part("embeddings", 0, LAYERS[2])
    written = kept.stat().st_mtime_ns
    gone.unlink()
    with begin(run.path, {}, {}) as again:
        worker = ShardWorker(again, *parts[:4], layers, EmbedConfig())
        assert 0 in worker.missing()
        list(worker.work([0]))
    assert digests(run.path) == before
    assert kept.stat().st_mtime_ns == written
