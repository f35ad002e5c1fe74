"""What every page knows: the run and the filters that the entry point's sidebar holds."""

from dataclasses import dataclass

import streamlit as st

from compute.schema import Probe
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run

STATE = "_shared"


@dataclass(frozen=True)
class Shared:
    """The shared selections.

    Parameters
    ----------
    run
        Which run is shown.
    models, conditions
        Those selected; conditions in reading order.
    dark
        Whether the page is dark.
    """

    run: Run
    protocol: str
    probe: str
    aggregation: str
    models: tuple[str, ...]
    conditions: tuple[str, ...]
    dark: bool

    @property
    def accuracy(self) -> AccuracyFilter:
        """The filter of accuracies."""
        return AccuracyFilter(
            self.protocol, self.probe, self.aggregation, self.models, self.conditions
        )

    @property
    def published(self) -> bool:
        """Whether the run holds a publication's numbers, without cells or answers."""
        return self.run.meta.get("kind") == "published"

    @property
    def altered(self) -> list[str]:
        """The selected conditions other than unaltered."""
        return [name for name in self.conditions if name != "unaltered"]

    @property
    def chance(self) -> float | None:
        """Accuracy by chance."""
        if self.probe == Probe.PAIR:
            return 0.5
        count = len(self.run.localizations)
        return 1 / count if count else None

    @property
    def source(self) -> str:
        """Where the numbers come from, for files that leave the page."""
        kind = "simulated cells" if self.run.simulated else "real cells"
        if self.published:
            kind = "a publication's numbers"
        mark = str(self.run.meta.get("fingerprint", "unfinished"))
        return f"Bystander, run “{self.run.title}” ({kind}, {mark})."


def keep(shared: Shared) -> None:
    """Leave the shared selections for the page of this script run."""
    st.session_state[STATE] = shared


def current() -> Shared:
    """Return the shared selections of this script run."""
    shared: Shared = st.session_state[STATE]
    return shared
