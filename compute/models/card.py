"""Model cards: where a model comes from, and how crops get into it and embeddings out of it.

Layer: frozen dataclasses; needs no torch and no files (`compute.models.card_files` reads and finds
them). A card is checked when it is made, so that whoever has a `ModelCard` need not check it again.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from difflib import get_close_matches
from hashlib import sha256 as new_sha256
from pathlib import Path
from shlex import join as join_words
from typing import Any

from compute.errors import InputError, UsageError, unknown_value
from compute.models.networks import DEFAULT_POOLING, NetworkSpec
from compute.models.recipe import (
    CHANNEL_USES,
    FITS,
    INPUTS,
    INTERPOLATIONS,
    NO_CHANNEL,
    POOLINGS,
    WINDOWS,
    channel_problem,
)
from compute.models.scaling import PARAMETERS, scaling_named
from compute.models.sources import SOURCES, UNTRAINED, Source, architecture, built_in, split_source

LARGEST = 4096
"""Side of a crop or of a network's input, in pixels, at most."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelCard:
    """One model: where it comes from, and its recipe.

    Parameters
    ----------
    name
        Letters, digits, `_`, `.`, `-`; folders and legends bear it.
    source
        Name of one of our networks, or a key of `compute.models.sources.SOURCES` with what belongs
        behind its colon.
    trained_on
        What it was trained on, in words.
    simulated
        Whether that data was simulated.
    channels
        The store's names of the channels, in the network's order; `NO_CHANNEL` for one that is
        given as zeros. Of some sources empty, for all that a store has.
    scaling
        Key of `compute.models.scaling.SCALINGS`.
    layer
        Name of the activation that serves as embedding.
    pooling
        Key of `compute.models.recipe.POOLINGS`; vectors are taken as they are.
    weights
        Name of the file beside the card; empty, the default, where the source has none.
    sha256
        SHA-256 of that file, 64 hexadecimal digits; empty, the default, without one.
    width
        Width of one of our networks, above 0 and at most 16; 1, the default, as published.
    seed
        Of weights that are drawn; 0 by default.
    channel_use
        Key of `compute.models.recipe.CHANNEL_USES`; ``"together"`` by default.
    inputs
        Channels of the network's input; 0, the default, for one for each of `channels` together,
        or else three.
    size
        Side of the crops in pixels, at most 4096; 0, the default, for any.
    crop_pixel_size
        Micrometres a pixel of the crops; 0, the default, where it is not known. Stores say it.
    pixel_size
        Micrometres a pixel that crops are brought to; 0, the default, leaves them.
    input_size
        Side of the network's input in pixels, at most 4096; 0, the default, takes whole crops.
    fit
        Key of `compute.models.recipe.FITS`; ``"cut"`` by default.
    windows
        Key of `compute.models.recipe.WINDOWS`, of what is cut; ``"centre"`` by default.
    interpolation
        One of `compute.models.recipe.INTERPOLATIONS`, the first by default.
    percentiles
        Low and high, of a scaling by percentiles; empty, the default, for its own.
    value_range
        Lowest and highest value, of a scaling by a range; empty by default.
    mean, deviation
        Subtracted from, and divided into, each of the network's inputs after scaling; empty, the
        default, for neither.
    layers
        Several layers, each of which is a model of its own; empty, the default, for `layer` alone.
    prefix_tokens
        Tokens before those of patches; −1, the default, where the network says it itself.
    classes
        Names of the network's outputs, in order; empty, the default, for one that has no classes.
    command
        Program and arguments that answer over a pipe; empty, the default, where the source is not
        ``"command"``.
    revision
        The revision that was looked at, of what has several; empty by default.
    code
        SHA-256 of the Python file that a ``"factory"`` names, 64 hexadecimal digits; empty, the
        default, until a store's crops are at hand (`FoundModel.bound`).
    publication, license, notes
        What a reader should know of it; empty by default.
    created_by
        The command that made the weights; empty by default.

    Raises
    ------
    InputError
        A value is of the wrong type or out of range.
    UsageError
        The source, scaling, layer, pooling or something else that has a name does not exist.
    """

    name: str
    source: str
    trained_on: str
    simulated: bool
    channels: tuple[str, ...]
    scaling: str
    layer: str
    pooling: str
    weights: str = ""
    sha256: str = ""
    width: float = 1.0
    seed: int = 0
    channel_use: str = "together"
    inputs: int = 0
    size: int = 0
    crop_pixel_size: float = 0.0
    pixel_size: float = 0.0
    input_size: int = 0
    fit: str = "cut"
    windows: str = "centre"
    interpolation: str = INTERPOLATIONS[0]
    percentiles: tuple[float, ...] = ()
    value_range: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    layers: tuple[str, ...] = ()
    prefix_tokens: int = -1
    classes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    revision: str = ""
    code: str = ""
    publication: str = ""
    license: str = ""
    notes: str = ""
    created_by: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, check = getattr(self, field.name), _TYPES[field.type]
            if not check.accepts(value):
                raise InputError(
                    f"Model card: {field.name} = {value!r} is not {check.words}.",
                    f"Write {field.name} = {check.example}.",
                )
        spec = built_in(self.source)
        _require(bool(_NAME.fullmatch(self.name)), "name", self.name, "a plain name like pifia-2")
        _check_weights(self)
        _require(
            bool(self.command) == self.kind.needs_command, "command", list(self.command),
            'a program and its arguments, such as ["Rscript", "embed.R"]'
            if self.kind.needs_command else 'nothing, unless source = "command"',
        )  # fmt: skip
        _require(0 < self.width <= 16, "width", self.width, "a number above 0, at most 16")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
        for field_name, value, known in (
            ("channel use", self.channel_use, CHANNEL_USES),
            ("pooling", self.pooling, POOLINGS),
            ("fit", self.fit, FITS),
            ("window arrangement", self.windows, WINDOWS),
            ("interpolation", self.interpolation, dict.fromkeys(INTERPOLATIONS)),
        ):
            if value not in known:
                raise unknown_value(field_name, value, known)
        if spec is None:
            _check_channels(self)
        else:
            _check_built_in(self, spec)
        _check_sizes(self)
        _check_scaling(self)
        if self.kind.by_scene:
            _check_raw(self)

    @property
    def kind(self) -> Source:
        """What is known of its source."""
        return SOURCES[split_source(self.source)[0]]

    @property
    def command_line(self) -> str:
        """Its `command` as it would be typed."""
        return join_words(self.command)

    @property
    def network_inputs(self) -> int:
        """Channels of the network's input."""
        together = CHANNEL_USES[self.channel_use].at_a_time == 0
        return self.inputs or (len(self.channels) if together else INPUTS)

    @property
    def resampled_size(self) -> int:
        """Side of a crop in pixels once it has the network's pixel size."""
        if not (self.pixel_size and self.crop_pixel_size):
            return self.size
        return max(1, round(self.size * self.crop_pixel_size / self.pixel_size))

    @property
    def window(self) -> int:
        """Side of the network's input in pixels; that of the whole crop where it takes any."""
        return self.input_size or self.resampled_size

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
        """Return a card for each of its `layers`, named after them; itself where it has none."""
        if not self.layers:
            return [self]
        return [
            replace(self, name=f"{self.name}.{_plain(layer)}", layer=layer, layers=())
            for layer in self.layers
        ]


_DECIDING = (
    "seed", "channel_use", "inputs", "crop_pixel_size", "pixel_size", "input_size", "fit",
    "interpolation", "percentiles", "value_range", "mean", "deviation", "prefix_tokens", "command",
    "revision", "code",
)  # fmt: skip
"""Fields that decide embeddings where they are not as by default."""


@dataclass(frozen=True)
class _Type:
    """What a field of one annotation takes: a check, words for it, and an example."""

    accepts: Callable[[Any], bool]
    words: str
    example: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


_TYPES: dict[Any, _Type] = {
    str: _Type(lambda v: isinstance(v, str), "text", '"…"'),
    bool: _Type(lambda v: isinstance(v, bool), "true or false", "true or false"),
    int: _Type(lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number", "64"),
    float: _Type(_is_number, "a number", "1.0"),
    tuple[str, ...]: _Type(
        lambda v: isinstance(v, tuple) and all(isinstance(i, str) and i for i in v),
        "a list of names",
        '["…", "…"]',
    ),
    tuple[float, ...]: _Type(
        lambda v: isinstance(v, tuple) and all(map(_is_number, v)),
        "a list of numbers",
        "[0.1, 99.9]",
    ),
}


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
    for key in values:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"Model card: unknown entry {key!r}.{hint}", f"Allowed: {', '.join(names)}."
            )
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    layers = given.get("layers")
    complete: dict[str, Any] = {**source_defaults(source), **given, "source": source}
    if isinstance(layers, tuple) and layers and "layer" not in given:
        complete["layer"] = layers[0]
    missing = [f.name for f in fields(ModelCard) if f.default is MISSING and f.name not in complete]
    if missing:
        raise InputError(f"Model card: missing {', '.join(missing)}.", "Every card must say these.")
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


def _check_weights(card: ModelCard) -> None:
    """Refuse a weights file that the source has no use for, or that is not named as one."""
    kind = card.kind
    _require(
        not card.code or (kind.hashes_module and bool(_SHA256.fullmatch(card.code))), "code",
        card.code, "64 digits 0-9a-f" if kind.hashes_module else "nothing: it names no module",
    )  # fmt: skip
    endings = " or ".join(kind.files)
    if not card.weights and not kind.needs_weights:
        _require(not card.sha256, "sha256", card.sha256, "nothing, as the card names no weights")
        return
    _require(
        bool(kind.files)
        and Path(card.weights).name == card.weights
        and Path(card.weights).suffix in kind.files,
        "weights",
        card.weights,
        f"the name of a {endings} file beside the card" if endings else "nothing: it has none",
    )
    _require(bool(_SHA256.fullmatch(card.sha256)), "sha256", card.sha256, "64 digits 0-9a-f")


def _check_built_in(card: ModelCard, spec: NetworkSpec) -> None:
    """Refuse what one of our networks cannot do."""
    _require(
        len(card.channels) == len(spec.channels) == len(set(card.channels)),
        "channels",
        list(card.channels),
        f"{len(spec.channels)} different name(s), as {spec.title} reads "
        + " and ".join(spec.channels),
    )
    untrained = split_source(card.source)[0] == UNTRAINED  # nobody reads what its outputs mean
    _require(
        len(card.classes) == len(set(card.classes))
        and (untrained or bool(card.classes) == spec.classes),
        "classes",
        list(card.classes[:5]),
        "different names, one per output" if spec.classes else "empty: it has no classes",
    )
    for layer in (card.layer, *card.layers):
        if layer not in spec.layers:
            raise unknown_value("embedding layer of " + card.source, layer, spec.layers)
    for name, value, only in (
        ("channel_use", card.channel_use, "together"),
        ("inputs", card.inputs or len(spec.channels), len(spec.channels)),
        ("input_size", card.input_size, spec.input_size),
        ("pooling", POOLINGS[card.pooling].of_map is not None, True),
    ):
        _require(value == only, name, value, f"{only!r}: so {spec.title} was published")


def _check_channels(card: ModelCard) -> None:
    """Refuse channels that cannot reach the network as the card says."""
    real = [channel for channel in card.channels if channel != NO_CHANNEL]
    unread = not card.channels and card.kind.any_channels
    _require(
        (bool(real) or unread) and len(set(real)) == len(real),
        "channels",
        list(card.channels),
        "different names, one at least",
    )
    _require(0 <= card.inputs <= 64, "inputs", card.inputs, "a whole number from 1 to 64")
    problem = channel_problem(card.channels, card.channel_use, card.network_inputs)
    _require(not problem, "channels", list(card.channels), f"{problem}; or another `channel_use`")
    _require(
        len(card.classes) == len(set(card.classes)), "classes", list(card.classes[:5]),
        "different names, one per output",
    )  # fmt: skip
    _require(
        len(card.layers) == len(set(card.layers)), "layers", list(card.layers), "different names"
    )


def _check_sizes(card: ModelCard) -> None:
    """Refuse sizes that are out of range or do not go together."""
    several = len(WINDOWS[card.windows]) > 1
    _require(
        0 <= card.input_size <= LARGEST, "input_size", card.input_size,
        f"1 to {LARGEST} pixels, or 0 for whole crops",
    )  # fmt: skip
    least = card.input_size + several if card.fit == "cut" else 1
    for name, value in (("pixel_size", card.pixel_size), ("crop_pixel_size", card.crop_pixel_size)):
        _require(0 <= value < 1e6, name, value, "micrometres a pixel, above 0")
    if card.size:
        _require(
            (card.resampled_size if card.size > 0 else -1) >= least
            and max(card.size, card.resampled_size) <= LARGEST,
            "size",
            card.size,
            f"between {least} and {LARGEST} pixels for {card.windows!r} windows of "
            f"{card.input_size}",
        )
    _require(
        card.input_size > 0 or (card.fit == "cut" and not several),
        "fit",
        card.fit,
        '"cut" from the centre, where `input_size` is not said',
    )
    _require(
        card.fit == "cut" or not several, "windows", card.windows, '"centre", unless fit = "cut"'
    )
    _require(
        not (card.pixel_size and card.fit == "resize"), "fit", card.fit,
        '"pad" or "cut" with a pixel_size, which would be lost by resizing',
    )  # fmt: skip
    _require(-1 <= card.prefix_tokens <= 64, "prefix_tokens", card.prefix_tokens, "0 to 64")


def _check_scaling(card: ModelCard) -> None:
    """Refuse numbers that a scaling has no use for, or that are not as it needs them."""
    scaling_named(card.scaling)
    for name, wanted in (("percentiles", 100.0), ("value_range", 1e30)):
        value = getattr(card, name)
        used = name in PARAMETERS.get(card.scaling, ())
        right = len(value) == 2 and value[0] < value[1] <= wanted
        if name == "percentiles":
            right = right and value[0] >= 0
        _require(
            (right or (not value and name == "percentiles")) if used else not value,
            name,
            list(value),
            "two numbers, the lower first" if used else f"nothing: {card.scaling} does not use it",
        )
    for name in ("mean", "deviation"):
        value = getattr(card, name)
        _require(
            len(value) in (0, card.network_inputs)
            and (name == "mean" or min(value, default=1) > 0),
            name,
            list(value),
            f"{card.network_inputs} numbers, one for each of the network's inputs",
        )


def _check_raw(card: ModelCard) -> None:
    """Refuse anything that would be done to crops whose masks must fit them."""
    for name, value, only in (
        ("scaling", card.scaling, "none"),
        ("input_size", card.input_size, 0),
        ("pixel_size", card.pixel_size, 0),
        ("channel_use", card.channel_use, "together"),
        ("mean", card.mean, ()),
        ("deviation", card.deviation, ()),
    ):
        _require(value == only, name, value, f"{only!r}: it reads crops as they are")


def _plain(layer: str) -> str:
    """Return a layer's name as part of a model's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", layer)


def _require(holds: bool, field: str, value: object, allowed: str) -> None:
    """Refuse a field's value unless a condition holds."""
    if not holds:
        raise InputError(f"Model card: {field} = {value!r} is not allowed.", f"Allowed: {allowed}.")
