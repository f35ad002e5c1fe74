"""Reading published weight files: TensorFlow checkpoints and Keras HDF5, never a pickle. No torch.

Layer: a path in, variable name → array out (channels last, as stored), for
`compute.models.published.weight_maps.from_published`. What can be told from the files alone (a
missing shard, a cut-off file, another format) is told before TensorFlow is loaded.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError, unknown_value

Array = NDArray[Any]

TABLE_END = bytes.fromhex("57fb808b247547db")
"""Last bytes of a whole TensorFlow table (`kTableMagicNumber` in its `table/format.h`): of an
`.index` file and of a checkpoint in the older one-file format."""

HDF5_START = b"\x89HDF\r\n\x1a\n"

FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"PK", "a zip archive, such as .npz, .pth or .keras"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive"),
    (HDF5_START, "HDF5, as Keras writes it"),
    (TABLE_END, "a TensorFlow checkpoint"),
)
"""How files of other formats begin, for messages."""

PICKLED = (".pkl", ".pickle", ".joblib")

_SHARD = re.compile(r"(?P<prefix>.+)\.data-(?P<number>\d{5})-of-(?P<count>\d{5})")


@dataclass(frozen=True)
class Checkpoint:
    """The variables of a checkpoint.

    Parameters
    ----------
    files
        Where they come from; the first is the one that names them all.
    variables
        Name → array as stored. Those of TensorFlow are read when they are asked for, so the
        optimiser's never are.
    elsewhere
        Parts of the file that are no weights and are not among the variables.
    """

    files: tuple[Path, ...]
    variables: Mapping[str, Array]
    elsewhere: tuple[str, ...] = ()


def read_checkpoint(container: str, path: Path | str) -> Checkpoint:
    """Read a published weights file.

    Parameters
    ----------
    container
        Key of `CONTAINERS`.
    path
        Keras: the file. TensorFlow: the prefix, any file of it, or a folder that holds one.

    Raises
    ------
    UsageError
        No such container, or TensorFlow is needed and not installed.
    InputError
        A file is missing, cut off, of another format or unreadable; it is named.
    """
    if container not in CONTAINERS:
        raise unknown_value("checkpoint format", container, CONTAINERS)
    return CONTAINERS[container](Path(path))


def tensorflow_files(path: Path) -> tuple[Path, tuple[Path, ...]]:
    """Find a TensorFlow checkpoint's prefix and its files, without TensorFlow.

    Parameters
    ----------
    path
        The prefix, one of the files, or a folder that holds one checkpoint.

    Returns
    -------
    tuple
        The prefix, and the files: index and shards, or the one file of the older format.

    Raises
    ------
    InputError
        A file is missing, cut off or of another format.
    """
    prefix = _prefix(path)
    index = prefix.with_name(f"{prefix.name}.index")
    if index.is_file():
        _require_table(index)
        return prefix, (index, *_shards(prefix))
    if prefix.is_file():
        _require_table(prefix)
        return prefix, (prefix,)
    shards = sorted(prefix.parent.glob(f"{_escaped(prefix.name)}.data-*"))
    if shards:
        raise InputError(
            f"{index} is missing; {shards[0].name} is there.",
            "A checkpoint is an .index file and its .data files: put them into one folder.",
        )
    raise InputError(
        f"There is no TensorFlow checkpoint {prefix}: neither that file nor {index.name}.",
        "Give the part of the file names before .index and .data-00000-of-…",
    )


def _prefix(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) != 1:
            listed = ", ".join(file.name for file in found[:5]) or "none"
            raise InputError(
                f"The folder {path} holds {len(found)} checkpoints with an .index file: {listed}.",
                "Give the path of one of them.",
            )
        path = found[0]
    if path.suffix in (".index", ".meta"):
        return path.with_suffix("")
    shard = _SHARD.fullmatch(path.name)
    return path.with_name(shard["prefix"]) if shard else path


def _shards(prefix: Path) -> tuple[Path, ...]:
    """List all shards, by the number that their names tell."""
    counts: dict[int, set[int]] = {}
    for file in prefix.parent.glob(f"{_escaped(prefix.name)}.data-*"):
        shard = _SHARD.fullmatch(file.name)
        if shard and shard["prefix"] == prefix.name:
            counts.setdefault(int(shard["count"]), set()).add(int(shard["number"]))
    if not counts:
        raise InputError(
            f"{prefix}.data-00000-of-… is missing: the checkpoint has an .index and no .data file.",
            "Fetch all its files into one folder.",
        )
    count = min(counts, key=lambda n: (n - len(counts[n] & set(range(n))), n))
    files = [prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{count:05d}") for i in range(count)]
    missing = [file for i, file in enumerate(files) if i not in counts[count]]
    if missing:
        raise InputError(
            "Missing " + ", ".join(map(str, missing)) + f": the checkpoint has {count} data files.",
            "Fetch all its files into one folder.",
        )
    return tuple(files)


def _escaped(name: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", name)


def _require_table(path: Path) -> None:
    """Refuse what does not end as a TensorFlow table does."""
    try:
        with path.open("rb") as handle:
            start = handle.read(len(HDF5_START))
            handle.seek(0, os.SEEK_END)
            handle.seek(-min(handle.tell(), len(TABLE_END)), os.SEEK_END)
            end = handle.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    if end != TABLE_END:
        what = _foreign(path, start) or "cut off, or no TensorFlow checkpoint"
        raise InputError(f"{path} is {what}.", _remedy(what, "a TensorFlow checkpoint"))


def _foreign(path: Path, start: bytes) -> str | None:
    """Say what a file is instead."""
    if path.suffix.lower() in PICKLED:
        return "a pickle"
    return next((what for begin, what in FOREIGN if start.startswith(begin)), None)


def _remedy(what: str, wanted: str) -> str:
    if "pickle" in what or "zip" in what:
        return (
            f"Such files can run code when loaded, and are never opened here: give {wanted} as "
            "its authors published it."
        )
    return f"Give {wanted} as its authors published it, or fetch it again."


class _Variables(Mapping[str, Array]):
    """Variables of a TensorFlow checkpoint, each read when asked for."""

    def __init__(self, reader: Any, path: Path) -> None:
        self._reader = reader
        self._path = path
        self._names = sorted(reader.get_variable_to_shape_map())

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        try:
            return np.asarray(self._reader.get_tensor(name))
        # TensorFlow's reader raises its own classes, RuntimeError or ValueError, by version
        except Exception as error:
            raise _unreadable(self._path, error, name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _read_tensorflow(path: Path) -> Checkpoint:
    prefix, files = tensorflow_files(path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        tensorflow = import_module("tensorflow")
    except ImportError as error:
        raise UsageError(
            f"TensorFlow is needed to read {files[0].name}, and is not installed ({error}).",
            "Install the extra: pip install 'bystander[convert]'.",
        ) from error
    try:
        reader = tensorflow.train.load_checkpoint(str(prefix))
        return Checkpoint(files, _Variables(reader, files[0]))
    except Exception as error:
        raise _unreadable(files[0], error) from error


def _read_keras(path: Path) -> Checkpoint:
    """Read a Keras HDF5 weights file, or the weights of a whole model's.

    Keras puts `layer/variable` into a group named by the layer; its list of layers is the
    attribute `layer_names`.
    """
    if path.suffix == ".index" or _SHARD.fullmatch(path.name):
        raise InputError(
            f"{path} belongs to a TensorFlow checkpoint.", "Give Keras weights: an .h5 file."
        )
    try:
        with path.open("rb") as handle:
            start = handle.read(len(HDF5_START))
    except OSError as error:
        raise _unreadable(path, error) from error
    if start != HDF5_START:
        what = _foreign(path, start) or "no HDF5 file"
        raise InputError(f"{path} is {what}.", _remedy(what, "Keras weights (.h5)"))
    variables: dict[str, Array] = {}
    elsewhere: tuple[str, ...] = ()
    try:
        with h5py.File(path, "r") as file:
            weights: h5py.Group = file
            if "model_weights" in file:
                weights = file["model_weights"]
                elsewhere = tuple(name for name in file if name != "model_weights")
            if not {"layer_names", "layer_names0"} & set(weights.attrs):
                raise InputError(
                    f"{path} is HDF5, but no Keras weights: it has no list of layers "
                    f"(attribute layer_names); it holds {', '.join(list(file)[:8]) or 'nothing'}.",
                    "Give the file that Keras' save_weights or save wrote.",
                )
            for name, dataset in _datasets(weights):
                if name in variables:
                    raise InputError(f"{path} holds {name} twice.", "Fetch it again.")
                variables[name] = dataset[()]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _unreadable(path, error) from error
    return Checkpoint((path,), variables, elsewhere)


def _datasets(weights: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Go through a file's own datasets, following no links, by name without the layer's group."""
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name.partition("/")[2] or name, item))

    weights.visititems(visit)
    yield from found


def _unreadable(path: Path, error: Exception, part: str = "") -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"There is no file {path}.", "Check the path.")
    reason = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    first = str(reason).strip().splitlines()[0] if str(reason).strip() else type(error).__name__
    return InputError(
        f"{path} cannot be read{f' at {part}' if part else ''}: {first.rstrip('.')}.",
        "It may be cut off or damaged: fetch it again.",
    )


CONTAINERS: Mapping[str, Callable[[Path], Checkpoint]] = MappingProxyType(
    {"tensorflow": _read_tensorflow, "keras": _read_keras}
)
"""How networks were published (`compute.models.published.weight_maps.LAYOUTS`) → how that is
read."""
