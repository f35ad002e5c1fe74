"""The file that a card names, found and compared with its hash. No torch."""

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
