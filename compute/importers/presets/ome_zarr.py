"""OME-Zarr images, versions 0.4 and 0.5, with labels in them.

What is in it
    A group with `multiscales` (axes, levels, pixel size) and `omero` (names of channels), and below
    it ``labels/<name>``, label images of the same kind. The full-size level is read, of both; it is
    the first of `datasets`, whatever it is called. A folder of several such images, or a ZIP
    archive of one, is read too.
Publication
    Moore and others, "OME-NGFF", Nature Methods 18: 1496, 2021, doi:10.1038/s41592-021-01326-w.
Address
    https://ngff.openmicroscopy.org
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.errors import InputError
from compute.importers.field_record import FieldListing, FieldRecord, ImageRef
from compute.importers.layout import LayoutOptions
from compute.importers.read_refs import open_zarr
from compute.importers.wording import printable, short_list

MICROMETRES = {
    "micrometer": 1.0, "micrometre": 1.0, "µm": 1.0, "nanometer": 1e-3, "nanometre": 1e-3,
    "millimeter": 1e3, "millimetre": 1e3,
}  # fmt: skip
"""Unit of length → micrometres."""


@dataclass(frozen=True)
class Multiscale:
    """The full-size level of an image in a group.

    Parameters
    ----------
    array
        Its path in the group.
    axes
        A letter per axis, such as ``"CYX"``.
    shape
        Its shape.
    names
        Names of its channels; None where it does not say them.
    pixel_size
        Micrometres from pixel to pixel; None where it does not say them.
    """

    array: str
    axes: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None
    pixel_size: float | None

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1


def list_fields(source: Path, options: LayoutOptions) -> FieldListing:
    """List the OME-Zarr images of a source.

    Parameters
    ----------
    source
        The folder or ZIP archive of an image, or a folder of several.
    options
        Its `objects`: which labels are the cells, if there are several.

    Raises
    ------
    InputError
        There is no such image, or no labels in it.
    """
    fields, first = [], None
    for path in _images(source):
        with open_zarr(path) as group:
            image = multiscale(group, "")
            if image is None:
                raise InputError(
                    f"{printable(path)}: a Zarr group without multiscales, so no OME-Zarr image.",
                    "Give the group of one image (of a plate: a field's).",
                )
            labels = _labels(group, path, options.objects)
        name = path.name.removesuffix(".zip").removesuffix(".zarr").removesuffix(".ome")
        problem = None
        if first is None:
            first = image
        elif image.names != first.names:
            problem = "other channels than the first image"
        ref = ImageRef(path, image.array, tuple(range(image.channels)), axes=image.axes)
        label_ref = ImageRef(path, labels.array, axes=labels.axes) if labels else None
        if labels is None:
            problem = problem or "an image without labels"
        fields.append(FieldRecord(name, (ref,), label_ref, problem=problem))
    if first is None:
        raise InputError(f"{printable(source)}: no OME-Zarr image.", "Give its folder.")
    return FieldListing(fields, first.names, first.channels, first.pixel_size)


def multiscale(group: Any, path: str) -> Multiscale | None:
    """Return the full-size level of the image at a path of a group; None where there is none.

    Raises
    ------
    InputError
        Its metadata are not those of OME-Zarr.
    """
    try:
        node = group[path] if path else group
        said = dict(node.attrs)
        said = {**said, **said.get("ome", {})}
        if not said.get("multiscales"):
            return None
        first = said["multiscales"][0]
        axes = [str(axis["name"] if isinstance(axis, dict) else axis) for axis in first["axes"]]
        level = first["datasets"][0]
        inside = f"{path}/{level['path']}" if path else str(level["path"])
        array = group[inside]
        names = [str(one.get("label", "")) for one in said.get("omero", {}).get("channels", ())]
        size = _pixel_size(first, level)
        letters = "".join(name[:1].upper() for name in axes)
        shape = tuple(int(side) for side in array.shape)
        if len(letters) != len(shape) or sorted(letters[-2:]) != ["X", "Y"]:
            raise ValueError(f"axes {', '.join(axes)} of {'×'.join(map(str, shape))} pixels")
    # Whatever is missing or of another kind.
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"OME-Zarr metadata that are not complete at {path or 'the top'}: {error!r}.",
            "Write the image again with an up-to-date program.",
        ) from error
    count = shape[letters.index("C")] if "C" in letters else 1
    good = len(names) == count and all(names) and len(set(names)) == count
    return Multiscale(inside, letters, shape, tuple(names) if good else None, size)


def _pixel_size(first: dict[str, Any], level: dict[str, Any]) -> float | None:
    unit = first["axes"][-1].get("unit") if isinstance(first["axes"][-1], dict) else None
    factor = MICROMETRES.get(str(unit))
    steps = [
        *level.get("coordinateTransformations", ()),
        *first.get("coordinateTransformations", ()),
    ]
    scales = [float(step["scale"][-1]) for step in steps if step.get("type") == "scale"]
    if factor is None or not scales:
        return None
    size = factor
    for scale in scales:
        size *= scale
    return size if size > 0 else None


def _images(source: Path) -> Iterator[Path]:
    if not source.exists():
        raise InputError(f"{printable(source)}: no such file or folder.", "Check the path.")
    marks = ("zarr.json", ".zattrs", ".zgroup")
    if source.is_file() or any((source / mark).is_file() for mark in marks):
        yield source
        return
    for path in sorted(source.iterdir()):
        there = path.is_dir() and any((path / mark).is_file() for mark in marks)
        if there or path.name.casefold().endswith(".zarr.zip"):
            yield path


def _labels(group: Any, path: Path, objects: str | None) -> Multiscale | None:
    """Return the labels of an image; of several, those that are asked for, or called cells."""
    if "labels" not in group:
        return None
    names = sorted(group["labels"].group_keys())
    if not names:
        return None
    return multiscale(group, f"labels/{choose_labels(names, path, objects)}")


def choose_labels(names: list[str], path: Path, objects: str | None) -> str:
    """Return which of several label images shows the cells.

    Raises
    ------
    InputError
        None is called like `objects`, or like cells.
    """
    if objects is not None:
        if objects in names:
            return objects
        raise InputError(
            f"{printable(path)}: no labels called {objects!r}; it has {short_list(names)}.",
            "Name some of these (--objects).",
        )
    if len(names) == 1:
        return names[0]
    cells = [name for name in names if "cell" in name.casefold() or "cyto" in name.casefold()]
    if len(cells) == 1:
        return cells[0]
    raise InputError(
        f"{printable(path)}: several labels, {short_list(names)}.", "Name the cells' (--objects)."
    )
