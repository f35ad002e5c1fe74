"""What every page knows: the run and the filters that the entry point's sidebar holds."""

from dataclasses import dataclass

import streamlit as st

from dashboard.figures.request import Filters

STATE = "_shared"


@dataclass(frozen=True)
class Shared(Filters):
    """The shared selections.

    Parameters
    ----------
    dark
        Whether the page is dark.
    """

    dark: bool


def keep(shared: Shared) -> None:
    """Leave the shared selections for the page of this script run."""
    st.session_state[STATE] = shared


def current() -> Shared:
    """Return the shared selections of this script run."""
    shared: Shared = st.session_state[STATE]
    return shared
