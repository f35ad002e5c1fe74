"""Opens data sets of HDF5 that lie in the very file, and not behind a link."""

from pathlib import Path

import h5py

from compute.errors import InputError

BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises about a damaged file."""


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
        There is no such data set, or it is a link, virtual, or kept in another file.
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
    if not isinstance(group, h5py.Dataset) or group.external or group.is_virtual:
        raise InputError(f"{path}: {name} does not hold its data.", "Copy them into the file.")
    return group


def refuse_links(path: Path, file: h5py.File, name: str, remedy: str) -> None:
    """Refuse a group that leads out of its file anywhere, or that is not there.

    Parameters
    ----------
    path, file, name, remedy
        See `own_dataset`; `name` is the group's.

    Raises
    ------
    InputError
        Names what leads elsewhere.
    """
    if name not in file or not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: no {name} in it.", remedy)
    # h5py's own walk leaves out links, so that they would be followed unseen.
    waiting = [name]
    groups: set[int] = set()
    for item in waiting:
        hard = isinstance(file.get(item, getlink=True), h5py.HardLink)
        node = file[item] if hard else None
        if isinstance(node, h5py.Group):
            address = h5py.h5o.get_info(node.id).addr
            # A group that holds itself has no end.
            node = None if address in groups else node
            groups.add(address)
        if node is None or (isinstance(node, h5py.Dataset) and (node.external or node.is_virtual)):
            raise InputError(f"{path}: {item} leads elsewhere.", "Copy the data into the file.")
        if isinstance(node, h5py.Group):
            waiting += [f"{item}/{part}" for part in node]
