"""What is known of whole fields before their pixels are read: files, cells, names. No pixels.

Every layout of fields (`compute.importers.presets`) is listed as `FieldRecord`s, of which
`compute.importers.fields` makes a store. They are sent to other processes, so they hold little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.importers.wording import printable, short_list

Texts = Mapping[str, str | None]
"""Column → text, None where empty: `protein`, `localization`, `orf`, `replicate`, `split`."""

ATTRIBUTES = ("protein", "localization", "orf", "replicate", "split")
"""Columns of `Texts` that the store keeps."""


@dataclass(frozen=True)
class ImageRef:
    """Where an image is.

    Parameters
    ----------
    path
        An image file, or a folder or ZIP archive of Zarr.
    array
        Path of the array in the Zarr; None, the default, for an image file.
    planes
        Which of its channels are taken, from 0, in order; empty for all. None, the default, is for
        a grey image, which may come as colours that are alike.
    colour
        Of an image in colours, which one is taken where it is not grey: 0 red, 1 green, 2 blue;
        None, the default, takes none.
    axes
        A letter for each axis of an array of Zarr, such as ``"CYX"``; empty for an image file,
        which says so itself.
    """

    path: Path
    array: str | None = None
    planes: tuple[int, ...] | None = None
    colour: int | None = None
    axes: str = ""

    def __str__(self) -> str:
        """Return the path in words for a message."""
        inside = f"/{self.array}" if self.array else ""
        return printable(f"{self.path}{inside}")


@dataclass(frozen=True)
class CellRows:
    """Rows about single cells of a field: where they are, or which label each is, and what of it.

    Parameters
    ----------
    centres
        x and y of each cell, pixels from 0, x to the right, shape (n, 2); None, the default, where
        cells have numbers.
    numbers
        Each cell's number in the label image, shape (n,); None, the default, where they have
        centres.
    kinds
        Different rows of `Texts` about cells; empty, the default, where nothing is said.
    kind
        Which of `kinds` each cell has, shape (n,); None, the default, without any.
    """

    centres: NDArray[np.float64] | None = None
    numbers: NDArray[np.int64] | None = None
    kinds: tuple[Texts, ...] = ()
    kind: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class FieldRecord:
    """One field.

    Parameters
    ----------
    name
        Its name in the store.
    images
        An image for each of the source's channels, in their order, None where it is missing; or one
        with all of them.
    labels
        Label image, mask or outlines of its cells; None, the default, where there is none.
    nuclei
        Label image or mask of nuclei, which separate cells that touch; None by default.
    cells
        What is known of single cells; None by default.
    known
        What the source says of the field; nothing by default.
    well
        Its well, by which tables may know it; None by default.
    problem
        Why it cannot be cut; None, the default, if nothing is known against it.
    """

    name: str
    images: tuple[ImageRef | None, ...] = ()
    labels: ImageRef | None = None
    nuclei: ImageRef | None = None
    cells: CellRows | None = None
    known: Texts = field(default_factory=dict)
    well: str | None = None
    problem: str | None = None

    def files(self) -> list[Path]:
        """Return every file that it is read from."""
        refs = (*self.images, self.labels, self.nuclei)
        return [ref.path for ref in refs if ref is not None]


@dataclass(frozen=True)
class FieldListing:
    """The fields of a source.

    Parameters
    ----------
    fields
        In the order of the store.
    channels
        Names of the channels of every field's images; None where the source does not name them.
    count
        Number of channels, where they have no names; 0 by default.
    pixel_size
        Micrometres from pixel to pixel, where the source says it; None by default.
    marker
        Name of the channel that shows whole cells, where the source says it; None by default.
    usual
        Names that channels without names have where nobody says others; None by default.
    notes
        Sentences for the store's description; none by default.
    """

    fields: Sequence[FieldRecord]
    channels: tuple[str, ...] | None
    count: int = 0
    pixel_size: float | None = None
    marker: str | None = None
    usual: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def choose_channels(listing: FieldListing, asked: Sequence[str] | None) -> FieldListing:
    """Keep the channels that are asked for, in that order and under those names.

    Parameters
    ----------
    listing
        The source's fields.
    asked
        Names of channels, or ``NAME=SOURCE`` to give the source's channel another name. In a source
        that does not name its channels, their names in order; images of further ones are not read.
        None takes all as they are called.

    Returns
    -------
    FieldListing
        With names for all of its channels.

    Raises
    ------
    UsageError
        No channel, a repeated name, or one that the source does not have.
    InputError
        The source does not name its channels, and nobody else does.
    """
    if asked is None and listing.channels is None:
        asked = listing.usual
    if asked is None and listing.channels is None:
        number = f"{listing.count} channel{'s' * (listing.count != 1)}"
        raise InputError(
            f"The images do not say what their {number if listing.count else 'channels'} show.",
            "Name them in order with --channels.",
        )
    found = listing.channels
    names, wanted = [], []
    for entry in found if asked is None and found is not None else asked or ():
        name, _, source = entry.partition("=")
        names.append(name.strip())
        wanted.append((source or name).strip())
    if not names or len(set(names)) != len(names) or not all(names):
        raise UsageError(f"Channels {names}: names must be there and differ.")
    if found is None:
        if listing.count and len(names) > listing.count:
            raise UsageError(
                f"{len(names)} names of channels ({', '.join(names)}); the images have "
                f"{listing.count} channels.",
                "Name as many as there are, or fewer.",
            )
        places = list(range(len(names)))
    else:
        missing = [name for name in wanted if name not in found]
        if missing:
            raise UsageError(
                f"No channel {', '.join(map(printable, missing))}; the source has "
                f"{short_list(found, 20)}.",
                "Take some of these (--channels), in any order; NEW=OLD gives one another name.",
            )
        places = [found.index(name) for name in wanted]
    fields = [replace(one, images=_chosen(one.images, places)) for one in listing.fields]
    return replace(listing, fields=fields, channels=tuple(names), count=len(names))


def _chosen(
    images: tuple[ImageRef | None, ...], places: Sequence[int]
) -> tuple[ImageRef | None, ...]:
    if len(images) == 1 and images[0] is not None and images[0].planes is not None:
        planes = images[0].planes
        every = planes or tuple(range(max(places) + 1))
        return (replace(images[0], planes=tuple(every[place] for place in places)),)
    return tuple(images[place] if place < len(images) else None for place in places)
