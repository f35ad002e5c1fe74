"""The cells that a run shows of its store, so that nobody has to trust an import unseen."""

import pandas as pd

from dashboard.queries.open_runs import Run


def tiles(run: Run) -> pd.DataFrame:
    """Return the run's mosaic in the order in which it is shown.

    Returns
    -------
    pandas.DataFrame
        The columns of `compute.schema.MOSAIC`: first cells without a flag, then flag by flag.
    """
    return run.query("SELECT * FROM {mosaic}", ("mosaic",))


def count(run: Run) -> int:
    """Count the cells of a run's mosaic; a run that keeps no crops to look at has none."""
    return int(run.query("SELECT count(*) AS n FROM {mosaic}", ("mosaic",))["n"].iloc[0])
