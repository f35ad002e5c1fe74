"""Summary tables of a synthetic run, as many rows as a real run's. Pure arrays, no result.

`distributions`, `shifts` and `truth` follow from the predictions that were drawn. The others follow
from the shares of right answers that predictions are drawn with (`SyntheticConfig.right`): the same
numbers in every table, without the noise of few cells. Intervals and p-values have a fixed form.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import entropy

from compute import schema
from compute.schema import BESIDE, CONDITIONS, SUMMARY_TABLES, Condition, Effect
from dashboard.bench.columns import constant, take
from dashboard.bench.synthetic_cells import Drawn, Floats
from dashboard.bench.synthetic_config import PROTOCOLS, has_donors

Rows = list[dict[str, Any]]

TEMPERATURES = (1.0, 1.4)
BINS = 15
MARGIN = 0.02
HALF = 0.015
"""Half the width of an interval."""

CLASS_SPREAD = 0.04
"""By how much a class's share of right answers is above or below, at most, before it is centred."""

NOISE_FLOOR = 0.03


def summaries(drawn: Drawn) -> dict[str, Iterator[pa.Table]]:
    """Return summary tables in parts, all but `examples` and those of `synthetic_drops`.

    Ask after predictions were drawn.
    """
    rng = np.random.default_rng((drawn.config.seed, 5))
    names = "accuracy effects flips backgrounds rescaling calibration reliability"
    rows: dict[str, Rows] = {name: [] for name in names.split()}
    tests: dict[str, list[pa.Table]] = {"pairwise": [], "pair_tallies": []}
    if drawn.config.labels:
        for model, protocol in product(drawn.config.models, PROTOCOLS):
            key = {"model": model, "protocol": protocol}
            pair = right_shares(drawn, model, protocol, "pair")
            several = right_shares(drawn, model, protocol, "multiclass")
            for probe, aggregation, shares in (
                ("pair", "all", pair),
                ("pair", "published", pair),
                ("multiclass", "all", several),
                *((p, "all", right_shares(drawn, model, protocol, p)) for p in map(str, BESIDE)),
            ):
                named = {**key, "probe": probe, "aggregation": aggregation}
                _accuracies(rows, drawn, named, shares)
            _answers(rows, drawn, key, several, rng)
            for condition in drawn.config.conditions:
                named = {**key, "condition": condition}
                tests["pairwise"].append(_pairs(drawn, named, pair[condition], rng))
                tests["pair_tallies"].append(_tallies(drawn, named, pair[condition], rng))
    made = {name: [_table(name, found)] for name, found in rows.items()} | tests
    return {name: iter(parts) for name, parts in made.items()} | {
        "distributions": _distributions(drawn),
        "shifts": shift_tables(drawn),
        "truth": _truth(drawn),
    }


def _table(name: str, rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, SUMMARY_TABLES[name])


def right_shares(drawn: Drawn, model: str, protocol: str, probe: str) -> dict[str, Floats]:
    """Return each class's share of right answers by condition; their mean is as configured."""
    places = (drawn.config.models.index(model), PROTOCOLS.index(protocol), len(probe))
    rng = np.random.default_rng((drawn.config.seed, 6, *places))
    found = {}
    for condition in drawn.config.conditions:
        if probe != "pair" and condition not in drawn.config.composed:
            continue
        spread = rng.uniform(-CLASS_SPREAD, CLASS_SPREAD, len(drawn.config.localizations))
        level = drawn.config.right(model, condition, protocol, probe)
        found[condition] = level + spread - spread.mean()
    return found


def scopes(drawn: Drawn, values: Floats) -> Iterator[tuple[float, dict[str, Any]]]:
    """Give a number over all classes and of each, with the columns that say of what it is."""
    config, counts = drawn.config, np.bincount(drawn.home, minlength=len(values))
    for place, name in enumerate((None, *config.localizations), -1):
        value, proteins = float(values.mean()), config.proteins
        if name is not None:
            value, proteins = float(values[place]), int(counts[place])
        of = {"unit": "protein", "n_proteins": proteins, "n_cells": proteins * config.cells}
        yield value, {"scope": "localization" if name else "overall", "localization": name, **of}


def estimate(value: float) -> dict[str, float]:
    """Return a number with an interval around it, by column."""
    return {"estimate": value, "ci_low": value - HALF, "ci_high": value + HALF}


def _accuracies(
    rows: dict[str, Rows], drawn: Drawn, key: dict[str, str], found: dict[str, Floats]
) -> None:
    """Add a probe's accuracies, drops, net drops and gap."""
    unit = {"unit": "localization"} if key["aggregation"] == "published" else {}
    named: dict[str, Any]
    for condition, shares in found.items():
        named = {**key, "condition": condition, "donor_seen": _donor_seen(drawn, condition)}
        for value, of in scopes(drawn, shares):
            rows["accuracy"].append({**named, **estimate(value), **of, **unit})
    effects = [(Effect.DROP, name, "unaltered") for name in drawn.config.altered if name in found]
    if "sham" in found:
        effects += [(Effect.NET, name, "sham") for _, name, _ in effects if name != "sham"]
    if {"same", "different"} <= found.keys():
        effects.append((Effect.GAP, "different", "same"))
    for effect, condition, before in effects:
        for value, of in scopes(drawn, found[before] - found[condition]):
            p = 0.0005 if value > MARGIN else 0.4
            within = 0.001 if abs(value) + HALF <= MARGIN else 0.6
            tests = {"p_value": p, "margin": MARGIN, "p_equivalence": within}
            spec = CONDITIONS[Condition(condition)]
            if spec.claimed:
                tests |= {"p_holm": 2 * p, "p_equivalence_holm": min(1.0, 2 * within)}
            if spec.headline and effect != Effect.NET and not unit and of["scope"] == "overall":
                tests |= {"simultaneous_low": value - 2 * HALF}
                tests |= {"simultaneous_high": value + 2 * HALF}
            named = {**key, "effect": str(effect), "condition": condition}
            named |= {"donor_seen": _donor_seen(drawn, condition)}
            rows["effects"].append({**named, **estimate(value), **of, **unit, **tests})


def _donor_seen(drawn: Drawn, condition: str) -> float | None:
    """Return the share of trials whose donor is of another fold; None without donors."""
    relation = CONDITIONS[Condition(condition)].relation
    return {"": None, "protein": 0.0}.get(relation, drawn.config.donor_seen)


def _pairs(drawn: Drawn, key: dict[str, str], right: Floats, rng: np.random.Generator) -> pa.Table:
    """Return pair tests: one on every background where the condition has a choice of it."""
    config = drawn.config
    places = range(len(config.localizations))
    grid = CONDITIONS[Condition(key["condition"])].grid
    tests = [
        (a, b, behind)
        for a, b in combinations(places, 2)
        for behind in ([k for k in places if k not in (a, b)] if grid else [-1])
    ]
    a, b, behind = np.array(tests, np.int64).reshape(-1, 3).T
    noise = rng.normal(0, 0.02, len(tests))
    columns = {
        **_keyed(len(tests), **key),
        "localization_a": take(config.localizations, a),
        "localization_b": take(config.localizations, b),
        "background": take(config.localizations, behind),
        "accuracy": pa.array(np.clip((right[a] + right[b]) / 2 + noise, 0, 1)),
        "std": pa.array(np.full(len(tests), 0.02)),
        "n": pa.array(np.full(len(tests), 2 * config.cells * config.proteins // len(right))),
    }
    return _columns("pairwise", columns)


def _tallies(
    drawn: Drawn, key: dict[str, str], right: Floats, rng: np.random.Generator
) -> pa.Table:
    """Return each protein's tally of pair tests against every other class."""
    config, others = drawn.config, len(right) - 1
    of = np.repeat(np.arange(config.proteins), others)
    home = drawn.home[of]
    other = (home + 1 + np.tile(np.arange(others), config.proteins)) % len(right)
    each = pa.array(np.full(len(of), config.cells))
    columns = {
        **_keyed(len(of), **key),
        "protein": take(drawn.names, of),
        "cell": pa.nulls(len(of), pa.int64()),
        "localization": take(config.localizations, home),
        "other": take(config.localizations, other),
        "correct": pa.array(rng.binomial(config.cells, right[home])),
        "n": each,
        "n_cells": each,
    }
    return _columns("pair_tallies", columns)


def _keyed(count: int, **key: str) -> dict[str, pa.Array]:
    return {name: constant(value, count) for name, value in key.items()}


def _columns(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    layout = SUMMARY_TABLES[name]
    return pa.table({field: columns[field] for field in layout.names}, schema=layout)


def _answers(
    rows: dict[str, Rows],
    drawn: Drawn,
    key: dict[str, str],
    right: dict[str, Floats],
    rng: np.random.Generator,
) -> None:
    """Add what is known of the multi-class probe's answers."""
    for condition, shares in right.items():
        named = {**key, "condition": condition}
        _calibration(rows, drawn, named, shares, rng)
        if condition not in drawn.config.altered:
            continue
        drops = right["unaltered"] - shares
        for value, of in scopes(drawn, drops):
            ways = {"lost": 0.05 + max(value, 0), "gained": 0.05 + max(-value, 0), "moved": 0.02}
            for way, share in ways.items():
                rows["flips"].append({**named, "direction": way, **estimate(share), **of})
            if key["protocol"] == "frozen" and CONDITIONS[Condition(condition)].rescaled:
                for part, share in (("total", 1.0), ("rescaling", 0.3), ("context", 0.7)):
                    split = {"model": key["model"], "condition": condition, "part": part}
                    rows["rescaling"].append({**split, **estimate(value * share), **of})
        if has_donors(condition):
            _backgrounds(rows["backgrounds"], drawn, named, shares, drops, rng)


def _calibration(
    rows: dict[str, Rows],
    drawn: Drawn,
    key: dict[str, str],
    shares: Floats,
    rng: np.random.Generator,
) -> None:
    """Add calibration errors and the reliability diagram under one condition."""
    (_, whole), *_ = scopes(drawn, shares)
    overall = {name: whole[name] for name in ("unit", "n_proteins", "n_cells")}
    for temperature in TEMPERATURES:
        for measure in schema.CALIBRATION_MEASURES:
            value = estimate(float(rng.uniform(0.02, 0.2)))
            named = {**key, "measure": str(measure), "temperature": temperature}
            rows["calibration"].append({**named, **value, **overall})
        for number in range(BINS):
            middle = (number + 0.5) / BINS
            found = {"temperature": temperature, "bin": number, "confidence": middle}
            found |= {"accuracy": middle * 0.9, "n": 1000, "n_cells": 900}
            rows["reliability"].append({**key, **found})


def _backgrounds(
    rows: Rows,
    drawn: Drawn,
    key: dict[str, str],
    shares: Floats,
    drops: Floats,
    rng: np.random.Generator,
) -> None:
    """Add drop and attraction of each class on each background that it may stand on."""
    _, *each = scopes(drawn, drops)
    own = CONDITIONS[Condition(key["condition"])].relation != "other"
    for (place, (drop, of)), behind in product(enumerate(each), drawn.config.localizations):
        if own != (of["localization"] == behind):
            continue
        pull = float(rng.uniform(0, 0.2))
        found = {"background": behind, "accuracy": float(shares[place]), "drop": drop}
        found |= {"ci_low": drop - HALF, "ci_high": drop + HALF, "attraction": pull}
        found |= {"attraction_low": pull - HALF, "attraction_high": pull + HALF}
        rows.append({**key, **{k: v for k, v in of.items() if k != "scope"}, **found})


def _distributions(drawn: Drawn) -> Iterator[pa.Table]:
    """Give every protein's distribution, as the effects stage orders them."""
    config = drawn.config
    proteins, classes = config.all_proteins, len(config.localizations)
    count = proteins * classes
    for (model, protocol), share in sorted(drawn.proportion.items()):
        for place, condition in enumerate(config.composed):
            columns = {
                **_keyed(count, model=model, condition=condition, protocol=protocol),
                "protein": take(drawn.names, np.repeat(np.arange(proteins), classes)),
                "localization": take(config.localizations, np.tile(np.arange(classes), proteins)),
                "proportion": pa.array(share[:, place].ravel()),
                "mean_probability": pa.array(drawn.probability[model, protocol][:, place].ravel()),
                "n_cells": pa.array(np.full(count, config.cells)),
            }
            yield _columns("distributions", columns)


def _moved(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """Return total variation and Jensen–Shannon divergence of rows, shape (proteins,) each."""
    middle = (before + after) / 2
    jsd = (entropy(before, middle, axis=1, base=2) + entropy(after, middle, axis=1, base=2)) / 2
    return np.abs(before - after).sum(axis=1) / 2, np.clip(jsd, 0, 1)


def _compared(drawn: Drawn) -> Iterator[tuple[dict[str, pa.Array], Floats, Floats, Floats, Floats]]:
    """Give each model, protocol and altered condition with what is before and after.

    Yields
    ------
    tuple
        Columns that `shifts` and `truth` share; proportions before and after, mean probabilities
        before and after, shape (proteins, classes) each.
    """
    config, count = drawn.config, drawn.config.all_proteins
    for (model, protocol), share in sorted(drawn.proportion.items()):
        mean = drawn.probability[model, protocol]
        for condition in config.altered:
            if condition not in config.composed:
                continue
            first, place = (config.composed.index(name) for name in ("unaltered", condition))
            columns = {
                **_keyed(count, model=model, condition=condition, protocol=protocol),
                "protein": take(drawn.names, np.arange(count)),
                "top_before": take(config.localizations, share[:, first].argmax(axis=1)),
                "top_after": take(config.localizations, share[:, place].argmax(axis=1)),
                "n_cells": pa.array(np.full(count, config.cells)),
            }
            yield columns, share[:, first], share[:, place], mean[:, first], mean[:, place]


def shift_tables(drawn: Drawn) -> Iterator[pa.Table]:
    """Give the shifts of mean probabilities, called by their distance."""
    rng = np.random.default_rng((drawn.config.seed, 8))
    count = drawn.config.all_proteins
    for columns, said_before, said_after, before, after in _compared(drawn):
        tv, jsd = _moved(before, after)
        p = np.clip(np.exp(-30 * tv) * rng.uniform(0.3, 1, count), 0.0005, 1)
        columns |= {
            "orf": take(drawn.orfs, np.arange(count)),
            "labels": drawn.labels,
            "jsd": pa.array(jsd),
            "tv": pa.array(tv),
            "kl": pa.array(entropy(before, after, axis=1)),
            "noise_floor": pa.array(np.full(count, NOISE_FLOOR)),
            "p_value": pa.array(p),
            "q_value": pa.array(np.minimum(1, p * 1.5)),
            "flipped_fraction": pa.array(np.abs(said_before - said_after).sum(axis=1) / 2),
        }
        yield _columns("shifts", columns)


def _truth(drawn: Drawn) -> Iterator[pa.Table]:
    """Give the distances from the true distributions; nothing where cells have none."""
    if not (drawn.config.simulated and drawn.config.labels):
        return
    true = np.eye(len(drawn.config.localizations))[drawn.classes].mean(axis=1)
    for columns, said_before, said_after, _, _ in _compared(drawn):
        for when, said in (("before", said_before), ("after", said_after)):
            tv, jsd = _moved(true, said)
            columns |= {f"tv_{when}": pa.array(tv), f"jsd_{when}": pa.array(jsd)}
        columns["top_true"] = take(drawn.config.localizations, drawn.classes[:, 0])
        yield _columns("truth", columns)
