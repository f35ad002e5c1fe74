"""Whether a probe's probabilities mean what they say. Pure arrays, no files.

A probe that is 80% sure should be right on 80% of such crops. On new backgrounds it may stay as
sure and be right less often. One temperature, fitted on unaltered crops, shows whether rescaling
its confidence would be enough to correct that (Guo, Pleiss, Sun and Weinberger 2017, On calibration
of modern neural networks, ICML; arXiv:1706.04599).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from compute.schema import Calibration
from compute.statistics.bootstrap import Resampling, freedom, interval, ratio
from compute.statistics.resampling_units import Units, add, counts

BINS = 15
"""Number of bins of confidence, of equal width; a bin has its upper edge (Guo and others 2017,
section 2)."""

COOLEST, HOTTEST = 0.05, 20.0
"""Range of the fitted temperature."""

_NEXT_TO_ONE = float(np.nextafter(1, 2))
"""Written for a fitted temperature of 1, as 1 marks probabilities without a fitted temperature."""

LEAST = 1e-12
"""Probabilities of the right answer count as at least this, so that the likelihood stays finite."""


def heat(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Divide logits by a temperature: above 1 answers are less sure, and their order stays.

    Parameters
    ----------
    probabilities
        Rows that sum to 1, shape (n, K).
    temperature
        Above 0.

    Returns
    -------
    ndarray
        Rows that sum to 1, shape (n, K). A probability of 0 stays 0.
    """
    if temperature == 1:
        return probabilities
    top = probabilities.max(-1, keepdims=True)
    scaled = (probabilities / top) ** (1 / temperature)
    return np.asarray(scaled / scaled.sum(-1, keepdims=True))


def fit_temperature(probabilities: NDArray[np.float64], own: NDArray[np.int64]) -> float:
    """Find the temperature under which held-out answers are most likely.

    Parameters
    ----------
    probabilities
        Probabilities for crops that the probe has not learned from, shape (n, K).
    own
        Right answers, shape (n,).

    Returns
    -------
    float
        `COOLEST` to `HOTTEST`. It is never exactly 1, which stands for the probabilities as they
        are; without any crops it is the next number above 1.
    """
    if len(own) == 0:
        return _NEXT_TO_ONE
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities)
    right = np.log(np.maximum(probabilities[np.arange(len(own)), own], LEAST))
    top = logits.max(1)

    def surprise(log_temperature: float) -> float:
        """Return the mean negative log-likelihood."""
        cold = np.exp(-log_temperature)
        total = np.log(np.exp(cold * (logits - top[:, None])).sum(1))
        return float((total - cold * (right - top)).mean())

    bounds = (np.log(COOLEST), np.log(HOTTEST))
    found = float(np.exp(minimize_scalar(surprise, bounds=bounds, method="bounded").x))
    return _NEXT_TO_ONE if found == 1 else found


@dataclass
class CalibrationSums:
    """Sums of the answers of one model, condition and protocol at one temperature.

    Every cell counts once: its trials share its weight, except in `n`.

    Parameters
    ----------
    temperature
        Divides the logits; 1 leaves the probabilities as they are.
    gaps
        Right answers minus confidence, by resampling unit and bin, shape (U, BINS).
    brier
        Squared distance from the right answer, by resampling unit, shape (U, 1).
    right, confidence, weight
        Right answers, confidence and cells by bin, shape (BINS,).
    n, n_cells
        Number of trials, and of cells with a trial there, by bin, shape (BINS,).
    """

    temperature: float
    gaps: NDArray[np.float64]
    brier: NDArray[np.float64]
    right: NDArray[np.float64]
    confidence: NDArray[np.float64]
    weight: NDArray[np.float64]
    n: NDArray[np.int64]
    n_cells: NDArray[np.int64]

    @classmethod
    def empty(cls, temperature: float, units: int) -> "CalibrationSums":
        """Return sums of nothing, for so many resampling units."""
        none, count = np.zeros(BINS), np.zeros(BINS, np.int64)
        gaps, brier = np.zeros((units, BINS)), np.zeros((units, 1))
        return cls(temperature, gaps, brier, none, none.copy(), none.copy(), count, count.copy())

    def take(self, chosen: NDArray[np.bool_]) -> "CalibrationSums":
        """Choose resampling units by a mask, shape (U,); sums by bin alone stay as they are."""
        return replace(self, gaps=self.gaps[chosen], brier=self.brier[chosen])

    def add(
        self,
        probabilities: NDArray[np.float64],
        own: NDArray[np.int64],
        position: NDArray[np.int64],
        weight: NDArray[np.float64],
        unit: NDArray[np.int32],
    ) -> None:
        """Add trials of whole cells to the sums, in place.

        Parameters
        ----------
        probabilities
            As the probe gave them (temperature 1), shape (T, K).
        own
            Right answers, shape (T,).
        position
            Number of each trial's cell, such as its place in a list, shape (T,).
        weight
            1 / number of trials of the cell, shape (T,).
        unit
            Resampling unit of each trial's cell, shape (T,).
        """
        heated = heat(probabilities, self.temperature)
        confidence = heated.max(1)
        right = (probabilities.argmax(1) == own).astype(float)
        here = bins(confidence)
        distance = (heated**2).sum(1) - 2 * heated[np.arange(len(own)), own] + 1
        add(self.gaps, unit, here, weight * (right - confidence))
        add(self.brier, unit, 0, weight * distance)
        for total, values in (
            (self.right, weight * right),
            (self.confidence, weight * confidence),
            (self.weight, weight),
        ):
            total += np.bincount(here, values, BINS)
        self.n += np.bincount(here, minlength=BINS)
        cells = np.unique(position * BINS + here) % BINS
        self.n_cells += np.bincount(cells, minlength=BINS)


def bins(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each confidence, shape (n,); bin b is (b / BINS, (b + 1) / BINS]."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def calibration_rows(
    sums: CalibrationSums, n: NDArray[np.float64], units: Units, resampling: Resampling
) -> Iterator[dict[str, Any]]:
    """Estimate the expected calibration error and the Brier score over all cells.

    The interval of the calibration error is about the value without noise, which is less than the
    estimate; it always reaches up to the estimate.

    Parameters
    ----------
    sums
        Sums of one model, condition and protocol at one temperature.
    n
        Number of cells of each resampling unit, shape (U,).
    units, resampling
        The U resampling units and their draws. The temperature is the same in all draws.

    Yields
    ------
    dict
        Columns of `CALIBRATION` without `model`, `condition` and `protocol`, a row per measure.
    """
    values = np.concatenate([sums.gaps, sums.brier, n[:, None]], 1)
    point, draws = (found.sum(1) for found in (resampling.totals(values), resampling.sums(values)))
    answered = n > 0
    free = freedom(units.classes[answered])
    for measure in Calibration:
        estimate, drawn = (_measure(found, measure) for found in (point, draws))
        centre, around = float(estimate[0]), drawn
        if measure is Calibration.ECE:
            centre, around = _without_noise(point, draws)
        low, high = interval(centre, around, free)
        yield {
            "measure": str(measure),
            "temperature": sums.temperature,
            "estimate": float(estimate[0]),
            "ci_low": max(low, 0.0),
            "ci_high": max(high, float(estimate[0])) if np.isfinite(high) else high,
            "unit": units.kind,
            **counts(units, n, answered),
        }


def _without_noise(
    point: NDArray[np.float64], draws: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Subtract from a calibration error what noise adds to it.

    A bin's distance is never below 0, so chance alone makes it larger: its square is on average the
    square of the true distance plus the variance, which the draws show (after Kumar, Liang and Ma
    2019, Verified uncertainty calibration, NeurIPS). In draws that variance is contained twice.

    Parameters
    ----------
    point, draws
        As for `_measure`, of all resampling units and of each draw.

    Returns
    -------
    centre : float
        The calibration error without noise.
    around : ndarray
        The same of each draw, shape (draws,).
    """
    gap, drawn = (ratio(sums[:, :BINS], sums[:, BINS + 1 :]) for sums in (point, draws))
    variance = drawn.var(0)
    centre = np.sqrt(np.maximum(gap[0] ** 2 - variance, 0)).sum()
    return float(centre), np.sqrt(np.maximum(drawn**2 - 2 * variance, 0)).sum(1)


def _measure(sums: NDArray[np.float64], measure: Calibration) -> NDArray[np.float64]:
    """Turn sums (gaps by bin, Brier, cells), shape (draws, BINS + 2), into a measure, (draws,)."""
    over = np.abs(sums[:, :BINS]).sum(1) if measure is Calibration.ECE else sums[:, BINS]
    return ratio(over, sums[:, BINS + 1])


def reliability_rows(sums: CalibrationSums) -> list[dict[str, Any]]:
    """List every bin of the reliability diagram.

    Returns
    -------
    list of dict
        Columns of `RELIABILITY` without `model`, `condition` and `protocol`; confidence and
        accuracy are NaN in empty bins.
    """
    confidence, accuracy = (ratio(v, sums.weight) for v in (sums.confidence, sums.right))
    return [
        {
            "temperature": sums.temperature,
            "bin": b,
            "confidence": float(confidence[b]),
            "accuracy": float(accuracy[b]),
            "n": int(sums.n[b]),
            "n_cells": int(sums.n_cells[b]),
        }
        for b in range(BINS)
    ]
