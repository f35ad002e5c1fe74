"""Checks of a model card's fields, subject by subject; each refusal says what is allowed.

Layer: fields in, errors out; needs no torch and no files.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from compute.errors import BystanderError, InputError, together, unknown_value
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


Mistake = tuple[str, BystanderError]
"""A field that is wrong, and the error that says so."""


class _WrongField(Exception):
    """A field was asked for that is known to be wrong, so nothing follows from it."""


class _Partly(CardFields):
    """Fields of which some are wrong or missing; whoever asks for one of these is stopped.

    Parameters
    ----------
    values
        What is there, by field.
    wrong
        Fields that are not to be relied upon; may be added to.
    """

    def __init__(self, values: Mapping[str, Any], wrong: set[str]) -> None:
        object.__setattr__(self, "_wrong", wrong)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __getattribute__(self, name: str) -> Any:
        if name in object.__getattribute__(self, "_wrong"):
            raise _WrongField
        return object.__getattribute__(self, name)


def check_card(card: CardFields) -> None:
    """Refuse a card whose fields are of the wrong type, out of range or do not go together.

    Raises
    ------
    InputError
        A value is of the wrong type or out of range.
    UsageError
        The source, scaling, layer, pooling or something else that has a name does not exist.
    """
    found = mistakes({field.name: getattr(card, field.name) for field in fields(card)})
    if found:
        raise together("Model card", found)


def mistakes(values: Mapping[str, Any], wrong: Collection[str] = ()) -> list[BystanderError]:
    """List what is wrong with a card, one error for each mistake.

    What follows from a wrong field is not looked at, so that no mistake is told twice.

    Parameters
    ----------
    values
        What the card says, by field.
    wrong
        Fields that are known to be wrong or missing; none by default.
    """
    distrusted = set(wrong)
    card = _Partly(values, distrusted)
    found = list[BystanderError]()
    for check in _CHECKS:
        with suppress(_WrongField):
            for field, error in check(card):
                distrusted.add(field)
                found.append(error)
    return found


def _check_types(card: CardFields) -> Iterator[Mistake]:
    for field in fields(CardFields):
        with suppress(_WrongField):
            value, check = getattr(card, field.name), TYPES[field.type]
            if not check.accepts(value):
                yield (
                    field.name,
                    InputError(
                        f"Model card: {field.name} = {value!r} is not {check.words}.",
                        f"Write {field.name} = {check.example}.",
                    ),
                )


def _check_name(card: CardFields) -> Iterator[Mistake]:
    yield from _require(
        bool(_NAME.fullmatch(card.name)), "name", card.name, "a plain name like pifia-2"
    )


def _check_source(card: CardFields) -> Iterator[Mistake]:
    yield from _raised("source", lambda: built_in(card.source))


def _check_command(card: CardFields) -> Iterator[Mistake]:
    yield from _require(
        bool(card.command) == card.kind.needs_command, "command", list(card.command),
        'a program and its arguments, such as ["Rscript", "embed.R"]'
        if card.kind.needs_command else 'nothing, unless source = "command"',
    )  # fmt: skip


def _check_width(card: CardFields) -> Iterator[Mistake]:
    yield from _require(0 < card.width <= 16, "width", card.width, "a number above 0, at most 16")


def _check_seed(card: CardFields) -> Iterator[Mistake]:
    yield from _require(0 <= card.seed < 2**63, "seed", card.seed, "a whole number from 0")


def _check_choices(card: CardFields) -> Iterator[Mistake]:
    """Refuse names that a field cannot have."""
    for kind, field, known in (
        ("channel use", "channel_use", CHANNEL_USES),
        ("pooling", "pooling", POOLINGS),
        ("fit", "fit", FITS),
        ("window arrangement", "windows", WINDOWS),
        ("interpolation", "interpolation", dict.fromkeys(INTERPOLATIONS)),
    ):
        with suppress(_WrongField):
            value = getattr(card, field)
            if value not in known:
                yield field, unknown_value(kind, value, known)


def _check_way_in(card: CardFields) -> Iterator[Mistake]:
    """Refuse what the card's network cannot read, or one of ours cannot do."""
    spec = built_in(card.source)
    yield from _check_channels(card) if spec is None else _check_built_in(card, spec)


def _check_weights(card: CardFields) -> Iterator[Mistake]:
    """Refuse a weights file that the source has no use for, or that is not named as one."""
    kind = card.kind
    yield from _require(
        not card.code or (kind.hashes_module and bool(_SHA256.fullmatch(card.code))), "code",
        card.code, "64 digits 0-9a-f" if kind.hashes_module else "nothing: it names no module",
    )  # fmt: skip
    endings = " or ".join(kind.files)
    unnamed = not card.weights and not card.sha256
    if not card.weights and not kind.needs_weights:
        yield from _require(
            not card.sha256, "sha256", card.sha256, "nothing, as the card names no weights"
        )
        return
    yield from _require(
        bool(kind.files)
        and Path(card.weights).name == card.weights
        and Path(card.weights).suffix in kind.files,
        "weights",
        card.weights,
        f"the name of a {endings} file beside the card" if endings else "nothing: it has none",
    )
    yield from _require(
        bool(_SHA256.fullmatch(card.sha256)) or unnamed, "sha256", card.sha256, "64 digits 0-9a-f"
    )


def _check_built_in(card: CardFields, spec: NetworkSpec) -> Iterator[Mistake]:
    """Refuse what one of our networks cannot do."""
    yield from _require(
        len(card.channels) == len(spec.channels) == len(set(card.channels)),
        "channels",
        list(card.channels),
        f"{len(spec.channels)} different name(s), as {spec.title} reads "
        + " and ".join(spec.channels),
    )
    untrained = split_source(card.source)[0] == UNTRAINED  # nobody reads what its outputs mean
    yield from _require(
        len(card.classes) == len(set(card.classes))
        and (untrained or bool(card.classes) == spec.classes),
        "classes",
        list(card.classes[:5]),
        "different names, one per output" if spec.classes else "empty: it has no classes",
    )
    for layer in (card.layer, *card.layers):
        if layer not in spec.layers:
            yield "layer", unknown_value("embedding layer of " + card.source, layer, spec.layers)
    for name, value, only in (
        ("channel_use", card.channel_use, "together"),
        ("inputs", card.inputs or len(spec.channels), len(spec.channels)),
        ("input_size", card.input_size, spec.input_size),
        ("pooling", POOLINGS[card.pooling].of_map is not None, True),
    ):
        yield from _require(value == only, name, value, f"{only!r}: so {spec.title} was published")


def _check_channels(card: CardFields) -> Iterator[Mistake]:
    """Refuse channels that cannot reach the network as the card says."""
    real = [channel for channel in card.channels if channel != NO_CHANNEL]
    unread = not card.channels and card.kind.any_channels
    yield from _require(
        (bool(real) or unread) and len(set(real)) == len(real),
        "channels",
        list(card.channels),
        "different names, one at least",
    )
    yield from _require(
        0 <= card.inputs <= 64, "inputs", card.inputs, "a whole number from 1 to 64"
    )
    problem = channel_problem(card.channels, card.channel_use, card.network_inputs)
    yield from _require(
        not problem, "channels", list(card.channels), f"{problem}; or another `channel_use`"
    )
    yield from _require(
        len(card.classes) == len(set(card.classes)), "classes", list(card.classes[:5]),
        "different names, one per output",
    )  # fmt: skip
    yield from _require(
        len(card.layers) == len(set(card.layers)), "layers", list(card.layers), "different names"
    )


def _check_sizes(card: CardFields) -> Iterator[Mistake]:
    """Refuse sizes that are out of range or do not go together."""
    several = len(WINDOWS[card.windows]) > 1
    yield from _require(
        0 <= card.input_size <= LARGEST, "input_size", card.input_size,
        f"1 to {LARGEST} pixels, or 0 for whole crops",
    )  # fmt: skip
    least = card.input_size + several if card.fit == "cut" else 1
    for name, value in (("pixel_size", card.pixel_size), ("crop_pixel_size", card.crop_pixel_size)):
        yield from _require(0 <= value < 1e6, name, value, "micrometres a pixel, above 0")
    if card.size:
        yield from _require(
            (card.resampled_size if card.size > 0 else -1) >= least
            and max(card.size, card.resampled_size) <= LARGEST,
            "size",
            card.size,
            f"between {least} and {LARGEST} pixels for {card.windows!r} windows of "
            f"{card.input_size}",
        )
    yield from _require(
        card.input_size > 0 or (card.fit == "cut" and not several),
        "fit",
        card.fit,
        '"cut" from the centre, where `input_size` is not said',
    )
    yield from _require(
        card.fit == "cut" or not several, "windows", card.windows, '"centre", unless fit = "cut"'
    )
    yield from _require(
        not (card.pixel_size and card.fit == "resize"), "fit", card.fit,
        '"pad" or "cut" with a pixel_size, which would be lost by resizing',
    )  # fmt: skip
    yield from _require(
        -1 <= card.prefix_tokens <= 64, "prefix_tokens", card.prefix_tokens, "0 to 64"
    )


def _check_scaling(card: CardFields) -> Iterator[Mistake]:
    """Refuse numbers that a scaling has no use for, or that are not as it needs them."""
    yield from _raised("scaling", lambda: scaling_named(card.scaling))
    for name, wanted in (("percentiles", 100.0), ("value_range", 1e30)):
        value = getattr(card, name)
        used = name in PARAMETERS.get(card.scaling, ())
        right = len(value) == 2 and value[0] < value[1] <= wanted
        if name == "percentiles":
            right = right and value[0] >= 0
        yield from _require(
            (right or (not value and name == "percentiles")) if used else not value,
            name,
            list(value),
            "two numbers, the lower first" if used else f"nothing: {card.scaling} does not use it",
        )
    for name in ("mean", "deviation"):
        value = getattr(card, name)
        yield from _require(
            len(value) in (0, card.network_inputs)
            and (name == "mean" or min(value, default=1) > 0),
            name,
            list(value),
            f"{card.network_inputs} numbers, one for each of the network's inputs",
        )


def _check_raw(card: CardFields) -> Iterator[Mistake]:
    """Refuse anything that would be done to crops whose masks must fit them."""
    if not card.kind.by_scene:
        return
    for name, value, only in (
        ("scaling", card.scaling, "none"),
        ("input_size", card.input_size, 0),
        ("pixel_size", card.pixel_size, 0),
        ("channel_use", card.channel_use, "together"),
        ("mean", card.mean, ()),
        ("deviation", card.deviation, ()),
    ):
        yield from _require(value == only, name, value, f"{only!r}: it reads crops as they are")


def _check_own_answer(card: CardFields) -> Iterator[Mistake]:
    yield from _raised("head", lambda: check_head(card))


_CHECKS = (
    _check_types, _check_name, _check_source, _check_command, _check_width, _check_seed,
    _check_choices, _check_weights, _check_way_in, _check_sizes, _check_scaling, _check_own_answer,
    _check_raw,
)  # fmt: skip
"""All checks, types first: the others rely on them."""


def _raised(field: str, check: Callable[[], object]) -> Iterator[Mistake]:
    """Yield the error that a check of a field raises, if it does."""
    try:
        check()
    except BystanderError as error:
        yield field, error


def _require(holds: bool, field: str, value: object, allowed: str) -> Iterator[Mistake]:
    """Refuse a field's value unless a condition holds."""
    if not holds:
        yield (
            field,
            InputError(f"Model card: {field} = {value!r} is not allowed.", f"Allowed: {allowed}."),
        )
