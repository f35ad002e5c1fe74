"""Differences between the models of a synthetic run, and their means. Pure arrays, no result.

They follow from the shares of right answers that the other tables rest on.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pyarrow as pa

from compute.schema import CONDITIONS, SUMMARY_TABLES, Condition, Probe
from compute.statistics.joint_answers import quantities
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_config import PROTOCOLS
from dashboard.bench.synthetic_tables import estimate, right_shares, scopes

NETWORK = "one network"
"""What the models of a synthetic run are seeds of, and what they are layers of."""


def differences(drawn: Drawn) -> dict[str, Iterator[pa.Table]]:
    """Return `model_differences`, and `training_seeds` as if all models were one network.

    Without labels they have no rows.
    """
    rows: list[dict[str, Any]] = []
    means: list[dict[str, Any]] = []
    models = drawn.config.models if drawn.config.labels else ()
    for protocol, probe in product(PROTOCOLS, Probe):
        shares = {name: right_shares(drawn, name, protocol, str(probe)) for name in models}
        for model, other in combinations(models, 2):
            key = {"model": model, "other": other, "protocol": protocol, "probe": str(probe)}
            for quantity, condition, weights in quantities(list(shares[model])):
                off = np.zeros(len(drawn.config.localizations))
                for name, weight in weights.items():
                    off += weight * (shares[model][name] - shares[other][name])
                (value, of), *_ = scopes(drawn, off)
                p = 0.0005 if abs(value) > 0.02 else 0.4
                spec = CONDITIONS[Condition(condition)]
                adjusted = 2 * p if spec.claimed or condition == Condition.UNALTERED else None
                tests = {"p_value": p, "p_holm": adjusted}
                named = {"quantity": str(quantity), "condition": condition}
                rows.append({**key, **named, **estimate(value), **tests, **of})
        for quantity, condition, weights in quantities(list(shares[models[0]]) if models else []):
            values = [
                sum((w * each[c] for c, w in weights.items()), np.zeros(1))
                for each in shares.values()
            ]
            (mean, of), *_ = scopes(drawn, sum(values, np.zeros(1)) / len(values))
            own = [float(value.mean()) for value in values]
            means.append(
                {
                    "network": NETWORK, "models": list(models), "protocol": protocol,
                    "probe": str(probe), "quantity": str(quantity), "condition": condition,
                    "estimates": own, "sampling_sd": 0.01, "seed_sd": float(np.std(own)),
                    **estimate(mean), **of,
                }
            )  # fmt: skip
    tables = {"model_differences": rows, "training_seeds": means}
    return {
        name: iter([pa.Table.from_pylist(some, SUMMARY_TABLES[name])])
        for name, some in tables.items()
    }
