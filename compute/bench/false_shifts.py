"""How often shifts and variation are claimed where there is none, over many simulated data sets.

Layer: pure arrays, no files.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compute.bench.judging import ALPHA, HELD, Counter, Finding, SimulationConfig
from compute.bench.simulated_probes import Answers, ProbesConfig, draw_answers
from compute.bench.simulated_shifts import ShiftsConfig, draw_proteins
from compute.statistics.bootstrap import wilson
from compute.statistics.config import SUBSTANTIAL
from compute.statistics.shifts import Null, benjamini_hochberg, shift
from compute.statistics.variation import least_evidence

LEVEL = (None, ALPHA)
"""Bounds of the share of false claims."""


def shifts(config: SimulationConfig) -> Iterator[Finding]:
    """Judge p-values of shifts where nothing shifts, and false discoveries among many proteins."""
    for code, (setting, shifting) in enumerate(
        (
            ("nothing shifts", ShiftsConfig()),
            ("nothing shifts, mean of 5 trials", ShiftsConfig(trials=5)),
            ("3 in 10 shift", ShiftsConfig(shifted=0.3)),
            ("3 in 10 shift, mean of 5 trials", ShiftsConfig(shifted=0.3, trials=5)),
        )
    ):
        setting = f"{shifting.proteins} proteins, {setting}"
        level = Counter(setting, f"unshifted proteins with p ≤ {ALPHA:g}", (None, None))
        false = Counter(setting, f"false ones among those with q ≤ {ALPHA:g}", (None, ALPHA))
        power = Counter(setting, f"shifted proteins with q ≤ {ALPHA:g}", (None, None))
        for number, rng in config.each(9, code):
            proteins = list(draw_proteins(shifting, rng))
            p = np.array(
                [
                    shift(
                        protein.before,
                        protein.after,
                        number * 10_000 + i,
                        Null(protein.after - protein.before),
                    ).p_value
                    for i, protein in enumerate(proteins)
                ]
            )
            moved = np.array([protein.shifted for protein in proteins])
            called = benjamini_hochberg(p) <= ALPHA
            level.add("shift", p[~moved] <= ALPHA)
            false.add("shift", (called & ~moved).sum() / max(called.sum(), 1))
            if moved.any():
                power.add("shift", called[moved])
        for counter in (level, false, power):
            yield from counter.findings()


def refits(config: SimulationConfig) -> Iterator[Finding]:
    """Judge shifts where each condition has its own probe, whose uncertainty counts or not."""
    for code, (change, made) in enumerate(
        (
            ("nothing shifts", ProbesConfig()),
            ("nothing shifts, proteins differ more", ProbesConfig(protein_sd=1.0)),
            ("nothing shifts, 30 cells each", ProbesConfig(cells=30)),
            ("half the mixed ones shift", ProbesConfig(shifted=0.5)),
        )
    ):
        proteins = made.classes * made.proteins + made.mixed
        setting = f"{proteins} proteins, {made.mixed} of them mixed, {change}"
        level = Counter(setting, f"unshifted proteins with p ≤ {ALPHA:g}", LEVEL)
        false = Counter(setting, f"false ones among those with q ≤ {ALPHA:g}", LEVEL)
        ignored = Counter(
            setting + "; the probes' uncertainty ignored", level.counted, (None, None)
        )
        power = Counter(setting, f"shifted proteins with q ≤ {ALPHA:g}", (None, None))
        for number, rng in config.each(14, code):
            found = draw_answers(made, rng)
            for name, second in (("shift, frozen", found.frozen), ("shift, refit", found.refit)):
                own = name == "shift, refit"
                p = _p_values(found, second, own, number)
                called = benjamini_hochberg(p) <= ALPHA
                level.add(name, p[~found.shifted] <= ALPHA)
                false.add(name, (called & ~found.shifted).sum() / max(called.sum(), 1))
                if found.shifted.any():
                    power.add(name, called[found.shifted])
            alone = _p_values(found, found.refit, False, number)
            ignored.add("shift, refit", alone[~found.shifted] <= ALPHA)
        for counter in (level, false, ignored, power):
            yield from counter.findings()


def _p_values(
    found: Answers, second: NDArray[np.float64], own: bool, seed: int
) -> NDArray[np.float64]:
    """Return every protein's p-value; `own` where the null has the uncertainty of two probes."""
    p = []
    for i in range(len(found.mixed)):
        rows = found.cells(i)
        before, after = found.before[rows], second[rows]
        null = Null(found.change[rows], found.moves[i]) if own else Null(after - before)
        p.append(shift(before, after, seed * 10_000 + i, null).p_value)
    return np.array(p)


def variation(config: SimulationConfig) -> Iterator[Finding]:
    """Judge the test that one class fits all cells, and the share of mixed proteins that shift."""
    for code, (words, made) in enumerate(
        (
            ("their cells in one of two classes each", ProbesConfig(varying=True)),
            (
                "their cells in one of two classes each, proteins differ more",
                ProbesConfig(varying=True, protein_sd=1.0),
            ),
            ("all their cells between two classes", ProbesConfig()),
        )
    ):
        setting = f"{made.mixed} mixed proteins, {words}"
        counted = f"with q ≤ {ALPHA:g}"
        level = Counter(setting, f"proteins of one class with p ≤ {ALPHA:g}", LEVEL)
        false = Counter(setting, f"proteins of one class among those {counted}", LEVEL)
        power = Counter(setting, f"mixed proteins {counted}", (None, None))
        for _, rng in config.each(15, code):
            found = draw_answers(made, rng)
            log_e = np.array(
                [
                    least_evidence(found.calibrated[found.cells(i)], found.prior)[0]
                    for i in range(len(found.mixed))
                ]
            )
            p = np.exp(-np.maximum(log_e, 0))
            called = benjamini_hochberg(p) <= ALPHA
            level.add("variation", p[~found.mixed] <= ALPHA)
            false.add("variation", (called & ~found.mixed).sum() / max(called.sum(), 1))
            power.add("variation", called[found.mixed])
        for counter in (level, false, power):
            yield from counter.findings()


def shares(config: SimulationConfig) -> Iterator[Finding]:
    """Judge the interval of the share of mixed proteins that shift substantially.

    Under `refit` nothing is promised: one probe more moves all proteins together, and the interval
    takes probes as given.
    """
    for code, (words, made) in enumerate(
        (
            ("half of them shift", ProbesConfig(mixed=40, shifted=0.5, varying=True, move=1.0)),
            ("one in eight shifts", ProbesConfig(mixed=40, shifted=0.125, varying=True, move=1.0)),
        )
    ):
        for name in ("frozen", "refit"):
            counts, n = [], made.mixed
            for number, rng in config.each(16, code):
                found = draw_answers(made, rng)
                second = found.refit if name == "refit" else found.frozen
                p = _p_values(found, second, name == "refit", number)
                far = [
                    np.abs((second - found.before)[found.cells(i)].mean(0)).sum() / 2
                    for i in range(len(p))
                ]
                called = (benjamini_hochberg(p) <= ALPHA) & (np.array(far) >= SUBSTANTIAL)
                counts.append(int(called[found.mixed].sum()))
            truth = np.mean(counts) / n
            setting = f"{n} mixed proteins, {words}"
            bounds = (HELD[0], None) if name == "frozen" else (None, None)
            counter = Counter(setting, "intervals that hold the share expected", bounds)
            for count in counts:
                low, high = wilson(count / n, n)
                counter.add(f"share that shifts, {name}", low <= truth <= high)
            yield from counter.findings()
