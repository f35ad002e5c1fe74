"""Published weights, rearranged for Bystander's networks: every variable has a place there.

Layer: arrays in, tensors out; no files. `compute.models.published.tensorflow_files` reads the
publishers' files; what arrives here are arrays by the name of their variable, channels last, as
TensorFlow and Keras store them. A variable without a place is an error that names it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.errors import unknown_value
from compute.models.networks import network_spec
from compute.models.networks.blocks import LayeredNetwork, scaled
from compute.models.networks.deeploc import FLAT_SIDE as DEEPLOC_FLAT_SIDE
from compute.models.networks.pifia import FLAT_SIDE as PIFIA_FLAT_SIDE
from compute.models.weights import refusal, times, weights_of

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Move:
    """Where one published variable goes, and how.

    Parameters
    ----------
    source
        Its published name.
    target
        Key of the weight in Bystander's network.
    turn
        Takes an array in the published layout, returns it in the network's.
    shape
        Takes the network's shape, returns the published one; for the check and its message.
    """

    source: str
    target: str
    turn: Callable[[Array], Array]
    shape: Callable[[tuple[int, ...]], tuple[int, ...]]


@dataclass(frozen=True)
class ConvertedWeights:
    """A network's published weights in the layout of Bystander's network.

    Parameters
    ----------
    network
        Name of the network.
    width
        Network width, as told from the shapes of the kernels.
    classes
        Number of classes, 0 for a network that has none.
    tensors
        Weights by key, float32.
    ignored
        Names of variables that are no weights: the optimiser's state, counters.
    """

    network: str
    width: float
    classes: int
    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]


def _vector(source: str, target: str) -> Move:
    """Move a vector as it is."""
    return Move(source, target, lambda a: a, lambda s: s)


def _kernel(source: str, target: str) -> Move:
    """Move a convolution's kernel: height×width×in×out to out×in×height×width."""
    return Move(
        source, target, lambda a: a.transpose(3, 2, 0, 1), lambda s: (s[2], s[3], s[1], s[0])
    )


def _dense(source: str, target: str) -> Move:
    """Move a dense layer's weights: in×out to out×in."""
    return Move(source, target, lambda a: a.transpose(1, 0), lambda s: (s[1], s[0]))


def _dense_on_map(source: str, target: str, side: int) -> Move:
    """Move the weights of a dense layer after a map of `side`×`side` pixels: in×out to out×in.

    The map was flattened channels last as published, and is flattened channels first here.
    """

    def turn(a: Array) -> Array:
        outputs = a.shape[1]
        return a.reshape(side, side, -1, outputs).transpose(3, 2, 0, 1).reshape(outputs, -1)

    return Move(source, target, turn, lambda s: (s[1], s[0]))


_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
"""Keras' names of a batch normalisation's arrays, by PyTorch's names."""


def _pifia() -> Iterator[Move]:
    """Yield PIFiA's moves; names are paths of the object graph that `model.save_weights` writes."""
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    for i in range(1, 9):
        yield _kernel(f"conv{i}/kernel{end}", f"blocks.conv{i}.conv.weight")
        yield _vector(f"conv{i}/bias{end}", f"blocks.conv{i}.conv.bias")
        for torch_name, keras_name in _NORM.items():
            yield _vector(f"bn{i}/{keras_name}{end}", f"blocks.conv{i}.norm.{torch_name}")
    yield _dense_on_map(f"d1/kernel{end}", "d1.weight", PIFIA_FLAT_SIDE)
    yield _vector(f"d1/bias{end}", "d1.bias")
    for name in ("d2", "d3"):
        yield _dense(f"{name}/kernel{end}", f"{name}.weight")
        yield _vector(f"{name}/bias{end}", f"{name}.bias")


_PAIRED_CELL_NORMS = {
    "source.conv1_1": "",
    "source.conv2_1": "_1",
    "marker.rfpconv1_1": "_2",
    "marker.rfpconv2_1": "_3",
    "source.conv3_1": "_4",
    "source.conv4_1": "_5",
    "source.conv5_1": "_6",
    "marker.rfpconv3_1": "_7",
}
"""Number in the published name of each block's normalisation. Keras numbers unnamed layers as they
are made: two of the source encoder, two of the marker encoder, the source encoder's last three, the
marker encoder's last."""


def _paired_cell() -> Iterator[Move]:
    """Yield Paired Cell Inpainting's moves."""
    for block, number in _PAIRED_CELL_NORMS.items():
        name = block.split(".")[1]
        yield _kernel(f"{name}/kernel:0", f"{block}.conv.weight")
        yield _vector(f"{name}/bias:0", f"{block}.conv.bias")
        for torch_name, keras_name in _NORM.items():
            source = f"batch_normalization{number}/{keras_name}:0"
            yield _vector(source, f"{block}.norm.{torch_name}")
    for name in (*(f"conv{i}_1" for i in range(6, 11)), "y_gfp"):
        target = name if name == "y_gfp" else f"decoder.{name}"
        yield _kernel(f"{name}/kernel:0", f"{target}.weight")
        yield _vector(f"{name}/bias:0", f"{target}.bias")


def _deeploc() -> Iterator[Move]:
    """Yield DeepLoc's moves; names are those of the TensorFlow 1 graph.

    Moving averages of the moments serve as running statistics.
    """

    def layer(name: str, target: str, linear: str, weight: Move) -> Iterator[Move]:
        norm = f"{name}_batch_norm"
        moments = f"{norm}/{name}/batch_norm/{norm}/moments"
        yield weight
        yield _vector(f"{name}/biases/Variable", f"{target}.{linear}.bias")
        yield _vector(f"{name}/batch_norm/{norm}/gamma", f"{target}.norm.weight")
        yield _vector(f"{name}/batch_norm/{norm}/beta", f"{target}.norm.bias")
        yield _vector(f"{moments}/Squeeze/ExponentialMovingAverage", f"{target}.norm.running_mean")
        yield _vector(f"{moments}/Squeeze_1/ExponentialMovingAverage", f"{target}.norm.running_var")

    for i in range(1, 9):
        name, target = f"conv_{i}", f"blocks.conv_{i}"
        kernel = _kernel(f"{name}/weights/Variable", f"{target}.conv.weight")
        yield from layer(name, target, "conv", kernel)
    kernel = _dense_on_map("fc_1/weights/Variable", "fc_1.dense.weight", DEEPLOC_FLAT_SIDE)
    yield from layer("fc_1", "fc_1", "dense", kernel)
    for name in ("fc_2", "final_layer"):
        kernel = _dense(f"{name}/weights/Variable", f"{name}.dense.weight")
        yield from layer(name, name, "dense", kernel)


@dataclass(frozen=True)
class Layout:
    """How one network was published.

    Parameters
    ----------
    moves
        One for each weight.
    container
        Key of `compute.models.published.tensorflow_files.CONTAINERS`.
    head
        Name of the variable whose last axis has the number of classes; empty where the network has
        none.
    ignored
        Patterns of the names of variables that are no weights, as `fnmatch` takes them.
    """

    moves: tuple[Move, ...]
    container: str
    head: str
    ignored: tuple[str, ...]


LAYOUTS: dict[str, Layout] = {
    "pifia": Layout(
        tuple(_pifia()),
        "tensorflow",
        "d3/kernel/.ATTRIBUTES/VARIABLE_VALUE",
        (
            "_CHECKPOINTABLE_OBJECT_GRAPH",
            "save_counter/*",
            "optimizer/*",
            "*/.OPTIMIZER_SLOT/*",
        ),
    ),
    "paired_cell": Layout(
        tuple(_paired_cell()),
        "keras",
        "",
        ("training/*", "*/Adam*", "beta?_power*"),
    ),
    "deeploc": Layout(
        tuple(_deeploc()),
        "tensorflow",
        "final_layer/weights/Variable",
        ("Variable", "beta?_power", "*/Adam", "*/Adam_1"),
    ),
}
"""Every layout by the network's name in `compute.models.networks.NETWORKS`; a network that was
published without weights has none."""


def layout_of(network: str) -> Layout:
    """Return how a network was published.

    Raises
    ------
    UsageError
        The network does not exist, or was not published with weights.
    """
    network_spec(network)
    if network not in LAYOUTS:
        raise unknown_value("network with published weights", network, LAYOUTS)
    return LAYOUTS[network]


def from_published(network: str, variables: Mapping[str, Array]) -> ConvertedWeights:
    """Turn published variables into the weights of Bystander's network.

    Parameters
    ----------
    network
        Name of the network.
    variables
        Arrays by their published name, channels last. Width and number of classes are told from
        the shapes of the kernels.

    Returns
    -------
    ConvertedWeights
        All weights, float32, checked against the network's shapes.

    Raises
    ------
    UsageError
        The network does not exist, or was not published with weights.
    InputError
        Variables are missing, left over, or of another shape; each is named.
    """
    spec, layout = network_spec(network), layout_of(network)
    sources = {move.source for move in layout.moves}
    extra = [name for name in variables if name not in sources]
    ignored = tuple(n for n in extra if any(fnmatchcase(n, pattern) for pattern in layout.ignored))
    missing = [move.source for move in layout.moves if move.source not in variables]
    problems = [f"missing {name}" for name in missing]
    problems += [f"no place for {name}" for name in extra if name not in ignored]
    if problems:
        raise refusal(spec.title, problems)

    arrays = {move.target: variables[move.source] for move in layout.moves}
    classes = max((1, *variables[layout.head].shape[-1:])) if layout.head else 0
    width = _width(network, classes, {key: array.shape for key, array in arrays.items()})
    expected = weights_of(_skeleton(network, width, classes))
    tensors: dict[str, Tensor] = {}
    for move in layout.moves:
        array = arrays[move.target]
        wanted = move.shape(tuple(expected[move.target].shape))
        if array.shape != wanted:
            problems.append(f"{move.source} is {times(array.shape)}, not {times(wanted)}")
            continue
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            problems.append(f"{move.source} holds values that are no finite numbers")
            continue
        turned = np.ascontiguousarray(move.turn(array), dtype=np.float32)
        tensors[move.target] = torch.from_numpy(turned)
    if problems:
        raise refusal(f"{spec.title} at width {width:g}", problems)
    return ConvertedWeights(network, width, classes, tensors, ignored)


def _width(network: str, classes: int, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Find the width that fits most layers; of several such widths, the roundest number.

    Numbers of units are rounded layer by layer, so each layer tells only an interval. Layers that
    the width does not fit are named by the check of shapes.
    """
    narrow, wide = (weights_of(_skeleton(network, width, classes)) for width in (1.0, 2.0))
    stored = [
        (len(tensor), shapes[key][0])
        for key, tensor in narrow.items()
        if tensor.ndim == 1 and len(tensor) != len(wide[key]) and len(shapes[key]) == 1
    ]
    ratios = sorted({found / units for units, found in stored if found})
    least = sorted({(found - 0.5) / units for units, found in stored if found})
    widths: list[float] = []
    for digits in range(7):
        widths += [round(ratio, digits) for ratio in ratios]
        widths += [ceil(width * 10**digits) / 10**digits for width in least]
    return max(
        widths or [1.0],
        key=lambda width: sum(scaled(units, width) == found for units, found in stored),
    )


def _skeleton(network: str, width: float, classes: int) -> LayeredNetwork:
    """Make a network that has shapes but takes no memory."""
    with torch.device("meta"):
        return network_spec(network).build(width, classes)
