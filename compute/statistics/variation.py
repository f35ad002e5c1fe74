"""Whether one class fits all cells of a protein: proteins whose localization varies.

Layer: pure arrays and tables, no files. A protein has several localizations where people gave it
several labels. Others vary from cell to cell and have one label, or none. These are found from the
probe's answers: if all cells lay in one class, each answer would be uncertain about that one class
only.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import logsumexp

from compute.schema import VARIATION, Population
from compute.statistics.bootstrap import wilson
from compute.statistics.calibration import heat
from compute.statistics.config import ALPHA, SUBSTANTIAL
from compute.statistics.protein_shifts import CellAnswers
from compute.statistics.shifts import benjamini_hochberg

PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of cells in a second class among which the alternative is averaged."""


def one_class_evidence(
    probabilities: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    r"""Weigh for each class the evidence that not all cells of a protein lie in it.

    With calibrated probabilities the likelihood of a cell's crop under class j over that under
    class k is $p_j \pi_k / (p_k \pi_j)$, whose mean is 1 where the cell lies in k. So is that of
    its mixture with 1, and of products over independent cells, and of averages of such products:
    the average over all second classes j and shares in `PARTS` is an e-value (Vovk and Wang 2021,
    doi:10.1214/20-AOS2020). Where k is true it exceeds 1 / α with a probability of at most α.

    Parameters
    ----------
    probabilities
        Calibrated probabilities of the protein's cells, shape (cells, K).
    prior
        Share of each class among the cells that the probe was fitted on, shape (K,); classes with
        0 are left out.

    Returns
    -------
    ndarray
        Natural logarithm of the e-value against each class, shape (K,); infinite for classes that
        are left out.
    """
    known = np.flatnonzero(prior > 0)
    found = np.full(len(prior), np.inf)
    if len(known) < 2:
        return found
    log = np.log(np.maximum(probabilities[:, known], np.finfo(float).tiny)) - np.log(prior[known])
    parts = np.array(PARTS)[:, None, None]
    for place, k in enumerate(known):
        ratio = np.exp(np.clip(np.delete(log, place, 1) - log[:, [place]], -700, 700))
        evidence = np.log1p(parts * (ratio - 1)).sum(1)
        found[k] = logsumexp(evidence) - np.log(evidence.size)
    return found


def least_evidence(
    probabilities: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[float, int]:
    """Return the evidence against the class that fits best, and that class.

    Parameters
    ----------
    probabilities, prior
        As for `one_class_evidence`.

    Returns
    -------
    log_e : float
        Natural logarithm of an e-value for “one class fits all cells”, whichever it is.
    best : int
        The class with the least evidence against it.

    Examples
    --------
    Six cells that all look alike, however uncertain, vary less than three of each of two kinds:

    >>> import numpy as np
    >>> alike, kinds = np.tile([0.55, 0.45], (6, 1)), np.repeat([[0.95, 0.05], [0.05, 0.95]], 3, 0)
    >>> even = np.array([0.5, 0.5])
    >>> [round(least_evidence(p, even)[0], 1) for p in (alike, kinds)]
    [-0.5, 4.3]
    """
    evidence = one_class_evidence(probabilities, prior)
    best = int(evidence.argmin())
    return float(evidence[best]), best


@dataclass
class Variation:
    """Whether one class fits all cells, of one model's proteins.

    Parameters
    ----------
    prior
        As for `one_class_evidence`.
    temperature
        Makes the probe's probabilities calibrated.
    names
        Class names.
    first
        First cell of each protein that was added.
    rows
        A row per protein that was added.
    """

    prior: NDArray[np.float64]
    temperature: float
    names: Sequence[str]
    first: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, answers: CellAnswers) -> None:
        """Weigh the evidence of some whole proteins' unaltered answers."""
        calibrated = heat(answers.mean, self.temperature)
        for block in answers.proteins():
            log_e, best = least_evidence(calibrated[block], self.prior)
            self.first.append(int(answers.cell[block.start]))
            self.rows.append(
                {"log_e": log_e, "best": self.names[best], "n_cells": block.stop - block.start}
            )

    def table(self, cells: pd.DataFrame, model: str) -> pa.Table:
        """Return the table `VARIATION`.

        The reciprocal of an e-value is a p-value (Markov's inequality). Of e-values the
        Benjamini-Hochberg adjustment holds whatever their dependence (Wang and Ramdas 2022,
        doi:10.1111/rssb.12489).

        Parameters
        ----------
        cells
            The store's `cells`.
        model
            Name of the model.
        """
        if not self.rows:
            return VARIATION.empty_table()
        frame = pd.DataFrame(self.rows).assign(model=model)
        frame["p_value"] = np.exp(-np.maximum(frame["log_e"], 0))
        frame["q_value"] = benjamini_hochberg(frame["p_value"].to_numpy())
        there = cells.iloc[self.first]
        for name in ("protein", "orf", "labels"):
            frame[name] = there[name].array
        return pa.Table.from_pandas(frame[VARIATION.names], VARIATION, preserve_index=False)


def mixed_rows(shifts: pd.DataFrame, varying: Set[str]) -> Iterator[dict[str, Any]]:
    """Count how many proteins with mixed localization shift substantially.

    Parameters
    ----------
    shifts
        Rows of `SHIFTS` of one model, condition and protocol.
    varying
        Proteins whose cells no one class fits.

    Yields
    ------
    dict
        Columns of `MIXED_SHIFTS` but for `model`, `condition` and `protocol`, one for each
        `Population`. Of proteins with the same ORF the one with most cells counts. The interval is
        Wilson's, proteins being independent.
    """
    rows = shifts.sort_values(["n_cells", "protein"], ascending=[False, True])
    rows = rows[~rows["orf"].fillna(rows["protein"]).duplicated()]
    several = rows["labels"].map(lambda labels: labels is not None and len(labels) > 1).astype(bool)
    alone = rows["protein"].isin(varying) & ~several
    for population, chosen in (
        (Population.SEVERAL, several), (Population.VARYING, alone),
        (Population.MIXED, several | alone),
    ):  # fmt: skip
        some = rows[chosen]
        n = len(some)
        if n == 0:
            continue
        called = (some["q_value"] <= ALPHA) & (some["tv"] >= SUBSTANTIAL)
        known = some["q_value"].notna().any()
        shifted = int(called.sum())
        low, high = wilson(shifted / n, n) if known else (np.nan, np.nan)
        quartiles = {f"kl_{at}": float(some["kl"].quantile(at / 100)) for at in (25, 50, 75)}
        yield {
            "population": str(population), "estimate": shifted / n if known else np.nan,
            "ci_low": low, "ci_high": high, "shifted": shifted if known else None,
            **quartiles, "n_cells": int(some["n_cells"].sum()), "n_proteins": n,
        }  # fmt: skip
