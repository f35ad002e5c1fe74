"""Every figure that can be kept: what an address may name, and how it becomes a slide."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from compute.errors import BystanderError, unknown_value
from dashboard.queries.comparable_runs import Ask
from dashboard.queries.open_runs import Run
from dashboard.report import keys, makers
from dashboard.report.keys import FigureKey
from dashboard.report.requests import Kind, Request, checked, short
from dashboard.report.slides import Slide


@dataclass(frozen=True)
class FigureSpec:
    """A figure that can be kept.

    Parameters
    ----------
    title
        What it is, for lists.
    make
        Makes it.
    parameters
        Its own parameters; those in `needed` have no default.
    filters
        Which of the sidebar's filters it follows.
    tables
        What a run must have.
    """

    title: str
    make: Callable[[Request], Slide]
    parameters: Mapping[str, Kind] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    filters: tuple[str, ...] = keys.SHARED
    tables: tuple[str, ...] = ("accuracy",)


def build(key: FigureKey, run: Run, ask: Ask, library: Mapping[str, Run]) -> Slide:
    """Make a figure.

    Raises
    ------
    BystanderError
        The key is not understood, or the run lacks what the figure needs.
    """
    if key.name not in FIGURES:
        raise unknown_value("figure", short(key.name), FIGURES)
    spec = FIGURES[key.name]
    asked = checked(key, spec.parameters, spec.needed, spec.filters, run, ask, library)
    made = spec.make(asked)
    if made.empty:
        raise BystanderError(f"{made.title}.", "The run has nothing to show for this figure.")
    return made


_OF_MODELS = ("protocol", "models", "conditions")
_PAIR_OF = {"first": Kind.ENTRY, "second": Kind.ENTRY, "condition": Kind.CONDITION}

FIGURES: dict[str, FigureSpec] = {
    "finding": FigureSpec(
        "The finding in words", makers.finding_figure, tables=("accuracy", "effects")
    ),
    "accuracy": FigureSpec(
        "Accuracy by condition", makers.accuracy_figure, {"published": Kind.YES}
    ),
    "gap": FigureSpec("The background gap", makers.gap_figure, tables=("effects",)),
    "by_class": FigureSpec(
        "Each class against its unaltered accuracy",
        makers.by_class_figure,
        {"condition": Kind.CONDITION},
    ),
    "protocols": FigureSpec("Refit against frozen", makers.protocols_figure, tables=("effects",)),
    "grid": FigureSpec(
        "Centre class by background class, pair tests",
        makers.grid_figure,
        {"model": Kind.MODEL, "condition": Kind.CONDITION},
        filters=("protocol",),
        tables=("pairwise",),
    ),
    "backgrounds": FigureSpec(
        "Centre class by background class, all classes at once",
        makers.backgrounds_figure,
        {"model": Kind.MODEL, "condition": Kind.CONDITION, "kind": Kind.CHOICE},
        filters=("protocol",),
        tables=("backgrounds",),
    ),
    "flips": FigureSpec("Answers that change", makers.flips_figure, tables=("flips",)),
    "rescaling": FigureSpec(
        "Rescaling against context", makers.rescaling_figure, tables=("rescaling",)
    ),
    "calibration": FigureSpec(
        "Calibration error", makers.calibration_figure, tables=("calibration",)
    ),
    "reliability": FigureSpec(
        "Reliability",
        makers.reliability_figure,
        {"condition": Kind.CONDITION},
        tables=("reliability",),
    ),
    "histogram": FigureSpec(
        "Proteins by shift",
        makers.histogram_figure,
        {"model": Kind.MODEL, "condition": Kind.CONDITION, "threshold": Kind.SHARE},
        filters=("protocol",),
        tables=("shifts",),
    ),
    "curve": FigureSpec(
        "Proteins shifted over all thresholds",
        makers.curve_figure,
        {"condition": Kind.CONDITION, "threshold": Kind.SHARE},
        filters=("protocol", "models"),
        tables=("shifts",),
    ),
    "shares": FigureSpec(
        "Proteins shifted by condition",
        makers.shares_figure,
        {"threshold": Kind.SHARE},
        filters=_OF_MODELS,
        tables=("shifts",),
    ),
    "protein": FigureSpec(
        "One protein's distribution",
        makers.protein_figure,
        {"protein": Kind.PROTEIN, "condition": Kind.CONDITION},
        ("protein",),
        _OF_MODELS,
        ("distributions",),
    ),
    "protein_conditions": FigureSpec(
        "One protein under every condition",
        makers.protein_conditions_figure,
        {"protein": Kind.PROTEIN},
        ("protein",),
        _OF_MODELS,
        ("distributions",),
    ),
    "moves": FigureSpec(
        "How one protein's cells moved",
        makers.moves_figure,
        {"protein": Kind.PROTEIN, "condition": Kind.CONDITION},
        ("protein",),
        _OF_MODELS,
        ("predictions",),
    ),
    "swap": FigureSpec(
        "One cell on every background",
        makers.swap_figure,
        {"cell": Kind.CELL},
        filters=_OF_MODELS,
        tables=("examples",),
    ),
    "leaderboard": FigureSpec(
        "Leaderboard",
        makers.leaderboard_figure,
        {"condition": Kind.CONDITION, "sort": Kind.SORT, "runs": Kind.RUNS},
        filters=("protocol", "probe", "aggregation"),
    ),
    "shift_pairs": FigureSpec(
        "Two models' shifts",
        makers.shift_pairs_figure,
        {**_PAIR_OF, "threshold": Kind.SHARE},
        ("first", "second"),
        ("protocol",),
        ("shifts",),
    ),
    "class_pairs": FigureSpec(
        "Two models' drops by class",
        makers.class_pairs_figure,
        _PAIR_OF,
        ("first", "second"),
        ("protocol", "probe", "aggregation"),
        ("effects",),
    ),
}
"""All figures, by the name that an address holds."""
