"""What the first crops of a source say of all: their side, or why not one can be read. No files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.read_images import CropRejected

SAMPLED = 64
"""Crops that are read first: the most common size among them is that of the store."""

LARGEST_CROP = 1024
"""Largest side of a crop of one cell, pixels."""

FIELDS_INSTEAD = (
    "Cut a crop around each cell, or give whole fields with label images to `bystander import "
    "fields`."
)
"""What to do with images of many cells."""


@dataclass(frozen=True)
class Unread:
    """A crop of a source that could not be read, when the first of them were looked at.

    Parameters
    ----------
    where
        Its row, folder or file, in words.
    why
        Why.
    """

    where: str
    why: CropRejected


def common_size(
    images: Iterable[NDArray[Any] | Unread], source: Path, *, any_size: bool = False
) -> int:
    """Return the side, in pixels, of most of the first `SAMPLED` crops.

    Parameters
    ----------
    images
        Pixels of shape (C, H, W), or what is known of a crop that could not be read.
    source
        Folder or table that they are from, for the message.
    any_size
        Whether they will be cut or padded, so that they need not be squares. False by default.

    Raises
    ------
    InputError
        Most crops are not square or are whole fields, or none of the first could be read: then the
        first one's reason is given.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    unread: list[Unread] = []
    for image in images:
        if isinstance(image, Unread):
            unread = unread or [image]
            continue
        sizes[image.shape[1], image.shape[2]] += 1
        if sizes.total() == SAMPLED:
            break
    if not sizes:
        raise nothing_read(source, "crop", unread)
    (height, width), count = sizes.most_common(1)[0]
    most = f"most crops ({count} of the first {sizes.total()}) are {height}×{width} pixels"
    if max(height, width) > LARGEST_CROP:
        raise InputError(
            f"{source}: {most}, which are whole fields; a crop of one cell has at most "
            f"{LARGEST_CROP}×{LARGEST_CROP}.",
            FIELDS_INSTEAD,
        )
    if height != width and not any_size:
        raise InputError(
            f"{source}: {most}; a store needs square crops.", "Cut or pad them to squares (--size)."
        )
    return int(height)


def nothing_read(source: Path, what: str, unread: Sequence[Unread]) -> InputError:
    """Return the error of a source of which nothing can be read, with the first one's reason.

    Parameters
    ----------
    source
        Folder or table.
    what
        ``"crop"`` or ``"field"``.
    unread
        Those that could not be read, of which the first counts; none where there are none.
    """
    if not unread:
        return InputError(f"{source}: there is no {what}.", "Check the source.")
    first = unread[0]
    detail = f" ({first.why.detail})" if first.why.detail else ""
    return InputError(
        f"{source}: not one {what} could be read. The first, {first.where}: "
        f"{first.why.reason}{detail}.",
        first.why.remedy or "Check the files.",
    )
