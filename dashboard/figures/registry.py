"""All figures by name, and the way from a key in an address to a slide."""

from collections.abc import Iterable, Mapping
from typing import Any

from compute.errors import BystanderError, unknown_values
from dashboard.figures import accuracy, answers, compare, crops, proteins
from dashboard.figures.figure import Figure
from dashboard.figures.keys import FigureKey
from dashboard.figures.parameters import short
from dashboard.figures.slide import Slide
from dashboard.queries.comparable_runs import Ask
from dashboard.queries.open_runs import Run


def registered(entries: Iterable[Figure[Any]]) -> dict[str, Figure[Any]]:
    """Return entries by name.

    Raises
    ------
    ValueError
        Two of them have the same name.
    """
    found: dict[str, Figure[Any]] = {}
    for entry in entries:
        if entry.name in found:
            raise ValueError(
                f"Two figures are called {entry.name!r}: {found[entry.name].title!r} and "
                f"{entry.title!r}. A name stands for one figure in an address; give one another."
            )
        found[entry.name] = entry
    return found


FIGURES = registered(
    (
        *accuracy.FIGURES,
        *answers.FIGURES,
        *proteins.FIGURES,
        *crops.FIGURES,
        *compare.FIGURES,
    )
)
"""All figures, by the name that an address holds."""

KEPT = {name: entry for name, entry in FIGURES.items() if entry.kept}
"""Those that can be kept for presenting."""


def require_known(keys: Iterable[FigureKey]) -> None:
    """Refuse names that no figure has, all of them at once.

    Raises
    ------
    UsageError
        There are some; names them and what there is.
    """
    unknown = dict.fromkeys(short(key.name) for key in keys if key.name not in KEPT)
    if unknown:
        raise unknown_values("figure", unknown, KEPT)


def slide(key: FigureKey, run: Run, ask: Ask, open_runs: Mapping[str, Run] | None = None) -> Slide:
    """Make the slide of a figure that was kept.

    Parameters
    ----------
    key
        As it stood in an address.
    run
        Of which run.
    ask
        Answers queries.
    open_runs
        All open runs by key, for comparisons; `run` alone where not given.

    Raises
    ------
    BystanderError
        The key is not understood, or the run lacks what the figure needs.
    """
    require_known([key])
    entry = KEPT[key.name]
    made = entry.slide(entry.checked(key, run, ask, open_runs))
    if made.empty:
        raise BystanderError(f"{made.title}.", "The run has nothing to show for this figure.")
    return made
