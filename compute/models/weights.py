"""Weights of networks: by key, to a file and back, and into a network whole or not at all.

Layer: tensors and safetensors files; knows no card. Nothing that is loaded here can run code.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from compute.errors import InputError, unknown_value
from compute.models.precision import STORED
from compute.storage.atomic_files import sha256, writing

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "float16": torch.float16}
)
"""Numbers that weights may be stored as; networks compute with them as float32."""

_COUNTER = "num_batches_tracked"


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """Return a network's weights by key, without the batch counters that nothing here reads."""
    return {
        key: tensor for key, tensor in network.state_dict().items() if not key.endswith(_COUNTER)
    }


def load_weights(network: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy weights into a network, all of them and no others.

    Parameters
    ----------
    network
        The network that gets the weights, as float32.
    tensors
        Weights by key, as `weights_of` gives them.
    where
        The file they came from, for the message.

    Raises
    ------
    InputError
        Tensors are missing, left over, or of another shape; each is named.
    """
    own = weights_of(network)
    problems = [f"missing {key}" for key in own if key not in tensors]
    problems += [f"no place for {key}" for key in tensors if key not in own]
    problems += [
        f"{key} is {times(tensors[key].shape)}, not {times(tensor.shape)}"
        for key, tensor in own.items()
        if key in tensors and tensors[key].shape != tensor.shape
    ]
    if problems:
        raise refusal(where, problems)
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(tensors[key])


def read_weights(path: Path, *, foreign: bool = False) -> dict[str, Tensor]:
    """Read a safetensors file of float16 or float32 tensors.

    Parameters
    ----------
    path
        The file.
    foreign
        Whether another program wrote it: tensors may then be of any type, and batch counters are
        left out; False by default.

    Returns
    -------
    dict
        Weights by key, as float32; what is no floating-point number as it is.

    Raises
    ------
    InputError
        The file is missing, is not safetensors, or holds tensors of another type.
    """
    if not path.is_file():
        raise InputError(f"The weights {path} are missing.", "They belong beside their card.")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors: {error}.", "Fetch or convert it again."
        ) from error
    if foreign:
        return {
            key: tensor.float() if tensor.is_floating_point() else tensor
            for key, tensor in tensors.items()
            if not key.endswith(_COUNTER)
        }
    for key, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise InputError(
                f"{path}: {key} is {tensor.dtype}.", "Weights are stored as float32 or float16."
            )
    return {key: tensor.float() for key, tensor in tensors.items()}


def write_weights(path: Path, tensors: Mapping[str, Tensor], dtype: str = STORED) -> str:
    """Write a safetensors file; it appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    tensors
        Weights by key, as `weights_of` gives them.
    dtype
        Key of `DTYPES`; ``"float32"`` by default. A tensor with a value beyond float16's range
        stays float32.

    Returns
    -------
    str
        The file's SHA-256, 64 hexadecimal digits.

    Raises
    ------
    UsageError
        The dtype does not exist.
    """
    if dtype not in DTYPES:
        raise unknown_value("dtype", dtype, DTYPES)
    stored = {}
    for key, tensor in tensors.items():
        plain = tensor.detach().cpu().float()
        small = plain.to(DTYPES[dtype])
        stored[key] = (small if small.isfinite().all() else plain).contiguous()
    save_tensors(path, stored)
    return sha256(path)


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors, contiguous and on the CPU, as safetensors; whole or not at all.

    Raises
    ------
    DiskError
        The disk is full or the folder cannot be written; names the file.
    """
    with writing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            # The library has an error of its own, which holds the system's number as text.
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else 0, str(error)) from error


def times(shape: tuple[int, ...] | torch.Size) -> str:
    """Return a shape as text: ``3×3×64``."""
    return "×".join(map(str, shape)) or "a single number"


def refusal(what: str, problems: list[str], named: int = 12) -> InputError:
    """Make the error that names the first few of the weights that do not fit a network."""
    listed = "; ".join(problems[:named])
    more = f"; and {len(problems) - named} more" if len(problems) > named else ""
    return InputError(
        f"{what}: the weights do not fit the network: {listed}{more}.",
        "Check that the weights, the network and its width belong together.",
    )
