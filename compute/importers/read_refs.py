"""Reads the images of a field, from image files or from Zarr, as channels of one type.

Zarr comes with the extra ``zarr``. What is wrong with an image is a `CropRejected`.
"""

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.field_record import ImageRef
from compute.importers.mask_files import read_labels
from compute.importers.read_images import LARGEST, CropRejected, Planes, channels_first, read_planes
from compute.importers.tiff import as_stored, fit_planes, stack_channels
from compute.importers.wording import printable


def read_field(
    images: Sequence[ImageRef | None],
    channels: Sequence[str],
    counts: Counter[str],
    project: str | None = None,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read the channels of a field in a type that a store can hold.

    Parameters
    ----------
    images
        One for each channel, or one with all of them.
    channels
        Their names.
    counts
        Gets what was done (`compute.importers.tiff.READ_AS`).
    project
        See `compute.importers.read_images.read_planes`.

    Returns
    -------
    image, types
        See `compute.importers.tiff.read_channels`.

    Raises
    ------
    CropRejected
        An image is missing or cannot be read, or they are not the channels of one field.
    """
    if len(images) == 1:
        # One file with all of them.
        missing = list(channels) if images[0] is None else []
    elif len(images) == len(channels):
        missing = [name for name, ref in zip(channels, images, strict=True) if ref is None]
    else:
        raise CropRejected(
            f"{len(images)} images for {len(channels)} channels",
            remedy="Name as many channels as there are (--channels).",
        )
    if missing:
        raise CropRejected(
            f"a field without its image of {', '.join(missing)}",
            remedy="Check its files, or take other channels (--channels).",
        )
    read = [_read(ref, counts, project) for ref in images if ref is not None]
    stored = stack_channels([as_stored(image) for image in read], len(channels))
    types = tuple("float32" if i.dtype == np.float64 else i.dtype.name for i in read)
    return stored, types


def read_field_labels(ref: ImageRef, how: set[str] | None = None) -> NDArray[Any]:
    """Read a label image of a field as it is, shape (H, W).

    Parameters
    ----------
    ref
        Where it is.
    how
        See `compute.importers.mask_files.read_labels`.

    Raises
    ------
    CropRejected
        It is unreadable, or has several planes.
    """
    if ref.array is None:
        return read_labels(ref.path, "label image", how)
    planes = _zarr_planes(ref, None)
    if len(planes.pixels) != 1:
        raise CropRejected(f"label image: {len(planes.pixels)} planes; 1 expected")
    return np.asarray(planes.pixels[0])


@contextmanager
def open_zarr(path: Path) -> Iterator[Any]:
    """Open a folder, or a ZIP archive of one, as a group of Zarr, formats 2 and 3.

    Parameters
    ----------
    path
        The folder of the group; or an archive that holds the group, or one folder with it.

    Yields
    ------
    zarr.Group
        To be read only.

    Raises
    ------
    InputError
        The extra is not installed, or there is no such group.
    """
    try:
        import zarr
        from zarr.storage import LocalStore, ZipStore
    except ImportError as error:
        raise InputError(
            f"{path}: Zarr needs a further package.", 'pip install "bystander[zarr]"'
        ) from error
    try:
        if path.is_dir():
            store: Any = LocalStore(path, read_only=True)
            yield zarr.open_group(store, mode="r")
            return
        with zipfile.ZipFile(path) as archive:
            tops = {name.split("/")[0] for name in archive.namelist() if "/" in name}
            bare = any("/" not in name for name in archive.namelist())
        inside = "" if bare or len(tops) != 1 else tops.pop()
        store = ZipStore(path, read_only=True)
        try:
            yield zarr.open_group(store, mode="r", path=inside)
        finally:
            store.close()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{printable(path)} cannot be read as Zarr: {error}.",
            "Give the folder that holds .zattrs or zarr.json, or a ZIP archive of it.",
        ) from error


def _read(ref: ImageRef, counts: Counter[str], project: str | None) -> NDArray[Any]:
    """Return the pixels of an image, shape (C, H, W)."""
    planes = read_planes(ref.path, project) if ref.array is None else _zarr_planes(ref, project)
    if ref.colour is not None and len(planes.pixels) in (3, 4):
        counts.update(["lossy"] * planes.lossy)
        pixels = planes.pixels
        if (pixels[:3] == pixels[:1]).all():
            counts["grey colours"] += 1
            return pixels[:1]
        counts["colour"] += 1
        return pixels[ref.colour : ref.colour + 1]
    if ref.planes is None:
        return fit_planes(planes, 1, counts, project)
    counts.update(["projected"] * planes.projected + ["lossy"] * planes.lossy)
    pixels = planes.pixels
    if not ref.planes:
        return pixels
    if max(ref.planes) >= len(pixels):
        # Nothing in a plain file says which axis the channels are.
        if not planes.named and pixels.shape[2] > max(ref.planes) and pixels.shape[2] <= 16:
            pixels = np.moveaxis(pixels, 2, 0)
        else:
            raise CropRejected(
                f"{len(pixels)} channels; channel {max(ref.planes) + 1} expected",
                remedy="Name as many channels as the files have (--channels).",
            )
    return pixels[list(ref.planes)]


def _zarr_planes(ref: ImageRef, project: str | None) -> Planes:
    try:
        with open_zarr(ref.path) as group:
            array = group[ref.array]
            if int(np.prod(array.shape)) > LARGEST:
                raise CropRejected(
                    "far larger than a field", f"shape {'×'.join(map(str, array.shape))}"
                )
            image = np.asarray(array[...])
    except CropRejected:
        raise
    except InputError as error:
        raise CropRejected("an image of Zarr that cannot be opened", str(error)) from error
    # Codecs of a damaged chunk fail in every way there is.
    except Exception as error:
        detail = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else ""
        raise CropRejected("unreadable or cut-off image of Zarr", detail) from error
    if image.size == 0:
        raise CropRejected("an image without pixels")
    axes = ref.axes or ("Q" * image.ndim + "YX")[-image.ndim :]
    if axes.endswith("XY"):
        image, axes = image.swapaxes(-1, -2), f"{axes[:-2]}YX"
    return channels_first(image, axes, project)
