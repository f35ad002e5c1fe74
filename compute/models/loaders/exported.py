"""Loads programs that `torch.export.save` wrote.

Layer: a found card in, a network out. PyTorch makes Python code of what stands in the file, so the
file is foreign code and must be trusted. It would also unpickle the example inputs, and whatever
else was pickled; so it gets a copy without these, and files that need them are refused.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass

from compute.errors import InputError, unknown_value
from compute.models.card_files import FoundModel
from compute.models.loaders.fixed_batches import LARGEST_BATCH, by_batches, check_shape
from compute.models.loaders.network import OUTPUT, told
from compute.models.loaders.weights_file import checked_file

_EXAMPLES = "data/sample_inputs/model.pt"
_PROGRAM = "models/model.json"
_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_KNOWN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|data/weights/weight_\d+"
    r"|data/constants/tensor_\d+"
)
"""Records of an archive beside these, as `torch/export/pt2_archive/constants.py` names them. None
of these is pickled, where the lists of `_PAYLOADS` say so."""

_EXTRA = "extra/"
"""Records that the one who saved the program added; nobody reads them here."""


class ExportedNetwork:
    """A program of PyTorch that computes named outputs.

    Parameters
    ----------
    module
        The program as a module, on its device; several threads may use it at once.
    batch
        Images at once; 0 for any number.
    dtype
        Type of the images that it takes; float32 by default.
    """

    def __init__(
        self, module: torch.nn.Module, batch: int, dtype: torch.dtype = torch.float32
    ) -> None:
        self.module = module
        self._batch, self._dtype = batch, dtype

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Compute one output, float32.

        Raises
        ------
        UsageError
            There is no such output.
        InputError
            It has not a row for each image.
        """
        return self.forward_several(images, (layer,))[layer]

    def forward_several(self, images: Tensor, layers: Sequence[str], /) -> dict[str, Tensor]:
        """Compute some outputs in one pass, float32; raises as `forward_to` does."""

        def compute(part: Tensor) -> list[Tensor]:
            outputs = dict(named_outputs(self.module(part.to(self._dtype))))
            for layer in layers:
                if layer not in outputs:
                    raise unknown_value("output of this program", layer, outputs)
            return [outputs[layer].float() for layer in layers]

        return dict(zip(layers, by_batches(compute, images, self._batch), strict=True))


def named_outputs(value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in what a program returns: the first as ``"output"``, then all by name.

    Names are keys of dictionaries and numbers from 0 of tuples and lists, joined by dots.
    """
    found = list(_within(value, ""))
    yield from ((OUTPUT, tensor) for _, tensor in found[:1])
    yield from ((name, tensor) for name, tensor in found if name)


def _within(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a value, however deep, with their names."""
    if isinstance(value, Tensor):
        yield name, value
    parts: Mapping[Any, Any] = {}
    if isinstance(value, tuple | list):
        parts = dict(enumerate(value))
    elif isinstance(value, Mapping):
        parts = value
    for key, part in parts.items():
        yield from _within(part, f"{name}.{key}" if name else str(key))


def load(found: FoundModel, device: torch.device) -> ExportedNetwork:
    """Load a program without unpickling anything.

    Raises
    ------
    InputError
        The file is missing or damaged, is not the one that the card names, holds pickled parts or
        more than a program, was exported elsewhere than on a CPU, or takes other images than the
        card gives.
    """
    path, what = checked_file(found), f"Model {found.name!r}: {found.card.weights}"
    again = 'Save it again: torch.export.save(program, "model.pt2"), with this PyTorch or an older.'
    with told(f"{what}, read as a program of torch.export,", again):
        archive = without_pickles(path, what)
    with told(f"{what}, loaded by PyTorch {torch.__version__},", again):
        program = torch.export.load(archive)
        if device.type != "cpu":
            program = move_to_device_pass(program, device)
        module = program.module().requires_grad_(False)
        # The operators are those of the mode that was exported, whatever parts say of themselves.
        for part in module.modules():
            part.training = False
    example = _only_input(program, what)
    shape = [length if isinstance(length, int) else None for length in example.shape]
    batch = check_shape(found.card, what, shape) or _most(program, example.shape[0])
    return ExportedNetwork(module, batch, example.dtype)


def without_pickles(path: Path, what: str) -> io.BytesIO:
    """Copy what a saved program consists of, but for its example inputs, which are pickled.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for messages.

    Returns
    -------
    BytesIO
        An archive that PyTorch reads without unpickling anything.

    Raises
    ------
    InputError
        It is no such archive, holds pickled parts or more than a program, or was exported elsewhere
        than on a CPU.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as safe:
        names = archive.namelist()
        root = names[0].partition("/")[0] + "/" if names else ""
        if root + _PROGRAM not in names or any(root + name not in names for name in _PAYLOADS):
            raise InputError(
                f"{what} holds no program of torch.export.",
                'Save it with torch.export.save(program, "model.pt2"), of PyTorch 2.8 or later.',
            )
        for config in _PAYLOADS:
            _check_payload(archive, root, config, what)
        for name in names:
            inner = name.removeprefix(root)
            if inner.startswith(_EXTRA):
                continue
            if inner not in (_PROGRAM, _EXAMPLES, *_PAYLOADS) and not _KNOWN.fullmatch(inner):
                raise _pickled(what, inner)
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise InputError(
                    f"{what}: {inner} is compressed, which PyTorch never does.", "Save it again."
                )
            safe.writestr(name, b"" if inner == _EXAMPLES else archive.read(name))
    copy.seek(0)
    return copy


def _check_payload(archive: zipfile.ZipFile, root: str, config: str, what: str) -> None:
    """Refuse weights or constants that are pickled, that lie elsewhere, or that are not there."""
    folder = root + config.rpartition("/")[0] + "/"
    for name, payload in json.loads(archive.read(root + config))["config"].items():
        if payload["use_pickle"] or payload["tensor_meta"] is None:
            raise _pickled(what, name)
        meta = payload["tensor_meta"]
        if meta["device"]["type"] != "cpu":
            raise InputError(
                f"{what} was exported on {meta['device']['type']!r}: {name} lies there.",
                "Export it on the CPU (model.cpu()); it computes wherever the run does.",
            )
        elements = math.prod(size["as_int"] for size in meta["sizes"])
        if elements and not archive.getinfo(folder + payload["path_name"]).file_size:
            raise InputError(
                f"{what} is damaged: {name} has {elements:,} elements and no bytes.",
                "Save it again.",
            )


def _pickled(what: str, part: str) -> InputError:
    return InputError(
        f"{what} holds {part!r}, which PyTorch would unpickle or run.",
        "Save a program alone, whose weights and constants are plain tensors.",
    )


def _only_input(program: torch.export.ExportedProgram, what: str) -> Tensor:
    """Return a program's only input, without values; lengths that are not fixed are symbols.

    Raises
    ------
    InputError
        It has other inputs, or none, or does not take numbers with a fraction.
    """
    wanted = program.graph_signature.user_inputs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [nodes[name].meta.get("val") for name in wanted if name in nodes]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
        raise InputError(
            f"{what} has {len(wanted)} inputs: {', '.join(map(str, wanted[:8]))}.",
            "Export a program that takes images alone.",
        )
    if not inputs[0].dtype.is_floating_point:
        raise InputError(f"{what} takes images of {inputs[0].dtype}.", "Export it with float32.")
    return inputs[0]


def _most(program: torch.export.ExportedProgram, length: Any) -> int:
    """Return how many images a program takes where there is a limit; 0 where there is none."""
    bounds = program.range_constraints.get(length.node.expr)
    return int(bounds.upper) if bounds is not None and bounds.upper <= LARGEST_BATCH else 0
