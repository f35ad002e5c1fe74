"""Whether a probe's probabilities mean what they say. Pure arrays, no files.

A probe that is 80% sure should be right on 80% of such crops. On new backgrounds it may stay as
sure and be right less often; one temperature, fitted on unaltered crops, shows whether a mere
rescaling of its confidence would mend that (Guo, Pleiss, Sun and Weinberger 2017, On calibration
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
"""Bins of equal width, each with its upper edge (Guo and others 2017, section 2)."""

COOLEST, HOTTEST = 0.05, 20.0
"""Range of the fitted temperature."""

_NEXT_TO_ONE = float(np.nextafter(1, 2))

LEAST = 1e-12
"""The smallest probability of the right answer in the likelihood, which is else infinite."""


def heat(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Divide logits by a temperature: above 1 answers are less sure, the order stays.

    Parameters
    ----------
    probabilities
        Rows that sum to 1, shape (n, K). What is 0 stays 0.
    temperature
        Above 0.
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
        Of crops that the probe has not learned from, shape (n, K).
    own
        Right answers, shape (n,).

    Returns
    -------
    float
        `COOLEST` to `HOTTEST`; never 1 itself, which stands for the probabilities as they are,
        but next to it without any crops.
    """
    if len(own) == 0:
        return _NEXT_TO_ONE
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities)
    right = np.log(np.maximum(probabilities[np.arange(len(own)), own], LEAST))
    top = logits.max(1)

    def surprise(log_temperature: float) -> float:
        cold = np.exp(-log_temperature)
        total = np.log(np.exp(cold * (logits - top[:, None])).sum(1))
        return float((total - cold * (right - top)).mean())

    bounds = (np.log(COOLEST), np.log(HOTTEST))
    found = float(np.exp(minimize_scalar(surprise, bounds=bounds, method="bounded").x))
    return _NEXT_TO_ONE if found == 1 else found


@dataclass
class CalibrationSums:
    """Answers of one model, condition and protocol at one temperature, summed; U units.

    Parameters
    ----------
    temperature
        Of the probabilities.
    gaps
        By unit and bin, right answers minus confidence, shape (U, BINS); cells count once.
    brier
        By unit, squared distance from the right answer, shape (U, 1); cells count once.
    right, confidence, weight
        By bin, shape (BINS,); cells count once.
    n, n_cells
        Trials, and cells, by bin, shape (BINS,).
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
        """Begin with nothing."""
        none, count = np.zeros(BINS), np.zeros(BINS, np.int64)
        gaps, brier = np.zeros((units, BINS)), np.zeros((units, 1))
        return cls(temperature, gaps, brier, none, none.copy(), none.copy(), count, count.copy())

    def take(self, chosen: NDArray[np.bool_]) -> "CalibrationSums":
        """Choose units, by a mask; what is summed by bin stays."""
        return replace(self, gaps=self.gaps[chosen], brier=self.brier[chosen])

    def add(
        self,
        probabilities: NDArray[np.float64],
        own: NDArray[np.int64],
        position: NDArray[np.int64],
        weight: NDArray[np.float64],
        unit: NDArray[np.int32],
    ) -> None:
        """Add trials of whole cells.

        Parameters
        ----------
        probabilities
            As they are (temperature 1), shape (T, K).
        own
            Right answers, shape (T,).
        position
            A number for each trial's cell, shape (T,).
        weight
            One over the trials of the cell, shape (T,).
        unit
            Unit of each trial's cell, shape (T,).
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
    """Return the bin of each highest probability; bin b is (b / BINS, (b + 1) / BINS]."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def calibration_rows(
    sums: CalibrationSums, n: NDArray[np.float64], units: Units, resampling: Resampling
) -> Iterator[dict[str, Any]]:
    """Estimate both measures over all cells; columns of `CALIBRATION`.

    The interval of the calibration error aims at what it would be without noise, which is less
    than the estimate, and reaches to the estimate at least.

    Parameters
    ----------
    sums
        Of one model, condition and protocol at one temperature.
    n
        Cells of each unit, shape (U,).
    units, resampling
        What is resampled, and its draws. The temperature is the same in all draws.
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
    """Take what noise adds out of a calibration error, so that its interval aims at the truth.

    A bin's distance is never below 0, so chance alone makes it larger: the square of what is seen
    is on average the true one's plus the variance, which the draws show (after Kumar, Liang and
    Ma 2019, Verified uncertainty calibration, NeurIPS). Draws hold that variance twice.
    """
    gap, drawn = (ratio(sums[:, :BINS], sums[:, BINS + 1 :]) for sums in (point, draws))
    variance = drawn.var(0)
    centre = np.sqrt(np.maximum(gap[0] ** 2 - variance, 0)).sum()
    return float(centre), np.sqrt(np.maximum(drawn**2 - 2 * variance, 0)).sum(1)


def _measure(sums: NDArray[np.float64], measure: Calibration) -> NDArray[np.float64]:
    """Turn sums over units (gaps by bin, Brier, cells) into a measure, shape (draws,)."""
    over = np.abs(sums[:, :BINS]).sum(1) if measure is Calibration.ECE else sums[:, BINS]
    return ratio(over, sums[:, BINS + 1])


def reliability_rows(sums: CalibrationSums) -> list[dict[str, Any]]:
    """List every bin of the reliability diagram; columns of `RELIABILITY`."""
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
