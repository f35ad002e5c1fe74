"""One colour per condition, one colour and symbol per model, on light and on dark. Data only.

The colours of each family were chosen so that any two differ by at least 14 (CIEDE2000) to normal
sight and under simulated protanopia, deuteranopia and tritanopia (Machado et al. 2009), and stand
out from the background by at least 3:1 (WCAG 2.2, 1.4.11); `tests/dashboard/test_theme.py`
measures both.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from compute.schema import CONDITIONS, Condition


@dataclass(frozen=True)
class Ink:
    """A colour on a light page and one on a dark page, each as ``#rrggbb``."""

    light: str
    dark: str

    def on(self, dark: bool) -> str:
        """Return the colour for a page that is dark or not."""
        return self.dark if dark else self.light


@dataclass(frozen=True)
class Mark:
    """How a model is drawn.

    Parameters
    ----------
    ink
        Its colour.
    symbol
        Plotly's name of its symbol.
    character
        The same symbol as a character.
    dash
        Plotly's name of its line's dashes.
    """

    ink: Ink
    symbol: str
    character: str
    dash: str


CONDITION_INKS: dict[Condition, Ink] = {
    Condition.UNALTERED: Ink("#333a45", "#e8eaee"),
    Condition.SAME: Ink("#0873f3", "#6c9cff"),
    Condition.DIFFERENT: Ink("#ac3101", "#ff5223"),
    Condition.CELL_FREE: Ink("#1b7e58", "#4bf0a5"),
    Condition.MASKED: Ink("#70028b", "#6d5bdb"),
    Condition.SHAM: Ink("#9d8f90", "#7a797a"),
    Condition.ALONE: Ink("#4b1e00", "#875a4b"),
    Condition.SAME_PROTEIN: Ink("#0000ff", "#b4d2ff"),
    Condition.CONFLICTING: Ink("#93597f", "#d095b3"),
    Condition.BACKGROUND_ONLY: Ink("#b8821e", "#eae73b"),
}

MODEL_MARKS: tuple[Mark, ...] = (
    Mark(Ink("#2540ef", "#2689ff"), "circle", "●", "solid"),
    Mark(Ink("#c38515", "#c99641"), "square", "■", "dash"),
    Mark(Ink("#3ca087", "#7ce8bb"), "diamond", "◆", "dot"),
    Mark(Ink("#690261", "#df3186"), "triangle-up", "▲", "dashdot"),
    Mark(Ink("#6c5e00", "#f9f92d"), "triangle-down", "▼", "longdash"),
    Mark(Ink("#525e5a", "#c4c6e8"), "pentagon", "⬟", "longdashdot"),
)
"""In order; `KNOWN_MODELS` take the first ones whatever a run holds."""

KNOWN_MODELS: dict[str, str] = {
    "pifia": "PIFiA",
    "paired_cell": "Paired Cell Inpainting",
    "deeploc": "DeepLoc",
}
"""Built-in networks with their names as shown."""

SHORT_MODELS = {**KNOWN_MODELS, "paired_cell": "Paired Cell"}

CHANNEL_INKS: tuple[tuple[str, str], ...] = (
    ("#00ffff", "cyan"),
    ("#ff00ff", "magenta"),
    ("#ffff00", "yellow"),
    ("#2b48d9", "blue"),
    ("#ff6a00", "orange"),
    ("#24b26b", "green"),
)
"""Colours of a store's channels in its order, with their names; on the black of an image any two
differ by at least 11 (CIEDE2000), whoever looks."""

OTHER_CHANNELS = ("#8c8c8c", "grey")
"""The colour of channels for which none is left."""

TEXT = Ink("#1b1f27", "#e8eaee")
MUTED = Ink("#5b6472", "#a3acba")
GRID = Ink("#e3e7ee", "#2c333f")
PAGE = Ink("#ffffff", "#12151c")
ALERT = Ink("#ac3101", "#ff7a55")
"""A changed answer; always together with a word or an arrow."""

BLUES = (Ink("#ffffff", "#12151c"), Ink("#0b3d91", "#9cc2ff"))
"""Both ends of the scale of heat maps."""

DIVERGING = (Ink("#0b57c4", "#6c9cff"), Ink("#ffffff", "#12151c"), Ink("#ac3101", "#ff7a55"))
"""Below zero, zero, above: blue and orange are told apart with any kind of colour blindness."""


def model_title(name: str, short: bool = False) -> str:
    """Return a model's name as shown; of a layer of a built-in network, ``DeepLoc, fc_2``."""
    titles = SHORT_MODELS if short else KNOWN_MODELS
    network, dot, layer = name.partition(".")
    if dot and layer and network in titles:
        return f"{titles[network]}, {layer}"
    return titles.get(name, name)


def condition_title(name: str) -> str:
    """Return a condition's name as shown."""
    return CONDITIONS[Condition(name)].title


def condition_ink(name: str) -> Ink:
    """Return a condition's colour."""
    return CONDITION_INKS[Condition(name)]


def model_marks(names: Iterable[str]) -> dict[str, Mark]:
    """Give each model its mark: built-in ones their own, others the next free, by name.

    Beyond the sixth model colours come round again with the next symbol.
    """
    marks = {name: MODEL_MARKS[i] for i, name in enumerate(KNOWN_MODELS)}
    free = len(KNOWN_MODELS)
    for name in sorted(set(names) - set(KNOWN_MODELS)):
        turn, slot = divmod(free, len(MODEL_MARKS))
        shape = MODEL_MARKS[(slot + turn) % len(MODEL_MARKS)]
        marks[name] = Mark(MODEL_MARKS[slot].ink, shape.symbol, shape.character, shape.dash)
        free += 1
    return marks


def channel_inks(shown: Iterable[int]) -> list[tuple[str, str]]:
    """Return a colour, with its name, for each channel that is shown together with others.

    Parameters
    ----------
    shown
        Numbers of channels in a store, from 0. The first `CHANNEL_INKS` ones have a colour of
        their own, whatever else is shown; others take one whose channel is not shown, in order,
        and are grey where all are taken.

    Examples
    --------
    >>> from dashboard.theme import channel_inks
    >>> [name for _, name in channel_inks([1, 0])]
    ['magenta', 'cyan']
    >>> [name for _, name in channel_inks([0, 2, 3, 4, 5, 7, 8])]
    ['cyan', 'yellow', 'blue', 'orange', 'green', 'magenta', 'grey']
    """
    numbers = list(shown)
    free = [ink for i, ink in enumerate(CHANNEL_INKS) if i not in numbers]
    found = []
    for number in numbers:
        if number < len(CHANNEL_INKS):
            found.append(CHANNEL_INKS[number])
        else:
            found.append(free.pop(0) if free else OTHER_CHANNELS)
    return found


def models_in_order(names: Iterable[str]) -> list[str]:
    """Return models in the order of their marks: built-in ones first, others by name."""
    present = set(names)
    return [name for name in model_marks(present) if name in present]


def in_order(conditions: Iterable[str]) -> list[str]:
    """Return known conditions in the order of `compute.schema.CONDITIONS`: the paper's first."""
    known = set(conditions)
    return [str(c) for c in CONDITIONS if str(c) in known]
