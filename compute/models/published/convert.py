"""Conversion of published weights: one checkpoint in, a model card and its safetensors file out.

Layer: joins `tensorflow_files`, which reads, and `weight_maps`, which rearranges.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from compute.errors import InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import save_card
from compute.models.networks import network_spec
from compute.models.precision import STORED
from compute.models.published.tensorflow_files import Checkpoint, read_checkpoint
from compute.models.published.weight_maps import ConvertedWeights, from_published, layout_of
from compute.models.weights import write_weights
from compute.storage.atomic_files import sha256

NOT_STATED = "not stated: converted from a checkpoint"
"""What a card says of the training data where it was not given."""


def convert(
    network: str,
    checkpoint: Path | str,
    out: Path | str,
    *,
    classes: Path | str | None = None,
    name: str | None = None,
    trained_on: str = NOT_STATED,
    license: str = "",
    dtype: str = STORED,
    created_by: str = "",
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Turn a published checkpoint into weights and a card.

    Parameters
    ----------
    network
        Key of `compute.models.networks.NETWORKS`.
    checkpoint
        Of Keras weights, the file. Of a TensorFlow checkpoint, the part that its files' names have
        in common (the prefix), any of its files, or a folder that holds one checkpoint.
    out
        Folder for `<name>.safetensors` and `<name>.toml`.
    classes
        Text file with the names of the network's outputs, one a line, in order; by default they
        are numbered.
    name
        Name of the model; by default the network's.
    trained_on, license, created_by
        For the card; `NOT_STATED` and empty by default.
    dtype
        How weights are stored: ``"float32"``, the default, or ``"float16"``.
    overwrite
        Whether a card that is there is replaced; False by default.
    say
        Called with a line of text about what was found; silent by default.

    Returns
    -------
    Path
        Path of the card.

    Raises
    ------
    UsageError
        The network does not exist or was not published with weights, a card is there already,
        or TensorFlow is needed and not installed.
    InputError
        The checkpoint cannot be read or does not fit the network, or the class names do not fit
        its outputs.

    Examples
    --------
    >>> from compute import convert
    >>> card = convert(
    ...     "paired_cell", "model_weights.h5", "weights", license="GPL-2.0"
    ... )  # doctest: +SKIP
    """
    spec = network_spec(network)
    name = name or network
    card_file = Path(out) / f"{name}.toml"
    if card_file.exists() and not overwrite:
        raise UsageError(f"{card_file} is there already.", "Give another --name or --overwrite.")
    read = read_checkpoint(layout_of(network).container, checkpoint)
    converted = from_published(network, read.variables)
    names = _class_names(classes, converted)
    say(
        f"{spec.title} at width {converted.width:g}: {len(converted.tensors)} variables"
        + (f", {converted.classes} classes" if spec.classes else "")
    )
    for line in _ignored(converted, read):
        say(line)
    stem = f"{name}.safetensors"
    sources = ", ".join(f"{file.name} (sha256 {sha256(file)})" for file in read.files)
    # Checked before anything is written; the weights' hash follows
    card = make_card(
        network, name=name, weights=stem, sha256="0" * 64, trained_on=trained_on,
        simulated=False, width=converted.width, classes=names, license=license,
        notes=f"Converted from {sources}.", created_by=created_by,
    )  # fmt: skip
    digest = write_weights(Path(out) / stem, converted.tensors, dtype)
    save_card(replace(card, sha256=digest), card_file)
    return card_file


def _class_names(path: Path | str | None, converted: ConvertedWeights) -> list[str]:
    """Read the names of the outputs, or number them."""
    count = converted.classes
    if path is None:
        return [f"class {i}" for i in range(1, count + 1)]
    if not count:
        raise UsageError(
            f"{network_spec(converted.network).title} has no classes.", "Leave out --classes."
        )
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The class names {path} cannot be read: {error}.", "Give a text file, a name a line."
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != count:
        raise InputError(
            f"{path} has {len(names)} names; the checkpoint has {count} outputs.",
            "Give one name a line, in the order of the outputs.",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path} names {', '.join(twice[:5])} twice.", "Every output needs its own."
        )
    return names


def _ignored(converted: ConvertedWeights, read: Checkpoint, named: int = 6) -> list[str]:
    """List in a line what is no weight: the optimiser's state, counters, the object graph."""
    names = [*converted.ignored, *read.elsewhere]
    if not names:
        return []
    more = f", and {len(names) - named} more" if len(names) > named else ""
    listed = ", ".join(names[:named])
    return [f"Ignored, as they are no weights ({len(names)}): {listed}{more}"]
