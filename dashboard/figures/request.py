"""What a figure is asked for: a run, a reader's filters, the figure's own parameters.

The same whether it comes from a page's widgets or from a key in an address. Pure data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compute.errors import BystanderError
from compute.schema import PROBES, Aggregation, Probe, Protocol
from dashboard import theme
from dashboard.figures import keys
from dashboard.figures.keys import FigureKey
from dashboard.queries import accuracy
from dashboard.queries.comparable_runs import PUBLISHED, Ask
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run

FIRST = (str(Protocol.REFIT), str(Probe.PAIR), str(Aggregation.ALL))
"""Protocol, probe and aggregation where a reader has chosen none."""


@dataclass(frozen=True)
class Filters:
    """A run and what of it is shown: what the sidebar holds.

    Parameters
    ----------
    run
        Which run.
    protocol, probe, aggregation
        How accuracies are measured (`compute.schema`).
    models, conditions
        Those that are shown; models in the order of their marks, conditions in reading order.
    """

    run: Run
    protocol: str
    probe: str
    aggregation: str
    models: tuple[str, ...]
    conditions: tuple[str, ...]

    @classmethod
    def usual(
        cls,
        run: Run,
        protocol: str = FIRST[0],
        probe: str = FIRST[1],
        aggregation: str = FIRST[2],
    ) -> "Filters":
        """Return the filters that show every model and condition of a run.

        Under `own` only the models that have a head are there, and they are asked about all classes
        at once.
        """
        if protocol == Protocol.OWN:
            probe = str(Probe.MULTICLASS)
        models = tuple(theme.models_in_order(run.models_under(protocol)))
        conditions = tuple(theme.in_order(run.conditions))
        return Filters(run, protocol, probe, aggregation, models, conditions)

    @property
    def accuracy(self) -> AccuracyFilter:
        """The filter of accuracies."""
        return AccuracyFilter(
            self.protocol, self.probe, self.aggregation, self.models, self.conditions
        )

    @property
    def altered(self) -> list[str]:
        """The conditions that are shown, other than unaltered."""
        return [name for name in self.conditions if name != "unaltered"]

    @property
    def chance(self) -> float | None:
        """A probe's number by chance, from 0 to 1; None where there is none, or no classes."""
        chance, count = PROBES[Probe(self.probe)].chance, len(self.run.localizations)
        if chance == "half":
            return 0.5
        return 1 / count if count and chance == "classes" else None

    @property
    def published(self) -> bool:
        """Whether the run holds a publication's numbers, without cells or answers."""
        return self.run.meta.get("kind") == PUBLISHED


@dataclass(frozen=True)
class Request(Filters):
    """What an entry of `registry.FIGURES` takes: every value is one of what the run has.

    Parameters
    ----------
    key
        The figure and its choices as they stand in an address.
    ask
        Answers queries: `dashboard.cache.ask`, or `comparable_runs.directly`.
    values
        The figure's own parameters as text, defaults filled in.
    open_runs
        All open runs by key, for comparisons.
    """

    key: FigureKey
    ask: Ask = field(repr=False, compare=False)
    values: Mapping[str, str] = field(default_factory=dict)
    open_runs: Mapping[str, Run] = field(default_factory=dict, repr=False)

    def query(self, query: Callable[..., Any], *values: object) -> Any:
        """Answer a query of `dashboard.queries` about the run."""
        return self.ask(self.run, query, *values)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs whose numbers are shown: those that the figure names, else the one run."""
        ends = [self.values[end] for end in ("first", "second") if end in self.values]
        named = [*keys.split(self.values.get("runs", "")), *(keys.split(end)[0] for end in ends)]
        return tuple(self.open_runs[name] for name in dict.fromkeys(named)) or (self.run,)

    @property
    def condition(self) -> str:
        """The condition that is compared with unaltered."""
        return self.values["condition"]

    @property
    def model(self) -> str:
        """The one model that is shown."""
        return self.values["model"]

    @property
    def protein(self) -> str:
        """The one protein that is shown."""
        return self.values["protein"]

    @property
    def threshold(self) -> float:
        """From which total variation on a shift is substantial, from 0 to 1."""
        return float(self.values["threshold"])


def first_choice(run: Run, ask: Ask) -> tuple[str, str, str]:
    """Return the protocol, probe and aggregation that a run shows at first: `FIRST` if it can."""
    if not run.has("accuracy"):
        return FIRST
    try:
        found = ask(run, accuracy.choices)
    except BystanderError:
        return FIRST
    there = [(str(a), str(b), str(c)) for a, b, c in found.iloc[:, :3].to_numpy()]
    return FIRST if FIRST in there or not there else there[0]
