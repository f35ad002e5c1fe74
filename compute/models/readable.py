"""Whether models can read a store, and how much of its crops they see: found out before any work.

Layer: model cards and a store's header, of some stores a few pixels; no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compute.errors import InputError, UsageError
from compute.models.card import WINDOWS, ModelCard
from compute.models.networks import NetworkSpec, network_spec
from compute.models.scaling import LEAST_RANGE
from compute.store.reader import CropStore

LOOKED_AT = 16
"""Crops whose range is looked at where a scaling needs one."""


@dataclass(frozen=True)
class Reading:
    """What a model sees of a store's crops.

    Parameters
    ----------
    model
        Its name.
    channels
        The channels that it reads, in its order.
    of
        Number of channels in the store.
    size
        Side of the crops in pixels.
    window, windows
        Side of the network's input, and how many are cut from a crop.
    share
        Share of a crop's pixels that lie in any of them, above 0 and at most 1.
    unstretched
        Whether most crops' intensities span so little that the model's scaling does not stretch
        them.
    """

    model: str
    channels: tuple[str, ...]
    of: int
    size: int
    window: int
    windows: int
    share: float
    unstretched: bool

    def __str__(self) -> str:
        """Say it in a sentence without a full stop."""
        names = ", ".join(self.channels)
        channels = f"all {self.of}" if len(self.channels) == self.of else f"{names} of {self.of}"
        channels = f"channel {names}" if self.of == 1 else f"{channels} channels"
        if self.window == self.size:
            pixels = f"whole crops of {self.size} × {self.size} pixels"
        else:
            cut = f"the central {self.window} × {self.window} pixels"
            if self.windows > 1:
                cut = f"{self.windows} windows of {self.window} × {self.window} pixels"
            pixels = f"{cut} of crops of {self.size} × {self.size}, {self.share:.0%} of each"
        words = f"{self.model} reads {channels} and {pixels}"
        if self.unstretched:
            words += (
                "; its scaling does not stretch crops whose intensities span 1 or less, as most of "
                "this store's do: give it weights that were trained on such crops"
            )
        return words

    @property
    def remarkable(self) -> bool:
        """Whether a person should know of it before a run."""
        return self.share < 1 or self.unstretched


def corners(card: ModelCard) -> list[tuple[int, int]]:
    """Return row and column of the upper left pixel of every window that a model cuts from a crop.

    Parameters
    ----------
    card
        The model's card, whose `size` is the crops'.
    """
    margin = card.size - network_spec(card.network).input_size
    return [(int(row * margin), int(column * margin)) for row, column in WINDOWS[card.windows]]


def require_readable(cards: Sequence[ModelCard], store: CropStore) -> list[Reading]:
    """Refuse a store that any of some models cannot read.

    Parameters
    ----------
    cards
        The models' cards.
    store
        The crop store.

    Returns
    -------
    list of Reading
        What each model sees of the crops, in order.

    Raises
    ------
    UsageError
        The store lacks a channel, or its crops are of another size than a model's; all such models
        are named together, with the ways out.
    """
    wrong = {card.name: _misfits(card, store) for card in cards}
    wrong = {name: found for name, found in wrong.items() if found}
    if not wrong:
        return [_reading(card, store) for card in cards]
    names = "\n  ".join(f"{name} {'; '.join(found)}" for name, found in wrong.items())
    ways = {way: None for found in wrong.values() for way in found.values()}
    size = f"{store.size} × {store.size}"
    raise UsageError(
        f"{len(wrong)} of {len(cards)} models cannot read {store.path}, which has crops of {size} "
        f"pixels in channel{'s' * (len(store.channels) > 1)} {', '.join(store.channels)}:\n  "
        f"{names}",
        " ".join(ways),
    )


def require_trainable(spec: NetworkSpec, channels: Sequence[str], store: CropStore) -> None:
    """Refuse a store on which a network cannot be trained.

    Parameters
    ----------
    spec
        The network.
    channels
        Names of the channels that it is to read.
    store
        The crop store.

    Raises
    ------
    UsageError
        There are too many or too few channels, or the store lacks one.
    InputError
        Its crops are smaller than the network's input.
    """
    if len(channels) != len(spec.channels) or len(set(channels)) < len(channels):
        raise UsageError(
            f"{spec.title} reads {len(spec.channels)} different channels, as published "
            f"{', '.join(spec.channels)}; {len(channels)} were given: {', '.join(channels)}.",
            f"Give {len(spec.channels)} of {', '.join(store.channels)} with --channels.",
        )
    lacking = _lacking(channels, store)
    if lacking:
        raise UsageError(
            f"{spec.title} {lacking}; {store.path} has {', '.join(store.channels)}.",
            f"Name {len(spec.channels)} of them with --channels, in the order in which the network "
            f"reads {', '.join(spec.channels)}."
            if len(store.channels) >= len(spec.channels)
            else "Import the store with more channels, or train a network that reads fewer.",
        )
    if store.size < spec.input_size:
        raise InputError(
            f"{store.path} has crops of {store.size} pixels; {spec.title} reads {spec.input_size}.",
            "Import the store with larger crops.",
        )


def _misfits(card: ModelCard, store: CropStore) -> dict[str, str]:
    """Say what a model cannot read of a store: what it needs, and the way out."""
    spec = network_spec(card.network)
    found = {}
    lacking = _lacking(card.channels, store)
    if lacking:
        found[lacking] = (
            "Write what the store calls a model's channels as `channels` in its card, or train a "
            "network on the store (bystander train NETWORK STORE --channels NAMES)."
            if len(store.channels) >= len(card.channels)
            else "Import crops with all channels that a model reads, or take a model of fewer."
        )
    side = spec.input_size
    if store.size < side:
        found[f"needs crops of {side} × {side} pixels or more"] = (
            "Import larger crops: a network's input cannot be smaller."
        )
    elif store.size != card.size:
        found[f"reads crops of {card.size} × {card.size} pixels"] = (
            f"Import them at a model's size (--size, --resample); or write `size = {store.size}` "
            "in its card: its network's input is then cut from the crops, and `bystander models "
            "check` says how much of them that is."
        )
    return found


def _lacking(channels: Sequence[str], store: CropStore) -> str:
    """Say which channels a store lacks, and which may be the same under another name."""
    missing = [channel for channel in channels if channel not in store.channels]
    if not missing:
        return ""
    alike = [
        f"{channel} may be its {other}"
        for channel in missing
        for other in store.channels
        if _plain(other) == _plain(channel)
    ]
    hint = f" ({'; '.join(alike)})" if alike else ""
    needed = f"needs channel{'s' * (len(channels) > 1)} {', '.join(channels)}"
    if len(missing) == len(channels):
        return f"{needed}, which the store lacks{hint}"
    return f"{needed}, of which the store lacks {', '.join(missing)}{hint}"


def _plain(name: str) -> str:
    """Return a name's letters and digits, whatever their case."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _reading(card: ModelCard, store: CropStore) -> Reading:
    """Measure what a model sees of crops of its size."""
    side = network_spec(card.network).input_size
    seen = np.zeros((card.size, card.size), bool)
    places = corners(card)
    for top, left in places:
        seen[top : top + side, left : left + side] = True
    return Reading(
        card.name, card.channels, len(store.channels), card.size, side, len(places),
        float(seen.mean()), _is_unstretched(card, store),
    )  # fmt: skip


def _is_unstretched(card: ModelCard, store: CropStore) -> bool:
    """Tell whether most of the first crops span less than the model's scaling stretches."""
    least = LEAST_RANGE.get(card.scaling)
    if least is None or store.dtype.kind != "f":
        return False
    read = [store.channels.index(channel) for channel in card.channels]
    pixels = np.asarray(store.arrays(first=LOOKED_AT).images[:])[:, read]
    span = pixels.max((2, 3)) - pixels.min((2, 3))
    return bool((span <= least).mean() > 0.5)
