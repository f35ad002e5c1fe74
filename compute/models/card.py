"""Model cards: what a weights file is, what crops it reads, and where it came from.

Layer: TOML files and frozen dataclasses; needs no torch. A card is a TOML file that lies beside its
safetensors file. It is checked when it is made, so that whoever has a `ModelCard` need not check it
again.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from hashlib import sha256 as new_sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compute.errors import BystanderError, InputError, UsageError, unknown_value
from compute.models.networks import DEFAULT_POOLING, NETWORKS, network_spec
from compute.models.scaling import scaling_named
from compute.shipped import WEIGHTS
from compute.storage.atomic_files import writing

if TYPE_CHECKING:
    from torch import Tensor

POOLINGS: Mapping[str, "Callable[[Tensor], Tensor]"] = MappingProxyType(
    {
        "max": lambda maps: maps.amax(dim=(-2, -1)),
        "mean": lambda maps: maps.mean(dim=(-2, -1)),
    }
)
"""How activations become embeddings, N×K×h×w to N×K, by the name that cards use."""

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

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelCard:
    """One model: a network, its weights, and how crops get into it.

    Parameters
    ----------
    name
        Letters, digits, `_`, `.`, `-`; folders and legends bear it.
    network
        Key of `compute.models.networks.NETWORKS`.
    weights
        Name of the safetensors file beside the card.
    sha256
        SHA-256 of that file, 64 hexadecimal digits.
    trained_on
        What it was trained on, in words.
    simulated
        Whether that data was simulated.
    width
        Network width, above 0 and at most 16; 1 as published.
    channels
        Channel names in the network's order.
    size
        Side of the crops in pixels, at least that of the network's input and at most 4096.
    scaling
        Key of `compute.models.scaling.SCALINGS`.
    layer
        Name of the activation that serves as embedding.
    pooling
        Key of `POOLINGS`; a dense layer's output is taken as it is.
    windows
        Key of `WINDOWS`.
    classes
        Names of the network's outputs, in order; empty, the default, for one that has no classes.
    publication, license, notes
        What a reader should know of it; empty by default.
    created_by
        The command that made the weights; empty by default.

    Raises
    ------
    InputError
        A value is of the wrong type or out of range.
    UsageError
        The network, scaling, layer, pooling or window arrangement does not exist.
    """

    name: str
    network: str
    weights: str
    sha256: str
    trained_on: str
    simulated: bool
    width: float
    channels: tuple[str, ...]
    size: int
    scaling: str
    layer: str
    pooling: str
    windows: str
    classes: tuple[str, ...] = ()
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
        spec = network_spec(self.network)
        _require(bool(_NAME.fullmatch(self.name)), "name", self.name, "a plain name like pifia-2")
        _require(
            Path(self.weights).name == self.weights and self.weights.endswith(".safetensors"),
            "weights",
            self.weights,
            "the name of a .safetensors file beside the card",
        )
        _require(bool(_SHA256.fullmatch(self.sha256)), "sha256", self.sha256, "64 digits 0-9a-f")
        _require(0 < self.width <= 16, "width", self.width, "a number above 0, at most 16")
        _require(
            len(self.channels) == len(spec.channels) == len(set(self.channels)),
            "channels",
            list(self.channels),
            f"{len(spec.channels)} different name(s), as {spec.title} reads "
            + " and ".join(spec.channels),
        )
        _require(
            len(self.classes) == len(set(self.classes)) and bool(self.classes) == spec.classes,
            "classes",
            list(self.classes[:5]),
            "different names, one per output" if spec.classes else "empty: it has no classes",
        )
        scaling_named(self.scaling)
        _known("embedding layer of " + self.network, self.layer, spec.layers)
        _known("pooling", self.pooling, POOLINGS)
        _known("window arrangement", self.windows, WINDOWS)
        least = spec.input_size + (len(WINDOWS[self.windows]) > 1)
        _require(
            least <= self.size <= 4096,
            "size",
            self.size,
            f"between {least} and 4096 pixels for {self.windows!r} windows of {spec.input_size}",
        )

    @property
    def dimension(self) -> int:
        """Length of the embedding."""
        return network_spec(self.network).layers[self.layer].dimension(self.width)

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides the embeddings: the weights and how they are used."""
        deciding = {
            name: getattr(self, name)
            for name in (
                "network", "width", "channels", "size", "scaling", "layer", "pooling", "windows",
                "sha256",
            )
        }  # fmt: skip
        return new_sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Type:
    """What a field of one annotation takes: a check, words for it, and an example."""

    accepts: Callable[[Any], bool]
    words: str
    example: str


_TYPES: dict[Any, _Type] = {
    str: _Type(lambda v: isinstance(v, str), "text", '"…"'),
    bool: _Type(lambda v: isinstance(v, bool), "true or false", "true or false"),
    int: _Type(lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number", "64"),
    float: _Type(
        lambda v: isinstance(v, int | float) and not isinstance(v, bool), "a number", "1.0"
    ),
    tuple[str, ...]: _Type(
        lambda v: isinstance(v, tuple) and all(isinstance(i, str) and i for i in v),
        "a list of names",
        '["…", "…"]',
    ),
}


def make_card(network: str, **values: Any) -> ModelCard:
    """Make a card, filling in what its network was published with.

    Parameters
    ----------
    network
        Key of `compute.models.networks.NETWORKS`.
    **values
        Fields of `ModelCard`; lists may stand for tuples. `width`, `channels`, `size`, `scaling`,
        `layer`, `pooling`, `windows` and `publication` have the network's values by default.

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
    spec = network_spec(network)
    names = [field.name for field in fields(ModelCard)]
    for key in values:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"Model card: unknown entry {key!r}.{hint}", f"Allowed: {', '.join(names)}."
            )
    complete: dict[str, Any] = {
        "width": 1.0,
        "channels": spec.channels,
        "size": spec.crop_size,
        "scaling": spec.scaling,
        "layer": spec.default_layer,
        "pooling": DEFAULT_POOLING,
        "windows": spec.default_windows,
        "publication": spec.publication,
        **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()},
        "network": network,
    }
    missing = [f.name for f in fields(ModelCard) if f.default is MISSING and f.name not in complete]
    if missing:
        raise InputError(f"Model card: missing {', '.join(missing)}.", "Every card must say these.")
    return ModelCard(**complete)


def load_card(path: Path | str) -> ModelCard:
    """Read a card, filling in what it leaves out as `make_card` does.

    Raises
    ------
    InputError
        The file is missing, is not TOML, or an entry is unknown, missing or wrong.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"Model card {path} cannot be read: {error.strerror}.",
            "Give the path of a .toml card; its weights lie beside it.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"Model card {path} is not TOML: {error}.", "Correct it at that place."
        ) from error
    network = values.pop("network", None)
    if not isinstance(network, str):
        raise InputError(f"{path}: network = {network!r} is not a name.", 'Write network = "…".')
    try:
        return make_card(network, **values)
    except BystanderError as error:
        raise InputError(f"{path}: {error.problem}", error.remedy) from error


def card_text(card: ModelCard) -> str:
    """Return a card as TOML, every field on a line of its own."""
    return "".join(f"{f.name} = {_toml(getattr(card, f.name))}\n" for f in fields(card))


def save_card(card: ModelCard, path: Path | str) -> None:
    """Write a card to a file, which appears whole or not at all."""
    with writing(Path(path)) as temporary:
        temporary.write_text(card_text(card), encoding="utf-8")


def builtin_cards() -> dict[str, Path]:
    """Return the paths of the cards that come with Bystander, by file name without its ending."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.toml"))}


def list_models() -> dict[str, ModelCard]:
    """Read the cards of the models that come with Bystander.

    Returns
    -------
    dict
        Cards by the name that `run` and `estimate` know the model by.

    Examples
    --------
    >>> from compute import list_models
    >>> sorted(list_models())
    ['deeploc', 'paired_cell', 'pifia']
    """
    return {name: load_card(path) for name, path in builtin_cards().items()}


def resolve_models(names: Sequence[str]) -> list[Path]:
    """Turn names of shipped cards and paths of other cards into paths of cards.

    Parameters
    ----------
    names
        Each the name of a shipped card or a path that ends in `.toml`.

    Returns
    -------
    list of Path
        One path for each name, in order.

    Raises
    ------
    UsageError
        A name is not shipped, or two cards share a name (their results would share a folder).
    InputError
        A card cannot be read.
    """
    shipped = builtin_cards()
    paths: list[Path] = []
    seen: dict[str, Path] = {}
    for name in names:
        if name not in shipped and not name.endswith(".toml"):
            if name in NETWORKS:
                raise UsageError(
                    f"{name!r} is a network without shipped weights.",
                    f"Train it (bystander train {name} STORE --out weights), then give its card.",
                )
            raise unknown_value("model", name, [*shipped, "or the path of a .toml card"])
        path = shipped.get(name) or Path(name)
        card = load_card(path)
        if card.name in seen:
            raise UsageError(
                f"Two models are named {card.name!r}: {seen[card.name]} and {path}.",
                "Give one of the cards another name.",
            )
        seen[card.name] = path
        paths.append(path)
    return paths


def select_channels(card: ModelCard, store_channels: Sequence[str]) -> list[int]:
    """Return the numbers of the card's channels among a store's, in the card's order.

    Raises
    ------
    UsageError
        The store lacks one of them.
    """
    for channel in card.channels:
        if channel not in store_channels:
            raise UsageError(
                f"Model {card.name!r} reads channel {channel!r}, which the store lacks: it has "
                f"{', '.join(store_channels)}.",
                "Change `channels` in the model's card if the store calls it otherwise.",
            )
    return [list(store_channels).index(channel) for channel in card.channels]


def _require(holds: bool, field: str, value: object, allowed: str) -> None:
    """Refuse a field's value unless a condition holds."""
    if not holds:
        raise InputError(f"Model card: {field} = {value!r} is not allowed.", f"Allowed: {allowed}.")


def _known(kind: str, value: str, allowed: Mapping[str, object]) -> None:
    """Refuse a name that is not a key of `allowed`."""
    if value not in allowed:
        raise unknown_value(kind, value, allowed)


def _toml(value: object) -> str:
    """Return one value as TOML; JSON's texts are TOML's, but for the delete character."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
