"""What a model card says: its fields, what of each type they take, and what follows from them.

Layer: frozen dataclasses; needs no torch and no files. Nothing is checked here
(`compute.models.card_checks` does, when a `compute.models.card.ModelCard` is made).
"""

from collections.abc import Callable
from dataclasses import dataclass
from shlex import join as join_words
from typing import Any

from compute.models.recipe import CHANNEL_USES, INPUTS, INTERPOLATIONS
from compute.models.sources import SOURCES, Source, split_source


@dataclass(frozen=True)
class CardFields:
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
    head
        Layer that gives these outputs, so that the model's own answer is asked; empty, the default,
        for the source's own, if it has one; `compute.models.own_answer.NO_HEAD` not to ask it.
    head_gives
        Key of `compute.models.own_answer.GIVES`; empty, the default, as is usual of the source.
    own_classes
        Which of `classes` stands for which class of the store, in pairs; empty, the default, to
        find that out by name.
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
    head: str = ""
    head_gives: str = ""
    own_classes: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    revision: str = ""
    code: str = ""
    publication: str = ""
    license: str = ""
    notes: str = ""
    created_by: str = ""

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


@dataclass(frozen=True)
class FieldType:
    """What a field of one annotation takes: a check, words for it, and an example."""

    accepts: Callable[[Any], bool]
    words: str
    example: str


def _is_pair(value: tuple[Any, ...]) -> bool:
    return len(value) == 2 and all(isinstance(item, str) and item for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


TYPES: dict[Any, FieldType] = {
    str: FieldType(lambda v: isinstance(v, str), "text", '"…"'),
    bool: FieldType(lambda v: isinstance(v, bool), "true or false", "true or false"),
    int: FieldType(
        lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number", "64"
    ),
    float: FieldType(_is_number, "a number", "1.0"),
    tuple[str, ...]: FieldType(
        lambda v: isinstance(v, tuple) and all(isinstance(i, str) and i for i in v),
        "a list of names",
        '["…", "…"]',
    ),
    tuple[tuple[str, str], ...]: FieldType(
        lambda v: isinstance(v, tuple) and all(isinstance(p, tuple) and _is_pair(p) for p in v),
        "a table of names",
        '{ "…" = "…" }',
    ),
    tuple[float, ...]: FieldType(
        lambda v: isinstance(v, tuple) and all(map(_is_number, v)),
        "a list of numbers",
        "[0.1, 99.9]",
    ),
}
"""What fields take, by their annotation."""
