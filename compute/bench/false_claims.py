"""How often tests claim what is not so, over many simulated data sets.

Layer: pure arrays, no files.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import brentq

from compute.bench import simulated_answers as simulated
from compute.bench import simulated_donors
from compute.bench.judging import (
    ALPHA,
    FEW,
    MANY,
    MOST,
    Counter,
    Finding,
    SimulationConfig,
    summary,
    with_donors,
)
from compute.bench.simulated_answers import AnswersConfig
from compute.schema import CLAIMED, CONDITIONS, Condition
from compute.statistics.bootstrap import BootstrapConfig
from compute.statistics.effects import Tallies, contributions, holm, sign_flip_test

MODELS = 3
"""Number of models in a family of tests."""


def sign_flips(config: SimulationConfig) -> Iterator[Finding]:
    """Judge the test of drops: its level, its power, and Holm's correction over a family."""
    for setting, answers, counted, bounds in (
        ("nothing differs", _with_drop(0), f"data sets with p ≤ {ALPHA:g}", (None, ALPHA)),
        ("true drop of 1 point", _with_drop(0.01), f"data sets with p ≤ {ALPHA:g}", (None, None)),
    ):
        counter = Counter(f"20 proteins a class, {setting}", counted, bounds)
        for number, rng in config.each(6, bounds == (None, None)):
            tallies = simulated.pair_tallies(answers, simulated.draw(answers, rng), rng)
            counter.add("sign-flip test, pair tests", _flip(tallies, config, number, 1) <= ALPHA)
        yield from counter.findings()
    claimed = (str(c) for c in CLAIMED if CONDITIONS[c].composed)
    conditions = (str(Condition.UNALTERED), *claimed)
    for code, (setting, lost) in enumerate(
        (("nothing differs", 0), ("three of six conditions differ", 3))
    ):
        shifts = (0.0,) * (len(conditions) - lost) + (-0.7,) * lost
        answers = replace(FEW, conditions=conditions, shifts=shifts)
        null = np.tile(np.array(shifts[1:]) == 0, MODELS)
        counter = Counter(
            f"6 proteins a class, {MODELS} models × {len(conditions) - 1} conditions, {setting}",
            "data sets with any false claim", (None, ALPHA),
        )  # fmt: skip
        for number, rng in config.each(7, code):
            p = []
            for _ in range(MODELS):
                tallies = simulated.multiclass_tallies(answers, simulated.draw(answers, rng), rng)
                p += [_flip(tallies, config, number, m) for m in range(1, len(conditions))]
            counter.add("sign-flip tests with Holm", (holm(p) <= ALPHA)[null].any())
        yield from counter.findings()


def donors(config: SimulationConfig) -> Iterator[Finding]:
    """Judge the test of drops and claims of robustness where cells share donors."""
    margin = BootstrapConfig().margin
    for code, (setting, answers) in enumerate(with_donors([MOST])):
        nothing = Counter(setting + ", nothing differs", f"data sets with p ≤ {ALPHA:g}", LEVEL)
        at = Counter(setting + ", true drop at the margin", "data sets with the claim", LEVEL)
        for pair in (True, False):
            for counter, name, drop, column in (
                (nothing, "sign-flip test", 0.0, "p_value"),
                (at, f"equivalence within {100 * margin:g} points", margin, "p_equivalence"),
            ):
                some = _with_drop(drop, answers, pair)
                for number, rng in config.each(13, code, pair, drop > 0):
                    sample = simulated.draw(some, rng)
                    effects = simulated_donors.draw_donors(some, sample, rng)
                    if pair:
                        tallies, moved = simulated_donors.pair_tests(some, sample, effects, rng)
                    else:
                        found = simulated_donors.multiclass(some, sample, effects, rng)
                        tallies, moved = found.tallies, found.donors
                    _, rows = summary(tallies, some, config, number, moved, config.flips)
                    probe = "pair tests" if pair else "multi-class probe"
                    counter.add(f"{name}, {probe}", _row(rows)[column] <= ALPHA)
        yield from nothing.findings()
        yield from at.findings()


LEVEL = (None, ALPHA)
"""Bounds of the share of false claims."""


def _row(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row that is judged: the overall drop under `different`."""
    (row,) = (row for row in rows if (row["scope"], row["effect"], row["condition"]) == _DROP)
    return row


def _flip(tallies: Tallies, config: SimulationConfig, seed: int, condition: int) -> float:
    """Return the p-value of the drop from condition 0 to another."""
    share = contributions(tallies, int(tallies.classes.max()) + 1)
    return sign_flip_test(share[0] - share[condition], config.flips, seed)


def _with_drop(drop: float, like: AnswersConfig = MANY, pair: bool = True) -> AnswersConfig:
    """Return answers whose true drop is `drop`, by a shift of logits that is found for it.

    Parameters
    ----------
    drop
        Accuracy on unaltered crops minus accuracy under `different`.
    like
        How answers come about otherwise.
    pair
        Whether it is the drop in pair tests, as by default, or in the multi-class probe.
    """

    def answers(shift: float) -> AnswersConfig:
        return replace(like, conditions=("unaltered", "different"), shifts=(0.0, shift))

    def missed(shift: float) -> float:
        overall = simulated.true_accuracies(answers(shift), pair).overall
        return float(overall[0] - overall[1]) - drop

    return answers(brentq(missed, -5, 5))


_DROP = ("overall", "drop", "different")
"""Scope, effect and condition of the row that is judged."""


def equivalence(config: SimulationConfig) -> Iterator[Finding]:
    """Judge claims of robustness, which are false at the margin and true within it."""
    margin = BootstrapConfig().margin
    for code, (setting, drop, bounds) in enumerate(
        (
            ("true drop at the margin", margin, (None, ALPHA)),
            ("true gain at the margin", -margin, (None, ALPHA)),
            ("no true drop", 0.0, (None, None)),
        )
    ):
        answers = _with_drop(drop)
        counter = Counter(f"20 proteins a class, {setting}", "data sets with the claim", bounds)
        for number, rng in config.each(8, code):
            tallies = simulated.pair_tallies(answers, simulated.draw(answers, rng), rng)
            _, effects = summary(tallies, answers, config, number)
            claimed = _row(effects)["p_equivalence"] <= ALPHA
            counter.add(f"equivalence within {100 * margin:g} points", claimed)
        yield from counter.findings()
