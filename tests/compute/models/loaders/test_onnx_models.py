"""Networks in ONNX files: as exported, or refused before anything is computed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import (
    CLASSES,
    TwoOutputs,
    found_file,
    images,
    own_shares,
    tiny_vit,
    with_own,
)

from compute.errors import InputError, UsageError
from compute.models.embedder import load_model
from compute.models.loaders import onnx_models

onnx = pytest.importorskip("onnx", reason="pip install 'bystander[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'bystander[onnx]'")
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file of `TwoOutputs`, for any number of 2×16×16 images."""
    pytest.importorskip("onnxscript", reason="pip install 'bystander[models-tests]'")
    path = tmp_path_factory.mktemp("onnx") / "two.onnx"
    export(TwoOutputs(), images(3), path)
    return path


def export(module, example, path):
    torch.onnx.export(
        module.eval(), (example,), path, dynamo=True, external_data=False, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )  # fmt: skip


def by_hand(
    path, shape=("n", 2, 16, 16), kind=FLOAT, op="GlobalAveragePool", domain="", inputs=1,
    weights=(), out=FLOAT,
):  # fmt: skip
    """Write a file of one node; return it as found."""
    given = [onnx.helper.make_tensor_value_info(f"x{k}", kind, shape) for k in range(inputs)]
    names = [each.name for each in (*given, *weights)]
    node = onnx.helper.make_node(op, names, ["y"], domain=domain)
    answer = onnx.helper.make_tensor_value_info("y", out, None)
    graph = onnx.helper.make_graph([node], "g", given, [answer], initializer=list(weights))
    sets = [onnx.helper.make_opsetid("", 20)]
    sets += [onnx.helper.make_opsetid(domain, 1)] if domain else []
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=10)
    path.write_bytes(model.SerializeToString())
    return found_file(path, "onnx")


def test_it_computes_what_was_exported(exported):
    with torch.inference_mode():
        expected = TwoOutputs()(images())
    assert set(load_model(found_file(exported, "onnx")).network.layers) > {"output"}
    first, second = load_model(found_file(exported, "onnx")).network.layers[1:]
    for layer, values in [
        ("output", expected["map"].mean((2, 3))),
        (first, expected["map"].mean((2, 3))),
        (second, expected["vector"]),
    ]:
        model = load_model(found_file(exported, "onnx", layer=layer))
        assert model.dimension == 6
        assert torch.allclose(model(images()), values, atol=1e-4)
    assert model.module is None
    assert model.rounding(images(), "float32") is None
    most = load_model(found_file(exported, "onnx", pooling="max"))
    assert torch.allclose(most(images()), expected["map"].amax((2, 3)), atol=1e-4)


def test_two_outputs_are_embedding_and_head_in_one_pass(exported, monkeypatch):
    with torch.inference_mode():
        expected = TwoOutputs()(images())
    first, second = load_model(found_file(exported, "onnx")).network.layers[1:]
    card = {"layer": first, "head": second, "classes": list(CLASSES)}
    model = load_model(with_own(found_file(exported, "onnx", **card)))
    session, asked = model.network._session, []

    class Told:
        def run(self, names, given):
            asked.append(names)
            return session.run(names, given)

    monkeypatch.setattr(model.network, "_session", Told())
    both = model.with_own(images())
    assert asked == [[first, second]]
    assert torch.allclose(both[:, :6], expected["map"].mean((2, 3)), atol=1e-4)
    assert torch.allclose(both[:, 6:], own_shares(expected["vector"]), atol=1e-4)


@pytest.mark.parametrize(
    ("head", "classes", "message"),
    [
        (1, CLASSES, r"an array of 2×6×7×7 for 2 crops, and the card names 6 classes"),
        (2, CLASSES[:5], r"an array of 2×6 for 2 crops, and the card names 5 classes"),
    ],
)
def test_an_output_that_is_no_head_is_refused(exported, head, classes, message):
    name = load_model(found_file(exported, "onnx")).network.layers[head]
    found = with_own(found_file(exported, "onnx", head=name, classes=list(classes)))
    own = replace(found.own, head=tuple(classes), places=found.own.places[: len(classes)])
    with pytest.raises(InputError, match=message):
        load_model(replace(found, own=own))


def test_a_head_that_the_file_lacks_is_refused(exported):
    found = with_own(found_file(exported, "onnx", head="klassen", classes=list(CLASSES)))
    with pytest.raises(UsageError, match=r"Unknown output of this network 'klassen'"):
        load_model(found)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.long
def test_a_transformer_of_timm(tmp_path):
    pytest.importorskip("onnxscript", reason="pip install 'bystander[models-tests]'")
    module = tiny_vit()
    export(module, images(3, 3, 32), tmp_path / "vit.onnx")
    model = load_model(found_file(tmp_path / "vit.onnx", "onnx", 32, "abc"))
    with torch.inference_mode():
        assert torch.allclose(model(images(5, 3, 32)), module(images(5, 3, 32)), atol=1e-4)


def test_threads_get_the_same_answers_at_once(exported):
    network = load_model(found_file(exported, "onnx")).network
    given = [images(7, seed=k) for k in range(24)]
    alone = [network.forward_to(each, "output") for each in given]
    together = threading.Barrier(4)

    def compute(number):
        if number < 4:
            together.wait(10)
        return network.forward_to(given[number], "output")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(compute, range(24)))
    assert all(map(torch.equal, found, alone))


def test_a_fixed_batch_is_filled_up(tmp_path):
    found = by_hand(tmp_path / "m.onnx", shape=(4, 2, 16, 16))
    for n in (1, 4, 5, 8):
        expected = images(n).mean((2, 3))
        assert torch.allclose(load_model(found)(images(n)), expected, atol=1e-5)
    with pytest.raises(InputError, match="takes 1000000000 images at once, more than 4096"):
        load_model(by_hand(tmp_path / "m.onnx", shape=(10**9, 2, 16, 16)))


def test_half_precision_and_free_shapes(tmp_path):
    half = load_model(by_hand(tmp_path / "m.onnx", kind=HALF, out=HALF))
    assert half(images()).dtype == torch.float32
    assert torch.allclose(half(images()), images().mean((2, 3)), atol=2e-3)
    free = by_hand(tmp_path / "free.onnx", shape=("n", "c", "h", "w"))
    assert load_model(free).dimension == 2
    larger = replace(free, card=replace(free.card, channels=("a", "b", "c"), size=40))
    assert load_model(larger)(images(2, 3, 40)).shape == (2, 3)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (("n", 3, 224, 224), r"N×3×224×224 .* card gives N×2×16×16"),
        (("n", 16, 16, 2), r"N×16×16×2 .* card gives N×2×16×16"),
        (("n", 2, "h", 32), r"N×2×H×32 .* card gives N×2×16×16"),
        (("n", 512), r"input 'x0' has an input of 2 axes, not 4"),
    ],
)
def test_other_shapes_are_refused_before_a_run(tmp_path, shape, said):
    op = "GlobalAveragePool" if len(shape) == 4 else "Identity"
    with pytest.raises(InputError, match=said):
        load_model(by_hand(tmp_path / "m.onnx", shape=shape, op=op))


def test_inputs_and_outputs_that_are_no_images_or_embeddings(tmp_path, exported):
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match=r"has 2 inputs: x0, x1"):
        load_model(by_hand(path, op="Add", inputs=2))
    with pytest.raises(InputError, match=r"'x0' is of type tensor\(int64\)"):
        load_model(by_hand(path, op="Abs", kind=onnx.TensorProto.INT64, out=onnx.TensorProto.INT64))
    with pytest.raises(InputError, match=r"Output 'y' is of type tensor\(int64\)"):
        load_model(by_hand(path, op="Shape", out=onnx.TensorProto.INT64))
    model = onnx.load(path)
    model.graph.node.append(onnx.helper.make_node("Cast", ["y"], ["z"], to=FLOAT))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("z", FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"gives an array of 4 for 2 images"):
        load_model(found_file(path, "onnx"))
    with pytest.raises(UsageError, match=r"Unknown output of this network 'vektor'.*Allowed: outp"):
        load_model(found_file(exported, "onnx", layer="vektor"))


def test_weights_elsewhere_are_refused(tmp_path):
    """A card has one hash: what lies beside its file could be anything."""
    path = tmp_path / "m.onnx"
    weight = onnx.numpy_helper.from_array(np.ones((3, 2, 1, 1), np.float32), "w")
    found = by_hand(path, op="Conv", weights=[weight])
    assert load_model(found).dimension == 3
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0
    )
    assert (tmp_path / "m.onnx.data").is_file()
    with pytest.raises(InputError, match=r"weights in another file, 'm.onnx.data'.*as one file"):
        load_model(found_file(path, "onnx"))


def test_tensors_within_nodes_are_looked_through_too(tmp_path):
    path = tmp_path / "m.onnx"
    by_hand(path)
    model = onnx.load(path)
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Constant", [], ["c"], value=huge())], "inner", [], []
    )
    model.graph.node.append(onnx.helper.make_node("If", ["x0"], ["z"], then_branch=inner))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"a tensor of 1000000×1000000 in a file of"):
        load_model(found_file(path, "onnx"))


def huge():
    """A tensor of 4 TB, of which the file has 4 bytes."""
    tensor = onnx.TensorProto(name="w", data_type=FLOAT, raw_data=b"1234")
    tensor.dims.extend([10**6, 10**6])
    return tensor


def test_damaged_files(tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match=r"damaged: a tensor of 1000000×1000000 in a file of"):
        load_model(by_hand(path, op="Conv", weights=[huge()]))
    by_hand(path)
    whole = path.read_bytes()
    for content in (b"", b"not ONNX at all", whole[: len(whole) // 2], b"\x00" * 100):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"Model 'm': m.onnx"):
            load_model(found_file(path, "onnx"))
    small = onnx.TensorProto(name="w", data_type=FLOAT, raw_data=b"1234")
    small.dims.extend([2, 3])
    with pytest.raises(InputError, match=r"m.onnx, given to ONNX Runtime .* failed with"):
        load_model(by_hand(path, op="Conv", weights=[small]))


def test_a_file_too_large_for_onnx_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_models, "MOST_BYTES", 50)
    monkeypatch.setattr(onnx, "load_model_from_string", None)
    with pytest.raises(InputError, match=r"bytes; an ONNX file has 50 at most"):
        load_model(by_hand(tmp_path / "m.onnx"))


def test_foreign_operators_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"needs operator 'Mine' of 'my.own', a foreign library"):
        load_model(by_hand(tmp_path / "m.onnx", op="Mine", domain="my.own"))
    with pytest.raises(InputError, match=r"given to ONNX Runtime .* failed with"):
        load_model(by_hand(tmp_path / "m.onnx", op="NoSuchOperator"))


def test_devices_and_precisions_that_it_has_not(exported):
    found = found_file(exported, "onnx")
    with pytest.raises(UsageError, match=r"cannot compute on 'mps': .* Give --device cpu"):
        onnx_models.load(found, torch.device("mps"))
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(UsageError, match=r"without CUDA.*or install onnxruntime-gpu"):
            onnx_models.load(found, torch.device("cuda"))
    with pytest.raises(UsageError, match=r"cannot compute with bfloat16.*--precision float32"):
        load_model(found)(images(), precision="bfloat16")


def test_another_file_than_the_card_says(tmp_path, exported):
    found = by_hand(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(exported.read_bytes())
    with pytest.raises(InputError, match="is not the file that the card of 'm' describes"):
        load_model(found)
