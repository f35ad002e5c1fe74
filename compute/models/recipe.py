"""How scaled crops become a network's input, and what it answers an embedding: names and functions.

Layer: pure tensor functions; importing this loads no torch. Crops are N×C×H×W, a network's input is
N×I×h×w, what a layer gives is a map N×K×h×w, tokens N×T×K, or vectors N×K.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from compute.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NO_CHANNEL = "none"
"""In a card's `channels`: a channel that the store lacks, and the network gets as zeros."""

INPUTS = 3
"""Channels of a network's input where a card does not say and each pass has its own: red, green,
blue."""

WINDOWS: Mapping[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        "centre": ((0.5, 0.5),),
        "five": ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)),
    }
)
"""Where the network's input is cut from the crop: rows and columns as shares of the margin.

With more than one window their embeddings are averaged: `extractCrops` in DeepLoc's
`preprocess_images.py` takes the centre and the four corners.
"""

FITS: Mapping[str, str] = MappingProxyType(
    {
        "cut": "its windows are cut from the crop",
        "pad": "the crop stands in its middle, with its darkest value around it, or is cut",
        "resize": "the crop is brought to its size",
    }
)
"""How a crop comes to the side of the network's input, in words, by the name that cards use."""

INTERPOLATIONS = ("bilinear", "bicubic")
"""How pixels between pixels are found; both look at every pixel where a crop gets smaller."""


@dataclass(frozen=True)
class ChannelUse:
    """How channels reach a network.

    Parameters
    ----------
    words
        What is done, for people.
    at_a_time
        Channels in a pass; 0 for all of them.
    averaged
        Whether embeddings of several passes are averaged; else they are joined.
    """

    words: str
    at_a_time: int
    averaged: bool = False


CHANNEL_USES: Mapping[str, ChannelUse] = MappingProxyType(
    {
        "together": ChannelUse("all channels together, one for each of the network's inputs", 0),
        "repeated": ChannelUse("one channel, repeated for each of the network's inputs", 1),
        "each_joined": ChannelUse("a pass for each channel, embeddings joined", 1),
        "each_averaged": ChannelUse("a pass for each channel, embeddings averaged", 1, True),
        "threes_joined": ChannelUse("a pass for every three channels, embeddings joined", 3),
        "threes_averaged": ChannelUse(
            "a pass for every three channels, embeddings averaged", 3, True
        ),
    }
)
"""Every way by the name that cards use."""


@dataclass(frozen=True)
class Pooling:
    """How what a layer gives becomes an embedding.

    Parameters
    ----------
    words
        What is done, for people.
    of_map
        From N×K×P, pixels or patches in rows and columns flattened, and weights N×P, 1×P or None,
        to N×K (N×2K where two are joined); None where it takes no map.
    by_mask
        Whether it needs the centre cell's mask: `of_map` gets the share of each place that lies in
        it as weights.
    by_place
        Whether it looks at the middle of the map alone: `of_map` gets 1 for places there, 0 for
        others.
    """

    words: str
    of_map: "Callable[[Tensor, Tensor | None], Tensor] | None"
    by_mask: bool = False
    by_place: bool = False


def _mean_inside(values: "Tensor", weights: "Tensor | None") -> "Tensor":
    """Average places by their weight; all alike where none has any."""
    if weights is None:
        raise InputError("Pooling inside the mask needs masks.", "Give the crops' masks.")
    total = weights.sum(1, keepdim=True)
    share = (weights / total.clamp(min=1e-12)).where(total > 0, 1 / weights.shape[1])
    return (values * share[:, None].to(values.dtype)).sum(2)


def _max_inside(values: "Tensor", weights: "Tensor | None") -> "Tensor":
    """Take the maximum over places with a weight of half or more, or as far as any has one."""
    if weights is None:
        raise InputError("Pooling inside the mask needs masks.", "Give the crops' masks.")
    inside = weights >= weights.amax(1, keepdim=True).clamp(max=0.5)
    return values.masked_fill(~inside[:, None], float("-inf")).amax(2)


def _both_inside(values: "Tensor", weights: "Tensor | None") -> "Tensor":
    """Join the maximum and the mean."""
    import torch

    return torch.cat([_max_inside(values, weights), _mean_inside(values, weights)], dim=1)


CLASS_TOKEN = "class_token"

MIDDLE = 0.5
"""Width of the middle of a map, as a share of the map's; a disc."""

POOLINGS: Mapping[str, Pooling] = MappingProxyType(
    {
        "max": Pooling("the maximum over pixels or patches", lambda v, _: v.amax(dim=2)),
        "mean": Pooling("the mean over pixels or patches", lambda v, _: v.mean(dim=2)),
        "max_in_mask": Pooling("the maximum inside the mask", _max_inside, by_mask=True),
        "mean_in_mask": Pooling("the mean inside the mask", _mean_inside, by_mask=True),
        "max_in_middle": Pooling("the maximum over the middle", _max_inside, by_place=True),
        "mean_in_middle": Pooling("the mean over the middle", _mean_inside, by_place=True),
        "both_in_middle": Pooling(
            "the maximum and the mean over the middle, joined", _both_inside, by_place=True
        ),
        CLASS_TOKEN: Pooling("the class token", None),
    }
)
"""Every pooling by the name that cards use; vectors are taken as they are."""


def pool(values: "Tensor", pooling: str, prefix: int = 0, mask: "Tensor | None" = None) -> "Tensor":
    """Turn what a layer gives into embeddings.

    Parameters
    ----------
    values
        A map N×K×h×w, tokens N×T×K, or vectors N×K.
    pooling
        Key of `POOLINGS`.
    prefix
        Tokens before those of the patches; 0 by default.
    mask
        Share of each pixel of the network's input that lies in the centre cell's mask, N×h×w; None,
        the default, where the pooling needs none.

    Returns
    -------
    Tensor
        N×K, or N×2K where two are joined.

    Raises
    ------
    InputError
        The layer gives something that cannot be pooled so.
    """
    chosen = POOLINGS[pooling]
    if values.ndim == 2:
        return values
    if values.ndim == 3:
        if pooling == CLASS_TOKEN:
            if prefix < 1:
                raise InputError("This layer has no class token.", 'Write pooling = "mean".')
            return values[:, 0]
        values = values[:, prefix:].movedim(1, 2)
        side = round(values.shape[2] ** 0.5)
        grid = (side, side) if side * side == values.shape[2] else None
    elif values.ndim == 4:
        grid = (values.shape[2], values.shape[3])
        values = values.flatten(2)
    else:
        raise InputError(
            f"The layer gives an array of {values.ndim} dimensions.",
            "Name a layer that gives a map (N×K×h×w), tokens (N×T×K) or vectors (N×K).",
        )
    if chosen.of_map is None or ((chosen.by_mask or chosen.by_place) and grid is None):
        raise InputError(
            f"pooling = {pooling!r} cannot be had from a layer that gives "
            f"{'a map' if grid else 'tokens that are not in rows and columns'}.",
            'Write pooling = "mean" or "max", or name another layer.',
        )
    weights = None
    if chosen.by_place and grid is not None:
        weights = _middle(*grid, values.device).to(values.dtype)[None]
    elif chosen.by_mask and mask is not None and grid is not None:
        from torch.nn.functional import adaptive_avg_pool2d

        weights = adaptive_avg_pool2d(mask[:, None].to(values.dtype), grid).flatten(1)
    return chosen.of_map(values, weights)


def _middle(height: int, width: int, device: "torch.device") -> "Tensor":
    """Tell which places of a map lie in its middle, shape (height × width,).

    None does in a map so small that no place's centre lies there.
    """
    import torch

    rows, columns = ((torch.arange(n, device=device) + 0.5) / n - 0.5 for n in (height, width))
    return (rows[:, None] ** 2 + columns**2 <= (MIDDLE / 2) ** 2).flatten()


def resize(images: "Tensor", side: int, interpolation: str = INTERPOLATIONS[0]) -> "Tensor":
    """Bring N×C×H×W images to a side in pixels, looking at every pixel where they get smaller."""
    if images.shape[-2:] == (side, side):
        return images
    from torch.nn.functional import interpolate

    return interpolate(
        images, size=(side, side), mode=interpolation, antialias=True, align_corners=False
    )


def pad_or_cut(images: "Tensor", side: int, around: float | None = None) -> "Tensor":
    """Put N×C×H×W images in the middle of a square, or cut it out of theirs.

    Parameters
    ----------
    images
        N×C×H×W.
    side
        Of the square, pixels.
    around
        Value around them; None, the default, for the darkest of each image and channel.
    """
    height, width = images.shape[-2:]
    top, left = (max(0, (n - side) // 2) for n in (height, width))
    images = images[..., top : top + side, left : left + side]
    height, width = images.shape[-2:]
    if (height, width) == (side, side):
        return images
    if around is None:
        dark = images.amin((-2, -1), keepdim=True)
        whole = dark.expand(*images.shape[:2], side, side).clone()
    else:
        whole = images.new_full((*images.shape[:2], side, side), around)
    top, left = (side - height) // 2, (side - width) // 2
    whole[..., top : top + height, left : left + width] = images
    return whole


def passes(images: "Tensor", use: str, inputs: int) -> "list[Tensor]":
    """Turn N×C×h×w images into the inputs of a network's passes, each N×`inputs`×h×w.

    Parameters
    ----------
    images
        The channels, in a card's order.
    use
        Key of `CHANNEL_USES`.
    inputs
        Channels of the network's input.
    """
    step = CHANNEL_USES[use].at_a_time or images.shape[1]
    groups = images.split(step, dim=1)
    if step == inputs:
        return list(groups)
    return [group.expand(-1, inputs, -1, -1) for group in groups]


def channel_problem(channels: Sequence[str], use: str, inputs: int) -> str:
    """Say why channels cannot reach a network so; empty where they can."""
    step, count = CHANNEL_USES[use].at_a_time, len(channels)
    if use == "repeated" and count != 1:
        return "one name, for one channel is repeated"
    if step == 3 and (count % 3 or inputs != 3):
        return f"three names, six, nine …, with {NO_CHANNEL!r} for one that is not there"
    if not step and count != inputs:
        return f"{inputs} names, one for each of the network's inputs"
    return ""
