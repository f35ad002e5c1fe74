"""How raw crops are scaled before a network reads them: as publications do, and in common ways.

Layer: pure tensor functions; importing this loads no torch. Every function maps raw N×C×H×W float32
images to scaled ones of the same shape, each crop by itself. Offsets and gains are taken from
`reference`: by default the images themselves (the published behaviour, in which a bright neighbour
dims the centre cell), or, with locked normalisation, the unaltered crops of the same cells.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from compute.errors import UsageError, unknown_value

if TYPE_CHECKING:
    from torch import Tensor

LOW, HIGH = 0.1, 99.9
"""DeepLoc's percentiles: `stretchLow` and `stretchHigh` in `DeepLoc_train.py` of
github.com/okraus/DeepLoc."""

LEAST = 1.0
"""DeepLoc's scaling divides by a range of percentiles only where that exceeds this."""

LEAST_RANGE: Mapping[str, float] = MappingProxyType({"deeploc": LEAST})
"""Scalings that leave crops as they are whose intensities span no more than this."""

_PIXELS = (-2, -1)
_CROP = (-3, -2, -1)


class Scaling(Protocol):
    """A function in `SCALINGS`."""

    def __call__(self, images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
        """Scale N×C×H×W images by offsets and gains taken from `reference`."""


def scale_min_max(images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
    """Bring each channel of each crop to 0–1, as Paired Cell Inpainting does.

    Parameters
    ----------
    images
        N×C×H×W, raw, float32.
    reference
        Crops whose minimum and maximum are used, N×C×H×W (default: `images`).

    Returns
    -------
    Tensor
        N×C×H×W; constant channels become 0. Beyond 0–1 where `images` leave the reference's range.

    Raises
    ------
    UsageError
        `images` is not N×C×H×W, or `reference` is of another shape.

    Source
    ------
    `rescale_intensity(…, out_range=(0, 1))` in `yeast_model/extract_features.py` of
    github.com/alexxijielu/paired_cell_inpainting.
    """
    low, gain = _min_and_gain(reference_of(images, reference))
    return (images - low).mul_(gain)


def scale_pifia(images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
    """Bring each crop to 0–1, then to mean 0 and standard deviation 1, as PIFiA does.

    The range is per channel, mean and deviation over the crop's channels together, as published;
    with PIFiA's single channel that is the same. The deviation counts as at least 1/√pixels.

    Parameters
    ----------
    images
        N×C×H×W, raw, float32.
    reference
        Crops whose range, mean and deviation are used, N×C×H×W (default: `images`).

    Returns
    -------
    Tensor
        N×C×H×W; constant crops become 0.

    Raises
    ------
    UsageError
        `images` is not N×C×H×W, or `reference` is of another shape.

    Source
    ------
    `decode_img_py_func` and `standardize_im` (`tf.image.per_image_standardization`) in
    `model/dataset_utils.py` of github.com/arazd/pifia.
    """
    source = reference_of(images, reference)
    low, gain = _min_and_gain(source)
    # In place: asking for memory takes longer than what is computed.
    scaled = (source - low).mul_(gain)
    mean = scaled.mean(dim=_CROP, keepdim=True)
    deviation = scaled.sub_(mean).square().mean(dim=_CROP, keepdim=True).sqrt()
    floor = 1 / math.sqrt(math.prod(images.shape[1:]))
    if source is not images:
        scaled = (images - low).mul_(gain).sub_(mean)
    return scaled.div_(deviation.clamp(min=floor))


def scale_deeploc(images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
    """Clip each channel to its percentiles 0.1–99.9 and stretch it, as DeepLoc does.

    The low percentile is subtracted; the rest divided by the percentiles' range where that
    exceeds 1. Done on the whole crop: its 60×60 windows are cut out afterwards.

    Parameters
    ----------
    images
        N×C×H×W, raw, float32.
    reference
        Crops whose percentiles are used, N×C×H×W (default: `images`).

    Returns
    -------
    Tensor
        N×C×H×W; constant channels become 0.

    Raises
    ------
    UsageError
        `images` is not N×C×H×W, or `reference` is of another shape.

    Source
    ------
    `stretchVector` in `preprocess_images.py` of github.com/okraus/DeepLoc. That function clips
    the high end only, so the darkest 0.1% of pixels (4 of 4,096) end a little below 0 there.
    """
    low, high = _percentiles(reference_of(images, reference))
    span = high - low
    return images.clamp(min=low, max=high).sub_(low).div_(span.where(span > LEAST, 1.0))


def scale_min_max_all(images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
    """Bring each crop to 0–1 by the minimum and maximum over all of its channels together.

    Arguments and errors as in `scale_min_max`; constant crops become 0.

    Source
    ------
    `min_max_standardize` of github.com/CellProfiling/SubCellPortable, for a whole crop.
    """
    low, gain = _min_and_gain(reference_of(images, reference), _CROP)
    return (images - low).mul_(gain)


def scale_z_score(images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
    """Bring each channel of each crop to mean 0 and standard deviation 1.

    Arguments and errors as in `scale_min_max`; constant channels become 0. The deviation is that of
    all pixels, of which there is one sample only (divided by their number).
    """
    source = reference_of(images, reference)
    mean = source.mean(dim=_PIXELS, keepdim=True)
    deviation = (source - mean).square_().mean(dim=_PIXELS, keepdim=True).sqrt_()
    return (images - mean).div_(deviation + 1e-7)


def scale_percentiles(
    images: "Tensor",
    reference: "Tensor | None" = None,
    percentiles: tuple[float, float] = (LOW, HIGH),
) -> "Tensor":
    """Clip each channel of each crop to two percentiles and bring them to 0 and 1.

    Arguments and errors as in `scale_min_max`; channels whose percentiles are equal become 0.

    Parameters
    ----------
    percentiles
        Low and high; 0.1 and 99.9 by default.
    """
    low, high = _two_percentiles(reference_of(images, reference), percentiles)
    span = high - low
    return images.clamp(min=low, max=high).sub_(low).div_(span.where(span > 0, 1.0))


def scale_range(
    images: "Tensor", reference: "Tensor | None" = None, value_range: tuple[float, float] = (0, 1)
) -> "Tensor":
    """Bring fixed intensities to 0 and 1, the same of all crops; nothing is clipped.

    Arguments and errors as in `scale_min_max`; with a fixed range a reference changes nothing.

    Parameters
    ----------
    value_range
        What becomes 0 and what becomes 1; 65535 is the largest of 16 bits.
    """
    reference_of(images, reference)
    return (images - value_range[0]).div_(value_range[1] - value_range[0])


def scale_none(images: "Tensor", reference: "Tensor | None" = None) -> "Tensor":
    """Leave intensities as they are. Arguments and errors as in `scale_min_max`."""
    reference_of(images, reference)
    return images


SCALINGS: Mapping[str, Scaling] = MappingProxyType(
    {
        "pifia": scale_pifia,
        "paired_cell": scale_min_max,
        "deeploc": scale_deeploc,
        "min_max": scale_min_max,
        "min_max_all": scale_min_max_all,
        "z_score": scale_z_score,
        "percentiles": scale_percentiles,
        "range": scale_range,
        "none": scale_none,
    }
)
"""Every scaling by the name that model cards use."""

PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"percentiles": ("percentiles",), "range": ("value_range",)}
)
"""Fields of a card that are numbers of a scaling, by its name."""


def scaling_named(name: str, **numbers: tuple[float, ...]) -> Scaling:
    """Find a scaling by name.

    Parameters
    ----------
    name
        Key of `SCALINGS`.
    **numbers
        Its numbers, by a name of `PARAMETERS`; an empty tuple leaves them as by default.

    Raises
    ------
    UsageError
        The scaling does not exist.
    """
    if name not in SCALINGS:
        raise unknown_value("scaling", name, SCALINGS)
    scaling: Callable[..., Tensor] = SCALINGS[name]
    given = {key: numbers[key] for key in PARAMETERS.get(name, ()) if numbers.get(key)}
    return partial(scaling, **given) if given else scaling


def reference_of(images: "Tensor", reference: "Tensor | None") -> "Tensor":
    """Return what offsets and gains are taken from: `reference`, or without one the images.

    Raises
    ------
    UsageError
        `images` is not N×C×H×W, or `reference` is of another shape.
    """
    source = images if reference is None else reference
    if images.ndim != 4 or source.shape != images.shape:
        raise UsageError(
            f"Images of shape {tuple(images.shape)} cannot be scaled by a reference of shape "
            f"{tuple(source.shape)}.",
            "Both must be N×C×H×W, the reference holding each cell's unaltered crop.",
        )
    return source


def _min_and_gain(source: "Tensor", over: tuple[int, ...] = _PIXELS) -> "tuple[Tensor, Tensor]":
    """Return minimum and 1/range, per channel N×C×1×1 by default; the gain of a constant is 1."""
    low = source.amin(dim=over, keepdim=True)
    span = source.amax(dim=over, keepdim=True) - low
    return low, span.where(span > 0, 1.0).reciprocal()


def _percentiles(source: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return percentiles LOW and HIGH per channel, N×C×1×1, as `numpy.percentile` does.

    Only the few most extreme pixels are sorted, which is faster.
    """
    pixels = source.flatten(2)
    last = pixels.shape[-1] - 1
    position = LOW / 100 * last
    below, between = int(position), position - int(position)
    count = min(below + 2, last + 1)
    lowest = pixels.topk(count, largest=False).values
    highest = pixels.topk(count, largest=True).values
    # The two percentiles lie symmetrically, so both are at the same rank from their own end.
    upper = min(below + 1, last)
    low, high = (
        end[..., below].lerp(end[..., upper], between)[..., None, None] for end in (lowest, highest)
    )
    return low, high


def _two_percentiles(source: "Tensor", percentiles: tuple[float, float]) -> "tuple[Tensor, Tensor]":
    """Return two percentiles per channel, N×C×1×1, as `numpy.percentile` does."""
    pixels = source.flatten(2).sort(dim=-1).values
    last = pixels.shape[-1] - 1
    found = []
    for percentile in percentiles:
        position = percentile / 100 * last
        below = min(int(position), last)
        above = min(below + 1, last)
        found.append(pixels[..., below].lerp(pixels[..., above], position - below)[..., None, None])
    return found[0], found[1]
