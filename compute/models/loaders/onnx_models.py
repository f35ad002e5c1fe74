"""Loads networks in ONNX files, which ONNX Runtime computes.

Layer: a found card in, a network out. An ONNX file is data: a graph of known operators and their
weights. It is looked through before ONNX Runtime gets it, so that nothing outside the file is read
and no tensor is larger than the file that should hold it.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compute.errors import InputError, UsageError, unknown_value
from compute.models.card_files import FoundModel
from compute.models.loaders.extras import import_extra
from compute.models.loaders.fixed_batches import by_batches, check_shape
from compute.models.loaders.network import OUTPUT, told
from compute.models.loaders.weights_file import checked_file

MOST_BYTES = 2**31 - 1
"""Of one file: protobuf, of which ONNX is made, has no larger ones."""

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Sets of operators that ONNX Runtime brings; those of other sets are foreign libraries."""

INPUT_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
OUTPUT_TYPES = (*INPUT_TYPES, "tensor(double)")

_ELEMENTS_PER_BYTE = 4
"""Of the smallest numbers that ONNX knows, which have two bits."""


class OnnxNetwork:
    """A network that ONNX Runtime computes.

    Parameters
    ----------
    session
        An ``onnxruntime.InferenceSession`` with one input; several threads may use it at once.
    batch
        Images at once; 0 for any number.
    """

    def __init__(self, session: Any, batch: int) -> None:
        self._session, self._batch = session, batch
        [only] = session.get_inputs()
        self._input, self._dtype = only.name, INPUT_TYPES[only.type]
        outputs = session.get_outputs()
        named = {each.name: each for each in outputs}
        self._outputs = {OUTPUT: outputs[0], **named}

    @property
    def layers(self) -> list[str]:
        """Names of everything that may be had."""
        return list(self._outputs)

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Compute one output, float32.

        Raises
        ------
        UsageError
            There is no such output.
        InputError
            It is no array of numbers with a fraction, or has not a row for each image.
        """
        return self.forward_several(images, (layer,))[layer]

    def forward_several(self, images: Tensor, layers: Sequence[str], /) -> dict[str, Tensor]:
        """Compute some outputs in one pass, float32; raises as `forward_to` does."""
        for layer in layers:
            if layer not in self._outputs:
                raise unknown_value("output of this network", layer, self.layers)
            output = self._outputs[layer]
            if output.type not in OUTPUT_TYPES:
                raise InputError(
                    f"Output {output.name!r} is of type {output.type}.",
                    f"Name another of its outputs, of {', '.join(OUTPUT_TYPES)}.",
                )
        names = [self._outputs[layer].name for layer in layers]

        def compute(part: Tensor) -> list[Tensor]:
            given = part.to("cpu", self._dtype).contiguous().numpy()
            return [
                torch.from_numpy(each) for each in self._session.run(names, {self._input: given})
            ]

        found = by_batches(compute, images, self._batch)
        return {
            layer: each.to(images.device, torch.float32)
            for layer, each in zip(layers, found, strict=True)
        }


def load(found: FoundModel, device: torch.device) -> OnnxNetwork:
    """Look through an ONNX file and hand it to ONNX Runtime.

    Raises
    ------
    UsageError
        ONNX Runtime is not installed, or cannot compute on the device.
    InputError
        The file is missing or damaged, is not the one that the card names, needs other files or
        foreign operators, or takes other images than the card gives.
    """
    path, who = checked_file(found), f"Model {found.name!r}"
    onnxruntime = import_extra("onnxruntime", "onnx", f"model {found.name!r}")
    what = f"{who}: {path.name}"
    look_through(path, what, found.name)
    providers = _providers(onnxruntime, device, who)
    options = onnxruntime.SessionOptions()
    # A thread has a batch of its own on a CPU, as with our networks.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    with told(f"{what}, given to ONNX Runtime {onnxruntime.__version__},", "Export it again."):
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    if device.type == "cuda" and providers[0][0] not in session.get_providers():
        raise _no_device(who, device, "cannot load what it needs for CUDA")
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise InputError(
            f"{what} has {len(inputs)} inputs: {', '.join(each.name for each in inputs[:8])}.",
            "Export a network that takes images alone.",
        )
    if inputs[0].type not in INPUT_TYPES:
        raise InputError(
            f"{what}: its input {inputs[0].name!r} is of type {inputs[0].type}.",
            f"Export it with one of {', '.join(INPUT_TYPES)}.",
        )
    shape = [length if isinstance(length, int) else None for length in inputs[0].shape]
    where = f"{what}: its input {inputs[0].name!r}"
    return OnnxNetwork(session, check_shape(found.card, where, shape))


def look_through(path: Path, what: str, name: str) -> None:
    """Refuse a file that is damaged, or that needs anything beside itself.

    Parameters
    ----------
    path
        The ONNX file.
    what, name
        The file and its model, for messages.

    Raises
    ------
    InputError
        It is too large, is not ONNX, has weights in other files, has tensors that are larger than
        the file, or needs foreign operators.
    """
    onnx = import_extra("onnx", "onnx", f"model {name!r}")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"{what} has {size:,} bytes; an ONNX file has {MOST_BYTES:,} at most.",
            "Use `timm`, or export the network with torch.export.",
        )
    with told(f"{what}, read as ONNX,", "Fetch or export it again."):
        model = onnx.load_model_from_string(path.read_bytes())
    if not model.graph.input:
        raise InputError(f"{what} is not ONNX: it has no graph.", "Fetch or export it again.")
    own = {function.domain for function in model.functions}
    for node in _nodes(model):
        if node.domain not in DOMAINS and node.domain not in own:
            raise InputError(
                f"{what} needs operator {node.op_type!r} of {node.domain!r}, a foreign library.",
                'Export it with ONNX\'s own operators, or use source = "command".',
            )
    external = onnx.TensorProto.EXTERNAL
    for tensor in _tensors(model):
        if getattr(tensor, "data_location", None) == external:
            named = {entry.key: entry.value for entry in tensor.external_data}
            raise InputError(
                f"{what} has weights in another file, {named.get('location', '')!r}, of which its "
                "card has no hash.",
                "Save it as one file: torch.onnx.export(..., external_data=False), or "
                'onnx.save(onnx.load("model.onnx"), "one.onnx").',
            )
        if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > _ELEMENTS_PER_BYTE * size:
            shape = "×".join(map(str, tensor.dims))
            raise InputError(
                f"{what} is damaged: a tensor of {shape} in a file of {size:,} bytes.",
                "Fetch or export it again.",
            )


def _providers(onnxruntime: Any, device: torch.device, who: str) -> list[Any]:
    """Say what ONNX Runtime computes with.

    Raises
    ------
    UsageError
        It cannot compute on the device.
    """
    if device.type == "cpu":
        return ["CPUExecutionProvider"]
    if device.type != "cuda":
        raise _no_device(who, device, "does not compute on it")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise _no_device(who, device, "was installed without CUDA")
    # TF32 would round float32 to 10 bits.
    return [("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0})]


def _no_device(who: str, device: torch.device, why: str) -> UsageError:
    return UsageError(
        f"{who} cannot compute on {str(device)!r}: ONNX Runtime {why}.",
        "Give --device cpu"
        + (", or install onnxruntime-gpu in its place." if device.type == "cuda" else "."),
    )


def _graphs(model: Any) -> Iterator[Any]:
    """Yield the graph and the functions of a model, and all graphs within their nodes."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _nodes(model: Any) -> Iterator[Any]:
    """Yield every node, wherever it is."""
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor that a model brings: weights, constants, and the parts of sparse ones."""
    sparse: list[Any] = []
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        sparse += getattr(graph, "sparse_initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                yield from [attribute.t] if attribute.HasField("t") else []
                yield from attribute.tensors
                sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
                sparse += attribute.sparse_tensors
    for each in sparse:
        yield from (each, each.values, each.indices)
