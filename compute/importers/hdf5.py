"""Opens data sets of HDF5 that lie in the very file, no link, and are as large as they claim."""

import math
from pathlib import Path

import h5py

from compute.amounts import size
from compute.errors import InputError

BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises about a damaged file."""

DENSEST = 1100
"""Bytes that one compressed byte can stand for: DEFLATE's 1032, rounded up (zlib's FAQ)."""

SMALL = 10**6
"""Bytes that a data set may claim whatever it holds, as one that was never written."""


def own_dataset(path: Path, file: h5py.File, name: str, remedy: str) -> h5py.Dataset:
    """Return a data set that lies in this very file.

    Parameters
    ----------
    path, file
        The file.
    name
        Path of the data set in it.
    remedy
        What to do where there is none, in a sentence.

    Raises
    ------
    InputError
        There is no such data set, or it is a link, virtual, kept in another file, or claims more
        than it can hold.
    """
    group: h5py.Group = file
    *folders, last = name.split("/")
    for part in (*folders, last):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            raise InputError(
                f"{path}: no data set {name}; it has {', '.join(file) or 'none'}.", remedy
            )
        # A link may lead to any file on this machine, which nobody has asked to read.
        if not isinstance(link, h5py.HardLink):
            raise InputError(
                f"{path}: {name} is a link to elsewhere.", "Copy the data into the file."
            )
        group = group[part]
    if not isinstance(group, h5py.Dataset):
        raise InputError(f"{path}: {name} is no data set.", remedy)
    refuse_foreign(path, group, name)
    return group


def refuse_foreign(path: Path, dataset: h5py.Dataset, name: str, most: float = math.inf) -> None:
    """Refuse a data set that does not lie in its file whole, before any of it is read.

    Parameters
    ----------
    path, dataset, name
        The file, the data set and its path in it.
    most
        Bytes that it may hold; any number by default.

    Raises
    ------
    InputError
        It is virtual or kept in another file, or claims more bytes than are stored or than `most`.
    """
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{path}: {name} does not hold its data.", "Copy them into the file.")
    claimed = math.prod(dataset.shape or (0,)) * dataset.dtype.itemsize
    stored = min(dataset.id.get_storage_size(), path.stat().st_size)
    held = stored * (DENSEST if dataset.chunks else 1)
    if claimed > most or claimed > max(held, SMALL):
        raise InputError(
            f"{path}: {name} claims {size(claimed)}, of which {size(stored)} are stored.",
            "It may be cut off or damaged: fetch it again.",
        )


def refuse_links(
    path: Path, file: h5py.File, name: str, remedy: str, most: float = math.inf
) -> None:
    """Refuse a group that leads out of its file anywhere, or that is not there.

    Parameters
    ----------
    path, file, name, remedy
        See `own_dataset`; `name` is the group's, empty for the whole file.
    most
        Bytes that a data set may hold; any number by default.

    Raises
    ------
    InputError
        Names what leads elsewhere, or claims more than it holds.
    """
    if name and not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: no {name} in it.", remedy)
    # h5py's own walk leaves out links, so that they would be followed unseen.
    waiting = [name] if name else list(file)
    groups: set[int] = set()
    for item in waiting:
        hard = isinstance(file.get(item, getlink=True), h5py.HardLink)
        node = file[item] if hard else None
        if isinstance(node, h5py.Group):
            address = h5py.h5o.get_info(node.id).addr
            # A group that holds itself has no end.
            node = None if address in groups else node
            groups.add(address)
        if node is None:
            raise InputError(f"{path}: {item} leads elsewhere.", "Copy the data into the file.")
        if isinstance(node, h5py.Dataset):
            refuse_foreign(path, node, item, most)
        if isinstance(node, h5py.Group):
            waiting += [f"{item}/{part}" for part in node]
