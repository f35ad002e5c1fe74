"""Where models look, on a finished run: planted controls, the tables, pictures, bad input."""

import shutil
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from compute import schema
from compute.backgrounds.config import PlanConfig
from compute.backgrounds.occlusion import occlude
from compute.cli.main import app
from compute.errors import InputError, UsageError
from compute.explanations.ask import fill_seed
from compute.explanations.config import ExplainConfig
from compute.models.embedder import load_model
from compute.models.readable import bind
from compute.runs.describe import check_path
from compute.runs.explain import explain, explain_cell
from compute.runs.pipeline import run_store
from compute.schema import LookingQuantity, Piece
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore
from tests.seals import change_header, header, reseal

MODELS = ["handcrafted", "handcrafted-centre", "density"]
CELLS = 24


@pytest.fixture(scope="module")
def plain(tmp_path_factory, store, config):
    """A finished run of three baselines on unaltered crops alone."""
    plan = PlanConfig(conditions=("unaltered",), backgrounds=3, folds=2)
    small = replace(config, plan=plan, probes=(), examples=0)
    folder = tmp_path_factory.mktemp("plain") / "run"
    run_store(store, folder, MODELS, small, jobs=1)
    return folder


@pytest.fixture(scope="module")
def explained(plain, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "run"
    shutil.copytree(plain, folder)
    summary = explain(store, folder, MODELS, ExplainConfig(CELLS))
    return RunDirectory(folder), summary


@pytest.fixture(scope="module")
def table(explained):
    return explained[0].read("occlusions").to_pandas()


def of(table, model, kind):
    return table[(table["model"] == model) & (table["kind"] == str(kind))]


def test_every_cell_has_a_row_for_each_piece_and_model(table, explained):
    assert set(table["model"]) == set(MODELS)
    assert table["cell"].nunique() == CELLS
    per_class = table.drop_duplicates("cell")["localization"].value_counts()
    assert per_class.max() - per_class.min() <= 1
    for _, rows in table.groupby(["model", "cell"]):
        kinds = rows["kind"].tolist()
        assert (kinds[0], kinds[-1]) == ("nothing", "centre")
        numbers = rows.loc[rows["kind"] == "neighbour", "piece"].tolist()
        assert numbers == list(range(1, len(numbers) + 1))
    assert (table["changed"] == (table["answer"] != table["answer_after"])).all()
    assert (table["fall"] <= table["probability"] + 1e-9).all()
    right = table["answer"] == table["localization"]
    assert np.allclose(table.loc[right, "fall"], table.loc[right, "true_fall"])


def test_taking_out_nothing_changes_nothing(table):
    for model in MODELS:
        rows = of(table, model, Piece.NOTHING)
        assert len(rows) == CELLS
        assert (rows["fall"] == 0).all()
        assert not rows["changed"].any()


def test_who_sees_the_centre_alone_loses_nothing_by_neighbours_and_the_reverse(table, explained):
    centre, crowd = "handcrafted-centre", "density"
    for kind in (Piece.NEIGHBOUR, Piece.MEDIUM):
        assert (of(table, centre, kind)["fall"] == 0).all()
    assert (of(table, centre, Piece.CENTRE)["fall"] != 0).any()
    for kind in (Piece.CENTRE, Piece.MEDIUM):
        assert (of(table, crowd, kind)["fall"] == 0).all()
    assert (of(table, crowd, Piece.NEIGHBOUR)["fall"] != 0).any()
    for kind in (Piece.NEIGHBOUR, Piece.CENTRE):
        assert (of(table, "handcrafted", kind)["fall"] != 0).any()
    frame = explained[1].to_pandas()
    shares = frame[frame["quantity"] == str(LookingQuantity.NEIGHBOUR_SHARE)]
    shares = shares.set_index("model")["estimate"]
    assert (shares[centre], shares[crowd]) == (0, 1)
    assert 0 < shares["handcrafted"] < 1


def test_changes_are_those_of_the_runs_own_probe(table, plain, store):
    """A naive twin: one crop at a time, by the run's own answers and a probe fitted here."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    run, opened = RunDirectory(plain), CropStore(store)
    cells = run.read("cells").to_pandas().set_index("cell")
    trials = run.read("trials").to_pandas()
    vectors = np.stack(run.read("embeddings", "handcrafted")["embedding"].to_numpy(False))
    said = run.read("predictions", "handcrafted").to_pandas()
    said = said[said["protocol"] == "frozen"].set_index("cell")["predicted"]
    mine = of(table, "handcrafted", Piece.NEIGHBOUR)
    assert mine["answer"].tolist() == said.loc[mine["cell"]].tolist()
    row = mine.iloc[mine["fall"].abs().argmax()]
    place, arrays = int(row["cell"]), opened.arrays()
    learned = cells.loc[trials["cell"]]
    known = learned["localization"].notna() & (learned["fold"] != cells.loc[place, "fold"])
    probe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6, max_iter=5000))
    probe.fit(vectors[known.to_numpy()], learned["localization"][known])
    mask, every = (
        arrays.unpack(packed[[place]])[0] for packed in (arrays.masks, arrays.foregrounds)
    )
    crops = occlude(arrays.images[place], mask, every, fill_seed(0, place))
    number = list(zip(crops.kinds, crops.numbers, strict=True)).index(("neighbour", row["piece"]))
    model = load_model(bind(["handcrafted"], opened)[0][0])
    fell = []
    for k in (0, 1 + number):
        crop = torch.from_numpy(crops.images[[k]])
        embedded = model(crop, scene=model.whole(crop)).numpy()
        by_class = dict(zip(probe.classes_, probe.predict_proba(embedded)[0], strict=True))
        fell.append(by_class[row["answer"]])
    assert np.isclose(fell[0], row["probability"], atol=5e-3)
    assert np.isclose(fell[0] - fell[1], row["fall"], atol=5e-3)


def test_one_cell_has_the_rows_of_the_table(table, plain, store):
    cell = int(table["cell"].iloc[0])
    found = explain_cell(store, plain, cell, MODELS)
    mine = table[table["cell"] == cell].reset_index(drop=True)
    assert found.table.to_pandas().equals(mine)
    pieces = mine[(mine["model"] == MODELS[0]) & (mine["kind"] != "nothing")]
    assert set(found.outlines) == set(zip(pieces["kind"], pieces["piece"], strict=True))
    assert found.simulated
    assert not RunDirectory(plain).has("occlusions"), "nothing was written"


def test_the_run_that_was_given_the_tables_passes_its_check(explained):
    run, summary = explained
    lines = list(check_path(run.path))
    assert f"occlusion_summary: {len(summary)}" in lines
    assert {"occlusions", "occlusion_summary"} <= set(schema.ADDED_TABLES)


def test_the_command_prints_sentences_a_table_and_pictures(plain, store, table, tmp_path):
    folder, cell = tmp_path / "run", int(table["cell"].iloc[0])
    shutil.copytree(plain, folder)
    few = ["--models", "handcrafted", "--cells", "4"]
    done = CliRunner().invoke(app, ["explain", str(store), str(folder), *few])
    assert done.exit_code == 0, done.output
    assert "handcrafted (4 cells):" in done.output
    assert "Of the change that both make, neighbours make" in done.output
    assert "One neighbour, by distance from the cell:" in done.output
    one = ["explain", str(store), str(plain), "--models", "handcrafted,density"]
    done = CliRunner().invoke(app, [*one, "--cell", str(cell), "--out", str(tmp_path / "png")])
    assert done.exit_code == 0, done.output
    assert f"handcrafted: cell {cell} of" in done.output
    assert "neighbour 1" in done.output
    names = [f"cell-{cell}-handcrafted.png", f"cell-{cell}-density.png"]
    for name in names:
        picture = imagecodecs.png_decode((tmp_path / "png" / name).read_bytes())
        assert picture.shape[:2] == (560, 1120)
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 100
    done = CliRunner().invoke(app, [*one, "--cell", "a"])
    assert done.exit_code == 2
    assert "'--cell'" in done.output
    assert "integer" in done.output
    with pytest.raises(UsageError, match="--cell, too"):
        CliRunner().invoke(app, [*one, "--out", "png"], catch_exceptions=False)


def test_what_cannot_be_explained_is_refused(plain, store, cards, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(plain, folder)
    for cell, said in ((10_000, "has no cell 10000"), (-1, "has no cell -1"), ("3", "'3', not a")):
        with pytest.raises(UsageError, match=said):
            explain_cell(store, plain, cell, MODELS)
    with pytest.raises(UsageError, match="cells is 0; it must lie between"):
        ExplainConfig(0)
    with pytest.raises(UsageError, match="are not shipped"):
        explain(store, plain)
    with pytest.raises(UsageError, match="no such model"):
        explain(store, plain, [str(cards["pifia"])])
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        explain(store, plain, [str(tmp_path / "nowhere.toml")])
    shutil.rmtree(folder / "embeddings")
    reseal(folder)
    with pytest.raises(UsageError, match="has no embeddings of model 'density'"):
        explain(store, folder, ["density"])


def test_a_model_whose_weights_are_damaged_is_named(plain, store, cards, tmp_path):
    folder, card = tmp_path / "run", cards["pifia"]
    shutil.copytree(plain, folder)
    there = RunDirectory(folder)
    shutil.copytree(there.folder("embeddings", "density"), there.folder("embeddings", "pifia"))
    found = bind([str(card)], CropStore(store))[0][0]
    models = [*header(folder)["models"], {"name": "pifia", "hash": found.card.hash}]
    change_header(folder, {"models": models})
    reseal(folder)
    for file in card.parent.glob("pifia.*"):
        shutil.copy(file, tmp_path)
    weights = tmp_path / "pifia.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"pifia\.safetensors"):
        explain(store, folder, [str(tmp_path / "pifia.toml")])
    assert not RunDirectory(folder).has("occlusions")
