"""The files that a card names, found and compared with its hash. No torch."""

from collections.abc import Iterable
from hashlib import sha256 as new_sha256
from pathlib import Path

from compute.errors import InputError
from compute.models.card_files import FoundModel
from compute.storage.atomic_files import sha256


def checked_file(found: FoundModel) -> Path:
    """Return the path of a model's file once it is the one that its card describes.

    Raises
    ------
    InputError
        The file is missing, or is another.
    UsageError
        Its folder is not known.
    """
    path, card = found.weights, found.card
    if not path.is_file():
        raise InputError(f"The weights {path} are missing.", "They belong beside their card.")
    digest = sha256(path)
    if digest != card.sha256:
        raise InputError(
            f"{path} is not the file that the card of {card.name!r} describes: its sha256 is "
            f"{digest}, the card says {card.sha256}.",
            "Fetch or convert the weights again, or correct the card if it should be this file.",
        )
    return path


def listing_digest(folder: Path, files: Iterable[Path]) -> str:
    """Return one SHA-256 for several files of a folder: their contents and names.

    It is that of the list that ``sha256sum`` prints of them when it is called in the folder, a line
    ``digest  name`` for each, in the order of their names as bytes. So anybody can have it from
    ``sha256sum NAME … | sha256sum``.

    Parameters
    ----------
    folder
        The folder.
    files
        Paths in it.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    named = sorted((path.relative_to(folder).as_posix().encode(), path) for path in files)
    lines = b"".join(sha256(path).encode() + b"  " + name + b"\n" for name, path in named)
    return new_sha256(lines).hexdigest()
