"""Checks of a model card's fields, subject by subject; each refusal says what is allowed.

Layer: fields in, errors out; needs no torch and no files.
"""

import re
from dataclasses import fields
from pathlib import Path

from compute.errors import InputError, unknown_value
from compute.models.card_fields import TYPES, CardFields
from compute.models.networks import NetworkSpec
from compute.models.own_answer import check_head
from compute.models.recipe import (
    CHANNEL_USES,
    FITS,
    INTERPOLATIONS,
    NO_CHANNEL,
    POOLINGS,
    WINDOWS,
    channel_problem,
)
from compute.models.scaling import PARAMETERS, scaling_named
from compute.models.sources import UNTRAINED, built_in, split_source

LARGEST = 4096
"""Side of a crop or of a network's input, in pixels, at most."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_card(card: CardFields) -> None:
    """Refuse a card whose fields are of the wrong type, out of range or do not go together.

    Raises
    ------
    InputError
        A value is of the wrong type or out of range.
    UsageError
        The source, scaling, layer, pooling or something else that has a name does not exist.
    """
    for field in fields(card):
        value, check = getattr(card, field.name), TYPES[field.type]
        if not check.accepts(value):
            raise InputError(
                f"Model card: {field.name} = {value!r} is not {check.words}.",
                f"Write {field.name} = {check.example}.",
            )
    spec = built_in(card.source)
    _require(bool(_NAME.fullmatch(card.name)), "name", card.name, "a plain name like pifia-2")
    _check_weights(card)
    _require(
        bool(card.command) == card.kind.needs_command, "command", list(card.command),
        'a program and its arguments, such as ["Rscript", "embed.R"]'
        if card.kind.needs_command else 'nothing, unless source = "command"',
    )  # fmt: skip
    _require(0 < card.width <= 16, "width", card.width, "a number above 0, at most 16")
    _require(0 <= card.seed < 2**63, "seed", card.seed, "a whole number from 0")
    for field_name, value, known in (
        ("channel use", card.channel_use, CHANNEL_USES),
        ("pooling", card.pooling, POOLINGS),
        ("fit", card.fit, FITS),
        ("window arrangement", card.windows, WINDOWS),
        ("interpolation", card.interpolation, dict.fromkeys(INTERPOLATIONS)),
    ):
        if value not in known:
            raise unknown_value(field_name, value, known)
    if spec is None:
        _check_channels(card)
    else:
        _check_built_in(card, spec)
    _check_sizes(card)
    _check_scaling(card)
    check_head(card)
    if card.kind.by_scene:
        _check_raw(card)


def _check_weights(card: CardFields) -> None:
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


def _check_built_in(card: CardFields, spec: NetworkSpec) -> None:
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


def _check_channels(card: CardFields) -> None:
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


def _check_sizes(card: CardFields) -> None:
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


def _check_scaling(card: CardFields) -> None:
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


def _check_raw(card: CardFields) -> None:
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


def _require(holds: bool, field: str, value: object, allowed: str) -> None:
    """Refuse a field's value unless a condition holds."""
    if not holds:
        raise InputError(f"Model card: {field} = {value!r} is not allowed.", f"Allowed: {allowed}.")
