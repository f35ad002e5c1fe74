"""Writes a commented model card to begin with: what must be said filled in, the rest as notes.

Layer: a source's name and a weights file in, a TOML file out; needs no torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard, make_card, source_defaults
from compute.models.card_files import toml, written_fields
from compute.models.recipe import CHANNEL_USES, FITS, INTERPOLATIONS, NO_CHANNEL, POOLINGS, WINDOWS
from compute.models.scaling import SCALINGS
from compute.models.sources import SOURCES, split_source
from compute.storage.atomic_files import sha256, writing

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "What it is": ("name", "source", "weights", "sha256", "command", "trained_on", "simulated"),
    "How channels reach the network": ("channels", "channel_use", "inputs"),
    "How crops come to its size": (
        "size", "pixel_size", "input_size", "fit", "windows", "interpolation",
    ),
    "How intensities are scaled": (
        "scaling", "percentiles", "value_range", "mean", "deviation",
    ),
    "What serves as embedding": ("layer", "pooling", "layers", "prefix_tokens", "classes"),
    "What a reader should know": ("publication", "license", "notes", "created_by"),
}  # fmt: skip
"""Fields of a card as it is written, by heading."""

NOTES: Mapping[str, str] = {
    "sha256": "of the weights; checked whenever they are loaded",
    "trained_on": "in words",
    "simulated": "whether that data was simulated",
    "channels": f'of the store, in the network\'s order; "{NO_CHANNEL}" is given as zeros',
    "channel_use": " | ".join(CHANNEL_USES),
    "inputs": "channels of the network's input; 0: as many as channels, or 3 for each pass",
    "size": "side of the crops in pixels; 0: whatever the store has",
    "pixel_size": "micrometres a pixel that the network expects; 0: as the crops are",
    "input_size": "side of the network's input in pixels; 0: the whole crop",
    "fit": " | ".join(FITS),
    "windows": " | ".join(WINDOWS),
    "interpolation": " | ".join(INTERPOLATIONS),
    "scaling": " | ".join(SCALINGS),
    "percentiles": 'of scaling = "percentiles"; []: 0.1 and 99.9',
    "value_range": 'of scaling = "range": what becomes 0 and 1, such as [0, 65535]',
    "mean": "subtracted after scaling, one for each of the network's inputs",
    "deviation": "divided by after that",
    "layer": "its name, or a dotted name within the network",
    "pooling": " | ".join(POOLINGS),
    "layers": "several layers, each of which is a model of its own",
    "prefix_tokens": "tokens before those of patches; -1: as the network says",
    "classes": "names of its outputs, in order",
    "command": "program and arguments",
}
"""What is written behind a field."""


def new_card(
    path: Path | str,
    source: str,
    *,
    channels: Sequence[str],
    weights: Path | str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    **values: Any,
) -> Path:
    """Write a commented card of a model.

    Parameters
    ----------
    path
        The card, a file that ends in `.toml`; its weights lie beside it.
    source
        As `ModelCard.source`.
    channels
        Of the store, in the network's order.
    weights
        The weights file, beside the card; None, the default, where there is none.
    name
        Of the model; the card's file name without its ending by default.
    overwrite
        Whether to replace a card that is there; False by default.
    **values
        Further fields of `ModelCard`.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    UsageError
        The source is not known, or a card is there.
    InputError
        The weights are not beside the card, or a value is wrong.

    Examples
    --------
    >>> from compute import new_card
    >>> card = new_card("mine.toml", "timm:vit_small_patch16_224", channels=["GFP", "RFP"],
    ...     weights="mine.safetensors")  # doctest: +SKIP
    """
    path = Path(path)
    kind = SOURCES[split_source(source)[0]]
    if path.suffix != ".toml":
        raise UsageError(f"{path} does not end in .toml.", "Name the card like mine.toml.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already.", "Give --overwrite, or another name.")
    said: dict[str, Any] = {
        "name": name or path.stem, "trained_on": "not said", "simulated": False,
        "channels": list(channels), **values,
    }  # fmt: skip
    if "scaling" not in source_defaults(source):
        said.setdefault("scaling", "min_max")
    if weights is not None:
        said |= _weights(path, Path(weights))
    elif kind.needs_weights:
        raise UsageError(
            f"A model of {source} needs its weights.",
            f"Give --weights, a {' or '.join(kind.files)} file beside the card.",
        )
    card = make_card(source, **said)
    with writing(path) as temporary:
        temporary.write_text(_text(card), encoding="utf-8")
    return path


def _weights(card: Path, weights: Path) -> dict[str, str]:
    """Return what a card says of its weights.

    Raises
    ------
    InputError
        They are not there, or not beside the card.
    """
    if not weights.is_file():
        raise InputError(f"The weights {weights} are missing.", "Give the path of the file.")
    if weights.resolve().parent != card.resolve().parent:
        raise InputError(
            f"{weights} does not lie beside {card}.", "Put card and weights into one folder."
        )
    return {"weights": weights.name, "sha256": sha256(weights)}


def _text(card: ModelCard) -> str:
    """Return a card with every field under a heading, those that need not be said as notes."""
    written = set(written_fields(card))
    lines = [
        "# A model card. What stands behind # may be said, and is so if it is not said.",
        f"# It is {card.kind.title}.",
    ]
    for heading, names in SECTIONS.items():
        lines += ["", f"# {heading}"]
        for name in names:
            note = NOTES.get(name)
            line = f"{name} = {toml(getattr(card, name))}" + (f"  # {note}" if note else "")
            lines.append(line if name in written else f"# {line}")
    return "\n".join(lines) + "\n"
