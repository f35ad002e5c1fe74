"""A pipe in the place of a file is refused at every door, and nobody waits for its writer."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from compute.errors import BystanderError
from compute.importers import chong, text_table, wide_table
from compute.importers.layouts import scportrait
from compute.importers.localization_table import read_class_names
from compute.importers.read_images import CropRejected, read_planes
from compute.models.card import make_card
from compute.models.card_files import FoundModel, load_card
from compute.models.embedder import load_model
from compute.models.published.tensorflow_files import read_checkpoint
from compute.runs.import_answers import import_answers
from compute.shipped import DEMO_RUN
from compute.storage.run_directory import RunDirectory, read_header
from compute.store.reader import CropStore

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")

SECONDS = 20


class WaitsError(BaseException):
    """Something waited for a writer."""


@pytest.fixture(autouse=True)
def bounded():
    def stop(*_):
        raise WaitsError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def answers(path: Path) -> None:
    import_answers(path, path.parent / "crops", path.parent / "out", name="a", trained_on="x")


def weights(source: str, path: Path) -> None:
    """Load a model whose weights are this file."""
    card = make_card(
        source, name="a", weights=path.name, sha256="0" * 64, trained_on="nothing", simulated=True,
        channels=["GFP", "RFP"], size=64,
    )  # fmt: skip
    load_model(FoundModel(card, path.parent, True))


DOORS = {
    "image": (read_planes, "crop.tif"),
    "table": (lambda path: text_table.read_rows(path, ["a"]), "table.csv"),
    "Parquet": (lambda path: text_table.read_rows(path, ["a"]), "table.parquet"),
    "wide table": (lambda path: wide_table.read_columns(path, ["a"]), "table.csv"),
    "Chong": (chong._open, "a.h5"),
    "scPortrait": (lambda path: scportrait._file(path.parent), "a.h5sc"),
    "Keras": (lambda path: read_checkpoint("keras", path), "a.h5"),
    "TensorFlow": (lambda path: read_checkpoint("tensorflow", path), "a.ckpt"),
    "card": (load_card, "a.toml"),
    "class names": (read_class_names, "names.csv"),
    "workbook": (lambda path: text_table.read_rows(path, ["a"]), "table.xlsx"),
    "answers": (lambda path: answers(path), "answers.parquet"),
    "weights": (lambda path: weights("pifia", path), "a.safetensors"),
    "ONNX": (lambda path: weights("onnx", path), "a.onnx"),
    "exported": (lambda path: weights("exported", path), "a.pt2"),
    "run": (lambda path: read_header(path.parent), "run.json"),
    "store": (lambda path: CropStore(path.parent), "store.json"),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_pipe_is_refused(door, tmp_path):
    read, name = DOORS[door]
    with pytest.raises((BystanderError, CropRejected)):
        read(pipe(tmp_path / name))


def test_a_pipe_among_the_tables_of_a_run_is_refused(tmp_path):
    from dashboard.queries.open_runs import open_runs

    run = Path(shutil.copytree(DEMO_RUN, tmp_path / "run"))
    (run / "accuracy.parquet").unlink()
    pipe(run / "accuracy.parquet")
    with pytest.raises(BystanderError, match=r"accuracy\.parquet is a pipe"):
        open_runs(run).runs[0].query("SELECT * FROM {accuracy}", ["accuracy"])
    with pytest.raises(BystanderError):
        RunDirectory(run).read("accuracy")
