"""Reading published weight files: TensorFlow checkpoints and Keras HDF5, never a pickle.

Layer: a path in; out come arrays by the name of their variable (channels last, as stored), for
`compute.models.published.weight_maps.from_published`. Needs no torch. What can be told from the
files alone (a missing data file, a cut-off file, another format) is told before TensorFlow is
loaded.
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
from compute.importers.hdf5 import BROKEN, refuse_links
from compute.storage.regular_files import refuse_special

Array = NDArray[Any]

TABLE_END = bytes.fromhex("57fb808b247547db")
"""Last bytes of a whole TensorFlow table (`kTableMagicNumber` in its `table/format.h`): of an
`.index` file and of a checkpoint in the older one-file format."""

HDF5_START = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file (its format signature)."""

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
"""First bytes of files of other formats, and what these are, for messages."""

PICKLED = (".pkl", ".pickle", ".joblib")
"""Endings of file names that pickles have."""

MOST_BYTES = 10**12
"""What one variable of a Keras file may hold; the largest published one has some megabytes."""

_DATA_FILE = re.compile(r"(?P<prefix>.+)\.data-(?P<number>\d{5})-of-(?P<count>\d{5})")


@dataclass(frozen=True)
class Checkpoint:
    """The variables of a checkpoint.

    Parameters
    ----------
    files
        The files they come from; the first names all variables.
    variables
        Arrays as stored, by name. Those of TensorFlow are read when they are asked for, so the
        optimiser's never are.
    elsewhere
        Names of the file's groups that are no weights and not among the variables; none by
        default.
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
        Of Keras weights, the file. Of a TensorFlow checkpoint, its prefix, any of its files, or
        a folder that holds one checkpoint.

    Returns
    -------
    Checkpoint
        Its variables.

    Raises
    ------
    UsageError
        The container does not exist, or TensorFlow is needed and not installed.
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
        The prefix (what the names of all files begin with), one of the files, or a folder that
        holds one checkpoint.

    Returns
    -------
    prefix : Path
        The prefix.
    files : tuple of Path
        The index and the data files, or the one file of the older format.

    Raises
    ------
    InputError
        A file is missing, cut off or of another format.
    """
    prefix = _prefix(path)
    index = prefix.with_name(f"{prefix.name}.index")
    if index.is_file():
        _require_table(index)
        return prefix, (index, *_data_files(prefix))
    if prefix.is_file():
        _require_table(prefix)
        return prefix, (prefix,)
    data_files = sorted(prefix.parent.glob(f"{_escaped(prefix.name)}.data-*"))
    if data_files:
        raise InputError(
            f"{index} is missing; {data_files[0].name} is there.",
            "A checkpoint is an .index file and its .data files: put them into one folder.",
        )
    raise InputError(
        f"There is no TensorFlow checkpoint {prefix}: neither that file nor {index.name}.",
        "Give the part of the file names before .index and .data-00000-of-…",
    )


def _prefix(path: Path) -> Path:
    """Return the prefix of a checkpoint from any of its files or its folder."""
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
    data_file = _DATA_FILE.fullmatch(path.name)
    return path.with_name(data_file["prefix"]) if data_file else path


def _data_files(prefix: Path) -> tuple[Path, ...]:
    """Return all data files, of which their names say how many there are; none may be missing."""
    counts: dict[int, set[int]] = {}
    for file in prefix.parent.glob(f"{_escaped(prefix.name)}.data-*"):
        found = _DATA_FILE.fullmatch(file.name)
        if found and found["prefix"] == prefix.name:
            counts.setdefault(int(found["count"]), set()).add(int(found["number"]))
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
    """Return a name such that `glob` takes every character of it as it is."""
    return re.sub(r"([\[*?])", r"[\1]", name)


def _require_table(path: Path) -> None:
    """Refuse a file that does not end as a TensorFlow table does."""
    refuse_special(path)
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
    """Return what a file is by its name and first bytes; None where that is not known."""
    if path.suffix.lower() in PICKLED:
        return "a pickle"
    return next((what for begin, what in FOREIGN if start.startswith(begin)), None)


def _remedy(what: str, wanted: str) -> str:
    """Say what to do about a file that is `what` where `wanted` is read."""
    if "pickle" in what or "zip" in what:
        return (
            f"Such files can run code when loaded, and are never opened here: give {wanted} as "
            "its authors published it."
        )
    return f"Give {wanted} as its authors published it, or fetch it again."


class _Variables(Mapping[str, Array]):
    """Variables of a TensorFlow checkpoint, each read when it is asked for."""

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
    """Open a TensorFlow checkpoint of either format."""
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
    """Read a Keras HDF5 file, of weights alone or of a whole model.

    Keras puts `layer/variable` into a group named by the layer; its list of layers is the
    attribute `layer_names`.
    """
    if path.suffix == ".index" or _DATA_FILE.fullmatch(path.name):
        raise InputError(
            f"{path} belongs to a TensorFlow checkpoint.", "Give Keras weights: an .h5 file."
        )
    refuse_special(path)
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
            below = "model_weights" if "model_weights" in file else ""
            refuse_links(path, file, below, "Fetch the file again.", most=MOST_BYTES)
            if below:
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
    except BROKEN as error:
        raise _unreadable(path, error) from error
    return Checkpoint((path,), variables, elsewhere)


def _datasets(weights: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield a file's datasets by name without the layer's group."""
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name.partition("/")[2] or name, item))

    weights.visititems(visit)
    yield from found


def _unreadable(path: Path, error: Exception, variable: str = "") -> InputError:
    """Make the error of a file, or of one variable in it, that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"There is no file {path}.", "Check the path.")
    reason = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    first = str(reason).strip().splitlines()[0] if str(reason).strip() else type(error).__name__
    return InputError(
        f"{path} cannot be read{f' at {variable}' if variable else ''}: {first.rstrip('.')}.",
        "It may be cut off or damaged: fetch it again.",
    )


CONTAINERS: Mapping[str, Callable[[Path], Checkpoint]] = MappingProxyType(
    {"tensorflow": _read_tensorflow, "keras": _read_keras}
)
"""What reads each kind of file in which networks were published; see
`compute.models.published.weight_maps.LAYOUTS`."""
