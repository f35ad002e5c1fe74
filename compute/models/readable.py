"""Whether models can read a store, and how much of its crops they see: found out before any work.

Layer: model cards and a store's header, of some stores a few pixels; no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard
from compute.models.card_files import FoundModel, Model, resolve_models
from compute.models.networks import NetworkSpec
from compute.models.own_answer import own_answer
from compute.models.recipe import CHANNEL_USES, NO_CHANNEL, WINDOWS
from compute.models.scaling import LEAST_RANGE
from compute.store.reader import CropStore

LOOKED_AT = 16
"""Crops whose range is looked at where a scaling needs one."""

_STORE_DIGITS = 16
"""Digits of a store's fingerprint by which the card of a trained network names it."""


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
        Side of what is cut from a crop, in its pixels, and how many are.
    share
        Share of a crop's pixels that lie in any of them, above 0 and at most 1.
    recipe
        What else is done to the crops, in words; empty where they are read as they are.
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
    recipe: str
    unstretched: bool

    def __str__(self) -> str:
        """Say it in a sentence without a full stop."""
        names = ", ".join(self.channels)
        real = [channel for channel in self.channels if channel != NO_CHANNEL]
        channels = f"all {self.of}" if len(real) == self.of else f"{', '.join(real)} of {self.of}"
        channels = f"channel {names}" if self.of == 1 else f"{channels} channels"
        if not self.channels:
            channels = "no channel"
        if self.window == self.size:
            pixels = f"whole crops of {self.size} × {self.size} pixels"
        else:
            cut = f"the central {self.window} × {self.window} pixels"
            if self.windows > 1:
                cut = f"{self.windows} windows of {self.window} × {self.window} pixels"
            pixels = f"{cut} of crops of {self.size} × {self.size}, {self.share:.0%} of each"
        words = f"{self.model} reads {channels} and {pixels}{self.recipe}"
        if len(real) < len(self.channels):
            words += f"; of {names} it gets {len(self.channels) - len(real)} as zeros"
        if self.unstretched:
            words += (
                "; its scaling does not stretch crops whose intensities span 1 or less, as most of "
                "this store's do: give it weights that were trained on such crops"
            )
        return words

    @property
    def remarkable(self) -> bool:
        """Whether a person should know of it before a run."""
        return self.share < 1 or self.unstretched or NO_CHANNEL in self.channels


def corners(card: ModelCard) -> list[tuple[int, int]]:
    """Return row and column of the upper left pixel of every window that a model cuts from a crop.

    Parameters
    ----------
    card
        The model's card, whose `size` is the crops'.
    """
    margin = card.resampled_size - card.window if card.fit == "cut" else 0
    return [(int(row * margin), int(column * margin)) for row, column in WINDOWS[card.windows]]


def bind(
    models: Sequence[Model], store: CropStore, *, trusted: bool = False
) -> tuple[list[FoundModel], list[Reading]]:
    """Find models, fit their cards to a store's crops, and refuse those that cannot read it.

    Parameters
    ----------
    models
        Names of shipped models, paths of model cards, or models that are found already.
    store
        The crop store.
    trusted
        Whether foreign code that they bring may run; False by default.

    Returns
    -------
    found : list of FoundModel
        With cards of the store's crop side and pixel size, and how their heads answer with its
        classes.
    reads : list of Reading
        What each sees of the crops.

    Raises
    ------
    UsageError
        A model is not known, or cannot read the store.
    InputError
        A card's table of classes names one that the store lacks.
    """
    found = resolve_models(models, trusted=trusted)
    reads = require_readable([model.card for model in found], store)
    return [bound_to(model, store) for model in found], reads


def bound_to(model: FoundModel, store: CropStore) -> FoundModel:
    """Fit a model's card to a store's crops, and its head to the store's classes."""
    bound = model.bound(store.size, store.pixel_size, store.channels)
    own = own_answer(
        bound.card,
        store.localizations,
        lambda: _localized(store),
        store.fingerprint[:_STORE_DIGITS],
    )
    return replace(bound, own=own)


def _localized(store: CropStore) -> dict[str, str]:
    """Return the class of each of a store's proteins whose cells are all of one."""
    known = store.cells[["protein", "localization"]].drop_duplicates()
    several = known["protein"].duplicated(keep=False)
    known = known[~several & known["localization"].notna()]
    return dict(zip(known["protein"].astype(str), known["localization"].astype(str), strict=True))


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
        return [
            _reading(card.bound(store.size, store.pixel_size, store.channels), store)
            for card in cards
        ]
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
    found = {}
    lacking = _lacking(card.channels, store)
    if lacking:
        found[lacking] = (
            "Write what the store calls a model's channels as `channels` in its card, or train a "
            "network on the store (bystander train NETWORK STORE --channels NAMES)."
            if len(store.channels) >= len(card.channels)
            else "Import crops with all channels that a model reads, take one of fewer, or write "
            f'"{NO_CHANNEL}" in its card for one to be given as zeros.'
        )
    if card.pixel_size and not store.pixel_size:
        found[f"wants {card.pixel_size:g} µm a pixel, and the store does not say its own"] = (
            "Import the store with --pixel-size and the source's own, or leave `pixel_size` out of "
            "the card: crops are then read as they are."
        )
        return found
    side = card.input_size if card.fit == "cut" else 0
    smallest = side * card.pixel_size / store.pixel_size if card.pixel_size else side
    if card.pixel_size and store.size < smallest:
        found[
            f"needs crops of {side * card.pixel_size:g} µm or more (these have "
            f"{store.size * store.pixel_size:g} µm)"
        ] = 'Import larger crops, or write fit = "pad" in its card.'
    elif store.size < side and not card.pixel_size:
        found[f"needs crops of {side} × {side} pixels or more"] = (
            "Import larger crops: a network's input cannot be smaller."
        )
    elif card.size not in (0, store.size):
        found[f"reads crops of {card.size} × {card.size} pixels"] = (
            f"Import them at a model's size (--size, --resample); or write `size = {store.size}` "
            "in its card: its network's input is then cut from the crops, and `bystander models "
            "check` says how much of them that is."
        )
    return found


def _lacking(channels: Sequence[str], store: CropStore) -> str:
    """Say which channels a store lacks, and which may be the same under another name."""
    channels = [channel for channel in channels if channel != NO_CHANNEL]
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
    places, side, whole = corners(card), card.window, card.resampled_size
    if card.fit == "resize" or (card.fit == "pad" and side >= whole):
        side = whole
    elif card.fit == "pad":
        places = [((whole - side) // 2,) * 2]
    seen = np.zeros((whole, whole), bool)
    for top, left in places:
        seen[top : top + side, left : left + side] = True
    shown = card.size if side == whole else round(side * card.size / whole)
    return Reading(
        card.name, card.channels, len(store.channels), card.size, shown, len(places),
        float(seen.mean()), _recipe(card), _is_unstretched(card, store),
    )  # fmt: skip


def _recipe(card: ModelCard) -> str:
    """Say what is done to crops on their way, beside cutting and scaling."""
    steps = [card.kind.seen] if card.kind.seen else []
    if card.resampled_size != card.size:
        steps.append(f"brought to {card.pixel_size:g} µm a pixel")
    if card.fit == "resize" and card.window != card.resampled_size:
        steps.append(f"resized to {card.window} × {card.window}")
    elif card.fit == "pad" and card.window > card.resampled_size:
        steps.append(f"padded to {card.window} × {card.window}")
    if card.channel_use != "together":
        steps.append(CHANNEL_USES[card.channel_use].words)
    return "".join(f", {step}" for step in steps)


def _is_unstretched(card: ModelCard, store: CropStore) -> bool:
    """Tell whether most of the first crops span less than the model's scaling stretches."""
    least = LEAST_RANGE.get(card.scaling)
    if least is None or store.dtype.kind != "f":
        return False
    read = [store.channels.index(channel) for channel in card.channels if channel != NO_CHANNEL]
    pixels = np.asarray(store.arrays(first=LOOKED_AT).images[:])[:, read]
    span = pixels.max((2, 3)) - pixels.min((2, 3))
    return bool((span <= least).mean() > 0.5)
