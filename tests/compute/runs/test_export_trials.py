"""Exported crops: as composed, each trial once, the same in every format, whole or not there."""

import errno
import json
import sys
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr

from compute import schema
from compute.backgrounds.compose import compose
from compute.backgrounds.config import PlanConfig
from compute.backgrounds.harmonise import measure
from compute.embedding.config import EmbedConfig
from compute.embedding.tables import second_readings
from compute.errors import BusyError, DiskError, InputError, UsageError
from compute.importers.layout import LayoutOptions
from compute.importers.layouts import scportrait
from compute.importers.presets import ome_tiff, ome_zarr
from compute.importers.read_refs import open_zarr
from compute.runs import export_trials as module
from compute.runs.config import RunConfig
from compute.runs.export_trials import export_trials
from compute.runs.exports.identity import composites, crop_keys, deciding
from compute.runs.exports.ome_zarr import OmeZarrWriter
from compute.runs.exports.registry import WRITERS
from compute.runs.prepare import prepare
from compute.schema import ExportFormat, Reading
from compute.storage.atomic_files import sha256
from compute.storage.locks import lock
from compute.storage.paths import ExportPaths
from compute.store.reader import CropStore

CONFIG = RunConfig(
    plan=PlanConfig(
        ("unaltered", "same", "different", "cell_free", "masked", "background_only", "sham"),
        backgrounds=2, folds=2, seed=5, grid_cells=5,
    ),
    embed=EmbedConfig(mask_shift=1),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _small_shards():
    """Several shards, whose ends lie within batches and chunks."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "SHARD_CELLS", 50)
    patch.setattr(module, "BATCH_CROPS", 40)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    """The same crops in every format, by format."""
    place = tmp_path_factory.mktemp("exported")
    return {
        format: export_trials(store, place / format, config=CONFIG, format=str(format))
        for format in ExportFormat
    }


def table(folder):
    return pq.read_table(ExportPaths(folder).trials).to_pandas()


def header(folder):
    return json.loads(ExportPaths(folder).header.read_text("utf-8"))


def pixels(folder):
    """All crops of an export in the order of its table, by means other than the project's own."""
    rows, found = table(folder), []
    for file, some in rows.groupby("file", sort=False):
        path = folder / file
        if path.suffix == ".zarr":
            images = zarr.open_group(path, mode="r")["0"][...]
        elif path.suffix == ".tif":
            images = tifffile.imread(path)
        else:
            with h5py.File(path) as opened:
                images = opened["obsm/single_cell_images"][:, 1:]
        assert images.dtype == np.float32
        found.append(images[some["place"].to_numpy()])
    return np.concatenate(found)


@pytest.fixture(scope="module")
def expected(store):
    """Trials and their crops as `compose` makes them, all at once and in the store's channels."""
    opened = CropStore(store)
    plan, _ = prepare(opened, CONFIG)
    arrays = opened.arrays(mask_shift=CONFIG.embed.mask_shift)
    scales = measure("protein", opened.cells, opened.windows, arrays, CONFIG.plan.seed)
    trials = plan.trials(0, len(plan.rows))
    again = second_readings(trials, CONFIG.embed.readings(plan.config.composed)[Reading.CENTRE])
    own = compose(trials, arrays, scales)
    other = compose(trials.iloc[again], arrays, scales, donor_centre="paper")
    first = dict(zip(trials["trial"], own.images, strict=True))
    second = dict(zip(trials["trial"].iloc[again], other.images, strict=True))
    return trials.set_index("trial"), {"trial": first, "centre": second}


def test_every_crop_is_what_compose_gives_for_its_trial(exported, expected):
    trials, images = expected
    folder = exported[ExportFormat.OME_TIFF]
    rows = table(folder)
    assert len(set(rows["file"])) > 1, "there are several shards"
    for row, found in zip(rows.itertuples(), pixels(folder), strict=True):
        assert np.array_equal(found, images[row.reading][row.trial]), row
        planned = trials.loc[row.trial]
        assert (row.cell, row.condition, row.repeat) == (
            planned["cell"], planned["condition"], planned["repeat"],
        )  # fmt: skip
        assert (-1 if pd.isna(row.donor) else row.donor) == planned["donor"]
        classes = row.donor_localization, planned["donor_localization"]
        assert classes[0] == classes[1] or all(map(pd.isna, classes))


def test_all_trials_and_second_readings_are_there_once(exported, expected):
    _, images = expected
    for format, folder in exported.items():
        rows, said = table(folder), header(folder)
        assert rows["row"].tolist() == list(range(len(rows)))
        for reading, of_trial in images.items():
            assert sorted(rows["trial"][rows["reading"] == reading]) == sorted(of_trial), format
            assert len(of_trial) > 100
        assert len(rows) == said["counts"]["crops"]
        assert said["counts"]["trials"] == len(images["trial"])
        assert said["counts"]["centre"] == len(images["centre"])
        assert not rows.duplicated(["file", "place"]).any()
        assert rows["key"].is_unique


def test_second_readings_show_other_pixels(expected):
    _, images = expected
    apart = [(images["trial"][n] != image).any() for n, image in images["centre"].items()]
    assert np.mean(apart) > 0.9


def test_all_formats_hold_the_same_pixels_and_rows(exported):
    of_tiff = pixels(exported[ExportFormat.OME_TIFF])
    rows = table(exported[ExportFormat.OME_TIFF]).drop(columns=["file", "place"])
    for format in set(ExportFormat) - {ExportFormat.OME_TIFF}:
        assert np.array_equal(pixels(exported[format]), of_tiff), format
        assert table(exported[format]).drop(columns=["file", "place"]).equals(rows)


def test_every_format_has_a_writer_and_words():
    assert set(WRITERS) == set(schema.EXPORT_FORMATS) == set(ExportFormat)


def test_the_header_says_what_was_exported(exported, store):
    opened = CropStore(store)
    for format, folder in exported.items():
        said = header(folder)
        assert said["schema_version"] == schema.EXPORT_VERSION
        assert said["format"] == str(format)
        assert said["store"]["fingerprint"] == opened.fingerprint
        assert said["configuration"] == deciding(CONFIG)
        assert said["channels"] == opened.channels
        assert said["pixel_type"] == "float32"
        assert said["trials_sha256"] == sha256(ExportPaths(folder).trials)
        rows = table(folder)
        fingerprint = composites(opened.fingerprint, CONFIG)
        assert said["composites"] == fingerprint
        assert rows["key"].tolist() == crop_keys(fingerprint, rows["trial"], rows["reading"])


def test_the_table_is_as_its_schema_says(exported):
    for folder in exported.values():
        found = pq.read_schema(ExportPaths(folder).trials)
        assert found.equals(schema.exported_schema())


def test_ome_zarr_is_read_by_its_importer(exported):
    folder = exported[ExportFormat.OME_ZARR]
    with open_zarr(ExportPaths(folder).zarr) as group:
        image = ome_zarr.multiscale(group, "")
        assert group["0"].metadata.dimension_names == ("t", "c", "y", "x")
        said = group.attrs["ome"]
    count = header(folder)["counts"]["crops"]
    assert image == ome_zarr.Multiscale("0", "TCYX", (count, 2, 64, 64), ("GFP", "RFP"), None)
    # As version 0.5 demands: time, then channels, then space; a window and a colour a channel.
    assert said["version"] == "0.5"
    kinds = [axis["type"] for axis in said["multiscales"][0]["axes"]]
    assert kinds == ["time", "channel", "space", "space"]
    scale = said["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == [{"type": "scale", "scale": [1, 1, 1, 1]}]
    every = pixels(folder)
    for channel in said["omero"]["channels"]:
        assert len(channel["color"]) == 6
        assert channel["window"]["min"] == channel["window"]["start"] == every.min()
        assert channel["window"]["max"] == channel["window"]["end"] == every.max()


def test_chunks_are_of_whole_crops(exported):
    array = zarr.open_group(ExportPaths(exported[ExportFormat.OME_ZARR]).zarr, mode="r")["0"]
    assert array.chunks == (64, 2, 64, 64)


def test_ome_tiff_names_its_channels_and_no_machine(exported, store, tmp_path):
    folder = exported[ExportFormat.OME_TIFF]
    path = ExportPaths(folder).tiff(0)
    assert ome_tiff.channels_of(path).names == ("GFP", "RFP")
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "TCYX"
        assert file.series[0].shape == (sum(table(folder)["file"] == path.name), 2, 64, 64)
    again = export_trials(store, tmp_path / "again", config=CONFIG, format="ome-tiff")
    assert ExportPaths(again).tiff(0).read_bytes() == path.read_bytes()


def test_h5sc_is_read_by_the_importer_of_scportrait(exported, store):
    folder = exported[ExportFormat.H5SC]
    listing = scportrait.list_crops(ExportPaths(folder).h5sc, LayoutOptions())
    rows = table(folder)
    assert listing.channels == ("GFP", "RFP")
    record = listing.records[0]
    assert record.count == len(rows)
    assert record.rows.numbers.tolist() == rows["row"].tolist()
    crops = listing.read(record, 0, record.count)
    assert np.array_equal(crops.images, pixels(folder))
    arrays = CropStore(store).arrays(mask_shift=1)
    mask, _ = arrays.outlines(rows["cell"].to_numpy())
    assert np.array_equal(crops.masks, module.to_masks(mask, 64))
    plain = arrays.unpack(arrays.masks[rows["cell"].to_numpy()])
    assert crops.masks.sum() > plain.sum(), "masks are those that were composed with"


def test_h5sc_is_what_anndata_and_scportrait_read(exported):
    anndata = pytest.importorskip("anndata")
    path = ExportPaths(exported[ExportFormat.H5SC]).h5sc
    rows, found = table(path.parent), anndata.read_h5ad(path)
    for column in ("trial", "cell", "condition", "reading"):
        assert found.obs[column].tolist() == rows[column].tolist()
    assert found.obs["scportrait_cell_id"].tolist() == rows["row"].tolist()
    assert found.var["channel_mapping"].tolist() == ["mask", "image_channel", "image_channel"]
    # What scPortrait's featurisers look for.
    with h5py.File(path) as file:
        said = file["uns/single_cell_images"]
        assert [said[f"n_{name}"][()] for name in ("cells", "masks", "channels")] == [
            len(rows), 1, 3,
        ]  # fmt: skip
        assert said["n_image_channels"][()] == 2
        assert said["channel_names"].asstr()[:].tolist()[1:] == ["GFP", "RFP"]
        assert said["channel_mapping"].asstr()[:].tolist() == ["mask"] + ["image_channel"] * 2


@pytest.mark.parametrize("format", list(ExportFormat))
def test_channels_are_written_in_the_order_that_is_asked_for(format, exported, store, tmp_path):
    wanted = {"format": str(format), "config": CONFIG}
    every = pixels(exported[format])
    both = export_trials(store, tmp_path / "both", channels=["RFP", "GFP"], **wanted)
    assert np.array_equal(pixels(both), every[:, ::-1])
    assert header(both)["channels"] == ["RFP", "GFP"]
    # The channels decide no trial, so the keys are the same.
    assert table(both).equals(table(exported[format]))


def test_one_channel_and_no_second_readings(exported, store, tmp_path):
    config = replace(CONFIG, embed=replace(CONFIG.embed, second_readings=False))
    out = export_trials(store, tmp_path / "out", config=config, format="h5sc", channels=["RFP"])
    rows, before = table(out), table(exported[ExportFormat.H5SC])
    own = (before["reading"] == "trial").to_numpy()
    assert set(rows["reading"]) == {"trial"}
    assert np.array_equal(pixels(out), pixels(exported[ExportFormat.H5SC])[own, 1:])
    assert not set(rows["key"]) & set(before["key"]), "other settings, other keys"


def test_how_much_disk_it_takes_is_said_before(store, tmp_path):
    said, seen = [], []

    def progress(stage, done, total):
        assert said
        seen.append((stage, done, total))

    out = export_trials(
        store, tmp_path / "out", config=CONFIG, format="ome-tiff", notice=said.append,
        progress=progress,
    )  # fmt: skip
    count = header(out)["counts"]["crops"]
    [line] = said
    assert line.startswith(f"{count:,} crops of {header(out)['counts']['trials']:,} trials")
    assert f"{4 * count * 2 * 64 * 64 / 1e6:.1f} MB before compression" in line
    assert seen[-1] == ("export", count, count)
    assert len(seen) == len(set(table(out)["file"]))


@pytest.mark.parametrize("format", list(ExportFormat))
def test_an_export_that_ends_early_leaves_nothing(format, store, tmp_path):
    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_trials(store, tmp_path / "out", config=CONFIG, format=str(format), progress=stop)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_export_left_is_cleared_and_is_no_export(store, tmp_path, exported):
    left = tmp_path / ".out.export" / "export"
    left.mkdir(parents=True)
    (left / "crops-00000.ome.tif").write_bytes(b"half")
    out = export_trials(store, tmp_path / "out", config=CONFIG, format="ome-tiff")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert np.array_equal(pixels(out), pixels(exported[ExportFormat.OME_TIFF]))


def test_two_do_not_write_one_export(store, tmp_path):
    with lock(tmp_path / ".out.export", "export"), pytest.raises(BusyError):
        export_trials(store, tmp_path / "out", config=CONFIG, format="ome-tiff")


def test_a_full_disk_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(DiskError, match=r"disk is full.*nothing of it was kept"):
        export_trials(store, tmp_path / "out", config=CONFIG, format="ome-tiff")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_alters_pixels_is_found(store, tmp_path, monkeypatch):
    flush = OmeZarrWriter._flush

    def wrong(self):
        self._waiting[0, 0, 0, 0] += 1
        flush(self)

    monkeypatch.setattr(OmeZarrWriter, "_flush", wrong)
    with pytest.raises(DiskError, match="not what was written"):
        export_trials(store, tmp_path / "out", config=CONFIG)
    assert not list(tmp_path.iterdir())


def test_only_an_export_is_replaced_and_only_if_asked(store, tmp_path):
    out = tmp_path / "out"
    few = RunConfig(plan=PlanConfig(("unaltered",), folds=2))
    out.mkdir()
    export_trials(store, out, config=few, format="ome-tiff")
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        export_trials(store, out, config=few, format="h5sc")
    export_trials(store, out, config=few, format="h5sc", overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == [
        "export.json", "single_cells.h5sc", "trials.parquet",
    ]  # fmt: skip
    (out / "export.json").unlink()
    with pytest.raises(UsageError, match="holds no export"):
        export_trials(store, out, config=few, format="h5sc", overwrite=True)
    file = tmp_path / "file"
    file.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is a file"):
            export_trials(store, file, config=few, overwrite=overwrite)
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"format": "tiff"}, r"Unknown format 'tiff'.*ome-zarr, ome-tiff, h5sc"),
        ({"channels": ["GFP", "YFP"]}, r"Unknown channel 'YFP'.*GFP, RFP"),
        ({"channels": ["GFP", "GFP"]}, "each can be written once"),
        ({"channels": []}, "channels are none"),
    ],
)
def test_what_cannot_be_exported_is_refused(options, match, store, tmp_path):
    with pytest.raises(UsageError, match=match):
        export_trials(store, tmp_path / "out", config=CONFIG, **options)
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_not_installed_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r'pip install "bystander\[zarr\]"'):
        export_trials(store, tmp_path / "out", config=CONFIG)
    assert not list(tmp_path.iterdir())
    # The others need none.
    for format in ("ome-tiff", "h5sc"):
        export_trials(
            store, tmp_path / format, config=RunConfig(plan=PlanConfig(("unaltered",), folds=2)),
            format=format,
        )  # fmt: skip


def test_pixel_sizes_are_written_where_they_are_known(store, tmp_path, monkeypatch):
    few = RunConfig(plan=PlanConfig(("unaltered",), folds=2))
    plain = CropStore.__init__

    def sized(self, path):
        plain(self, path)
        self.meta["source"]["pixel_size"] = 0.25

    monkeypatch.setattr(CropStore, "__init__", sized)
    for format in ("ome-zarr", "ome-tiff"):
        export_trials(store, tmp_path / format, config=few, format=format)
    assert ome_tiff.channels_of(ExportPaths(tmp_path / "ome-tiff").tiff(0)).pixel_size == 0.25
    with open_zarr(ExportPaths(tmp_path / "ome-zarr").zarr) as group:
        assert ome_zarr.multiscale(group, "").pixel_size == 0.25
