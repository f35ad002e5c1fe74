"""What a server does once, before the first reader: load every page's code, and set it aside.

Streamlit collects garbage after every run of a page. It then looks at every object there is, most
of which are modules, classes and functions that stay for good: 0.2 s a run. Those that are there
once all code is loaded are taken out of its sight (`gc.freeze`).
"""

import gc
import importlib
from pathlib import Path

import pandas as pd
from plotly import graph_objects

VIEWS = Path(__file__).resolve().parents[1] / "views"
TRACES = ("Scatter", "Bar", "Heatmap")
"""Kinds of Plotly traces in `dashboard.charts`; their classes are loaded at first use."""


def make() -> None:
    """Load the pages and what they draw with."""
    # Tables of a page are small: of Python's own texts they are filtered in half the time.
    pd.set_option("mode.string_storage", "python")
    for file in sorted(VIEWS.glob("[!_]*.py")):
        importlib.import_module(f"dashboard.views.{file.stem}")
    for name in TRACES:
        figure = graph_objects.Figure(getattr(graph_objects, name)())
        figure.update_layout(template="none", xaxis={"title": {"text": "x"}})
        figure.to_dict()
    gc.collect()
    gc.freeze()
