"""The file of a Python module, found as an import would find it, without running anything.

Layer: looks for files and reads them; needs no torch.
"""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

from compute.storage.atomic_files import sha256


def module_file(name: str, folder: Path) -> Path | None:
    """Find the file of a module: in a folder first, then where Python looks.

    The packages around it are not imported, as `importlib.util.find_spec` would.

    Parameters
    ----------
    name
        Dotted name.
    folder
        Whose modules are found first.

    Returns
    -------
    Path or None
        The module's `.py` file, of a package its `__init__.py`; None where there is none.
    """
    places: list[str] | None = [str(folder.resolve()), *sys.path]
    file = None
    for part in name.split("."):
        found = None if places is None else PathFinder.find_spec(part, places)
        if found is None:
            return None
        inside = found.submodule_search_locations
        places = None if inside is None else list(inside)
        file = found.origin if found.has_location else None
    return Path(file) if file else None


def code_hash(source: str, folder: Path) -> str:
    """Return the SHA-256 of the file of ``module:function``; empty where it cannot be found."""
    path = module_file(source.partition(":")[0], folder)
    return sha256(path) if path is not None and path.is_file() else ""
