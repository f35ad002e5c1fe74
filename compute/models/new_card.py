"""Writes a commented model card to begin with: what must be said filled in, the rest as notes.

Layer: a source's name or a preset's, and a weights file in, a TOML file out; needs no torch, but
for the hash of a folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard, make_card, source_defaults
from compute.models.card_files import toml, written_fields
from compute.models.own_answer import GIVES, NO_HEAD
from compute.models.presets.preset import Preset
from compute.models.presets.registry import preset_named
from compute.models.recipe import CHANNEL_USES, FITS, INTERPOLATIONS, NO_CHANNEL, POOLINGS, WINDOWS
from compute.models.scaling import SCALINGS
from compute.models.sources import SOURCES, split_source
from compute.storage.atomic_files import sha256, writing

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "What it is": (
        "name", "source", "weights", "sha256", "revision", "code", "command", "trained_on",
        "simulated",
    ),
    "How channels reach the network": ("channels", "channel_use", "inputs"),
    "How crops come to its size": (
        "size", "pixel_size", "input_size", "fit", "windows", "interpolation",
    ),
    "How intensities are scaled": (
        "scaling", "percentiles", "value_range", "mean", "deviation",
    ),
    "What serves as embedding": ("layer", "pooling", "layers", "prefix_tokens"),
    "Its own answer": ("classes", "head", "head_gives", "own_classes"),
    "What a reader should know": ("publication", "license", "notes", "created_by"),
}  # fmt: skip
"""Fields of a card as it is written, by heading."""

NOTES: Mapping[str, str] = {
    "sha256": "of the weights; checked whenever they are loaded",
    "revision": "of code that it brings",
    "code": "SHA-256 of the Python file of a function; a run notes it anyhow",
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
    "head": f'layer that gives them; "{NO_HEAD}": not asked',
    "head_gives": " | ".join(GIVES),
    "own_classes": 'which stands for which class of the store: { "Nuclear" = "nucleus" }',
    "command": "program and arguments",
}
"""What is written behind a field."""


def new_card(
    path: Path | str,
    source: str = "",
    *,
    channels: Sequence[str],
    preset: str | None = None,
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
        As `ModelCard.source`; empty, the default, for the preset's.
    channels
        Of the store, in the network's order.
    preset
        Name in `compute.models.presets.registry`, whose recipe the card gets; None, the default,
        for none. A Python file that it needs is written beside the card, unless one is there.
    weights
        The weights file, beside the card, or in the folder that a source of transformers names;
        None, the default, where there is none.
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
        The source or the preset is not known, or does not go with the other or the channels; or a
        card is there, or the weights are not given.
    InputError
        The weights are not where they belong, or a value is wrong.

    Examples
    --------
    >>> from compute import new_card
    >>> card = new_card("mine.toml", "timm:vit_small_patch16_224", channels=["GFP", "RFP"],
    ...     weights="mine.safetensors")  # doctest: +SKIP
    >>> card = new_card("dino.toml", preset="dinov2-small", channels=["GFP"],
    ...     weights="dinov2/model.safetensors")  # doctest: +SKIP
    """
    path = Path(path)
    chosen = None if preset is None else preset_named(preset)
    if chosen is None and not source:
        raise UsageError(
            "Neither a source nor a preset is given.",
            "`bystander models` lists both; the presets' names follow --preset.",
        )
    if path.suffix != ".toml":
        raise UsageError(f"{path} does not end in .toml.", "Name the card like mine.toml.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already.", "Give --overwrite, or another name.")
    if chosen is not None:
        chosen.check_channels(channels)
        if source:
            chosen.check_source(source)
        elif weights is not None:
            source = _beside(chosen.source, path, Path(weights))
        else:
            source = chosen.source
        values = {**chosen.values, **values}
    said: dict[str, Any] = {
        "name": name or path.stem, "trained_on": "not said", "simulated": False,
        "channels": list(channels), **values,
    }  # fmt: skip
    if "scaling" not in source_defaults(source):
        said.setdefault("scaling", "min_max")
    said |= _files(path, source, weights, chosen, said)
    card = make_card(source, **said)
    if chosen is not None and chosen.helper[0]:
        _write_helper(path.parent / chosen.helper[0], chosen.helper[1])
    with writing(path) as temporary:
        temporary.write_text(_text(card, chosen), encoding="utf-8")
    return path


def _beside(source: str, card: Path, weights: Path) -> str:
    """Return a preset's source with the folder that its weights lie in, where it names one."""
    kind = split_source(source)[0]
    folder = weights.resolve().parent
    if kind == "transformers" and folder.parent == card.resolve().parent:
        return f"{kind}:{folder.name}"
    return source


def _files(
    card: Path, source: str, weights: Path | str | None, preset: Preset | None, said: dict[str, Any]
) -> dict[str, str]:
    """Return what a card says of its weights, and of the code that a folder brings.

    Raises
    ------
    UsageError
        The source needs weights, and none are given.
    InputError
        They are not where they belong.
    """
    name, argument = split_source(source)
    kind = SOURCES[name]
    found: dict[str, str] = {}
    if name == "transformers":
        folder = card.parent / argument
        usual = folder / source_defaults(source)["weights"]
        if weights is None and usual.is_file():
            weights = usual
    if name == "torchhub" and not said.get("revision"):
        folder = card.parent / argument.rpartition("#")[0]
        if folder.is_dir():
            from compute.models.loaders.torch_hub import code_digest

            found["revision"] = code_digest(folder)
    if weights is None:
        if kind.needs_weights:
            steps = "" if preset is None else " ".join(preset.steps) + " "
            where = f"in the folder {argument}" if name == "transformers" else "beside the card"
            raise UsageError(
                f"A model of {source} needs its weights.",
                f"{steps}Give --weights, a {' or '.join(kind.files)} file {where}.",
            )
        return found
    if name == "transformers":
        return found | _folder_weights(folder, Path(weights), said["name"])
    return found | _weights(card, Path(weights))


def _folder_weights(folder: Path, weights: Path, name: str) -> dict[str, str]:
    """Return what a card says of weights in a folder of transformers.

    Raises
    ------
    InputError
        They are not there, or not in the folder.
    """
    from compute.models.loaders.transformers_models import folder_digest

    if not weights.is_file():
        raise InputError(f"The weights {weights} are missing.", "Give the path of the file.")
    if weights.resolve().parent != folder.resolve():
        raise InputError(
            f"{weights} does not lie in {folder}, the folder that the source names.",
            "Put config.json and the weights into one folder beside the card.",
        )
    return {"weights": weights.name, "sha256": folder_digest(folder, name, weights.name)}


def _write_helper(path: Path, text: str) -> None:
    """Write a preset's Python file, unless one is there."""
    if not path.exists():
        with writing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


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


def _text(card: ModelCard, preset: Preset | None) -> str:
    """Return a card with every field under a heading, those that need not be said as notes."""
    written = set(written_fields(card))
    lines = [
        "# A model card. What stands behind # may be said, and is so if it is not said.",
        f"# It is {card.kind.title}.",
    ]
    if preset is not None:
        lines += ["#", *(f"# {line}" for line in preset.comments())]
    for heading, names in SECTIONS.items():
        lines += ["", f"# {heading}"]
        for name in names:
            note = NOTES.get(name)
            line = f"{name} = {toml(getattr(card, name))}" + (f"  # {note}" if note else "")
            lines.append(line if name in written else f"# {line}")
    return "\n".join(lines) + "\n"
