"""Model cards: where a model comes from, and how crops get into it and embeddings out of it.

Layer: frozen dataclasses; needs no torch and no files (`compute.models.card_files` reads and finds
them). A card is checked when it is made, so that whoever has a `ModelCard` need not check it again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from difflib import get_close_matches
from hashlib import sha256 as new_sha256
from typing import Any

from compute.errors import BystanderError, InputError, UsageError, together
from compute.models.card_checks import check_card, mistakes
from compute.models.card_fields import CardFields
from compute.models.networks import DEFAULT_POOLING
from compute.models.own_answer import NO_HEAD
from compute.models.recipe import NO_CHANNEL
from compute.models.sources import SOURCES, UNTRAINED, architecture, built_in, split_source


@dataclass(frozen=True)
class ModelCard(CardFields):
    """One model: where it comes from, and its recipe; the fields of `CardFields`, checked.

    Raises
    ------
    InputError
        A value is of the wrong type or out of range.
    UsageError
        The source, scaling, layer, pooling or something else that has a name does not exist.
    """

    def __post_init__(self) -> None:
        check_card(self)

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides the embeddings: the weights and how they are used."""
        always = (
            "width", "channels", "size", "scaling", "layer", "pooling", "windows", "sha256",
        )  # fmt: skip
        deciding = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name in always or (f.name in _DECIDING and getattr(self, f.name) != f.default)
        }
        # What a card says of one of our networks in any case decides nothing more.
        if built_in(self.source) is not None:
            deciding.pop("input_size", None)
        # Which weights are drawn for a layer depends on all that are drawn before it.
        if split_source(self.source)[0] == UNTRAINED:
            deciding["outputs"] = len(self.classes)
        deciding["network"] = self.source
        return new_sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def bound(
        self, size: int, pixel_size: float = 0.0, channels: Sequence[str] = ()
    ) -> "ModelCard":
        """Return the card for crops of a side in pixels and a pixel size (0 if not known).

        A card that says the side itself keeps it, so that crops of another are refused; one that
        names no channels reads all of these, unless it never looks at intensities.
        """
        known = pixel_size if self.pixel_size else 0.0
        read = () if self.kind.blind else self.channels or tuple(channels)
        return replace(self, size=self.size or size, crop_pixel_size=known, channels=read)

    def each_layer(self) -> "list[ModelCard]":
        """Return a card for each of its `layers`, named after them; itself where it has none.

        The first keeps the head, whose answer is the same whatever layer is looked at.
        """
        if not self.layers:
            return [self]
        cards = [
            replace(self, name=f"{self.name}.{plain_layer(layer)}", layer=layer, layers=())
            for layer in self.layers
        ]
        if self.classes:
            cards[1:] = [replace(card, head=NO_HEAD, own_classes=()) for card in cards[1:]]
        return cards


_DECIDING = (
    "seed", "channel_use", "inputs", "crop_pixel_size", "pixel_size", "input_size", "fit",
    "interpolation", "percentiles", "value_range", "mean", "deviation", "prefix_tokens", "command",
    "revision", "code",
)  # fmt: skip
"""Fields that decide embeddings where they are not as by default."""


def make_card(source: str, **values: Any) -> ModelCard:
    """Make a card, filling in what its source has by default.

    Parameters
    ----------
    source
        As `ModelCard.source`.
    **values
        Fields of `ModelCard`; lists may stand for tuples. For one of our networks `width`,
        `channels`, `size`, `scaling`, `layer`, `pooling`, `windows` and `publication` are by
        default as it was published.

    Returns
    -------
    ModelCard
        The complete card.

    Raises
    ------
    InputError
        A field is missing, unknown or wrong.
    UsageError
        A name in the card does not exist.
    """
    names = [field.name for field in fields(ModelCard)]
    found, wrong = list[BystanderError](), set[str]()
    unknown = [key for key in values if key not in names]
    for key in unknown:
        near = get_close_matches(key, names, n=1)
        wrong.update(near)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        allowed = f"Allowed: {', '.join(names)}." if key == unknown[-1] else ""
        found.append(InputError(f"Model card: unknown entry {key!r}.{hint}", allowed))
    try:
        by_source = source_defaults(source)
    except BystanderError as error:
        found.append(error)
        by_source = {}
        wrong.update(name for name in names if name not in values)  # which it may have said
        wrong.add("source")
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k not in unknown
    }
    if isinstance(values.get("own_classes"), Mapping):
        given["own_classes"] = tuple(values["own_classes"].items())
    layers = given.get("layers")
    complete: dict[str, Any] = {**by_source, **given, "source": source}
    if isinstance(layers, tuple) and layers and "layer" not in given:
        complete["layer"] = layers[0]
    missing = [
        f.name
        for f in fields(ModelCard)
        if f.default is MISSING and f.name not in complete and f.name not in wrong
    ]
    if missing:
        wrong.update(missing)
        found.append(
            InputError(f"Model card: missing {', '.join(missing)}.", "Every card must say these.")
        )
    if found:
        raise together("Model card", [*found, *mistakes(complete, wrong)])
    return ModelCard(**complete)


def source_defaults(source: str) -> Mapping[str, Any]:
    """Return what a card of a source says by default; of one of our networks, as published."""
    of = architecture(source)
    if of != source:
        return {**SOURCES[UNTRAINED].defaults, **source_defaults(of)}
    spec = built_in(source)
    if spec is None:
        return SOURCES[split_source(source)[0]].defaults
    return {
        "channels": spec.channels,
        "size": spec.crop_size,
        "input_size": spec.input_size,
        "scaling": spec.scaling,
        "layer": spec.default_layer,
        "pooling": DEFAULT_POOLING,
        "windows": spec.default_windows,
        "publication": spec.publication,
    }


def select_channels(card: ModelCard, store_channels: Sequence[str]) -> list[int]:
    """Return the numbers of the card's channels among a store's, in the card's order.

    Returns
    -------
    list of int
        −1 for a channel that is given as zeros.

    Raises
    ------
    UsageError
        The store lacks one of them.
    """
    for channel in card.channels:
        if channel not in store_channels and channel != NO_CHANNEL:
            raise UsageError(
                f"Model {card.name!r} reads channel {channel!r}, which the store lacks: it has "
                f"{', '.join(store_channels)}.",
                "Change `channels` in the model's card if the store calls it otherwise.",
            )
    return [
        -1 if channel == NO_CHANNEL else list(store_channels).index(channel)
        for channel in card.channels
    ]


def plain_layer(layer: str) -> str:
    """Return a layer's name as part of a model's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", layer)
